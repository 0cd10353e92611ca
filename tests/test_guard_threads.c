/* test_guard_threads.c: many guarded faults at once: in many threads, and in
 * signal handlers that interrupt other guarded faults. Every result is exact. */
#include "guarded.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

/* ---- a view that is cut in its midst, and every access to it ---- */

struct target {
    mv_view *view;
    uint64_t cut, limit; /* the file's end, and the end of its last page */
};

static struct target open_target(const char *name, uint64_t cut)
{
    struct target t = {.cut = cut, .limit = (cut + PAGE - 1) / PAGE * PAGE};
    t.view = open_view(make_file(scratch(name), CUT_PAGES * PAGE), MV_OPEN_WRITE);
    cut_file(scratch(name), cut);
    return t;
}

/* Behind the cut a byte is zero, or what somebody has stored there. */
static bool is_right(const struct target *t, const unsigned char *bytes, uint64_t n, uint64_t off)
{
    for (uint64_t i = 0; i < n; i++)
        if (bytes[i] != pattern(off + i) && (bytes[i] != 0 || off + i < t->cut))
            return false;
    return true;
}

/* What must have become of an access to n bytes at off, all or to the limit. */
static bool is_exact(const struct target *t, uint64_t n, uint64_t off, int64_t result, uint64_t whole,
                     const mv_error *err)
{
    if (off + n <= t->limit)
        return result == (int64_t)whole && err->code == 0;
    uint64_t first = off > t->limit ? off : t->limit;
    return result == -MV_ETRUNCATED && err->code == -MV_ETRUNCATED && err->offset == first;
}

#define MOST 5000U

static bool read_exactly(const struct target *t, uint64_t n, uint64_t off)
{
    unsigned char bytes[MOST];
    mv_error err = MV_ERROR_INIT;
    int64_t r = mv_read(t->view, bytes, n, off, &err);
    uint64_t done = r < 0 ? err.done : (uint64_t)r;
    return is_exact(t, n, off, r, n, &err) && (r >= 0 || done == err.offset - off) &&
           is_right(t, bytes, done, off);
}

static bool write_exactly(const struct target *t, uint64_t n, uint64_t off)
{
    unsigned char bytes[MOST];
    mv_error err = MV_ERROR_INIT;
    for (uint64_t i = 0; i < n; i++)
        bytes[i] = pattern(off + i);
    int64_t r = mv_write(t->view, bytes, n, off, &err);
    return is_exact(t, n, off, r, n, &err) && (r >= 0 || err.done == err.offset - off);
}

static bool load_exactly(const struct target *t, uint32_t width, uint64_t off)
{
    uint64_t value = 0;
    unsigned char bytes[8];
    mv_error err = MV_ERROR_INIT;
    int r = mv_load(t->view, off, width, &value, &err);
    memcpy(bytes, (unsigned char *)&value + (BYTE_ORDER == BIG_ENDIAN ? 8 - width : 0), width);
    return is_exact(t, width, off, r, 0, &err) && (r < 0 || is_right(t, bytes, width, off));
}

static bool store_exactly(const struct target *t, uint32_t width, uint64_t off)
{
    uint64_t value = 0;
    mv_error err = MV_ERROR_INIT;
    for (uint32_t i = 0; i < width; i++)
        ((unsigned char *)&value)[BYTE_ORDER == BIG_ENDIAN ? 8 - width + i : i] = pattern(off + i);
    return is_exact(t, width, off, mv_store(t->view, off, width, value, &err), 0, &err);
}

struct walk {
    const struct target *target;
    uint64_t at, n;
    bool stores;
    volatile uint64_t done;
};

LEFT static int walk(void *argument)
{
    struct walk *w = argument;
    volatile unsigned char *bytes = (unsigned char *)mv_data(w->target->view) + w->at;
    for (; w->done < w->n; w->done++) {
        if (w->stores)
            bytes[w->done] = (unsigned char)(1 + (w->at + w->done) % 251); /* as pattern */
        else if (bytes[w->done] == 255)                                    /* which no pattern has */
            return -1;
    }
    return 4711;
}

