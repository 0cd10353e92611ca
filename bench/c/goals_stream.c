/* goals_stream.c: ways to write a new file from the first byte to the last: in
 * bulk, record by record, and growing it. */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "goals.h"
#include "rounds.h"

/* ---- in bulk, durable at the end ---- */

/* A new file with its blocks, none of it in memory or on its way to the disk. */
static int new_file(struct scene *s)
{
    unlink(s->path);
    if (open_plain(s, O_CREAT | O_EXCL) != 0)
        return -1;
    int rc = posix_fallocate(s->fd, 0, (off_t)s->size) == 0 ? fsync(s->fd) : -1;
    close(s->fd);
    s->fd = -1;
    return rc;
}

static int new_map(struct scene *s)
{
    return new_file(s) != 0 ? -1 : map_plain(s);
}

static int new_view(struct scene *s)
{
    return new_file(s) != 0 ? -1 : open_mapview(s, MV_OPEN_SEQUENTIAL);
}

static int new_descriptor(struct scene *s)
{
    return new_file(s) != 0 ? -1 : open_plain(s, 0);
}

static int new_direct(struct scene *s)
{
    return new_file(s) != 0 ? -1 : open_plain(s, O_DIRECT);
}

/* The file as it is: written, synced, in the page cache. */
static int old_map(struct scene *s)
{
    sync_scene(s);
    return map_plain(s) != 0 ? -1 : madvise(s->map, s->size, MADV_POPULATE_READ);
}

static int old_view(struct scene *s)
{
    sync_scene(s);
    return open_mapview(s, MV_OPEN_SEQUENTIAL);
}

static int old_descriptor(struct scene *s)
{
    sync_scene(s);
    return open_plain(s, 0);
}

static int old_direct(struct scene *s)
{
    sync_scene(s);
    return open_plain(s, O_DIRECT);
}

static int bulk_by_hand(struct scene *s)
{
    for (size_t at = 0; at < s->size; at += MIB)
        memcpy(s->map + at, s->bytes, MIB);
    return msync(s->map, s->size, MS_SYNC);
}

static int bulk_by_mapview(struct scene *s)
{
    for (size_t at = 0; at < s->size; at += MIB)
        if (mv_write(s->view, s->bytes, MIB, at, NULL) != (int64_t)MIB)
            return -1;
    return mv_sync(s->view, 0, MV_TO_END, MV_SYNC_DATA, NULL);
}

static int bulk_of(struct scene *s, size_t piece)
{
    for (size_t at = 0; at < s->size; at += piece)
        if (pwrite(s->fd, s->bytes, piece, (off_t)at) != (ssize_t)piece)
            return -1;
    return fdatasync(s->fd);
}

static int bulk_by_pwrite(struct scene *s)
{
    return bulk_of(s, MIB);
}

static int bulk_direct(struct scene *s)
{
    return bulk_of(s, PIECE);
}

/* Where all of it is in memory and dirty, a sync is what the medium alone takes. */
static int dirty_pages(struct scene *s, size_t n)
{
    for (size_t at = 0; at < n; at += MIB)
        if (pwrite(s->fd, s->bytes, MIB, (off_t)at) != (ssize_t)MIB)
            return -1;
    return 0;
}

static int new_dirty(struct scene *s)
{
    return new_descriptor(s) != 0 ? -1 : dirty_pages(s, s->size);
}

static int old_dirty(struct scene *s)
{
    return old_descriptor(s) != 0 ? -1 : dirty_pages(s, s->size);
}

static int only_sync(struct scene *s)
{
    return fdatasync(s->fd);
}

static int check_bulk(struct scene *s)
{
    return check_pieces(s, s->size);
}

/* ---- record by record ---- */

#define RESERVE (1024 * MIB)
#define HAND_STEP (16 * MIB) /* what append_by_hand allocates at a time */

static int empty_file(struct scene *s)
{
    unlink(s->path);
    return open_plain(s, O_CREAT | O_EXCL);
}

/* step: of growth, in bytes; 0: what the library chooses. */
static int open_log(struct scene *s, uint32_t flags, uint64_t step)
{
    mv_options options = MV_OPTIONS_INIT;
    mv_append_options append = MV_APPEND_OPTIONS_INIT;
    if (empty_file(s) != 0)
        return -1;
    options.flags = MV_OPEN_WRITE;
    options.reserve = RESERVE;
    append.flags = flags;
    append.step_min = append.step_max = step;
    if (mv_open(s->path, &options, &s->view, NULL) != 0)
        return goal_fail(s, "mv_open");
    return mv_appender_open(s->view, &append, &s->appender, NULL);
}

static int open_log_plain(struct scene *s)
{
    return open_log(s, 0, 0);
}

static int open_log_steps(struct scene *s)
{
    return open_log(s, 0, HAND_STEP);
}

