/* advice.c: hints, pins, protection and giving storage back. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

/* The checks that the calls of this file have in common. */
static int enter_span(const mv_view *view, uint64_t off, uint64_t len, struct mv__span *span,
                      mv_error *err)
{
    int r = mv__view_enter(view, err);
    return r != 0 ? r : mv__view_span(view, off, len, span, err);
}

static int fail_span(mv_error *err, long code, struct mv__span span, const char *op)
{
    return mv__fail_at(err, (int)code, (struct mv__place){span.offset, span.length, 0}, op,
                       "%s failed: %s", op, mv_strerror((int)code));
}

static const int kernel_advice[] = {
    [MV_ADVICE_NORMAL] = MADV_NORMAL,
    [MV_ADVICE_RANDOM] = MADV_RANDOM,
    [MV_ADVICE_SEQUENTIAL] = MADV_SEQUENTIAL,
    [MV_ADVICE_WILLNEED] = MADV_WILLNEED,
    [MV_ADVICE_COLD] = MADV_COLD,
    [MV_ADVICE_PAGEOUT] = MADV_PAGEOUT,
    [MV_ADVICE_HUGE] = MADV_HUGEPAGE,
    [MV_ADVICE_NOHUGE] = MADV_NOHUGEPAGE,
};

int mv_advise(mv_view *view, uint64_t off, uint64_t len, uint32_t what, mv_error *err)
{
    struct mv__span span;
    int r = enter_span(view, off, len, &span, err);
    if (r != 0)
        return r;
    if (what == MV_ADVICE_REWRITE)
        return mv__rewrite(view, span, err);
    if (what >= sizeof kernel_advice / sizeof kernel_advice[0])
        return mv__fail(err, -EINVAL, "advise", "%" PRIu32 " is no MV_ADVICE_ value", what);
    size_t n;
    unsigned char *start = mv__view_pages(view, span, &n);
    long done = span.length ? mv__sys.madvise(start, n, kernel_advice[what]) : 0;
    if (done == -EINVAL || done == -ENOSYS)
        done = -EOPNOTSUPP;
    return done < 0 ? fail_span(err, done, span, "madvise") : 0;
}

/* Pages that are asked for together. */
struct stretch {
    unsigned char *start, *end;
};

static int fetch(const mv_view *view, struct stretch s, mv_error *err)
{
    size_t n = (size_t)(s.end - s.start);
    long done = n ? mv__sys.madvise(s.start, n, MADV_WILLNEED) : 0;
    if (done == 0 || done == -EBADF) /* memory, and no swap that it could be read from */
        return 0;
    uint64_t offset = s.start > view->data ? (uint64_t)(s.start - view->data) : 0;
    return fail_span(err, done, (struct mv__span){offset, n}, "madvise");
}

int mv_prefetch(mv_view *view, const mv_range *ranges, uint64_t n, mv_error *err)
{
    struct mv__span span;
    int r = mv__view_enter(view, err);
    if (r != 0)
        return r;
    if (n > 0 && !ranges)
        return mv__fail(err, -EINVAL, "ranges", "ranges is NULL");
    for (uint64_t i = 0; r == 0 && i < n; i++)
        r = mv__view_span(view, ranges[i].offset, ranges[i].length, &span, err);
    struct stretch have = {NULL, NULL};
    for (uint64_t i = 0; r == 0 && i < n; i++) {
        /* Once more, since the view may have been made smaller. */
        r = mv__view_span(view, ranges[i].offset, ranges[i].length, &span, err);
        if (r != 0 || span.length == 0)
            continue;
        size_t bytes;
        unsigned char *start = mv__view_pages(view, span, &bytes);
        if (start < have.start || start > have.end || !have.start) {
            r = fetch(view, have, err);
            have = (struct stretch){start, start};
        }
        if (start + bytes > have.end)
            have.end = start + bytes;
    }
    return r == 0 ? fetch(view, have, err) : r;
}

int mv_pin(mv_view *view, uint64_t off, uint64_t len, mv_error *err)
{
    struct mv__span span;
    int r = enter_span(view, off, len, &span, err);
    if (r != 0 || span.length == 0)
        return r;
    size_t n;
    unsigned char *start = mv__view_pages(view, span, &n);
    long done = mv__sys.mlock(start, n);
    /* Is it the bytes? Pinning brings them in. */
    if ((done == -ENOMEM || done == -EAGAIN) && mv__caps_populate()) {
        r = mv__cause_touch(view, span, MV_READ, err);
        if (r != 0)
            return r;
    }
    if (done == -ENOMEM)
        return mv__fail_at(err, -ENOMEM, (struct mv__place){span.offset, span.length, 0}, "mlock",
                           "%zu bytes are over RLIMIT_MEMLOCK, or there are too many mappings", n);
    return done < 0 ? fail_span(err, done, span, "mlock") : 0;
}

int mv_unpin(mv_view *view, uint64_t off, uint64_t len, mv_error *err)
{
    struct mv__span span;
    int r = enter_span(view, off, len, &span, err);
    if (r != 0 || span.length == 0)
        return r;
    size_t n;
    unsigned char *start = mv__view_pages(view, span, &n);
    long done = mv__sys.munlock(start, n);
    return done < 0 ? fail_span(err, done, span, "munlock") : 0;
}

static int kernel_protection(uint32_t what)
{
    if (what & MV_WRITE)
        return PROT_READ | PROT_WRITE;
    return (what & MV_READ) ? PROT_READ : PROT_NONE;
}

