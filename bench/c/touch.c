/* touch.c: the rows FirstTouch and Allocate: pages that are touched for the
 * first time through a mapping, and memory that is taken, touched and given back. */

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include "stage.h"

/* touch reads the first number of each page, or stores one and reads it back. */
static void touch(struct work *w, char *at)
{
    size_t size = w->walk.size;
    uint64_t sum = 0, value = w->seed;
    for (size_t page = 0; page < size; page += 4096) {
        volatile uint64_t *number = (volatile uint64_t *)(at + page);
        if (w->writes)
            *number = value + page;
        sum += *number;
    }
    w->sum += sum;
}

/* check_touches: and in a file, or memory that is still there, what was stored has
 * arrived. */
static int check_touches(struct work *w, struct way *v, long first, long n)
{
    const char *truth = v->truth ? v->truth : v->fd >= 0 || v->mapped ? w->truth : NULL;
    uint64_t sum = 0;
    (void)first;
    for (size_t page = 0; page < w->walk.size; page += 4096) {
        uint64_t number = w->seed + page, found = number;
        if (!w->writes)
            memcpy(&number, w->content + page, sizeof number);
        else if (truth)
            memcpy(&found, truth + page, sizeof found);
        if (w->writes && found != number)
            return work_fail(w, v, "a store did not arrive");
        sum += number;
    }
    return w->sum == sum * (uint64_t)n ? 0 : work_fail(w, v, "did not touch every page");
}

/* ---- of a file in memory ---- */

static int map_and_touch(struct work *w, const struct way *v, long n, int flags)
{
    size_t size = w->walk.size;
    for (long i = 0; i < n; i++) {
        char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | flags, v->fd, 0);
        if (at == MAP_FAILED)
            return -1;
        touch(w, at);
        if (munmap(at, size) != 0)
            return -1;
    }
    return 0;
}

static int by_mapping(struct work *w, struct way *v, long first, long n)
{
    (void)first;
    return map_and_touch(w, v, n, 0);
}

static int by_populated_mapping(struct work *w, struct way *v, long first, long n)
{
    (void)first;
    return map_and_touch(w, v, n, MAP_POPULATE);
}

/* kind: whether the pages are brought in first, by mv_prefault. */
static int by_view(struct work *w, struct way *v, long first, long n)
{
    mv_options options = MV_OPTIONS_INIT;
    options.flags = MV_OPEN_WRITE;
    options.length = w->walk.size;
    (void)first;
    for (long i = 0; i < n; i++) {
        mv_view *view;
        if (mv_open_fd(v->fd, &options, &view, NULL) != 0)
            return -1;
        int rc = v->kind ? mv_prefault(view, 0, MV_TO_END, w->writes ? MV_WRITE : MV_READ, NULL) : 0;
        touch(w, mv_data(view));
        if (mv_close(view, NULL) != 0 || rc != 0)
            return -1;
    }
    return 0;
}

/* The limit: a mapping that is there, its pages brought in at as few faults as
 * there are folios. */
static int by_populate(struct work *w, struct way *v, long first, long n)
{
    (void)first;
    for (long i = 0; i < n; i++) {
        if (madvise(v->data, w->walk.size, w->writes ? MADV_POPULATE_WRITE : MADV_POPULATE_READ) != 0)
            return -1;
        touch(w, v->data);
        if (i + 1 < n && madvise(v->data, w->walk.size, MADV_DONTNEED) != 0)
            return -1;
    }
    return 0;
}

static int without_pages(struct work *w, struct way *v)
{
    return madvise(v->data, w->walk.size, MADV_DONTNEED);
}

/* ---- of shared memory that is there ---- */

/* A mapping that stays holds the memory, and is where the check looks. */
static int open_shared(struct work *w, struct way *v)
{
    size_t size = file_size_of(w);
    char name[64];
    snprintf(name, sizeof name, "/mapview-bench-%d", (int)getpid());
    v->fd = v->kind == OF_POSIX ? shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600)
                                : memfd_create("mapview-bench", MFD_CLOEXEC);
    if (v->kind == OF_POSIX && v->fd >= 0)
        shm_unlink(name);
    if (v->fd < 0 || ftruncate(v->fd, (off_t)size) != 0)
        return ABSENT;
    v->data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (v->data == MAP_FAILED)
        return ABSENT;
    v->mapped = size;
    v->truth = v->data;
    memcpy(v->data, w->content, size);
    return 0;
}

