/* dirty.c: which pages were written: what the kernel notes of them, or what the
 * library has marked itself. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

/*
 * The marks have a bit for each page of the mapping. In a view that the kernel
 * watches they hold what it has told so far, and what it does not see: bytes
 * that went by a descriptor, or were taken away with their storage. The pages
 * that a sync is writing, or could not write, are held: a second set of bits, so
 * that what is marked meanwhile stays marked when the sync has succeeded.
 *
 * A mark is made after the write, and unlike the mark of a clean view always,
 * by an atomic or: who takes it away in the same moment either sees the bytes,
 * or the mark comes after and stands.
 */
enum { WORD = 64, CHUNK = 256 * WORD /* pages that are looked at in one go */ };

struct pages {
    uint64_t first, end; /* numbers of pages of the mapping */
};

static struct pages pages_of(const mv_view *view, uint64_t off, uint64_t n)
{
    uint64_t first = view->geometry.lead + off;
    if (n == 0)
        return (struct pages){0, 0};
    return (struct pages){first / view->page, (first + n - 1) / view->page + 1};
}

/* The bits of the word at page that belong to pages before end, and how many
 * pages that are. */
static uint64_t bits_at(uint64_t page, uint64_t end, uint64_t *count)
{
    uint64_t left = WORD - page % WORD;
    *count = left < end - page ? left : end - page;
    return (*count == WORD ? UINT64_MAX : ((uint64_t)1 << *count) - 1) << page % WORD;
}

static void mark_pages(mv_view *view, struct pages pages)
{
    uint64_t count;
    for (uint64_t page = pages.first; page < pages.end; page += count) {
        uint64_t bits = bits_at(page, pages.end, &count);
        atomic_fetch_or(&view->dirty.marks[page / WORD], bits);
    }
}

void mv__dirty_mark(mv_view *view, uint64_t off, uint64_t n)
{
    if (view->dirty.marks)
        mark_pages(view, pages_of(view, off, n));
}

/* ---- from the kernel ---- */

static int open_pagemap(mv_error *err)
{
    long fd;
    do
        fd = mv__sys.open("/proc/thread-self/pagemap", O_RDONLY | O_CLOEXEC, 0);
    while (fd == -EINTR);
    return fd < 0 ? mv__fail_call(err, (int)fd, "open") : (int)fd;
}

/* Marks what the kernel has noted of the pages. With arm it begins to note anew,
 * page by page at the moment of the look. A look that fails may have done so for
 * some pages without telling: then all may be dirty. */
static int gather(mv_view *view, int fd, struct pages pages, bool arm, mv_error *err)
{
    struct mv__sys_span found[64];
    uintptr_t base = (uintptr_t)view->base, at = base + pages.first * view->page;
    uintptr_t end = base + pages.end * view->page;
    while (at < end) {
        uintptr_t reached = at;
        long r = mv__sys_written(fd, at, end, arm, found, sizeof found / sizeof *found, &reached);
        if (r >= 0 && reached <= at)
            r = -EIO;
        if (r < 0 && arm)
            mark_pages(view, (struct pages){(at - base) / view->page, pages.end});
        if (r < 0)
            return mv__fail_call(err, (int)r, "ioctl");
        for (long i = 0; i < r; i++)
            mark_pages(view, (struct pages){(found[i].start - base) / view->page,
                                            (found[i].end - base) / view->page});
        at = reached;
    }
    return 0;
}

#define PAGEMAP_PRESENT ((uint64_t)1 << 63)
#define PAGEMAP_SWAPPED ((uint64_t)1 << 62)
#define PAGEMAP_SHARED ((uint64_t)1 << 61) /* a page of a file, or of shared memory */

