/* test_try.c: mv_try, in one thread: what it returns, and why. */
#include "guarded.h"

#include <limits.h>

/* ---- functions to be tried ---- */

/* An access is one byte of memory, touched. */
struct access {
    volatile unsigned char *at;
    bool store;
    int result;
};

static volatile unsigned char seen; /* valgrind makes no load that nobody needs */

LEFT static int touch_it(void *argument)
{
    const struct access *a = argument;
    if (a->store)
        *a->at = 0xEE;
    else
        seen = *a->at;
    return a->result;
}

static int try_byte(mv_view *view, uint64_t off, bool store)
{
    struct access a = {(unsigned char *)mv_data(view) + off, store, 0};
    return mv_try(view, touch_it, &a, ERR);
}

/* What a fault in the view comes to, by a load and by a store. */
static void fails_at(mv_view *view, uint64_t off, int load, int store)
{
    const int codes[] = {load, store};
    for (int i = 0; i < 2; i++)
        if (codes[i] < 0) {
            REFUSED(codes[i], try_byte(view, off, i));
            AT(off, 0, 0);
        } else {
            SAME(WORKS(try_byte(view, off, i)), 0);
        }
}

/* Where the processor is not known, neither is the kind of access: a fault is
 * first taken for that of a load, and on a read-only view never for another,
 * unless nothing stops a load. */
#ifdef MV__CPU_ANY
enum { ACCESS_IS_KNOWN = 0 };
#else
enum { ACCESS_IS_KNOWN = 1 };
#endif

/* ---- without a fault ---- */

static void test_results(void **state)
{
    (void)state;
    static const int results[] = {0, 1, 7, INT_MAX, -1, -5, -EBADF, -MV_ETRUNCATED, INT_MIN};
    mv_view *view = open_memory(PAGE, 0);
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        for (int store = 0; store < 2; store++) {
            struct access a = {mv_data(view), store, results[i]};
            mv_error before = *support_prepare();
            SAME(mv_try(view, touch_it, &a, ERR), results[i]);
            CHECK(memcmp(&before, ERR, sizeof before) == 0);
            SAME(mv_try(view, touch_it, &a, NULL), results[i]);
        }
    SAME(*(unsigned char *)mv_data(view), 0xEE);
    close_view(view);
}

static int count_call(void *calls)
{
    return ++*(int *)calls;
}

static void test_arguments(void **state)
{
    (void)state;
    int calls = 0;
    mv_error small = MV_ERROR_INIT;
    const char *path = make_file(scratch("file"), PAGE);
    mv_view *view = open_view(path, 0);
    REFUSED(-EINVAL, mv_try(view, NULL, &calls, ERR));
    FAILED_OP("try");
    REFUSED(-EINVAL, mv_try(NULL, count_call, &calls, ERR));
    SAME(mv_try(NULL, count_call, &calls, NULL), -EINVAL);
    small.size--;
    SAME(mv_try(view, count_call, &calls, &small), -EINVAL);
    SAME(small.code, 0);
    SAME(calls, 0);
    SAME(WORKS(mv_try(view, count_call, &calls, ERR)), 1);
    WORKS(mv_detach(view, ERR));
    REFUSED(-EBADF, mv_try(view, count_call, &calls, ERR));
    REFUSED(-EBADF, mv_try(view, NULL, &calls, ERR));
    close_view(view);
    view = open_view(path, MV_OPEN_NO_HANDLER);
    REFUSED(-EOPNOTSUPP, mv_try(view, count_call, &calls, ERR));
    FAILED_OP("try");
    close_view(view);
    view = open_view(make_file(path, 0), 0); /* of no byte */
    SAME(WORKS(mv_try(view, count_call, &calls, ERR)), 2);
    close_view(view);
}

/* ---- faults ---- */

