/* rounds.c: see rounds.h, and ../rounds.go for the reasons. */

#include "rounds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const double round_time = 1.5e-3; /* seconds */
static const int min_rounds = 20;

/* A sample is one variant's part of one round. */
struct sample {
    long ops;
    double ns; /* an op */
};

int fail(const char *what, const char *which)
{
    fprintf(stderr, "bench: %s: %s%s%s\n", which, what, errno ? ": " : "",
            errno ? strerror(errno) : "");
    return -1;
}

static int variant_fail(const struct block *block, const struct variant *v, const char *what)
{
    char which[128];
    snprintf(which, sizeof which, "C %s %zu: %s %s", block->name, block->size, v->impl, v->op);
    return fail(what, which);
}

void block_add(struct block *block, const struct variant *v)
{
    if (block->count == MAX_VARIANTS)
        abort();
    block->variants[block->count++] = *v;
}

/* xorshift64star: fast, and no byte of it repeats within a file. */
void fill_random(void *buf, size_t n, uint64_t *seed)
{
    char *to = buf;
    uint64_t x = *seed;
    for (size_t i = 0; i < n; i += sizeof x) {
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        uint64_t word = x * 2685821657736338717ULL;
        memcpy(to + i, &word, n - i < sizeof word ? n - i : sizeof word);
    }
    *seed = x;
}

/* spoil makes every byte of buf differ from the one in want. */
static void spoil(char *buf, const char *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf[i] = (char)~want[i];
}

