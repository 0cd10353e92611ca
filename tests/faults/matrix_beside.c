/*
 * matrix_beside.c: the two rows in which the view itself changes while two
 * threads access it, one that loads and one that stores. What they must get is
 * what was there before, or after, or an error that says where.
 */
#include "matrix.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum {
    LEAST_SHRINKS = 20,
    STEPS = 4, /* of one round of shrink_and_grow */
    DETACHES = 10,
    MANY_PAGES = 16,  /* of a file that is detached */
    LONG_PAGES = 128, /* of one that is cut inside a page */
};

/* A runner is a thread that accesses the same bytes over and over. A check
 * does not work in it: it keeps its first complaint. */
struct runner {
    const struct cell *cell;
    const struct column *column;
    pthread_t thread;
    unsigned char *bytes;    /* loaded, or to be stored */
    unsigned char *stored;   /* what the storing thread stores */
    uint64_t kept;           /* bytes of the view before this one are always there */
    const atomic_uint *step; /* of shrink_and_grow; NULL: the view is detached */
    atomic_bool stop;
    atomic_uint whole, stopped; /* accesses that came to their end, and that did not */
    char complaint[160];
};

static void complain(struct runner *runner, const char *what, struct outcome o)
{
    if (runner->complaint[0])
        return;
    snprintf(runner->complaint, sizeof runner->complaint, "%s: %s: code %d after %llu bytes, at %llu",
             runner->column->name, what, o.code, (unsigned long long)o.done,
             (unsigned long long)o.offset);
}

static bool tries(const struct runner *runner)
{
    return strncmp(runner->column->name, "try", 3) == 0;
}

/* May there have been zeros behind what is kept? Not if all that has happened
 * to a whole view since the access began is that it was made smaller: what is
 * past the end then does not count as loaded. (A plain load, as in mv_try,
 * finds zeros up to the end of the page.) */
static bool may_be_zeros(const struct runner *runner, unsigned before)
{
    return tries(runner) || before % STEPS != 0 || atomic_load(runner->step) > before + 1;
}

/* The bytes that the file was made with or that stores store; and zeros past
 * what is kept. */
static bool is_right(const struct runner *runner, uint64_t done, bool zeros)
{
    if (memcmp(runner->bytes, runner->stored, done) == 0)
        return true;
    for (uint64_t i = 0; i < done; i++) {
        uint64_t at = runner->cell->from + i;
        unsigned char byte = runner->bytes[i];
        if (byte != pattern(at + LEAD) && byte != fresh(at) &&
            !(byte == 0 && zeros && at >= runner->kept))
            return false;
    }
    return true;
}

/* A number that is not whole inside of the view is an argument error. */
static bool is_number_outside(const struct runner *runner, struct outcome o)
{
    bool numbers =
        strcmp(runner->column->name, "load") == 0 || strcmp(runner->column->name, "store") == 0;
    return numbers && o.code == -EINVAL;
}

static const char *judge_shrink(const struct runner *runner, struct outcome o)
{
    uint64_t n = runner->cell->to - runner->cell->from, kept = runner->kept - runner->cell->from;
    if (o.code == 0)
        return o.done == n || o.done == kept ? NULL : "a count that is neither end";
    if (o.code != -MV_ETRUNCATED && !is_number_outside(runner, o) &&
        !(tries(runner) && o.code == -EAGAIN))
        return "an error that a shrink does not explain";
    if (o.offset != runner->cell->from + o.done)
        return "offset and count do not fit";
    return o.done + 8 > kept ? NULL : "an error before the new end";
}

static const char *judge_detach(const struct runner *runner, struct outcome o)
{
    if (o.code == 0)
        return o.done == runner->cell->to - runner->cell->from ? NULL : "a short count";
    return o.code == -EBADF ? NULL : "an error that a detach does not explain";
}

