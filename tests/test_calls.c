/* test_calls.c: what guarded accesses ask of the kernel: nothing, where there
 * is no fault; and that a view without the handler never needs it. */
#include "guarded.h"

#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* ---- nothing at all ---- */

static int load_and_store(void *at)
{
    volatile unsigned char *byte = at;
    return *byte = *byte;
}

/* Every guarded access that the view allows. Returns how many have failed. */
static unsigned access_often(mv_view *view)
{
    static unsigned char bytes[3 * LARGEST_PAGE];
    unsigned failed = 0;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t value, n = i * 37 % (2 * PAGE), off = i * 8;
        failed += mv_read(view, bytes, n, off, NULL) != (int64_t)n;
        failed += mv_load(view, off, 8, &value, NULL) != 0;
        failed += mv_try(view, load_first, mv_data(view), NULL) < 0;
        if (!view->writable)
            continue;
        failed += mv_write(view, bytes, n, off, NULL) != (int64_t)n;
        failed += mv_store(view, off, 8, value, NULL) != 0;
        failed += mv_try(view, load_and_store, mv_data(view), NULL) < 0;
    }
    return failed;
}

static void check_no_call(void)
{
    for (int call = 0; call < FAILING_CALLS; call++) {
        support_context = failing_name((enum failing_call)call);
        SAME(failing_count((enum failing_call)call), 0);
    }
    support_context = NULL;
}

static void test_no_call(void **state)
{
    (void)state;
    static const uint64_t flags[] = {0, MV_OPEN_WRITE, MV_OPEN_PRIVATE,
                                     MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    for (size_t i = 0; i < 5; i++) {
        const char *path = make_file(scratch("file"), 5 * LARGEST_PAGE);
        mv_view *view = i < 4 ? open_view(path, flags[i]) : open_memory(5 * LARGEST_PAGE, 0);
        SAME(access_often(view), 0); /* the first ones may make the handler and a slot */
        failing_reset();
        SAME(access_often(view), 0);
        check_no_call();
        close_view(view);
    }
}

/* As the kernel sees it: it ends a process that makes any call but exit. */
static void access_without_kernel(void *argument)
{
    access_often(argument);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) < 0)
        skip_test("the kernel has no seccomp");
    unsigned failed = access_often(argument);
    syscall(SYS_exit, failed == 0 ? 5 : 6);
}

static void test_no_call_of_any_kind(void **state)
{
    (void)state;
    if (under_valgrind() || under_sanitizer())
        skip_test("valgrind and sanitizers make calls of their own");
    mv_view *view = open_view(make_file(scratch("file"), 5 * LARGEST_PAGE), MV_OPEN_WRITE);
    SAME(end_of_child(access_without_kernel, view), 5 << 8);
    close_view(view);
}

/* ---- without the handler ---- */

static void check_default(void)
{
    struct sigaction bus, segv;
    SAME(mv_guard_status(), MV_GUARD_NONE);
    SAME(failing_count(FAILING_sigaction), 0);
    CHECK(sigaction(SIGBUS, NULL, &bus) == 0 && sigaction(SIGSEGV, NULL, &segv) == 0);
    CHECK(bus.sa_handler == SIG_DFL && segv.sa_handler == SIG_DFL);
}

static void use_without_handler(mv_view *view)
{
    unsigned char bytes[100];
    uint64_t value;
    SAME(WORKS(mv_read(view, bytes, 100, 10, ERR)), 100);
    CHECK(has_pattern(bytes, 100, 10));
    REFUSED(-MV_ETRUNCATED, mv_read(view, bytes, 100, PAGE - 50, ERR));
    AT(PAGE, 50, 50);
    if (view->writable) {
        SAME(WORKS(mv_write(view, bytes, 100, 10, ERR)), 100);
        REFUSED(-MV_ETRUNCATED, mv_write(view, bytes, 100, PAGE - 50, ERR));
        AT(PAGE, 50, 50);
        REFUSED(-EOPNOTSUPP, mv_store(view, 8, 8, 1, ERR));
    }
    REFUSED(-EOPNOTSUPP, mv_load(view, 8, 8, &value, ERR));
    REFUSED(-EOPNOTSUPP, mv_try(view, load_first, mv_data(view), ERR));
    REFUSED(-MV_ETRUNCATED, mv_probe(view, 0, MV_TO_END, MV_READ, ERR));
}

static void never_install(void *argument)
{
    (void)argument;
    static const uint64_t flags[] = {0, MV_OPEN_WRITE, MV_OPEN_PRIVATE,
                                     MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    set_default();
    for (size_t i = 0; i < 4; i++) {
        mv_view *view = open_view(make_file(scratch("file"), 2 * PAGE), flags[i] | MV_OPEN_NO_HANDLER);
        cut_file(scratch("file"), PAGE);
        use_without_handler(view);
        close_view(view);
        check_default();
    }
}

static void test_never_installed(void **state)
{
    (void)state;
    in_child(never_install, NULL);
}

/* It is the view that says so: in a process that has the handler, too. */
static void test_no_handler_beside_others(void **state)
{
    (void)state;
    unsigned char byte;
    mv_view *guarded = open_view(make_file(scratch("file"), 2 * PAGE), MV_OPEN_WRITE);
    mv_view *view = open_view(scratch("file"), MV_OPEN_WRITE | MV_OPEN_NO_HANDLER);
    SAME(WORKS(mv_read(guarded, &byte, 1, 0, ERR)), 1);
    for (int i = 0; i < 3; i++) {
        failing_reset();
        SAME(WORKS(mv_read(view, &byte, 1, 0, ERR)), 1);
        SAME(WORKS(mv_write(view, &byte, 1, 0, ERR)), 1);
        SAME(failing_count(FAILING_process_vm_readv), 1);
        SAME(failing_count(FAILING_process_vm_writev), 1);
    }
    failing_reset();
    cut_file(scratch("file"), PAGE);
    use_without_handler(view);
    close_view(view);
    close_view(guarded);
}

int main(void)
{
    const struct CMUnitTest first[] = {
        TEST(test_never_installed),
    };
    const struct CMUnitTest tests[] = {
        TEST(test_no_call),
        TEST(test_no_call_of_any_kind),
        TEST(test_no_handler_beside_others),
    };
    int failed = cmocka_run_group_tests(first, guarded_group_begin, support_group_end);
    return failed + RUN(tests);
}
