/* test_number.c: mv_load and mv_store, by one thread. */
#include "support.h"

#include <endian.h>

static const uint32_t widths[] = {1, 2, 4, 8};
enum { WIDTHS = 4 };

/* A number of that width whose bytes all differ. */
static uint64_t number_of(uint32_t width)
{
    return 0xF1E2D3C4B5A69788U >> (64 - 8 * width);
}

/* Both calls fail with code, and say where; no value is stored anywhere. */
static void both_refused(int code, mv_view *view, uint64_t off, uint32_t width)
{
    uint64_t value = 4711;
    REFUSED(code, mv_load(view, off, width, &value, ERR));
    AT(off, width, 0);
    SAME(value, 4711);
    REFUSED(code, mv_store(view, off, width, 0, ERR));
    AT(off, width, 0);
}

static void check_pair(mv_view *view, uint64_t off, uint32_t width)
{
    uint64_t before, value = 0;
    WORKS(mv_load(view, off, width, &before, ERR));
    WORKS(mv_store(view, off, width, number_of(width), ERR));
    WORKS(mv_load(view, off, width, &value, ERR));
    CHECK(value == number_of(width));
    WORKS(mv_store(view, off, width, before, ERR));
}

/* ---- what they do ---- */

static bool in_memory_order(const unsigned char *bytes, uint64_t value, uint32_t width)
{
    for (uint32_t i = 0; i < width; i++) {
        uint32_t shift = 8 * (BYTE_ORDER == LITTLE_ENDIAN ? i : width - 1 - i);
        if (bytes[i] != (unsigned char)(value >> shift))
            return false;
    }
    return true;
}

static void test_widths(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 2 * PAGE);
    unsigned char bytes[32];
    mv_view *view = open_view(path, MV_OPEN_WRITE);
    for (size_t i = 0; i < WIDTHS; i++) {
        uint64_t off = PAGE + 8, value = 0;
        uint32_t width = widths[i];
        WORKS(mv_load(view, off, width, &value, ERR));
        read_file(path, bytes, width, off);
        CHECK(in_memory_order(bytes, value, width));
        WORKS(mv_store(view, off, width, number_of(width), ERR));
        read_file(path, bytes, 24, off - 8);
        CHECK(in_memory_order(bytes + 8, number_of(width), width));
        CHECK(has_pattern(bytes, 8, off - 8) && has_pattern(bytes + 8 + width, 8, off + width));
        WORKS(mv_store(view, off, width, value, ERR));
        for (uint64_t largest = width < 8 ? ((uint64_t)1 << (8 * width)) - 1 : UINT64_MAX; largest;
             largest /= 37) {
            WORKS(mv_store(view, 0, width, largest, ERR));
            WORKS(mv_load(view, 0, width, &value, ERR));
            CHECK(value == largest);
        }
    }
    close_view(view);
}

/* The number's place in the file, or in the memory, is what is aligned. */
static void test_alignment(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 2 * PAGE);
    for (uint64_t start = 0; start < 17; start++) {
        mv_options o = with(MV_OPEN_WRITE);
        o.offset = start;
        mv_view *view = open_with(path, &o);
        for (size_t i = 0; i < WIDTHS; i++)
            for (uint64_t off = 0; off < 20; off++)
                if ((start + off) % widths[i] == 0)
                    check_pair(view, off, widths[i]);
                else
                    both_refused(-EINVAL, view, off, widths[i]);
        close_view(view);
    }
    CHECK(file_has_pattern(path, 0, 2 * PAGE));
}

static void test_bounds(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_WRITE);
    o.reserve = 4 * PAGE;
    for (uint64_t size = 0; size < 20; size++) {
        mv_view *view = open_with(make_file(scratch("file"), size), &o);
        const uint64_t far[] = {PAGE, INT64_MAX - 7, UINT64_MAX - 7, UINT64_MAX};
        for (size_t i = 0; i < WIDTHS; i++) {
            for (uint64_t off = 0; off < 32; off += widths[i])
                if (off + widths[i] <= size)
                    check_pair(view, off, widths[i]);
                else
                    both_refused(-EINVAL, view, off, widths[i]);
            for (size_t k = 0; k < 4; k++)
                both_refused(-EINVAL, view, far[k], widths[i]);
        }
        close_view(view);
        SAME(file_length(scratch("file")), size);
    }
}

