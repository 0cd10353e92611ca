/* speed.c: the row Speed: how fast records go to disk, to a mapping and to
 * memory, behind each other: the question of note D. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "copy.h"
#include "stage.h"

#define SPAN (4 * MIB)
#define SHORT_SPAN (1 * MIB) /* of records so small that more would take long */

/* begin makes the file that a sample writes: new, with blocks and not in memory,
 * or the one that was written and synced before. */
static int begin(struct work *w)
{
    if (w->warm)
        return w->sync ? sync_file(w->path) : 0;
    unlink(w->path);
    int fd = open(w->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    int rc = posix_fallocate(fd, 0, (off_t)SPAN) == 0 ? fsync(fd) : -1;
    close(fd);
    return rc;
}

/* warm: without a sync the pages are dirty and writable. With one they are clean,
 * and each takes a fault, which is a part of the question. */
static int warm(struct work *w, struct way *v)
{
    return !w->warm || w->sync ? 0 : stay_writable(w, v);
}

static int begin_fd(struct work *w, struct way *v)
{
    close_way_file(w, v);
    return begin(w) == 0 ? open_way_fd(w, v) : -1;
}

static int begin_map(struct work *w, struct way *v)
{
    if (!w->warm)
        close_way_file(w, v);
    if (begin(w) != 0)
        return -1;
    if (v->mapped)
        return warm(w, v);
    if (!(v->data = map_file(w->path, SPAN, 1)))
        return -1;
    v->mapped = SPAN;
    return warm(w, v);
}

static int begin_view(struct work *w, struct way *v)
{
    mv_options options = MV_OPTIONS_INIT;
    if (!w->warm)
        close_way_file(w, v);
    if (begin(w) != 0)
        return -1;
    options.flags = MV_OPEN_WRITE | (uint64_t)v->kind;
    if (!v->view && mv_open(w->path, &options, &v->view, NULL) != 0)
        return -1;
    return warm(w, v);
}

/* A log from the start of the file, which is cut behind its last record. */
static int by_append(struct work *w, struct way *v, long first, long n)
{
    mv_append_options options = MV_APPEND_OPTIONS_INIT;
    mv_appender *a;
    size_t size = w->walk.size;
    (void)first;
    options.start = 0;
    if (mv_appender_open(v->view, &options, &a, NULL) != 0)
        return -1;
    int64_t rc = 0;
    for (long i = 0; rc >= 0 && i < n; i++)
        rc = mv_append(a, w->buf, size, NULL);
    if (mv_appender_close(a, NULL) != 0 || rc < 0)
        return -1;
    return w->sync ? mv_sync(v->view, 0, MV_TO_END, MV_SYNC_DATA, NULL) : 0;
}

/* Memory that nobody has touched, or that was written before. */
static int begin_memory(struct work *w, struct way *v)
{
    struct memory *m = v->extra;
    (void)w;
    if (m && !w->warm && v->kind == OF_MMAP) {
        drop_memory(m);
        free(m);
        m = NULL;
    }
    if (!m) {
        m = calloc(1, sizeof *m);
        if (!m || take_memory(m, v->kind, SPAN) != 0) {
            free(m);
            return -1;
        }
        if (w->warm || v->kind == OF_HUGE_PAGES)
            memset(m->at, 1, SPAN);
    }
    v->extra = m;
    v->data = m->at;
    v->truth = m->at;
    return 0;
}

/* The file may be another one for each sample, so it is read for the check. */
static int check_records(struct work *w, struct way *v, long first, long n)
{
    static char got[MIB];
    size_t size = w->walk.size, at = 0, all = (size_t)n * size, step = all < MIB ? all : MIB;
    (void)first;
    if (v->truth)
        return check_writes(w, v, 0, n);
    int fd = open(w->path, O_RDONLY | O_CLOEXEC), same = fd >= 0;
    for (; same && at < all; at += step) {
        same = pread(fd, got, step, (off_t)at) == (ssize_t)step;
        for (size_t i = 0; same && i < step; i += size)
            same = memcmp(got + i, w->buf, size) == 0;
    }
    same = same && lseek(fd, 0, SEEK_END) >= (off_t)all;
    if (fd >= 0)
        close(fd);
    errno = 0;
    return same ? 0 : work_fail(w, v, "a record did not arrive");
}

#define WAY(who, how, preparation, runner, which, second)                                      \
    {                                                                                          \
        .impl = who, .op = how, .prepare = preparation, .run = runner, .close = close_way_all, \
        .kind = which, .again = second                                                         \
    }

static struct way ways[] = {
    WAY("libc", "write", begin_fd, by_read, 0, 0),
    WAY("mapview", "mv_write", begin_view, by_mv_copy, 0, 0),
    WAY("mapview", "mv_write,SEQUENTIAL", begin_view, by_mv_copy, MV_OPEN_SEQUENTIAL, 0),
    WAY("mapview", "store", begin_view, by_mv_data, 0, 0),
    {.impl = "mapview",
     .op = "mv_append",
     .prepare = begin_view,
     .run = by_append,
     .close = close_way_all,
     .not_for = NOT_WARM}, /* it cuts the file behind its last record */
    WAY("mmap", "store", begin_map, by_memcpy, 0, 0),
    WAY("mmap", "store,anonymous", begin_memory, by_memcpy, OF_MMAP, 0),
    WAY("memory", "store", begin_memory, by_memcpy, OF_HUGE_PAGES, 0),
    WAY("libc", "write", begin_fd, by_read, 0, 1),
};
enum { WAYS = sizeof ways / sizeof ways[0] };

static int measure_records(struct work *w, size_t size, double seconds, const char *run)
{
    size_t span = size < KIB || is_brief(seconds) ? SHORT_SPAN : SPAN;
    w->walk = (struct walk){size, span / size, 0};
    if (is_brief(seconds) && size < KIB)
        w->walk.places /= 16; /* a test of the benchmark */
    w->ops = (long)w->walk.places;
    snprintf(w->keys, sizeof w->keys, "pattern=seq/cache=%s/sync=%s", w->warm ? "warm" : "fresh",
             w->sync ? "end" : "none");
    snprintf(w->title, sizeof w->title, "%zu KiB in records of %zu bytes, %s, %s",
             w->walk.places * size >> 10, size,
             w->warm ? "over a file in memory" : "to a new file with its blocks",
             w->sync ? "one sync at the end" : "no sync");
    snprintf(w->state, sizeof w->state, "%s; anonymous memory %s, memory of huge pages written before",
             !w->warm  ? "a new file for each sample, synced, nothing of it in memory"
             : w->sync ? "the file was written before, and is clean"
                       : "the file was written before, its pages are writable",
             w->warm ? "was written before" : "is new");
    for (int k = 0; k < WAYS; k++) /* of the block before */
        if (ways[k].close)
            ways[k].close(w, &ways[k]);
    if (w->warm && make_stage(w->path, NULL, SPAN, MIB) != 0)
        return -1;
    return measure_work(w, ways, WAYS, seconds, run);
}

static int measure_speed(const struct row *row, const struct order *order)
{
    static const size_t sizes[] = {16, 128, KIB, 8 * KIB, 64 * KIB, MIB};
    struct stage stage = {.size = 0};
    struct work w = {.row = row->name, .writes = 1, .check = check_records, .count = COUNT_FAULTS};
    int rc = open_stage(&stage, &w, order, "c-speed", SPAN, MIB);
    if (rc == 0)
        rc = open_ways(&w, ways, WAYS);
    for (int b = 0; rc == 0 && b < 24; b++) {
        w.warm = b >= 12;
        w.sync = b / 6 % 2;
        /* Who begins to write back, without being asked to sync, shows it. */
        w.count = w.warm && !w.sync ? COUNT_FAULTS | COUNT_DEVICE : COUNT_FAULTS;
        rc = measure_records(&w, sizes[b % 6], order->seconds / 24, order->run);
    }
    close_ways(&w, ways, WAYS);
    close_stage(&stage, &w);
    return rc;
}

const struct row speed_rows[] = {
    {"Speed", 0, 16, "records to disk, to a mapping, to memory", measure_speed},
    {0},
};
