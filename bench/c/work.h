/*
 * work.h: ways to do the same work, side by side; the accesses of one may take
 * nanoseconds or seconds.
 *
 * A round takes a sample of every way, in the changing order of rounds.c. A
 * sample is prepared, timed and checked: all but the run is outside of the time.
 * A way that moves other bytes than it should, or none, fails the run.
 */
#ifndef BENCH_WORK_H
#define BENCH_WORK_H

#include <mapview.h>
#include <stddef.h>
#include <stdint.h>

#include "rounds.h"
#include "rows.h"

enum { MOST_WAYS_OF_WORK = 24 };

/* A walk says where access i is. At random it comes by every place once before
 * it comes by one again: an odd factor and a shift of bits lose nothing. */
struct walk {
    size_t size;   /* of one access */
    size_t places; /* a power of two */
    int random;
};

static inline size_t place_of(struct walk walk, long i)
{
    size_t mask = walk.places - 1, k = (size_t)i;
    if (walk.random) {
        k = k * 0x9E3779B97F4A7C15U & mask;
        k ^= k >> (__builtin_popcountll(mask) / 2 + 1);
    }
    return (k & mask) * walk.size;
}

struct way;

/* A work is a block, while it is measured. */
struct work {
    const char *row;
    char keys[96];   /* of the raw text, behind the size: pattern=seq/cache=resident */
    char title[160]; /* one phrase */
    char state[200]; /* what was prepared and verified */
    struct walk walk;
    int writes;          /* the accesses write */
    const char *path;    /* the file */
    const char *content; /* reading: what the places hold */
    const char *truth;   /* writing: a mapping of the file, for the check alone */
    char *buf;           /* what is read or written: room for MOST_BATCH accesses, or 2 MiB */
    uint64_t seed;       /* moves on with each sample */
    uint64_t sum;        /* of what has been read in this sample: see ends */
    long ops;            /* of a sample; 0: as many as take the time of one */
    double time;         /* of a sample, in seconds; 0: a quarter of a millisecond */
    int warm;            /* the accesses are to what was accessed before */
    int sync;            /* each sample ends in a sync */
    size_t file_size;    /* where it is another than the places take */
    unsigned count;      /* COUNT_ bits */
    float *latencies;    /* ns of each access of the sample, where counted; else NULL */
    double last;         /* when the access before ended */

    /* holds is called after each round, where it is not NULL: 0 leaves the round out,
     * since a state is gone that the block is about; -1 after a message. */
    int (*holds)(struct work *);
    const char *distance; /* of the processors: see processor.h */

    /* check is called after each run, and returns 0 or -1 after a message. */
    int (*check)(struct work *, struct way *, long first, long n);
};

enum { COUNT_FAULTS = 1, COUNT_DEVICE = 2, COUNT_LATENCIES = 4, COUNT_CALLS = 8 };
enum { MOST_BATCH = 32 };

/* Blocks that a way is not for. */
enum { NOT_READS = 1, NOT_WRITES = 2, NOT_RANDOM = 4, NOT_IN_ORDER = 8, NOT_WARM = 16 };

/* A way does the accesses of a block. Its functions return 0, or -1 with errno;
 * all but run may be NULL. */
struct way {
    const char *impl, *op;
    int (*open)(struct work *, struct way *); /* once; ABSENT: not on this machine */
    int (*prepare)(struct work *, struct way *);
    int (*settle)(struct work *,
                  struct way *); /* after a sample with faults, taken again; not with a sync */
    int (*run)(struct work *, struct way *, long first, long n);
    void (*close)(struct work *, struct way *);
    int again;           /* the second of the A/A pair */
    int kind;            /* of what: open's to know */
    int batch;           /* accesses at once; 0: one */
    unsigned not_for;    /* NOT_ bits */
    size_t least, most;  /* sizes that it is for; 0: any */
    const char *absence; /* why it is absent */
    int opened;          /* and to be closed; not what it shares with another way */

    /* open's: */
    mv_view *view;
    char *data;        /* where the bytes are */
    const char *truth; /* where the check finds what was written; NULL: in the file */
    int fd;
    size_t mapped; /* bytes of data, when it is a mapping */
    void *extra;

    double calls; /* system calls of an access in this block; -1: not counted */
};

enum { ABSENT = 1 };

/* open_ways opens all, prints SKIPPED for those that are absent, and returns 0
 * or -1 after a message. close_ways must be called in each case. */
int open_ways(struct work *w, struct way *ways, int n);
void close_ways(struct work *w, struct way *ways, int n);

/* measure_work measures a block for about seconds and prints its raw text. */
int measure_work(struct work *w, struct way *ways, int n, double seconds, const char *run);

/* ---- for the ways ---- */

/* ends is what a check of a read sums: the first and the last eight bytes. */
static inline uint64_t ends(const char *buf, size_t size)
{
    uint64_t first, last;
    __builtin_memcpy(&first, buf, sizeof first);
    __builtin_memcpy(&last, buf + size - sizeof last, sizeof last);
    return first * 3 + last;
}

/* note notes that access number i of the sample has ended. */
static inline void note(struct work *w, long i)
{
    if (w->latencies) {
        double t = now();
        w->latencies[i] = (float)((t - w->last) * 1e9);
        w->last = t;
    }
}

/* The checks of accesses to the places of the walk. A read leaves its bytes in
 * buf, at access % batch * size, and adds its ends to sum; a write writes buf. */
int check_reads(struct work *w, struct way *v, long first, long n);
int check_writes(struct work *w, struct way *v, long first, long n);

/* work_fail prints a message about the way (or the block, when it is NULL). */
int work_fail(const struct work *w, const struct way *v, const char *what);

/* is_brief says whether so short a run tests the benchmark alone. */
int is_brief(double seconds);

#endif
