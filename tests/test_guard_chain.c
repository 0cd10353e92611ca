/* test_guard_chain.c: the handlers that an application has installed before
 * mapview's get what they always got. Each test is in processes of its own. */
#include "guarded.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <ucontext.h>

/* The application's own two bad pages: one that is protected, and one past the
 * end of its file. */
static struct {
    unsigned char *page[2];
    int fd;
} own;

static void spoil(void)
{
    CHECK(mprotect(own.page[0], PAGE, PROT_NONE) == 0 && ftruncate(own.fd, 0) == 0);
}

static void repair(void)
{
    if (mprotect(own.page[0], PAGE, PROT_READ | PROT_WRITE) < 0 || ftruncate(own.fd, (off_t)PAGE) < 0)
        _exit(90);
}

static void make_own(void)
{
    own.fd = open_file(scratch("own"), O_RDWR | O_CREAT);
    own.page[0] = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    own.page[1] = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, own.fd, 0);
    CHECK(own.page[0] != MAP_FAILED && own.page[1] != MAP_FAILED);
}

/* What a handler sees. */
struct sight {
    int number, code, value;
    int alternate; /* is on the alternate stack */
    void *address;
    uintptr_t at, stack; /* interrupted */
    unsigned char mask[8], interrupted_mask[8];
    unsigned long calls;
};
static struct sight seen;
static unsigned char *alternate_stack;
enum { ALTERNATE = 65536 };

static void look(int number)
{
    unsigned char *here = (unsigned char *)&number;
    seen.calls++;
    seen.number = number;
    seen.alternate = here >= alternate_stack && here < alternate_stack + ALTERNATE;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, seen.mask, sizeof seen.mask);
    repair();
    errno = 4711;
}

static void look_closely(int number, siginfo_t *info, void *context)
{
    const ucontext_t *interrupted = context;
    seen.code = info->si_code;
    seen.address = info->si_code > 0 ? info->si_addr : NULL;
    seen.value = info->si_code == SI_QUEUE ? info->si_value.sival_int : 0;
    memcpy(seen.interrupted_mask, &interrupted->uc_sigmask, sizeof seen.interrupted_mask);
    if (info->si_code > 0) {
#ifdef __x86_64__
        seen.at = (uintptr_t)interrupted->uc_mcontext.gregs[REG_RIP];
        seen.stack = (uintptr_t)interrupted->uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
        seen.at = (uintptr_t)interrupted->uc_mcontext.pc;
        seen.stack = (uintptr_t)interrupted->uc_mcontext.sp;
#endif
    }
    look(number);
}

/* Where a signal may come from. */
enum origin { BY_ACCESS, BY_RAISE, BY_KILL, BY_QUEUE, ORIGINS };

static struct sight see(int number, enum origin origin)
{
    union sigval value = {.sival_int = 42};
    memset(&seen, 0, sizeof seen);
    spoil();
    errno = 17;
    if (origin == BY_ACCESS)
        SAME(load_first(own.page[number == SIGBUS]), 0);
    else if (origin == BY_RAISE)
        CHECK(raise(number) == 0);
    else if (origin == BY_KILL)
        CHECK(kill(getpid(), number) == 0);
    else
        CHECK(sigqueue(getpid(), number, value) == 0);
    while (seen.calls == 0) /* a sanitizer may deliver it later */
        sched_yield();
    SAME(seen.calls, 1);
    SAME(seen.number, number);
    return seen;
}

/* An arrangement is a handler as an application may have it. */
struct arrangement {
    int flags;
    bool blocks_some, blocks_all;
};

static const struct arrangement arrangements[] = {
    {0, false, false},
    {0, true, false},
    {SA_SIGINFO, false, false},
    {SA_SIGINFO, true, false},
    {SA_SIGINFO, false, true},
    {SA_SIGINFO | SA_NODEFER, true, false},
    {SA_SIGINFO | SA_NODEFER, false, false},
    {SA_SIGINFO | SA_RESTART | SA_ONSTACK, true, false},
    {SA_NODEFER | SA_ONSTACK, false, false},
};

