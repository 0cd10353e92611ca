/* test_copy.c: mv_read and mv_write, guarded and by either way of the kernel. */
#include "support.h"

#include <stdlib.h>

static bool refuse_call(unsigned k, long *result, void *argument)
{
    (void)k;
    *result = *(long *)argument;
    return true;
}

static long refusal;

/* From here on the kernel refuses to copy within a process: only in a child,
 * since the library remembers that. */
static void refuse_kernel_copy(long code)
{
    refusal = code;
    failing_on(FAILING_process_vm_readv, refuse_call, &refusal);
    failing_on(FAILING_process_vm_writev, refuse_call, &refusal);
}

/* The ways to copy. What a guarded copy leaves after a fault goes the kernel's
 * way, too: by its call or, where that is not permitted or not there, a pipe. */
static const struct way {
    const char *name;
    uint64_t flags; /* of every view */
    long refusal;   /* of the kernel's call */
} ways[] = {
    {"guarded", 0, 0},
    {"guarded, then through a pipe", 0, -EPERM},
    {"by the kernel", MV_OPEN_NO_HANDLER, 0},
    {"through a pipe", MV_OPEN_NO_HANDLER, -EPERM},
    {"through a pipe on an old kernel", MV_OPEN_NO_HANDLER, -ENOSYS},
};

struct errand {
    const struct way *way;
    void (*function)(const struct way *way);
    bool faults; /* it will meet some */
};

static void go_one_way(void *argument)
{
    const struct errand *errand = argument;
    const struct way *way = errand->way;
    bool by_kernel = errand->faults || (way->flags & MV_OPEN_NO_HANDLER);
    support_context = way->name;
    if (way->refusal)
        refuse_kernel_copy(way->refusal);
    errand->function(way);
    SAME(failing_count(FAILING_process_vm_readv) + failing_count(FAILING_process_vm_writev) > 0,
         by_kernel);
    SAME(failing_count(FAILING_pipe2) > 0, by_kernel && way->refusal);
}

/* Runs function in children: the library remembers a refusal. */
static void in_every_way(void (*function)(const struct way *way), bool faults)
{
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct errand errand = {&ways[i], function, faults};
        in_child(go_one_way, &errand);
    }
}

/* ---- success ---- */

static void copy_everything(const struct way *way)
{
    const char *path = make_file(scratch("file"), 5 * PAGE + 7);
    static const uint64_t flags[] = {0, MV_OPEN_WRITE, MV_OPEN_PRIVATE,
                                     MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    unsigned char bytes[6 * LARGEST_PAGE];
    for (size_t i = 0; i < 4; i++) {
        mv_options o = with(flags[i] | way->flags);
        o.offset = 13;
        mv_view *view = open_with(path, &o);
        uint64_t size = 5 * PAGE - 6;
        const uint64_t edges[] = {0, 1, PAGE - 14, PAGE - 13, PAGE - 12, 2 * PAGE + 5, size - 1, size};
        for (size_t j = 0; j < 8; j++)
            for (size_t k = j; k < 8; k++) {
                uint64_t n = edges[k] - edges[j];
                memset(bytes, 0, sizeof bytes);
                SAME(WORKS(mv_read(view, bytes, n, edges[j], ERR)), n);
                CHECK(has_pattern(bytes, n, 13 + edges[j]));
                SAME(bytes[n], 0);
            }
        close_view(view);
    }
}

static void test_read(void **state)
{
    (void)state;
    in_every_way(copy_everything, false);
}

static void write_everywhere(const struct way *way)
{
    const char *path = scratch("file");
    unsigned char bytes[2 * LARGEST_PAGE], seen[2 * LARGEST_PAGE + 2];
    memset(bytes, 0xEE, sizeof bytes);
    const uint64_t sizes[] = {1, 2, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE};
    const uint64_t offsets[] = {1, PAGE - 1, PAGE, PAGE + 100};
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 4; k++) {
            mv_view *view = open_view(make_file(path, 4 * PAGE), MV_OPEN_WRITE | way->flags);
            SAME(WORKS(mv_write(view, bytes, sizes[i], offsets[k], ERR)), sizes[i]);
            read_file(path, seen, sizes[i] + 2, offsets[k] - 1);
            CHECK(memcmp(seen + 1, bytes, sizes[i]) == 0);
            CHECK(has_pattern(seen, 1, offsets[k] - 1));
            CHECK(has_pattern(seen + 1 + sizes[i], 1, offsets[k] + sizes[i]));
            close_view(view);
        }
}

