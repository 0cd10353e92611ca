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
    pthread_mutex_lock(&view->sync_lock);
    int r = mv__sync_held(view, err);
    pthread_mutex_unlock(&view->sync_lock);
    return r;
}

/* Keeps the first failure for good and reports it. */
static int hold_failure(mv_view *view, struct mv__span span, int code, const char *op, mv_error *err)
{
    pthread_mutex_lock(&view->sync_lock);
    if (view->failure.code == 0) {
        view->failure.code = code;
        view->failure.offset = span.offset;
        view->failure.length = span.length;
        strncpy(view->failure.op, op, sizeof view->failure.op - 1);
    }
    pthread_mutex_unlock(&view->sync_lock);
    return mv__fail_at(err, code, (struct mv__place){span.offset, span.length, 0}, op, "%s failed: %s",
                       op, mv_strerror(code));
}

/* One call of the kernel for a level. Interrupted is not failed; anything else
 * is never tried again. */
static long sync_once(mv_view *view, struct mv__span span, uint32_t level, int fd, const char **op)
{
    size_t n;
    unsigned char *start = mv__view_pages(view, span, &n);
    switch (level) {
    case MV_SYNC_START:
        /* msync(MS_ASYNC) has done nothing since Linux 2.6.19. */
        *op = "sync_file_range";
        return mv__sys.sync_file_range(fd, (off_t)(view->geometry.offset + span.offset),
                                       (off_t)span.length, SYNC_FILE_RANGE_WRITE);
    case MV_SYNC_DATA:
        *op = "msync";
        return mv__sys.msync(start, n, MS_SYNC);
    default:
        *op = "fsync";
        return mv__sys.fsync(fd);
    }
}

/* The name of a created file is in its directory, which fsync of the file does
 * not promise to write. Without leave to open the directory, the whole file
 * system is synced. */
static int sync_entry(mv_view *view, struct mv__span span, int fd, mv_error *err)
{
    struct mv__source *source = &view->source;
    const char *op = "fsync";
    long r = 0;
    pthread_mutex_lock(&view->sync_lock);
    if (source->entry_owed) {
        do
            if (source->directory >= 0) {
                r = mv__sys.fsync(source->directory);
            } else {
                op = "syncfs";
                r = mv__sys.syncfs(fd);
            }
        while (r == -EINTR);
    }
    if (r == 0) {
        source->entry_owed = false;
        if (source->directory >= 0)
            mv__sys.close(source->directory);
        source->directory = -1;
    }
    pthread_mutex_unlock(&view->sync_lock);
    return r < 0 ? hold_failure(view, span, (int)r, op, err) : 0;
}

/* Bytes that lie past the file's end were lost, whatever the kernel said. */
static int check_length(const mv_view *view, struct mv__span span, int fd, mv_error *err)
{
    uint64_t length, size;
    if (!view->source.is_file)
        return 0;
    int r = mv__source_length(&view->source, fd, &length, err);
    if (r == 0)
        r = mv__view_live(view, &size, err); /* after the length: a shrink publishes first */
    if (r != 0)
        return r;
    uint64_t end = span.offset + span.length < size ? span.offset + span.length : size;
    uint64_t offset = view->geometry.offset;
    if (offset + end <= length)
        return 0;
    uint64_t first = length > offset ? length - offset : 0;
    first = first > span.offset ? first : span.offset;
    return mv__fail_at(
        err, -MV_ETRUNCATED, (struct mv__place){first, end - first, first - span.offset}, "fstat",
        "somebody has cut the file to %" PRIu64 " bytes; %" PRIu64 " of the range are lost", length,
        end - first);
}

static int sync_span(mv_view *view, struct mv__span span, uint32_t level, int fd, mv_error *err)
{
    uint64_t size;
    const char *op;
    long done;
    do
        done = sync_once(view, span, level, fd, &op);
    while (done == -EINTR);
    /* A detach that ran beside took the pages away: msync then said nothing
     * about the file. */
    int r = mv__view_live(view, &size, err);
    if (r != 0)
        return r;
    if (done == -EINVAL || done == -ESPIPE || done == -ENOSYS || done == -EOPNOTSUPP)
        return mv__fail_at(err, -EOPNOTSUPP, (struct mv__place){span.offset, span.length, 0}, op,
                           "this kind of file, or the kernel, cannot sync: %s", mv_strerror((int)done));
    if (done < 0)
        return hold_failure(view, span, (int)done, op, err);
    if (level == MV_SYNC_FULL)
        r = sync_entry(view, span, fd, err);
    return r != 0 ? r : check_length(view, span, fd, err);
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
    int fd;
    r = mv__source_borrow(&view->source, &fd, err);
    if (r != 0)
        return r;
    r = sync_span(view, span, level, fd, err);
    mv__source_return(&view->source, fd);
    return r;
}
