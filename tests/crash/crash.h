/*
 * crash.h: a model of power cuts. What a run does on a file system of the fault
 * disk is logged, write by write and flush by flush. For moments of that log
 * an image is built of what a cut would have left, mounted, and asked for all
 * that successful syncs had promised by then.
 *
 *   history  what was done to which file and what was promised, in order
 *   actor    does it, through the library, and keeps the history
 *   log      the disk's log, and the images that a cut of it can leave
 */
#ifndef MAPVIEW_TESTS_CRASH_H
#define MAPVIEW_TESTS_CRASH_H

#include "../faults/fixture.h"

/* ---- history ---- */

enum { MOST_FILES = 256, LONGEST_FILE = 16384, MOST_VERSIONS = 64 };

/* version_byte is what version v of a file has at that offset: 0 for version
 * 0, which is also what a file grows by. */
unsigned char version_byte(int file, unsigned version, uint64_t at);

enum kind {
    CREATED,    /* the file begins, empty */
    STORED,     /* from..to has a new version */
    GIVEN_BACK, /* from..to is zeros, without blocks */
    SIZED,      /* it becomes to bytes long */
    RENAMED,    /* it loses the suffix of its first name, and replaces an empty file */
    PROMISED,   /* from..to is on the medium, and so is the file's length up to there */
    WHOLE,      /* also its exact length and its name */
};

/* history_begin begins a new one. With astray the file system does not order
 * its writes: a block that was given back may be another file's on the medium
 * while its old owner still has it there, and one that had no bytes yet may show
 * what was in it before. Both may then be anything, until they are promised
 * again. */
void history_begin(const char *log, bool astray);

/* history_note notes an event at the present end of the log. A store and the
 * like are noted before they are made, a promise after. */
void history_note(enum kind kind, int file, uint64_t from, uint64_t to, unsigned version);

/* A file whose promises are lies, for history_check to find out. */
void history_lie(int file, const char *what);

/* history_advance takes in what was noted up to that length of the log; it
 * never goes back. */
void history_advance(uint64_t log_length);

/* history_check looks at every file in folder, prints what does not hold and
 * returns of how many files; those of lies count only as found out. NULL:
 * nothing could be mounted. */
int history_check(const char *folder);

struct history_totals {
    int files, promises, lies, lies_found;
    uint64_t checked; /* promised bytes that were compared */
};
struct history_totals history_totals(void);
const char *history_unfound(void); /* a lie that was not found out, or NULL */

/* ---- actor ---- */

/* actor_enumerate makes every short sequence of operations, each on a file of
 * its own, actor_random a long one on some files at once, and actor_lie those
 * that promise what they have not synced. */
void actor_enumerate(const char *fs);
void actor_random(const char *fs, unsigned seed);
void actor_lie(const char *fs);

/* ---- log ---- */

/* log_begin has the disk of fs log from now on, and takes its first image;
 * nothing may write at that moment. astray: see history_begin. log_end ends that and reads the log. */
void log_begin(const char *fs, bool astray);
void log_end(const char *fs);

/* log_epochs returns how many stretches from one flush to the next there are;
 * the first begins before any flush. log_epoch stores where it ends: with the
 * next flush. */
size_t log_epochs(void);
uint64_t log_epoch_end(size_t epoch);
size_t log_epoch_writes(size_t epoch); /* that are not yet flushed in it */

/* What of the writes that are not yet flushed survives the cut. */
enum survivors { NONE, ALL, ALL_BUT_ONE, ONLY_ONE, SOME, TORN };

/* log_image writes the image of a cut in that epoch; choice is the seed of
 * what is left open. Epochs must not descend. */
void log_image(const char *path, size_t epoch, enum survivors survivors, unsigned choice);
void log_free(void);

#endif
