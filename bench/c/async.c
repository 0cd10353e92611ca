/* async.c: see async.h. */

#include "async.h"

#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stage.h"

#if defined(__has_include)
#if __has_include(<liburing.h>)
#include <liburing.h>
#define HAVE_URING 1
#endif
#endif

/* done: an access of the sample has ended, with its bytes at buf. */
static void done(struct work *w, const char *buf, long i)
{
    if (!w->writes)
        w->sum += ends(buf, w->walk.size);
    note(w, i);
}

/* ---- aio ---- */

static void describe(struct aiocb *cb, const struct work *w, const struct way *v, long i, long slot)
{
    memset(cb, 0, sizeof *cb);
    cb->aio_fildes = v->fd;
    cb->aio_buf = w->buf + (w->writes ? 0 : (size_t)slot * w->walk.size);
    cb->aio_nbytes = w->walk.size;
    cb->aio_offset = (off_t)place_of(w->walk, i);
    cb->aio_lio_opcode = w->writes ? LIO_WRITE : LIO_READ;
}

static int aio_one(struct work *w, const struct way *v, long i, long number)
{
    struct aiocb cb;
    const struct aiocb *const list[1] = {&cb};
    describe(&cb, w, v, i, 0);
    if ((w->writes ? aio_write(&cb) : aio_read(&cb)) != 0)
        return -1;
    while (aio_error(&cb) == EINPROGRESS)
        aio_suspend(list, 1, NULL);
    if (aio_return(&cb) != (ssize_t)w->walk.size)
        return -1;
    done(w, w->buf, number);
    return 0;
}

static int aio_many(struct work *w, const struct way *v, long i, long n, long number)
{
    struct aiocb cbs[MOST_BATCH], *list[MOST_BATCH] = {NULL};
    for (long k = 0; k < n; k++) {
        describe(&cbs[k], w, v, i + k, k);
        list[k] = &cbs[k];
    }
    double start = w->last;
    if (lio_listio(LIO_WAIT, list, (int)n, NULL) != 0)
        return -1;
    for (long k = 0; k < n; k++) {
        if (aio_return(&cbs[k]) != (ssize_t)w->walk.size)
            return -1;
        w->last = start; /* each has waited since then */
        done(w, w->buf + (size_t)k * w->walk.size, number + k);
    }
    return 0;
}

int run_aio(struct work *w, struct way *v, long first, long n)
{
    long at_once = v->batch ? v->batch : 1;
    for (long i = 0; i < n; i += at_once) {
        long k = n - i < at_once ? n - i : at_once;
        if ((at_once == 1 ? aio_one(w, v, first + i, i) : aio_many(w, v, first + i, k, i)) != 0)
            return -1;
    }
    return w->sync ? fdatasync(v->fd) : 0;
}

/* ---- io_uring ---- */

#ifdef HAVE_URING

int open_uring(struct work *w, struct way *v)
{
    struct io_uring *ring = calloc(1, sizeof *ring);
    if (!ring)
        return -1;
    int rc = io_uring_queue_init(2 * MOST_BATCH, ring, 0);
    if (rc < 0) {
        free(ring);
        errno = -rc;
        return ABSENT;
    }
    v->extra = ring;
    return open_way_fd(w, v);
}

void close_uring(struct work *w, struct way *v)
{
    if (v->extra)
        io_uring_queue_exit(v->extra);
    free(v->extra);
    v->extra = NULL;
    close_way_file(w, v);
}

static int uring_batch(struct work *w, const struct way *v, struct io_uring *ring, long i, long n,
                       long number)
{
    size_t size = w->walk.size;
    for (long k = 0; k < n; k++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
        off_t at = (off_t)place_of(w->walk, i + k);
        if (w->writes)
            io_uring_prep_write(sqe, v->fd, w->buf, (unsigned)size, (__u64)at);
        else
            io_uring_prep_read(sqe, v->fd, w->buf + (size_t)k * size, (unsigned)size, (__u64)at);
        io_uring_sqe_set_data64(sqe, (__u64)k);
    }
    double start = w->last;
    if (io_uring_submit_and_wait(ring, 1) != n)
        return -1;
    for (long k = 0; k < n; k++) {
        struct io_uring_cqe *cqe;
        if (io_uring_wait_cqe(ring, &cqe) != 0)
            return -1;
        long slot = (long)io_uring_cqe_get_data64(cqe);
        int got = cqe->res;
        io_uring_cqe_seen(ring, cqe);
        if (got < 0 || (size_t)got != size)
            return -1;
        w->last = start; /* each has waited since then */
        done(w, w->buf + (size_t)slot * size, number + k);
    }
    return 0;
}

int run_uring(struct work *w, struct way *v, long first, long n)
{
    long at_once = v->batch ? v->batch : 1;
    for (long i = 0; i < n; i += at_once) {
        long k = n - i < at_once ? n - i : at_once;
        if (uring_batch(w, v, v->extra, first + i, k, i) != 0)
            return -1;
    }
    return w->sync ? fdatasync(v->fd) : 0;
}

#else

int open_uring(struct work *w, struct way *v)
{
    (void)w;
    v->absence = "built without liburing (package liburing-dev)";
    return ABSENT;
}

void close_uring(struct work *w, struct way *v)
{
    (void)w, (void)v;
}

int run_uring(struct work *w, struct way *v, long first, long n)
{
    (void)w, (void)v, (void)first, (void)n;
    return -1;
}

#endif