static void arrange(const struct arrangement *a)
{
    struct sigaction action = {.sa_flags = a->flags};
    if (a->flags & SA_SIGINFO)
        action.sa_sigaction = look_closely;
    else
        action.sa_handler = look;
    sigemptyset(&action.sa_mask);
    if (a->blocks_all)
        sigfillset(&action.sa_mask);
    if (a->blocks_some) {
        sigaddset(&action.sa_mask, SIGTERM);
        sigaddset(&action.sa_mask, SIGSEGV);
        sigaddset(&action.sa_mask, SIGRTMAX);
    }
    set_handler(SIGBUS, &action);
    set_handler(SIGSEGV, &action);
}

static void same_sight(const struct sight *now, const struct sight *before)
{
    SAME(now->code, before->code);
    SAME(now->value, before->value);
    SAME((uintptr_t)now->address, (uintptr_t)before->address);
    SAME(now->at, before->at);
    SAME(now->stack, before->stack);
#ifndef __SANITIZE_THREAD__ /* which puts a handler of its own between */
    CHECK(memcmp(now->mask, before->mask, sizeof now->mask) == 0);
    CHECK(memcmp(now->interrupted_mask, before->interrupted_mask, sizeof now->interrupted_mask) == 0);
#endif
}

/* All that the handler sees is the same with mapview's before it. */
static void compare_sights(void *arrangement)
{
    struct sight before[2][ORIGINS];
    static const int numbers[] = {SIGSEGV, SIGBUS};
    sigset_t some, mask, after;
    sigemptyset(&some);
    sigaddset(&some, SIGUSR2);
    CHECK(pthread_sigmask(SIG_BLOCK, &some, NULL) == 0);
    make_own();
    arrange(arrangement);
    for (int i = 0; i < 2; i++)
        for (int origin = 0; origin < ORIGINS; origin++)
            before[i][origin] = see(numbers[i], (enum origin)origin);
    mv_view *view = open_cut("a", MV_OPEN_WRITE);
    check_guarded(view);
    SAME(mv_guard_status(), MV_GUARD_INSTALLED);
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &mask) == 0);
    for (int i = 0; i < 2; i++)
        for (int origin = 0; origin < ORIGINS; origin++) {
            struct sight now = see(numbers[i], (enum origin)origin);
            CHECK(origin != BY_ACCESS || errno == 17); /* though the handler has changed it */
            same_sight(&now, &before[i][origin]);
        }
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &after) == 0);
    CHECK(memcmp(&mask, &after, 8) == 0);
    check_guarded(view);
    close_view(view);
}

static void a_handler_before_sees_what_it_always_saw(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof arrangements / sizeof *arrangements; i++)
        in_child(compare_sights, (void *)(uintptr_t)&arrangements[i]);
}

static sigjmp_buf way_out;

static void jump(int number)
{
    (void)number;
    siglongjmp(way_out, 1);
}

static void jump_out(void *argument)
{
    (void)argument;
    sigset_t before, after;
    volatile int jumps = 0;
    make_own();
    spoil();
    set_handler(SIGBUS, &(struct sigaction){.sa_handler = jump});
    set_handler(SIGSEGV, &(struct sigaction){.sa_handler = jump});
    mv_view *view = open_cut("a", MV_OPEN_WRITE);
    check_guarded(view);
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &before) == 0);
    for (volatile int i = 0; i < 1000; i++) {
        if (sigsetjmp(way_out, 1) == 0)
            load_first(own.page[i & 1]);
        else
            jumps++;
        check_guarded(view);
    }
    SAME(jumps, 1000);
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &after) == 0);
    CHECK(memcmp(&before, &after, 8) == 0);
    SAME(mv_guard_status(), MV_GUARD_INSTALLED);
    close_view(view);
}

static void a_handler_before_may_jump(void **state)
{
    (void)state;
    in_child(jump_out, NULL);
}

static int leave(void *argument)
{
    (void)argument;
    siglongjmp(way_out, 2);
}

/* A guarded call that was left by longjmp, as it must not be: a fault after it
 * is the program's own, and does not lead back into frames that are gone. */