static bool try_exactly(const struct target *t, uint64_t n, uint64_t off, bool stores)
{
    struct walk w = {.target = t, .at = off, .n = n, .stores = stores};
    mv_error err = MV_ERROR_INIT;
    int r = mv_try(t->view, walk, &w, &err);
    return is_exact(t, n, off, r, 4711, &err) && w.done == (r < 0 ? err.offset - off : n);
}

static uint64_t next_number(uint64_t *seed, uint64_t below)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return (*seed >> 33) % below;
}

/* One access of any kind. Tells whether it was right, and whether it faulted. */
static bool access_somehow(const struct target *t, uint64_t *seed, bool *faulted)
{
    uint64_t off = next_number(seed, CUT_PAGES * PAGE - MOST), n = 1 + next_number(seed, MOST);
    uint32_t width = 1U << next_number(seed, 4);
    uint64_t kind = next_number(seed, 6);
    if (kind < 2) {
        off &= ~(uint64_t)(width - 1);
        n = width;
    } else if (kind > 3) { /* by the byte, so fewer */
        off += n / 2;
        n = n / 10 + 1;
    }
    *faulted = off + n > t->limit;
    switch (kind) {
    case 0:
        return load_exactly(t, width, off);
    case 1:
        return store_exactly(t, width, off);
    case 2:
        return read_exactly(t, n, off);
    case 3:
        return write_exactly(t, n, off);
    default:
        return try_exactly(t, n, off, kind == 4);
    }
}

/* ---- threads ---- */

enum { THREADS = 64, TARGETS = 8 };

/* How many guarded faults there are, at least, over all threads. */
#if defined(__SANITIZE_THREAD__)
enum { FAULTS = 100000 };
#elif defined(__SANITIZE_ADDRESS__) || defined(MV__CPU_ANY)
enum { FAULTS = 300000 };
#else
enum { FAULTS = 1000000 };
#endif

static struct target targets[TARGETS];

struct worker {
    uint64_t seed;
    unsigned long faults, accesses;
    bool wrong;
};

static void *fault_often(void *argument)
{
    struct worker *w = argument;
    while (w->faults <= FAULTS / THREADS && !w->wrong) {
        bool faulted;
        const struct target *t = &targets[next_number(&w->seed, TARGETS)];
        w->wrong = !access_somehow(t, &w->seed, &faulted);
        w->accesses++;
        w->faults += faulted;
    }
    return NULL;
}

