/* test_guard.c: when the handler of SIGBUS and SIGSEGV is installed, and what
 * becomes of it when somebody installs another. Each test is in processes of
 * its own, in which nothing is installed yet. */
#include "guarded.h"

#include <pthread.h>
#include <setjmp.h>

static struct sigaction handler_of(int number)
{
    struct sigaction now;
    CHECK(sigaction(number, NULL, &now) == 0);
    return now;
}

/* ---- installation ---- */

static void install_lazily(void *argument)
{
    (void)argument;
    unsigned char byte;
    set_default();
    mv_view *view = open_view(make_file(scratch("a"), PAGE), MV_OPEN_WRITE);
    mv_options options = with(MV_OPEN_NO_HANDLER | MV_OPEN_WRITE);
    mv_view *other = open_with(scratch("a"), &options);
    SAME(mv_size(view), PAGE);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    WORKS(mv_probe(view, 0, MV_TO_END, MV_READ | MV_WRITE, ERR));
    WORKS(mv_prefault(view, 0, MV_TO_END, MV_WRITE, ERR));
    WORKS(mv_resize(view, PAGE / 2, ERR));
    WORKS(mv_resize(view, PAGE, ERR));
    WORKS(mv_refresh(view, ERR));
    info_of(view);
    mv_has(view, MV_HAS_POPULATE);
    SAME(WORKS(mv_read(other, &byte, 1, 0, ERR)), 1);
    SAME(WORKS(mv_write(other, &byte, 1, 0, ERR)), 1);
    SAME(mv_guard_status(), MV_GUARD_NONE);
    SAME(failing_count(FAILING_sigaction), 0);
    CHECK(handler_of(SIGBUS).sa_handler == SIG_DFL && handler_of(SIGSEGV).sa_handler == SIG_DFL);

    SAME(WORKS(mv_read(view, &byte, 1, 0, ERR)), 1);
    SAME(mv_guard_status(), MV_GUARD_INSTALLED);
    for (int i = 0; i < 2; i++) {
        struct sigaction now = handler_of(i ? SIGBUS : SIGSEGV);
        CHECK((now.sa_flags & (SA_SIGINFO | SA_ONSTACK | SA_RESTART)) ==
              (SA_SIGINFO | SA_ONSTACK | SA_RESTART));
        CHECK(!(now.sa_flags & (SA_NODEFER | (int)SA_RESETHAND)));
        for (int number = 1; number < SIGRTMIN; number++) /* those that can be blocked */
            CHECK(number >= 32 || number == SIGKILL || number == SIGSTOP ||
                  sigismember(&now.sa_mask, number));
    }
    unsigned calls = failing_count(FAILING_sigaction);
    SAME(WORKS(mv_guard_install(ERR)), 0);
    SAME(WORKS(mv_write(view, &byte, 1, 0, ERR)), 1);
    SAME(failing_count(FAILING_sigaction), calls);
    close_view(view);
    close_view(other);
}

static void the_first_guarded_access_installs(void **state)
{
    (void)state;
    in_child(install_lazily, NULL);
}

static int call_read(mv_view *view)
{
    unsigned char byte;
    return (int)mv_read(view, &byte, 1, 0, NULL);
}

static int call_write(mv_view *view)
{
    return (int)mv_write(view, "", 1, 0, NULL);
}

static int call_load(mv_view *view)
{
    uint64_t value;
    return mv_load(view, 0, 1, &value, NULL) ? -1 : 1;
}

static int call_store(mv_view *view)
{
    return mv_store(view, 0, 1, 1, NULL) ? -1 : 1;
}

static int call_try(mv_view *view)
{
    return mv_try(view, load_first, mv_data(view), NULL) >= 0 ? 1 : -1;
}

static int call_install(mv_view *view)
{
    (void)view;
    return mv_guard_install(NULL) == 0 ? 1 : -1;
}

static int (*const guarded[])(mv_view *) = {call_read,  call_write, call_load,
                                            call_store, call_try,   call_install};
enum { GUARDED = sizeof guarded / sizeof *guarded };

