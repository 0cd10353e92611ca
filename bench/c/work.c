/* work.c: see work.h. */

#include "work.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calls.h"
#include "counters.h"

enum { MOST_ACCESSES_OF_SAMPLE = 1 << 22 };
enum {
    LEAST_ROUNDS = 20,
    LEAST_LONG_ROUNDS = 7,
    BRIEF_ROUNDS = 2,
    MOST_ROUNDS = 1000,
    WHOLE_CHECKS = 64
};
static const double usual_time = 2.5e-4, brief_time = 1e-4, check_time = 5e-3, brief = 0.02,
                    least_time = 0.1; /* seconds */

struct taken {
    long ops;
    double ns, faults, device; /* an access; device -1: not counted */
    double percentiles[5];     /* 50, 90, 99, 99.9, 100 */
};

int is_brief(double seconds)
{
    return seconds < brief;
}

int work_fail(const struct work *w, const struct way *v, const char *what)
{
    char which[160];
    snprintf(which, sizeof which, "C %s %zu %s: %s %s", w->row, w->walk.size, w->keys, v ? v->impl : "",
             v ? v->op : "");
    return fail(what, which);
}

/* ---- opening ---- */

/* share lets the second of a pair work on what the first has opened: the two
 * differ by the noise of the run alone, and not by where a mapping lies. */
static int share(struct way *v, const struct way *ways)
{
    for (const struct way *first = ways; first < v; first++)
        if (strcmp(first->impl, v->impl) == 0 && strcmp(first->op, v->op) == 0) {
            v->view = first->view;
            v->data = first->data;
            v->truth = first->truth;
            v->fd = first->fd;
            v->mapped = first->mapped;
            v->extra = first->extra;
            return 1;
        }
    return 0;
}

int open_ways(struct work *w, struct way *ways, int n)
{
    for (int k = 0; k < n; k++)
        ways[k].fd = -1;
    for (int k = 0; k < n; k++) {
        struct way *v = &ways[k];
        v->absence = NULL;
        v->opened = !(v->again && v->open && share(v, ways));
        errno = 0;
        int rc = v->open && v->opened ? v->open(w, v) : 0;
        if (rc < 0)
            return work_fail(w, v, "cannot be opened");
        if (rc == ABSENT) {
            if (!v->absence)
                v->absence = strerror(errno);
            printf("SKIPPED C, %s, %s %s: %s\n", w->row, v->impl, v->op, v->absence);
        }
    }
    return 0;
}

void close_ways(struct work *w, struct way *ways, int n)
{
    for (int k = 0; k < n; k++)
        if (ways[k].close && ways[k].opened)
            ways[k].close(w, &ways[k]);
}

static int fits(const struct work *w, const struct way *v)
{
    unsigned is = (w->writes ? NOT_WRITES : NOT_READS) | (w->walk.random ? NOT_RANDOM : NOT_IN_ORDER) |
                  (w->warm ? NOT_WARM : 0);
    return !v->absence && !(v->not_for & is) && w->walk.size >= v->least &&
           (!v->most || w->walk.size <= v->most);
}

/* ---- checks ---- */

static size_t slot_of(const struct way *v, long i)
{
    return v->batch ? (size_t)(i % v->batch) : 0;
}

/* The last accesses are still in buf, as many as a batch has. */
int check_reads(struct work *w, struct way *v, long first, long n)
{
    size_t size = w->walk.size;
    uint64_t sum = 0;
    for (long i = first; i < first + n; i++)
        sum += ends(w->content + place_of(w->walk, i), size);
    if (sum != w->sum)
        return work_fail(w, v, "did not read what it should");
    long kept = v->batch ? v->batch : 1;
    for (long i = first + n - (n < kept ? n : kept); i < first + n; i++)
        if (memcmp(w->buf + slot_of(v, i - first) * size, w->content + place_of(w->walk, i), size) != 0)
            return work_fail(w, v, "read the wrong bytes");
    return 0;
}

int check_writes(struct work *w, struct way *v, long first, long n)
{
    const char *truth = v->truth ? v->truth : w->truth;
    for (long i = first; i < first + n; i++)
        if (memcmp(truth + place_of(w->walk, i), w->buf, w->walk.size) != 0)
            return work_fail(w, v, "a write did not arrive");
    return 0;
}

/* ---- samples ---- */

