/* caps.c: what this kernel, and the view's file system, can do. */
#include "internal.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

#define NO_ADVICE 0x4d56 /* that no kernel knows */

/* An answer of the kernel, asked once: 0 not yet asked, 1 yes, 2 no. */
static atomic_int populate_answer;
static atomic_int copy_answer;

/* Keeps an answer that cannot change: a call that failed for another reason is
 * asked again next time. */
static bool remember(atomic_int *answer, bool yes, bool no)
{
    if (yes || no)
        atomic_store(answer, yes ? 1 : 2);
    return yes;
}

bool mv__caps_populate(void)
{
    int known = atomic_load(&populate_answer);
    if (known)
        return known == 1;
    /* Nothing is touched in a range of no length, but the advice is judged:
     * unless by an emulator, which takes any. */
    long r = mv__sys.madvise(NULL, 0, MADV_POPULATE_READ);
    if (r == 0 && mv__sys.madvise(NULL, 0, NO_ADVICE) == 0)
        r = -EINVAL;
    return remember(&populate_answer, r == 0, r == -EINVAL);
}

bool mv__caps_copy(void)
{
    int known = atomic_load(&copy_answer);
    if (known)
        return known == 1;
    char from = 1, to = 0;
    struct iovec local = {&to, 1}, remote = {&from, 1};
    long r = mv__sys.process_vm_readv(mv__sys_thread(), &local, 1, &remote, 1, 0);
    return remember(&copy_answer, r == 1, r == -EPERM || r == -ENOSYS);
}

void mv__caps_copy_refused(void)
{
    remember(&copy_answer, false, true);
}

static bool allocates(const mv_view *view)
{
    struct mv__source *source = (struct mv__source *)&view->source; /* its counter is atomic */
    enum mv__fs kind = MV__FS_COPY_ON_WRITE;
    if (atomic_load(&view->allocation_refused) || source->is_memory || !source->is_file)
        return false;
    return mv__source_filesystem(source, &kind) == 0 && kind != MV__FS_COPY_ON_WRITE;
}

static bool view_can(const mv_view *view, uint32_t capability)
{
    switch (capability) {
    case MV_HAS_ALLOCATE:
        return allocates(view);
    case MV_HAS_OWN_DESCRIPTION:
        return view->source.writable && !view->source.shared_description;
    case MV_HAS_RESIZE:
        return view->writable && view->shared && view->source.is_file && !view->length_asked;
    default:
        return false;
    }
}

int mv_has(const mv_view *view, uint32_t capability)
{
    int r = view ? mv__view_enter(view, NULL) : 0;
    if (r < 0)
        return r;
    switch (capability) {
    case MV_HAS_POPULATE:
        return mv__caps_populate();
    case MV_HAS_KERNEL_COPY:
        return mv__caps_copy();
    case MV_HAS_ALLOCATE:
        return !view || view_can(view, capability);
    default:
        return view && view_can(view, capability);
    }
}