static void test_cut(void **state)
{
    (void)state;
    static const struct {
        uint64_t flags;
        int store;
    } cases[] = {{0, ACCESS_IS_KNOWN ? -EACCES : -MV_ETRUNCATED},
                 {MV_OPEN_WRITE, -MV_ETRUNCATED},
                 {MV_OPEN_PRIVATE, ACCESS_IS_KNOWN ? -EACCES : -MV_ETRUNCATED},
                 {MV_OPEN_WRITE | MV_OPEN_PRIVATE, -MV_ETRUNCATED}};
    for (size_t i = 0; i < 4; i++) {
        mv_options o = with(cases[i].flags);
        o.offset = 100;
        mv_view *view = open_with(make_file(scratch("file"), 4 * PAGE), &o);
        const uint64_t edge = 2 * PAGE - 100;
        const uint64_t bad[] = {edge, edge + 1, edge + PAGE - 1, edge + PAGE, 4 * PAGE - 101};
        cut_file(scratch("file"), 2 * PAGE - 10);
        for (size_t k = 0; k < 5; k++)
            fails_at(view, bad[k], -MV_ETRUNCATED, cases[i].store);
        FAILED_OP(cases[i].store == -EACCES ? "try" : "fstat");
        /* In the page of the end there is no fault. */
        fails_at(view, edge - 1, 0, view->writable ? 0 : -EACCES);
        fails_at(view, 0, 0, view->writable ? 0 : -EACCES);
        grow_file(scratch("file"), 4 * PAGE);
        fails_at(view, edge, 0, view->writable ? 0 : -EACCES);
        close_view(view);
    }
}

static void test_protected(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), 3 * PAGE), MV_OPEN_WRITE);
    expect_faults(true);
    WORKS(mv_protect(view, PAGE, PAGE, 0, ERR));
    fails_at(view, PAGE - 1, 0, 0);
    fails_at(view, PAGE, -EACCES, -EACCES);
    FAILED_OP("protect");
    fails_at(view, 2 * PAGE - 1, -EACCES, -EACCES);
    fails_at(view, 2 * PAGE, 0, 0);
    WORKS(mv_protect(view, PAGE, PAGE, MV_READ, ERR));
    fails_at(view, PAGE + 5, 0, -EACCES);
    WORKS(mv_protect(view, PAGE, PAGE, MV_READ | MV_WRITE, ERR));
    fails_at(view, PAGE + 5, 0, 0);
    expect_faults(false);
    close_view(view);
}

/* In the view's mapping, but past its size, or before its first byte. */
static void test_around_the_view(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_WRITE);
    o.offset = PAGE + 100;
    o.reserve = 8 * PAGE;
    mv_view *view = open_with(make_file(scratch("file"), 3 * PAGE), &o);
    uint64_t past = 2 * PAGE - 100;
    fails_at(view, past, -MV_ETRUNCATED, -MV_ETRUNCATED);
    fails_at(view, past + 77, -MV_ETRUNCATED, -MV_ETRUNCATED);
    FAILED_OP("try");
    cut_file(scratch("file"), 2 * PAGE); /* within the view, the cause is the file */
    fails_at(view, past, -MV_ETRUNCATED, -MV_ETRUNCATED);
    FAILED_OP("try");
    fails_at(view, past - 1, -MV_ETRUNCATED, -MV_ETRUNCATED);
    FAILED_OP("fstat");
    cut_file(scratch("file"), 0);
    struct access before = {(unsigned char *)mv_data(view) - 50, false, 0};
    REFUSED(-MV_ETRUNCATED, mv_try(view, touch_it, &before, ERR));
    AT(0, 0, 0);
    close_view(view);
}

static void meet_a_full_disk(void *argument)
{
    (void)argument;
    char path[600], other[600];
    unsigned char bytes[LARGEST_PAGE] = {1};
    mount_small(scratch("small"), 32 * PAGE);
    snprintf(path, sizeof path, "%s", scratch("small/file"));
    snprintf(other, sizeof other, "%s", scratch("small/other"));
    mv_view *view = open_view(make_sparse(path, 16 * PAGE), MV_OPEN_WRITE);
    int fd = open_file(other, O_RDWR | O_CREAT);
    for (ssize_t n = 1; n > 0;)
        n = write(fd, bytes, PAGE);
    close(fd);
    /* Not even a load: tmpfs has no page to show. */
    fails_at(view, 3 * PAGE + 7, -ENOSPC, -ENOSPC);
    CHECK(unlink(other) == 0);
    fails_at(view, 3 * PAGE + 7, 0, 0);
    close_view(view);
}

