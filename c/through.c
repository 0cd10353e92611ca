/*
 * through.c: mv_write through the file, on views that were opened for it.
 *
 * A store dirties the whole folio of the page cache that its page lies in, up
 * to megabytes, and all of that is written back. pwrite of the same bytes
 * dirties their blocks alone: that is what scattered updates want. Writes in
 * bulk gain in another way: pwrite needs no fault for each page, and write-back
 * that begins early is over when the sync comes.
 *
 * What cannot go this way is left for the store that would have been made
 * without it. So every count and every cause is that of copy.c.
 */
#include "internal.h"

#include <errno.h>

/* The window of write-back, in bytes of the file: large enough for the device,
 * small against what a sync still has to wait for. */
#define WINDOW ((uint64_t)4 << 20)

bool mv__through_wanted(const mv_view *view)
{
    enum mv__fs kind;
    uint64_t unused;
    const struct mv__source *source = &view->source;
    if (!(view->flags & (MV_OPEN_RANDOM | MV_OPEN_SEQUENTIAL)) || !source->writable)
        return false;
    if (!source->is_file || source->is_memory || mv__sys_filesystem(source->fd, &kind, &unused) < 0)
        return false;
    return kind == MV__FS_PLAIN || kind == MV__FS_COPY_ON_WRITE;
}

/* A pwrite knows nothing of mv_protect, and of the limit of file sizes it makes
 * a signal even where the file has that length. */
static bool may_pwrite(const mv_view *view, uint64_t n, uint64_t off)
{
    if (!(view->flags & MV_OPEN_RANDOM) && n < MV__THROUGH_BULK)
        return false;
    return !atomic_load(&view->was_protected) &&
           mv__resize_check_limit(view->geometry.offset + off + n, NULL) == 0;
}

/* Writes what lies in the file, which never grows by it: the length is compared
 * first. Returns how much that was, or what pwrite said at the first byte. */
static int64_t pwrite_within(const mv_view *view, int fd, const char *buf, uint64_t n, uint64_t off)
{
    uint64_t length, at = view->geometry.offset + off, done = 0;
    long r = mv__source_length(&view->source, fd, &length, NULL);
    if (r == 0 && length <= at)
        r = -MV_ETRUNCATED;
    if (r != 0)
        return r;
    if (n > length - at)
        n = length - at;
    while (done < n) {
        r = mv__sys.pwrite(fd, buf + done, (size_t)(n - done), (off_t)(at + done));
        if (r > 0)
            done += (uint64_t)r;
        else if (r != -EINTR)
            break;
    }
    return done > 0 ? (int64_t)done : r;
}

int64_t mv__through_pwrite(mv_view *view, int fd, const void *buf, uint64_t n, uint64_t off)
{
    /* In a child of fork the lock may be held by a thread that is not there. */
    if (mv__view_own(view, NULL) != 0)
        return pwrite_within(view, fd, buf, n, off);
    /* A shrink must not come between the look at the length and the pwrite,
     * which would make the file long again. */
    uint64_t size;
    pthread_mutex_lock(&view->through_lock);
    int64_t r = mv__view_live(view, &size, NULL);
    if (r == 0 && off >= size)
        r = -MV_ETRUNCATED;
    if (r == 0)
        r = pwrite_within(view, fd, buf, n < size - off ? n : size - off, off);
    pthread_mutex_unlock(&view->through_lock);
    return r;
}

size_t mv__through_write(mv_view *view, const void *buf, uint64_t n, uint64_t off)
{
    int fd;
    if (!may_pwrite(view, n, off) || mv__source_borrow(&view->source, &fd, NULL) != 0)
        return 0;
    int64_t done = mv__through_pwrite(view, fd, buf, n, off);
    mv__source_return(&view->source, fd);
    return done > 0 ? (size_t)done : 0;
}

void mv__through_behind(mv_view *view, uint64_t n, uint64_t off)
{
    uint64_t start = view->geometry.offset;
    uint64_t from = (start + off) & ~(WINDOW - 1);
    uint64_t to = (start + off + n) & ~(WINDOW - 1);
    int fd;
    if (from == to || !(view->flags & MV_OPEN_SEQUENTIAL) || mv__view_own(view, NULL) != 0)
        return;
    if (mv__source_borrow(&view->source, &fd, NULL) != 0)
        return;
    from = from < start ? start : from;
    mv__sync_begin(view, (struct mv__span){from - start, to - from}, fd);
    mv__source_return(&view->source, fd);
}
