/* test_resize.c: growing and shrinking in place. */
#include "support.h"

#include <signal.h>

/* A write view of a file of length bytes, with room for 64 pages. */
static mv_view *open_growable(const char *path, uint64_t length)
{
    mv_options o = with(MV_OPEN_WRITE);
    o.reserve = 64 * PAGE;
    return open_with(make_file(path, length), &o);
}

static void check_sizes(const mv_view *view, const char *path, uint64_t size)
{
    SAME(mv_size(view), size);
    SAME(file_length(path), size);
}

/* ---- success ---- */

static void grow_and_shrink(const char *path)
{
    mv_view *view = open_growable(path, 100);
    unsigned char *data = mv_data(view);
    const uint64_t sizes[] = {101,
                              PAGE - 1,
                              PAGE,
                              PAGE + 1,
                              20 * PAGE + 5,
                              20 * PAGE + 5,
                              64 * PAGE,
                              10 * PAGE,
                              PAGE + 1,
                              50,
                              0,
                              1,
                              64 * PAGE,
                              0};
    uint64_t kept = 100; /* bytes of the pattern that are left */
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        SAME(WORKS(mv_resize(view, sizes[i], ERR)), 0);
        check_sizes(view, path, sizes[i]);
        CHECK(mv_data(view) == data);
        if (kept > sizes[i])
            kept = sizes[i];
        CHECK(has_pattern(data, kept, 0) && has_zeros(data + kept, sizes[i] - kept));
        CHECK(file_has_pattern(path, 0, kept) && file_has_zeros(path, kept, sizes[i] - kept));
    }
    close_view(view);
    SAME(file_length(path), 0);
}

static void test_grow_and_shrink(void **state)
{
    (void)state;
    grow_and_shrink(scratch("file"));
}

static void test_grow_and_shrink_on_tmpfs(void **state)
{
    (void)state;
    grow_and_shrink(scratch_memory("file"));
}

/* The file gets as long as offset plus size. */
static void test_with_an_offset(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 3 * PAGE);
    mv_options o = with(MV_OPEN_WRITE);
    o.offset = PAGE + 100;
    o.reserve = 20 * PAGE;
    mv_view *view = open_with(path, &o);
    WORKS(mv_resize(view, 10 * PAGE, ERR));
    SAME(file_length(path), 11 * PAGE + 100);
    CHECK(has_pattern(mv_data(view), 2 * PAGE - 100, PAGE + 100));
    WORKS(mv_resize(view, 0, ERR));
    SAME(file_length(path), PAGE + 100);
    CHECK(file_has_pattern(path, 0, PAGE + 100));
    close_view(view);
}

static void test_memory(void **state)
{
    (void)state;
    mv_view *view = open_memory(100, 64 * PAGE);
    unsigned char *data = mv_data(view);
    memset(data, 0xFF, 100);
    WORKS(mv_resize(view, 60 * PAGE, ERR));
    CHECK(mv_data(view) == data && has_zeros(data + 100, 60 * PAGE - 100));
    WORKS(mv_resize(view, 50, ERR));
    SAME(mv_size(view), 50);
    WORKS(mv_resize(view, 100, ERR));
    CHECK(data[49] == 0xFF && has_zeros(data + 50, 50));
    close_view(view);

    view = open_memory(0, 64 * PAGE); /* from nothing */
    SAME(mv_size(view), 0);
    WORKS(mv_resize(view, PAGE, ERR));
    check_usable(view);
    close_view(view);
}

/* Memory is taken at first touch: growing by much costs nothing. */
static void test_memory_is_not_taken_ahead(void **state)
{
    (void)state;
    mv_view *view = open_memory(PAGE, (uint64_t)1 << 30);
    WORKS(mv_resize(view, (uint64_t)1 << 30, ERR));
    struct stat st;
    CHECK(fstat(view->source.fd, &st) == 0);
    CHECK((uint64_t)st.st_blocks * 512 < 1 << 20);
    close_view(view);
}

/* ---- real blocks ---- */

static bool allocates(const mv_view *view)
{
    return mv_has(view, MV_HAS_ALLOCATE) == 1;
}