static void many_threads_fault(void **state)
{
    (void)state;
    static const uint64_t beyond[TARGETS] = {0, 1, 100, 2048, 3000, 4000, 4095, 4096};
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    unsigned long faults = 0, accesses = 0;
    for (int i = 0; i < TARGETS; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        targets[i] = open_target(name, (uint64_t)(i % 3) * PAGE + beyond[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.seed = (uint64_t)i + 1};
        CHECK(pthread_create(&threads[i], NULL, fault_often, &workers[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        faults += workers[i].faults;
        accesses += workers[i].accesses;
    }
    for (int i = 0; i < THREADS; i++)
        CHECK(!workers[i].wrong);
    CHECK(faults >= FAULTS);
    print_message("%lu of %lu accesses of %d threads faulted, each as it must\n", faults, accesses,
                  THREADS);
    for (int i = 0; i < TARGETS; i++)
        close_view(targets[i].view);
}

/* ---- more threads than the handler has places for at first ---- */

enum { LEGION = 700 };
static pthread_barrier_t all_inside;

LEFT static int wait_and_fault(void *at)
{
    pthread_barrier_wait(&all_inside);
    return load_first(at);
}

static void *wait_in_try(void *argument)
{
    struct target *t = argument;
    intptr_t wrong = 0;
    for (int i = 0; i < 3; i++)
        wrong |= mv_try(t->view, wait_and_fault, mv_data(t->view), NULL) != -MV_ETRUNCATED;
    return (void *)wrong;
}

static void fault_in_legion(void *argument)
{
    pthread_t threads[LEGION];
    pthread_attr_t small;
    void *wrong;
    long tables = 0;
    struct target t = open_target("a", 0);
    CHECK(pthread_attr_init(&small) == 0);
    CHECK(pthread_barrier_init(&all_inside, NULL, LEGION) == 0);
    for (size_t round = 0; round < 4; round++) {
        /* Other stacks, and so threads of other numbers, take the same places. */
        CHECK(pthread_attr_setstacksize(&small, (round + 2) << 16) == 0);
        for (int i = 0; i < LEGION; i++)
            if (pthread_create(&threads[i], &small, wait_in_try, &t) != 0)
                skip_test("this machine does not allow 700 threads");
        for (int i = 0; i < LEGION; i++) {
            CHECK(pthread_join(threads[i], &wrong) == 0);
            CHECK(!wrong);
        }
        if (round == 0)
            tables = failing_heap();
        SAME(failing_heap(), tables);
    }
    (void)argument;
    close_view(t.view);
}

static void a_legion_faults_together(void **state)
{
    (void)state;
    in_child(fault_in_legion, NULL); /* which keeps what it has allocated */
}

/* ---- fork inside a guarded call ---- */

LEFT static int fork_and_fault(void *argument)
{
    const struct target *t = argument;
    int status = 0;
    pid_t child = fork();
    if (child > 0 && (waitpid(child, &status, 0) != child || status != 0))
        return 1;
    return load_first(mv_data(t->view));
}

static void a_fork_is_guarded(void **state)
{
    (void)state;
    struct target t = open_target("a", 0);
    pid_t self = getpid();
    int r = mv_try(t.view, fork_and_fault, &t, NULL);
    bool exact = r == -MV_ETRUNCATED && read_exactly(&t, 100, 0);
    if (getpid() != self)
        _exit(exact ? 0 : 1);
    SAME(r, -MV_ETRUNCATED);
    CHECK(exact);
    close_view(t.view);
}

/* ---- guarded faults in signal handlers ---- */

static struct {
    struct target outer, inner;
    pthread_t victim;
    atomic_bool over;
    atomic_bool inside;        /* the victim is in a guarded access */
    atomic_ulong nestings;     /* handlers that interrupted one */
    atomic_ulong entered;      /* signals whose handler has begun */
    atomic_int depth, deepest; /* handlers that interrupt handlers */
    atomic_bool wrong;
} nest;

enum { NESTINGS = 30000, DEEPEST = 6 };

/* What a handler may do: mv_try, too, since its thread has made one before. */
static bool access_in_handler(const struct target *t, unsigned long n)
{
    unsigned char bytes[300];
    uint64_t number;
    uint64_t off = t->limit - n % 300;
    struct walk w = {.target = t, .at = off, .n = 300};
    if (mv_read(t->view, bytes, sizeof bytes, off, NULL) != -MV_ETRUNCATED ||
        !is_right(t, bytes, n % 300, off) ||
        mv_load(t->view, t->limit, 8, &number, NULL) != -MV_ETRUNCATED)
        return false;
    return mv_try(t->view, walk, &w, NULL) == -MV_ETRUNCATED && w.done == n % 300;
}

static void fault_in_handler(int number)
{
    (void)number;
    int depth = atomic_fetch_add(&nest.depth, 1) + 1;
    atomic_fetch_add(&nest.entered, 1);
    unsigned long n = atomic_fetch_add(&nest.nestings, atomic_load(&nest.inside));
    if (depth > atomic_load(&nest.deepest))
        atomic_store(&nest.deepest, depth);
    if (!access_in_handler(&nest.inner, n))
        atomic_store(&nest.wrong, true);
    atomic_fetch_sub(&nest.depth, 1);
}

/* Waits until its handler has begun: else the kernel could lay frame upon frame,
 * without the handler's first instruction, until the stack is full. */
static void interrupt(void)
{
    unsigned long before = atomic_load(&nest.entered);
    pthread_kill(nest.victim, SIGUSR1);
    while (atomic_load(&nest.entered) == before && !atomic_load(&nest.over))
        continue;
}

/* One handler upon the other, then none for a while of another length each
 * time, in which the victim comes to another place. */
static void *interrupt_often(void *argument)
{
    for (unsigned long round = 0; !atomic_load(&nest.over); round++) {
        for (int i = 0; i < DEEPEST; i++)
            interrupt();
        while (atomic_load(&nest.depth) > 0 && !atomic_load(&nest.over))
            continue;
        for (unsigned long i = 0; i < round % 1000; i++)
            atomic_load(&nest.over);
    }
    return argument;
}

static bool access_outside(const struct target *t, uint64_t *seed)
{
    bool faulted, right = true;
    for (int i = 0; i < 100 && right; i++)
        right = access_somehow(t, seed, &faulted);
    return right;
}

static void nest_faults(void *argument)
{
    struct sigaction action = {.sa_handler = fault_in_handler, .sa_flags = SA_NODEFER | SA_RESTART};
    pthread_t thread;
    uint64_t seed = 1;
    bool right = true;
    (void)argument;
    nest.outer = open_target("outer", PAGE + 1);
    nest.inner = open_target("inner", 2 * PAGE - 1);
    nest.victim = pthread_self();
    CHECK(access_outside(&nest.outer, &seed)); /* mv_try, in this thread */
    set_handler(SIGUSR1, &action);
    CHECK(pthread_create(&thread, NULL, interrupt_often, NULL) == 0);
    while (right && atomic_load(&nest.nestings) < NESTINGS && !atomic_load(&nest.wrong)) {
        atomic_store(&nest.inside, true);
        right = access_outside(&nest.outer, &seed);
        atomic_store(&nest.inside, false);
    }
    atomic_store(&nest.over, true);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(right && !atomic_load(&nest.wrong));
    CHECK(atomic_load(&nest.deepest) > 1);
    print_message("%lu handlers faulted inside of guarded faults, at most %d deep\n",
                  atomic_load(&nest.nestings), atomic_load(&nest.deepest));
    close_view(nest.outer.view);
    close_view(nest.inner.view);
}

static void handlers_fault_inside_of_faults(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip_test("ThreadSanitizer runs handlers with SIGBUS blocked");
#endif
    in_child(nest_faults, NULL);
}

/* ---- signals that are no faults, sent during copies ---- */

static atomic_ulong received;

static void receive(int number)
{
    (void)number;
    atomic_fetch_add(&received, 1);
}

enum { SIGNALS = 3000, LONGEST_WAIT = 60 /* seconds: then it is lost */ };
static atomic_bool all_sent, one_lost;
static pthread_t copier;

static void *send_signals(void *argument)
{
    for (unsigned long i = 0; i < SIGNALS && !atomic_load(&one_lost); i++) {
        time_t begin = time(NULL);
        pthread_kill(copier, i & 1 ? SIGBUS : SIGSEGV);
        while (atomic_load(&received) <= i && !atomic_load(&one_lost)) {
            sched_yield();
            if (time(NULL) > begin + LONGEST_WAIT)
                atomic_store(&one_lost, true);
        }
    }
    atomic_store(&all_sent, true);
    return argument;
}

static void send_during_copies(void *argument)
{
    enum { N = 1 << 20 };
    pthread_t thread;
    unsigned char *bytes = malloc(N);
    bool right = bytes != NULL;
    (void)argument;
    set_handler(SIGBUS, &(struct sigaction){.sa_handler = receive, .sa_flags = SA_RESTART});
    set_handler(SIGSEGV, &(struct sigaction){.sa_handler = receive, .sa_flags = SA_RESTART});
    mv_view *view = open_view(make_file(scratch("a"), N), MV_OPEN_WRITE);
    CHECK(mv_guard_install(NULL) == 0);
    copier = pthread_self();
    CHECK(pthread_create(&thread, NULL, send_signals, NULL) == 0);
    while (right && !atomic_load(&all_sent)) {
        right = mv_read(view, bytes, N, 0, NULL) == N && mv_write(view, bytes, 20000, 0, NULL) == 20000;
        for (int i = 0; i < 1000 && right; i++)
            right = mv_read(view, bytes, 300, 5, NULL) == 300;
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(right && !atomic_load(&one_lost));
    SAME(atomic_load(&received), SIGNALS);
    CHECK(has_pattern(bytes + 305, N - 305, 305));
    free(bytes);
    close_view(view);
}

static void signals_during_copies_reach_their_handler(void **state)
{
    (void)state;
    in_child(send_during_copies, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_threads_fault),
        TEST(a_legion_faults_together),
        TEST(a_fork_is_guarded),
        TEST(handlers_fault_inside_of_faults),
        TEST(signals_during_copies_reach_their_handler),
    };
    return RUN(tests);
}
