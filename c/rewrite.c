/*
 * rewrite.c: MV_ADVICE_REWRITE: a range that will be stored to from end to end.
 *
 * After a sync every page of a shared view is write-protected in the page
 * table, and the first store to each is a fault. A fault in a page that is not
 * there at all brings in the whole folio of the page cache. So the range is
 * dropped from the page table, which changes nothing that it shows, and
 * populated for writing: one fault a folio. Where the folios are single pages
 * dropping only costs, and they are populated as they are.
 */
#include "internal.h"

#include <errno.h>
#include <sys/mman.h>

/* What is dropped at a time: no folio that is mapped as a whole is larger, and
 * none is cut in two. */
#define DROP ((uint64_t)2 << 20)

/* Populated first of what was dropped, to find out about the folios. */
#define SAMPLE ((uint64_t)64 << 10)

/* How many windows are not dropped after one whose folios were small. */
#define KEPT 15U

/* A fault for more than a quarter of the pages: folios of less than four. */
static bool are_small(const mv_view *view, long faults, uint64_t bytes)
{
    return (uint64_t)faults * 4 > bytes / view->page;
}

/* Faults of this thread so far, or -1. */
static long faults_now(void)
{
    struct rusage usage;
    return mv__sys.getrusage(RUSAGE_THREAD, &usage) < 0 ? -1 : usage.ru_minflt + usage.ru_majflt;
}

/* Drops the pages of the span, unless something forbids it, and brings them
 * back. Looks first whether that has been worth it. */
static int drop_and_populate(mv_view *view, struct mv__span span, mv_error *err)
{
    size_t n;
    unsigned char *start = mv__view_pages(view, span, &n);
    struct mv__span sample = {span.offset, span.length < SAMPLE ? span.length : SAMPLE};
    long before = faults_now();
    /* Pinned pages and those of a device are not dropped: -EINVAL. */
    long dropped = before < 0 ? before : mv__sys.madvise(start, n, MADV_DONTNEED);
    int r = mv__cause_touch(view, sample, MV_WRITE, err);
    if (r != 0)
        return r;
    if (dropped < 0 || are_small(view, faults_now() - before, sample.length))
        atomic_store(&view->rewrites_kept, KEPT);
    struct mv__span rest = {span.offset + sample.length, span.length - sample.length};
    return rest.length ? mv__cause_touch(view, rest, MV_WRITE, err) : 0;
}

static int rewrite_window(mv_view *view, struct mv__span span, mv_error *err)
{
    uint32_t kept = atomic_load(&view->rewrites_kept);
    if (kept == 0)
        return drop_and_populate(view, span, err);
    /* Beside another thread it may go down by less: that is nothing but later. */
    atomic_store(&view->rewrites_kept, kept - 1);
    return mv__cause_touch(view, span, MV_WRITE, err);
}

/* How far the first window of the span goes: to where a folio must end. */
static uint64_t window_of(const mv_view *view, struct mv__span span)
{
    uint64_t n = DROP - ((view->geometry.offset + span.offset) & (DROP - 1));
    return n < span.length ? n : span.length;
}

/* Two words that do not belong together, beside another thread, make no more
 * than a copy that goes another way. */
static void expect_writes(mv_view *view, struct mv__span span)
{
    atomic_store_explicit(&view->rewrite_from, span.offset, memory_order_relaxed);
    atomic_store_explicit(&view->rewrite_to, span.offset + span.length, memory_order_relaxed);
}

bool mv__rewrite_takes(mv_view *view, uint64_t off, uint64_t n)
{
    uint64_t from = atomic_load_explicit(&view->rewrite_from, memory_order_relaxed);
    uint64_t to = atomic_load_explicit(&view->rewrite_to, memory_order_relaxed);
    if (off < from || off >= to || n > to - off)
        return false;
    atomic_store_explicit(&view->rewrite_from, off + n, memory_order_relaxed);
    return true;
}

int mv__rewrite(mv_view *view, struct mv__span span, mv_error *err)
{
    if (!view->shared)
        return mv__fail(err, -EINVAL, "advise",
                        "only a shared view can be prepared for a rewrite: a private one has copies");
    if (!view->writable)
        return mv__fail(err, -EINVAL, "advise", "a read-only view cannot be prepared for a rewrite");
    if (!mv__caps_populate()) /* before anything is dropped in vain */
        return mv__fail(err, -EOPNOTSUPP, "madvise",
                        "this kernel cannot populate pages: Linux 5.14 is needed");
    expect_writes(view, span);
    while (span.length > 0) {
        struct mv__span window = {span.offset, window_of(view, span)};
        int r = rewrite_window(view, window, err);
        if (r != 0)
            return r;
        span.offset += window.length;
        span.length -= window.length;
    }
    return 0;
}
