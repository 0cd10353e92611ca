/*
 * append.c: records appended to a view that grows under them.
 *
 *   view   0 ......... end ............ prefaulted ...... size ....... reserved
 *          | complete  | next record    | takes faults    | a step away |
 *
 * mv_append moves the end, and only it. Steps of growth double, so that their
 * price is nothing beside that of the records. What is prefaulted costs no
 * fault a page: by mv_append itself in pieces, or by a thread of its own that
 * keeps ahead of the end.
 */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>

#define STEP_MIN ((uint64_t)64 << 10)
#define STEP_MAX ((uint64_t)64 << 20)

/* Prefaulted at a time, and how far the thread keeps ahead, in bytes. Shorter
 * pieces make it wait for the lock of the address space more often, longer
 * ones let a reader's fault wait. */
#define PIECE ((uint64_t)2 << 20)
#define DISTANCE ((uint64_t)32 << 20)

struct mv_appender {
    mv_view *view;
    _Atomic uint64_t end;        /* what lies before it is complete */
    _Atomic uint64_t prefaulted; /* what lies before it takes no faults */
    _Atomic uint64_t wake_at;    /* an end over it wakes the thread; UINT64_MAX: none waits for that */

    pthread_mutex_t lock; /* protects all below; held while the view grows */
    uint64_t step, step_min, step_max;
    bool refused; /* growth ahead of need: until it works again */
    bool stop;
    pthread_cond_t wake; /* the thread: stop, refused or wake_at has changed */
    bool has_thread;
    pthread_t thread;
};

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Brings in the pages from..to, as far as a piece goes. Where the thread has
 * been overtaken, both do the same piece, each a part of its pages. What cannot
 * be brought in mv_write will tell. */
static void prefault_piece(mv_appender *a, uint64_t from, uint64_t to)
{
    uint64_t n = smaller(PIECE, to - from);
    (void)mv_prefault(a->view, from, n, MV_WRITE, NULL);
    uint64_t known = atomic_load(&a->prefaulted);
    while (known < from + n && !atomic_compare_exchange_weak(&a->prefaulted, &known, from + n))
        ;
}

/* The next size over this one. It is a multiple of the step, since the page cache
 * takes folios as large as their place is aligned: a size that is not makes a
 * quarter more of them, each with its fault. */
static uint64_t whole_steps(uint64_t size, uint64_t step)
{
    return (size + step) / step * step;
}

/* Makes the view at least so large that least bytes are behind the end, better
 * a whole step. The caller holds the lock. */
static int grow(mv_appender *a, uint64_t end, uint64_t least, mv_error *err)
{
    uint64_t size = mv_size(a->view), limit = a->view->geometry.limit;
    if (end > limit || least > limit - end)
        return mv__fail_at(err, -ENOMEM, (struct mv__place){end, least, 0}, "append",
                           "%" PRIu64 " bytes at %" PRIu64 " are over the %" PRIu64
                           " reserved; open with a larger reserve",
                           least, end, limit);
    uint64_t needed = end + least;
    if (needed <= size)
        return 0;
    uint64_t below = larger(size, needed - 1);
    uint64_t whole = a->step > limit - below ? limit : whole_steps(below, a->step);
    int r = mv__resize_grow(a->view, whole, whole > needed ? NULL : err);
    if (r == 0) {
        a->step = a->step > a->step_max / 2 ? a->step_max : a->step * 2;
    } else if (whole > needed) { /* there may be room for that: no disk is full before it is */
        a->step = a->step_min;
        r = mv__resize_grow(a->view, needed, err);
    }
    a->refused = r != 0;
    return r;
}

/* The thread's part. True: there is more to do at once. */
static bool keep_ahead(mv_appender *a)
{
    uint64_t end = atomic_load(&a->end), limit = a->view->geometry.limit;
    uint64_t aim = smaller(limit - end, DISTANCE) + end;
    if (!a->refused && mv_size(a->view) < aim)
        (void)grow(a, end, aim - end, NULL);
    uint64_t to = smaller(mv_size(a->view), aim);
    uint64_t from = larger(end, atomic_load(&a->prefaulted));
    if (from >= to)
        return false;
    pthread_mutex_unlock(&a->lock);
    prefault_piece(a, from, to);
    pthread_mutex_lock(&a->lock);
    return true;
}

