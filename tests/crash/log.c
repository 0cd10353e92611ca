/* log.c: the disk's log, and what a cut of the power can leave. */
#include "crash.h"

#include <stdlib.h>

#define BLOCK 4096U

struct write {
    uint64_t at, n;
    const unsigned char *bytes;
};

/* An epoch is what lies between two flushes: write first..first+count-1. */
struct epoch {
    size_t first, count;
    uint64_t end; /* where in the log the flush that ends it begins */
};

static struct {
    char path[512];
    unsigned char *log; /* the whole file */
    uint64_t length;
    struct write *writes;
    struct epoch *epochs;
    size_t write_count, epoch_count;
    unsigned char *disk; /* with all that was flushed before epoch next */
    uint64_t size;
    bool *used; /* each block of it: is it not zero? */
    size_t next;
} all;

static unsigned char *zeros(size_t n)
{
    void *memory =
        mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

static void put(uint64_t at, const unsigned char *bytes, uint64_t n)
{
    memcpy(all.disk + at, bytes, n);
    for (uint64_t block = at / BLOCK; block * BLOCK < at + n; block++)
        all.used[block] = true;
}

/* ---- the beginning ---- */

static void take_disk(const char *fs)
{
    static unsigned char step[1 << 20];
    int fd = open_file(fixture_path(fs, ".disk/disk"), O_RDONLY);
    all.size = (uint64_t)lseek(fd, 0, SEEK_END);
    all.disk = zeros(all.size);
    all.used = (bool *)zeros(all.size / BLOCK);
    for (uint64_t at = 0; at < all.size; at += sizeof step) {
        SAME(pread(fd, step, sizeof step, (off_t)at), sizeof step);
        for (size_t i = 0; i < sizeof step; i += BLOCK)
            if (!has_zeros(step + i, BLOCK))
                put(at + i, step + i, BLOCK);
    }
    close(fd);
}

void log_begin(const char *fs, bool astray)
{
    char command[600];
    memset(&all, 0, sizeof all);
    snprintf(all.path, sizeof all.path, "%s", fixture_path(fs, ".log"));
    unlink(all.path);
    int folder = open_file(fixture_path(fs, ""), O_RDONLY | O_DIRECTORY);
    CHECK(syncfs(folder) == 0);
    close(folder);
    snprintf(command, sizeof command, "log %s", all.path);
    fixture_order(fs, command);
    fixture_order(fs, "mark begin");
    history_begin(all.path, astray);
    take_disk(fs);
}

/* ---- the end ---- */

static void read_record(const uint64_t head[3], const unsigned char *bytes, uint64_t at)
{
    struct epoch *epoch = &all.epochs[all.epoch_count];
    if (head[0] == 'W') {
        all.writes[all.write_count++] = (struct write){head[1], head[2], bytes};
        epoch->count++;
    } else if (head[0] == 'F') {
        epoch->end = at;
        all.epoch_count++;
        all.epochs[all.epoch_count] = (struct epoch){all.write_count, 0, 0};
    } else {
        CHECK(head[0] == 'M');
    }
}

void log_end(const char *fs)
{
    uint64_t head[3];
    fixture_order(fs, "log off");
    all.length = file_length(all.path);
    all.log = zeros(all.length);
    read_file(all.path, all.log, all.length, 0);
    all.writes = calloc(all.length / sizeof head + 1, sizeof *all.writes);
    all.epochs = calloc(all.length / sizeof head + 2, sizeof *all.epochs);
    CHECK(all.writes && all.epochs);
    for (uint64_t at = 0; at < all.length; at += sizeof head + head[2]) {
        CHECK(all.length - at >= sizeof head);
        memcpy(head, all.log + at, sizeof head);
        CHECK(all.length - at - sizeof head >= head[2]);
        read_record(head, all.log + at + sizeof head, at);
    }
    all.epochs[all.epoch_count++].end = all.length; /* no flush came any more */
}

void log_free(void)
{
    munmap(all.disk, all.size);
    munmap(all.used, all.size / BLOCK);
    munmap(all.log, all.length);
    free(all.writes);
    free(all.epochs);
    unlink(all.path);
    memset(&all, 0, sizeof all);
}

size_t log_epochs(void)
{
    return all.epoch_count;
}

uint64_t log_epoch_end(size_t epoch)
{
    return all.epochs[epoch].end;
}

size_t log_epoch_writes(size_t epoch)
{
    return all.epochs[epoch].count;
}

/* ---- images ---- */

/* Brings the disk to the flush that begins the epoch. */
static void flush_up_to(size_t epoch)
{
    CHECK(epoch >= all.next);
    for (; all.next < epoch; all.next++)
        for (size_t i = 0; i < all.epochs[all.next].count; i++) {
            const struct write *w = &all.writes[all.epochs[all.next].first + i];
            put(w->at, w->bytes, w->n);
        }
}

static bool survives(enum survivors survivors, size_t i, size_t chosen, unsigned *choice)
{
    switch (survivors) {
    case NONE:
        return false;
    case ALL:
        return true;
    case ALL_BUT_ONE:
        return i != chosen;
    case ONLY_ONE:
        return i == chosen;
    case SOME:
    case TORN:
        break;
    }
    return rand_r(choice) & 4;
}

/* A write of several blocks may survive in some of them. */
static void write_torn(int image, const struct write *w, unsigned *choice)
{
    for (uint64_t done = 0; done < w->n; done += BLOCK) {
        uint64_t n = w->n - done < BLOCK ? w->n - done : BLOCK;
        if (rand_r(choice) & 4)
            SAME(pwrite(image, w->bytes + done, n, (off_t)(w->at + done)), n);
    }
}

void log_image(const char *path, size_t epoch, enum survivors survivors, unsigned choice)
{
    const struct epoch *e = &all.epochs[epoch];
    size_t chosen = e->count ? (size_t)rand_r(&choice) % e->count : 0;
    flush_up_to(epoch);
    int image = open_file(path, O_RDWR | O_CREAT | O_TRUNC);
    CHECK(ftruncate(image, (off_t)all.size) == 0);
    for (uint64_t block = 0; block < all.size / BLOCK; block++)
        if (all.used[block])
            SAME(pwrite(image, all.disk + block * BLOCK, BLOCK, (off_t)(block * BLOCK)), BLOCK);
    for (size_t i = 0; i < e->count; i++) {
        const struct write *w = &all.writes[e->first + i];
        if (survivors == TORN)
            write_torn(image, w, &choice);
        else if (survives(survivors, i, chosen, &choice))
            SAME(pwrite(image, w->bytes, w->n, (off_t)w->at), w->n);
    }
    close(image);
}
