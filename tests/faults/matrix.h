/*
 * matrix.h: the fault matrix of C: every fault that a view's file can have (a
 * row), under every way to access the view (a column), on every file system.
 *
 * A cell makes a file and a view of it, strikes, and accesses. What comes of
 * that is an error with its exact place, or right bytes. Then the cause goes
 * away, and all must be as if nothing had been.
 */
#ifndef MAPVIEW_TESTS_MATRIX_H
#define MAPVIEW_TESTS_MATRIX_H

#include "fixture.h"

/* ---- columns: ways to access a view ---- */

/* An outcome is what an access has come to. */
struct outcome {
    int code;        /* 0 or a negative errno */
    uint64_t done;   /* bytes before it stopped */
    uint64_t offset; /* where the mv_error says it did */
};

struct column {
    const char *name;
    uint32_t access; /* MV_READ or MV_WRITE */
    uint64_t flags;  /* of the view */
    /* Accesses n bytes from from on, in steps where the way has steps. */
    struct outcome (*run)(mv_view *view, unsigned char *bytes, uint64_t from, uint64_t n,
                          mv_error *err);
};

enum { COLUMNS = 8 };
extern const struct column columns[COLUMNS];

/* matrix_partner returns the column that stores where this one loads, and the
 * other way round. */
const struct column *matrix_partner(const struct column *column);

/* ---- cells ---- */

/* A cell's file, in pages; FIRST, EDGE, BAD and LAST are four of them.
 *
 *     0       1       2 FIRST 3 EDGE  4 BAD   5       6 LAST  7
 *     |.......|[ view .......|.......|.......|.......|.......|......]
 *                     |<---------- what is accessed ------->|
 *                              ^ the new end, where a cut goes through a page
 */
enum {
    PAGES = 8,
    FIRST = 2, /* the page that the access begins in */
    EDGE = 3,  /* the page that a cut may go through */
    BAD = 4,   /* the first page that is bad, in most rows */
    LAST = 6,  /* the page that the access ends in */
};
#define LEAD (PAGE + 24) /* where in the file the view begins */

struct cell {
    const char *fs;
    const struct column *column;
    uint64_t flags;      /* of the view */
    const char *path;    /* of the file */
    int memory;          /* the file, when it is a memfd; or -1 */
    mv_view *view;       /* of the file from LEAD on */
    uint64_t reserve;    /* of the view */
    uint64_t from, to;   /* what is accessed: offsets in the view */
    uint64_t end;        /* where the file ends: an offset in the view */
    unsigned char *want; /* what the view must show, byte by byte */
    unsigned char *kept; /* what the file must hold: for a private view not the same */
};

/* A verdict is what an access must come to: 0, or the cause at the first byte
 * of the view that is bad. */
struct verdict {
    int code;
    uint64_t first;
};

#define WORKS_ALL ((struct verdict){0, 0})

/* Bytes of page EDGE that stay when it is cut. */
#define EDGE_BYTES 1000

/* matrix_at returns the offset in the view of a byte of a page of the file. */
uint64_t matrix_at(uint64_t page, uint64_t byte);

/* fresh is what stores store at that offset of the view: never what is there,
 * and never 0. */
unsigned char fresh(uint64_t at);

/* Which views loads go through: a read-only one has to open its file again to
 * find the cause of a fault. (Stores go through write views.) */
enum views { BOTH_VIEWS, WRITE_VIEWS, READ_VIEWS };

/* A fault is a row. Where a function is NULL, nothing is done, or the plain
 * thing. */
struct fault {
    const char *name;
    const char *(*impossible)(const struct cell *cell); /* why there is no such cell, or NULL */
    void (*make)(struct cell *cell);                    /* the file: else whole, with a pattern */
    uint64_t flags;                                     /* of the view, too */
    enum views views;
    void (*strike)(struct cell *cell);
    struct verdict (*verdict)(const struct cell *cell);
    struct verdict (*touch)(const struct cell *cell); /* of a plain access; else as verdict */
    struct verdict (*probe)(const struct cell *cell); /* of mv_probe; else as touch */
    int sync;                                         /* what mv_sync must return */
    void (*more)(struct cell *cell);                  /* other things to check under the fault */
    void (*heal)(struct cell *cell);
    const char *(*run)(struct cell *cell); /* instead of all that; returns the word for the cell */
};

extern const struct fault faults[]; /* a NULL name at the end */

/* The two rows in which something runs beside the access; see matrix_beside.c. */
const char *matrix_shrink(struct cell *cell);
const char *matrix_detach(struct cell *cell);

/* matrix_run runs one cell and returns a word for what it came to. */
const char *matrix_run(const struct fault *fault, const char *fs, const struct column *column);

/* matrix_impossible returns why a cell cannot exist, or NULL. */
const char *matrix_impossible(const struct fault *fault, const char *fs, const struct column *column);

/* matrix_make and matrix_open make a cell's file and view; matrix_close ends
 * both. */
void matrix_make(struct cell *cell, uint64_t length);
void matrix_open(struct cell *cell, uint64_t flags);
void matrix_close(struct cell *cell);

/* matrix_access makes the cell's access and checks everything about it. */
struct outcome matrix_access(struct cell *cell, struct verdict verdict);

#endif
