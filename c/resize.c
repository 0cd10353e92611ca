/* resize.c: grow, shrink and refresh in place, on real blocks. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

/* fallocate on tmpfs starts over when a signal comes: smaller steps get there
 * under a profiler's timer, too. */
#define SMALLEST_STEP ((uint64_t)1 << 20)

static long allocate_blocks(int fd, uint64_t from, uint64_t to)
{
    uint64_t step = to > from ? to - from : 0;
    while (from < to) {
        uint64_t n = step < to - from ? step : to - from;
        long r = mv__sys.fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)n);
        if (r == -EINTR)
            step = step / 2 > SMALLEST_STEP ? step / 2 : SMALLEST_STEP;
        else if (r < 0)
            return r;
        else
            from += n;
    }
    return 0;
}

static long truncate_retrying(int fd, uint64_t size)
{
    long r;
    do
        r = mv__sys.ftruncate(fd, (off_t)size);
    while (r == -EINTR);
    return r;
}

/* Makes the file at least to bytes long. fallocate of its last byte can only
 * extend, where ftruncate would cut off what another process appended. */
static long extend_file(int fd, uint64_t to)
{
    long r;
    do
        r = mv__sys.fallocate(fd, 0, (off_t)to - 1, 1);
    while (r == -EINTR);
    if (r != -EOPNOTSUPP)
        return r;
    /* The file system leaves nothing but ftruncate: look right before. */
    struct stat st;
    r = mv__sys.fstat(fd, &st);
    return r == 0 && (uint64_t)st.st_size < to ? truncate_retrying(fd, to) : r;
}

/* Refuses what has no room, before the attempt fills the holes of a file and
 * the rest of the disk. Space that is only now being freed may not be counted
 * before a sync. */
static long check_room(int fd, uint64_t to)
{
    struct stat st;
    enum mv__fs kind;
    uint64_t free_bytes = 0;
    long r = mv__sys.fstat(fd, &st);
    if (r < 0)
        return r;
    uint64_t has = (uint64_t)st.st_blocks * 512;
    for (int asked = 0; asked < 2; asked++) {
        r = mv__sys_filesystem(fd, &kind, &free_bytes);
        if (r < 0 || to <= has || to - has <= free_bytes)
            return r;
        if (asked == 0)
            mv__sys.syncfs(fd);
    }
    return -ENOSPC;
}

/* Gives back the blocks past the end that a failed allocation left there (ext4
 * keeps what it had found). Only truncation frees them, so that another
 * process's growth in this very moment would be cut: hence the look. */
static void trim_file(int fd, uint64_t length)
{
    struct stat st;
    if (mv__sys.fstat(fd, &st) == 0 && (uint64_t)st.st_size == length)
        truncate_retrying(fd, length);
}

/* The tail is what lies behind the end of the file, in its last page.
 * 1: something else than zeros is seen there, 0: not, or a negative errno. */
static int tail_is_dirty(unsigned char *tail, size_t n)
{
    unsigned char bytes[256];
    for (size_t done = 0; done < n;) {
        size_t read, step = n - done < sizeof bytes ? n - done : sizeof bytes;
        int r = mv__copy_kernel(tail + done, bytes, step, MV_READ, &read);
        if (r < 0)
            return r;
        for (size_t i = 0; i < step; i++)
            if (bytes[i] != 0)
                return 1;
        done += step;
    }
    return 0;
}

static int zero_tail(unsigned char *tail, size_t n)
{
    unsigned char zeros[256] = {0};
    int r = 0;
    for (size_t done = 0; r == 0 && done < n;) {
        size_t written, step = n - done < sizeof zeros ? n - done : sizeof zeros;
        r = mv__copy_kernel(tail + done, zeros, step, MV_WRITE, &written);
        done += step;
    }
    return r;
}

/* Looks at the tail through a mapping, and clears it. */
static long clear_seen_tail(int fd, uint64_t length, unsigned char *tail, size_t n)
{
    int dirty = tail_is_dirty(tail, n);
    if (dirty <= 0)
        return dirty == -EFAULT ? 0 : dirty; /* no page is there at all, on a full tmpfs */
    /* It may be what another process is appending just now, before the file has
     * its new length: this call waits until that is done. */
    mv__sys.fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)length, 1);
    struct stat st;
    long r = mv__sys.fstat(fd, &st);
    if (r < 0 || (uint64_t)st.st_size != length)
        return r;
    return zero_tail(tail, n);
}

/* What was stored behind the end of the file must not become content: tmpfs
 * would keep it, and ext4 does where its blocks are smaller than a page.
 * Something is done only if something is seen. An append that begins between
 * the last look and the clearing would be cleared, too: that cannot be helped. */