int mv_protect(mv_view *view, uint64_t off, uint64_t len, uint32_t what, mv_error *err)
{
    struct mv__span span;
    int r = mv__view_enter(view, err);
    if (r != 0)
        return r;
    if (what & ~(MV_READ | MV_WRITE))
        return mv__fail(err, -EINVAL, "protect", "what is 0, MV_READ, or MV_READ with MV_WRITE");
    if ((what & MV_WRITE) && !view->writable)
        return mv__fail(err, -EACCES, "protect", "the view is read-only");
    /* Under the lock: a detach that ran beside must not be undone. */
    pthread_mutex_lock(&view->shape_lock);
    r = mv__view_span(view, off, len, &span, err);
    if (r == 0 && span.length > 0) {
        size_t n;
        unsigned char *start = mv__view_pages(view, span, &n);
        atomic_store_explicit(&view->was_protected, true,
                              memory_order_relaxed); /* first: pwrite asks */
        long done = mv__sys.mprotect(start, n, kernel_protection(what));
        r = done < 0 ? fail_span(err, done, span, "mprotect") : 0;
    }
    pthread_mutex_unlock(&view->shape_lock);
    return r;
}

static int discard_shared(mv_view *view, struct mv__span span, mv_error *err)
{
    int fd;
    int r = mv__source_borrow(&view->source, &fd, err);
    if (r != 0)
        return r;
    long done;
    do
        done = mv__sys.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                 (off_t)(view->geometry.offset + span.offset), (off_t)span.length);
    while (done == -EINTR);
    mv__view_wrote(view, span.offset, span.length);
    mv__source_return(&view->source, fd);
    return done < 0 ? fail_span(err, done, span, "fallocate") : 0;
}

/* Puts the file's bytes, or zeros, over part of a page whose other bytes stay. */
static int restore_edge(mv_view *view, struct mv__span edge, int fd, mv_error *err)
{
    static const unsigned char zeros[256];
    unsigned char *at = view->data + edge.offset;
    long r = 0;
    for (uint64_t done = 0; r >= 0 && done < edge.length;) {
        uint64_t left = edge.length - done;
        size_t step = left < sizeof zeros ? (size_t)left : sizeof zeros;
        if (fd >= 0) {
            r = mv__sys.pread(fd, at + done, (size_t)left,
                              (off_t)(view->geometry.offset + edge.offset + done));
            if (r == 0) /* somebody has cut the file: there is nothing to restore */
                break;
            step = (size_t)r;
        } else {
            size_t copied;
            r = mv__copy_kernel(at + done, (void *)(uintptr_t)zeros, step, MV_WRITE, &copied);
        }
        done += step;
    }
    uint64_t size;
    int live = r == -EFAULT ? mv__view_live(view, &size, err) : 0;
    if (live != 0)
        return live;
    if (r == -EFAULT)
        return mv__fail_at(err, -EACCES, (struct mv__place){edge.offset, edge.length, 0}, "protect",
                           "the bytes are protected against writing");
    return r < 0 ? fail_span(err, r, edge, fd >= 0 ? "pread" : "copy") : 0;
}

/* Drops whole pages; the edges are written over, since their pages hold bytes
 * that stay. */
static int drop_private(mv_view *view, struct mv__span span, int fd, mv_error *err)
{
    uint64_t mask = view->page - 1, lead = view->geometry.lead;
    uint64_t end = span.offset + span.length;
    uint64_t first = ((lead + span.offset + mask) & ~mask) - lead;
    uint64_t last = ((lead + end) & ~mask) - lead;
    if (lead + end < view->page || first > last) /* within one page */
        return restore_edge(view, span, fd, err);
    int r = restore_edge(view, (struct mv__span){span.offset, first - span.offset}, fd, err);
    if (r == 0)
        r = restore_edge(view, (struct mv__span){last, end - last}, fd, err);
    if (r != 0 || first == last)
        return r;
    long done = mv__sys.madvise(view->data + first, (size_t)(last - first), MADV_DONTNEED);
    if (done == -EINVAL) /* pinned pages: since Linux 5.18 they can be dropped, too */
        done = mv__sys.madvise(view->data + first, (size_t)(last - first), MADV_DONTNEED_LOCKED);
    if (done == -EINVAL)
        done = -EBUSY;
    return done < 0 ? fail_span(err, done, (struct mv__span){first, last - first}, "madvise") : 0;
}

static int discard_private(mv_view *view, struct mv__span span, int fd, mv_error *err)
{
    int r = drop_private(view, span, fd, err);
    mv__view_wrote(view, span.offset, span.length);
    return r;
}

int mv_discard(mv_view *view, uint64_t off, uint64_t len, mv_error *err)
{
    struct mv__span span;
    int r = enter_span(view, off, len, &span, err);
    if (r != 0)
        return r;
    if (!view->writable)
        return mv__fail(err, -EACCES, "discard", "the view is read-only");
    if (span.length == 0)
        return 0;
    if (view->shared && !view->source.is_file)
        return mv__fail(err, -ENODEV, "discard", "the storage of a device is not given back");
    if (view->shared)
        return discard_shared(view, span, err);
    if (!mv__source_has_file(&view->source))
        return discard_private(view, span, -1, err);
    int fd;
    r = mv__source_borrow(&view->source, &fd, err);
    if (r != 0)
        return r;
    r = discard_private(view, span, fd, err);
    mv__source_return(&view->source, fd);
    return r;
}