static void test_arguments(void **state)
{
    (void)state;
    mv_view *view = open_memory(PAGE, 0);
    mv_error small = MV_ERROR_INIT;
    uint64_t value = 4711;
    static const uint32_t wrong[] = {0, 3, 5, 6, 7, 9, 16, 64, 256, UINT32_MAX};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        both_refused(-EINVAL, view, 0, wrong[i]);
    REFUSED(-EINVAL, mv_load(view, 0, 8, NULL, ERR));
    FAILED_OP("number");
    REFUSED(-EINVAL, mv_load(NULL, 0, 8, &value, ERR));
    REFUSED(-EINVAL, mv_store(NULL, 0, 8, 0, ERR));
    small.size--;
    SAME(mv_load(view, 0, 8, &value, &small), -EINVAL);
    SAME(mv_load(view, 0, 8, NULL, &small), -EINVAL);
    SAME(mv_store(view, 0, 8, 1, &small), -EINVAL);
    SAME(mv_store(view, 0, 1, 256, &small), -EINVAL);
    SAME(small.code, 0);
    SAME(value, 4711);
    /* A value that is wider than its place. */
    for (size_t i = 0; i < 3; i++)
        for (unsigned bit = 8 * widths[i]; bit < 64; bit++) {
            REFUSED(-EINVAL, mv_store(view, 0, widths[i], (uint64_t)1 << bit, ERR));
            FAILED_OP("number");
        }
    CHECK(has_zeros(mv_data(view), PAGE));
    SAME(mv_store(view, 0, 2, 5, NULL), 0);
    SAME(mv_load(view, 0, 2, &value, NULL), 0);
    SAME(value, 5);
    SAME(mv_load(view, 0, 3, &value, NULL), -EINVAL);
    close_view(view);
}

/* ---- views that do not allow it ---- */

static void test_kinds_of_views(void **state)
{
    (void)state;
    uint64_t value = 0;
    const char *path = make_file(scratch("file"), PAGE);
    static const uint64_t reading[] = {0, MV_OPEN_PRIVATE};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = open_view(path, reading[i]);
        WORKS(mv_load(view, 8, 8, &value, ERR));
        CHECK(memcmp(&value, (char *)mv_data(view) + 8, 8) == 0);
        REFUSED(-EACCES, mv_store(view, 8, 8, 0, ERR));
        AT(8, 8, 0);
        FAILED_OP("number");
        close_view(view);
    }
    mv_view *view = open_view(path, MV_OPEN_WRITE | MV_OPEN_PRIVATE);
    WORKS(mv_store(view, 8, 8, 5, ERR));
    WORKS(mv_load(view, 8, 8, &value, ERR));
    SAME(value, 5);
    WORKS(mv_detach(view, ERR));
    REFUSED(-EBADF, mv_load(view, 8, 8, &value, ERR));
    REFUSED(-EBADF, mv_store(view, 8, 8, 0, ERR));
    close_view(view);
    view = open_view(path, MV_OPEN_WRITE | MV_OPEN_NO_HANDLER);
    both_refused(-EOPNOTSUPP, view, 8, 8);
    close_view(view);
    CHECK(file_has_pattern(path, 0, PAGE));
}

static void test_protected(void **state)
{
    (void)state;
    uint64_t value;
    const char *path = make_file(scratch("file"), 3 * PAGE);
    mv_view *view = open_view(path, MV_OPEN_WRITE);
    WORKS(mv_protect(view, PAGE, PAGE, 0, ERR));
    for (size_t i = 0; i < WIDTHS; i++) {
        both_refused(-EACCES, view, PAGE, widths[i]);
        both_refused(-EACCES, view, 2 * PAGE - widths[i], widths[i]);
        FAILED_OP("protect");
        check_pair(view, PAGE - widths[i], widths[i]);
        check_pair(view, 2 * PAGE, widths[i]);
    }
    WORKS(mv_protect(view, PAGE, PAGE, MV_READ, ERR));
    WORKS(mv_load(view, PAGE, 8, &value, ERR));
    REFUSED(-EACCES, mv_store(view, PAGE, 8, 0, ERR));
    AT(PAGE, 8, 0);
    WORKS(mv_protect(view, PAGE, PAGE, MV_READ | MV_WRITE, ERR));
    check_pair(view, PAGE, 8);
    close_view(view);
    CHECK(file_has_pattern(path, 0, 3 * PAGE));
}

/* ---- faults ---- */

