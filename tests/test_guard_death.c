/* test_guard_death.c: what ends a process without mapview ends it with mapview,
 * at the same instruction and with the same siginfo, which is what a core file
 * is made of. Each process here is traced by the test. */
#include "guarded.h"

#include <elf.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/procfs.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>

/* ---- tracing ---- */

/* A stop is a signal on its way to the process. */
struct stop {
    siginfo_t info;
    uintptr_t at;
};

/* A death is how a process has ended. */
struct death {
    int signal; /* 0: it has not been killed */
    int status; /* then its exit status */
    int stops;  /* SIGBUS and SIGSEGV that it got */
    struct stop last;
    pid_t process;
};

static uintptr_t program_counter(pid_t process)
{
#if defined(__x86_64__) || defined(__aarch64__)
    struct user_regs_struct registers;
    struct iovec where = {&registers, sizeof registers};
    CHECK(ptrace(PTRACE_GETREGSET, process, (void *)NT_PRSTATUS, &where) == 0);
#ifdef __x86_64__
    return registers.rip;
#else
    return registers.pc;
#endif
#else
    (void)process;
    return 0;
#endif
}

/* Runs before the process goes on from its first stop. */
static void (*at_first_stop)(void);

/* Returns the signal to go on with. */
static int look_at_stop(pid_t process, int signal, struct death *death)
{
    if (signal != SIGBUS && signal != SIGSEGV)
        return signal;
    if (++death->stops == 1 && at_first_stop)
        at_first_stop();
    CHECK(ptrace(PTRACE_GETSIGINFO, process, NULL, &death->last.info) == 0);
    death->last.at = program_counter(process);
    return signal;
}

enum { NOT_TRACED = 91, GUARD_FAILED = 92, SURVIVED = 93 };

static void begin_traced(void (*function)(void *), void *argument)
{
    struct rlimit none = {0, 0};
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(NOT_TRACED);
    setrlimit(RLIMIT_CORE, &none);
    set_default();
    alarm(60);
    function(argument);
    _exit(SURVIVED);
}

/* The end of a child that calls function. */
static struct death death_of(void (*function)(void *), void *argument)
{
    struct death death = {0};
    int status;
    fflush(NULL);
    death.process = fork();
    CHECK(death.process >= 0);
    if (death.process == 0)
        begin_traced(function, argument);
    for (;;) {
        CHECK(waitpid(death.process, &status, 0) == death.process);
        if (!WIFSTOPPED(status))
            break;
        int signal = look_at_stop(death.process, WSTOPSIG(status), &death);
        CHECK(ptrace(PTRACE_CONT, death.process, NULL, (void *)(intptr_t)signal) == 0);
    }
    death.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    death.status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    if (death.status == NOT_TRACED)
        skip_test("this process may not be traced (ptrace)");
    CHECK(death.status != GUARD_FAILED);
    return death;
}

/* ---- what the processes die of ---- */

/* A cause is one way to die, with mapview or without. */
struct cause {
    void (*dies)(struct cause *cause);
    int signal;
    void (*handler)(int); /* before mapview's: SIG_DFL if 0 */
    int flags;
    bool guarded;
};

static unsigned char *protected_page, *cut_page;
static int cut_fd;

static void make_pages(void)
{
    cut_fd = open_file(scratch("own"), O_RDWR | O_CREAT);
    cut_page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, cut_fd, 0);
    protected_page = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(cut_page != MAP_FAILED && protected_page != MAP_FAILED);
}

static void leave_pages(void)
{
    CHECK(munmap(cut_page, PAGE) == 0 && munmap(protected_page, PAGE) == 0 && close(cut_fd) == 0);
}

/* A guarded fault of each kind, without cmocka and its messages. */
static void use_guard(void)
{
    mv_view *view;
    mv_options options = with(MV_OPEN_WRITE);
    unsigned char byte;
    if (truncate(scratch("view"), (off_t)PAGE) < 0 ||
        mv_open(scratch("view"), &options, &view, NULL) < 0 || truncate(scratch("view"), 0) < 0 ||
        mv_read(view, &byte, 1, 0, NULL) != -MV_ETRUNCATED ||
        mv_try(view, load_first, mv_data(view), NULL) != -MV_ETRUNCATED ||
        mv_guard_status() != MV_GUARD_INSTALLED)
        _exit(GUARD_FAILED);
}

static void die(void *argument)
{
    struct cause *cause = argument;
    struct sigaction action = {.sa_flags = cause->flags};
    if (cause->handler)
        action.sa_handler = cause->handler;
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    if (cause->guarded)
        use_guard();
    cause->dies(cause);
}

static void by_access(struct cause *cause)
{
    load_first(cause->signal == SIGBUS ? cut_page + 17 : protected_page + 17);
}

