/* cpu_any.c: guarded accesses on any processor, by sigsetjmp without the mask.
 * The handler does not return but jumps: what it blocks is unblocked by hand,
 * and a thread that set its alternate stack with SS_AUTODISARM loses it. */
#include "cpu.h"
#include "guard.h"
#include "mapview.h"

#ifdef MV__CPU_ANY

#include <signal.h>
#include <string.h>
#include <ucontext.h>

void mv__cpu_prepare(void)
{
}

int mv__cpu_call(struct mv__landing *landing, int (*function)(void *), void *argument)
{
    if (sigsetjmp(landing->place, 0) != 0)
        return 0;
    return function(argument);
}

void mv__cpu_land(void *context, struct mv__landing *landing)
{
    pthread_sigmask(SIG_SETMASK, &((ucontext_t *)context)->uc_sigmask, NULL);
    siglongjmp(landing->place, 1);
}

bool mv__cpu_resume(void *context)
{
    (void)context;
    return false; /* every guarded access is an mv__cpu_call */
}

uintptr_t mv__cpu_place(const void *context)
{
    (void)context;
    return 0;
}

uintptr_t mv__cpu_stack(const void *context)
{
    (void)context;
    return 0;
}

uintptr_t mv__cpu_home(const struct mv__landing *landing)
{
    (void)landing;
    return 0;
}

uint32_t mv__cpu_access(const void *context)
{
    (void)context;
    return 0;
}

/* Some processors tell no more than the page of a fault. */
#define PAGE_OF(address) ((uintptr_t)(address) & ~(uintptr_t)4095)

/* Calls function under a pad for n bytes at each of the two places. */
static bool passes(int (*function)(void *), void *argument, const void *one, const void *two, size_t n)
{
    struct mv__pad pad = {.start = PAGE_OF(one),
                          .end = (uintptr_t)one + n,
                          .other_start = PAGE_OF(two),
                          .other_end = (uintptr_t)two + n};
    int result = 0;
    return mv__guard_call(&pad, function, argument, &result) == 0 && !pad.landed && result;
}

struct number_job {
    uint32_t width;
    void *at;
    uint64_t value;
};

static int load_number(void *argument)
{
    struct number_job *job = argument;
    switch (job->width) {
    case 1:
        job->value = __atomic_load_n((uint8_t *)job->at, __ATOMIC_ACQUIRE);
        return 1;
    case 2:
        job->value = __atomic_load_n((uint16_t *)job->at, __ATOMIC_ACQUIRE);
        return 1;
    case 4:
        job->value = __atomic_load_n((uint32_t *)job->at, __ATOMIC_ACQUIRE);
        return 1;
#if __SIZEOF_POINTER__ >= 8 /* a library call elsewhere, which takes a lock */
    case 8:
        job->value = __atomic_load_n((uint64_t *)job->at, __ATOMIC_ACQUIRE);
        return 1;
#endif
    default:
        return 0;
    }
}

static int store_number(void *argument)
{
    struct number_job *job = argument;
    switch (job->width) {
    case 1:
        __atomic_store_n((uint8_t *)job->at, (uint8_t)job->value, __ATOMIC_RELEASE);
        return 1;
    case 2:
        __atomic_store_n((uint16_t *)job->at, (uint16_t)job->value, __ATOMIC_RELEASE);
        return 1;
    case 4:
        __atomic_store_n((uint32_t *)job->at, (uint32_t)job->value, __ATOMIC_RELEASE);
        return 1;
#if __SIZEOF_POINTER__ >= 8
    case 8:
        __atomic_store_n((uint64_t *)job->at, job->value, __ATOMIC_RELEASE);
        return 1;
#endif
    default:
        return 0;
    }
}

bool mv__cpu_load(const void *from, uint32_t width, uint64_t *value)
{
    struct number_job job = {.width = width, .at = (void *)(uintptr_t)from};
    if (!passes(load_number, &job, from, from, width))
        return false;
    *value = job.value;
    return true;
}

bool mv__cpu_store(void *to, uint32_t width, uint64_t value)
{
    struct number_job job = {.width = width, .at = to, .value = value};
    return passes(store_number, &job, to, to, width);
}

struct copy_job {
    unsigned char *to;
    const unsigned char *from;
    volatile size_t done; /* seen after a landing */
    size_t n;
};

/* As many bytes at once as a fault makes the copy repeat. */
#define BLOCK ((size_t)1024)

static int copy_blocks(void *argument)
{
    struct copy_job *job = argument;
    while (job->done < job->n) {
        size_t step = job->n - job->done < BLOCK ? job->n - job->done : BLOCK;
        memcpy(job->to + job->done, job->from + job->done, step);
        job->done += step;
    }
    return 1;
}

static int copy_bytes(void *argument)
{
    struct copy_job *job = argument;
    for (; job->done < job->n; job->done++)
        *(volatile unsigned char *)(job->to + job->done) =
            *(const volatile unsigned char *)(job->from + job->done);
    return 1;
}

static int copy_number(void *argument)
{
    struct copy_job *job = argument;
    struct number_job number = {.width = (uint32_t)job->n, .at = (void *)(uintptr_t)job->from};
    int whole = load_number(&number);
    number.at = job->to;
    return whole && store_number(&number);
}

size_t mv__cpu_copy(void *to, const void *from, size_t n)
{
    struct copy_job job = {to, from, 0, n};
    bool is_number = n <= 8 && (n & (n - 1)) == 0 && n != 0;
    if (is_number && (((uintptr_t)to | (uintptr_t)from) & (n - 1)) == 0)
        return passes(copy_number, &job, to, from, n) ? n : 0;
    if (!passes(copy_blocks, &job, to, from, n))
        passes(copy_bytes, &job, to, from, n);
    return job.done;
}

#endif