static long clear_tail(const mv_view *view, int fd, uint64_t length)
{
    const struct mv__geometry *g = &view->geometry;
    size_t page = view->page, past = (size_t)(length & (page - 1)), n = page - past;
    uint64_t start = g->offset - g->lead;
    if (past == 0)
        return 0;
    if (length >= start && length - start + n <= g->mapped) {
        unsigned char *tail = view->base + (length - start);
        long r = tail_is_dirty(tail, n) >= 0 ? clear_seen_tail(fd, length, tail, n) : -EFAULT;
        if (r != -EFAULT)
            return r;
    }
    /* Out of the view's sight, or protected: look through a window. */
    long window =
        mv__sys.mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(length - past));
    if (mv__sys_failed(window))
        return window;
    long r = clear_seen_tail(fd, length, (unsigned char *)window + past, n);
    mv__sys.munmap((void *)window, page);
    return r;
}

int mv__resize_check_limit(uint64_t to, mv_error *err)
{
    struct rlimit limit;
    long r = mv__sys.getrlimit(RLIMIT_FSIZE, &limit);
    if (r < 0)
        return mv__fail_call(err, (int)r, "getrlimit");
    if (limit.rlim_cur != RLIM_INFINITY && to > limit.rlim_cur)
        return mv__fail(err, -EFBIG, "getrlimit",
                        "a file of %" PRIu64 " bytes is over RLIMIT_FSIZE, %" PRIu64, to,
                        (uint64_t)limit.rlim_cur);
    return 0;
}

/* Only holes inside of the file cannot be given back after a failure, so only
 * then it is asked before: where allocation works at all. */
static long allocate_all(int fd, uint64_t length, uint64_t from, uint64_t to)
{
    if (from < length) {
        long r = allocate_blocks(fd, from, from + 1);
        if (r == 0)
            r = check_room(fd, to);
        if (r < 0)
            return r;
    }
    return allocate_blocks(fd, from, to);
}

int mv__resize_allocate(mv_view *view, int fd, uint64_t length, uint64_t from, uint64_t to,
                        mv_error *err)
{
    if (to > length) {
        int limited = mv__resize_check_limit(to, err);
        if (limited < 0)
            return limited;
        long r = clear_tail(view, fd, length);
        if (r < 0)
            return mv__fail_call(err, (int)r, "fallocate");
    }
    /* Memory is taken at first touch, like malloc's. */
    long r = view->source.is_memory ? 0 : allocate_all(fd, length, from, to);
    if (r == -EOPNOTSUPP) {
        atomic_store(&view->allocation_refused, true);
        r = 0;
    }
    if (r == 0 && to > length)
        r = extend_file(fd, to);
    if (r == 0)
        return 0;
    trim_file(fd, length);
    return mv__fail(err, (int)r, "fallocate", "the file cannot be made %" PRIu64 " bytes long: %s", to,
                    mv_strerror((int)r));
}

/* Not MV__CLEAN: the file has another length now, and the view other bytes. */
static void publish(mv_view *view, uint64_t size)
{
    (void)mv__dirty_grow(view, mv_size(view), size);
    atomic_store_explicit(&view->size, size, memory_order_release);
}

static int check_resizable(const mv_view *view, uint64_t size, mv_error *err)
{
    const struct mv__geometry *g = &view->geometry;
    if (!view->shared)
        return mv__fail(err, -EINVAL, "resize", "a private view cannot be resized");
    if (!view->writable)
        return mv__fail(err, -EACCES, "resize",
                        "a read-only view cannot be resized; a refresh follows its file");
    if (view->length_asked || !view->source.is_file)
        return mv__fail(err, -EINVAL, "resize",
                        "a view that was opened with a length cannot be resized");
    if (size > (uint64_t)INT64_MAX - g->offset)
        return mv__fail(err, -EOVERFLOW, "resize", "offset plus size is over 63 bits");
    if (size > g->limit)
        return mv__fail(err, -ENOMEM, "resize",
                        "%" PRIu64 " bytes are over the %" PRIu64
                        " reserved; open with a reserve of at least that",
                        size, g->limit);
    return 0;
}

/* Memory that is sealed keeps its length: it is asked before anybody could see
 * the smaller size. Other files know no seals. */
static int check_seals(int fd, mv_error *err)
{
    long seals = mv__sys.fcntl(fd, F_GET_SEALS, 0);
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        return 0;
    return mv__fail(err, -EPERM, "fcntl", "the memory is sealed against being made smaller");
}

