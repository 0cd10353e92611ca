/*
 * guard.h: what makes a fault in a guarded access, or in a guarded call, an
 * ordinary return. Knows addresses, and no view.
 */
#ifndef MAPVIEW_GUARD_H
#define MAPVIEW_GUARD_H

#include "cpu.h"

#include <stdatomic.h>

/* mv__guard_state is MV__GUARD_READY when the handler is installed. */
__attribute__((visibility("hidden"))) extern _Atomic int mv__guard_state;
#define MV__GUARD_READY 1

/* mv__guard_install installs it, once. Returns 0 or a negative errno, which
 * does not change any more. */
int mv__guard_install(void);

/* mv__guard_ready is the first line of every guarded access: whether the
 * handler is there, installed now if need be. One load when it is. */
static inline bool mv__guard_ready(void)
{
    return atomic_load_explicit(&mv__guard_state, memory_order_acquire) == MV__GUARD_READY ||
           mv__guard_install() == 0;
}

/* A pad is one guarded call: the caller's, on its stack. */
struct mv__pad {
    uintptr_t start, end;             /* the addresses at which a fault ends the call */
    uintptr_t other_start, other_end; /* and others; 0, 0: none */
    struct mv__landing landing;
    struct mv__pad *outer; /* the guarded call around this one, in the same thread */

    /* Set by the handler when a fault has ended the call. */
    bool landed;
    uint32_t access; /* MV_READ, MV_WRITE, or 0: unknown */
    uintptr_t address;
    uintptr_t stack; /* the interrupted stack pointer, or 0: unknown */
};

/* mv__guard_call calls function(argument) and stores what it returns in
 * *result, unless a fault ends it. Returns 0, or -ENOMEM: it was not called. */
int mv__guard_call(struct mv__pad *pad, int (*function)(void *), void *argument, int *result);

#endif