static int compare_latencies(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void take_percentiles(struct work *w, struct taken *out, long n)
{
    static const double parts[5] = {0.5, 0.9, 0.99, 0.999, 1};
    qsort(w->latencies, (size_t)n, sizeof *w->latencies, compare_latencies);
    for (int p = 0; p < 5; p++) {
        long at = (long)((double)n * parts[p]);
        out->percentiles[p] = (double)w->latencies[at < n ? at : n - 1];
    }
}

/* fresh_bytes: what is read must differ from what buf holds, and what is
 * written from all that was written before. */
static void fresh_bytes(struct work *w, const struct way *v)
{
    size_t n = w->walk.size * (size_t)(v->batch && !w->writes ? v->batch : 1);
    uint64_t unused;
    if (w->buf)
        fill_random(w->buf, n, &w->seed);
    else
        fill_random(&unused, sizeof unused, &w->seed);
    w->sum = 0;
}

/* ready brings a way to where a sample begins. */
static int ready(struct work *w, struct way *v)
{
    fresh_bytes(w, v);
    errno = 0;
    return v->prepare && v->prepare(w, v) != 0 ? work_fail(w, v, "cannot be prepared") : 0;
}

static int run_checked(struct work *w, struct way *v, long first, long n, struct taken *out)
{
    if (ready(w, v) != 0)
        return -1;
    long faults = faults_so_far();
    double device = w->count & COUNT_DEVICE ? device_bytes(w->path) : -1, start = now();
    w->last = start;
    int rc = v->run(w, v, first, n);
    out->ns = (now() - start) * 1e9 / (double)n;
    out->device = device < 0 ? -1 : (device_bytes(w->path) - device) / (double)n;
    out->faults = (double)(faults_so_far() - faults) / (double)n;
    out->ops = n;
    if (rc != 0)
        return work_fail(w, v, "an access failed or came back short");
    errno = 0;
    return w->check(w, v, first, n);
}

#define MOST_SETTLINGS 3

/* take is a sample. What the variant before has left in the processor's caches
 * goes by some accesses before it, where they are short. */
static int take(struct work *w, struct way *v, long first, long n, struct taken *out)
{
    sched_yield(); /* at the start of a time slice it is the least likely to be interrupted */
    if (!w->ops) {
        if (ready(w, v) != 0)
            return -1;
        if (v->run(w, v, first, (n + 7) / 8) != 0)
            return work_fail(w, v, "an access failed or came back short");
    }
    if (w->count & COUNT_LATENCIES && !(w->latencies = malloc((size_t)n * sizeof *w->latencies)))
        return work_fail(w, v, "no memory");
    int rc = run_checked(w, v, first, n, out);
    for (int i = 0; rc == 0 && v->settle && !w->sync && out->faults > 0 && i < MOST_SETTLINGS; i++)
        rc = v->settle(w, v) == 0 ? run_checked(w, v, first, n, out)
                                  : work_fail(w, v, "cannot be prepared");
    if (w->latencies && rc == 0)
        take_percentiles(w, out, n);
    free(w->latencies);
    w->latencies = NULL;
    return rc;
}

/* check_whole looks at whole accesses, a batch at a time, as far as time allows.
 * (Where the number of them is fixed, the check of each sample does.) */
static int check_whole(struct work *w, struct way *v, double seconds)
{
    struct taken unused;
    long n = v->batch ? v->batch : 1, checks = w->ops ? 0 : WHOLE_CHECKS / n;
    double start = now();
    for (long i = 0; i < checks && now() - start < (is_brief(seconds) ? check_time / 10 : check_time);
         i++)
        if (run_checked(w, v, i * n, n, &unused) != 0)
            return -1;
    return 0;
}

static double sample_time(const struct work *w)
{
    return w->time > 0 ? w->time : usual_time;
}

/* calibrate returns how many accesses fill a round, in whole batches; or -1. */
static long calibrate(struct work *w, struct way *v, double time, double *all)
{
    struct taken s, other;
    if (w->ops)
        return w->ops;
    for (long n = v->batch ? v->batch : 1, unit = n;; n *= 2) {
        /* The fastest of two, or of some where it looks long: one may have been
         * interrupted, or have waited for the disk. */
        s.ns = 1e18;
        for (int tries = 0; tries < 2 || (tries < 5 && s.ns * (double)n > time * 2e9); tries++) {
            if (take(w, v, 0, n, &other) != 0)
                return -1;
            s.ns = other.ns < s.ns ? other.ns : s.ns;
        }
        if (s.ns * (double)n >= time * 1e9 / 4 || n > MOST_ACCESSES_OF_SAMPLE) {
            double most = time * 1e9 / s.ns;
            *all += s.ns * (double)n * 1e-9;
            long fits = most < (double)n * 4 ? (long)most / unit * unit : n;
            return fits > unit ? fits : unit;
        }
    }
}

/* count_calls counts the system calls of some accesses, outside of the time. */
static int count_calls(struct work *w, struct way *v, int briefly)
{
    static int told;
    long n = v->batch ? v->batch : w->walk.size >= MIB ? 2 : briefly ? 4 : 2 * MOST_BATCH;
    v->calls = -1;
    if (!(w->count & COUNT_CALLS))
        return 0;
    if (ready(w, v) != 0)
        return -1;
    if (begin_calls() != 0) {
        if (!told++)
            printf("SKIPPED C, %s, system calls of an access: tracing is not allowed here\n", w->row);
        return 0;
    }
    int rc = v->run(w, v, 0, n);
    long calls = end_calls();
    v->calls = calls < 0 ? -1 : (double)calls / (double)n;
    return rc == 0 ? w->check(w, v, 0, n) : work_fail(w, v, "an access failed or came back short");
}

/* ---- rounds ---- */

static int take_round(struct work *w, struct way **ways, int n, const long *ops, int round,
                      struct taken *out)
{
    int order[MOST_WAYS_OF_WORK];
    if (step() != 0)
        return -1;
    order_of(round, n, order);
    for (int place = 0; place < n; place++) {
        int k = order[place];
        /* Anywhere, and not where it is always the same other one that has been last:
         * who comes where another has just been finds it in the caches. */
        long first = w->ops ? 0 : (long)chance(round, k + 1);
        if (take(w, ways[k], first, ops[k], &out[k]) != 0)
            return -1;
    }
    return 0;
}

static void print_name(const struct work *w, const struct way *v)
{
    printf("Benchmark%s/lang=c", w->row);
    if (v)
        printf("/impl=%s/op=%s", v->impl, v->op);
    printf("/size=%zu%s%s", w->walk.size, w->keys[0] ? "/" : "", w->keys);
}

static void print_taken(const struct work *w, const struct way *v, const struct taken *s)
{
    static const char *const names[5] = {"p50", "p90", "p99", "p99.9", "max"};
    print_name(w, v);
    printf("%s-1\t%ld\t%.1f ns/op\t%.2f MB/s", v->again ? "/again=1" : "", s->ops, s->ns,
           (double)w->walk.size / s->ns * 1000);
    if (w->count & COUNT_FAULTS)
        printf("\t%.4g faults/op", s->faults);
    if (v->calls >= 0)
        printf("\t%.3g syscalls/op", v->calls);
    if (s->device >= 0)
        printf("\t%.0f dev-B/op", s->device);
    for (int p = 0; w->count & COUNT_LATENCIES && p < 5; p++)
        printf("\t%.0f %s-ns", s->percentiles[p], names[p]);
    printf("\n");
}

static void print_head(const struct work *w)
{
    printf("Row ");
    print_name(w, NULL);
    printf("\t%s\nState ", w->title);
    print_name(w, NULL);
    printf("\t%s\n", w->state);
}

static int choose_rounds(int is_long, double seconds, double round)
{
    int least = is_brief(seconds) ? BRIEF_ROUNDS : is_long ? LEAST_LONG_ROUNDS : LEAST_ROUNDS;
    double fit = seconds / round;
    return fit < least ? least : fit > MOST_ROUNDS ? MOST_ROUNDS : (int)fit;
}

static void show_round(const struct work *w, int round, int rounds, const char *run)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%sC, %s %zu %s, round %d of %d", run, w->row, w->walk.size, w->keys,
                round, rounds);
}

