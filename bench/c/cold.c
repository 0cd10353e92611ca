/* cold.c: the row Cold: reads of a file that is not in memory. Every sample
 * begins with the file dropped, which mincore confirms. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "async.h"
#include "copy.h"
#include "stage.h"

enum { AT_RANDOM = 128, IN_ORDER = 64, QUEUE = 8 };
#define SPAN (128 * MIB)

/* ---- opened anew for each sample ---- */

static void let_go(struct work *w);

/* A mapping would hold pages in memory. */
static int drop(struct work *w)
{
    let_go(w);
    return drop_file(w->path, SPAN) == 0 ? 0 : work_fail(w, NULL, "the file is still in memory");
}

static int cold_view(struct work *w, struct way *v)
{
    mv_options options = MV_OPTIONS_INIT;
    options.flags = (uint64_t)v->kind;
    return drop(w) == 0 ? mv_open(w->path, &options, &v->view, NULL) : -1;
}

/* kind: the advice */
static int cold_map(struct work *w, struct way *v)
{
    if (drop(w) != 0)
        return -1;
    if (!(v->data = map_file(w->path, SPAN, 0)))
        return -1;
    v->mapped = SPAN;
    return v->kind ? madvise(v->data, SPAN, v->kind) : 0;
}

/* A descriptor keeps what the read-ahead has learnt, so it is opened anew, too. */
static int cold_fd(struct work *w, struct way *v)
{
    return drop(w) == 0 ? open_way_fd(w, v) : -1;
}

/* All that will be read is asked for at once; then it is read. */
static int by_prefetch(struct work *w, struct way *v, long first, long n)
{
    mv_range ranges[AT_RANDOM];
    if (n > AT_RANDOM)
        return -1;
    for (long i = 0; i < n; i++)
        ranges[i] = (mv_range){place_of(w->walk, first + i), w->walk.size};
    if (mv_prefetch(v->view, ranges, (uint64_t)n, NULL) != 0)
        return -1;
    return by_mv_copy(w, v, first, n);
}

/* The same by hand, a call for each. */
static int by_willneed(struct work *w, struct way *v, long first, long n)
{
    for (long i = 0; i < n; i++)
        if (madvise(v->data + place_of(w->walk, first + i), w->walk.size, MADV_WILLNEED) != 0)
            return -1;
    return by_memcpy(w, v, first, n);
}

#define VIEW(how, runner, flags, mask)                                                             \
    {                                                                                              \
        .impl = "mapview", .op = how, .prepare = cold_view, .run = runner, .close = close_way_all, \
        .kind = flags, .not_for = mask                                                             \
    }
#define MAP(how, advice, mask, second)                                                            \
    {                                                                                             \
        .impl = "mmap", .op = how, .prepare = cold_map, .run = by_memcpy, .close = close_way_all, \
        .kind = advice, .not_for = mask, .again = second                                          \
    }
#define FD(who, how, runner, flags, mask)                                                  \
    {                                                                                      \
        .impl = who, .op = how, .prepare = cold_fd, .run = runner, .close = close_way_all, \
        .kind = flags, .not_for = mask                                                     \
    }
#define URING(who, how, flags, at_once, mask)                                             \
    {                                                                                     \
        .impl = who, .op = how, .open = open_uring, .prepare = cold_fd, .run = run_uring, \
        .close = close_uring, .kind = flags, .batch = at_once, .not_for = mask            \
    }

