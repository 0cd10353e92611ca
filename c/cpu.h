/*
 * cpu.h: what mapview needs from a processor: accesses that a fault may
 * interrupt. A port provides one file beside cpu_x86_64.c; cpu_any.c serves
 * every other one. What a file defines, and only one does, is empty elsewhere.
 *
 * A guarded access knows nothing of the handler. It is code at a known place,
 * and the handler of guard.c, which gets the interrupted registers, asks
 * whether they are there and changes them so that the access returns short.
 */
#ifndef MAPVIEW_CPU_H
#define MAPVIEW_CPU_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* MV__CPU_ANY can be defined to test cpu_any.c where another one would do. */
#if !defined(MV__CPU_ANY) && !(defined(__x86_64__) && !defined(__ILP32__)) && \
    !(defined(__aarch64__) && defined(__AARCH64EL__) && !defined(__ILP32__))
#define MV__CPU_ANY
#endif

/* mv__cpu_prepare finds out what this processor can. Called once, before any
 * guarded access. */
void mv__cpu_prepare(void);

/* mv__cpu_copy copies n bytes and returns how many it has copied: all, or
 * exactly those before the first that could not be read or written. Aligned
 * 1, 2, 4 and 8 bytes are copied at once. */
size_t mv__cpu_copy(void *to, const void *from, size_t n);

/* mv__cpu_checked is mv__cpu_copy for mv_read and mv_write: it returns n when
 * all was copied and *word is expected afterwards, and else ends in
 * mv__copy_rest, with its own arguments but for the bytes that were copied. So
 * they need not save a register or look at a result: for few bytes that would
 * take longer than the copy. A note is an mv_error, with MV__CPU_WRITE in its
 * lowest bit, or MV__CPU_COUNT: then mv__copy_rest returns done. */
#define MV__CPU_WRITE ((uintptr_t)1)
#define MV__CPU_COUNT ((uintptr_t)2)
#if defined(__x86_64__) && !defined(MV__CPU_ANY)
#define MV__CPU_CHECKS
typedef int64_t mv__cpu_way(void *to, const void *from, size_t n, const _Atomic uint64_t *word,
                            uint64_t expected, uintptr_t note);
mv__cpu_way mv__cpu_checked;

/* From 64 KiB on mv__cpu_checked ends in mv__copy_large, which ends in one of
 * these: by vectors, by the string instruction (is it made for this:
 * mv__cpu_has_string), by stores that go past the caches. */
mv__cpu_way mv__cpu_loop, mv__cpu_string, mv__cpu_stream, mv__copy_large;
extern bool mv__cpu_has_string;
#endif
int64_t mv__copy_rest(void *to, const void *from, size_t n, const _Atomic uint64_t *word, size_t done,
                      uintptr_t note);

/* mv__cpu_load and mv__cpu_store access an aligned number of width 1, 2, 4 or
 * 8 bytes at once, with acquire and release order. They return false when
 * there was a fault, or where the processor cannot. */
bool mv__cpu_load(const void *from, uint32_t width, uint64_t *value);
bool mv__cpu_store(void *to, uint32_t width, uint64_t value);

/* mv__cpu_resume is for the handler: when context, a ucontext_t, was
 * interrupted in a guarded access, it makes that return short. */
bool mv__cpu_resume(void *context);

/* A landing is where an interrupted mv__cpu_call comes back. */
struct mv__landing {
#ifdef MV__CPU_ANY
    sigjmp_buf place;
#else
    void *stack; /* the stack pointer */
#endif
};

/* mv__cpu_call calls function(argument) and returns what that returns, or
 * anything when mv__cpu_land has ended it. */
int mv__cpu_call(struct mv__landing *landing, int (*function)(void *), void *argument);

/* mv__cpu_land is for the handler: when that returns, or at once, mv__cpu_call
 * returns in the interrupted thread. */
void mv__cpu_land(void *context, struct mv__landing *landing);

/* mv__cpu_place and mv__cpu_stack return the interrupted program counter and
 * stack pointer, and mv__cpu_home the stack pointer of the landing: 0 where the
 * processor is not known. */
uintptr_t mv__cpu_place(const void *context);
uintptr_t mv__cpu_stack(const void *context);
uintptr_t mv__cpu_home(const struct mv__landing *landing);

/* mv__cpu_access tells whether the fault of context was a read or a write
 * (MV_READ, MV_WRITE), or 0 where the processor does not say. */
uint32_t mv__cpu_access(const void *context);

#endif
