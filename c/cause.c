/* cause.c: from an access that cannot be made to its reason. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

/* Pages are touched in steps, so that a signal can end a long prefault. */
#define POPULATE_STEP ((size_t)32 << 20)

/* How often a fault is looked into whose file and mapping contradict each other. */
#define ATTEMPTS 8

static long populate(unsigned char *start, size_t n, uint32_t access)
{
    long r;
    do
        r = mv__sys.madvise(start, n, (access & MV_WRITE) ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
    while (r == -EINTR || r == -EAGAIN);
    return r;
}

/* Between good and bad lies the first page that cannot be touched: halves the
 * distance until it is found. Touching a page twice costs little. */
static size_t first_bad(unsigned char *start, size_t n, size_t page, uint32_t access)
{
    size_t good = 0, bad = n / page;
    while (bad - good > 1) {
        size_t middle = good + (bad - good) / 2;
        if (populate(start + good * page, (middle - good) * page, access) < 0)
            bad = middle;
        else
            good = middle;
    }
    return good * page;
}

/* Touches the pages of the span. On failure *bad is its first byte on a page
 * that cannot be touched. */
static int populate_span(const mv_view *view, struct mv__span span, uint32_t access, uint64_t *bad)
{
    size_t n;
    unsigned char *start = mv__view_pages(view, span, &n);
    for (size_t done = 0; done < n;) {
        size_t step = n - done < POPULATE_STEP ? n - done : POPULATE_STEP;
        long r = populate(start + done, step, access);
        if (r < 0) {
            unsigned char *at = start + done + first_bad(start + done, step, view->page, access);
            *bad = at < view->data + span.offset ? span.offset : (uint64_t)(at - view->data);
            return (int)r;
        }
        done += step;
    }
    return 0;
}

static struct mv__place place_of(const struct mv__fault *f)
{
    return (struct mv__place){f->offset, f->n, f->done};
}

static int is_protected(const struct mv__fault *f, mv_error *err)
{
    return mv__fail_at(err, -EACCES, place_of(f), "protect",
                       "the bytes are protected against this access");
}

/* Where pages cannot be touched without a fault, at least their protection can
 * be known. */
static int touch_blindly(const mv_view *view, const struct mv__fault *f, mv_error *err)
{
    uint32_t access;
    if (atomic_load_explicit(&view->was_protected, memory_order_relaxed) &&
        mv__sys_mapped_access(view->data + f->offset, &access) == 0 && !(access & f->access))
        return is_protected(f, err);
    return -EFAULT;
}

/* 0: the page can be touched. -EFAULT: it cannot, for a reason to be found. */
static int touch(const mv_view *view, const struct mv__fault *f, mv_error *err)
{
    if (!mv__caps_populate())
        return touch_blindly(view, f, err);
    uint64_t bad;
    int r = populate_span(view, (struct mv__span){f->offset, 1}, f->access, &bad);
    switch (r) {
    case 0:
    case -EFAULT:
        return r;
    case -EINVAL:
        if (!view->source.is_file && view->source.fd >= 0)
            return mv__fail_at(err, -EOPNOTSUPP, place_of(f), "madvise",
                               "this device's memory can be accessed only through mv_data");
        return is_protected(f, err);
    case -EHWPOISON:
        return mv__fail_at(err, -EIO, place_of(f), "madvise", "the memory of this page is broken");
    default:
        return mv__fail_at(err, r, place_of(f), "madvise", "the page cannot be touched: %s",
                           mv_strerror(r));
    }
}

/* How many of the fault's bytes lie on its first page and in the file. */
static size_t bytes_in_reach(const mv_view *view, const struct mv__fault *f, uint64_t length)
{
    uint64_t in_page = view->page - ((view->geometry.lead + f->offset) & (view->page - 1));
    uint64_t in_file = length - (view->geometry.offset + f->offset);
    uint64_t n = f->n < in_page ? f->n : in_page;
    return (size_t)(n < in_file ? n : in_file);
}

static int refused(const struct mv__fault *f, int code, const char *op, mv_error *err)
{
    return mv__fail_at(err, code, place_of(f), op, "the bytes cannot be %s: %s",
                       f->access == MV_WRITE ? "written" : "read", mv_strerror(code));
}

/* A full tmpfs has no memory for a hole, which reads as zeros all the same. */
static bool is_in_memory(int fd)
{
    enum mv__fs kind;
    uint64_t unused;
    return mv__sys_filesystem(fd, &kind, &unused) == 0 && kind == MV__FS_MEMORY;
}

/* Reading the file directly gives the bytes, or the device's error. */
static int64_t resolve_read(const mv_view *view, const struct mv__fault *f, int fd, uint64_t length,
                            mv_error *err)
{
    char byte;
    size_t n = f->buf ? bytes_in_reach(view, f, length) : 1;
    long r = mv__sys.pread(fd, f->buf ? f->buf : &byte, n, (off_t)(view->geometry.offset + f->offset));
    if (r < 0)
        return refused(f, (int)r, "pread", err);
    if (r == 0)
        return refused(f, -MV_ETRUNCATED, "pread", err);
    if (is_in_memory(fd)) /* the file can be read but the page cannot */
        return f->buf ? r : refused(f, -ENOSPC, "madvise", err);
    if (!mv__caps_populate()) /* nobody knows if the page still cannot */
        return f->buf ? r : 0;
    /* Else it was for a moment, or this is another file than is mapped: under
     * overlayfs, one that was copied up since. */
    int now = touch(view, f, err);
    return now == -EFAULT ? refused(f, -ESTALE, "madvise", err) : now;
}

/* Blocks are there, and yet there can be no store: the page cannot be read, or
 * a copy of shared blocks has no room. */
static int why_no_store(const struct mv__fault *f, int fd, off_t at, mv_error *err)
{
    char byte;
    long r = mv__sys.pread(fd, &byte, 1, at);
    if (r < 0)
        return refused(f, (int)r, "pread", err);
    if (r == 0)
        return refused(f, -MV_ETRUNCATED, "pread", err);
    return mv__caps_populate() ? refused(f, -ENOSPC, "madvise", err) : 0;
}

/* Gives the fault's page its blocks, as far as the file goes: tmpfs judges
 * RLIMIT_FSIZE by the end of the range, and raises SIGXFSZ. */
static long give_blocks(const mv_view *view, const struct mv__fault *f, int fd, uint64_t length)
{
    uint64_t at = view->geometry.offset + f->offset;
    uint64_t page = at & ~(uint64_t)(view->page - 1);
    uint64_t end = page + view->page < length ? page + view->page : length;
    if (mv__resize_check_limit(end, NULL) < 0)
        return 0;
    long r = mv__sys.fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)page, (off_t)(end - page));
    return r == -EOPNOTSUPP ? 0 : r;
}

