/* sync.c: from memory to the medium, and the truth about it. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

int mv__sync_held(const mv_view *view, mv_error *err)
{
    if (view->failure.code == 0)
        return 0;
    return mv__fail_at(
        err, view->failure.code, (struct mv__place){view->failure.offset, view->failure.length, 0},
        view->failure.op, "an earlier sync failed, what it should have written may be lost: %s",
        mv_strerror(view->failure.code));
}

int mv__sync_failure(mv_view *view, mv_error *err)
{
    pthread_mutex_lock(&view->failure_lock);
    int r = mv__sync_held(view, err);
    pthread_mutex_unlock(&view->failure_lock);
    return r;
}

/* Keeps the first failure for good and reports it. */
static int hold_failure(mv_view *view, struct mv__span span, int code, const char *op, mv_error *err)
{
    pthread_mutex_lock(&view->failure_lock);
    if (view->failure.code == 0) {
        view->failure.code = code;
        view->failure.offset = span.offset;
        view->failure.length = span.length;
        strncpy(view->failure.op, op, sizeof view->failure.op - 1);
    }
    pthread_mutex_unlock(&view->failure_lock);
    return mv__fail_at(err, code, (struct mv__place){span.offset, span.length, 0}, op, "%s failed: %s",
                       op, mv_strerror(code));
}

/* Is this the answer of a call that does not exist for such a file, rather
 * than of its writing? */
static bool is_unsupported(long code)
{
    return code == -EINVAL || code == -ESPIPE || code == -ENOSYS || code == -EOPNOTSUPP;
}

static int unsupported(struct mv__span span, long code, const char *op, mv_error *err)
{
    return mv__fail_at(err, -EOPNOTSUPP, (struct mv__place){span.offset, span.length, 0}, op,
                       "this kind of file, or the kernel, cannot sync: %s", mv_strerror((int)code));
}

/* One call of the kernel. It is never made again, not even after EINTR: the
 * kernel reports what write-back met once, and would report success then. */
static long sync_once(mv_view *view, struct mv__span span, uint32_t level, int fd, const char **op)
{
    size_t n;
    unsigned char *start = mv__view_pages(view, span, &n);
    if (level == MV_SYNC_FULL) {
        *op = "fsync";
        return mv__sys.fsync(fd);
    }
    if (!view->writable) { /* msync passes such a mapping over */
        *op = "fdatasync";
        return mv__sys.fdatasync(fd);
    }
    *op = "msync";
    return mv__sys.msync(start, n, MS_SYNC);
}

/* The name of a created file is in its directory, which fsync of the file does
 * not promise to write. Where the directory cannot be opened, or not be
 * synced by itself, the whole file system is. The caller holds sync_lock. */
static int sync_entry(mv_view *view, struct mv__span span, int fd, mv_error *err)
{
    struct mv__source *source = &view->source;
    if (!source->entry_owed)
        return 0;
    const char *op = "fsync";
    long r = source->directory >= 0 ? mv__sys.fsync(source->directory) : -EINVAL;
    if (is_unsupported(r)) {
        op = "syncfs";
        r = mv__sys.syncfs(fd);
    }
    if (r < 0)
        return hold_failure(view, span, (int)r, op, err);
    source->entry_owed = false;
    int directory = source->directory;
    source->directory = -1; /* first: a child of fork would close it, too */
    if (directory >= 0)
        mv__sys.close(directory);
    return 0;
}

/* Stores the bytes of the span that lie past the file's end. */
static int find_lost(const mv_view *view, struct mv__span span, int fd, struct mv__span *lost,
                     uint64_t *length, mv_error *err)
{
    uint64_t size;
    int r = mv__source_length(&view->source, fd, length, err);
    if (r == 0)
        r = mv__view_live(view, &size, err); /* after the length: a shrink publishes first */
    if (r != 0)
        return r;
    uint64_t offset = view->geometry.offset;
    uint64_t end = span.offset + span.length < size ? span.offset + span.length : size;
    uint64_t first = *length > offset ? *length - offset : 0;
    first = first > span.offset ? first : span.offset;
    *lost = (struct mv__span){first, first < end ? end - first : 0};
    return 0;
}

