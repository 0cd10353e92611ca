/* test_append_threads.c: appending beside readers, and the thread of an appender. */
#include "records.h"

#include <signal.h>

struct meeting {
    atomic_bool here, over;
};

static bool wait_in_growth(unsigned k, long *result, void *argument)
{
    struct meeting *meeting = argument;
    (void)k;
    (void)result;
    atomic_store(&meeting->here, true);
    while (!atomic_load(&meeting->over))
        usleep(100);
    return false;
}

static void close_in_child(void *argument)
{
    REFUSED(-ECHILD, mv_appender_close(argument, ERR));
}

/* What the thread held at the fork, nobody gives back in the child. */
static void test_fork_beside_growth(void **state)
{
    (void)state;
    struct meeting meeting = {false, false};
    mv_view *view = open_log(scratch("log"), 0, 64 * MIB);
    failing_reset();
    failing_on(FAILING_fallocate, wait_in_growth, &meeting);
    mv_appender *a = open_appender(view, MV_APPEND_AHEAD);
    while (!atomic_load(&meeting.here))
        usleep(100);
    in_child(close_in_child, a);
    atomic_store(&meeting.over, true);
    append_record(a, 10, 1, 0);
    WORKS(mv_appender_close(a, ERR));
    failing_reset();
    close_view(view);
}

/* ---- beside readers ---- */

struct reading {
    mv_view *view;
    mv_appender *appender;
    atomic_bool over;
    atomic_uint wrong, looks;
};

/* What lies before the end is complete, whoever looks and whenever. */
static void *read_records(void *argument)
{
    struct reading *r = argument;
    while (!atomic_load(&r->over)) {
        unsigned char got[100];
        uint64_t end = mv_append_end(r->appender), i = end / 100;
        if (i == 0)
            continue;
        i = atomic_load(&r->looks) % 2 ? i - 1 : i / 2;
        if (end % 100 || mv_size(r->view) < end || mv_read(r->view, got, 100, i * 100, NULL) != 100 ||
            !has_record(got, 100, i))
            atomic_fetch_add(&r->wrong, 1);
        if (atomic_fetch_add(&r->looks, 1) % 64 == 0 &&
            mv_sync(r->view, i * 100, 100, MV_SYNC_DATA, NULL) != 0)
            atomic_fetch_add(&r->wrong, 1);
    }
    return NULL;
}

static void test_beside_readers(void **state)
{
    (void)state;
    static const uint32_t flags[] = {0, MV_APPEND_AHEAD};
    for (size_t i = 0; i < 2; i++) {
        struct reading r = {.view = open_log(scratch("log"), 0, 64 * MIB)};
        mv_append_options o = MV_APPEND_OPTIONS_INIT;
        o.flags = flags[i];
        o.step_min = 4000; /* many steps */
        o.step_max = 64000;
        WORKS(mv_appender_open(r.view, &o, &r.appender, ERR));
        pthread_t threads[2];
        for (size_t k = 0; k < 2; k++)
            CHECK(pthread_create(&threads[k], NULL, read_records, &r) == 0);
        for (uint64_t k = 0; k < 30000 || (atomic_load(&r.looks) < 200 && k < 300000); k++)
            append_record(r.appender, 100, k, 100 * k);
        atomic_store(&r.over, true);
        for (size_t k = 0; k < 2; k++)
            pthread_join(threads[k], NULL);
        SAME(r.wrong, 0);
        CHECK(atomic_load(&r.looks) > 0);
        WORKS(mv_appender_close(r.appender, ERR));
        close_view(r.view);
        unlink(scratch("log"));
    }
}

/* ---- the thread ---- */

static int threads_now(void)
{
    char line[128];
    int n = -1;
    FILE *status = fopen("/proc/self/status", "re");
    CHECK(status);
    while (fgets(line, sizeof line, status))
        if (sscanf(line, "Threads: %d", &n) == 1)
            break;
    fclose(status);
    return n;
}