/* The first round is to warm up, and to see how many there can be. A round in which
 * the state of the block was gone is taken again, within bounds. */
static int take_rounds(struct work *w, struct way **ways, int n, const long *ops, int is_long,
                       double seconds, const char *run)
{
    struct taken taken[MOST_WAYS_OF_WORK];
    double start = now();
    int rounds = 1, kept = 0;
    for (int r = 0; kept <= rounds && r <= 3 * rounds; r++) {
        show_round(w, kept, rounds, run);
        if (take_round(w, ways, n, ops, r, taken) != 0)
            return -1;
        int holds = w->holds ? w->holds(w) : 1;
        if (holds < 0)
            return -1;
        if (r == 0) {
            rounds = choose_rounds(is_long, seconds, now() - start);
            print_head(w);
            kept = 1;
            continue;
        }
        for (int k = 0; holds && k < n; k++)
            print_taken(w, ways[k], &taken[k]);
        kept += holds;
    }
    return 0;
}

int measure_work(struct work *w, struct way *ways, int n, double seconds, const char *run)
{
    struct way *fit[MOST_WAYS_OF_WORK];
    long ops[MOST_WAYS_OF_WORK];
    int count = 0;
    double start = now(), all = 0; /* of the samples of a round, if nothing interrupts them */
    char name[192];
    snprintf(name, sizeof name, "%s/lang=c/size=%zu%s%s", w->row, w->walk.size, w->keys[0] ? "/" : "",
             w->keys);
    int wanted = is_wanted(name);
    if (wanted <= 0)
        return wanted;
    if (w->seed == 0)
        w->seed = 88172645463325252ULL;
    for (int k = 0; k < n && count < MOST_WAYS_OF_WORK; k++)
        if (fits(w, &ways[k]))
            fit[count++] = &ways[k];
    for (int k = 0; k < count; k++)
        if (check_whole(w, fit[k], seconds) != 0)
            return -1;
    for (int k = 0; k < count; k++)
        if (count_calls(w, fit[k], is_brief(seconds)) != 0)
            return -1;
    for (int k = 0; k < count; k++)
        if ((ops[k] = calibrate(w, fit[k], is_brief(seconds) ? brief_time : sample_time(w), &all)) < 0)
            return -1;
    double left = seconds - (now() - start);
    if (take_rounds(w, fit, count, ops, w->ops || all > 8 * sample_time(w) * count,
                    is_brief(seconds) || left > least_time ? left : least_time, run) != 0)
        return -1;
    for (int k = 0; k < count; k++)
        if (check_whole(w, fit[k], seconds) != 0)
            return -1;
    return 0;
}
