/* copy.c: the row Copy: accesses to bytes that are in memory, and see copy.h. */

#include "copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "async.h"
#include "stage.h"

/* What a loop needs is in locals, as a user's would be. */

int by_mv_copy(struct work *w, struct way *v, long first, long n)
{
    struct walk walk = w->walk;
    char *buf = w->buf;
    mv_view *view = v->view;
    uint64_t sum = 0;
    for (long i = first; i < first + n; i++) {
        int64_t got = w->writes ? mv_write(view, buf, walk.size, place_of(walk, i), NULL)
                                : mv_read(view, buf, walk.size, place_of(walk, i), NULL);
        if (got != (int64_t)walk.size)
            return -1;
        sum += ends(buf, walk.size);
        note(w, i - first);
    }
    w->sum += sum;
    return w->sync ? mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, NULL) : 0;
}

/* The compiler does not know the size: it calls memcpy in the C library. */
static void copy_all(struct work *w, char *data, long first, long n)
{
    struct walk walk = w->walk;
    char *buf = w->buf;
    uint64_t sum = 0;
    int writes = w->writes;
    for (long i = first; i < first + n; i++) {
        char *at = data + place_of(walk, i);
        memcpy(writes ? at : buf, writes ? buf : at, walk.size);
        KEEP();
        sum += ends(buf, walk.size);
        note(w, i - first);
    }
    w->sum += sum;
}

int by_memcpy(struct work *w, struct way *v, long first, long n)
{
    copy_all(w, v->data, first, n);
    return w->sync && v->mapped ? msync(v->data, v->mapped, MS_SYNC) : 0;
}

int by_mv_data(struct work *w, struct way *v, long first, long n)
{
    copy_all(w, mv_data(v->view), first, n);
    return w->sync ? mv_sync(v->view, 0, MV_TO_END, MV_SYNC_DATA, NULL) : 0;
}

int by_pread(struct work *w, struct way *v, long first, long n)
{
    struct walk walk = w->walk;
    char *buf = w->buf;
    uint64_t sum = 0;
    for (long i = first; i < first + n; i++) {
        off_t at = (off_t)place_of(walk, i);
        ssize_t got = w->writes ? pwrite(v->fd, buf, walk.size, at) : pread(v->fd, buf, walk.size, at);
        if (got != (ssize_t)walk.size)
            return -1;
        sum += ends(buf, walk.size);
        note(w, i - first);
    }
    w->sum += sum;
    return w->sync ? fdatasync(v->fd) : 0;
}

/* At the end of the file it goes back to the start. */
int by_read(struct work *w, struct way *v, long first, long n)
{
    struct walk walk = w->walk;
    char *buf = w->buf;
    uint64_t sum = 0;
    for (long i = first; i < first + n; i++) {
        size_t at = place_of(walk, i);
        if ((i == first || at == 0) && lseek(v->fd, (off_t)at, SEEK_SET) != (off_t)at)
            return -1;
        ssize_t got = w->writes ? write(v->fd, buf, walk.size) : read(v->fd, buf, walk.size);
        if (got != (ssize_t)walk.size)
            return -1;
        sum += ends(buf, walk.size);
        note(w, i - first);
    }
    w->sum += sum;
    return w->sync ? fdatasync(v->fd) : 0;
}

/* What is written back meanwhile is write-protected again: a fault for each page,
 * which is another block's matter. */
int stay_writable(struct work *w, struct way *v)
{
    if (!w->writes)
        return 0;
    return v->view ? mv_prefault(v->view, 0, MV_TO_END, MV_WRITE, NULL)
                   : madvise(v->data, v->mapped, MADV_POPULATE_WRITE);
}

/* The limit of what goes by system calls: one that does nothing, beside the
 * same copy of memory. */
static int by_call(struct work *w, struct way *v, long first, long n)
{
    pid_t me = getpid();
    for (long i = 0; i < n; i++)
        if (syscall(SYS_getpid) != me)
            return -1;
    copy_all(w, v->data, first, n);
    return 0;
}

#define AIO(name, at_once, largest, mask)                                                       \
    {                                                                                           \
        .impl = "aio", .op = name, .open = open_way_fd, .run = run_aio, .close = close_way_all, \
        .batch = at_once, .most = largest, .not_for = mask                                      \
    }
#define URING(name, at_once, largest, mask)                                                      \
    {                                                                                            \
        .impl = "uring", .op = name, .open = open_uring, .run = run_uring, .close = close_uring, \
        .batch = at_once, .most = largest, .not_for = mask                                       \
    }
#define MAPPED_WAY(who, how, opener, runner, mask)                                      \
    {                                                                                   \
        .impl = who, .op = how, .open = opener, .settle = stay_writable, .run = runner, \
        .close = close_way_all, .not_for = mask                                         \
    }
