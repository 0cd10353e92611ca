/*
 * durable.h: the table of durability: every way in which written bytes can fail
 * to reach the medium (a row), under every way to sync them (a column), on
 * every file system that has a disk.
 *
 * A trial makes a file and a view of it, stores into two of its pages, makes
 * the disk fail, and syncs. When that returns 0, the power of the disk is cut
 * in that moment, the file system is mounted again, and the bytes must be
 * there: else it was a false success, whatever was documented. When it fails,
 * the view must hold that failure for good, and a new view must be able to
 * store the bytes again.
 */
#ifndef MAPVIEW_TESTS_DURABLE_H
#define MAPVIEW_TESTS_DURABLE_H

#include "fixture.h"

#define MARKER "this block of the table is bad"

/* A trial's file, in pages. The marker is stored into page BAD, beside other
 * bytes, and bytes without it into page GOOD, which is no neighbour. */
enum { PAGES = 16, GOOD = 3, BAD = 9 };
#define LEAD (PAGE + 24)   /* where in the file the view begins */
#define STORED_AT 100      /* where in those pages the bytes are */
#define STORED_LENGTH 600U /* and how many */

struct trial;

/* A way to sync is a column. */
struct way {
    const char *name;
    int page; /* what it says is on the medium: GOOD, BAD, or 0: both */
    int (*run)(struct trial *trial);
};

enum { WAYS = 7 };
extern const struct way ways[WAYS];

/* What a success without the bytes is. */
enum falseness {
    FALSE_SUCCESS, /* never allowed */
    WEAKER,        /* what the header says cannot be told */
    CONTROL,       /* what the trial is there to show: not of mapview */
};

/* A failing is a row. Where a function is NULL nothing is done, or the plain
 * thing. */
struct failing {
    const char *name;
    void (*make)(struct trial *trial);
    void (*open)(struct trial *trial);
    void (*strike)(struct trial *trial); /* the bytes are stored, and not yet written */
    int (*sync)(struct trial *trial, uint64_t off, uint64_t len, uint32_t level);
    enum falseness falseness;
    bool kills; /* the file system has to be mounted again afterwards */
};

extern const struct failing failings[]; /* a NULL name at the end */

struct trial {
    const char *fs;
    const struct failing *failing;
    const struct way *way;
    bool raw; /* stores go through mv_data */
    const char *path;
    mv_view *view;
    int other; /* somebody else's descriptor, or -1 */
    int code;  /* what the sync returned */
};

/* What a trial has come to. */
enum verdict {
    NOT_RUN,
    FAILED,    /* and was told */
    THERE,     /* success, and the bytes are on the medium */
    NOT_THERE, /* success, and they are not */
};

enum verdict durable_run(struct trial *trial);

/* durable_clean lets go of what a trial has open. */
void durable_clean(struct trial *trial);

/* durable_at returns the offset in the view of the stored bytes of a page. */
uint64_t durable_at(int page);

/* durable_open opens the trial's view, durable_store stores its bytes. */
void durable_open(struct trial *trial);
void durable_store(struct trial *trial);

#endif
