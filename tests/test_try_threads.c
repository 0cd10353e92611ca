/* test_try_threads.c: mv_try in many threads, in children of fork, and beside
 * signal handlers; and the faults that it leaves to others. */
#include "guarded.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* What a child ends with, that nobody else does. */
enum { WITNESSED = 50, WRONG_ADDRESS = 49 };

LEFT static int touch_at(void *at)
{
    return *(volatile unsigned char *)at;
}

static mv_view *open_half(uint64_t flags)
{
    mv_view *view = open_view(make_file(scratch("file"), 2 * PAGE), flags);
    cut_file(scratch("file"), PAGE);
    return view;
}

/* ---- faults that are somebody else's ---- */

static void *expected;

static void witness(int number, siginfo_t *info, void *context)
{
    (void)context;
    _exit(info->si_addr == expected ? WITNESSED + number : WRONG_ADDRESS);
}

static void set_witness(void)
{
    struct sigaction action = {.sa_sigaction = witness, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    set_handler(SIGBUS, &action);
    set_handler(SIGSEGV, &action);
}

/* Each of these is for a child in which the handler is not yet installed. */
struct death {
    bool by_default; /* nobody had the signals before */
    void (*function)(mv_view *view);
};

static void die(void *argument)
{
    const struct death *death = argument;
    expect_faults(true);
    if (death->by_default)
        set_default();
    else
        set_witness();
    death->function(open_half(MV_OPEN_WRITE));
    expect_faults(false);
}

/* The child must end by that signal, or its witness. */
static void dies_of(int number, void (*function)(mv_view *view))
{
    if (under_valgrind())
        skip_test("valgrind ends a process in its own way");
    for (int i = 0; i < 2; i++) {
        struct death death = {i, function};
        int status = end_of_child(die, &death);
        if (death.by_default)
            SAME(WIFSIGNALED(status) ? WTERMSIG(status) : 0, number);
        else
            SAME(WIFEXITED(status) ? WEXITSTATUS(status) : 0, WITNESSED + number);
    }
}

static void touch_nowhere(mv_view *view)
{
    expected = (void *)16;
    mv_try(view, touch_at, expected, NULL);
}

static void touch_another_view(mv_view *view)
{
    mv_view *other = open_view(make_file(scratch("other"), PAGE), 0);
    cut_file(scratch("other"), 0);
    expected = (char *)mv_data(other) + 7;
    mv_try(view, touch_at, expected, NULL);
}

static void touch_without(mv_view *view)
{
    expected = view->data + PAGE + 3;
    mv_read(view, &(char){0}, 1, 0, NULL);
    touch_at(expected);
}

/* A jump into the view is none of fn's accesses, where it is known for one. */
#ifndef MV__CPU_ANY
static void jump_into(mv_view *view)
{
    expected = view->data;
    mv_try(view, (int (*)(void *))(uintptr_t)expected, NULL, NULL);
}
#endif

/* One that is over is no longer there, whichever way it ended. */
static void touch_afterwards(mv_view *view)
{
    if (mv_try(view, touch_at, view->data, NULL) >= 0 &&
        mv_try(view, touch_at, view->data + PAGE, NULL) == -MV_ETRUNCATED)
        touch_without(view);
}

static int try_again(void *argument)
{
    mv_view *view = argument;
    return mv_try(view, touch_at, view->data + PAGE, NULL) == -MV_ETRUNCATED &&
           mv_try(view, touch_at, view->data, NULL) >= 0;
}

static void touch_after_nested(mv_view *view)
{
    if (mv_try(view, try_again, view, NULL) == 1)
        touch_without(view);
}

static void test_faults_of_others(void **state)
{
    (void)state;
    dies_of(SIGSEGV, touch_nowhere);
    dies_of(SIGBUS, touch_another_view);
#ifndef MV__CPU_ANY
    dies_of(SIGSEGV, jump_into);
#endif
    dies_of(SIGBUS, touch_without);
    dies_of(SIGBUS, touch_afterwards);
    dies_of(SIGBUS, touch_after_nested);
}

/* The byte before the view's mapping, and the one behind it. */
static void *close_page(const void *at)
{
    void *page = (void *)((uintptr_t)at & ~(PAGE - 1));
    void *got = mmap(page, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != page)
        skip_test("another mapping is beside the view");
    return (void *)(uintptr_t)at;
}

static mv_view *open_with_room(void)
{
    mv_view *above = open_view(make_file(scratch("above"), 2 * PAGE), 0);
    mv_view *view = open_half(0);
    close_view(above); /* which was mapped right there */
    return view;
}

static void touch_before(mv_view *unused)
{
    mv_view *view = open_with_room();
    (void)unused;
    expected = close_page(view->base - 1);
    mv_try(view, touch_at, expected, NULL);
}

static void touch_behind(mv_view *unused)
{
    mv_view *view = open_with_room();
    (void)unused;
    expected = close_page(view->base + view->geometry.mapped);
    mv_try(view, touch_at, expected, NULL);
}

static void test_faults_beside_the_view(void **state)
{
    (void)state;
    dies_of(SIGSEGV, touch_before);
    dies_of(SIGSEGV, touch_behind);
}

/* ---- signal handlers that interrupt a function ---- */

static mv_view *volatile interrupted;
static volatile int tried; /* by the handler */

static void touch_in_handler(int number)
{
    (void)number;
    touch_at(interrupted->data + PAGE);
}

static void try_in_handler(int number)
{
    (void)number;
    tried = mv_try(interrupted, touch_at, interrupted->data + PAGE, NULL);
}

static int be_interrupted(void *argument)
{
    (void)argument;
    raise(SIGUSR1);
    return 7;
}

static int interrupt(mv_view *view, void (*handler)(int), int flags)
{
    static unsigned char stack[1 << 17];
    stack_t mine = {.ss_sp = stack, .ss_size = sizeof stack}, before;
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK(sigaltstack(&mine, &before) == 0);
    set_handler(SIGUSR1, &action);
    interrupted = view;
    int r = mv_try(view, be_interrupted, NULL, NULL);
    action.sa_handler = SIG_DFL;
    set_handler(SIGUSR1, &action);
    CHECK(sigaltstack(&before, NULL) == 0);
    return r;
}

/* ThreadSanitizer puts handlers off, and then runs them on the thread's stack
 * with every signal blocked. */
static void skip_under_tsan(void)
{
#ifdef __SANITIZE_THREAD__
    skip_test("ThreadSanitizer runs signal handlers in its own way");
#endif
}

/* On a stack of its own, it is not fn that has faulted. */
static void fault_in_handler(mv_view *view)
{
    expected = view->data + PAGE;
    interrupt(view, touch_in_handler, SA_ONSTACK);
}

static void test_handler_that_faults(void **state)
{
    (void)state;
    skip_under_tsan();
#ifdef MV__CPU_ANY
    skip_test("on any processor nobody knows whose stack it is");
#endif
    dies_of(SIGBUS, fault_in_handler);
}

static void test_handler_that_tries(void **state)
{
    (void)state;
    static const int flags[] = {0, SA_ONSTACK};
    skip_under_tsan();
    mv_view *view = open_half(MV_OPEN_WRITE);
    for (int i = 0; i < 200; i++) {
        tried = 0;
        SAME(interrupt(view, try_in_handler, flags[i % 2]), 7);
        SAME(tried, -MV_ETRUNCATED);
    }
    close_view(view);
}

/* ---- threads ---- */

enum { SLOTS_OF_A_TABLE = 512, CROWD = 600, QUEUE = 2000, STACK = 1 << 20 };

/* A crowd is inside of its functions all at once. */
static struct {
    mv_view *view;
    pthread_barrier_t all_inside;
    atomic_int wrong;
} crowd;

LEFT static int meet_and_touch(void *at)
{
    pthread_barrier_wait(&crowd.all_inside);
    return touch_at(at);
}

static void *be_in_crowd(void *argument)
{
    mv_error err = MV_ERROR_INIT;
    uint64_t off = PAGE + (uintptr_t)argument;
    for (int i = 0; i < 3; i++) {
        int r = mv_try(crowd.view, meet_and_touch, crowd.view->data + off, &err);
        if (r != -MV_ETRUNCATED || err.offset != off)
            atomic_fetch_add(&crowd.wrong, 1);
    }
    return NULL;
}

static void start(pthread_t *thread, void *stack, void *(*function)(void *), void *argument)
{
    pthread_attr_t attributes;
    CHECK(pthread_attr_init(&attributes) == 0);
    if (stack)
        CHECK(pthread_attr_setstack(&attributes, stack, STACK) == 0);
    else
        CHECK(pthread_attr_setstacksize(&attributes, STACK) == 0);
    CHECK(pthread_create(thread, &attributes, function, argument) == 0);
    pthread_attr_destroy(&attributes);
}

static void try_in_crowd(void *argument)
{
    static pthread_t threads[CROWD];
    crowd.view = argument;
    long heap = failing_heap();
    CHECK(pthread_barrier_init(&crowd.all_inside, NULL, CROWD) == 0);
    for (uintptr_t i = 0; i < CROWD; i++)
        start(&threads[i], NULL, be_in_crowd, (void *)i);
    for (int i = 0; i < CROWD; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    SAME(atomic_load(&crowd.wrong), 0);
    SAME(failing_heap() - heap, 1); /* a second table, kept for good */
}

static void test_crowd(void **state)
{
    (void)state;
    if (under_valgrind())
        skip_test("valgrind knows no more than 500 threads");
    mv_view *view = open_half(MV_OPEN_WRITE);
    in_child(try_in_crowd, view);
    close_view(view);
}

static void *try_once(void *argument)
{
    mv_view *view = argument;
    return mv_try(view, touch_at, view->data + PAGE, NULL) == -MV_ETRUNCATED ? NULL : argument;
}

/* Each has a stack of its own, and with that a number of its own: what it took
 * must be free again for the next one. */
static void try_in_queue(void *argument)
{
    void *wrong;
    pthread_t thread;
    int length = under_valgrind() ? SLOTS_OF_A_TABLE + 10 : QUEUE;
    unsigned char *stacks = mmap(NULL, (size_t)length * STACK, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(stacks != MAP_FAILED);
    failing_reset();
    for (int i = 0; i < length; i++) {
        start(&thread, stacks + (size_t)i * STACK, try_once, argument);
        CHECK(pthread_join(thread, &wrong) == 0 && !wrong);
        CHECK(munmap(stacks + (size_t)i * STACK, STACK) == 0);
    }
    SAME(failing_count(FAILING_allocate), 0);
}

static void test_queue(void **state)
{
    (void)state;
    mv_view *view = open_half(0);
    in_child(try_in_queue, view);
    close_view(view);
}

/* ---- no memory to note a call in ---- */

static pthread_barrier_t all_started, all_done;

static int stay_inside(void *argument)
{
    pthread_barrier_wait(&all_started);
    pthread_barrier_wait(&all_done);
    return argument ? 1 : 0;
}

static void *take_slot(void *argument)
{
    return mv_try(argument, stay_inside, NULL, NULL) == 0 ? NULL : argument;
}

static int count_call(void *calls)
{
    return ++*(int *)calls;
}

static void run_out_of_slots(void *argument)
{
    static pthread_t threads[SLOTS_OF_A_TABLE];
    mv_view *view = argument;
    void *wrong;
    int calls = 0;
    CHECK(pthread_barrier_init(&all_started, NULL, SLOTS_OF_A_TABLE + 1) == 0);
    CHECK(pthread_barrier_init(&all_done, NULL, SLOTS_OF_A_TABLE + 1) == 0);
    for (int i = 0; i < SLOTS_OF_A_TABLE; i++)
        start(&threads[i], NULL, take_slot, view);
    pthread_barrier_wait(&all_started);
    failing_reset();
    failing_arm(FAILING_allocate, 1, 0, true);
    REFUSED(-ENOMEM, mv_try(view, count_call, &calls, ERR));
    FAILED_OP("allocate");
    failing_arm(FAILING_allocate, 1, -ENOMEM, true);
    REFUSED(-ENOMEM, mv_try(view, count_call, &calls, ERR));
    SAME(calls, 0);
    char byte;
    SAME(WORKS(mv_read(view, &byte, 1, 0, ERR)), 1); /* which notes nothing */
    failing_disarm();
    SAME(WORKS(mv_try(view, count_call, &calls, ERR)), 1);
    REFUSED(-MV_ETRUNCATED, mv_try(view, touch_at, view->data + PAGE, ERR));
    pthread_barrier_wait(&all_done);
    for (int i = 0; i < SLOTS_OF_A_TABLE; i++)
        CHECK(pthread_join(threads[i], &wrong) == 0 && !wrong);
}

static void test_no_memory(void **state)
{
    (void)state;
    if (under_valgrind())
        skip_test("valgrind knows no more than 500 threads");
    mv_view *view = open_half(0);
    in_child(run_out_of_slots, view);
    close_view(view);
}

/* ---- fork ---- */

static void go_on_in_child(void *argument)
{
    mv_view *view = argument;
    pthread_t thread;
    void *wrong;
    expect_faults(true);
    /* Its own calls, while it is still in the one that its parent has begun. */
    CHECK(!try_once(view));
    start(&thread, NULL, try_once, view);
    CHECK(pthread_join(thread, &wrong) == 0 && !wrong);
    expect_faults(false);
}

static int fork_and_go_on(void *argument)
{
    in_child(go_on_in_child, argument);
    return 6;
}

static pid_t forked;

/* In the child, the call that was begun in the parent is ended by a fault. */
LEFT static int fork_and_touch(void *argument)
{
    mv_view *view = argument;
    forked = fork();
    return forked == 0 ? touch_at(view->data + PAGE) : 6;
}

static void test_fork_inside(void **state)
{
    (void)state;
    int status;
    mv_view *view = open_half(0);
    SAME(WORKS(mv_try(view, fork_and_go_on, view, ERR)), 6);
    fflush(NULL);
    int r = mv_try(view, fork_and_touch, view, ERR);
    if (forked == 0)
        _exit(r == -MV_ETRUNCATED && support_error.offset == PAGE ? 3 : 4);
    SAME(r, 6);
    CHECK(waitpid(forked, &status, 0) == forked);
    SAME(status, 3 << 8);
    CHECK(!try_once(view));
    close_view(view);
}

/* A thread of the child gets the very stack, and number, of one that its parent
 * has inside of a call: that call is not its own. */
static void *only_touch(void *argument)
{
    volatile char deeper[4096]; /* than that call, which then looks as if it were not over */
    deeper[0] = 1;
    touch_at(argument);
    deeper[sizeof deeper - 1] = deeper[0];
    return NULL;
}

static void *stay_in_call(void *argument)
{
    mv_try(argument, stay_inside, NULL, NULL);
    return NULL;
}

static void fault_with_number_of_another(mv_view *view)
{
    pthread_t thread, other;
    void *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(stack != MAP_FAILED);
    CHECK(pthread_barrier_init(&all_started, NULL, 2) == 0);
    CHECK(pthread_barrier_init(&all_done, NULL, 2) == 0);
    start(&thread, stack, stay_in_call, view);
    pthread_barrier_wait(&all_started);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child > 0) {
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        if (WIFSIGNALED(status)) /* as the child */
            raise(WTERMSIG(status));
        _exit(WEXITSTATUS(status));
    }
    expected = view->data + PAGE;
    start(&other, stack, only_touch, expected);
    CHECK(other == thread && pthread_join(other, NULL) == 0);
}

static void test_number_of_another(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip_test("ThreadSanitizer starts no threads in a child of a process with several");
#endif
    dies_of(SIGBUS, fault_with_number_of_another);
}

int main(void)
{
    const struct CMUnitTest first[] = {
        TEST(test_faults_of_others),    TEST(test_faults_beside_the_view),
        TEST(test_handler_that_faults), TEST(test_number_of_another),
        TEST(test_no_memory),
    };
    const struct CMUnitTest tests[] = {
        TEST(test_handler_that_tries),
        TEST(test_crowd),
        TEST(test_queue),
        TEST(test_fork_inside),
    };
    int failed = cmocka_run_group_tests(first, guarded_group_begin, support_group_end);
    return failed + RUN(tests);
}