static void check_blocks(const char *path)
{
    mv_view *view = open_growable(path, 100);
    WORKS(mv_resize(view, 64 * PAGE, ERR));
    if (!allocates(view))
        skip_test("this file system cannot allocate ahead");
    CHECK(file_storage(path) >= 64 * PAGE);
    WORKS(mv_resize(view, PAGE, ERR)); /* and gives them back */
    CHECK(file_storage(path) < 64 * PAGE);
    close_view(view);
}

static void test_growth_has_blocks(void **state)
{
    (void)state;
    check_blocks(scratch("file"));
}

static void test_growth_has_blocks_on_tmpfs(void **state)
{
    (void)state;
    check_blocks(scratch_memory("file"));
}

/* What another process has added as a hole gets its blocks, too. */
static void test_foreign_growth_gets_blocks(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view = open_growable(path, PAGE);
    cut_file(path, 64 * PAGE);
    WORKS(mv_resize(view, 32 * PAGE, ERR));
    if (!allocates(view))
        skip_test("this file system cannot allocate ahead");
    SAME(file_length(path), 64 * PAGE);
    CHECK(file_storage(path) >= 32 * PAGE);
    close_view(view);
}

/* Bytes that were stored behind the end of the file, in its last page, are not
 * content when the file grows over them. */
static void check_stale_tail(const char *path)
{
    const uint64_t ends[] = {100, PAGE - 1, PAGE + 1, 5 * PAGE + 2000};
    for (size_t i = 0; i < 4; i++) {
        mv_view *view = open_growable(path, ends[i]);
        unsigned char *data = mv_data(view);
        uint64_t page_end = (ends[i] + PAGE - 1) / PAGE * PAGE;
        memset(data + ends[i], 0xEE, page_end - ends[i]);
        WORKS(mv_resize(view, page_end + 10, ERR));
        CHECK(has_pattern(data, ends[i], 0) && has_zeros(data + ends[i], page_end + 10 - ends[i]));
        CHECK(file_has_zeros(path, ends[i], page_end + 10 - ends[i]));
        close_view(view);
    }
}

static void test_stale_tail(void **state)
{
    (void)state;
    check_stale_tail(scratch("file"));
}

static void test_stale_tail_on_tmpfs(void **state)
{
    (void)state;
    check_stale_tail(scratch_memory("file"));
}

static void test_stale_tail_of_memory(void **state)
{
    (void)state;
    mv_view *view = open_memory(100, 64 * PAGE);
    memset((char *)mv_data(view) + 100, 0xEE, PAGE - 100);
    WORKS(mv_resize(view, 200, ERR));
    CHECK(has_zeros((char *)mv_data(view) + 100, 100));
    close_view(view);
}

/* Where the view begins on the very page, and where it begins behind the end
 * of what is stale, and also where the tail cannot be seen in the view. */
static void test_stale_tail_with_an_offset(void **state)
{
    (void)state;
    const uint64_t offsets[] = {50, 100, PAGE};
    for (size_t i = 0; i < 3; i++) {
        const char *path = make_file(scratch_memory("file"), PAGE + 100);
        mv_options o = with(MV_OPEN_WRITE);
        o.offset = offsets[i];
        o.reserve = 64 * PAGE;
        mv_view *view = open_with(path, &o);
        uint64_t size = PAGE + 100 - offsets[i];
        memset((char *)mv_data(view) + size, 0xEE, PAGE - 100);
        WORKS(mv_resize(view, size + 2 * PAGE, ERR));
        CHECK(file_has_zeros(path, PAGE + 100, 2 * PAGE));
        close_view(view);
    }
}

/* ---- refused ---- */

static void test_over_the_reservation(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view = open_growable(path, 100);
    static const uint64_t sizes[] = {(uint64_t)1 << 40, INT64_MAX};
    REFUSED(-ENOMEM, mv_resize(view, 64 * PAGE + 1, ERR));
    for (size_t i = 0; i < 2; i++) {
        REFUSED(-ENOMEM, mv_resize(view, sizes[i], ERR));
        FAILED_OP("resize");
        CHECK(strstr(support_error.text, "reserve")); /* it says how to ask for more */
    }
    check_sizes(view, path, 100);
    close_view(view);

    view = open_view(path, MV_OPEN_WRITE); /* without reserve: to the end of its page */
    WORKS(mv_resize(view, PAGE, ERR));
    REFUSED(-ENOMEM, mv_resize(view, PAGE + 1, ERR));
    close_view(view);

    mv_options o = with(MV_OPEN_WRITE); /* the reservation counts from the first byte shown */
    o.offset = 90;
    o.reserve = 2 * PAGE;
    view = open_with(make_file(path, 100), &o);
    WORKS(mv_resize(view, 2 * PAGE, ERR));
    close_view(view);
}