static void test_write(void **state)
{
    (void)state;
    in_every_way(write_everywhere, false);
}

static void come_back_short(const struct way *way)
{
    const char *path = make_file(scratch("file"), PAGE + 100);
    unsigned char bytes[200];
    mv_options o = with(MV_OPEN_WRITE | way->flags);
    o.reserve = 10 * PAGE;
    mv_view *view = open_with(path, &o);
    memset(bytes, 0xEE, sizeof bytes);
    SAME(WORKS(mv_read(view, bytes, 200, PAGE, ERR)), 100);
    CHECK(has_pattern(bytes, 100, PAGE) && bytes[100] == 0xEE);
    SAME(WORKS(mv_read(view, bytes, UINT64_MAX, PAGE + 99, ERR)), 1);
    SAME(WORKS(mv_write(view, bytes, 200, PAGE, ERR)), 100);
    SAME(WORKS(mv_write(view, bytes, UINT64_MAX, PAGE + 99, ERR)), 1);
    const uint64_t past[] = {PAGE + 100, PAGE + 101, 10 * PAGE, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < 5; i++) {
        SAME(WORKS(mv_read(view, bytes, 1, past[i], ERR)), 0);
        SAME(WORKS(mv_write(view, bytes, 1, past[i], ERR)), 0);
        SAME(WORKS(mv_read(view, NULL, 1, past[i], ERR)), 0);
    }
    /* By one byte too long, and by more. */
    unsigned char *end = (unsigned char *)mv_data(view) + PAGE + 100;
    for (uint64_t more = 1; more < 50; more++) {
        memset(bytes, 0xEE, sizeof bytes);
        SAME(WORKS(mv_read(view, bytes, 40 + more, PAGE + 60, ERR)), 40);
        SAME(bytes[40], 0xEE);
        SAME(WORKS(mv_write(view, bytes, 40 + more, PAGE + 60, ERR)), 40);
        SAME(*end, 0);
    }
    SAME(file_length(path), PAGE + 100); /* it never grows */
    SAME(WORKS(mv_read(view, NULL, 0, 0, ERR)), 0);
    SAME(WORKS(mv_write(view, NULL, 0, 0, ERR)), 0);
    close_view(view);
}

static void test_short(void **state)
{
    (void)state;
    in_every_way(come_back_short, false);
}

/* More than the caches hold is copied another way. */
static void test_large(void **state)
{
    (void)state;
    static const size_t sizes[] = {64 << 10, (1 << 20) + 1, 8 << 20, (20 << 20) + 5};
    for (size_t i = 0; i < 4; i++) {
        size_t n = sizes[i];
        mv_view *view = open_memory(n + 100, 0);
        unsigned char *bytes = malloc(n);
        CHECK(bytes);
        for (size_t k = 0; k < n; k++)
            bytes[k] = pattern(k);
        SAME(WORKS(mv_write(view, bytes, 1, 0, ERR)), 1); /* finds out how to copy */
        SAME(WORKS(mv_write(view, bytes, n, 77, ERR)), n);
        CHECK(has_pattern((unsigned char *)mv_data(view) + 77, n, 0));
        memset(bytes, 0, n);
        SAME(WORKS(mv_read(view, bytes, n, 77, ERR)), n);
        CHECK(has_pattern(bytes, n, 0));
        free(bytes);
        close_view(view);
    }
}

/* ---- refused ---- */

