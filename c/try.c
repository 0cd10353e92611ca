/* try.c: mv_try, a callback over raw pointers that a fault ends. */
#include "internal.h"

#include <errno.h>

/* Asks for the accesses that may have been made: for reading first, which is
 * most often the cause. Returns 0 if nothing stops any of them. */
static int64_t ask_for(mv_view *view, struct mv__fault *f, uint32_t access, mv_error *err)
{
    int64_t r = 0;
    f->access = MV_READ;
    if (access & MV_READ)
        r = mv__cause_resolve(view, f, err);
    f->access = MV_WRITE;
    if (r == 0 && (access & MV_WRITE))
        r = mv__cause_resolve(view, f, err);
    return r;
}

/* From the address of a fault to its cause. */
static int explain(mv_view *view, const struct mv__pad *pad, mv_error *err)
{
    uintptr_t first = (uintptr_t)view->data;
    /* Some faults tell the page alone, which may begin before the view. */
    struct mv__fault f = {.offset = pad->address > first ? pad->address - first : 0};
    struct mv__place place = {f.offset, 0, 0};
    uint64_t size;
    int live = mv__view_live(view, &size, err);
    if (live != 0)
        return live;
    if (f.offset >= size)
        return mv__fail_at(err, -MV_ETRUNCATED, place, "try",
                           "the view ends before the byte that was accessed");
    uint32_t access = pad->access;
    if (access == MV_WRITE && !view->writable)
        return mv__fail_at(err, -EACCES, place, "try", "a store into a read-only view");
    if (access == 0)
        access = view->writable ? MV_READ | MV_WRITE : MV_READ;
    int64_t r = ask_for(view, &f, access, err);
    if (r != 0)
        return (int)r;
    if (pad->access == 0 && !view->writable)
        return mv__fail_at(err, -EACCES, place, "try", "most likely a store into a read-only view");
    return mv__fail_at(err, -EAGAIN, place, "try",
                       "the byte could not be accessed; nothing stops it any more");
}

int mv_try(mv_view *view, int (*fn)(void *arg), void *arg, mv_error *err)
{
    uint64_t size;
    int r = mv__view_live(view, &size, err);
    if (r != 0)
        return r;
    if (!fn)
        return mv__fail(err, -EINVAL, "try", "there is no function");
    if (!view->guarded || !mv__guard_ready())
        return mv__fail(err, -EOPNOTSUPP, "try", "there is no signal handler to rely on");
    struct mv__pad pad = {.start = (uintptr_t)view->base,
                          .end = (uintptr_t)view->base + view->geometry.mapped};
    int result = 0;
    r = mv__guard_call(&pad, fn, arg, &result);
    if (r < 0)
        return mv__fail_call(err, r, "allocate");
    if (!pad.landed)
        return result;
    return explain(view, &pad, err);
}