/* In turn with mv_write through the file: it would make it long again. */
static int shrink_file(mv_view *view, int fd, uint64_t now, uint64_t size, mv_error *err)
{
    int sealed = check_seals(fd, err);
    if (sealed < 0)
        return sealed;
    pthread_mutex_lock(&view->through_lock);
    publish(view, size); /* first: who reads the new size must not meet the cut */
    int r = (int)truncate_retrying(fd, view->geometry.offset + size);
    mv__dirty_mark(view, size, now - size); /* should it grow again, these are other bytes */
    if (r < 0)
        publish(view, now);
    pthread_mutex_unlock(&view->through_lock);
    return r < 0 ? mv__fail_call(err, r, "ftruncate") : 0;
}

/* The view has size now; its file has length. */
static int resize_file(mv_view *view, int fd, uint64_t now, uint64_t size, mv_error *err)
{
    uint64_t offset = view->geometry.offset;
    uint64_t length;
    int r = mv__source_length(&view->source, fd, &length, err);
    if (r != 0)
        return r;
    if (length < offset + now)
        return mv__fail_at(
            err, -MV_ETRUNCATED, (struct mv__place){length > offset ? length - offset : 0, 0, 0},
            "resize", "somebody has cut the file to %" PRIu64 " bytes; a refresh adopts that", length);
    if (size < now && length > offset + now)
        return mv__fail(err, -EBUSY, "resize",
                        "somebody has made the file longer, %" PRIu64 " bytes; a refresh adopts that",
                        length);
    if (size >= now) {
        /* Also what somebody else has appended may be a hole so far. */
        if (size > now)
            r = mv__resize_allocate(view, fd, length, offset + now, offset + size, err);
        if (r == 0)
            publish(view, size);
        return r;
    }
    return shrink_file(view, fd, now, size, err);
}

static int resize(mv_view *view, uint64_t size, bool only_grow, mv_error *err)
{
    int r = mv__view_enter(view, err);
    if (r == 0)
        r = check_resizable(view, size, err);
    if (r != 0)
        return r;
    uint64_t now;
    int fd;
    pthread_mutex_lock(&view->shape_lock);
    r = mv__view_live(view, &now, err);
    bool enough = r == 0 && only_grow && size <= now;
    if (r == 0 && !enough)
        r = mv__source_borrow(&view->source, &fd, err);
    if (r == 0 && !enough) {
        r = resize_file(view, fd, now, size, err);
        mv__view_wrote(view, 0, 0); /* also a failure may have left blocks, and zeros in the tail */
        mv__source_return(&view->source, fd);
    }
    pthread_mutex_unlock(&view->shape_lock);
    return r;
}

int mv_resize(mv_view *view, uint64_t size, mv_error *err)
{
    return resize(view, size, false, err);
}

int mv__resize_grow(mv_view *view, uint64_t size, mv_error *err)
{
    return resize(view, size, true, err);
}

/* A page that was copied privately kept the zeros that stood behind the old
 * end of the file: they are replaced by what the file has there now. */
static int refill_tail(mv_view *view, uint64_t now, uint64_t size, mv_error *err)
{
    uint64_t past = (view->geometry.lead + now) & (view->page - 1);
    int fd;
    if (view->shared || !view->writable || past == 0 || size <= now)
        return 0;
    int r = mv__source_borrow(&view->source, &fd, err);
    if (r != 0)
        return r;
    uint64_t n = view->page - past < size - now ? view->page - past : size - now;
    long got = mv__sys.pread(fd, view->data + now, (size_t)n, (off_t)(view->geometry.offset + now));
    mv__source_return(&view->source, fd);
    if (got == -EFAULT)
        return mv__fail_at(err, -EACCES, (struct mv__place){now, n, 0}, "protect",
                           "its protection keeps the last page from taking what was appended");
    return got < 0 ? mv__fail_call(err, (int)got, "pread") : 0;
}

static int adopt_length(mv_view *view, uint64_t now, mv_error *err)
{
    uint64_t length;
    int r = mv__source_look(&view->source, &length, err);
    if (r != 0)
        return r;
    const struct mv__geometry *g = &view->geometry;
    uint64_t size = length > g->offset ? length - g->offset : 0;
    if (view->length_asked && size > view->length_asked)
        size = view->length_asked;
    if (size > g->limit)
        return mv__fail(err, -ENOMEM, "refresh",
                        "%" PRIu64 " bytes are over the %" PRIu64
                        " reserved; open with a reserve of at least that",
                        size, g->limit);
    r = refill_tail(view, now, size, err);
    if (r != 0)
        return r;
    if (size < now)
        mv__dirty_mark(view, size, now - size);
    publish(view, size);
    return 0;
}

int mv_refresh(mv_view *view, mv_error *err)
{
    int r = mv__view_enter(view, err);
    if (r != 0 || !view->source.is_file)
        return r;
    uint64_t now;
    pthread_mutex_lock(&view->shape_lock);
    r = mv__view_live(view, &now, err);
    if (r == 0)
        r = adopt_length(view, now, err);
    pthread_mutex_unlock(&view->shape_lock);
    return r;
}