#define FILE_WAY(who, how, opener, runner, mask)                                                       \
    {                                                                                                  \
        .impl = who, .op = how, .open = opener, .run = runner, .close = close_way_all, .not_for = mask \
    }
#define MEMORY_WAY(who, which)                                                  \
    {                                                                           \
        .impl = who, .op = "memcpy", .open = open_way_memory, .run = by_memcpy, \
        .close = close_way_all, .kind = which                                   \
    }

static struct way ways[] = {
    MAPPED_WAY("mapview", "mv_read", open_way_view, by_mv_copy, NOT_WRITES),
    MAPPED_WAY("mapview", "mv_write", open_way_view, by_mv_copy, NOT_READS),
    MAPPED_WAY("mapview", "mv_data+memcpy", open_way_view, by_mv_data, 0),
    MAPPED_WAY("mmap", "memcpy", open_way_map, by_memcpy, 0),
    FILE_WAY("libc", "pread", open_way_fd, by_pread, NOT_WRITES),
    FILE_WAY("libc", "pwrite", open_way_fd, by_pread, NOT_READS),
    FILE_WAY("libc", "read", open_way_fd, by_read, NOT_WRITES | NOT_RANDOM),
    FILE_WAY("libc", "write", open_way_fd, by_read, NOT_READS | NOT_RANDOM),
    AIO("aio_read+aio_suspend", 0, 0, NOT_WRITES),
    AIO("aio_write+aio_suspend", 0, 0, NOT_READS),
    AIO("lio_listio,32", MOST_BATCH, 64 * KIB, 0),
    URING("submit+wait", 0, 0, 0),
    URING("submit+wait,32", MOST_BATCH, 64 * KIB, 0),
    MEMORY_WAY("sysv", OF_SYSV),
    MEMORY_WAY("posixshm", OF_POSIX),
    MEMORY_WAY("memfd", OF_MEMFD),
    MEMORY_WAY("malloc", OF_MALLOC),
    MEMORY_WAY("sbrk", OF_SBRK),
    MEMORY_WAY("memory", OF_HUGE_PAGES),
    {.impl = "kernel",
     .op = "getpid+memcpy",
     .open = open_way_memory,
     .run = by_call,
     .close = close_way_all,
     .kind = OF_HUGE_PAGES,
     .most = 64},
    {.impl = "mmap",
     .op = "memcpy",
     .open = open_way_map,
     .settle = stay_writable,
     .run = by_memcpy,
     .close = close_way_all,
     .again = 1},
};
enum { WAYS = sizeof ways / sizeof ways[0] };

static const size_t sizes[] = {64, 512, 4 * KIB, 64 * KIB, MIB};
enum { SIZES = sizeof sizes / sizeof sizes[0], BLOCKS = SIZES * 4, SPAN = 64 << 20 };

static int measure_block(struct work *w, size_t size, int writes, int random, double seconds,
                         const char *run)
{
    w->walk = (struct walk){size, SPAN / size, random};
    w->writes = writes;
    w->check = writes ? check_writes : check_reads;
    snprintf(w->keys, sizeof w->keys, "access=%s/pattern=%s/cache=resident", writes ? "write" : "read",
             random ? "rand" : "seq");
    snprintf(w->title, sizeof w->title, "%s of %zu bytes %s 64 MiB that are in memory",
             writes ? "writes" : "reads", size, random ? "at random over" : "in order over");
    return measure_work(w, ways, WAYS, seconds / BLOCKS, run);
}

static int measure_copy(const struct row *row, const struct order *order)
{
    struct stage stage = {.size = 0};
    struct work w = {.row = row->name, .count = COUNT_CALLS | COUNT_FAULTS};
    int rc = open_stage(&stage, &w, order, "c-copy", SPAN, MIB);
    w.walk = (struct walk){SPAN, 1, 0};
    if (rc == 0)
        rc = say_state(&w, SPAN,
                       "; all in the page tables; a sample of writing that took faults is taken again");
    if (rc == 0)
        rc = open_ways(&w, ways, WAYS);
    for (int b = 0; rc == 0 && b < BLOCKS; b++) /* what writes comes last: it changes the content */
        rc = measure_block(&w, sizes[b % SIZES], b / SIZES / 2, b / SIZES % 2, order->seconds,
                           order->run);
    close_ways(&w, ways, WAYS);
    close_stage(&stage, &w);
    return rc;
}

const struct row copy_rows[] = {
    {"Copy", 0, 24, "reads and writes of 64 bytes to 1 MiB, in memory", measure_copy},
    {0},
};