/* fd is the number of the segment. */
static int open_sysv(struct work *w, struct way *v)
{
    size_t size = file_size_of(w);
    v->fd = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
    if (v->fd < 0)
        return ABSENT;
    v->data = shmat(v->fd, NULL, 0);
    shmctl(v->fd, IPC_RMID, NULL);
    if (v->data == (void *)-1) // NOLINT: that is what shmat returns
        return ABSENT;
    v->truth = v->data;
    memcpy(v->data, w->content, size);
    return 0;
}

static int by_shmat(struct work *w, struct way *v, long first, long n)
{
    (void)first;
    for (long i = 0; i < n; i++) {
        char *at = shmat(v->fd, NULL, 0);
        if (at == (void *)-1) // NOLINT: that is what shmat returns
            return -1;
        touch(w, at);
        if (shmdt(at) != 0)
            return -1;
    }
    return 0;
}

static void close_sysv(struct work *w, struct way *v)
{
    (void)w;
    shmdt(v->data);
}

/* ---- taken, touched, given back ---- */

static int by_memory(struct work *w, struct way *v, long first, long n)
{
    (void)first;
    for (long i = 0; i < n; i++) {
        struct memory m;
        if (take_memory(&m, v->kind, w->walk.size) != 0)
            return -1;
        touch(w, m.at);
        if (drop_memory(&m) != 0)
            return -1;
    }
    return 0;
}

/* malloc keeps what was freed, or gives it back to the system from a size on:
 * glibc moves that size by itself, unless it is set. */
static int let_malloc_keep(struct work *w, struct way *v)
{
    (void)w, (void)v;
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    return 0;
}

static int let_malloc_map(struct work *w, struct way *v)
{
    (void)w, (void)v;
    mallopt(M_MMAP_THRESHOLD, 4096);
    mallopt(M_TRIM_THRESHOLD, 0);
    mallopt(M_TOP_PAD, 0);
    malloc_trim(0);
    return 0;
}

/* The limit: memory that is there. */
static int by_ready(struct work *w, struct way *v, long first, long n)
{
    (void)first;
    for (long i = 0; i < n; i++)
        touch(w, v->data);
    return 0;
}

#define FILE_WAY(who, how, opener, runner, which)                                                    \
    {                                                                                                \
        .impl = who, .op = how, .open = opener, .run = runner, .close = close_way_all, .kind = which \
    }
#define TAKEN(who, how, which)                                                        \
    {                                                                                 \
        .impl = who, .op = how, .run = by_memory, .kind = which, .not_for = NOT_READS \
    }

static int open_plain_fd(struct work *w, struct way *v)
{
    v->fd = open(w->path, O_RDWR | O_CLOEXEC);
    return v->fd < 0 ? -1 : 0;
}

static struct way touches[] = {
    FILE_WAY("mapview", "mv_open+touch", open_plain_fd, by_view, 0),
    FILE_WAY("mapview", "mv_prefault+touch", open_plain_fd, by_view, 1),
    FILE_WAY("mmap", "touch", open_plain_fd, by_mapping, 0),
    FILE_WAY("mmap", "MAP_POPULATE+touch", open_plain_fd, by_populated_mapping, 0),
    FILE_WAY("posixshm", "touch", open_shared, by_mapping, OF_POSIX),
    FILE_WAY("memfd", "touch", open_shared, by_mapping, OF_MEMFD),
    {.impl = "sysv", .op = "shmat+touch", .open = open_sysv, .run = by_shmat, .close = close_sysv},
    {.impl = "malloc",
     .op = "malloc+touch,zeroed",
     .prepare = let_malloc_map,
     .run = by_memory,
     .kind = OF_MALLOC,
     .not_for = NOT_READS},
    TAKEN("sbrk", "sbrk+touch,zeroed", OF_SBRK),
    {.impl = "fault",
     .op = "populate+touch",
     .open = open_way_map,
     .prepare = without_pages,
     .run = by_populate,
     .close = close_way_all},
    {.impl = "mmap",
     .op = "touch",
     .open = open_plain_fd,
     .run = by_mapping,
     .close = close_way_all,
     .again = 1},
};
enum { TOUCHES = sizeof touches / sizeof touches[0] };

