/*
 * calls.c: see calls.h.
 *
 * For each count the counting process has a child, which is the tracer: with its
 * end every thread is let go. It counts between two marks, calls with an
 * argument that nothing else has, so that what begins and ends the count is left
 * out.
 */

#include "calls.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_GET_SYSCALL_INFO
#define PTRACE_GET_SYSCALL_INFO 0x420e
#endif

enum { MARK = 0x4d61726b, STOP_OF_CALL = SIGTRAP | 0x80 };

/* What the kernel fills in, as far as it is needed. */
struct call {
    unsigned char op, pad[3];
    unsigned arch;
    unsigned long long at, stack, number, args[6];
};

static pid_t counter;
static int orders[2] = {-1, -1}, answers[2] = {-1, -1};

static int is_mark(const struct call *call)
{
    return call->number == SYS_getpgid && call->args[0] == MARK;
}

/* seize stops each thread that there is, and lets it run up to its next call. */
static int seize(pid_t process)
{
    char name[64];
    snprintf(name, sizeof name, "/proc/%d/task", (int)process);
    DIR *tasks = opendir(name);
    struct dirent *task;
    int rc = tasks ? 0 : -1, status;
    while (rc == 0 && (task = readdir(tasks))) {
        pid_t id = (pid_t)strtol(task->d_name, NULL, 10);
        if (id <= 0)
            continue;
        if (ptrace(PTRACE_SEIZE, id, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE)) !=
                0 ||
            ptrace(PTRACE_INTERRUPT, id, NULL, NULL) != 0 || waitpid(id, &status, __WALL) != id ||
            ptrace(PTRACE_SYSCALL, id, NULL, NULL) != 0)
            rc = -1;
    }
    if (tasks)
        closedir(tasks);
    return rc;
}

/* count_between counts from the first mark to the second. */
static long count_between(void)
{
    long count = 0;
    int marks = 0, status;
    for (;;) {
        pid_t id = waitpid(-1, &status, __WALL);
        if (id < 0)
            return -1;
        if (!WIFSTOPPED(status))
            continue;
        int signal = WSTOPSIG(status), event = status >> 16;
        struct call call = {0};
        if (signal == STOP_OF_CALL &&
            ptrace(PTRACE_GET_SYSCALL_INFO, id, (void *)sizeof call, &call) > 0 && call.op == 1) {
            if (is_mark(&call) && ++marks == 2)
                return count;
            count += marks == 1 && !is_mark(&call);
        }
        long deliver = signal == STOP_OF_CALL || event ? 0 : signal;
        ptrace(PTRACE_SYSCALL, id, NULL, (void *)deliver);
    }
}

static void answer(long number)
{
    if (write(answers[1], &number, sizeof number) != sizeof number)
        _exit(1);
}

static void count_once(pid_t process)
{
    pid_t tracer = fork();
    if (tracer == 0) {
        if (seize(process) != 0) {
            answer(-1);
            _exit(0);
        }
        answer(0);
        answer(count_between());
        _exit(0);
    }
    waitpid(tracer, NULL, 0);
}

void start_counter(void)
{
    pid_t process = getpid();
    char order;
    if (pipe(orders) != 0 || pipe(answers) != 0)
        return;
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    counter = fork();
    if (counter != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(orders[1]);
    while (getppid() == process && read(orders[0], &order, 1) == 1)
        count_once(process);
    _exit(0);
}

void end_counter(void)
{
    if (counter <= 0)
        return;
    kill(counter, SIGKILL);
    waitpid(counter, NULL, 0);
    counter = 0;
}

static long await_answer(void)
{
    long number = -1;
    return read(answers[0], &number, sizeof number) == sizeof number ? number : -1;
}

int begin_calls(void)
{
    if (counter <= 0 || write(orders[1], "", 1) != 1 || await_answer() != 0)
        return -1;
    syscall(SYS_getpgid, MARK);
    return 0;
}

long end_calls(void)
{
    syscall(SYS_getpgid, MARK);
    return await_answer();
}
