/* view.c: the mapping itself: made, checked, detached, freed, asked. */
#include "internal.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

static long map(const struct mv__geometry *g, const mv_options *o, int fd)
{
    int protection = PROT_READ | ((o->flags & MV_OPEN_WRITE) ? PROT_WRITE : 0);
    int flags = (o->flags & MV_OPEN_PRIVATE) ? MAP_PRIVATE : MAP_SHARED;
    if (fd < 0)
        flags |= MAP_ANONYMOUS;
    /* Reserved addresses shall not count as memory. The mapping goes past the
     * end of the file on purpose: growth then needs no new mapping, and what
     * a shrink takes away faults by itself. */
    flags |= MAP_NORESERVE;
    off_t start = fd < 0 ? 0 : (off_t)(g->offset - g->lead);
    return mv__sys.mmap(NULL, g->mapped, protection, flags, fd, start);
}

static void advise_at_open(unsigned char *base, size_t mapped, uint64_t flags)
{
    /* Only hints: a kernel without madvise still gives a right view. */
    if (flags & MV_OPEN_RANDOM)
        mv__sys.madvise(base, mapped, MADV_RANDOM);
    if (flags & MV_OPEN_SEQUENTIAL)
        mv__sys.madvise(base, mapped, MADV_SEQUENTIAL);
}

int mv__view_new(const struct mv__geometry *g, const mv_options *o, int fd, mv_view **out,
                 mv_error *err)
{
    assert(g->size <= g->limit && g->limit <= g->mapped - g->lead);
    uint64_t process;
    int r = mv__sys_process(&process);
    if (r != 0)
        return mv__fail_call(err, r, "mmap");
    long memory = mv__sys.allocate(sizeof(mv_view));
    if (memory == 0 || mv__sys_failed(memory))
        return mv__fail_call(err, -ENOMEM, "allocate");
    long base = map(g, o, fd);
    if (base == -EIO) /* what files in /proc say that have no mmap */
        base = -ENODEV;
    if (mv__sys_failed(base)) {
        mv__sys.release((void *)memory);
        return mv__fail(err, (int)base, "mmap", "%zu bytes cannot be mapped: %s", g->mapped,
                        mv_strerror((int)base));
    }
    mv_view *view = (mv_view *)memory;
    view->base = (unsigned char *)base;
    view->data = view->base + g->lead;
    view->geometry = *g;
    view->flags = o->flags;
    view->writable = o->flags & MV_OPEN_WRITE;
    view->shared = !(o->flags & MV_OPEN_PRIVATE);
    view->guarded = !(o->flags & MV_OPEN_NO_HANDLER);
    view->page = mv__sys_page_size();
    view->length_asked = o->length;
    view->process = process;
    view->source.fd = view->source.directory = view->source.given = -1;
    atomic_init(&view->source.users, 1);
    atomic_init(&view->size, g->size);
    pthread_mutex_init(&view->shape_lock, NULL);
    pthread_mutex_init(&view->sync_lock, NULL);
    pthread_mutex_init(&view->through_lock, NULL);
    pthread_mutex_init(&view->failure_lock, NULL);
    pthread_mutex_init(&view->dirty.lock, NULL);
    view->dirty.watch = -1;
    advise_at_open(view->base, g->mapped, o->flags);
    *out = view;
    return 0;
}

int mv__view_free(mv_view *view)
{
    long r = mv__sys.munmap(view->base, view->geometry.mapped);
    mv__dirty_free(view);
    mv__sys.release(view); /* no destroy: in a child of fork the mutexes may be held */
    return (int)r;
}

int mv__view_dead(const mv_view *view, mv_error *err)
{
    if (mv__error_usable(err) < 0)
        return -EINVAL;
    if (!view)
        return mv__fail(err, -EINVAL, "view", "the view is NULL");
    return mv__fail(err, -EBADF, "view", "the view is detached");
}

int mv__view_own(const mv_view *view, mv_error *err)
{
    if (mv__error_usable(err) < 0)
        return -EINVAL;
    if (!view)
        return mv__fail(err, -EINVAL, "view", "the view is NULL");
    uint64_t process;
    int r = mv__sys_process(&process);
    if (r != 0)
        return mv__fail_call(err, r, "mmap");
    if (process != view->process)
        return mv__fail(err, -ECHILD, "fork", "the view belongs to the parent of this process");
    return 0;
}

int mv__view_enter(const mv_view *view, mv_error *err)
{
    uint64_t size;
    int r = mv__view_own(view, err);
    return r != 0 ? r : mv__view_live(view, &size, err);
}