static void *run_ahead(void *argument)
{
    mv_appender *a = argument;
    pthread_mutex_lock(&a->lock);
    while (!a->stop) {
        if (keep_ahead(a))
            continue;
        /* An end that moves over it right now wakes this with the record after. */
        uint64_t prefaulted = atomic_load(&a->prefaulted);
        bool goes_on = !a->refused && prefaulted < a->view->geometry.limit;
        uint64_t wake_at =
            goes_on && prefaulted > DISTANCE / 2 ? prefaulted - DISTANCE / 2 : UINT64_MAX;
        atomic_store(&a->wake_at, wake_at);
        if (atomic_load(&a->end) <= wake_at)
            pthread_cond_wait(&a->wake, &a->lock);
        atomic_store(&a->wake_at, UINT64_MAX);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static void wake_thread(mv_appender *a)
{
    pthread_mutex_lock(&a->lock);
    pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&a->lock);
}

static int check_append_options(const mv_append_options *given, mv_append_options *o, uint64_t size,
                                mv_error *err)
{
    *o = (mv_append_options)MV_APPEND_OPTIONS_INIT;
    int r = given ? mv__options_copy(given, o, sizeof *o, err) : 0;
    if (r != 0)
        return r;
    if (o->flags & ~MV_APPEND_AHEAD)
        return mv__fail(err, -EINVAL, "options", "options.flags has unknown bits 0x%" PRIx32,
                        o->flags & ~MV_APPEND_AHEAD);
    if (o->start == MV_TO_END)
        o->start = size;
    if (o->start > size)
        return mv__fail_at(err, -EINVAL, (struct mv__place){o->start, 0, 0}, "options",
                           "the start, %" PRIu64 ", is past the view of %" PRIu64 " bytes", o->start,
                           size);
    if (o->step_min && o->step_max && o->step_min > o->step_max)
        return mv__fail(err, -EINVAL, "options", "step_min is over step_max");
    if (o->step_min == 0)
        o->step_min = o->step_max && o->step_max < STEP_MIN ? o->step_max : STEP_MIN;
    if (o->step_max == 0)
        o->step_max = o->step_min > STEP_MAX ? o->step_min : STEP_MAX;
    return 0;
}

/* Large folios take the fewest faults, but a sync writes them whole: not for
 * records that are synced one by one. It is but a hint. */
static void ask_for_large_folios(const mv_appender *a)
{
    struct mv__span rest = {a->end, a->view->geometry.limit - a->end};
    size_t n;
    unsigned char *start = mv__view_pages(a->view, rest, &n);
    if (rest.length > 0)
        mv__sys.madvise(start, n, MADV_HUGEPAGE);
}

static int start_ahead(mv_appender *a, mv_error *err)
{
    long r = mv__sys.start_thread(&a->thread, run_ahead, a);
    a->has_thread = r == 0;
    return r < 0 ? mv__fail(err, (int)r, "thread", "the thread that prefaults cannot be started: %s",
                            mv_strerror((int)r))
                 : 0;
}

int mv_appender_open(mv_view *view, const mv_append_options *options, mv_appender **out, mv_error *err)
{
    mv_append_options o;
    if (!out)
        return mv__error_usable(err) < 0 ? -EINVAL : mv__fail(err, -EINVAL, "out", "out is NULL");
    *out = NULL;
    int r = mv__resize_grow(view, 0, err); /* can it grow at all? */
    if (r == 0)
        r = check_append_options(options, &o, mv_size(view), err);
    if (r != 0)
        return r;
    long memory = mv__sys.allocate(sizeof(mv_appender));
    if (memory == 0 || mv__sys_failed(memory))
        return mv__fail_call(err, -ENOMEM, "allocate");
    mv_appender *a = (mv_appender *)memory;
    a->view = view;
    a->step = a->step_min = o.step_min;
    a->step_max = o.step_max;
    bool stores = !view->through || !(view->flags & MV_OPEN_RANDOM);
    atomic_init(&a->prefaulted, stores ? o.start : UINT64_MAX);
    atomic_init(&a->end, o.start);
    atomic_init(&a->wake_at, UINT64_MAX);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->wake, NULL);
    if ((o.flags & MV_APPEND_AHEAD) || (view->flags & MV_OPEN_SEQUENTIAL))
        ask_for_large_folios(a);
    r = (o.flags & MV_APPEND_AHEAD) ? start_ahead(a, err) : 0;
    if (r != 0)
        mv__sys.release(a);
    else
        *out = a;
    return r;
}