static void test_refused(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), PAGE);
    char byte = 0;
    mv_view *view = open_view(path, MV_OPEN_WRITE);
    REFUSED(-EINVAL, mv_read(view, NULL, 1, 0, ERR));
    FAILED_OP("copy");
    REFUSED(-EINVAL, mv_write(view, NULL, 1, 0, ERR));
    close_view(view);
    static const uint64_t reading[] = {0, MV_OPEN_PRIVATE};
    for (size_t i = 0; i < 2; i++) {
        view = open_view(path, reading[i]);
        REFUSED(-EACCES, mv_write(view, &byte, 1, 5, ERR));
        AT(5, 1, 0);
        REFUSED(-EACCES, mv_write(view, &byte, 1, PAGE, ERR)); /* at its end, too */
        close_view(view);
    }
    CHECK(file_has_pattern(path, 0, PAGE));
}

static unsigned char foreign[10] = "foreign";

/* The size of a detached view is no bound: not even an offset that leads to
 * memory that is there may be accessed. */
static void test_detached(void **state)
{
    (void)state;
    static const uint64_t flags[] = {0, MV_OPEN_NO_HANDLER};
    for (size_t i = 0; i < 2; i++) {
        char bytes[10] = "bytes";
        mv_view *view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE | flags[i]);
        SAME(WORKS(mv_write(view, bytes, 5, 0, ERR)), 5);
        const uint64_t offsets[] = {0, PAGE, (uintptr_t)foreign - (uintptr_t)mv_data(view)};
        WORKS(mv_detach(view, ERR));
        for (size_t k = 0; k < 3; k++) {
            REFUSED(-EBADF, mv_read(view, bytes, 5, offsets[k], ERR));
            REFUSED(-EBADF, mv_write(view, bytes, 5, offsets[k], ERR));
            REFUSED(-EBADF, mv_read(view, bytes, 0, offsets[k], ERR));
        }
        CHECK(strcmp(bytes, "bytes") == 0 && memcmp(foreign, "foreign", 8) == 0);
        close_view(view);
    }
}

/* An mv_error that is too small, on a view that has been used and on one that
 * has not: nothing is copied. */
static void test_small_error(void **state)
{
    (void)state;
    char bytes[10] = "bytes";
    mv_error small = MV_ERROR_INIT;
    mv_view *view = open_memory(PAGE, 0);
    small.size--;
    for (int i = 0; i < 2; i++) {
        SAME(mv_read(view, bytes, 5, 0, &small), -EINVAL);
        SAME(mv_write(view, bytes, 5, 0, &small), -EINVAL);
        CHECK(strcmp(bytes, "bytes") == 0 && has_zeros(mv_data(view), PAGE));
        SAME(WORKS(mv_read(view, bytes + 9, 1, 0, ERR)), 1);
    }
    close_view(view);
}

/* ---- the caller's buffer ---- */

static void use_bad_buffers(const struct way *way)
{
    const char *path = make_file(scratch("file"), 4 * PAGE);
    unsigned char *buf =
        mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(buf != MAP_FAILED);
    CHECK(mprotect(buf + 2 * PAGE, PAGE, PROT_NONE) == 0);
    mv_view *view = open_view(path, MV_OPEN_WRITE | way->flags);
    expect_faults(true);
    REFUSED(-EFAULT, mv_read(view, (void *)16, 10, 5, ERR));
    AT(5, 10, 0);
    FAILED_OP("copy");
    REFUSED(-EFAULT, mv_write(view, (void *)16, 10, 5, ERR));
    AT(5, 10, 0);
    REFUSED(-EFAULT, mv_read(view, buf + 2 * PAGE, 1, 0, ERR));
    AT(0, 1, 0);
    /* Good up to its last page. */
    REFUSED(-EFAULT, mv_read(view, buf, 3 * PAGE, PAGE, ERR));
    AT(3 * PAGE, PAGE, 2 * PAGE);
    CHECK(has_pattern(buf, 2 * PAGE, PAGE));
    memset(buf, 0xEE, 2 * PAGE);
    REFUSED(-EFAULT, mv_write(view, buf, 3 * PAGE, PAGE, ERR));
    AT(3 * PAGE, PAGE, 2 * PAGE);
    CHECK(file_has_pattern(path, 0, PAGE) && file_has_pattern(path, 3 * PAGE, PAGE));
    /* What cannot be written to can be read from. */
    CHECK(mprotect(buf, PAGE, PROT_READ) == 0);
    REFUSED(-EFAULT, mv_read(view, buf, 10, 0, ERR));
    SAME(WORKS(mv_write(view, buf, 10, 0, ERR)), 10);
    expect_faults(false);
    close_view(view);
    CHECK(munmap(buf, 3 * PAGE) == 0);
}