static int open_log_ahead(struct scene *s)
{
    return open_log(s, MV_APPEND_AHEAD, 0);
}

static int map_log(struct scene *s)
{
    return empty_file(s) != 0 ? -1 : map_opened(s, s->size);
}

/* Notes how long a record took, when that is asked for. */
static inline void note(struct scene *s, size_t i, double *last)
{
    if (!s->latencies)
        return;
    double t = now();
    s->latencies[i] = (float)((t - *last) * 1e9);
    *last = t;
}

static int append_by_mapview(struct scene *s)
{
    size_t unit = s->unit, n = s->worked / unit;
    mv_appender *a = s->appender;
    double last = now();
    for (size_t i = 0; i < n; i++) {
        if (mv_append(a, s->bytes + i * unit % MIB, unit, NULL) < 0)
            return -1;
        note(s, i, &last);
    }
    return 0;
}

static int append_by_write(struct scene *s)
{
    size_t unit = s->unit, n = s->worked / unit;
    double last = now();
    for (size_t i = 0; i < n; i++) {
        if (write(s->fd, s->bytes + i * unit % MIB, unit) != (ssize_t)unit)
            return -1;
        note(s, i, &last);
    }
    return 0;
}

/* As stdio does it: nobody sees a record before the buffer is full. */
static int append_by_buffer(struct scene *s)
{
    static char buffer[64 * KIB];
    size_t unit = s->unit, n = s->worked / unit, full = 0;
    double last = now();
    for (size_t i = 0; i < n; i++) {
        memcpy(buffer + full, s->bytes + i * unit % MIB, unit);
        full += unit;
        if (full == sizeof buffer || i + 1 == n) {
            if (write(s->fd, buffer, full) != (ssize_t)full)
                return -1;
            full = 0;
        }
        note(s, i, &last);
    }
    return 0;
}

/* What one writes without mapview: allocate ahead and copy. */
static int append_by_hand(struct scene *s)
{
    size_t unit = s->unit, n = s->worked / unit, have = 0;
    double last = now();
    for (size_t i = 0; i < n; i++) {
        if ((i + 1) * unit > have) {
            if (posix_fallocate(s->fd, (off_t)have, (off_t)HAND_STEP) != 0)
                return -1;
            have += HAND_STEP;
        }
        memcpy(s->map + i * unit, s->bytes + i * unit % MIB, unit);
        note(s, i, &last);
    }
    return ftruncate(s->fd, (off_t)s->worked);
}

/* The limit: the records are copied. */
static int append_to_memory(struct scene *s)
{
    size_t unit = s->unit, n = s->worked / unit;
    double last = now();
    for (size_t i = 0; i < n; i++) {
        memcpy(s->map + i * unit, s->bytes + i * unit % MIB, unit);
        KEEP();
        note(s, i, &last);
    }
    return 0;
}

static int check_log(struct scene *s)
{
    int rc = mv_appender_close(s->appender, NULL);
    s->appender = NULL;
    int fd = open(s->path, O_RDONLY | O_CLOEXEC);
    off_t length = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (fd >= 0)
        close(fd);
    if (rc != 0 || length != (off_t)s->worked)
        return goal_fail(s, "the file does not end behind the last record");
    return check_pieces(s, s->worked);
}

/* ---- growing a file whose pages are in use ---- */

#define STEP (1 * MIB)
#define FIRST (8 * MIB)

/* On a small file system the room of the file before must come back first. */
static int start_small(struct scene *s)
{
    if (empty_file(s) != 0 || syncfs(s->fd) != 0)
        return -1;
    return posix_fallocate(s->fd, 0, (off_t)FIRST) == 0 ? 0 : -1;
}

/* Without a mapping, but with the same pages dirty. */
static int small_written(struct scene *s)
{
    return start_small(s) != 0 ? -1 : dirty_pages(s, FIRST);
}

static int small_map(struct scene *s)
{
    if (start_small(s) != 0 || map_opened(s, FIRST) != 0)
        return -1;
    memset(s->map, 1, FIRST);
    return 0;
}

/* Mapped for more than the file has, as whoever knows how far it may grow can. */
static int small_map_ahead(struct scene *s)
{
    if (start_small(s) != 0 || map_opened(s, s->size) != 0)
        return -1;
    memset(s->map, 1, FIRST);
    return 0;
}

static int grow_by_mremap(struct scene *s)
{
    if (fallocate(s->fd, 0, (off_t)FIRST, (off_t)STEP) != 0)
        return -1;
    void *map = mremap(s->map, FIRST, FIRST + STEP, MREMAP_MAYMOVE);
    if (map == MAP_FAILED)
        return -1;
    s->map = map;
    s->mapped = FIRST + STEP;
    return 0;
}