static void by_store(struct cause *cause)
{
    store_first(cause->signal == SIGBUS ? cut_page + 5 : protected_page + 5);
}

static void by_null(struct cause *cause)
{
    (void)cause;
    load_first((void *)(uintptr_t)8);
}

static void by_kill(struct cause *cause)
{
    kill(getpid(), cause->signal);
}

static void by_raise(struct cause *cause)
{
    raise(cause->signal);
}

/* The handler that was to be used once has been. */
static void by_second_access(struct cause *cause)
{
    by_access(cause);
    if (ftruncate(cut_fd, 0) < 0 || mprotect(protected_page, PAGE, PROT_NONE) < 0)
        _exit(GUARD_FAILED);
    by_access(cause);
}

static void repair(int number)
{
    (void)number;
    if (ftruncate(cut_fd, (off_t)PAGE) < 0 || mprotect(protected_page, PAGE, PROT_READ) < 0)
        _exit(GUARD_FAILED);
}

static struct cause causes[] = {
    {by_access, SIGBUS, NULL, 0, false},
    {by_access, SIGSEGV, NULL, 0, false},
    {by_store, SIGBUS, NULL, 0, false},
    {by_store, SIGSEGV, NULL, 0, false},
    {by_null, SIGSEGV, NULL, 0, false},
    {by_kill, SIGBUS, NULL, 0, false},
    {by_kill, SIGSEGV, NULL, 0, false},
    {by_raise, SIGBUS, NULL, 0, false},
    {by_raise, SIGSEGV, NULL, 0, false},
    {by_access, SIGBUS, SIG_IGN, 0, false},
    {by_access, SIGSEGV, SIG_IGN, 0, false},
    {by_second_access, SIGBUS, repair, (int)SA_RESETHAND, false},
    {by_second_access, SIGSEGV, repair, (int)SA_RESETHAND, false},
};

/* A stop of the one death against that of the other. */
static void same_stop(const struct death *with_guard, const struct death *without)
{
    const siginfo_t *a = &with_guard->last.info, *b = &without->last.info;
    SAME(a->si_signo, b->si_signo);
    SAME(a->si_code, b->si_code);
    SAME(with_guard->last.at, without->last.at);
    if (b->si_code > 0) {
        CHECK(a->si_addr == b->si_addr);
    } else {
        SAME(b->si_pid, without->process);
        SAME(a->si_pid, with_guard->process);
        SAME(a->si_uid, b->si_uid);
    }
}

static void compare_deaths(struct cause *cause)
{
    make_pages();
    make_file(scratch("view"), PAGE);
    cause->guarded = false;
    struct death without = death_of(die, cause);
    CHECK(ftruncate(cut_fd, 0) == 0);
    cause->guarded = true;
    struct death with_guard = death_of(die, cause);
    SAME(without.signal, cause->signal);
    SAME(with_guard.signal, cause->signal);
    CHECK(with_guard.stops > without.stops); /* it was seen by the handler, too */
    same_stop(&with_guard, &without);
    leave_pages();
}

static void a_process_dies_as_it_always_did(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        char number[32];
        snprintf(number, sizeof number, "cause %zu", i);
        support_context = number;
        compare_deaths(&causes[i]);
    }
}

/* ---- the page is back before the instruction is run again ---- */

static void repair_in_test(void)
{
    CHECK(ftruncate(cut_fd, (off_t)PAGE) == 0);
}

static void die_with_guard(void *argument)
{
    (void)argument;
    if (mv_guard_install(NULL) < 0)
        _exit(GUARD_FAILED);
    load_first(cut_page + 9);
}

static void a_page_that_comes_back_saves_nobody(void **state)
{
    (void)state;
    make_pages();
    at_first_stop = repair_in_test;
    struct death death = death_of(die_with_guard, NULL);
    at_first_stop = NULL;
    SAME(death.signal, SIGBUS);
    SAME(death.last.info.si_code, BUS_ADRERR);
    CHECK(death.last.info.si_addr == cut_page + 9);
    leave_pages();
}

/* ---- the first process of a container ---- */

static void be_first(void *argument)
{
    (void)argument;
    int status = 0;
    volatile char *passed = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(passed != MAP_FAILED);
    if (unshare(CLONE_NEWPID) < 0)
        skip_test("this kernel has no process name spaces, or not for this user");
    pid_t first = fork();
    if (first == 0) {
        CHECK(getpid() == 1);
        set_default();
        use_guard();
        kill(getpid(), SIGBUS); /* which the kernel keeps from it */
        raise(SIGSEGV);
        use_guard(); /* and so it goes on as before */
        *passed = 1;
        load_first(cut_page);
        _exit(SURVIVED);
    }
    CHECK(first > 0 && waitpid(first, &status, 0) == first);
    SAME(WIFEXITED(status) ? WEXITSTATUS(status) : 0, 0);
    SAME(WTERMSIG(status), SIGBUS);
    SAME(*passed, 1);
}