static void test_bad_buffers(void **state)
{
    (void)state;
    in_every_way(use_bad_buffers, true);
}

/* Here the bad page begins in the middle of a page of the view. */
static void use_buffers_across(const struct way *way)
{
    unsigned char *buf =
        mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(buf != MAP_FAILED && mprotect(buf + PAGE, PAGE, PROT_NONE) == 0);
    mv_view *view = open_view(make_file(scratch("file"), 4 * PAGE), MV_OPEN_WRITE | way->flags);
    alarm(5); /* a copy that gets nowhere must end */
    expect_faults(true);
    for (int writing = 0; writing < 2; writing++) {
        memset(buf, 0xEE, PAGE);
        if (writing)
            REFUSED(-EFAULT, mv_write(view, buf + PAGE - 100, 200, PAGE + 50, ERR));
        else
            REFUSED(-EFAULT, mv_read(view, buf + PAGE - 100, 200, PAGE + 50, ERR));
        uint64_t done = support_error.done;
        CHECK(done <= 100 && support_error.offset == PAGE + 50 + done);
        SAME(support_error.length, 200 - done);
        if (writing)
            SAME(((unsigned char *)mv_data(view))[PAGE + 150], pattern(PAGE + 150));
        else
            CHECK(has_pattern(buf + PAGE - 100, done, PAGE + 50));
    }
    expect_faults(false);
    close_view(view);
    CHECK(munmap(buf, 2 * PAGE) == 0);
}

static void test_buffers_across(void **state)
{
    (void)state;
    in_every_way(use_buffers_across, true);
}

/* Both sides are bad: what is said is of the view. */
static void test_bad_buffer_and_bad_view(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 2 * PAGE);
    mv_view *view = open_view(path, 0);
    cut_file(path, 0);
    expect_faults(true);
    REFUSED(-MV_ETRUNCATED, mv_read(view, (void *)16, 10, 5, ERR));
    expect_faults(false);
    AT(5, 10, 0);
    close_view(view);
}

/* The buffer may be the view itself, or another one. */
static void test_view_to_view(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), 4 * PAGE), MV_OPEN_WRITE);
    mv_view *other = open_memory(4 * PAGE, 0);
    SAME(WORKS(mv_read(view, mv_data(other), 4 * PAGE, 0, ERR)), 4 * PAGE);
    CHECK(has_pattern(mv_data(other), 4 * PAGE, 0));
    SAME(WORKS(mv_write(view, (char *)mv_data(view) + 2 * PAGE, PAGE, 0, ERR)), PAGE);
    CHECK(file_has_pattern(scratch("file"), PAGE, 3 * PAGE));
    CHECK(has_pattern(mv_data(view), PAGE, 2 * PAGE));
    close_view(view);
    close_view(other);
}

/* ---- faults in the view ---- */

/* The count is exact, and the cause is right, wherever the fault is. */
static void meet_a_cut(const struct way *way)
{
    unsigned char bytes[6 * LARGEST_PAGE];
    const char *path = make_file(scratch("file"), 6 * PAGE);
    mv_options o = with(MV_OPEN_WRITE | way->flags);
    o.offset = 100;
    mv_view *view = open_with(path, &o);
    cut_file(path, 3 * PAGE + 50);
    uint64_t first = 4 * PAGE - 100; /* the first byte that faults */
    const uint64_t starts[] = {0, 1, first - 1, first, first + 1, 5 * PAGE, 6 * PAGE - 101};
    for (size_t i = 0; i < 7; i++) {
        uint64_t done = starts[i] < first ? first - starts[i] : 0;
        uint64_t n = 6 * PAGE - 100 - starts[i];
        memset(bytes, 0xEE, sizeof bytes);
        REFUSED(-MV_ETRUNCATED, mv_read(view, bytes, n, starts[i], ERR));
        AT(starts[i] + done, n - done, done);
        CHECK(strstr(support_error.text, "cut"));
        SAME(bytes[done], 0xEE); /* nothing behind it was touched */
        REFUSED(-MV_ETRUNCATED, mv_write(view, bytes, n, starts[i], ERR));
        AT(starts[i] + done, n - done, done);
    }
    SAME(file_length(path), 3 * PAGE + 50);
    close_view(view);
}