/* Whether the page cannot be touched though the file is long enough, before
 * and after. A file that was cut in between gives the same fault, and writing
 * to it directly would make it long again: mv__through_pwrite looks once more
 * just before, but this look makes the race a rare one. 0: ask again. */
static int is_refused_whole(const mv_view *view, const struct mv__fault *f, int fd, uint64_t end)
{
    uint64_t before = 0, after = 0;
    int r = mv__source_length(&view->source, fd, &before, NULL);
    int now = touch(view, f, NULL);
    if (r == 0)
        r = mv__source_length(&view->source, fd, &after, NULL);
    if (r < 0)
        return r;
    return now == -EFAULT && before >= end && after >= end;
}

/* Gives the page its blocks and tries again; else writing the caller's own
 * bytes directly works, or tells why not. Old bytes are never written back. */
static int64_t resolve_shared_write(mv_view *view, const struct mv__fault *f, int fd, uint64_t length,
                                    mv_error *err)
{
    uint64_t at = view->geometry.offset + f->offset;
    long r = give_blocks(view, f, fd, length);
    if (r < 0)
        return refused(f, (int)r, "fallocate", err);
    int now = touch(view, f, err);
    if (now != -EFAULT)
        return now;
    if (!f->buf)
        return why_no_store(f, fd, (off_t)at, err);
    size_t n = bytes_in_reach(view, f, length);
    if (mv__resize_check_limit(at + n, NULL) < 0) /* it would raise SIGXFSZ */
        return refused(f, -EFBIG, "getrlimit", err);
    int whole = is_refused_whole(view, f, fd, at + n);
    if (whole <= 0)
        return whole == 0 ? 0 : refused(f, whole, "fstat", err);
    int64_t written = mv__through_pwrite(view, fd, f->buf, n, f->offset);
    return written < 0 ? refused(f, (int)written, "pwrite", err) : written;
}