static void test_full_disk(void **state)
{
    (void)state;
    in_child(meet_a_full_disk, NULL);
}

/* ---- causes that are told by hooks ---- */

static bool is_bad(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)argument;
    *result = -EFAULT;
    return true;
}

/* A page that is closed, also to the kernel. */
static void test_device_error(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE);
    CHECK(mprotect(mv_data(view), PAGE, PROT_NONE) == 0);
    failing_reset();
    failing_on(FAILING_madvise, is_bad, NULL);
    expect_faults(true);
    failing_arm(FAILING_pread, 1, -EIO, true);
    REFUSED(-EIO, try_byte(view, 7, false));
    AT(7, 0, 0);
    FAILED_OP("pread");
    if (ACCESS_IS_KNOWN) {
        failing_arm(FAILING_fallocate, 1, -ENOSPC, true);
        REFUSED(-ENOSPC, try_byte(view, 7, true));
        AT(7, 0, 0);
        FAILED_OP("fallocate");
        failing_disarm();
        REFUSED(-ENOSPC, try_byte(view, 7, true)); /* there are blocks, yet no store */
        AT(7, 0, 0);
    }
    failing_reset();
    CHECK(mprotect(mv_data(view), PAGE, PROT_READ | PROT_WRITE) == 0);
    fails_at(view, 7, 0, 0);
    expect_faults(false);
    close_view(view);
}

/* Somebody makes the file long again before the cause is asked for. */
static bool extend_it(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)result;
    cut_file(argument, 2 * PAGE);
    return false;
}