static void test_cut(void **state)
{
    (void)state;
    in_every_way(meet_a_cut, true);
}

static void meet_protection(const struct way *way)
{
    unsigned char bytes[3 * LARGEST_PAGE];
    mv_view *view = open_view(make_file(scratch("file"), 5 * PAGE), MV_OPEN_WRITE | way->flags);
    WORKS(mv_protect(view, 2 * PAGE, PAGE, 0, ERR));
    REFUSED(-EACCES, mv_read(view, bytes, 3 * PAGE, PAGE + 10, ERR));
    AT(2 * PAGE, 2 * PAGE + 10, PAGE - 10);
    FAILED_OP("protect");
    REFUSED(-EACCES, mv_write(view, bytes, 10, 2 * PAGE + 5, ERR));
    AT(2 * PAGE + 5, 10, 0);
    WORKS(mv_protect(view, 2 * PAGE, PAGE, MV_READ, ERR));
    SAME(WORKS(mv_read(view, bytes, 3 * PAGE, PAGE + 10, ERR)), 3 * PAGE);
    CHECK(has_pattern(bytes, 3 * PAGE, PAGE + 10));
    REFUSED(-EACCES, mv_write(view, bytes, 3 * PAGE, PAGE + 10, ERR));
    AT(2 * PAGE, 2 * PAGE + 10, PAGE - 10);
    WORKS(mv_protect(view, 2 * PAGE, PAGE, MV_READ | MV_WRITE, ERR));
    SAME(WORKS(mv_write(view, bytes, 3 * PAGE, PAGE + 10, ERR)), 3 * PAGE);
    close_view(view);
}

static void test_protection(void **state)
{
    (void)state;
    in_every_way(meet_protection, true);
}

/* On a full disk a hole has no room for a store, and on tmpfs it has none for
 * a load either: then its bytes come from the file. */
static void meet_a_full_disk(const struct way *way)
{
    char path[600], other[600];
    unsigned char bytes[3 * LARGEST_PAGE];
    mount_small(scratch("small"), 32 * PAGE);
    snprintf(path, sizeof path, "%s", scratch("small/file"));
    snprintf(other, sizeof other, "%s", scratch("small/other"));
    mv_view *view = open_view(make_sparse(path, 16 * PAGE), MV_OPEN_WRITE | way->flags);
    SAME(WORKS(mv_write(view, "first", 5, 0, ERR)), 5);
    int fd = open_file(other, O_RDWR | O_CREAT);
    memset(bytes, 1, sizeof bytes);
    for (ssize_t n = 1; n > 0;)
        n = write(fd, bytes, PAGE);
    close(fd);

    SAME(WORKS(mv_write(view, "again", 5, 0, ERR)), 5); /* this page has its room */
    REFUSED(-ENOSPC, mv_write(view, bytes, 2 * PAGE, 10, ERR));
    AT(PAGE, PAGE + 10, PAGE - 10);
    REFUSED(-ENOSPC, mv_probe(view, 0, MV_TO_END, MV_WRITE, ERR));
    AT(PAGE, 0, PAGE);
    SAME(WORKS(mv_read(view, bytes, 3 * PAGE, PAGE, ERR)), 3 * PAGE);
    CHECK(has_zeros(bytes, 3 * PAGE));

    CHECK(unlink(other) == 0);
    SAME(WORKS(mv_write(view, bytes, 3 * PAGE, PAGE, ERR)), 3 * PAGE);
    WORKS(mv_probe(view, 0, MV_TO_END, MV_WRITE, ERR));
    close_view(view);
}