static void test_cut(void **state)
{
    (void)state;
    static const uint64_t flags[] = {MV_OPEN_WRITE, MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    for (size_t k = 0; k < 2; k++) {
        mv_options o = with(flags[k]);
        o.offset = 100; /* a multiple of 4 */
        mv_view *view = open_with(make_file(scratch("file"), 4 * PAGE), &o);
        uint64_t edge = 2 * PAGE - 100, value = 1;
        cut_file(scratch("file"), 2 * PAGE - 4);
        for (size_t i = 0; i < WIDTHS; i++) {
            both_refused(-MV_ETRUNCATED, view, edge, widths[i]);
            check_pair(view, edge - 2 * widths[i], widths[i]);
        }
        WORKS(mv_load(view, edge - 4, 4, &value, ERR)); /* past the end, in its page */
        SAME(value, 0);
        cut_file(scratch("file"), 4 * PAGE);
        check_pair(view, edge, 8);
        close_view(view);
        SAME(file_length(scratch("file")), 4 * PAGE);
    }
}

static void fill_disk(const char *path)
{
    unsigned char bytes[LARGEST_PAGE] = {1};
    int fd = open_file(path, O_RDWR | O_CREAT);
    for (ssize_t n = 1; n > 0;)
        n = write(fd, bytes, PAGE);
    close(fd);
}

/* A hole of a full tmpfs reads as zeros, also where it cannot be mapped. */
static void meet_a_full_disk(void *argument)
{
    (void)argument;
    char path[600], other[600];
    mount_small(scratch("small"), 32 * PAGE);
    snprintf(path, sizeof path, "%s", scratch("small/file"));
    snprintf(other, sizeof other, "%s", scratch("small/other"));
    mv_view *view = open_view(make_sparse(path, 16 * PAGE), MV_OPEN_WRITE);
    mv_view *reading = open_view(path, 0);
    fill_disk(other);
    for (size_t i = 0; i < WIDTHS; i++) {
        uint64_t value = 4711;
        WORKS(mv_load(view, 2 * PAGE + 8, widths[i], &value, ERR));
        SAME(value, 0);
        value = 4711;
        WORKS(mv_load(reading, 2 * PAGE + 8, widths[i], &value, ERR));
        SAME(value, 0);
        REFUSED(-ENOSPC, mv_store(view, 2 * PAGE + 8, widths[i], 1, ERR));
        AT(2 * PAGE + 8, widths[i], 0);
    }
    CHECK(unlink(other) == 0);
    for (size_t i = 0; i < WIDTHS; i++)
        check_pair(view, 2 * PAGE + 8, widths[i]);
    close_view(view);
    close_view(reading);
}

static void test_full_disk(void **state)
{
    (void)state;
    in_child(meet_a_full_disk, NULL);
}

/* ---- causes that are told by hooks ---- */

static void set_protection(const mv_view *view, int protection)
{
    CHECK(mprotect(view->base, view->geometry.mapped, protection) == 0);
}

static bool is_bad(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)argument;
    *result = -EFAULT;
    return true;
}

static bool is_fine(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)argument;
    *result = 0;
    return true;
}

/* The page is closed to loads and stores, and to the kernel. */
static mv_view *open_closed(const char *path, uint64_t flags)
{
    mv_view *view = open_view(make_file(path, PAGE), flags);
    set_protection(view, PROT_NONE);
    failing_reset();
    failing_on(FAILING_madvise, is_bad, NULL);
    return view;
}

static void test_device_error(void **state)
{
    (void)state;
    uint64_t value;
    mv_view *view = open_closed(scratch("file"), MV_OPEN_WRITE);
    failing_arm(FAILING_pread, 1, -EIO, true);
    REFUSED(-EIO, mv_load(view, 8, 8, &value, ERR));
    AT(8, 8, 0);
    FAILED_OP("pread");
    failing_arm(FAILING_fallocate, 1, -EIO, true);
    REFUSED(-EIO, mv_store(view, 8, 8, 1, ERR));
    AT(8, 8, 0);
    FAILED_OP("fallocate");
    failing_reset();
    set_protection(view, PROT_READ | PROT_WRITE);
    check_pair(view, 8, 8);
    close_view(view);
}

/* A number is loaded past the mapping where that can be: whole, and in its
 * order. It is never stored so, since a write is not at once. */