static int64_t resolve_private_write(const mv_view *view, const struct mv__fault *f, int fd,
                                     mv_error *err)
{
    char byte;
    long r = mv__sys.pread(fd, &byte, 1, (off_t)(view->geometry.offset + f->offset));
    if (r < 0)
        return refused(f, (int)r, "pread", err);
    if (r == 0)
        return refused(f, -MV_ETRUNCATED, "pread", err);
    int now = touch(view, f, err); /* it may have been cut for a moment */
    if (now != -EFAULT)
        return now;
    if (!mv__caps_populate())
        return 0;
    return refused(f, is_in_memory(fd) ? -ENOSPC : -ENOMEM, "madvise", err);
}

static int is_cut(const struct mv__fault *f, uint64_t length, uint64_t at, mv_error *err)
{
    return mv__fail_at(
        err, -MV_ETRUNCATED, place_of(f), "fstat",
        "the file ends at byte %" PRIu64 ", before byte %" PRIu64 ": somebody has cut it", length, at);
}

static int64_t resolve_in_file(mv_view *view, const struct mv__fault *f, int fd, mv_error *err)
{
    uint64_t length;
    int r = mv__source_length(&view->source, fd, &length, NULL);
    if (r < 0)
        return refused(f, r, "fstat", err);
    uint64_t at = view->geometry.offset + f->offset;
    if (at >= length)
        return is_cut(f, length, at, err);
    if (f->access != MV_WRITE)
        return resolve_read(view, f, fd, length, err);
    if (view->shared)
        return resolve_shared_write(view, f, fd, length, err);
    return resolve_private_write(view, f, fd, err);
}

/* The file cannot be opened: its length can be known all the same. */
static int64_t resolve_unopened(mv_view *view, const struct mv__fault *f, const mv_error *why,
                                mv_error *err)
{
    uint64_t length, at = view->geometry.offset + f->offset;
    if (view->source.is_file && mv__source_look(&view->source, &length, NULL) == 0 && at >= length)
        return is_cut(f, length, at, err);
    bool passing = why->code == -EMFILE || why->code == -ENFILE || why->code == -ENOMEM;
    return mv__fail_at(err, passing ? why->code : -EIO, place_of(f), why->op,
                       "the cause cannot be found out: %s", why->text);
}

static int64_t resolve_fault(mv_view *view, const struct mv__fault *f, mv_error *err)
{
    int r = touch(view, f, err);
    if (r != -EFAULT)
        return r;
    int fd;
    mv_error why = MV_ERROR_INIT;
    if (!mv__source_has_file(&view->source)) /* private memory: nothing else can go wrong */
        return refused(f, -ENOMEM, "madvise", err);
    r = mv__source_borrow(&view->source, &fd, &why);
    if (r != 0)
        return resolve_unopened(view, f, &why, err);
    int64_t resolved = resolve_in_file(view, f, fd, err);
    mv__source_return(&view->source, fd);
    return resolved;
}

/* What file and mapping contradict each other in, or what is concluded from
 * that alone, is asked again: the file may be cut and grown all the time. */
static bool is_inconclusive(const mv_view *view, const struct mv__fault *f, int64_t resolved)
{
    return resolved == -ESTALE || resolved == -ENOMEM || resolved == -EINTR ||
           (resolved == -ENOSPC && (!f->buf || !view->shared));
}

