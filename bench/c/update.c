/* update.c: the row Update: 64 bytes at random places of a file in memory, with
 * no sync, or with one behind each batch. */

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

#define SPAN (128 * MIB)
#define PAGE ((size_t)4096)
enum { UPDATE = 64, BATCH = 64, BRIEF_BATCH = 8 };

/* What a sample with a sync begins with is clean, and so is a page in the table. */
static int clean(struct work *w, struct way *v)
{
    (void)v;
    return w->sync ? sync_file(w->path) : 0;
}

/* The way of LMDB with a write map refused: the page is found in a read-only
 * mapping, changed in a copy and written whole. (LMDB writes it elsewhere.) */
static int by_lmdb(struct work *w, struct way *v, long first, long n)
{
    char page[4096];
    for (long i = first; i < first + n; i++) {
        size_t at = place_of(w->walk, i), start = at / PAGE * PAGE;
        memcpy(page, v->data + start, PAGE);
        memcpy(page + (at - start), w->buf, UPDATE);
        if (pwrite(v->fd, page, PAGE, (off_t)start) != (ssize_t)PAGE)
            return -1;
    }
    return w->sync ? fdatasync(v->fd) : 0;
}

/* The way of SQLite without a mapping: the page is read, changed, and written
 * whole. (Its journal is left out.) */
static int by_sqlite(struct work *w, struct way *v, long first, long n)
{
    char page[4096];
    for (long i = first; i < first + n; i++) {
        size_t at = place_of(w->walk, i), start = at / PAGE * PAGE;
        if (pread(v->fd, page, PAGE, (off_t)start) != (ssize_t)PAGE)
            return -1;
        memcpy(page + (at - start), w->buf, UPDATE);
        if (pwrite(v->fd, page, PAGE, (off_t)start) != (ssize_t)PAGE)
            return -1;
    }
    return w->sync ? fdatasync(v->fd) : 0;
}

static int open_lmdb(struct work *w, struct way *v)
{
    if (open_way_fd(w, v) != 0)
        return -1;
    if (!(v->data = map_file(w->path, SPAN, 0)))
        return -1;
    v->mapped = SPAN;
    return madvise(v->data, SPAN, MADV_POPULATE_READ);
}

#define WAY(who, how, opener, preparation, runner, which)                              \
    {                                                                                  \
        .impl = who, .op = how, .open = opener, .prepare = preparation, .run = runner, \
        .close = close_way_all, .kind = which                                          \
    }
#define MAPPED_WAY(who, how, opener, runner)                                     \
    {                                                                            \
        .impl = who, .op = how, .open = opener, .prepare = clean, .run = runner, \
        .settle = stay_writable, .close = close_way_all                          \
    }

static struct way ways[] = {
    MAPPED_WAY("mapview", "mv_write", open_way_view, by_mv_copy),
    WAY("mapview", "mv_write,RANDOM", open_way_view, clean, by_mv_copy, MV_OPEN_RANDOM),
    MAPPED_WAY("mapview", "store", open_way_view, by_mv_data),
    MAPPED_WAY("mmap", "store", open_way_map, by_memcpy),
    WAY("libc", "pwrite", open_way_fd, clean, by_pread, 0),
    WAY("lmdb", "map+pwrite-page", open_lmdb, clean, by_lmdb, 0),
    WAY("sqlite", "pread+pwrite-page", open_way_fd, clean, by_sqlite, 0),
    {.impl = "aio",
     .op = "lio_listio,32",
     .open = open_way_fd,
     .prepare = clean,
     .run = run_aio,
     .close = close_way_all,
     .batch = MOST_BATCH},
    {.impl = "uring",
     .op = "submit+wait,32",
     .open = open_uring,
     .prepare = clean,
     .run = run_uring,
     .close = close_uring,
     .batch = MOST_BATCH},
    WAY("memory", "store", open_way_memory, NULL, by_memcpy, OF_HUGE_PAGES),
    {.impl = "libc",
     .op = "pwrite",
     .open = open_way_fd,
     .prepare = clean,
     .run = by_pread,
     .close = close_way_all,
     .again = 1},
};
enum { WAYS = sizeof ways / sizeof ways[0] };

static int measure_updates(struct work *w, size_t folio, int sync, double seconds, const char *run)
{
    w->walk = (struct walk){UPDATE, SPAN / UPDATE, 1};
    w->sync = sync;
    w->ops = !sync ? 0 : is_brief(seconds) ? BRIEF_BATCH : BATCH;
    w->count = sync ? COUNT_DEVICE | COUNT_FAULTS : COUNT_FAULTS | COUNT_CALLS;
    snprintf(w->keys, sizeof w->keys, "pattern=rand/cache=resident/folio=%zu/sync=%s", folio,
             sync ? "batch" : "none");
    snprintf(w->title, sizeof w->title, "64 bytes at random over 128 MiB in folios of %zu KiB, %s%.0ld",
             folio >> 10, sync ? "a sync behind each " : "no sync", w->ops);
    if (say_state(w, SPAN,
                  sync ? "; clean before each sample"
                       : "; dirty; a sample that took faults is taken again") != 0)
        return -1;
    return measure_work(w, ways, WAYS, seconds, run);
}

static int measure_folios(const struct row *row, const struct order *order, size_t folio)
{
    struct stage stage = {.size = 0};
    struct work w = {.row = row->name, .writes = 1, .check = check_writes};
    int rc = open_stage(&stage, &w, order, "c-update", SPAN, folio);
    size_t found = rc == 0 ? folio_of(w.path, SPAN) : folio;
    if (found != folio) {
        printf("SKIPPED C, Update: a file written in pieces of %zu KiB has folios of %zu KiB here\n",
               folio >> 10, found >> 10);
        close_stage(&stage, &w);
        return 0;
    }
    if (rc == 0)
        rc = open_ways(&w, ways, WAYS);
    for (int sync = 0; rc == 0 && sync < 2; sync++)
        rc = measure_updates(&w, folio, sync, order->seconds / 4, order->run);
    close_ways(&w, ways, WAYS);
    close_stage(&stage, &w);
    return rc;
}

static int measure_update(const struct row *row, const struct order *order)
{
    int rc = measure_folios(row, order, 4 * KIB);
    return rc == 0 ? measure_folios(row, order, MIB) : rc;
}

const struct row update_rows[] = {
    {"Update", 1, 16, "64 bytes updated at random places, with and without sync", measure_update},
    {0},
};