static int small_view(struct scene *s)
{
    mv_options options = MV_OPTIONS_INIT;
    if (start_small(s) != 0)
        return -1;
    options.flags = MV_OPEN_WRITE;
    options.reserve = s->size;
    if (mv_open(s->path, &options, &s->view, NULL) != 0)
        return goal_fail(s, "mv_open");
    memset(mv_data(s->view), 1, FIRST);
    return 0;
}

static int grow_by_hand(struct scene *s)
{
    if (munmap(s->map, FIRST) != 0)
        return -1;
    s->map = NULL;
    if (fallocate(s->fd, 0, (off_t)FIRST, (off_t)STEP) != 0)
        return -1;
    void *map = mmap(NULL, FIRST + STEP, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (map == MAP_FAILED)
        return -1;
    s->map = map;
    s->mapped = FIRST + STEP;
    return 0;
}

static int grow_by_mapview(struct scene *s)
{
    return mv_resize(s->view, FIRST + STEP, NULL);
}

static int grow_by_fallocate(struct scene *s)
{
    return fallocate(s->fd, 0, (off_t)FIRST, (off_t)STEP);
}

static int check_growth(struct scene *s)
{
    static const char zeros[4096];
    char *data = s->view ? mv_data(s->view) : s->map;
    if (data && (data[FIRST - 1] != 1 || data[FIRST + STEP - 1] != 0))
        return goal_fail(s, "the mapping does not show the growth");
    return check_file(s, zeros, sizeof zeros, FIRST + STEP - sizeof zeros);
}

/* ---- the blocks ---- */

const struct goal_block stream_blocks[] = {
    {"BulkNew",
     64 * MIB,
     64 * MIB,
     MIB,
     0,
     {
         {"mmap", "memcpy+msync", new_map, bulk_by_hand, check_bulk, 0},
         {"mapview", "mv_write+mv_sync", new_view, bulk_by_mapview, check_bulk, 0},
         {"libc", "pwrite+fdatasync", new_descriptor, bulk_by_pwrite, check_bulk, 0},
         {"device", "O_DIRECT+fdatasync", new_direct, bulk_direct, check_bulk, 0},
         {"device", "fdatasync,alone", new_dirty, only_sync, check_bulk, 0},
         {"mmap", "memcpy+msync", new_map, bulk_by_hand, check_bulk, 1},
     },
     "64 MiB in pieces of 1 MiB, durable at the end, to a new file",
     0},
    {"BulkOver",
     64 * MIB,
     64 * MIB,
     MIB,
     MIB,
     {
         {"mmap", "memcpy+msync", old_map, bulk_by_hand, check_bulk, 0},
         {"mapview", "mv_write+mv_sync", old_view, bulk_by_mapview, check_bulk, 0},
         {"libc", "pwrite+fdatasync", old_descriptor, bulk_by_pwrite, check_bulk, 0},
         {"device", "O_DIRECT+fdatasync", old_direct, bulk_direct, check_bulk, 0},
         {"device", "fdatasync,alone", old_dirty, only_sync, check_bulk, 0},
         {"mmap", "memcpy+msync", old_map, bulk_by_hand, check_bulk, 1},
     },
     "64 MiB in pieces of 1 MiB, durable at the end, over a file in memory",
     0},
    {"Append",
     64 * MIB,
     32 * MIB,
     256,
     0,
     {
         {"libc", "write", empty_file, append_by_write, check_log, 0},
         {"libc", "write,64KiB-buffer", empty_file, append_by_buffer, check_log, 0},
         {"mapview", "mv_append", open_log_plain, append_by_mapview, check_log, 0},
         {"mapview", "mv_append,16MiB-steps", open_log_steps, append_by_mapview, check_log, 0},
         {"mapview", "mv_append,ahead", open_log_ahead, append_by_mapview, check_log, 0},
         {"mmap", "fallocate+memcpy", map_log, append_by_hand, check_log, 0},
         {"memory", "memcpy", map_memory, append_to_memory, check_memory, 0},
         {"libc", "write", empty_file, append_by_write, check_log, 1},
     },
     "131072 records of 256 bytes behind each other, no sync",
     1},
    {NULL},
};

/* On any file system: bench/run says on which. */
const struct goal_block growth_block = {
    "Growth",
    10 * MIB,
    STEP,
    STEP,
    0,
    {
        {"mmap", "munmap+fallocate+mmap", small_map, grow_by_hand, check_growth, 0},
        {"mapview", "mv_resize", small_view, grow_by_mapview, check_growth, 0},
        {"mmap", "fallocate+mremap", small_map, grow_by_mremap, check_growth, 0},
        {"mmap", "fallocate,mapped-ahead", small_map_ahead, grow_by_fallocate, check_growth, 0},
        {"kernel", "fallocate", small_written, grow_by_fallocate, check_growth, 0},
        {"mmap", "munmap+fallocate+mmap", small_map, grow_by_hand, check_growth, 1},
    },
    "a file with 8 MiB in use grows by 1 MiB of real blocks",
    0};