static void fault_after_leaving(void *argument)
{
    (void)argument;
    mv_view *view = open_cut("a", MV_OPEN_WRITE);
    volatile int faults = 0;
    for (volatile int i = 0; i < 10; i++)
        switch (sigsetjmp(way_out, 1)) {
        case 0:
            mv_try(view, leave, NULL, NULL);
            break;
        case 2:
            load_first(view->data);
            break;
        default:
            faults++;
        }
    SAME(faults, 10);
    close_view(view);
}

static void jump_out_of_a_call(void *argument)
{
    set_handler(SIGBUS, &(struct sigaction){.sa_handler = jump});
    fault_after_leaving(argument);
}

static void a_call_that_was_left_is_over(void **state)
{
    (void)state;
#ifdef MV__CPU_ANY
    skip_test("where the processor is not known, nor is the stack pointer");
#endif
    in_child(jump_out_of_a_call, NULL);
}

static void ignore(void *argument)
{
    (void)argument;
    for (int i = 0; i < 2; i++)
        set_handler(i ? SIGBUS : SIGSEGV, &(struct sigaction){.sa_handler = SIG_IGN});
    mv_view *view = open_cut("a", MV_OPEN_WRITE);
    for (int i = 0; i < 3; i++) {
        CHECK(kill(getpid(), SIGBUS) == 0 && raise(SIGSEGV) == 0);
        check_guarded(view);
    }
    SAME(mv_guard_status(), MV_GUARD_INSTALLED);
    close_view(view);
}

static void ignored_signals_stay_ignored(void **state)
{
    (void)state;
    in_child(ignore, NULL);
}

/* ---- signals that look like faults ---- */

static siginfo_t forged;

static int send_forged(void *argument)
{
    (void)argument;
    seen.calls = 0;
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), forged.si_signo, &forged) < 0)
        return -errno;
    return 77;
}

/* Signals whose siginfo has an address in the view, and which are no fault of
 * the view: one that was sent, one that tells of a broken page that nobody has
 * accessed, and one that tells of an odd address. */
static void forge(void *argument)
{
    (void)argument;
    static const int numbers[] = {SIGBUS, SIGSEGV, SIGBUS, SIGBUS};
    static const int codes[] = {SI_QUEUE, SI_QUEUE, BUS_MCEERR_AO, BUS_ADRALN};
    make_own();
    arrange(&arrangements[2]);
    mv_view *view = open_memory(PAGE, PAGE);
    for (int i = 0; i < 4; i++) {
        memset(&forged, 0, sizeof forged);
        forged.si_signo = numbers[i];
        forged.si_code = codes[i];
        forged.si_addr = mv_data(view);
        SAME(WORKS(mv_try(view, send_forged, NULL, ERR)), 77);
        SAME(seen.calls, 1);
        SAME(seen.code, codes[i]);
    }
    forged.si_code = BUS_MCEERR_AR; /* but this is an access */
    REFUSED(-EAGAIN, mv_try(view, send_forged, NULL, ERR));
    close_view(view);
}

static void only_an_access_is_a_fault(void **state)
{
    (void)state;
    in_child(forge, NULL);
}

/* ---- interrupted system calls ---- */

static struct {
    pthread_t thread;
    pid_t number;
    int pipe[2];
} sleeper;

/* Waits until the thread sleeps in its read. */
static void wait_for_sleep(void)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)sleeper.number);
    while (state != 'S') {
        FILE *stat = fopen(path, "re");
        if (!stat || fscanf(stat, "%*d (%*[^)]) %c", &state) != 1)
            state = 0;
        if (stat)
            fclose(stat);
        sched_yield();
    }
}

static atomic_ulong received;

static void receive(int number)
{
    (void)number;
    atomic_fetch_add(&received, 1);
}

static void *wake(void *handler)
{
    for (unsigned long i = 0; i < 2; i++) {
        wait_for_sleep();
        pthread_kill(sleeper.thread, i ? SIGBUS : SIGSEGV);
        while (handler && atomic_load(&received) == i)
            sched_yield();
    }
    wait_for_sleep();
    return (void *)(intptr_t)write(sleeper.pipe[1], "x", 1);
}

