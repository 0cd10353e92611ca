/* processor.c: see processor.h. */

#include "processor.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "rounds.h"
#include "work.h"

static cpu_set_t all; /* before anybody was told to stay: threads inherit it */

int stay_on(int n, const char *row)
{
    cpu_set_t one;
    if (CPU_COUNT(&all) == 0 && sched_getaffinity(0, sizeof all, &all) != 0)
        return fail("sched_getaffinity", row);
    n %= CPU_COUNT(&all);
    int cpu = 0;
    for (; !CPU_ISSET(cpu, &all) || n > 0; cpu++)
        n -= CPU_ISSET(cpu, &all) != 0;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return sched_setaffinity(0, sizeof one, &one) == 0 ? 0 : fail("sched_setaffinity", row);
}

enum { BATCHES = 6, HANDINGS = 500, MOST_LOOKS = 1 << 26, GIVEN_UP = -1 };
static const double near_time = 90e-9; /* seconds: 30 and 250 are usual */

struct ball {
    _Alignas(128) atomic_int at; /* even: the first thread's turn */
    const char *row;
};

/* Whoever waits for long gives up for both. */
static void hand(struct ball *b, int from)
{
    int at = from;
    for (long looks = 0; atomic_load_explicit(&b->at, memory_order_acquire) != from; looks++) {
        pause_briefly();
        if (looks > MOST_LOOKS || atomic_load_explicit(&b->at, memory_order_relaxed) == GIVEN_UP) {
            atomic_store(&b->at, GIVEN_UP);
            return;
        }
    }
    atomic_compare_exchange_strong(&b->at, &at, from + 1);
}

static void *hand_back(void *arg)
{
    struct ball *b = arg;
    if (stay_on(1, b->row) != 0) {
        atomic_store(&b->at, GIVEN_UP);
        return b;
    }
    for (int i = 0; i < BATCHES * HANDINGS; i++)
        hand(b, 2 * i + 1);
    return NULL;
}

/* handing_time is that of one handing over, in the fastest of the batches: the others
 * may have been interrupted. */
static double handing_time(struct ball *b)
{
    double least = 1;
    for (int batch = 0; batch < BATCHES; batch++) {
        double start = now();
        for (int i = 0; i < HANDINGS; i++)
            hand(b, 2 * (batch * HANDINGS + i));
        double took = (now() - start) / (2 * HANDINGS);
        least = took < least ? took : least;
    }
    return least;
}

const char *apart(const char *row)
{
    struct ball b = {.row = row};
    pthread_t other;
    void *failed = NULL;
    if (stay_on(0, row) != 0)
        return NULL;
    if (CPU_COUNT(&all) == 1)
        return "one";
    if (pthread_create(&other, NULL, hand_back, &b) != 0) {
        fail("pthread_create", row);
        return NULL;
    }
    double took = handing_time(&b);
    pthread_join(other, &failed);
    if (failed || atomic_load(&b.at) == GIVEN_UP) {
        fail("a line of memory does not go to and fro", row);
        return NULL;
    }
    return took < near_time ? "near" : "far";
}

int as_far_apart(struct work *w)
{
    const char *distance = apart(w->row);
    return distance ? strcmp(distance, w->distance) == 0 : -1;
}