static void *run_it(void *argument)
{
    struct runner *runner = argument;
    const struct cell *cell = runner->cell;
    uint64_t n = cell->to - cell->from;
    mv_error err = MV_ERROR_INIT;
    while (!atomic_load(&runner->stop)) {
        if (runner->column->access == MV_READ)
            memset(runner->bytes, 0xEE, n);
        unsigned before = runner->step ? atomic_load(runner->step) : 0;
        struct outcome o = runner->column->run(cell->view, runner->bytes, cell->from, n, &err);
        bool zeros = runner->step && may_be_zeros(runner, before);
        const char *wrong = runner->step ? judge_shrink(runner, o) : judge_detach(runner, o);
        if (!wrong && o.code != -EBADF && !is_right(runner, o.done, zeros))
            wrong = "wrong bytes";
        if (wrong)
            complain(runner, wrong, o);
        atomic_fetch_add(o.code == 0 && o.done == n ? &runner->whole : &runner->stopped, 1);
        if (wrong || o.code == -EBADF)
            break;
    }
    return NULL;
}

static void start(struct runner *runner, const struct cell *cell, const struct column *column)
{
    *runner = (struct runner){.cell = cell, .column = column, .kept = cell->end};
    uint64_t n = cell->to - cell->from;
    runner->bytes = calloc(1, n);
    runner->stored = calloc(1, n);
    CHECK(runner->bytes && runner->stored);
    for (uint64_t i = 0; i < n; i++)
        runner->stored[i] = fresh(cell->from + i);
    memcpy(runner->bytes, runner->stored, n);
}

static void end(struct runner *runner)
{
    pthread_join(runner->thread, NULL);
    free(runner->bytes);
    free(runner->stored);
}

static void stop(struct runner *runner)
{
    atomic_store(&runner->stop, true);
    end(runner);
}

/* Has each runner had both ends by now? */
static bool have_seen_all(struct runner runners[2])
{
    for (int i = 0; i < 2; i++)
        if (atomic_load(&runners[i].whole) == 0 || atomic_load(&runners[i].stopped) == 0)
            return false;
    return true;
}

static bool have_complained(const struct runner runners[2])
{
    return runners[0].complaint[0] || runners[1].complaint[0];
}

static void report(const struct runner runners[2])
{
    for (int i = 0; i < 2; i++)
        if (runners[i].complaint[0])
            support_failed(runners[i].complaint, __FILE__, __LINE__);
}

/* ---- shrink ---- */

/* A range is what is accessed while the end of the view goes to and fro
 * between small and large. */
struct range {
    uint64_t pages, small, to;
};

/* One round. In step 0 all bytes are there; in step 1 the end is small; in
 * steps 2 and 3 it is large again, and what was cut off is on its way from zeros to
 * what it was. */
static int shrink_and_grow(struct cell *cell, const struct range *range, atomic_uint *step,
                           const unsigned char *stored)
{
    mv_error err = MV_ERROR_INIT;
    uint64_t large = range->pages * PAGE - LEAD, n = range->to - range->small;
    int r = mv_resize(cell->view, range->small, &err);
    atomic_fetch_add(step, 1);
    sched_yield();
    atomic_fetch_add(step, 1);
    if (r == 0)
        r = mv_resize(cell->view, large, &err);
    atomic_fetch_add(step, 1);
    if (r == 0 && mv_write(cell->view, stored, n, range->small, &err) != (int64_t)n)
        r = err.code ? err.code : -EIO;
    atomic_fetch_add(step, 1);
    sched_yield();
    return r;
}

