/* test_guard_call.c: the handler itself, with the calls and copies that it ends,
 * on bare memory: no view and no cause, so that it can be run by an emulator
 * that knows little of memory. */
#include "guarded.h"

#include <pthread.h>

static unsigned char *room, *wall; /* two pages; the second cannot be accessed */

static int begin(void **state)
{
    int r = support_begin(state);
    room = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(room != MAP_FAILED);
    wall = room + PAGE;
    for (size_t i = 0; i < PAGE; i++)
        room[i] = pattern(i);
    CHECK(mprotect(wall, PAGE, PROT_NONE) == 0);
    SAME(mv__guard_install(), 0);
    return r;
}

static int end(void **state)
{
    munmap(room, 2 * PAGE);
    return support_end(state);
}

LEFT static struct mv__pad pad_of(const unsigned char *start, size_t n)
{
    return (struct mv__pad){.start = (uintptr_t)start, .end = (uintptr_t)start + n};
}

/* ends makes a guarded call that must end by a fault there. */
static bool ends(struct mv__pad pad, int (*function)(void *), void *argument, const void *address)
{
    int result = 4711;
    return mv__guard_call(&pad, function, argument, &result) == 0 && result == 4711 && pad.landed &&
           pad.address == (uintptr_t)address;
}

static void a_fault_ends_a_guarded_call(void **state)
{
    (void)state;
    int result = 0;
    for (size_t i = 0; i < 100; i++) {
        CHECK(ends(pad_of(wall, PAGE), load_first, wall + i, wall + i));
        CHECK(ends(pad_of(wall + i, 1), store_first, wall + i, wall + i));
        struct mv__pad pad = pad_of(wall, PAGE);
        SAME(mv__guard_call(&pad, load_first, room + i, &result), 0);
        CHECK(!pad.landed);
        SAME(result, pattern(i));
    }
}

/* ---- nested calls ---- */

LEFT static int call_and_count(void *depth)
{
    int left = *(int *)depth, ended = 0;
    for (int i = 0; i < 2 && left > 0; i++) {
        struct mv__pad pad = pad_of(wall, PAGE);
        int inner = left - 1;
        mv__guard_call(&pad, call_and_count, &inner, &ended);
        if (!pad.landed)
            return 0; /* it was to end by a fault */
    }
    return load_first(wall + left);
}

/* A fault that is not the inner call's, in which it happens. */
LEFT static int call_past(void *argument)
{
    struct mv__pad pad = pad_of(room, PAGE);
    int result;
    mv__guard_call(&pad, load_first, argument, &result);
    return 0;
}

static void guarded_calls_nest(void **state)
{
    (void)state;
    int depth = 8;
    CHECK(ends(pad_of(wall, PAGE), call_and_count, &depth, wall + 8));
    for (int i = 0; i < 100; i++)
        CHECK(ends(pad_of(wall, PAGE), call_past, wall + 3, wall + 3));
    CHECK(ends(pad_of(wall, PAGE), load_first, wall, wall));
}

/* ---- copies and numbers ---- */

static int copy_in_call(void *argument)
{
    unsigned char bytes[300];
    size_t readable = *(size_t *)argument;
    uint64_t number;
    if (mv__cpu_copy(bytes, wall - readable, sizeof bytes) != readable ||
        memcmp(bytes, wall - readable, readable) != 0 ||
        mv__cpu_copy(wall - readable, bytes, sizeof bytes) != readable)
        return -1;
    return mv__cpu_load(wall, 8, &number) || mv__cpu_store(wall + 8, 4, 1) ? -2 : 0;
}

static void a_copy_in_a_guarded_call_does_not_end_it(void **state)
{
    (void)state;
    for (size_t readable = 0; readable < 300; readable++) {
        struct mv__pad pad = pad_of(wall, PAGE);
        int result = -3;
        SAME(mv__guard_call(&pad, copy_in_call, &readable, &result), 0);
        CHECK(!pad.landed);
        SAME(result, 0);
        SAME(copy_in_call(&readable), 0);
    }
}

/* ---- threads ---- */

enum { CREW = 16, TIMES = 2000 };

static void *fault_often(void *argument)
{
    for (size_t i = 0; i < TIMES; i++) {
        size_t readable = i % 300;
        const unsigned char *at = wall + i % 4096;
        if (!ends(pad_of(wall, PAGE), load_first, (void *)(uintptr_t)at, at) ||
            copy_in_call(&readable) != 0)
            return NULL;
    }
    return argument;
}

static void threads_fault_together(void **state)
{
    (void)state;
    pthread_t threads[CREW];
    void *result;
    int right = 0;
    for (int i = 0; i < CREW; i++)
        CHECK(pthread_create(&threads[i], NULL, fault_often, room) == 0);
    for (int i = 0; i < CREW; i++) {
        CHECK(pthread_join(threads[i], &result) == 0);
        right += result != NULL;
    }
    SAME(right, CREW);
}

/* ---- what is passed on ---- */

static unsigned char *foreign;
static unsigned long handled;

static void repair(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    if (info->si_addr == foreign + 11 && mprotect(foreign, PAGE, PROT_READ) == 0)
        handled++;
    else
        _exit(3);
}

static int fault_elsewhere(void *argument)
{
    (void)argument;
    return mprotect(foreign, PAGE, PROT_NONE) == 0 ? load_first(foreign + 11) : -1;
}

static void pass_faults_on(void *argument)
{
    struct sigaction action = {.sa_sigaction = repair, .sa_flags = SA_SIGINFO};
    (void)argument;
    foreign = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(foreign != MAP_FAILED);
    set_handler(SIGSEGV, &action);
    SAME(mv__guard_install(), 0);
    for (int i = 0; i < 100; i++) {
        struct mv__pad pad = pad_of(wall, PAGE);
        int result = -1;
        SAME(fault_elsewhere(NULL), 0);
        SAME(mv__guard_call(&pad, fault_elsewhere, NULL, &result), 0);
        CHECK(!pad.landed);
        SAME(result, 0);
        CHECK(ends(pad_of(wall, PAGE), load_first, wall, wall));
    }
    SAME(handled, 200);
}

static int begin_without_handler(void **state)
{
    wall = room = NULL;
    int r = support_begin(state);
    room = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(room != MAP_FAILED);
    wall = room + PAGE;
    return r;
}

static void a_fault_elsewhere_is_passed_on(void **state)
{
    (void)state;
    in_child(pass_faults_on, NULL);
}

#define CALL_TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_fault_elsewhere_is_passed_on, begin_without_handler, end),
        CALL_TEST(a_fault_ends_a_guarded_call),
        CALL_TEST(guarded_calls_nest),
        CALL_TEST(a_copy_in_a_guarded_call_does_not_end_it),
        CALL_TEST(threads_fault_together),
    };
    return cmocka_run_group_tests(tests, support_group_begin_cold, support_group_end);
}