static struct way allocations[] = {
    {.impl = "malloc",
     .op = "malloc+free",
     .prepare = let_malloc_keep,
     .run = by_memory,
     .kind = OF_MALLOC},
    {.impl = "malloc",
     .op = "malloc+free,mapped",
     .prepare = let_malloc_map,
     .run = by_memory,
     .kind = OF_MALLOC},
    TAKEN("sbrk", "sbrk+sbrk", OF_SBRK),
    TAKEN("mmap", "mmap+munmap", OF_MMAP),
    TAKEN("mapview", "mv_anonymous+mv_close", OF_MV_ANONYMOUS),
    TAKEN("memfd", "memfd_create+mmap+munmap", OF_MEMFD),
    TAKEN("posixshm", "shm_open+mmap+munmap", OF_POSIX),
    TAKEN("sysv", "shmget+shmat+shmdt", OF_SYSV),
    {.impl = "memory",
     .op = "touch",
     .open = open_way_memory,
     .run = by_ready,
     .close = close_way_all,
     .kind = OF_HUGE_PAGES},
    {.impl = "mmap", .op = "mmap+munmap", .run = by_memory, .kind = OF_MMAP, .again = 1},
};
enum { ALLOCATIONS = sizeof allocations / sizeof allocations[0] };

static const size_t sizes[] = {64 * KIB, MIB, 8 * MIB, 64 * MIB};
enum { SIZES = sizeof sizes / sizeof sizes[0], SPAN = 64 << 20 };

static int measure_touch(const struct row *row, const struct order *order)
{
    struct stage stage = {.size = 0};
    struct work w = {.row = row->name, .check = check_touches, .count = COUNT_FAULTS | COUNT_CALLS};
    int rc = open_stage(&stage, &w, order, "c-touch", SPAN, MIB);
    if (rc == 0)
        rc = say_state(&w, SPAN, "; no page in the page table; memory of malloc and sbrk is new");
    if (rc == 0)
        rc = open_ways(&w, touches, TOUCHES);
    free(w.buf);
    w.buf = NULL;
    for (int b = 0; rc == 0 && b < SIZES * 2; b++) {
        w.writes = b / SIZES;
        w.walk = (struct walk){sizes[b % SIZES], SPAN / sizes[b % SIZES], 0};
        snprintf(w.keys, sizeof w.keys, "access=%s/cache=first", w.writes ? "write" : "read");
        snprintf(w.title, sizeof w.title, "%zu KiB in memory mapped anew, and %s of each page",
                 w.walk.size >> 10, w.writes ? "a store to the first bytes" : "the first bytes");
        rc = measure_work(&w, touches, TOUCHES, order->seconds / (SIZES * 2), order->run);
    }
    close_ways(&w, touches, TOUCHES);
    close_stage(&stage, &w);
    return rc;
}

static int measure_allocate(const struct row *row, const struct order *order)
{
    static const size_t taken[] = {4 * KIB, 64 * KIB, MIB, 16 * MIB};
    struct work w = {.row = row->name,
                     .check = check_touches,
                     .count = COUNT_FAULTS | COUNT_CALLS,
                     .writes = 1,
                     .file_size = 16 * MIB};
    w.walk = (struct walk){16 * MIB, 1, 0};
    int rc = open_ways(&w, allocations, ALLOCATIONS);
    for (int b = 0; rc == 0 && b < 4; b++) {
        w.walk = (struct walk){taken[b], 1, 0};
        snprintf(w.title, sizeof w.title,
                 "%zu KiB of memory taken, a store to each page, and given back", taken[b] >> 10);
        snprintf(w.state, sizeof w.state,
                 "malloc+free recycles the same pages; all else gets zeroed ones");
        rc = measure_work(&w, allocations, ALLOCATIONS, order->seconds / 4, order->run);
    }
    close_ways(&w, allocations, ALLOCATIONS);
    return rc;
}

const struct row touch_rows[] = {
    {"FirstTouch", 1, 24, "pages in memory, touched for the first time", measure_touch},
    {"Allocate", 1, 8, "memory taken, touched and given back", measure_allocate},
    {0},
};