/* Only when it is asked for, and only until the close. */
static void test_thread_comes_and_goes(void **state)
{
    (void)state;
    mv_view *view = open_log(scratch("log"), 0, 64 * MIB);
    int before = threads_now();
    mv_appender *a = open_appender(view, 0);
    append_record(a, 10, 0, 0);
    SAME(threads_now(), before);
    WORKS(mv_appender_close(a, ERR));
    failing_reset();
    a = open_appender(view, MV_APPEND_AHEAD);
    SAME(failing_count(FAILING_start_thread), 1);
    SAME(threads_now(), before + 1);
    append_record(a, 10, 1, 10);
    WORKS(mv_appender_close(a, ERR));
    SAME(failing_count(FAILING_join_thread), 1);
    for (int i = 0; i < 1000 && threads_now() > before; i++)
        usleep(1000); /* the kernel counts it for a moment longer than join */
    SAME(threads_now(), before);
    SAME(file_length(scratch("log")), 20);
    close_view(view);
}

/* It keeps the view grown ahead of need, and what lies there takes no fault. */
static void test_thread_keeps_ahead(void **state)
{
    (void)state;
    mv_view *view = open_log(scratch("log"), 0, 256 * MIB);
    mv_appender *a = open_appender(view, MV_APPEND_AHEAD);
    for (int i = 0; i < 10000 && smaps_kib(mv_data(view), "Rss") < 32 * 1024; i++)
        usleep(1000);
    CHECK(smaps_kib(mv_data(view), "Rss") >= 32 * 1024);
    CHECK(mv_size(view) >= 32 * MIB);
    memset(record, 1, sizeof record);
    for (uint64_t at = 0; at < 20 * MIB; at += sizeof record)
        WORKS(mv_append(a, record, sizeof record, ERR));
    for (int i = 0; i < 10000 && smaps_kib(mv_data(view), "Rss") < 48 * 1024; i++)
        usleep(1000);
    CHECK(smaps_kib(mv_data(view), "Rss") >= 48 * 1024); /* it was woken */
    WORKS(mv_appender_close(a, ERR));
    SAME(mv_size(view), 20 * MIB);
    close_view(view);
}

static uint64_t blocked_of_others(void)
{
    char name[64];
    uint64_t blocked = 0;
    for (pid_t id = getpid() + 1; id < getpid() + 1000 && !blocked; id++) {
        snprintf(name, sizeof name, "/proc/self/task/%d/status", (int)id);
        FILE *status = fopen(name, "re");
        char line[128];
        while (status && fgets(line, sizeof line, status))
            if (sscanf(line, "SigBlk: %lx", &blocked) == 1)
                break;
        if (status)
            fclose(status);
    }
    return blocked;
}

static void look_at_mask(void *argument)
{
    (void)argument;
    mv_view *view = open_log(scratch("log"), 0, 64 * MIB);
    mv_appender *a = open_appender(view, MV_APPEND_AHEAD);
    sigset_t own;
    uint64_t blocked = blocked_of_others();
    /* libc blocks all of them while a thread starts. */
    for (int i = 0; i < 5000 && (!blocked || blocked >> (SIGBUS - 1) & 1); i++) {
        usleep(1000);
        blocked = blocked_of_others();
    }
    CHECK(blocked);
    for (int signal = 1; signal < 32; signal++) {
        bool free = signal == SIGBUS || signal == SIGSEGV || signal == SIGFPE || signal == SIGILL ||
                    signal == SIGTRAP || signal == SIGSYS || signal == SIGKILL || signal == SIGSTOP;
        SAME(blocked >> (signal - 1) & 1, !free);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &own);
    CHECK(!sigismember(&own, SIGTERM)); /* the caller's is as it was */
    WORKS(mv_appender_close(a, ERR));
    close_view(view);
}

/* In a child, whose threads have the numbers after its own. */
static void test_thread_takes_no_signals(void **state)
{
    (void)state;
    if (under_sanitizer())
        skip_test("a sanitizer has threads of its own");
    in_child(look_at_mask, NULL);
}

static void test_thread_refused(void **state)
{
    (void)state;
    mv_view *view = open_log(scratch("log"), 0, MIB);
    mv_append_options o = MV_APPEND_OPTIONS_INIT;
    mv_appender *a = (mv_appender *)1;
    o.flags = MV_APPEND_AHEAD;
    failing_reset();
    failing_arm(FAILING_start_thread, 1, -EAGAIN, true);
    REFUSED(-EAGAIN, mv_appender_open(view, &o, &a, ERR));
    CHECK(!a);
    FAILED_OP("thread");
    failing_reset();
    close_view(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_fork_beside_growth),      TEST(test_beside_readers),
        TEST(test_thread_comes_and_goes),   TEST(test_thread_keeps_ahead),
        TEST(test_thread_takes_no_signals), TEST(test_thread_refused),
    };
    return RUN(tests);
}