static void test_overflow(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view = open_growable(path, 100);
    REFUSED(-EOVERFLOW, mv_resize(view, UINT64_MAX, ERR));
    REFUSED(-EOVERFLOW, mv_resize(view, (uint64_t)INT64_MAX + 1, ERR));
    check_sizes(view, path, 100);
    close_view(view);
}

static void test_views_that_cannot(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 3 * PAGE);
    static const struct {
        uint64_t flags, length;
        int code;
    } cases[] = {
        {0, 0, -EACCES},
        {MV_OPEN_PRIVATE, 0, -EINVAL},
        {MV_OPEN_PRIVATE | MV_OPEN_WRITE, 0, -EINVAL},
        {MV_OPEN_WRITE, 100, -EINVAL},
        {MV_OPEN_WRITE, 3 * 4096, -EINVAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mv_options o = with(cases[i].flags);
        o.length = cases[i].length;
        o.reserve = 10 * PAGE;
        mv_view *view = open_with(path, &o);
        const uint64_t sizes[] = {0, 100, 4 * PAGE};
        for (size_t k = 0; k < 3; k++) {
            REFUSED(cases[i].code, mv_resize(view, sizes[k], ERR));
            FAILED_OP("resize");
        }
        SAME(mv_has(view, MV_HAS_RESIZE), 0);
        close_view(view);
    }
    CHECK(file_has_pattern(path, 0, 3 * PAGE));
    mv_options o = with(MV_OPEN_PRIVATE);
    mv_view *view;
    WORKS(mv_anonymous(100, &o, &view, ERR));
    REFUSED(-EINVAL, mv_resize(view, 50, ERR));
    close_view(view);
}

/* ---- beside other processes ---- */

static void test_beside_a_growth(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view = open_growable(path, PAGE);
    grow_file(path, 10 * PAGE); /* by somebody else: the file is longer than the view */
    WORKS(mv_resize(view, 2 * PAGE, ERR));
    SAME(mv_size(view), 2 * PAGE);
    SAME(file_length(path), 10 * PAGE);
    CHECK(file_has_pattern(path, 0, 10 * PAGE)); /* and nothing of it is lost */
    REFUSED(-EBUSY, mv_resize(view, PAGE, ERR));
    FAILED_OP("resize");
    REFUSED(-EBUSY, mv_resize(view, 0, ERR));
    SAME(mv_size(view), 2 * PAGE);
    CHECK(file_has_pattern(path, 0, 10 * PAGE));
    WORKS(mv_resize(view, 12 * PAGE, ERR));
    CHECK(file_has_pattern(path, 0, 10 * PAGE) && file_has_zeros(path, 10 * PAGE, 2 * PAGE));
    WORKS(mv_resize(view, PAGE, ERR));
    check_sizes(view, path, PAGE);
    close_view(view);
}

/* Another process appends in the very middle of the growth, at each call of
 * the library: what it wrote is never cut off, nor zeroed. */
static bool append(unsigned k, long *result, void *argument)
{
    (void)result;
    if (k == 1)
        grow_file(argument, 40 * PAGE);
    return false;
}

static void test_append_in_the_middle(void **state)
{
    (void)state;
    static const enum failing_call calls[] = {
        FAILING_fstat,
        FAILING_getrlimit,
        FAILING_fallocate,
        FAILING_process_vm_readv,
    };
    const char *path = scratch_memory("file");
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (int grow = 0; grow < 2; grow++) {
            mv_view *view = open_growable(path, PAGE + 100);
            failing_reset();
            failing_on(calls[i], append, (void *)(uintptr_t)path);
            int r = mv_resize(view, grow ? 20 * PAGE : PAGE, ERR);
            CHECK(r == 0 || (!grow && r == -EBUSY));
            bool appended = failing_count(calls[i]) > 0;
            failing_reset();
            if (appended) {
                SAME(file_length(path), 40 * PAGE);
                CHECK(file_has_pattern(path, 0, 40 * PAGE));
            }
            close_view(view);
        }
}