/* Of the devices the first is the limit; without liburing it is one read at a time. */
static struct way ways[] = {
    VIEW("mv_read,RANDOM", by_mv_copy, MV_OPEN_RANDOM, NOT_IN_ORDER),
    VIEW("mv_read,SEQUENTIAL", by_mv_copy, MV_OPEN_SEQUENTIAL, NOT_RANDOM),
    VIEW("mv_read", by_mv_copy, 0, 0),
    VIEW("mv_prefetch+mv_read", by_prefetch, MV_OPEN_RANDOM, NOT_IN_ORDER),
    MAP("memcpy", MADV_NORMAL, 0, 0),
    MAP("memcpy,RANDOM", MADV_RANDOM, NOT_IN_ORDER, 0),
    MAP("memcpy,SEQUENTIAL", MADV_SEQUENTIAL, NOT_RANDOM, 0),
    {.impl = "mmap",
     .op = "WILLNEED+memcpy,RANDOM",
     .prepare = cold_map,
     .run = by_willneed,
     .close = close_way_all,
     .kind = MADV_RANDOM,
     .not_for = NOT_IN_ORDER},
    FD("libc", "pread", by_pread, 0, 0),
    FD("aio", "aio_read+aio_suspend", run_aio, 0, 0),
    URING("uring", "submit+wait", 0, 0, 0),
    URING("uring", "submit+wait,32", 0, MOST_BATCH, NOT_IN_ORDER),
    URING("device", "O_DIRECT,32-at-once", O_DIRECT, MOST_BATCH, NOT_IN_ORDER),
    URING("device", "O_DIRECT,8-at-once", O_DIRECT, QUEUE, NOT_RANDOM),
    FD("device", "pread,O_DIRECT", by_pread, O_DIRECT, 0),
    {.impl = "libc",
     .op = "pread",
     .prepare = cold_fd,
     .run = by_pread,
     .close = close_way_all,
     .again = 1},
};
enum { WAYS = sizeof ways / sizeof ways[0] };

static void let_go(struct work *w)
{
    for (int k = 0; k < WAYS; k++)
        close_way_file(w, &ways[k]);
}

static int measure_reads(struct work *w, int random, double seconds, const char *run)
{
    size_t size = random ? 4 * KIB : MIB;
    w->walk = (struct walk){size, SPAN / size, random};
    w->ops = random ? AT_RANDOM : IN_ORDER;
    w->count = COUNT_FAULTS | COUNT_LATENCIES;
    snprintf(w->keys, sizeof w->keys, "pattern=%s/cache=cold", random ? "rand" : "seq");
    snprintf(w->title, sizeof w->title, "%ld reads of %zu KiB %s 128 MiB that are not in memory",
             w->ops, size >> 10, random ? "at random over" : "from the start of");
    snprintf(w->state, sizeof w->state, "0 of %zu pages in memory before each sample, by mincore",
             SPAN / 4096);
    return measure_work(w, ways, WAYS, seconds, run);
}

static int measure_cold(const struct row *row, const struct order *order)
{
    struct stage stage = {.size = 0};
    struct work w = {.row = row->name, .check = check_reads};
    w.buf = aligned_alloc(2 * MIB, QUEUE * MIB);
    if (w.buf) /* pages that lie together are few segments to the device */
        madvise(w.buf, QUEUE * MIB, MADV_HUGEPAGE);
    int rc = w.buf ? open_stage(&stage, &w, order, "c-cold", SPAN, MIB) : fail("no memory", row->name);
    if (stage.truth) /* it would hold pages in memory */
        munmap(stage.truth, SPAN);
    stage.truth = NULL;
    if (rc == 0 && drop_file(w.path, SPAN) != 0) {
        printf("SKIPPED C, Cold: the file cannot be dropped from memory here: %s\n", strerror(errno));
        close_stage(&stage, &w);
        return 0;
    }
    if (rc == 0)
        rc = open_ways(&w, ways, WAYS);
    if (rc == 0)
        rc = measure_reads(&w, 1, order->seconds / 2, order->run);
    if (rc == 0)
        rc = measure_reads(&w, 0, order->seconds / 2, order->run);
    close_ways(&w, ways, WAYS);
    close_stage(&stage, &w);
    return rc;
}

const struct row cold_rows[] = {
    {"Cold", 0, 8, "reads of a file that is not in memory", measure_cold},
    {0},
};
