/*
 * goals.c: the ways of writing, timed. An op's dev-B and faults are what the
 * counters moved on by meanwhile (see counters.h).
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "counters.h"
#include "goals.h"
#include "rounds.h"
#include "rows.h"

/* A run of next to no time is a test of the benchmark, not a measurement. */
enum { LEAST_ROUNDS = 3, MOST_ROUNDS = 60 };
static const double brief = 0.02, growth_time = 0.5; /* seconds for a block */

int goal_fail(const struct scene *s, const char *what)
{
    return fail(what, s->name);
}

/* ---- the file ---- */

int open_plain(struct scene *s, int flags)
{
    s->fd = open(s->path, O_RDWR | O_CLOEXEC | flags, 0600);
    return s->fd < 0 ? goal_fail(s, "open") : 0;
}

int map_memory(struct scene *s)
{
    void *map = mmap(NULL, s->worked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return goal_fail(s, "mmap of memory");
    s->map = map;
    s->mapped = s->worked;
    madvise(s->map, s->worked, MADV_HUGEPAGE);
    memset(s->map, 1, s->worked);
    return 0;
}

int check_memory(struct scene *s)
{
    for (size_t at = 0; at < s->worked; at += MIB)
        if (memcmp(s->map + at, s->bytes, MIB) != 0)
            return goal_fail(s, "memory does not hold what was copied");
    return 0;
}

int map_opened(struct scene *s, size_t size)
{
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (map == MAP_FAILED)
        return goal_fail(s, "mmap");
    s->map = map;
    s->mapped = size;
    return 0;
}

int map_plain(struct scene *s)
{
    return open_plain(s, 0) != 0 ? -1 : map_opened(s, s->size);
}

int open_mapview(struct scene *s, uint64_t flags)
{
    mv_options options = MV_OPTIONS_INIT;
    mv_error error = MV_ERROR_INIT;
    options.flags = flags | MV_OPEN_WRITE;
    if (mv_open(s->path, &options, &s->view, &error) == 0)
        return 0;
    errno = 0;
    return goal_fail(s, error.text);
}

void choose_places(struct scene *s)
{
    size_t pages = s->size / 4096, stride = pages / UPDATES;
    uint64_t seed = s->count + 1;
    for (size_t i = 0; i < UPDATES; i++) {
        uint64_t random;
        fill_random(&random, sizeof random, &seed);
        s->places[i] =
            ((i * 97 % UPDATES) * stride + random % stride) * 4096 + random / stride % 63 * 64;
    }
}

int check_file(struct scene *s, const void *want, size_t n, size_t off)
{
    static char got[1 << 20];
    int fd = open(s->path, O_RDONLY | O_CLOEXEC);
    int same = fd >= 0;
    for (size_t done = 0; same && done < n;) {
        size_t step = n - done < sizeof got ? n - done : sizeof got;
        same = pread(fd, got, step, (off_t)(off + done)) == (ssize_t)step &&
               memcmp(got, (const char *)want + done, step) == 0;
        done += step;
    }
    errno = 0;
    if (fd >= 0)
        close(fd);
    return same ? 0 : goal_fail(s, "the file does not hold what was written");
}

void sync_scene(struct scene *s)
{
    int fd = open(s->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

int check_pieces(struct scene *s, size_t n)
{
    for (size_t at = 0; at < n; at += MIB)
        if (check_file(s, s->bytes, n - at < MIB ? n - at : MIB, at) != 0)
            return -1;
    return 0;
}

/* The folios of the page cache are as large as the writes that filled it. */
static int fill_file(struct scene *s)
{
    unlink(s->path);
    if (open_plain(s, O_CREAT | O_EXCL) != 0)
        return -1;
    int ok = posix_fallocate(s->fd, 0, (off_t)s->size) == 0;
    for (size_t at = 0; ok && at < s->size; at += s->fill)
        ok = pwrite(s->fd, s->bytes + at % MIB, s->fill, (off_t)at) == (ssize_t)s->fill;
    ok = ok && fsync(s->fd) == 0;
    close(s->fd);
    s->fd = -1;
    return ok ? 0 : goal_fail(s, "the file cannot be written");
}

/* How large they are is seen by the faults that populating 1 MiB for writing
 * takes: one a folio. What that dirties is synced. */
static int measure_folios(struct scene *s)
{
    if (map_plain(s) != 0)
        return -1;
    char *at = s->map + s->size / 2;
    long before = faults_so_far();
    int r = madvise(at, MIB, MADV_POPULATE_WRITE);
    long faults = faults_so_far() - before;
    munmap(s->map, s->size);
    s->map = NULL;
    fsync(s->fd);
    close(s->fd);
    s->fd = -1;
    s->state = faults > 0 ? 1024.0 / (double)faults : 0;
    s->state_unit = "folio-KiB";
    return r == 0 ? 0 : goal_fail(s, "madvise");
}

/* ---- samples ---- */

struct goal_sample {
    double ns, device, state, slowest;
    long faults;
};

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void close_way(struct scene *s)
{
    if (s->map)
        munmap(s->map, s->mapped);
    if (s->fd >= 0)
        close(s->fd);
    mv_close(s->view, NULL);
    s->map = NULL;
    s->fd = -1;
    s->view = NULL;
}

/* The slowest access but one in a thousand, in an op of its own. */
static int take_latencies(struct scene *s, const struct way *w, double *out)
{
    size_t n = s->worked / s->unit;
    s->latencies = malloc(n * sizeof *s->latencies);
    int rc = s->latencies ? w->prepare(s) : -1;
    rc = rc == 0 ? w->run(s) : rc;
    if (rc == 0) {
        qsort(s->latencies, n, sizeof *s->latencies, compare_floats);
        *out = (double)s->latencies[n - 1 - n / 1000];
        rc = w->finish(s);
    }
    free(s->latencies);
    s->latencies = NULL;
    close_way(s);
    return rc;
}

static int take_way(struct scene *s, const struct way *w, struct goal_sample *out)
{
    uint64_t seed = ++s->count;
    fill_random(s->bytes, MIB, &seed);
    for (size_t at = MIB; at < PIECE; at += MIB)
        memcpy(s->bytes + at, s->bytes, MIB);
    choose_places(s);
    errno = 0;
    int rc = w->prepare(s);
    long faults = faults_so_far();
    double device = device_bytes(s->path), start = now();
    rc = rc == 0 ? w->run(s) : rc;
    out->ns = (now() - start) * 1e9;
    out->device = device < 0 ? -1 : device_bytes(s->path) - device;
    out->faults = faults_so_far() - faults;
    out->state = s->state;
    if (rc != 0)
        goal_fail(s, w->op);
    rc = rc == 0 ? w->finish(s) : rc;
    close_way(s);
    return rc;
}

static void print_way(const struct scene *s, const struct way *w, const struct goal_sample *sample)
{
    printf("Benchmark%s/lang=c/impl=%s/op=%s/size=%zu%s-1\t1\t%.1f ns/op\t%.2f MB/s\t%ld faults/op",
           s->name, w->impl, w->op, s->unit, w->again ? "/again=1" : "", sample->ns,
           (double)s->worked / sample->ns * 1000, sample->faults);
    if (sample->device >= 0)
        printf("\t%.0f dev-B/op", sample->device);
    if (s->state_unit)
        printf("\t%.0f %s", sample->state, s->state_unit);
    if (sample->slowest > 0)
        printf("\t%.0f p99.9-ns", sample->slowest);
    printf("\n");
}

static int count_ways(const struct goal_block *b)
{
    int n = 0;
    while (n < MOST_WAYS && b->ways[n].impl)
        n++;
    return n;
}

/* One round, in the order of rounds.c; round -1 is the warm-up and not printed. */
static int goal_round(struct scene *s, const struct goal_block *b, int round)
{
    struct goal_sample samples[MOST_WAYS] = {{0}};
    int n = count_ways(b), order[MOST_WAYS];
    if (step() != 0)
        return -1;
    order_of(round < 0 ? 0 : round, n, order);
    for (int place = 0; place < n; place++) {
        int k = order[place];
        if (take_way(s, &b->ways[k], &samples[k]) != 0)
            return -1;
        if (b->latencies && take_latencies(s, &b->ways[k], &samples[k].slowest) != 0)
            return -1;
    }
    for (int k = 0; round >= 0 && k < n; k++)
        print_way(s, &b->ways[k], &samples[k]);
    return 0;
}

static int rounds_of(struct scene *s, const struct goal_block *b, double seconds, const char *run)
{
    int rounds = 1;
    if (seconds >= brief) {
        double start = now();
        if (goal_round(s, b, -1) != 0)
            return -1;
        rounds = (int)(seconds / (now() - start));
        rounds = rounds < LEAST_ROUNDS ? LEAST_ROUNDS : rounds > MOST_ROUNDS ? MOST_ROUNDS : rounds;
    }
    for (int r = 0; r < rounds; r++) {
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "\r\033[K%sC, %s, round %d of %d", run, s->name, r, rounds);
        if (goal_round(s, b, r) != 0)
            return -1;
    }
    return 0;
}

/* A state that cannot be had here is said, and its block left out. */
static int state_is_right(struct scene *s)
{
    double want = (double)s->fill / 1024;
    if (s->fill == 0 || (s->state >= want * 0.7 && s->state <= want * 1.5))
        return 1;
    printf("SKIPPED C, %s: a file written in pieces of %.0f KiB has folios of %.0f KiB here\n", s->name,
           want, s->state);
    return 0;
}

static void print_head(const struct scene *s, const struct goal_block *b)
{
    printf("Row Benchmark%s/lang=c/size=%zu\t%s\n", s->name, s->unit, b->title);
    printf("State Benchmark%s/lang=c/size=%zu\t", s->name, s->unit);
    if (s->fill)
        printf("folios of %.0f KiB, by the faults of MADV_POPULATE_WRITE\n", s->state);
    else
        printf("a new file in each round\n");
}

static int measure_block(struct scene *s, const struct goal_block *b, double seconds, const char *run)
{
    char name[64];
    snprintf(name, sizeof name, "%s/lang=c/size=%zu", b->name, b->unit);
    int wanted = is_wanted(name);
    if (wanted <= 0)
        return wanted;
    s->name = b->name;
    s->unit = b->unit;
    s->worked = b->worked;
    s->state_unit = NULL;
    if (s->fill != b->fill || s->size != b->size) {
        s->fill = b->fill;
        s->size = b->size;
        if (s->fill && fill_file(s) != 0)
            return -1;
    }
    if (s->fill && measure_folios(s) != 0)
        return -1;
    if (!state_is_right(s))
        return 0;
    print_head(s, b);
    return rounds_of(s, b, seconds, run);
}

/* A row is the blocks whose names begin with its own. */
static int is_of(const struct goal_block *b, const struct row *row)
{
    return strncmp(b->name, row->name, strlen(row->name)) == 0;
}

int measure_goals(const struct row *row, const struct order *order)
{
    static const struct goal_block *const lists[] = {update_blocks, stream_blocks};
    char path[4096];
    struct scene s = {.path = path, .fd = -1, .bytes = aligned_alloc(2 * MIB, PIECE)};
    int rc = s.bytes ? 0 : fail("no memory", "goals"), count = 0;
    uint64_t seed = 5;
    if (s.bytes) /* a device takes pages that lie together at once: its limit needs that */
        madvise(s.bytes, PIECE, MADV_HUGEPAGE);
    snprintf(path, sizeof path, "%s/goals", order->dir);
    if (rc == 0)
        fill_random(s.bytes, PIECE, &seed);
    for (int l = 0; l < 2; l++)
        for (const struct goal_block *b = lists[l]; b->name; b++)
            count += is_of(b, row);
    for (int l = 0; l < 2; l++)
        for (const struct goal_block *b = lists[l]; rc == 0 && b->name; b++)
            rc = is_of(b, row) ? measure_block(&s, b, order->seconds / count, order->run) : 0;
    unlink(path);
    free(s.bytes);
    return rc;
}

static int measure_growth_for(const char *name, const char *dir, double seconds, const char *run)
{
    char path[4096], block[64];
    struct goal_block b = growth_block;
    struct scene s = {.path = path, .fd = -1, .bytes = aligned_alloc(2 * MIB, PIECE)};
    snprintf(path, sizeof path, "%s/goals", dir);
    snprintf(block, sizeof block, "GrowthOn%s", name);
    b.name = block;
    int rc = s.bytes ? measure_block(&s, &b, seconds, run) : fail("no memory", name);
    unlink(path);
    free(s.bytes);
    return rc;
}

int measure_growth(const char *name, const char *dir)
{
    return measure_growth_for(name, dir, growth_time, "");
}

static int measure_growth_here(const struct row *row, const struct order *order)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } known[] = {{0xEF53, "ext4"}, {0x58465342, "xfs"}, {0x9123683E, "btrfs"}, {0x01021994, "tmpfs"}};
    struct statfs fs;
    const char *name = "another";
    if (statfs(order->dir, &fs) != 0)
        return fail("statfs", row->name);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (known[i].magic == ((unsigned long)fs.f_type & 0xFFFFFFFF))
            name = known[i].name;
    return measure_growth_for(name, order->dir, order->seconds, order->run);
}

const struct row goal_rows[] = {
    {"Scatter", 0, 8, "scattered updates, then one sync", measure_goals},
    {"Prefault", 1, 4, "bringing pages in for writing", measure_goals},
    {"Rewrite", 1, 6, "a synced range written from end to end again", measure_goals},
    {"RangeSync", 1, 4, "the sync of one dirty page beside others", measure_goals},
    {"Bulk", 1, 8, "much written in bulk, durable at the end", measure_goals},
    {"Append", 1, 6, "records behind each other", measure_goals},
    {"Growth", 1, 2, "a file that grows while its pages are in use", measure_growth_here},
    {0},
};