/* read_back fills block->got with what the passes of v have written. */
static int read_back(struct block *block, const struct variant *v)
{
    size_t n = block->accesses * block->size;
    if (strcmp(v->impl, "memory") == 0) {
        memcpy(block->got, v->memory, n);
        return 0;
    }
    int fd = open(block->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    size_t done = 0;
    while (done < n) {
        ssize_t r = read(fd, block->got + done, n - done);
        if (r <= 0)
            break;
        done += (size_t)r;
    }
    close(fd);
    return done == n ? 0 : -1;
}

static uint64_t write_seed = 88172645463325252ULL;

/* check_whole runs one op in which every page is another, and looks at all of
 * its bytes. */
static int check_whole(struct block *block, const struct variant *v)
{
    size_t n = block->accesses * block->size;
    errno = 0;
    if (block->content)
        spoil(block->wide, block->content, n);
    else
        fill_random(block->wide, n, &write_seed);
    if (v->pass(block, v, block->wide, block->size) != 0)
        return variant_fail(block, v, "an access failed or came back short");
    if (!block->content && read_back(block, v) != 0)
        return variant_fail(block, v, "cannot read the file back");
    const char *want = block->content ? block->content : block->wide;
    const char *got = block->content ? block->wide : block->got;
    errno = 0;
    return memcmp(got, want, n) == 0 ? 0 : variant_fail(block, v, "moved the wrong bytes");
}

static void before(struct block *block)
{
    if (block->content)
        spoil(block->buf, block->content + (block->accesses - 1) * block->size, block->size);
    else
        fill_random(block->buf, block->size, &write_seed);
}

/* after: a read pass leaves the last page in buf; a write pass leaves buf in
 * every page. */
static int after(struct block *block, const struct variant *v)
{
    errno = 0;
    if (block->content) {
        const char *last = block->content + (block->accesses - 1) * block->size;
        return memcmp(block->buf, last, block->size) == 0
                   ? 0
                   : variant_fail(block, v, "read the wrong bytes");
    }
    if (read_back(block, v) != 0)
        return variant_fail(block, v, "cannot read the file back");
    for (size_t i = 0; i < block->accesses; i++)
        if (memcmp(block->got + i * block->size, block->buf, block->size) != 0)
            return variant_fail(block, v, "a write did not arrive");
    return 0;
}

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int step(void)
{
    static int in = -1, out = -1;
    const char *ends = getenv("BENCH_STEP");
    char turn = 1;
    if (!ends || !*ends)
        return 0;
    errno = 0;
    if (in < 0 && sscanf(ends, "%d,%d", &in, &out) != 2)
        return fail("BENCH_STEP is not two descriptors, IN,OUT", ends);
    /* What a round has printed is out before the turn is handed on. */
    fflush(stdout);
    if (write(out, &turn, 1) != 1)
        return fail("cannot tell that a round is over", "BENCH_STEP");
    return read(in, &turn, 1) == 1 ? 0 : fail("waiting for a turn", "BENCH_STEP");
}

int is_wanted(const char *block)
{
    const char *path = getenv("BENCH_ONLY");
    char line[512];
    int found = 0;
    if (!path || !*path)
        return 1;
    errno = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return fail("cannot read which blocks are wanted", path);
    while (!found && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        found = strcmp(line, block) == 0;
    }
    fclose(f);
    return found;
}

/* take times ops passes. One before them, untimed, brings the caches back from
 * the variant before. */
static int take(struct block *block, const struct variant *v, long ops, struct sample *out)
{
    before(block);
    errno = 0;
    int failed = v->pass(block, v, block->buf, 0);
    double start = now();
    for (long i = 0; i < ops; i++)
        failed |= v->pass(block, v, block->buf, 0);
    out->ns = (now() - start) * 1e9 / (double)ops;
    out->ops = ops;
    if (failed)
        return variant_fail(block, v, "an access failed or came back short");
    return after(block, v);
}

/* calibrate returns how many ops of v fill a round, or -1. */
static long calibrate(struct block *block, const struct variant *v)
{
    struct sample s;
    for (long ops = 1;; ops *= 2) {
        if (take(block, v, ops, &s) != 0)
            return -1;
        if (s.ns * (double)ops >= round_time * 1e9 / 4) {
            long fits = (long)(round_time * 1e9 / s.ns);
            return fits > 0 ? fits : 1;
        }
    }
}

static uint64_t mix(uint64_t *x)
{
    *x ^= *x >> 12;
    *x ^= *x << 25;
    *x ^= *x >> 27;
    return *x * 2685821657736338717ULL >> 33;
}

uint64_t chance(int round, int k)
{
    const char *lot = getenv("BENCH_LOT");
    uint64_t x = ((uint64_t)(lot ? atol(lot) : 0) << 40) + ((uint64_t)k << 32) + (uint64_t)round + 1;
    x *= 0x9E3779B97F4A7C15U;
    return mix(&x);
}

/* Shuffled, not rotated: what a variant finds in the caches is what the one
 * before it has left there, and none must have the same one before it always. */
void order_of(int round, int n, int *ks)
{
    uint64_t x = chance(round, 0) + 1;
    for (int k = 0; k < n; k++)
        ks[k] = k;
    for (int left = n; left > 1; left--) {
        int chosen = (int)(mix(&x) % (unsigned)left), last = ks[left - 1];
        ks[left - 1] = ks[chosen];
        ks[chosen] = last;
    }
}

/* run_round takes a sample of each variant. */
static int run_round(struct block *block, int round, const long *ops, struct sample *out)
{
    int n = block->count, order[MAX_VARIANTS];
    if (step() != 0)
        return -1;
    order_of(round, n, order);
    for (int place = 0; place < n; place++) {
        int k = order[place];
        if (take(block, &block->variants[k], ops[k], &out[k]) != 0)
            return -1;
    }
    return 0;
}

static void print_head(const struct block *block)
{
    printf("Row Benchmark%s/lang=c/size=%zu\t%s\n", block->name, block->size, block->title);
    printf(
        "State Benchmark%s/lang=c/size=%zu\ta file of %d KiB, written at once and read once before\n",
        block->name, block->size, FILE_SIZE >> 10);
}

static void print_round(const struct block *block, const struct sample *samples)
{
    for (int k = 0; k < block->count; k++) {
        const struct variant *v = &block->variants[k];
        double mbs = (double)(block->accesses * block->size) / samples[k].ns * 1000;
        printf("Benchmark%s/lang=c/impl=%s/op=%s/size=%zu%s-1\t%ld\t%.1f ns/op\t%.2f MB/s\n",
               block->name, v->impl, v->op, block->size, v->again ? "/again=1" : "", samples[k].ops,
               samples[k].ns, mbs);
    }
}

static int check_all(struct block *block)
{
    for (int k = 0; k < block->count; k++)
        if (check_whole(block, &block->variants[k]) != 0)
            return -1;
    return 0;
}

static void show_progress(const struct block *block, const char *run, int round, int rounds)
{
    static double last;
    if (isatty(STDERR_FILENO) && now() - last > 0.1) {
        fprintf(stderr, "\r\033[K%sC, %s %zu, round %d of %d", run, block->name, block->size, round,
                rounds);
        last = now();
    }
}

/* run_rounds fills samples[round * count + variant]. */
static int run_rounds(struct block *block, const char *run, const long *ops, struct sample *samples,
                      int rounds)
{
    for (int r = 0; r < rounds; r++) {
        show_progress(block, run, r, rounds);
        if (run_round(block, r, ops, &samples[(size_t)r * (size_t)block->count]) != 0)
            return -1;
    }
    return check_all(block);
}

/* measure is block_measure with the buffers in place. */
static int measure(struct block *block, double seconds, const char *run)
{
    long ops[MAX_VARIANTS];
    struct sample warm_up[MAX_VARIANTS];
    if (check_all(block) != 0)
        return -1;
    for (int k = 0; k < block->count; k++)
        if ((ops[k] = calibrate(block, &block->variants[k])) < 0)
            return -1;
    double start = now();
    if (run_round(block, 0, ops, warm_up) != 0)
        return -1;
    int rounds = (int)(seconds / (now() - start));
    if (rounds < min_rounds)
        rounds = min_rounds;
    struct sample *samples = calloc((size_t)rounds * (size_t)block->count, sizeof *samples);
    if (!samples)
        return fail("no memory", block->name);
    int rc = run_rounds(block, run, ops, samples, rounds);
    if (rc == 0)
        print_head(block);
    for (int r = 0; rc == 0 && r < rounds; r++)
        print_round(block, &samples[(size_t)r * (size_t)block->count]);
    free(samples);
    return rc;
}

/* accesses_of: as many as the notes have, or what the file holds of so large
 * ones. */
static size_t accesses_of(size_t size)
{
    return size <= FILE_SIZE / MOST_ACCESSES ? MOST_ACCESSES : FILE_SIZE / size;
}

int block_measure(struct block *block, double seconds, const char *run)
{
    char name[64];
    snprintf(name, sizeof name, "%s/lang=c/size=%zu", block->name, block->size);
    int wanted = is_wanted(name);
    if (wanted <= 0)
        return wanted;
    block->accesses = accesses_of(block->size);
    size_t n = block->accesses * block->size;
    block->buf = aligned_alloc(4096, (block->size + 4095) / 4096 * 4096);
    block->wide = malloc(n);
    block->got = malloc(n);
    int rc = -1;
    if (block->buf && block->wide && block->got)
        rc = measure(block, seconds, run);
    else
        fail("no memory", block->name);
    free(block->buf);
    free(block->wide);
    free(block->got);
    return rc;
}
