/*
 * goals.h: times ways of writing that are too long for rounds.h: an op takes
 * milliseconds, and before it the page cache is brought into a state.
 *
 * A round runs every way of a block once, in an order that changes; only the
 * ratios within a round count. Before a way is timed its state is prepared and
 * verified, and after it the bytes are; none of that is in the time.
 */
#ifndef BENCH_GOALS_H
#define BENCH_GOALS_H

#include <mapview.h>
#include <stddef.h>
#include <stdint.h>

#include "rounds.h"

#define PIECE (4 * MIB)

enum { MOST_WAYS = 8, UPDATES = 256 };

/* A scene is what the ways of a block work on. */
struct scene {
    const char *name; /* of the block, as in the raw text */
    const char *path; /* the file */
    size_t size;      /* of the file */
    size_t worked;    /* bytes that an op is about, from the first */
    size_t unit;      /* bytes of one access */
    size_t fill;      /* the file was written in pieces of this: its folios; 0: it is made anew */
    uint64_t count;   /* of ways timed so far: what is written differs each time */
    size_t places[UPDATES];
    char *bytes; /* PIECE bytes, other ones each time: each MiB written is the first of it */

    /* Of the way that runs: */
    int fd;
    char *map;
    size_t mapped; /* bytes of map */
    mv_view *view;
    mv_appender *appender;
    double state; /* KiB of a folio, found by counting write faults; or pages in memory, where cold */
    const char *state_unit;
    float *latencies; /* of each record, when asked for */
};

struct way {
    const char *impl, *op;
    int (*prepare)(struct scene *);
    int (*run)(struct scene *);
    int (*finish)(struct scene *); /* checks the bytes; fd, map and view are closed after it */
    int again;                     /* the second of the A/A pair */
};

/* A block is ways that do the same work. */
struct goal_block {
    const char *name;
    size_t size, worked, unit, fill;
    struct way ways[MOST_WAYS];
    const char *title;
    int latencies; /* a second op of each way, with the time of each access */
};

/* The blocks, ended by one without a name. updates: on a file of that fill. */
extern const struct goal_block update_blocks[], stream_blocks[], growth_block;

/* ---- for the ways ---- */

/* These open what the way needs, and store it in the scene. */
int open_plain(struct scene *s, int flags);        /* fd */
int map_opened(struct scene *s, size_t size);      /* map, of the fd that is open */
int map_plain(struct scene *s);                    /* fd and map, of size bytes */
int open_mapview(struct scene *s, uint64_t flags); /* view */
void sync_scene(struct scene *s);                  /* syncs the file */

/* map_memory maps memory of huge pages, for what an op is about, and has it touched:
 * the limit of copies. check_memory compares it as check_pieces does the file. */
int map_memory(struct scene *s);
int check_memory(struct scene *s);

/* choose_places chooses UPDATES pages of the file, all different. */
void choose_places(struct scene *s);

/* check_file compares n bytes of the file at off with the bytes wanted, and
 * check_pieces whole MiB of it, from the first on, with the piece. */
int check_file(struct scene *s, const void *want, size_t n, size_t off);
int check_pieces(struct scene *s, size_t n);

int goal_fail(const struct scene *s, const char *what);

#endif