int64_t mv__cause_resolve(mv_view *view, const struct mv__fault *f, mv_error *err)
{
    int64_t resolved;
    int asked = 0;
    do
        resolved = resolve_fault(view, f, err);
    while (is_inconclusive(view, f, resolved) && ++asked < ATTEMPTS);
    uint64_t size;
    int live = mv__view_live(view, &size, err); /* a detach explains everything */
    return live < 0 ? live : resolved;
}

/* Where the file ends now, as an offset in the view; the view's end if the
 * file goes further or has no length. */
static int find_end(mv_view *view, uint64_t *end, mv_error *err)
{
    uint64_t length;
    if (!view->source.is_file)
        return 0;
    int r = mv__source_look(&view->source, &length, err);
    if (r != 0)
        return r;
    uint64_t shown = length > view->geometry.offset ? length - view->geometry.offset : 0;
    if (shown < *end)
        *end = shown;
    return 0;
}

static int touch_span(mv_view *view, struct mv__span span, uint32_t access, mv_error *err)
{
    uint64_t start = span.offset;
    if ((access & MV_WRITE) && !view->writable)
        return mv__fail_at(err, -EACCES, (struct mv__place){span.offset, span.length, 0}, "probe",
                           "the view is read-only");
    if (!mv__caps_populate())
        return mv__fail(err, -EOPNOTSUPP, "madvise",
                        "this kernel cannot populate pages: Linux 5.14 is needed");
    access = (access & MV_WRITE) ? MV_WRITE : MV_READ;
    while (span.length > 0) {
        uint64_t bad;
        if (populate_span(view, span, access, &bad) == 0)
            return 0;
        struct mv__fault f = {.offset = bad, .done = bad - start, .access = access};
        int64_t r = mv__cause_resolve(view, &f, err);
        if (r < 0)
            return (int)r;
        /* It can be touched by now: go on behind its page. */
        uint64_t next = bad + (view->page - ((view->geometry.lead + bad) & (view->page - 1)));
        uint64_t end = span.offset + span.length;
        span.length = next < end ? end - next : 0;
        span.offset = next;
    }
    return 0;
}

int mv__cause_touch(mv_view *view, struct mv__span span, uint32_t access, mv_error *err)
{
    int r = touch_span(view, span, access, err);
    if (access & MV_WRITE)
        mv__view_wrote(view, span.offset,
                       span.length); /* holes were given blocks, and pages are dirty */
    return r;
}

static int check_access(uint32_t access, mv_error *err)
{
    if (access == 0 || (access & ~(MV_READ | MV_WRITE)))
        return mv__fail(err, -EINVAL, "access", "access is MV_READ, MV_WRITE or both");
    return 0;
}

int mv_probe(mv_view *view, uint64_t off, uint64_t len, uint32_t access, mv_error *err)
{
    struct mv__span span = {0, 0};
    int r = mv__view_enter(view, err);
    if (r == 0)
        r = check_access(access, err);
    if (r == 0)
        r = mv__view_span(view, off, len, &span, err);
    if (r != 0 || span.length == 0)
        return r;
    uint64_t end = span.offset + span.length, file_end = end;
    r = find_end(view, &file_end, err);
    if (r != 0)
        return r;
    if (file_end < span.offset)
        file_end = span.offset;
    span.length = file_end - span.offset;
    r = mv__cause_touch(view, span, access, err);
    if (r == 0 && file_end < end)
        r = mv__fail_at(
            err, -MV_ETRUNCATED, (struct mv__place){file_end, end - file_end, file_end - off}, "fstat",
            "somebody has cut the file: %" PRIu64 " bytes of the range are gone", end - file_end);
    return r;
}

int mv_prefault(mv_view *view, uint64_t off, uint64_t len, uint32_t what, mv_error *err)
{
    struct mv__span span = {0, 0};
    int r = mv__view_enter(view, err);
    if (r == 0)
        r = check_access(what, err);
    if (r == 0)
        r = mv__view_span(view, off, len, &span, err);
    return r != 0 || span.length == 0 ? r : mv__cause_touch(view, span, what, err);
}
