/*
 * failures.h: a public call, with each of its system calls failed.
 *
 * The call is made once to count its system calls. Then every one of them is
 * made to fail, once and from then on, with each errno that fits it. The call
 * must return that errno and say so, or do all it does without a failure,
 * where that is known; descriptors, mappings and heap must be as before, and
 * errno left alone.
 */
#ifndef MAPVIEW_TESTS_FAILURES_H
#define MAPVIEW_TESTS_FAILURES_H

#include "support.h"

/* An exception is a failure with another consequence than its own errno. */
struct exception {
    bool is_one;
    enum failing_call call;
    int k;         /* which of the calls; -1: the last, 0: any */
    long injected; /* with which errno; 0: any */
    long returned; /* what comes of it; 0: nothing */
    bool once;     /* if only that one call fails */
};

enum { MOST_EXCEPTIONS = 8 };

struct failing_case {
    const char *name;
    void (*prepare)(void);         /* not counted */
    int64_t (*call)(void);         /* the call, with ERR */
    void (*check)(int64_t result); /* when the failure is over: file and view */
    void (*clean)(void);
    struct exception exceptions[MOST_EXCEPTIONS + 1]; /* up to one that is none */
};

/* MAY_FAIL is an exception: the case goes on without that call. PASSES is one:
 * the call is made again, and that has a result of its own. */
/* clang-format off */
#define MAY_FAIL(name) {true, FAILING_##name, 0, 0, 0, false}
#define PASSES(name) {true, FAILING_##name, 0, 0, 0, true}
/* clang-format on */

/* A part is what the cases of one program are about. */
enum failing_part {
    OPENINGS = 1,   /* test_open_failures.c */
    CALLS = 2,      /* test_view_failures.c */
    TRACKING = 4,   /* test_dirty_failures.c */
    WRITES = 8,     /* test_write_failures.c */
    ELSEWHERE = 16, /* what takes more than a case: see the list in failures.c */
};

/* run_failing_cases is the main of a test: each case is a test of its own. The
 * last test is that the cases have failed every system call of their part, once
 * and from then on; a call in the table that no part fails is a failure, too. */
int run_failing_cases(const struct failing_case *cases, size_t count, enum failing_part part);

#endif