/* Sets the bit of each page that is this process's own copy. */
static int find_private(const mv_view *view, int fd, struct pages pages, uint64_t *bits, mv_error *err)
{
    uint64_t entries[512], first = (uintptr_t)view->base / view->page;
    for (uint64_t page = pages.first; page < pages.end;) {
        uint64_t n = pages.end - page < 512 ? pages.end - page : 512;
        long r =
            mv__sys.pread(fd, entries, n * sizeof *entries, (off_t)((first + page) * sizeof *entries));
        if (r == -EINTR)
            continue;
        if (r < (long)sizeof *entries)
            return mv__fail_call(err, r < 0 ? (int)r : -EIO, "pread");
        n = (uint64_t)r / sizeof *entries;
        for (uint64_t i = 0; i < n; i++)
            if ((entries[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) && !(entries[i] & PAGEMAP_SHARED))
                bits[(page + i - pages.first) / WORD] |= (uint64_t)1 << (page + i - pages.first) % WORD;
        page += n;
    }
    return 0;
}

/* ---- the answer ---- */

/* A report is an answer in the making. */
struct report {
    mv_range *ranges;
    uint64_t n, count;
    uint64_t size; /* of the view */
    uint64_t end;  /* page behind the last range */
};

/* Adds a page; false: there is no room for another range. */
static bool report_page(struct report *report, const mv_view *view, uint64_t page)
{
    uint64_t lead = view->geometry.lead;
    uint64_t start = page * view->page > lead ? page * view->page - lead : 0;
    uint64_t end = (page + 1) * view->page - lead;
    if (end > report->size)
        end = report->size;
    if (report->count == 0 || page != report->end) {
        if (report->count == report->n)
            return false;
        report->ranges[report->count++].offset = start;
    }
    mv_range *last = &report->ranges[report->count - 1];
    last->length = end - last->offset;
    report->end = page + 1;
    return true;
}

/* What is dirty among the pages, which begin with a word: a bit for each. */
static int find_dirty(mv_view *view, int fd, struct pages pages, bool reset, uint64_t *bits,
                      mv_error *err)
{
    const struct mv__dirty *d = &view->dirty;
    for (size_t i = 0; i < CHUNK / WORD; i++)
        bits[i] = 0;
    if (d->how == MV_TRACK_PRIVATE)
        return find_private(view, fd, pages, bits, err);
    int r = d->how == MV_TRACK_KERNEL ? gather(view, fd, pages, reset, err) : 0;
    uint64_t count;
    for (uint64_t page = pages.first; r == 0 && page < pages.end; page += count) {
        uint64_t mask = bits_at(page, pages.end, &count), word = page / WORD;
        bits[word - pages.first / WORD] = (atomic_load(&d->marks[word]) | d->held[word]) & mask;
    }
    return r;
}

static void forget_pages(mv_view *view, uint64_t word, uint64_t bits)
{
    atomic_fetch_and(&view->dirty.marks[word], ~bits);
    view->dirty.held[word] &= ~bits;
}

/* Reports the pages of a word, and with reset takes the marks of those away
 * that are in the report. What is marked between is in the report as well. */
static bool report_word(mv_view *view, struct report *report, uint64_t word, uint64_t bits, bool reset)
{
    uint64_t reported = 0;
    bool room = true;
    for (uint64_t i = 0; i < WORD && bits >> i && room; i++)
        if (bits >> i & 1) {
            room = report_page(report, view, word * WORD + i);
            if (room)
                reported |= (uint64_t)1 << i;
        }
    if (reset && reported)
        forget_pages(view, word, reported);
    return room;
}

/* The caller holds the lock. */
static int collect(mv_view *view, int fd, struct pages pages, bool reset, struct report *report,
                   mv_error *err)
{
    uint64_t bits[CHUNK / WORD];
    for (uint64_t at = pages.first; at < pages.end;) {
        uint64_t base = at - at % WORD; /* a chunk begins with a word */
        struct pages part = {at, pages.end < base + CHUNK ? pages.end : base + CHUNK};
        struct pages whole = {view->dirty.how == MV_TRACK_PRIVATE ? base : at, part.end};
        int r = find_dirty(view, fd, whole, reset, bits, err);
        if (r != 0)
            return r;
        if (at > base)
            bits[0] &= UINT64_MAX << at % WORD;
        for (uint64_t word = base / WORD; word * WORD < part.end; word++) {
            uint64_t found = bits[word - base / WORD];
            if (found && !report_word(view, report, word, found, reset))
                return 0;
        }
        at = part.end;
    }
    return 0;
}

static int64_t dirty(mv_view *view, struct mv__span span, struct report *report, bool reset,
                     mv_error *err)
{
    struct mv__dirty *d = &view->dirty;
    int fd = d->how == MV_TRACK_MARKS ? -1 : open_pagemap(err);
    if (fd < 0 && d->how != MV_TRACK_MARKS)
        return fd;
    pthread_mutex_lock(&d->lock);
    int r = collect(view, fd, pages_of(view, span.offset, span.length), reset, report, err);
    if (r != 0 && reset) /* nobody is told: it stays dirty */
        for (uint64_t i = 0; i < report->count; i++)
            mv__dirty_mark(view, report->ranges[i].offset, report->ranges[i].length);
    pthread_mutex_unlock(&d->lock);
    if (fd >= 0)
        mv__sys.close(fd);
    uint64_t size;
    int live = mv__view_live(view, &size, err); /* a detach explains everything */
    if (live != 0)
        return live;
    return r != 0 ? r : (int64_t)report->count;
}

int64_t mv_dirty(mv_view *view, uint64_t off, uint64_t len, mv_range *ranges, uint64_t n,
                 uint32_t flags, mv_error *err)
{
    struct mv__span span;
    int r = mv__view_enter(view, err);
    if (r != 0)
        return r;
    if (flags & ~MV_DIRTY_RESET)
        return mv__fail(err, -EINVAL, "dirty", "flags is 0 or MV_DIRTY_RESET");
    if (view->dirty.how == MV_TRACK_NONE)
        return mv__fail(err, -EINVAL, "dirty", "the view was opened without MV_OPEN_TRACK");
    if (!ranges && n > 0)
        return mv__fail(err, -EINVAL, "dirty", "ranges is NULL");
    r = mv__view_span(view, off, len, &span, err);
    if (r != 0)
        return r;
    if (flags && view->dirty.how == MV_TRACK_PRIVATE)
        return mv__fail(
            err, -EOPNOTSUPP, "dirty",
            "private pages that are found by a scan cannot be reset; mv_discard drops them");
    if (span.length == 0 || n == 0)
        return 0;
    struct report report = {.ranges = ranges, .n = n, .size = mv_size(view)};
    return dirty(view, span, &report, flags & MV_DIRTY_RESET, err);
}

/* ---- beside a sync ---- */

void mv__dirty_begin(mv_view *view, struct mv__span span)
{
    struct mv__dirty *d = &view->dirty;
    struct pages pages = pages_of(view, span.offset, span.length);
    if (!d->marks)
        return;
    int fd = d->how == MV_TRACK_KERNEL ? open_pagemap(NULL) : -1;
    pthread_mutex_lock(&d->lock);
    bool known = d->how == MV_TRACK_MARKS || (fd >= 0 && gather(view, fd, pages, true, NULL) == 0);
    uint64_t count;
    for (uint64_t page = pages.first; known && page < pages.end; page += count) {
        uint64_t mask = bits_at(page, pages.end, &count);
        d->held[page / WORD] |= atomic_fetch_and(&d->marks[page / WORD], ~mask) & mask;
    }
    pthread_mutex_unlock(&d->lock);
    if (fd >= 0)
        mv__sys.close(fd);
}

void mv__dirty_end(mv_view *view, struct mv__span span)
{
    struct mv__dirty *d = &view->dirty;
    struct pages pages = pages_of(view, span.offset, span.length);
    if (!d->marks)
        return;
    pthread_mutex_lock(&d->lock);
    uint64_t count;
    for (uint64_t page = pages.first; page < pages.end; page += count)
        d->held[page / WORD] &= ~bits_at(page, pages.end, &count);
    pthread_mutex_unlock(&d->lock);
}

/* ---- from the open to the end ---- */

/* Only what the view shows is armed: that takes eight bytes of page table for
 * each page, which a large reservation should not cost. */
int mv__dirty_grow(mv_view *view, uint64_t from, uint64_t to)
{
    struct pages old = pages_of(view, 0, from), pages = pages_of(view, 0, to);
    if (view->dirty.watch < 0 || pages.end <= old.end)
        return 0;
    return mv__sys_watch_arm(view->dirty.watch, view->base + old.end * view->page,
                             (size_t)((pages.end - old.end) * view->page));
}

/* Is it for lack of something, rather than that there is no such thing here? */
static bool is_shortage(int code)
{
    return code == -EMFILE || code == -ENFILE || code == -ENOMEM;
}

/* Lets the kernel watch the view, and asks it once whether it can tell. */
static int watch(mv_view *view, mv_error *err)
{
    struct mv__sys_span found;
    uintptr_t base = (uintptr_t)view->base, reached;
    int fd = mv__sys_watch(view->base, view->geometry.mapped);
    if (fd < 0)
        return mv__fail_call(err, fd, "userfaultfd");
    view->dirty.watch = fd;
    int r = mv__dirty_grow(view, 0, view->geometry.size);
    if (r < 0)
        return mv__fail_call(err, r, "ioctl");
    int map = open_pagemap(err);
    if (map < 0)
        return map;
    r = (int)mv__sys_written(map, base, base + view->page, true, &found, 1, &reached);
    mv__sys.close(map);
    return r < 0 ? mv__fail_call(err, r, "ioctl") : 0;
}

/* The way that is left without the kernel's watch. */
static int choose_other(mv_view *view, mv_error *err)
{
    view->dirty.how = MV_TRACK_MARKS;
    if (view->shared)
        return 0;
    mv_error why = MV_ERROR_INIT;
    int map = open_pagemap(&why);
    if (is_shortage(map))
        return mv__fail(err, map, why.op, "%s", why.text);
    if (map < 0)
        return 0;
    mv__sys.close(map);
    view->dirty.how = MV_TRACK_PRIVATE;
    return 0;
}

static int make_marks(mv_view *view, mv_error *err)
{
    struct mv__dirty *d = &view->dirty;
    size_t words = view->geometry.mapped / view->page / WORD + 1;
    d->bytes = 2 * words * sizeof(uint64_t);
    long memory = mv__sys.mmap(NULL, d->bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mv__sys_failed(memory))
        return mv__fail_call(err, (int)memory, "mmap");
    d->marks = (_Atomic uint64_t *)memory;
    d->held = (uint64_t *)memory + words;
    return 0;
}

int mv__dirty_open(mv_view *view, mv_error *err)
{
    struct mv__dirty *d = &view->dirty;
    if (!(view->flags & MV_OPEN_TRACK))
        return 0;
    mv_error why = MV_ERROR_INIT;
    int r = watch(view, &why);
    if (is_shortage(r))
        return mv__fail(err, r, why.op, "%s", why.text);
    d->how = MV_TRACK_KERNEL;
    if (r != 0) {
        mv__dirty_detach(view);
        r = choose_other(view, err);
    }
    if (r == 0 && d->how != MV_TRACK_PRIVATE)
        r = make_marks(view, err);
    return r;
}

void mv__dirty_detach(mv_view *view)
{
    if (view->dirty.watch >= 0)
        mv__sys.close(view->dirty.watch);
    view->dirty.watch = -1;
}

void mv__dirty_free(mv_view *view)
{
    mv__dirty_detach(view);
    if (view->dirty.marks)
        mv__sys.munmap((void *)view->dirty.marks, view->dirty.bytes);
}
