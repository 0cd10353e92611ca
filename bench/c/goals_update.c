/* goals_update.c: ways to update a file that is in the page cache: at many
 * places, from end to end, and beside what others have written. */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "goals.h"

/* ---- scattered updates, then a sync ---- */

static int stores_by_hand(struct scene *s)
{
    for (size_t i = 0; i < UPDATES; i++)
        memcpy(s->map + s->places[i], s->bytes, s->unit);
    return msync(s->map, s->size, MS_SYNC);
}

static int writes_by_mapview(struct scene *s)
{
    for (size_t i = 0; i < UPDATES; i++)
        if (mv_write(s->view, s->bytes, s->unit, s->places[i], NULL) != (int64_t)s->unit)
            return -1;
    return mv_sync(s->view, 0, MV_TO_END, MV_SYNC_DATA, NULL);
}

static int stores_by_mapview(struct scene *s)
{
    char *data = mv_data(s->view);
    for (size_t i = 0; i < UPDATES; i++)
        memcpy(data + s->places[i], s->bytes, s->unit);
    return mv_sync(s->view, 0, MV_TO_END, MV_SYNC_DATA, NULL);
}

static int pwrites(struct scene *s)
{
    for (size_t i = 0; i < UPDATES; i++)
        if (pwrite(s->fd, s->bytes, s->unit, (off_t)s->places[i]) != (ssize_t)s->unit)
            return -1;
    return fdatasync(s->fd);
}

static int check_places(struct scene *s)
{
    for (size_t i = 0; i < UPDATES; i++)
        if (check_file(s, s->bytes, s->unit, s->places[i]) != 0)
            return -1;
    return 0;
}

/* The mapping has been in use: its pages are in the page table, and clean. */
static int used_map(struct scene *s)
{
    return map_plain(s) != 0 ? -1 : madvise(s->map, s->size, MADV_POPULATE_READ);
}

static int used_random_view(struct scene *s)
{
    if (open_mapview(s, MV_OPEN_RANDOM) != 0)
        return -1;
    return mv_prefault(s->view, 0, MV_TO_END, MV_READ, NULL);
}

static int plain_descriptor(struct scene *s)
{
    return open_plain(s, 0);
}

/* Out of the page cache, which mincore confirms: state is pages still there. */
static int drop_cache(struct scene *s)
{
    static unsigned char resident[1 << 16];
    size_t pages = s->size / 4096;
    if (map_plain(s) != 0)
        return -1;
    fsync(s->fd);
    posix_fadvise(s->fd, 0, 0, POSIX_FADV_DONTNEED);
    int rc = pages <= sizeof resident ? mincore(s->map, s->size, resident) : -1;
    s->state = 0;
    s->state_unit = "cached-pages";
    for (size_t i = 0; rc == 0 && i < pages; i++)
        s->state += resident[i] & 1;
    munmap(s->map, s->size);
    close(s->fd);
    s->map = NULL;
    s->fd = -1;
    return rc == 0 && s->state == 0 ? 0 : goal_fail(s, "the file is still in the page cache");
}

static int cold_map(struct scene *s)
{
    return drop_cache(s) != 0 ? -1 : map_plain(s);
}

static int cold_random_view(struct scene *s)
{
    return drop_cache(s) != 0 ? -1 : open_mapview(s, MV_OPEN_RANDOM);
}

static int cold_descriptor(struct scene *s)
{
    return drop_cache(s) != 0 ? -1 : open_plain(s, 0);
}

/* ---- pages brought in for writing ---- */

static int store_to_each_page(struct scene *s, char *data)
{
    for (size_t at = 0; at < s->worked; at += 4096)
        data[at] = s->bytes[at % MIB];
    KEEP();
    return 0;
}

static int by_map_populate(struct scene *s)
{
    void *map = mmap(NULL, s->worked, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, s->fd, 0);
    if (map == MAP_FAILED)
        return -1;
    store_to_each_page(s, map);
    return munmap(map, s->worked);
}