static void interrupt(void *handler)
{
    struct sigaction action = {.sa_handler = handler ? receive : SIG_IGN, .sa_flags = SA_RESTART};
    pthread_t waker;
    char byte;
    set_handler(SIGBUS, &action);
    set_handler(SIGSEGV, &action);
    SAME(WORKS(mv_guard_install(ERR)), 0);
    sleeper.thread = pthread_self();
    sleeper.number = mv__sys_thread();
    CHECK(pipe(sleeper.pipe) == 0);
    CHECK(pthread_create(&waker, NULL, wake, handler) == 0);
    SAME(read(sleeper.pipe[0], &byte, 1), 1);
    CHECK(pthread_join(waker, NULL) == 0);
    SAME(atomic_load(&received), handler ? 2 : 0);
}

static void an_interrupted_call_goes_on(void **state)
{
    (void)state;
    in_child(interrupt, &received);
    in_child(interrupt, NULL);
}

/* ---- alternate stacks ---- */

static void on_alternate_stack(void *arrangement)
{
    alternate_stack = malloc(ALTERNATE);
    stack_t stack = {.ss_sp = alternate_stack, .ss_size = ALTERNATE}, now;
    CHECK(alternate_stack && sigaltstack(&stack, NULL) == 0);
    make_own();
    arrange(arrangement);
    SAME(WORKS(mv_guard_install(ERR)), 0);
    for (int origin = 0; origin < ORIGINS; origin++) {
        SAME(see(SIGSEGV, (enum origin)origin).alternate, 1);
        SAME(see(SIGBUS, (enum origin)origin).alternate, 1);
    }
    mv_view *view = open_cut("a", MV_OPEN_WRITE);
    for (int i = 0; i < 1000; i++)
        check_guarded(view);
    CHECK(sigaltstack(NULL, &now) == 0);
    SAME(now.ss_flags, 0);
    close_view(view);
}

/* A deep recursion, which the application's handler leaves. */
LEFT static int fall(int depth)
{
    volatile char room[4096];
    room[0] = (char)depth;
    return depth < 0 ? 0 : fall(depth + 1) + room[0];
}

static void *overflow(void *argument)
{
    stack_t stack = {.ss_sp = alternate_stack, .ss_size = ALTERNATE};
    volatile int jumps = 0;
    sigaltstack(&stack, NULL);
    for (volatile int i = 0; i < 100; i++)
        if (sigsetjmp(way_out, 1) == 0)
            fall(0);
        else
            jumps++;
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    return jumps == 100 ? argument : NULL;
}

static void overflow_in_thread(void *argument)
{
    pthread_t thread;
    pthread_attr_t small;
    void *result;
    (void)argument;
    alternate_stack = malloc(ALTERNATE);
    CHECK(alternate_stack);
    set_handler(SIGSEGV, &(struct sigaction){.sa_handler = jump, .sa_flags = SA_ONSTACK});
    SAME(WORKS(mv_guard_install(ERR)), 0);
    CHECK(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, 1 << 18) == 0);
    CHECK(pthread_create(&thread, &small, overflow, alternate_stack) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(result == alternate_stack);
}

static void the_handler_runs_on_the_alternate_stack(void **state)
{
    (void)state;
    in_child(on_alternate_stack, (void *)(uintptr_t)&arrangements[7]);
    in_child(on_alternate_stack, (void *)(uintptr_t)&arrangements[0]); /* which did not ask for it */
    if (!under_sanitizer()) /* they use the stack in their own way */
        in_child(overflow_in_thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_handler_before_sees_what_it_always_saw),
        TEST(a_handler_before_may_jump),
        TEST(a_call_that_was_left_is_over),
        TEST(ignored_signals_stay_ignored),
        TEST(only_an_access_is_a_fault),
        TEST(an_interrupted_call_goes_on),
        TEST(the_handler_runs_on_the_alternate_stack),
    };
    return cmocka_run_group_tests(tests, guarded_group_begin, support_group_end);
}
