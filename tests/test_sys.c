/* test_sys.c: the table of system calls, and the number of a process. */
#include "support.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/wait.h>

/* ---- the table ---- */

/* What goes wrong comes back as a negative errno, and errno itself plays no
 * part. */
static void test_errors_are_returned(void **state)
{
    (void)state;
    struct stat st;
    char byte = 0;
    int fds[2];
    struct rlimit limit;
    expect_faults(true);
    errno = 4711;
    SAME(mv__sys.open(scratch("none"), O_RDONLY, 0), -ENOENT);
    SAME(mv__sys.fcntl(-1, F_GETFL, 0), -EBADF);
    SAME(mv__sys.fstat(-1, &st), -EBADF);
    SAME(mv__sys.lstat(scratch("none"), &st), -ENOENT);
    SAME(mv__sys.ioctl(-1, 0, NULL), -EBADF);
    SAME(mv__sys.readlink(scratch("none"), &byte, 1), -ENOENT);
    SAME(mv__sys.unlink(scratch("none")), -ENOENT);
    SAME(mv__sys.ftruncate(-1, 0), -EBADF);
    SAME(mv__sys.fallocate(-1, 0, 0, 1), -EBADF);
    SAME(mv__sys.memfd_create("", ~0U), -EINVAL);
    SAME(mv__sys.pipe2(fds, -1), -EINVAL);
    SAME(mv__sys.pread(-1, &byte, 1, 0), -EBADF);
    SAME(mv__sys.pwrite(-1, &byte, 1, 0), -EBADF);
    SAME(mv__sys.munmap((void *)1, 1), -EINVAL);
    SAME(mv__sys.mprotect((void *)1, 1, PROT_READ), -EINVAL);
    SAME(mv__sys.madvise((void *)1, 1, MADV_NORMAL), -EINVAL);
    SAME(mv__sys.msync((void *)1, 1, MS_SYNC), -EINVAL);
    SAME(mv__sys.fsync(-1), -EBADF);
    SAME(mv__sys.syncfs(-1), -EBADF);
    SAME(mv__sys.sync_file_range(-1, 0, 0, 0), -EBADF);
    SAME(mv__sys.sigaction(4711, NULL, NULL), -EINVAL);
    SAME(mv__sys.getrlimit(4711, &limit), -EINVAL);
    long mapped = mv__sys.mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SAME(mapped, -EINVAL);
    CHECK(mv__sys_failed(mapped));
    SAME(errno, 4711);
    expect_faults(false);
}

static void test_allocate_gives_zeros(void **state)
{
    (void)state;
    for (size_t n = 1; n < 5000; n += 777) {
        long memory = mv__sys.allocate(n);
        CHECK(memory > 0);
        CHECK(has_zeros((void *)memory, n));
        memset((void *)memory, 0xFF, n);
        mv__sys.release((void *)memory);
    }
}

/* The highest and the lowest result that are errors, and an address that is
 * negative as a long but is none. */
static void test_failed(void **state)
{
    (void)state;
    CHECK(mv__sys_failed(-1) && mv__sys_failed(-4095));
    CHECK(!mv__sys_failed(0) && !mv__sys_failed(1) && !mv__sys_failed(-4096) &&
          !mv__sys_failed(INT64_MIN));
}

static void test_page_size(void **state)
{
    (void)state;
    SAME(mv__sys_page_size(), sysconf(_SC_PAGESIZE));
    SAME(PAGE & (PAGE - 1), 0);
}

/* ---- the number of a process ---- */

static uint64_t number_of_process(void)
{
    uint64_t number = 0;
    SAME(mv__sys_process(&number), 0);
    CHECK(number > 0);
    return number;
}

static void grandchild_differs(void *argument)
{
    const uint64_t *seen = argument;
    uint64_t mine = number_of_process();
    CHECK(mine != seen[0] && mine != seen[1]);
}

static void child_differs(void *argument)
{
    uint64_t seen[2] = {*(uint64_t *)argument, number_of_process()};
    CHECK(seen[0] != seen[1]);
    SAME(number_of_process(), seen[1]);
    in_child(grandchild_differs, seen);
}

static void test_process_number(void **state)
{
    (void)state;
    uint64_t mine = number_of_process();
    SAME(number_of_process(), mine);
    in_child(child_differs, &mine);
    SAME(number_of_process(), mine);
}

struct number_and_pid {
    uint64_t number;
    pid_t pid;
};

static void same_pid_other_number(void *argument)
{
    const struct number_and_pid *parent = argument;
    SAME(getpid(), parent->pid);
    CHECK(number_of_process() != parent->number);
}

static void first_of_a_name_space(void *argument)
{
    (void)argument;
    struct number_and_pid mine = {number_of_process(), getpid()};
    SAME(mine.pid, 1);
    if (unshare(CLONE_NEWPID) < 0)
        skip_test("process name spaces do not nest here");
    in_child(same_pid_other_number, &mine);
}

static void make_name_space(void *argument)
{
    (void)argument;
    if (unshare(CLONE_NEWPID) < 0)
        skip_test("a process name space can be made by root only");
    in_child(first_of_a_name_space, NULL);
}

/* Number 1 of a name space starts number 1 of the next: a process number does
 * not tell them apart. */
static void test_process_number_in_name_space(void **state)
{
    (void)state;
    in_child(make_name_space, NULL);
}

static void *number_of_thread(void *argument)
{
    uint64_t *out = argument;
    return mv__sys_process(out) == 0 ? argument : NULL;
}

/* Threads that ask first, and at once, get one answer. */
static void threads_ask_first(void *argument)
{
    (void)argument;
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    uint64_t numbers[THREADS];
    void *worked;
    long mapped = failing_mapped();
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, number_of_thread, &numbers[i]) == 0);
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], &worked) == 0 && worked);
        SAME(numbers[i], numbers[0]);
    }
    SAME(failing_mapped() - mapped, PAGE);
}

static void first_question_fails(void *argument)
{
    (void)argument;
    uint64_t number;
    mv_view *view;
    long mapped = failing_mapped();

    failing_arm(FAILING_mmap, 1, -ENOMEM, true);
    SAME(mv__sys_process(&number), -ENOMEM);
    REFUSED(-ENOMEM, mv_anonymous(1, NULL, &view, ERR));
    failing_disarm();

    failing_arm(FAILING_madvise, 1, -EINVAL, true);
    SAME(mv__sys_process(&number), -EINVAL);
    failing_disarm();
    SAME(failing_mapped(), mapped);

    SAME(mv__sys_process(&number), 0);
    failing_arm(FAILING_mmap, 1, -ENOMEM, true);
    SAME(mv__sys_process(&number), 0); /* it does not fail any more */
}

/* These two need a process in which nobody has asked yet: main runs them
 * before the library is used. */
static void test_first_question(void **state)
{
    (void)state;
    in_child(first_question_fails, NULL);
    in_child(threads_ask_first, NULL);
}

static int begin_untouched(void **state)
{
    (void)state;
    failing_install();
    return 0;
}

int main(void)
{
    const struct CMUnitTest first[] = {
        cmocka_unit_test(test_first_question),
    };
    const struct CMUnitTest tests[] = {
        TEST(test_errors_are_returned),
        TEST(test_allocate_gives_zeros),
        TEST(test_failed),
        TEST(test_page_size),
        TEST(test_process_number),
        TEST(test_process_number_in_name_space),
    };
    int failed = cmocka_run_group_tests(first, begin_untouched, NULL);
    return failed + RUN(tests);
}