static void install_by(void *which)
{
    mv_view *view = open_memory(PAGE, PAGE);
    SAME(mv_guard_status(), MV_GUARD_NONE);
    SAME((*(int (*const *)(mv_view *))which)(view), 1);
    SAME(mv_guard_status(), MV_GUARD_INSTALLED);
    close_view(view);
}

static void each_guarded_access_installs(void **state)
{
    (void)state;
    for (int i = 0; i < GUARDED; i++)
        in_child(install_by, (void *)(uintptr_t)&guarded[i]);
}

/* Of one signal: what is there, the new one, and whether that is there. */
enum { CREW = 16, CALLS_OF_INSTALL = 3 };
static pthread_barrier_t together;
static mv_view *crew_view;

static void *first_call(void *which)
{
    int i = *(int *)which;
    unsigned char byte;
    uint64_t value;
    pthread_barrier_wait(&together);
    if (i % 3 == 0)
        return (void *)(intptr_t)mv_read(crew_view, &byte, 1, (uint64_t)i, NULL);
    if (i % 3 == 1)
        return (void *)(intptr_t)mv_load(crew_view, (uint64_t)i, 1, &value, NULL);
    return (void *)(intptr_t)mv_try(crew_view, load_first, mv_data(crew_view), NULL);
}

static void install_together(void *argument)
{
    (void)argument;
    pthread_t threads[CREW];
    int numbers[CREW];
    void *result;
    crew_view = open_cut("a", MV_OPEN_WRITE);
    CHECK(pthread_barrier_init(&together, NULL, CREW) == 0);
    for (int i = 0; i < CREW; i++) {
        numbers[i] = i;
        CHECK(pthread_create(&threads[i], NULL, first_call, &numbers[i]) == 0);
    }
    for (int i = 0; i < CREW; i++) {
        CHECK(pthread_join(threads[i], &result) == 0);
        SAME((intptr_t)result, -MV_ETRUNCATED);
    }
    SAME(failing_count(FAILING_sigaction), 2 * CALLS_OF_INSTALL);
    SAME(mv_guard_status(), MV_GUARD_INSTALLED);
    close_view(crew_view);
}

static void threads_install_once(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        in_child(install_together, NULL);
}

static volatile sig_atomic_t own_signals;

static void count_own(int number)
{
    (void)number;
    own_signals++;
}

/* The k-th sigaction is refused; and each one after it, if forever. */
struct refusal {
    unsigned k;
    bool forever;
};

static void refuse(void *argument)
{
    const struct refusal *refusal = argument;
    set_handler(SIGBUS, &(struct sigaction){.sa_handler = count_own});
    set_handler(SIGSEGV, &(struct sigaction){.sa_handler = count_own});
    mv_view *view = open_cut("a", MV_OPEN_WRITE);
    unsigned char byte = 0;
    uint64_t value;
    failing_arm(FAILING_sigaction, refusal->k, -EPERM, refusal->forever);
    for (int i = 0; i < 2; i++) { /* and it is not tried again */
        REFUSED(-EPERM, mv_guard_install(ERR));
        FAILED_OP("sigaction");
        SAME(mv_guard_status(), MV_GUARD_NONE);
        REFUSED(-MV_ETRUNCATED, mv_read(view, &byte, 1, 0, ERR));
        REFUSED(-MV_ETRUNCATED, mv_write(view, &byte, 1, 0, ERR));
        REFUSED(-EOPNOTSUPP, mv_load(view, 0, 1, &value, ERR));
        REFUSED(-EOPNOTSUPP, mv_store(view, 0, 1, 1, ERR));
        REFUSED(-EOPNOTSUPP, mv_try(view, load_first, mv_data(view), ERR));
        failing_disarm();
    }
    CHECK(failing_fired());
    if (!refusal->forever) /* else what was installed cannot be taken back, and passes on */
        CHECK(handler_of(SIGBUS).sa_handler == count_own &&
              handler_of(SIGSEGV).sa_handler == count_own);
    CHECK(raise(SIGBUS) == 0 && raise(SIGSEGV) == 0);
    SAME(own_signals, 2);
    grow_file(scratch("a"), PAGE);
    SAME(WORKS(mv_read(view, &byte, 1, 7, ERR)), 1);
    SAME(byte, pattern(7));
    close_view(view);
}