/* Makes room for n bytes, and has the pages from the end on brought in. */
static int make_room(mv_appender *a, uint64_t end, uint64_t n, mv_error *err)
{
    uint64_t size;
    int live = mv__view_live(a->view, &size, err);
    if (live != 0)
        return live;
    if (end > size)
        return mv__fail_at(err, -MV_ETRUNCATED, (struct mv__place){size, end - size, 0}, "append",
                           "somebody has made the view smaller than what was appended");
    if (n > size - end) {
        pthread_mutex_lock(&a->lock);
        int r = grow(a, end, n, err);
        if (r == 0)
            pthread_cond_signal(&a->wake);
        pthread_mutex_unlock(&a->lock);
        if (r != 0)
            return r;
    }
    size = mv_size(a->view);
    uint64_t from = larger(end, atomic_load(&a->prefaulted));
    if (from < end + n && from < size)
        prefault_piece(a, from, size);
    return 0;
}

static int append_failed(mv_error *err, int code)
{
    if (err)
        err->done = 0; /* nothing of the record has been appended */
    return code;
}

int64_t mv_append(mv_appender *a, const void *buf, uint64_t n, mv_error *err)
{
    if (!a)
        return mv__fail(err, -EINVAL, "append", "the appender is NULL");
    int r = mv__view_own(a->view, err); /* whether it is detached mv_write finds */
    if (r != 0)
        return r;
    uint64_t end = atomic_load_explicit(&a->end, memory_order_relaxed), size = mv_size(a->view);
    if (end > size || n > size - end ||
        end + n > atomic_load_explicit(&a->prefaulted, memory_order_relaxed)) {
        r = n ? make_room(a, end, n, err) : 0;
        if (r != 0)
            return r;
    }
    int64_t written = mv_write(a->view, buf, n, end, err);
    if (written < 0)
        return append_failed(err, (int)written);
    if ((uint64_t)written < n)
        return mv__fail_at(err, -MV_ETRUNCATED, (struct mv__place){end, n, 0}, "append",
                           "somebody has made the view smaller");
    atomic_store_explicit(&a->end, end + n, memory_order_release);
    if (end + n > atomic_load_explicit(&a->wake_at, memory_order_relaxed))
        wake_thread(a);
    return (int64_t)end;
}

uint64_t mv_append_end(const mv_appender *a)
{
    return a ? atomic_load_explicit(&a->end, memory_order_acquire) : 0;
}

static void stop_ahead(mv_appender *a)
{
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->wake);
    pthread_mutex_unlock(&a->lock);
    mv__sys.join_thread(a->thread);
}

int mv_appender_close(mv_appender *a, mv_error *err)
{
    if (!a)
        return 0;
    /* In a child of fork there is no thread, and the file is the parent's. */
    bool own = mv__view_own(a->view, NULL) == 0, usable = mv__error_usable(err) == 0;
    if (own && a->has_thread)
        stop_ahead(a);
    int r =
        own ? mv_resize(a->view, mv_append_end(a), usable ? err : NULL) : mv__view_own(a->view, err);
    mv__sys.release(a);
    return usable ? r : -EINVAL;
}
