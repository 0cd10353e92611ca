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

/*
 * What is known to be clean. A sync of the whole view sets MV__CLEAN and then
 * asks the kernel; every write of the library takes it away again, after its
 * copy, and only if it finds it there. Once such a sync has succeeded, and as
 * long as the mark stands, everything that was written has come to its level.
 *
 * The race is that of a writer W with a sync S, which run at the same time:
 *
 *     W: copies the bytes; looks at the mark      S: sets the mark; write-back
 *
 * It would be wrong if W saw no mark, and so left it, while the write-back of S
 * did not have its bytes: a later sync, before which W was done, would be
 * skipped. W's look may indeed come before its copy for others to see, and the
 * language alone does not forbid that outcome: it would take a full fence in
 * every write. What forbids it is that the kernel has the same race to win, or
 * would lose bytes for good. Write-back makes a page unwritable, in every
 * processor, before it takes the bytes. So a copy is either done before that,
 * and its bytes are taken; or it faults afterwards, and the kernel notes the
 * page as dirty again. That fault takes the page's locks after S had them, who
 * had set the mark before; and W's look comes after the fault (the processor
 * repeats what follows a faulting access, and the compiler cannot look ahead
 * of a copy that is behind a call). So W finds the mark, and takes it away.
 * (Stores that go past the caches are drained by the interrupt that makes a page
 * unwritable elsewhere, and by the fence before W's look.)
 * Where the kernel copies for W, it holds the page's lock while it writes, or
 * takes it afterwards to note the page as dirty: the same order.
 *
 * A view can grow between: a new size is written without the mark, and the mark
 * is set only to a word that has the very size that is synced. Of an mv_data
 * nobody knows what is stored through it, and of a device not whether its pages
 * are made unwritable: neither is ever clean. Nor is what was not synced since
 * it was opened.
 */
static bool is_clean(mv_view *view, uint32_t level)
{
    uint64_t word = atomic_load(&view->size);
    return view->synced >= level && (word & MV__CLEAN) && word != MV__DETACHED &&
           !atomic_load(&view->lent);
}

/* Sets the mark if what is going to be synced is the whole view. *before is the
 * level that had been reached. Both hold sync_lock. */
static bool begin_clean(mv_view *view, struct mv__span span, uint32_t *before)
{
    uint64_t word = atomic_load(&view->size);
    if (!view->writable || !view->source.is_file || span.offset != 0)
        return false;
    do {
        if (word == MV__DETACHED || (word & ~MV__CLEAN) != span.length)
            return false;
    } while (!atomic_compare_exchange_weak(&view->size, &word, word | MV__CLEAN));
    *before = (word & MV__CLEAN) ? view->synced : 0;
    view->synced = 0;
    return true;
}

/* One sync at the level, and what makes its success a true one. */
static int sync_kernel(mv_view *view, struct mv__span span, uint32_t level, int fd, mv_error *err)
{
    const char *op;
    long done = sync_once(view, span, level, fd, &op);
    if (is_unsupported(done) && !view->source.is_file)
        return unsupported(span, done, op, err);
    if (done < 0)
        return hold_failure(view, span, (int)done, op, err);
    /* Beside a detach, msync found no pages and said nothing about the file. */
    uint64_t size;
    int r = mv__view_live(view, &size, err);
    if (r == 0 && level == MV_SYNC_FULL)
        r = sync_entry(view, span, fd, err);
    return r != 0 ? r : check_length(view, span, fd, err);
}

void mv__sync_begin(mv_view *view, struct mv__span span, int fd)
{
    long r = mv__sys.sync_file_range(fd, (off_t)(view->geometry.offset + span.offset),
                                     (off_t)span.length, SYNC_FILE_RANGE_WRITE);
    if (r < 0 && !is_unsupported(r))
        hold_failure(view, span, (int)r, "sync_file_range", NULL);
}

/* Waits for the medium. The caller holds sync_lock, since the kernel tells a
 * failure only once: of two syncs at the same time, one would be told success
 * for bytes that are lost. */
static int sync_waiting(mv_view *view, struct mv__span span, uint32_t level, mv_error *err)
{
    uint32_t before = 0;
    int fd;
    int r = mv__source_borrow(&view->source, &fd, err);
    if (r != 0)
        return r;
    bool whole = begin_clean(view, span, &before);
    mv__dirty_begin(view, span);
    r = sync_kernel(view, span, level, fd, err);
    if (r == 0)
        mv__dirty_end(view, span);
    if (r == 0 && whole)
        view->synced = level > before ? level : before;
    mv__source_return(&view->source, fd);
    return r;
}

/* How often the start of a sync may be interrupted. */
#define ATTEMPTS_OF_START 100

/* Begins to write. (msync with MS_ASYNC has done nothing since Linux 2.6.19.)
 * This call takes no error that a later sync would miss, so that after EINTR it
 * can be made again. */
static int sync_starting(mv_view *view, struct mv__span span, mv_error *err)
{
    const char *op = "sync_file_range";
    int fd;
    int r = mv__source_borrow(&view->source, &fd, err);
    if (r != 0)
        return r;
    long done;
    int attempts = 0;
    do
        done = mv__sys.sync_file_range(fd, (off_t)(view->geometry.offset + span.offset),
                                       (off_t)span.length, SYNC_FILE_RANGE_WRITE);
    while (done == -EINTR && ++attempts < ATTEMPTS_OF_START);
    if (is_unsupported(done))
        r = unsupported(span, done, op, err);
    else if (done < 0)
        r = hold_failure(view, span, (int)done, op, err);
    else
        r = check_length(view, span, fd, err);
    mv__source_return(&view->source, fd);
    return r;
}

/* START does not wait for another sync: beside one nothing is known. */
static bool is_clean_now(mv_view *view)
{
    if (pthread_mutex_trylock(&view->sync_lock) != 0)
        return false;
    bool clean = is_clean(view, MV_SYNC_START);
    pthread_mutex_unlock(&view->sync_lock);
    return clean;
}

static int sync_span(mv_view *view, struct mv__span span, uint32_t level, bool force, mv_error *err)
{
    if (level == MV_SYNC_START)
        return !force && is_clean_now(view) ? 0 : sync_starting(view, span, err);
    pthread_mutex_lock(&view->sync_lock);
    int r = mv__sync_failure(view, err);
    if (r == 0 && (force || !is_clean(view, level)))
        r = sync_waiting(view, span, level, err);
    pthread_mutex_unlock(&view->sync_lock);
    return r;
}

int mv_sync(mv_view *view, uint64_t off, uint64_t len, uint32_t level, mv_error *err)
{
    struct mv__span span;
    bool force = level & MV_SYNC_FORCE;
    level &= ~MV_SYNC_FORCE;
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
    return sync_span(view, span, level, force, err);
}