static void a_first_process_dies_of_nothing_else(void **state)
{
    (void)state;
    make_pages();
    make_file(scratch("view"), PAGE);
    in_child(be_first, NULL);
    leave_pages();
}

/* ---- faults that are not of a guarded access ---- */

/* A place is where a view is accessed that does not guard it. */
static mv_view *views[2];

static void through_pointer(void *argument)
{
    (void)argument;
    load_first(mv_data(views[0]));
}

static void in_try_of_another(void *argument)
{
    (void)argument;
    mv_try(views[1], load_first, mv_data(views[0]), NULL);
}

/* A wall right behind a view: the view is opened where a gap was left for it. */
static void behind_the_view(void *argument)
{
    mv_view *view = NULL;
    unsigned char *gap = NULL, *end = NULL;
    (void)argument;
    for (int i = 0; i < 100 && (i == 0 || end != gap + CUT_PAGES * PAGE); i++) {
        gap = mmap(NULL, (CUT_PAGES + 1) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(gap, CUT_PAGES * PAGE);
        if (mv_anonymous(CUT_PAGES * PAGE, NULL, &view, NULL) < 0)
            _exit(GUARD_FAILED);
        end = (unsigned char *)mv_data(view) + CUT_PAGES * PAGE;
    }
    if (end != gap + CUT_PAGES * PAGE)
        _exit(GUARD_FAILED);
    mv_try(view, load_first, end, NULL);
}

/* What is wrong then is the jump. */
static void jump_into_the_view(void *argument)
{
    int (*function)(void *);
    void *data = mv_data(views[0]);
    (void)argument;
    memcpy(&function, &data, sizeof function);
    mv_try(views[0], function, NULL, NULL);
}

static int do_nothing(void *argument)
{
    (void)argument;
    return 0;
}

static void after_try(void *argument)
{
    (void)argument;
    for (int i = 0; i < 3; i++)
        mv_try(views[0], do_nothing, NULL, NULL);
    mv_try(views[0], load_first, mv_data(views[0]), NULL);
    load_first(mv_data(views[0]));
}

#ifndef MV__CPU_ANY /* where the interrupted stack is not known */
static void on_handler_stack(int number)
{
    (void)number;
    load_first(mv_data(views[0]));
}

static int raise_user(void *argument)
{
    (void)argument;
    return raise(SIGUSR1);
}

/* A signal handler on a stack of its own interrupts fn: to leave it would lose
 * that stack. */
static void in_handler_on_another_stack(void *argument)
{
    (void)argument;
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigaction action = {.sa_handler = on_handler_stack, .sa_flags = SA_ONSTACK};
    if (!stack.ss_sp || sigaltstack(&stack, NULL) < 0 || sigaction(SIGUSR1, &action, NULL) < 0)
        _exit(GUARD_FAILED);
    mv_try(views[0], raise_user, NULL, NULL);
}
#endif

static void (*const places[])(void *) = {
    through_pointer,    in_try_of_another,           behind_the_view, after_try,
#ifndef MV__CPU_ANY /* which knows neither where it was nor on which stack */
    jump_into_the_view, in_handler_on_another_stack,
#endif
};

static void die_at(void *place)
{
    use_guard();
    (*(void (*const *)(void *))place)(NULL);
}

static void only_guarded_accesses_are_guarded(void **state)
{
    (void)state;
    views[0] = open_cut("a", MV_OPEN_WRITE);
    views[1] = open_cut("b", MV_OPEN_WRITE);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char number[32];
        snprintf(number, sizeof number, "place %zu", i);
        support_context = number;
        make_file(scratch("view"), PAGE);
        struct death death = death_of(die_at, (void *)(uintptr_t)&places[i]);
        SAME(death.status, 0);
        if (places[i] == jump_into_the_view) /* which of the two, depends */
            CHECK(death.signal == SIGBUS || death.signal == SIGSEGV);
        else
            SAME(death.signal, places[i] == behind_the_view ? SIGSEGV : SIGBUS);
        CHECK(death.last.info.si_code > 0);
        if (places[i] != behind_the_view)
            CHECK(death.last.info.si_addr == mv_data(views[0]));
    }
    close_view(views[0]);
    close_view(views[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_process_dies_as_it_always_did),
        TEST(a_page_that_comes_back_saves_nobody),
        TEST(a_first_process_dies_of_nothing_else),
        TEST(only_guarded_accesses_are_guarded),
    };
    return cmocka_run_group_tests(tests, guarded_group_begin, support_group_end);
}
