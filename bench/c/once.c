/* once.c: the row Once: a file that is opened, used from end to end once, and
 * closed. Used: its numbers of eight bytes are added up, in place or in a buffer. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stage.h"

static __attribute__((noinline)) uint64_t add_up(const char *at, size_t size)
{
    uint64_t sum = 0, number;
    for (size_t i = 0; i < size; i += sizeof number) {
        memcpy(&number, at + i, sizeof number);
        sum += number;
    }
    return sum;
}

static int check_sums(struct work *w, struct way *v, long first, long n)
{
    (void)first;
    return w->sum == add_up(w->content, w->walk.size) * (uint64_t)n
               ? 0
               : work_fail(w, v, "did not use every byte of the file");
}

/* kind: 0 in place, 1 copied out */
static int once_mapview(struct work *w, struct way *v)
{
    mv_view *view;
    if (mv_open(w->path, NULL, &view, NULL) != 0)
        return -1;
    size_t size = mv_size(view);
    const char *at = mv_data(view);
    if (v->kind) {
        at = mv_read(view, w->buf, size, 0, NULL) == (int64_t)size ? w->buf : NULL;
    }
    if (at)
        w->sum += add_up(at, size);
    return mv_close(view, NULL);
}

/* kind: flags of mmap */
static int once_mmap(struct work *w, struct way *v)
{
    struct stat st;
    int fd = open(w->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return -1;
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED | v->kind, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return -1;
    w->sum += add_up(at, (size_t)st.st_size);
    return munmap(at, (size_t)st.st_size);
}

/* kind: bytes of one read; 0: all at once */
static int once_read(struct work *w, struct way *v)
{
    struct stat st;
    int fd = open(w->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return -1;
    size_t size = (size_t)st.st_size, piece = v->kind ? (size_t)v->kind : size;
    int rc = 0;
    for (size_t done = 0; rc == 0 && done < size; done += piece) {
        size_t n = size - done < piece ? size - done : piece;
        rc = read(fd, w->buf, n) == (ssize_t)n ? 0 : -1;
        w->sum += rc == 0 ? add_up(w->buf, n) : 0;
    }
    close(fd);
    return rc;
}

static int once_kept(struct work *w, struct way *v)
{
    w->sum += add_up(mv_data(v->view), mv_size(v->view));
    return 0;
}

static int once_memory(struct work *w, struct way *v)
{
    w->sum += add_up(v->data, w->walk.size);
    return 0;
}

#define RUN(name, one)                                                 \
    static int name(struct work *w, struct way *v, long first, long n) \
    {                                                                  \
        (void)first;                                                   \
        for (long i = 0; i < n; i++)                                   \
            if (one(w, v) != 0)                                        \
                return -1;                                             \
        return 0;                                                      \
    }
RUN(by_mapview, once_mapview)
RUN(by_mmap, once_mmap)
RUN(by_reads, once_read)
RUN(by_kept, once_kept)
RUN(by_own_memory, once_memory)

static struct way ways[] = {
    {.impl = "mapview", .op = "mv_open+sum", .run = by_mapview},
    {.impl = "mapview", .op = "mv_open+mv_read+sum", .run = by_mapview, .kind = 1},
    {.impl = "mapview",
     .op = "kept+sum",
     .open = open_way_view,
     .run = by_kept,
     .close = close_way_all},
    {.impl = "mmap", .op = "open+mmap+sum", .run = by_mmap},
    {.impl = "mmap", .op = "open+MAP_POPULATE+sum", .run = by_mmap, .kind = MAP_POPULATE},
    {.impl = "libc", .op = "open+read+sum", .run = by_reads},
    {.impl = "libc",
     .op = "open+read,64KiB+sum",
     .run = by_reads,
     .kind = 64 << 10,
     .least = 128 * KIB},
    {.impl = "memory",
     .op = "sum",
     .open = open_way_memory,
     .run = by_own_memory,
     .close = close_way_all,
     .kind = OF_HUGE_PAGES},
    {.impl = "mmap", .op = "open+mmap+sum", .run = by_mmap, .again = 1},
};
enum { WAYS = sizeof ways / sizeof ways[0], DOUBLINGS = 14 }; /* 512 B to 4 MiB */

static int measure_size(struct work *w, const struct order *order, size_t size)
{
    struct stage stage = {.size = 0};
    w->buf = aligned_alloc(4096, 4 * MIB);
    int rc = w->buf ? open_stage(&stage, w, order, "c-once", size, size) : fail("no memory", w->row);
    w->walk = (struct walk){size, 1, 0};
    if (rc == 0)
        rc = say_state(w, size, "");
    if (rc == 0)
        rc = open_ways(w, ways, WAYS);
    if (rc == 0)
        rc = measure_work(w, ways, WAYS, order->seconds / DOUBLINGS, order->run);
    close_ways(w, ways, WAYS);
    close_stage(&stage, w);
    return rc;
}

static int measure_once(const struct row *row, const struct order *order)
{
    struct work w = {.row = row->name,
                     .keys = "cache=resident",
                     .check = check_sums,
                     .count = COUNT_FAULTS | COUNT_CALLS};
    int rc = 0;
    for (int d = 0; rc == 0 && d < DOUBLINGS; d++) {
        snprintf(w.title, sizeof w.title, "a file of %zu bytes in memory: opened, added up, closed",
                 (size_t)512 << d);
        rc = measure_size(&w, order, (size_t)512 << d);
    }
    return rc;
}

const struct row once_rows[] = {
    {"Once", 0, 8, "a file in memory that is opened, used once and closed", measure_once},
    {0},
};