/* Bytes that lie past the file's end were lost, whatever the kernel said. What
 * looks so may be a growth between the two looks: without one it is so. */
static int check_length(mv_view *view, struct mv__span span, int fd, mv_error *err)
{
    struct mv__span lost = {0, 0};
    uint64_t length = 0;
    if (!view->source.is_file)
        return 0;
    int r = find_lost(view, span, fd, &lost, &length, err);
    if (r == 0 && lost.length > 0) {
        pthread_mutex_lock(&view->shape_lock);
        r = find_lost(view, span, fd, &lost, &length, err);
        pthread_mutex_unlock(&view->shape_lock);
    }
    if (r != 0 || lost.length == 0)
        return r;
    return mv__fail_at(
        err, -MV_ETRUNCATED, (struct mv__place){lost.offset, lost.length, lost.offset - span.offset},
        "fstat", "somebody has cut the file to %" PRIu64 " bytes; %" PRIu64 " of the range are lost",
        length, lost.length);
}

/* Waits for the medium. The caller holds sync_lock, since the kernel tells a
 * failure only once: of two syncs at the same time, one would be told success
 * for bytes that are lost. */
static int sync_waiting(mv_view *view, struct mv__span span, uint32_t level, int fd, mv_error *err)
{
    const char *op;
    int r = mv__sync_failure(view, err);
    if (r != 0)
        return r;
    long done = sync_once(view, span, level, fd, &op);
    if (is_unsupported(done) && !view->source.is_file)
        return unsupported(span, done, op, err);
    if (done < 0)
        return hold_failure(view, span, (int)done, op, err);
    /* Beside a detach, msync found no pages and said nothing about the file. */
    uint64_t size;
    r = mv__view_live(view, &size, err);
    if (r == 0 && level == MV_SYNC_FULL)
        r = sync_entry(view, span, fd, err);
    return r != 0 ? r : check_length(view, span, fd, err);
}

/* Begins to write. (msync with MS_ASYNC has done nothing since Linux 2.6.19.) */
static int sync_starting(mv_view *view, struct mv__span span, int fd, mv_error *err)
{
    const char *op = "sync_file_range";
    long r = mv__sys.sync_file_range(fd, (off_t)(view->geometry.offset + span.offset),
                                     (off_t)span.length, SYNC_FILE_RANGE_WRITE);
    if (is_unsupported(r))
        return unsupported(span, r, op, err);
    return r < 0 ? hold_failure(view, span, (int)r, op, err) : check_length(view, span, fd, err);
}

static int sync_span(mv_view *view, struct mv__span span, uint32_t level, mv_error *err)
{
    int fd;
    int r = mv__source_borrow(&view->source, &fd, err);
    if (r != 0)
        return r;
    if (level == MV_SYNC_START) {
        r = sync_starting(view, span, fd, err);
    } else {
        pthread_mutex_lock(&view->sync_lock);
        r = sync_waiting(view, span, level, fd, err);
        pthread_mutex_unlock(&view->sync_lock);
    }
    mv__source_return(&view->source, fd);
    return r;
}

int mv_sync(mv_view *view, uint64_t off, uint64_t len, uint32_t level, mv_error *err)
{
    struct mv__span span;
    int r = mv__view_enter(view, err);
    if (r != 0)
        return r;
    if (level < MV_SYNC_START || level > MV_SYNC_FULL)
        return mv__fail(err, -EINVAL, "sync",
                        "level %" PRIu32 " is none of MV_SYNC_START, _DATA and _FULL", level);
    if (!view->shared)
        return mv__fail(err, -EINVAL, "sync",
                        "a private view has nothing to sync: its stores never reach a file");
    r = mv__view_span(view, off, len, &span, err);
    if (r == 0)
        r = mv__sync_failure(view, err);
    /* An empty range of data has nothing to write; FULL is about the file, too. */
    if (r != 0 || (span.length == 0 && level != MV_SYNC_FULL))
        return r;
    return sync_span(view, span, level, err);
}