/* The same where the growth fails: what is undone is not the other's. */
static void test_append_beside_a_failure(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view = open_growable(path, PAGE);
    failing_reset();
    failing_on(FAILING_fallocate, append, (void *)(uintptr_t)path);
    failing_arm(FAILING_fallocate, 1, -ENOSPC, true);
    REFUSED(-ENOSPC, mv_resize(view, 20 * PAGE, ERR));
    failing_reset();
    SAME(mv_size(view), PAGE);
    CHECK(file_has_pattern(path, 0, 40 * PAGE));
    close_view(view);
}

/* ---- the order of things ---- */

/* Who reads the size may access what it covers: a shrink says so first, a
 * growth last. */
struct seen {
    const mv_view *view;
    uint64_t size; /* at the first call of the file system */
};

static bool look_at_size(unsigned k, long *result, void *argument)
{
    struct seen *seen = argument;
    (void)result;
    if (k == 1)
        seen->size = mv_size(seen->view);
    return false;
}

static void test_order(void **state)
{
    (void)state;
    struct seen seen = {open_growable(scratch("file"), 10 * PAGE), 0};
    mv_view *view = (mv_view *)(uintptr_t)seen.view;
    failing_reset();
    failing_on(FAILING_ftruncate, look_at_size, &seen);
    WORKS(mv_resize(view, 2 * PAGE, ERR));
    SAME(seen.size, 2 * PAGE);
    failing_reset();
    failing_on(FAILING_fallocate, look_at_size, &seen);
    WORKS(mv_resize(view, 5 * PAGE, ERR));
    SAME(seen.size, 2 * PAGE);
    close_view(view);
}

/* What a shrink takes away faults through a raw pointer. */
static void test_shrunk_bytes_fault(void **state)
{
    (void)state;
    mv_view *view = open_growable(scratch("file"), 10 * PAGE);
    unsigned char *data = mv_data(view);
    SAME(touch(data + 5 * PAGE, MV_READ), 0);
    WORKS(mv_resize(view, 2 * PAGE, ERR));
    SAME(touch(data + 5 * PAGE, MV_READ), SIGBUS);
    WORKS(mv_resize(view, 6 * PAGE, ERR));
    SAME(touch(data + 5 * PAGE, MV_READ | MV_WRITE), 0);
    close_view(view);
}

/* ---- no room ---- */

static void fill_small_disk(void *argument)
{
    char path[600], other[600];
    const char *folder = argument;
    mount_small(folder, 64 * PAGE);
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    mv_options o = with(MV_OPEN_WRITE);
    o.reserve = 1000 * PAGE;
    mv_view *view = open_with(make_file(path, 10 * PAGE + 5), &o);
    uint64_t storage = file_storage(path);
    REFUSED(-ENOSPC, mv_resize(view, 200 * PAGE, ERR));
    check_sizes(view, path, 10 * PAGE + 5);
    SAME(file_storage(path), storage); /* nothing that was found is kept */
    CHECK(has_pattern(mv_data(view), 10 * PAGE + 5, 0));
    make_file(other, 30 * PAGE); /* there is room for others */
    WORKS(mv_resize(view, 20 * PAGE, ERR));
    memset(mv_data(view), 1, 20 * PAGE);
    close_view(view);
}

static void test_full_disk(void **state)
{
    (void)state;
    char folder[512];
    snprintf(folder, sizeof folder, "%s", scratch("small"));
    in_child(fill_small_disk, folder);
}

/* A file system may fail half-way and keep what it had found. */
static bool allocate_half(unsigned k, long *result, void *argument)
{
    const mv_view *view = argument;
    if (k > 1)
        return false;
    CHECK(fallocate(view->source.fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)(30 * PAGE)) == 0);
    *result = -ENOSPC;
    return true;
}