static void test_regrown(void **state)
{
    (void)state;
    static const uint64_t flags[] = {0, MV_OPEN_WRITE, MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    char path[512];
    snprintf(path, sizeof path, "%s", scratch("file"));
    for (size_t i = 0; i < 3; i++)
        for (int store = 0; store < (flags[i] ? 2 : 1); store++) {
            int code = flags[i] || ACCESS_IS_KNOWN ? -EAGAIN : -EACCES;
            mv_view *view = open_view(make_file(path, 2 * PAGE), flags[i]);
            static const enum failing_call asked[] = {FAILING_madvise, FAILING_fstat};
            for (int k = 0; k < 2; k++) {
                cut_file(path, PAGE);
                failing_reset();
                failing_on(asked[k], extend_it, path);
                REFUSED(code, try_byte(view, PAGE + 5, store));
                AT(PAGE + 5, 0, 0);
                failing_reset();
                WORKS(try_byte(view, PAGE + 5, store));
            }
            close_view(view);
        }
}

/* ---- what a function may do ---- */

static unsigned char *left_byte; /* what it touches in the end */
static mv_view *used;

LEFT static int detach_and_load(void *argument)
{
    (void)argument;
    if (mv_detach(used, NULL) < 0)
        return 1;
    return *(volatile unsigned char *)left_byte;
}

LEFT static int bar_and_load(void *argument)
{
    (void)argument;
    if (mv_protect(used, PAGE, PAGE, 0, NULL) < 0)
        return 1;
    return *(volatile unsigned char *)left_byte;
}

LEFT static int shrink_and_load(void *argument)
{
    (void)argument;
    if (mv_resize(used, 10, NULL) < 0)
        return 1;
    return *(volatile unsigned char *)left_byte;
}

static void test_changes_from_inside(void **state)
{
    (void)state;
    static const struct {
        int (*function)(void *);
        int code;
    } cases[] = {{detach_and_load, -EBADF}, {bar_and_load, -EACCES}, {shrink_and_load, -MV_ETRUNCATED}};
    for (size_t i = 0; i < 3; i++) {
        used = open_view(make_file(scratch("file"), 2 * PAGE), MV_OPEN_WRITE);
        left_byte = (unsigned char *)mv_data(used) + PAGE + 3;
        expect_faults(true);
        REFUSED(cases[i].code, mv_try(used, cases[i].function, NULL, ERR));
        expect_faults(false);
        if (i > 0)
            AT(PAGE + 3, 0, 0);
        close_view(used);
    }
}

/* Guarded accesses inside of a function have faults of their own, also in a
 * buffer that is itself of the view. */
struct seen {
    mv_view *memory;
    int64_t read, write, load, store, into, from;
    mv_error err;
};

static int access_all(void *argument)
{
    struct seen *s = argument;
    char bytes[100];
    uint64_t value;
    s->err = (mv_error)MV_ERROR_INIT;
    s->read = mv_read(used, bytes, 100, PAGE - 50, &s->err);
    s->write = mv_write(used, bytes, 100, PAGE, NULL);
    s->load = mv_load(used, PAGE, 8, &value, NULL);
    s->store = mv_store(used, PAGE, 8, 1, NULL);
    s->into = mv_read(s->memory, left_byte, 10, 0, NULL);
    s->from = mv_write(s->memory, left_byte, 10, 0, NULL);
    return 42;
}

static void test_guarded_from_inside(void **state)
{
    (void)state;
    struct seen s = {.memory = open_memory(PAGE, 0)};
    used = open_view(make_file(scratch("file"), 2 * PAGE), MV_OPEN_WRITE);
    left_byte = (unsigned char *)mv_data(used) + PAGE + 3;
    cut_file(scratch("file"), PAGE);
    SAME(WORKS(mv_try(used, access_all, &s, ERR)), 42);
    SAME(s.read, -MV_ETRUNCATED);
    CHECK(s.err.offset == PAGE && s.err.done == 50);
    SAME(s.write, -MV_ETRUNCATED);
    SAME(s.load, -MV_ETRUNCATED);
    SAME(s.store, -MV_ETRUNCATED);
    SAME(s.into, -EFAULT);
    SAME(s.from, -EFAULT);
    fails_at(used, PAGE, -MV_ETRUNCATED, -MV_ETRUNCATED);
    close_view(used);
    close_view(s.memory);
}

/* ---- calls inside of calls ---- */

struct nest {
    mv_view *inner, *touched; /* the view of the inner call, the one that faults */
    int depth;
    bool after;    /* the outer one faults, too, when the inner is over */
    int came_back; /* of the inner one */
};

LEFT static int touch_cut(mv_view *view)
{
    return *(volatile unsigned char *)(view->data + PAGE);
}

LEFT static int descend(void *argument)
{
    struct nest *n = argument;
    if (n->depth-- == 0)
        return touch_cut(n->touched);
    n->came_back = mv_try(n->inner, descend, n, NULL);
    if (n->after)
        return touch_cut(n->touched);
    return 5;
}

static void test_nested(void **state)
{
    (void)state;
    mv_view *one = open_view(make_file(scratch("one"), 2 * PAGE), 0);
    mv_view *other = open_view(make_file(scratch("other"), 2 * PAGE), MV_OPEN_WRITE);
    cut_file(scratch("one"), PAGE);
    cut_file(scratch("other"), PAGE);
    for (int depth = 1; depth < 60; depth += 7)
        for (int after = 0; after < 2; after++) {
            /* The innermost call takes the fault, of one view or of its own. */
            mv_view *const inner[] = {one, other};
            for (int i = 0; i < 2; i++) {
                struct nest n = {inner[i], inner[i], depth, after, 0};
                support_prepare();
                int r = mv_try(inner[i], descend, &n, ERR);
                SAME(r, after ? -MV_ETRUNCATED : 5);
                SAME(n.came_back, after || depth == 1 ? -MV_ETRUNCATED : 5);
            }
            /* The calls between go with the one that takes it. */
            struct nest n = {other, one, depth, after, 0};
            REFUSED(-MV_ETRUNCATED, mv_try(one, descend, &n, ERR));
            AT(PAGE, 0, 0);
            SAME(n.came_back, 0);
        }
    close_view(one);
    close_view(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_results),
        TEST(test_arguments),
        TEST(test_cut),
        TEST(test_protected),
        TEST(test_around_the_view),
        TEST(test_full_disk),
        TEST(test_device_error),
        TEST(test_regrown),
        TEST(test_changes_from_inside),
        TEST(test_guarded_from_inside),
        TEST(test_nested),
    };
    return RUN(tests);
}