/* After it all: the start of the file was never touched, and the view works. */
static void check_after_shrinks(struct cell *cell, const struct range *range)
{
    WORKS(mv_probe(cell->view, 0, MV_TO_END, MV_READ | MV_WRITE, ERR));
    WORKS(mv_sync(cell->view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    CHECK(file_has_pattern(cell->path, 0, cell->from + LEAD));
    SAME(file_length(cell->path), range->pages * PAGE);
    check_usable(cell->view);
}

static void shrink_range(struct cell *cell, const struct range *range)
{
    struct runner runners[2];
    atomic_uint step = 0;
    cell->from = matrix_at(FIRST, 32);
    cell->to = range->to;
    cell->end = range->small;
    matrix_make(cell, range->pages * PAGE);
    matrix_open(cell, MV_OPEN_WRITE);
    start(&runners[0], cell, cell->column);
    start(&runners[1], cell, matrix_partner(cell->column));
    for (int i = 0; i < 2; i++) {
        runners[i].step = &step;
        SAME(pthread_create(&runners[i].thread, NULL, run_it, &runners[i]), 0);
    }
    int rounds = 0, r = 0;
    while (r == 0 && !have_complained(runners) && (rounds++ < LEAST_SHRINKS || !have_seen_all(runners)))
        r = shrink_and_grow(cell, range, &step, runners[0].stored + (range->small - cell->from));
    stop(&runners[0]);
    stop(&runners[1]);
    report(runners);
    SAME(r, 0);
    check_after_shrinks(cell, range);
    matrix_close(cell);
}

/* Once over pages that go, and once, in a copy that takes its time, to the end
 * of a page that stays, where nothing faults. */
const char *matrix_shrink(struct cell *cell)
{
    const struct range pages = {PAGES, matrix_at(EDGE, EDGE_BYTES), matrix_at(LAST, 64)};
    const struct range inside = {LONG_PAGES, matrix_at(LONG_PAGES - 2, 1000),
                                 matrix_at(LONG_PAGES - 2, 2000)};
    shrink_range(cell, &pages);
    if (strncmp(cell->column->name, "read", 4) == 0)
        shrink_range(cell, &inside);
    return "in turn";
}

/* ---- detach ---- */

static void check_detached(struct cell *cell)
{
    unsigned char byte = 0;
    uint64_t number;
    SAME(mv_size(cell->view), 0);
    REFUSED(-EBADF, mv_read(cell->view, &byte, 1, 0, ERR));
    REFUSED(-EBADF, mv_write(cell->view, &byte, 1, 0, ERR));
    REFUSED(-EBADF, mv_load(cell->view, 0, 8, &number, ERR));
    REFUSED(-EBADF, mv_store(cell->view, 0, 8, 0, ERR));
    REFUSED(-EBADF, mv_probe(cell->view, 0, 1, MV_READ, ERR));
    REFUSED(-EBADF, mv_sync(cell->view, 0, 0, MV_SYNC_FULL, ERR));
    SAME(touch(mv_data(cell->view), MV_READ), SIGSEGV);
}

static void detach_once(struct cell *cell)
{
    struct runner runners[2];
    matrix_open(cell, cell->flags);
    start(&runners[0], cell, cell->column);
    start(&runners[1], cell, cell->flags & MV_OPEN_WRITE ? matrix_partner(cell->column) : cell->column);
    for (int i = 0; i < 2; i++) {
        SAME(pthread_create(&runners[i].thread, NULL, run_it, &runners[i]), 0);
    }
    while (!have_complained(runners) &&
           (atomic_load(&runners[0].whole) < 3 || atomic_load(&runners[1].whole) < 3))
        sched_yield();
    int r = mv_detach(cell->view, support_prepare());
    end(&runners[0]); /* by itself */
    end(&runners[1]);
    report(runners);
    SAME(r, 0);
    check_detached(cell);
    close_view(cell->view);
}

/* A detached view stays so; a new one of the file is as good as ever. */
const char *matrix_detach(struct cell *cell)
{
    cell->from = matrix_at(FIRST, 32);
    cell->to = matrix_at(MANY_PAGES - 1, 64);
    cell->end = MANY_PAGES * PAGE - LEAD;
    matrix_make(cell, MANY_PAGES * PAGE);
    for (int i = 0; i < DETACHES; i++)
        detach_once(cell);
    matrix_open(cell, MV_OPEN_WRITE);
    check_usable(cell->view);
    matrix_close(cell);
    return "EBADF";
}