static void test_full_disk(void **state)
{
    (void)state;
    in_every_way(meet_a_full_disk, true);
}

/* ---- by the kernel ---- */

static mv_view *open_without_handler(void)
{
    mv_view *view;
    mv_options o = with(MV_OPEN_NO_HANDLER);
    WORKS(mv_anonymous(100, &o, &view, ERR));
    return view;
}

/* One refusal is enough: afterwards the call is not made any more. */
static void count_refusals(void *argument)
{
    char bytes[10];
    mv_view *view = open_without_handler();
    SAME(mv_has(NULL, MV_HAS_KERNEL_COPY), 1);
    refuse_kernel_copy(*(long *)argument);
    SAME(WORKS(mv_read(view, bytes, 10, 0, ERR)), 10);
    unsigned asked = failing_count(FAILING_process_vm_readv);
    SAME(mv_has(NULL, MV_HAS_KERNEL_COPY), 0);
    SAME(WORKS(mv_write(view, bytes, 10, 0, ERR)), 10);
    SAME(WORKS(mv_read(view, bytes, 10, 0, ERR)), 10);
    SAME(failing_count(FAILING_process_vm_readv), asked);
    SAME(failing_count(FAILING_process_vm_writev), 0);
    struct resources before = resources_now();
    SAME(WORKS(mv_read(view, bytes, 10, 0, ERR)), 10);
    CHECK(resources_same(before)); /* the pipe is gone */
    close_view(view);
}

static void test_refusal_is_remembered(void **state)
{
    (void)state;
    long codes[] = {-EPERM, -ENOSYS};
    in_child(count_refusals, &codes[0]);
    in_child(count_refusals, &codes[1]);
}

/* A filter that comes in the middle of a copy: what was done counts. */
static bool half_then_refuse(unsigned k, long *result, void *argument)
{
    const mv_view *view = argument;
    if (k == 1) {
        memcpy(view->data, "01234", 5);
        *result = 5;
    } else {
        *result = -EPERM;
    }
    return true;
}

static void refuse_in_the_middle(void *argument)
{
    (void)argument;
    mv_view *view = open_without_handler();
    failing_reset();
    failing_on(FAILING_process_vm_writev, half_then_refuse, view);
    SAME(WORKS(mv_write(view, "0123456789", 10, 0, ERR)), 10);
    CHECK(memcmp(mv_data(view), "0123456789", 10) == 0);
    close_view(view);
}

static void test_refusal_in_the_middle(void **state)
{
    (void)state;
    in_child(refuse_in_the_middle, NULL);
}

/* The kernel may copy less than it was asked to. */
static bool copy_one_byte(unsigned k, long *result, void *argument)
{
    mv_view *view = argument;
    if (k > 50)
        return false;
    *result = 1;
    view->data[k - 1] = 'x';
    return true;
}

static void test_piecemeal(void **state)
{
    (void)state;
    char bytes[60];
    mv_view *view = open_without_handler();
    memset(bytes, 'x', sizeof bytes);
    failing_reset();
    failing_on(FAILING_process_vm_writev, copy_one_byte, view);
    SAME(WORKS(mv_write(view, bytes, 60, 0, ERR)), 60);
    SAME(failing_count(FAILING_process_vm_writev), 51);
    CHECK(memcmp(mv_data(view), bytes, 60) == 0);
    close_view(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_read),
        TEST(test_write),
        TEST(test_short),
        TEST(test_large),
        TEST(test_refused),
        TEST(test_detached),
        TEST(test_small_error),
        TEST(test_bad_buffers),
        TEST(test_buffers_across),
        TEST(test_bad_buffer_and_bad_view),
        TEST(test_view_to_view),
        TEST(test_cut),
        TEST(test_protection),
        TEST(test_full_disk),
        TEST(test_refusal_is_remembered),
        TEST(test_refusal_in_the_middle),
        TEST(test_piecemeal),
    };
    return RUN(tests);
}