static void a_refused_handler_is_not_needed(void **state)
{
    (void)state;
    for (unsigned k = 1; k <= 2 * CALLS_OF_INSTALL; k++)
        for (int forever = 0; forever < 2; forever++)
            in_child(refuse, &(struct refusal){k, forever});
}

/* What cannot be asked for is not taken for installed. */
static void ask_for_status(void *argument)
{
    (void)argument;
    WORKS(mv_guard_install(ERR));
    for (unsigned k = 1; k <= 2; k++)
        for (int forever = 0; forever < 2; forever++) {
            failing_reset();
            failing_arm(FAILING_sigaction, k, -EPERM, forever);
            SAME(mv_guard_status(), MV_GUARD_REPLACED);
            CHECK(failing_fired());
            failing_reset();
            SAME(mv_guard_status(), MV_GUARD_INSTALLED);
        }
}

static void a_status_that_cannot_be_asked_for(void **state)
{
    (void)state;
    in_child(ask_for_status, NULL);
}

/* ---- a handler that came later ---- */

static struct sigaction ours[2];
static unsigned long stolen;

static void pass(int number, siginfo_t *info, void *context)
{
    stolen++;
    ours[number == SIGBUS].sa_sigaction(number, info, context);
}

static void come_later_and_pass(void *argument)
{
    (void)argument;
    struct sigaction action = {.sa_sigaction = pass, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    set_default();
    mv_view *view = open_cut("a", MV_OPEN_WRITE);
    check_guarded(view);
    CHECK(sigaction(SIGBUS, &action, &ours[1]) == 0);
    SAME(mv_guard_status(), MV_GUARD_REPLACED); /* one is enough */
    set_handler(SIGBUS, &ours[1]);
    CHECK(sigaction(SIGSEGV, &action, &ours[0]) == 0);
    SAME(mv_guard_status(), MV_GUARD_REPLACED);
    CHECK(sigaction(SIGBUS, &action, NULL) == 0);
    SAME(mv_guard_status(), MV_GUARD_REPLACED);
    for (int i = 0; i < 100; i++)
        check_guarded(view);
    CHECK(stolen >= 600);
    SAME(WORKS(mv_guard_install(ERR)), 0); /* does not install a second time */
    SAME(mv_guard_status(), MV_GUARD_REPLACED);
    set_handler(SIGBUS, &ours[1]);
    set_handler(SIGSEGV, &ours[0]);
    SAME(mv_guard_status(), MV_GUARD_INSTALLED);
    close_view(view);
}

static sigjmp_buf way_out;

static void keep(int number)
{
    (void)number;
    stolen++;
    siglongjmp(way_out, 1);
}

static void come_later_and_keep(void *argument)
{
    (void)argument;
    unsigned char byte;
    mv_view *view = open_cut("a", MV_OPEN_WRITE);
    mv_options options = with(MV_OPEN_NO_HANDLER | MV_OPEN_WRITE);
    make_file(scratch("b"), PAGE);
    mv_view *other = open_with(scratch("b"), &options);
    cut_file(scratch("b"), 0);
    check_guarded(view);
    set_handler(SIGBUS, &(struct sigaction){.sa_handler = keep});
    SAME(mv_guard_status(), MV_GUARD_REPLACED);
    REFUSED(-MV_ETRUNCATED, mv_read(other, &byte, 1, 0, ERR));
    REFUSED(-MV_ETRUNCATED, mv_write(other, &byte, 1, 0, ERR));
    SAME(stolen, 0);
    if (sigsetjmp(way_out, 1) == 0)
        call_read(view);
    SAME(stolen, 1); /* what the status has told */
    close_view(view);
    close_view(other);
}

static void a_handler_after_is_told(void **state)
{
    (void)state;
    in_child(come_later_and_pass, NULL);
    in_child(come_later_and_keep, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_guarded_access_installs),
        TEST(each_guarded_access_installs),
        TEST(threads_install_once),
        TEST(a_refused_handler_is_not_needed),
        TEST(a_status_that_cannot_be_asked_for),
        TEST(a_handler_after_is_told),
    };
    return cmocka_run_group_tests(tests, guarded_group_begin, support_group_end);
}
