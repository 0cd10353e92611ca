/*
 * failing.h: the table of system calls, with every call counted, and any of
 * them made to fail or accompanied by something else.
 *
 * Nothing here takes a lock: a hook may wait, and a child of fork may go on.
 */
#ifndef MAPVIEW_TESTS_FAILING_H
#define MAPVIEW_TESTS_FAILING_H

#include "sys.h"

/* FAILING_open, FAILING_close and so on: one number for each entry. */
enum failing_call {
#define FAILING_NUMBER(name, parameters, arguments) FAILING_##name,
    MV__SYS_CALLS(FAILING_NUMBER)
#undef FAILING_NUMBER
        FAILING_CALLS
};

/* failing_install puts the wrappers into mv__sys; once is enough. */
void failing_install(void);

/* failing_reset forgets counts, failures and hooks. What is mapped and
 * allocated goes on being counted. */
void failing_reset(void);

/* failing_arm makes the k-th call (from 1) return result in place of what it
 * does, and with forever each one after it. A close is made all the same,
 * as the kernel does it. For allocate the result is 0: no memory. */
void failing_arm(enum failing_call call, unsigned k, long result, bool forever);

/* failing_disarm ends that, and keeps counts and hooks. */
void failing_disarm(void);

/* failing_count returns how often call was made since failing_reset. */
unsigned failing_count(enum failing_call call);

/* failing_fired tells whether an armed failure has come about since
 * failing_reset. */
bool failing_fired(void);

/* A hook runs before the k-th call. It returns true to put *result in its
 * place. */
typedef bool failing_hook(unsigned k, long *result, void *argument);

/* failing_on sets the hook of a call; NULL takes it away. */
void failing_on(enum failing_call call, failing_hook *hook, void *argument);

/* failing_name returns the entry's name. */
const char *failing_name(enum failing_call call);

/* failing_heap returns how many allocations are not yet released, and
 * failing_mapped how many bytes are mapped and not yet unmapped. */
long failing_heap(void);
long failing_mapped(void);

/* failing_unmap_left unmaps what an armed munmap has left behind, and returns
 * how many bytes that were. */
long failing_unmap_left(void);

#endif