static int by_faults(struct scene *s)
{
    void *map = mmap(NULL, s->worked, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (map == MAP_FAILED)
        return -1;
    store_to_each_page(s, map);
    return munmap(map, s->worked);
}

static int by_populate_write(struct scene *s)
{
    void *map = mmap(NULL, s->worked, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (map == MAP_FAILED || madvise(map, s->worked, MADV_POPULATE_WRITE) != 0)
        return -1;
    store_to_each_page(s, map);
    return munmap(map, s->worked);
}

static int by_mv_prefault(struct scene *s)
{
    mv_options options = MV_OPTIONS_INIT;
    mv_view *view;
    options.flags = MV_OPEN_WRITE;
    options.length = s->worked;
    if (mv_open(s->path, &options, &view, NULL) != 0)
        return -1;
    int rc = mv_prefault(view, 0, MV_TO_END, MV_WRITE, NULL);
    store_to_each_page(s, mv_data(view));
    return mv_close(view, NULL) == 0 ? rc : -1;
}

static int clean_descriptor(struct scene *s)
{
    sync_scene(s);
    return open_plain(s, 0);
}

/* A byte of each page, which is one of the piece. */
static int check_pages(struct scene *s)
{
    static char got[MIB];
    int fd = open(s->path, O_RDONLY | O_CLOEXEC), same = fd >= 0;
    for (size_t at = 0; same && at < s->worked; at += MIB) {
        same = pread(fd, got, MIB, (off_t)at) == (ssize_t)MIB;
        for (size_t page = 0; page < MIB; page += 4096)
            same = same && got[page] == s->bytes[page];
    }
    if (fd >= 0)
        close(fd);
    return same ? 0 : goal_fail(s, "the file does not hold what was stored");
}

/* ---- a synced range, written from end to end again ---- */

static void store_all(struct scene *s, char *data)
{
    for (size_t at = 0; at < s->worked; at += MIB)
        memcpy(data + at, s->bytes, MIB);
    KEEP();
}

static int rewrite_by_hand(struct scene *s)
{
    store_all(s, s->map);
    return 0;
}

static int rewrite_by_mapview(struct scene *s)
{
    int rc = mv_advise(s->view, 0, s->worked, MV_ADVICE_REWRITE, NULL);
    store_all(s, mv_data(s->view));
    return rc;
}

static int rewrite_by_mv_write(struct scene *s)
{
    if (mv_advise(s->view, 0, s->worked, MV_ADVICE_REWRITE, NULL) != 0)
        return -1;
    for (size_t at = 0; at < s->worked; at += MIB)
        if (mv_write(s->view, s->bytes, MIB, at, NULL) != (int64_t)MIB)
            return -1;
    return 0;
}

static int rewrite_by_pwrite(struct scene *s)
{
    for (size_t at = 0; at < s->worked; at += MIB)
        if (pwrite(s->fd, s->bytes, MIB, (off_t)at) != (ssize_t)MIB)
            return -1;
    return 0;
}

/* Stored to before, and synced: every page is in the table, write-protected. */
static int synced_map(struct scene *s)
{
    if (map_plain(s) != 0)
        return -1;
    memset(s->map, 1, s->worked);
    return msync(s->map, s->worked, MS_SYNC);
}

static int synced_view(struct scene *s)
{
    if (open_mapview(s, 0) != 0)
        return -1;
    memset(mv_data(s->view), 1, s->worked);
    return mv_sync(s->view, 0, MV_TO_END, MV_SYNC_DATA, NULL);
}

static int synced_descriptor(struct scene *s)
{
    if (synced_map(s) != 0)
        return -1;
    munmap(s->map, s->size);
    s->map = NULL;
    return 0;
}

static int check_rewritten(struct scene *s)
{
    return check_pieces(s, s->worked);
}

/* ---- one page synced, where others are dirty, too ---- */

static int dirty_one(struct scene *s)
{
    memcpy(s->map + s->size / 2, s->bytes, s->unit);
    return 0;
}

static int dirty_map_of_others(struct scene *s)
{
    sync_scene(s);
    if (map_plain(s) != 0)
        return -1;
    for (size_t i = 0; i < UPDATES; i++)
        memcpy(s->map + s->places[i], s->bytes, 64);
    return dirty_one(s);
}

static int dirty_map(struct scene *s)
{
    sync_scene(s);
    return map_plain(s) != 0 ? -1 : dirty_one(s);
}

static int dirty_view_of_others(struct scene *s)
{
    if (dirty_map_of_others(s) != 0)
        return -1;
    return open_mapview(s, 0);
}

static int sync_all(struct scene *s)
{
    return msync(s->map, s->size, MS_SYNC);
}

static int sync_one(struct scene *s)
{
    return msync(s->map + s->size / 2, s->unit, MS_SYNC);
}

static int sync_file(struct scene *s)
{
    return fdatasync(s->fd);
}

static int sync_range(struct scene *s)
{
    return mv_sync(s->view, s->size / 2, s->unit, MV_SYNC_DATA, NULL);
}

static int check_one(struct scene *s)
{
    return check_file(s, s->bytes, s->unit, s->size / 2);
}

/* ---- the blocks ---- */

#define SCATTER_WARM                                                                               \
    {                                                                                              \
        {"mmap", "store+msync", used_map, stores_by_hand, check_places, 0},                        \
            {"mapview", "mv_write+mv_sync", used_random_view, writes_by_mapview, check_places, 0}, \
            {"libc", "pwrite+fdatasync", plain_descriptor, pwrites, check_places, 0},              \
            {"mmap", "store+msync", used_map, stores_by_hand, check_places, 1},                    \
    }

#define SCATTER_COLD                                                                               \
    {                                                                                              \
        {"mmap", "store+msync", cold_map, stores_by_hand, check_places, 0},                        \
            {"mapview", "mv_write+mv_sync", cold_random_view, writes_by_mapview, check_places, 0}, \
            {"mapview", "store+mv_sync", cold_random_view, stores_by_mapview, check_places, 0},    \
            {"libc", "pwrite+fdatasync", cold_descriptor, pwrites, check_places, 0},               \
            {"libc", "pwrite+fdatasync", cold_descriptor, pwrites, check_places, 1},               \
    }

#define PREFAULT                                                                             \
    {                                                                                        \
        {"mmap", "MAP_POPULATE", clean_descriptor, by_map_populate, check_pages, 0},         \
            {"mapview", "mv_prefault", clean_descriptor, by_mv_prefault, check_pages, 0},    \
            {"mmap", "faults", clean_descriptor, by_faults, check_pages, 0},                 \
            {"mmap", "POPULATE_WRITE", clean_descriptor, by_populate_write, check_pages, 0}, \
            {"mmap", "MAP_POPULATE", clean_descriptor, by_map_populate, check_pages, 1},     \
    }

#define REWRITE                                                                                    \
    {                                                                                              \
        {"mmap", "memcpy", synced_map, rewrite_by_hand, check_rewritten, 0},                       \
            {"mapview", "REWRITE+memcpy", synced_view, rewrite_by_mapview, check_rewritten, 0},    \
            {"mapview", "REWRITE+mv_write", synced_view, rewrite_by_mv_write, check_rewritten, 0}, \
            {"libc", "pwrite", synced_descriptor, rewrite_by_pwrite, check_rewritten, 0},          \
            {"memory", "memcpy", map_memory, rewrite_by_hand, check_memory, 0},                    \
            {"mmap", "memcpy", synced_map, rewrite_by_hand, check_rewritten, 1},                   \
    }

#define RANGE_SYNC                                                                  \
    {                                                                               \
        {"mmap", "msync", dirty_map_of_others, sync_all, check_one, 0},             \
            {"mapview", "mv_sync", dirty_view_of_others, sync_range, check_one, 0}, \
            {"libc", "fdatasync", dirty_map_of_others, sync_file, check_one, 0},    \
            {"mmap", "msync,range", dirty_map_of_others, sync_one, check_one, 0},   \
            {"device", "msync,alone", dirty_map, sync_all, check_one, 0},           \
            {"mmap", "msync", dirty_map_of_others, sync_all, check_one, 1},         \
    }

#define FILE_BYTES (256 * MIB)

const struct goal_block update_blocks[] = {
    {"ScatterLarge", FILE_BYTES, UPDATES * 64, 64, MIB, SCATTER_WARM,
     "256 updates of 64 bytes all over 256 MiB, then one sync, in large folios", 0},
    {"PrefaultLarge", FILE_BYTES, 64 * MIB, 1, MIB, PREFAULT,
     "64 MiB mapped, brought in, a byte stored to each page, in large folios", 0},
    {"RewriteLarge", FILE_BYTES, 16 * MIB, MIB, MIB, REWRITE,
     "16 MiB, synced before, written from end to end again, in large folios", 0},
    {"ScatterCold", FILE_BYTES, UPDATES * 64, 64, MIB, SCATTER_COLD,
     "256 updates of 64 bytes all over 256 MiB, then one sync, of a file out of memory", 0},
    {"RewriteMiddle", FILE_BYTES, 16 * MIB, MIB, 64 * KIB, REWRITE,
     "16 MiB, synced before, written from end to end again, in folios of 64 KiB", 0},
    {"ScatterSmall", FILE_BYTES, UPDATES * 64, 64, 4 * KIB, SCATTER_WARM,
     "256 updates of 64 bytes all over 256 MiB, then one sync, in folios of 4 KiB", 0},
    {"RewriteSmall", FILE_BYTES, 16 * MIB, MIB, 4 * KIB, REWRITE,
     "16 MiB, synced before, written from end to end again, in folios of 4 KiB", 0},
    {"RangeSync", FILE_BYTES, 4096, 4096, 4 * KIB, RANGE_SYNC,
     "the sync of one dirty page beside 256 others", 0},
    {NULL},
};
