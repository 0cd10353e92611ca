/*
 * rounds.h: times the variants of a block side by side, as ../rounds.go does.
 *
 * A round runs every variant once, about a millisecond and a half each, in an
 * order that changes. Only the ratios within a round count, and each variant is
 * checked, outside the time, to have moved the right bytes. What stands there
 * about the method holds here.
 */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* What is stored must not be found unused by the compiler. */
#define KEEP() __asm__ volatile("" ::: "memory")

#ifndef MADV_POPULATE_READ /* headers older than Linux 5.14 */
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

enum {
    MOST_ACCESSES = 500, /* reads or writes in one op, as in the notes */
    FILE_SIZE = MOST_ACCESSES * 4096,
    MAX_VARIANTS = 16
};

struct block;

/* A variant is one way to do the op of its block. */
struct variant {
    const char *impl, *op;
    /* pass does one op: access i of block->accesses works on block->size bytes
     * of the file at i * size, and of buf at i * stride. It returns 0, or -1
     * when an access did not move what it should. */
    int (*pass)(const struct block *block, const struct variant *self, char *buf, size_t stride);
    void *view;   /* the mv_view of mapview's variants */
    char *memory; /* where the bytes are: a mapping, or ordinary memory */
    int fd;       /* of the variants that make a system call for each access */
    int again;    /* the second of the A/A pair */
};

/* A block is one row of the plan: variants that do the same work. */
struct block {
    const char *name;    /* as in the raw text: Read, Write, WriteSync, Guard, GuardWrite */
    const char *title;   /* one phrase about the work */
    size_t size;         /* bytes of one access */
    size_t accesses;     /* in one op: block_measure sets it */
    const char *path;    /* the file */
    const char *content; /* reading: what the file holds; writing: NULL */
    struct variant variants[MAX_VARIANTS];
    int count;
    char *buf;  /* size bytes: what the timed passes are given */
    char *wide; /* accesses * size bytes: what the check's pass is given */
    char *got;  /* the same: what was read back */
};

/* block_add adds a copy of v. */
void block_add(struct block *block, const struct variant *v);

/* block_measure runs the block for about seconds and prints its raw text to
 * standard output. It returns 0, or -1 after a message on standard error. On a
 * terminal there is a progress line, which begins with run. */
int block_measure(struct block *block, double seconds, const char *run);

/* fill_random fills buf with bytes that depend on *seed, and moves that on. */
void fill_random(void *buf, size_t n, uint64_t *seed);

/* now returns seconds of a clock that only goes forward. */
double now(void);

/* order_of fills ks with the order of n variants in a round: another one each
 * time, and the same in every run. Of several processes each says by BENCH_LOT which
 * it is, and has orders of its own. */
void order_of(int round, int n, int *ks);

/* chance is a number that a round has of its own in the same way, one for each k. */
uint64_t chance(int round, int k);

/* step waits for the turn of this runner, before each round: with BENCH_STEP=IN,OUT
 * it writes a byte to the descriptor OUT and waits for one from IN, so that two
 * builds of a runner can take turns. It returns 0, or -1 after a message. */
int step(void);

/* is_wanted tells whether a block is to be measured. With BENCH_ONLY=FILE that are
 * those whose names stand in the file, a line each, as "Read/lang=c/size=4096". -1
 * after a message. */
int is_wanted(const char *block);

/* fail prints a message, with the text of errno if it is not 0; returns -1. */
int fail(const char *what, const char *which);

#endif