int mv__view_span(const mv_view *view, uint64_t off, uint64_t len, struct mv__span *out, mv_error *err)
{
    uint64_t size = 0;
    int r = mv__view_live(view, &size, err);
    if (r != 0)
        return r;
    if (off > size || (len != MV_TO_END && len > size - off))
        return mv__fail_at(err, -EINVAL, (struct mv__place){off, len, 0}, "range",
                           "%" PRIu64 " bytes from %" PRIu64 " leave the view of %" PRIu64 " bytes",
                           len, off, size);
    *out = (struct mv__span){off, len == MV_TO_END ? size - off : len};
    return 0;
}

unsigned char *mv__view_pages(const mv_view *view, struct mv__span span, size_t *bytes)
{
    uint64_t mask = view->page - 1;
    uint64_t first = view->geometry.lead + span.offset;
    uint64_t end = (first + span.length + mask) & ~mask;
    first &= ~mask;
    assert(end <= view->geometry.mapped);
    *bytes = (size_t)(end - first);
    return view->base + first;
}

int mv__view_detach(mv_view *view, mv_error *err)
{
    /* No access is left; the addresses stay taken, and the file is let go. */
    long r = mv__sys.mmap(view->base, view->geometry.mapped, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    if (mv__sys_failed(r)) /* at the limit of mappings: at least end the access */
        r = mv__sys.mprotect(view->base, view->geometry.mapped, PROT_NONE);
    return mv__sys_failed(r) ? mv__fail_call(err, (int)r, "mprotect") : 0;
}

void mv__view_mark(mv_view *view, uint64_t off, uint64_t n)
{
    /* What lies behind a new end is the shrink's to mark. */
    uint64_t size = mv_size(view);
    if (off < size)
        mv__dirty_mark(view, off, n < size - off ? n : size - off);
}

void *mv_data(const mv_view *view)
{
    if (!view)
        return NULL;
    /* Views are never made const: a caller's view may be const, its memory is not. */
    _Atomic bool *lent = (_Atomic bool *)&view->lent;
    if (!atomic_load_explicit(lent, memory_order_relaxed))
        atomic_store_explicit(lent, true, memory_order_relaxed);
    return view->data;
}

uint64_t mv_size(const mv_view *view)
{
    uint64_t word = view ? atomic_load_explicit(&view->size, memory_order_acquire) : 0;
    return word == MV__DETACHED ? 0 : word & ~MV__CLEAN;
}

uint64_t mv_reserved(const mv_view *view)
{
    return view ? view->geometry.limit : 0;
}

static uint64_t file_length_now(const mv_view *view)
{
    struct mv__source *source = (struct mv__source *)&view->source; /* its counter is atomic */
    uint64_t length = UINT64_MAX;
    return mv__source_look(source, &length, NULL) == 0 ? length : UINT64_MAX;
}

static void stat_failure(const mv_view *view, mv_info *info)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&view->failure_lock;
    pthread_mutex_lock(lock);
    if (view->failure.code < 0)
        info->state |= MV_STATE_FAILED;
    info->failure = view->failure.code;
    info->failure_offset = view->failure.offset;
    info->failure_length = view->failure.length;
    pthread_mutex_unlock(lock);
}

int mv_stat(const mv_view *view, mv_info *info, mv_error *err)
{
    int r = mv__view_enter(view, err);
    if (r != 0)
        return r;
    if (!info || info->size < sizeof(mv_info))
        return mv__fail(err, -EINVAL, "info", "info is NULL, or its size less than sizeof(mv_info)");
    const struct mv__source *source = &view->source;
    mv_info now = MV_INFO_INIT;
    now.size = info->size; /* stays what the caller said */
    now.page_size = (uint32_t)view->page;
    now.flags = view->flags;
    now.state = (source->shared_description ? MV_STATE_SHARED_DESCRIPTION : 0) |
                (source->fd >= 0 ? MV_STATE_DESCRIPTOR : 0) | (source->created ? MV_STATE_CREATED : 0) |
                (view->through ? MV_STATE_THROUGH : 0);
    now.offset = view->geometry.offset;
    now.length = mv_size(view);
    now.reserved = mv_reserved(view);
    now.file_size = file_length_now(view);
    now.device = source->device;
    now.inode = source->inode;
    now.tracking = view->dirty.how;
    stat_failure(view, &now);
    memcpy(info, &now, sizeof now);
    return 0;
}