static void test_half_an_allocation(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view = open_growable(path, PAGE);
    uint64_t storage = file_storage(path);
    failing_reset();
    failing_on(FAILING_fallocate, allocate_half, view);
    REFUSED(-ENOSPC, mv_resize(view, 60 * PAGE, ERR));
    failing_reset();
    check_sizes(view, path, PAGE);
    SAME(file_storage(path), storage);
    failing_arm(FAILING_fallocate, 2, -ENOSPC, false); /* the blocks, but not the length */
    REFUSED(-ENOSPC, mv_resize(view, 60 * PAGE, ERR));
    failing_reset();
    check_sizes(view, path, PAGE);
    SAME(file_storage(path), storage);
    CHECK(file_has_pattern(path, 0, PAGE));
    close_view(view);
}

/* ---- calls that are interrupted, or do not exist ---- */

static bool interrupt_thrice(unsigned k, long *result, void *argument)
{
    (void)argument;
    *result = -EINTR;
    return k <= 3;
}

static void test_interrupted(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view = open_growable(path, 100);
    failing_reset();
    failing_on(FAILING_fallocate, interrupt_thrice, NULL);
    WORKS(mv_resize(view, 60 * PAGE, ERR));
    CHECK(failing_count(FAILING_fallocate) >= 5);
    check_sizes(view, path, 60 * PAGE);
    CHECK(!allocates(view) || file_storage(path) >= 60 * PAGE);
    failing_on(FAILING_ftruncate, interrupt_thrice, NULL);
    WORKS(mv_resize(view, PAGE, ERR));
    check_sizes(view, path, PAGE);
    close_view(view);
}

static bool cannot_allocate(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)argument;
    *result = -EOPNOTSUPP;
    return true;
}

static void test_without_allocation(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view = open_growable(path, 100);
    failing_on(FAILING_fallocate, cannot_allocate, NULL);
    WORKS(mv_resize(view, 60 * PAGE, ERR));
    SAME(mv_has(view, MV_HAS_ALLOCATE), 0);
    check_sizes(view, path, 60 * PAGE);
    CHECK(has_zeros((char *)mv_data(view) + 100, 60 * PAGE - 100));
    WORKS(mv_resize(view, PAGE, ERR));
    check_sizes(view, path, PAGE);
    close_view(view);
}

static void test_sealed_memfd(void **state)
{
    (void)state;
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)(2 * PAGE)) == 0);
    mv_options o = with(MV_OPEN_WRITE);
    mv_view *view;
    o.reserve = 10 * PAGE;
    WORKS(mv_open_fd(fd, &o, &view, ERR));
    WORKS(mv_resize(view, 3 * PAGE, ERR));
    WORKS(mv_resize(view, 2 * PAGE, ERR)); /* it can be sealed, and is not */
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    failing_reset();
    REFUSED(-EPERM, mv_resize(view, PAGE, ERR));
    FAILED_OP("fcntl");
    SAME(failing_count(FAILING_ftruncate), 0); /* the smaller size was never shown */
    SAME(mv_size(view), 2 * PAGE);
    REFUSED(-EPERM, mv_resize(view, 3 * PAGE, ERR));
    SAME(mv_size(view), 2 * PAGE);
    check_usable(view);
    close_view(view);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_grow_and_shrink),
        TEST(test_grow_and_shrink_on_tmpfs),
        TEST(test_with_an_offset),
        TEST(test_memory),
        TEST(test_memory_is_not_taken_ahead),
        TEST(test_growth_has_blocks),
        TEST(test_growth_has_blocks_on_tmpfs),
        TEST(test_foreign_growth_gets_blocks),
        TEST(test_stale_tail),
        TEST(test_stale_tail_on_tmpfs),
        TEST(test_stale_tail_of_memory),
        TEST(test_stale_tail_with_an_offset),
        TEST(test_over_the_reservation),
        TEST(test_overflow),
        TEST(test_views_that_cannot),
        TEST(test_beside_a_growth),
        TEST(test_append_in_the_middle),
        TEST(test_append_beside_a_failure),
        TEST(test_order),
        TEST(test_shrunk_bytes_fault),
        TEST(test_full_disk),
        TEST(test_half_an_allocation),
        TEST(test_interrupted),
        TEST(test_without_allocation),
        TEST(test_sealed_memfd),
    };
    return RUN(tests);
}