static void test_past_the_mapping(void **state)
{
    (void)state;
    const char *path = scratch_memory("file");
    mv_view *view = open_closed(path, MV_OPEN_WRITE);
    for (size_t i = 0; i < WIDTHS; i++) {
        uint64_t value = 0;
        unsigned char bytes[8];
        WORKS(mv_load(view, 16, widths[i], &value, ERR));
        read_file(path, bytes, 8, 16);
        CHECK(in_memory_order(bytes, value, widths[i]));
        REFUSED(-ENOSPC, mv_store(view, 16, widths[i], 1, ERR));
        AT(16, widths[i], 0);
    }
    SAME(failing_count(FAILING_pwrite), 0);
    CHECK(file_has_pattern(path, 0, PAGE));
    failing_reset();
    close_view(view);
}

/* A number of which the file has a part only, on a page that cannot be mapped. */
static void test_end_inside(void **state)
{
    (void)state;
    uint64_t value = 4711;
    mv_view *view = open_closed(scratch_memory("file"), MV_OPEN_WRITE);
    cut_file(scratch_memory("file"), PAGE - 4);
    REFUSED(-MV_ETRUNCATED, mv_load(view, PAGE - 8, 8, &value, ERR));
    SAME(support_error.offset, PAGE - 4);
    SAME(value, 4711);
    WORKS(mv_load(view, PAGE - 8, 4, &value, ERR));
    failing_reset();
    close_view(view);
}

/* The page is there whenever somebody asks, and never at an access. */
static void test_never_at_an_access(void **state)
{
    (void)state;
    mv_view *view = open_closed(scratch("file"), MV_OPEN_WRITE);
    failing_on(FAILING_madvise, is_fine, NULL);
    both_refused(-EAGAIN, view, 8, 8);
    CHECK(failing_count(FAILING_madvise) > 1);
    failing_reset();
    close_view(view);
}

static bool open_again(unsigned k, long *result, void *argument)
{
    (void)result;
    if (k == 3)
        set_protection(argument, PROT_READ | PROT_WRITE);
    *result = 0;
    return true;
}

static void test_transient(void **state)
{
    (void)state;
    uint64_t value = 0;
    mv_view *view = open_closed(scratch("file"), MV_OPEN_WRITE);
    failing_on(FAILING_madvise, open_again, view);
    WORKS(mv_store(view, 8, 8, 5, ERR));
    set_protection(view, PROT_NONE);
    failing_reset();
    failing_on(FAILING_madvise, open_again, view);
    WORKS(mv_load(view, 8, 8, &value, ERR));
    SAME(value, 5);
    failing_reset();
    close_view(view);
}

/* While the cause is asked for, the view is made smaller, or detached: the
 * number does not exist any more, though its byte can be accessed. */
static bool shrink_beside(unsigned k, long *result, void *argument)
{
    mv_view *view = argument;
    if (k == 1) {
        CHECK(mv_resize(view, 12, NULL) == 0);
        set_protection(view, PROT_READ | PROT_WRITE);
    }
    *result = 0;
    return true;
}

static bool detach_beside(unsigned k, long *result, void *argument)
{
    if (k == 1)
        CHECK(mv_detach(argument, NULL) == 0);
    *result = 0;
    return true;
}

static void test_end_beside(void **state)
{
    (void)state;
    for (int storing = 0; storing < 2; storing++) {
        uint64_t value;
        mv_view *view = open_closed(scratch("file"), MV_OPEN_WRITE);
        failing_on(FAILING_madvise, shrink_beside, view);
        REFUSED(-MV_ETRUNCATED,
                storing ? mv_store(view, 8, 8, 0, ERR) : mv_load(view, 8, 8, &value, ERR));
        AT(8, 8, 0);
        failing_reset();
        close_view(view);
        view = open_closed(scratch("file"), MV_OPEN_WRITE);
        failing_on(FAILING_madvise, detach_beside, view);
        REFUSED(-EBADF, storing ? mv_store(view, 8, 8, 0, ERR) : mv_load(view, 8, 8, &value, ERR));
        failing_reset();
        close_view(view);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_widths),
        TEST(test_alignment),
        TEST(test_bounds),
        TEST(test_arguments),
        TEST(test_kinds_of_views),
        TEST(test_protected),
        TEST(test_cut),
        TEST(test_full_disk),
        TEST(test_device_error),
        TEST(test_past_the_mapping),
        TEST(test_end_inside),
        TEST(test_never_at_an_access),
        TEST(test_transient),
        TEST(test_end_beside),
    };
    return RUN(tests);
}
