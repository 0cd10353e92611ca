/* test_view.c: the address, the size, ranges, detach, close and mv_stat. */
#include "support.h"

#include <signal.h>

/* Every call with a NULL view says so; those that cannot say have an answer. */
static void test_no_view(void **state)
{
    (void)state;
    char byte = 0;
    mv_info info = MV_INFO_INIT;
    CHECK(mv_data(NULL) == NULL);
    SAME(mv_size(NULL), 0);
    SAME(mv_reserved(NULL), 0);
    SAME(mv_close(NULL, NULL), 0);
    WORKS(mv_close(NULL, ERR));
    REFUSED(-EINVAL, mv_detach(NULL, ERR));
    FAILED_OP("view");
    REFUSED(-EINVAL, mv_read(NULL, &byte, 1, 0, ERR));
    REFUSED(-EINVAL, mv_write(NULL, &byte, 1, 0, ERR));
    REFUSED(-EINVAL, mv_probe(NULL, 0, 1, MV_READ, ERR));
    REFUSED(-EINVAL, mv_sync(NULL, 0, 1, MV_SYNC_DATA, ERR));
    REFUSED(-EINVAL, mv_resize(NULL, 1, ERR));
    REFUSED(-EINVAL, mv_refresh(NULL, ERR));
    REFUSED(-EINVAL, mv_advise(NULL, 0, 1, 0, ERR));
    REFUSED(-EINVAL, mv_prefault(NULL, 0, 1, MV_READ, ERR));
    REFUSED(-EINVAL, mv_discard(NULL, 0, 1, ERR));
    REFUSED(-EINVAL, mv_pin(NULL, 0, 1, ERR));
    REFUSED(-EINVAL, mv_unpin(NULL, 0, 1, ERR));
    REFUSED(-EINVAL, mv_protect(NULL, 0, 1, MV_READ, ERR));
    REFUSED(-EINVAL, mv_stat(NULL, &info, ERR));
    REFUSED(-EINVAL, mv_fd(NULL, ERR));
}

/* ---- ranges ---- */

static int as_probe(mv_view *view, uint64_t off, uint64_t len)
{
    return mv_probe(view, off, len, MV_READ, ERR);
}
static int as_sync(mv_view *view, uint64_t off, uint64_t len)
{
    return mv_sync(view, off, len, MV_SYNC_DATA, ERR);
}
static int as_advise(mv_view *view, uint64_t off, uint64_t len)
{
    return mv_advise(view, off, len, MV_ADVICE_NORMAL, ERR);
}
static int as_prefault(mv_view *view, uint64_t off, uint64_t len)
{
    return mv_prefault(view, off, len, MV_READ, ERR);
}
static int as_discard(mv_view *view, uint64_t off, uint64_t len)
{
    return mv_discard(view, off, len, ERR);
}
static int as_pin(mv_view *view, uint64_t off, uint64_t len)
{
    return mv_pin(view, off, len, ERR);
}
static int as_unpin(mv_view *view, uint64_t off, uint64_t len)
{
    return mv_unpin(view, off, len, ERR);
}
static int as_protect(mv_view *view, uint64_t off, uint64_t len)
{
    return mv_protect(view, off, len, MV_READ | MV_WRITE, ERR);
}

typedef int ranged(mv_view *view, uint64_t off, uint64_t len);
static ranged *const ranged_calls[] = {
    as_probe, as_sync, as_advise, as_prefault, as_discard, as_pin, as_unpin, as_protect,
};

static void check_ranges(ranged *call, mv_view *view, uint64_t size)
{
    const uint64_t good[][2] = {
        {0, size},     {0, MV_TO_END}, {0, 0},    {size, 0},     {size, MV_TO_END},
        {1, size - 1}, {size - 1, 1},  {PAGE, 1}, {PAGE - 1, 2}, {1, MV_TO_END},
    };
    const uint64_t bad[][2] = {
        {0, size + 1},
        {size, 1},
        {size + 1, 0},
        {size + 1, MV_TO_END},
        {1, size},
        {UINT64_MAX, 0},
        {UINT64_MAX, 1},
        {UINT64_MAX, MV_TO_END},
        {1, MV_TO_END - 1},
        {PAGE, UINT64_MAX - PAGE + 1},
        {size - 1, (uint64_t)INT64_MAX},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        SAME(WORKS(call(view, good[i][0], good[i][1])), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        REFUSED(-EINVAL, call(view, bad[i][0], bad[i][1]));
        FAILED_OP("range");
        AT(bad[i][0], bad[i][1], 0);
    }
}

static void test_ranges(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_WRITE);
    o.offset = 1000;
    for (size_t i = 0; i < sizeof ranged_calls / sizeof ranged_calls[0]; i++) {
        mv_view *view = open_with(make_file(scratch("file"), 4 * PAGE), &o);
        check_ranges(ranged_calls[i], view, 4 * PAGE - 1000);
        close_view(view);
    }
}

/* A range of no length does nothing, also where the kernel would object. */
static void test_empty_range_does_nothing(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), 0), MV_OPEN_WRITE);
    failing_reset();
    for (size_t i = 0; i < sizeof ranged_calls / sizeof ranged_calls[0]; i++)
        WORKS(ranged_calls[i](view, 0, MV_TO_END));
    SAME(failing_count(FAILING_madvise) + failing_count(FAILING_msync) +
             failing_count(FAILING_fallocate),
         0);
    SAME(failing_count(FAILING_mlock) + failing_count(FAILING_munlock) +
             failing_count(FAILING_mprotect),
         0);
    close_view(view);
}

/* ---- the mapping ---- */

static void test_mapping_is_what_was_asked(void **state)
{
    (void)state;
    static const struct {
        uint64_t flags;
        const char *permissions;
    } cases[] = {
        {0, "r--s"},
        {MV_OPEN_WRITE, "rw-s"},
        {MV_OPEN_PRIVATE, "r--p"},
        {MV_OPEN_WRITE | MV_OPEN_PRIVATE, "rw-p"},
    };
    const char *path = make_file(scratch("file"), 3 * PAGE);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mapping m;
        mv_options o = with(cases[i].flags);
        o.offset = PAGE + 10;
        o.reserve = 10 * PAGE;
        mv_view *view = open_with(path, &o);
        unsigned char *data = mv_data(view);
        SAME((uintptr_t)data % PAGE, 10);
        CHECK(find_mapping(data, &m));
        SAME_TEXT(m.permissions, cases[i].permissions);
        SAME(m.start, (uintptr_t)data - 10);
        SAME(m.end - m.start, 11 * PAGE);
        CHECK(has_pattern(data, 2 * PAGE - 10, PAGE + 10));
        close_view(view);
        CHECK(!find_mapping(data, &m) || m.start != (uintptr_t)data - 10);
    }
}

/* ---- detach ---- */

static void refuse_all(mv_view *view)
{
    char byte = 0;
    mv_info info = MV_INFO_INIT;
    REFUSED(-EBADF, mv_read(view, &byte, 1, 0, ERR));
    FAILED_OP("view");
    REFUSED(-EBADF, mv_write(view, &byte, 1, 0, ERR));
    REFUSED(-EBADF, mv_resize(view, 1, ERR));
    REFUSED(-EBADF, mv_refresh(view, ERR));
    REFUSED(-EBADF, mv_stat(view, &info, ERR));
    REFUSED(-EBADF, mv_fd(view, ERR));
    SAME(mv_has(view, MV_HAS_RESIZE), -EBADF);
    for (size_t i = 0; i < sizeof ranged_calls / sizeof ranged_calls[0]; i++) {
        REFUSED(-EBADF, ranged_calls[i](view, 0, 1));
        REFUSED(-EBADF, ranged_calls[i](view, 0, 0));
    }
}

static void check_detach(mv_view *view, const char *path)
{
    struct mapping m;
    void *data = mv_data(view);
    SAME(touch(data, MV_READ), 0);
    for (int i = 0; i < 3; i++) { /* any number of times */
        SAME(WORKS(mv_detach(view, ERR)), 0);
        CHECK(mv_data(view) == data);
        SAME(mv_size(view), 0);
    }
    CHECK(find_mapping(data, &m)); /* the address stays taken */
    CHECK(strncmp(m.permissions, "---", 3) == 0);
    SAME(touch(data, MV_READ), SIGSEGV);
    refuse_all(view);
    if (path)
        SAME(descriptors_of(-1, path), 0);
    close_view(view);
}

static void test_detach(void **state)
{
    (void)state;
    static const uint64_t flags[] = {0, MV_OPEN_WRITE, MV_OPEN_PRIVATE,
                                     MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    const char *path = make_file(scratch("file"), 3 * PAGE);
    for (size_t i = 0; i < 4; i++)
        check_detach(open_view(path, flags[i]), path);
    check_detach(open_memory(3 * PAGE, 10 * PAGE), NULL);
    mv_options o = with(MV_OPEN_PRIVATE);
    mv_view *view;
    WORKS(mv_anonymous(PAGE, &o, &view, ERR));
    check_detach(view, NULL);
}

/* What was stored before a detach is in the file all the same. */
static void test_detach_keeps_stores(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), PAGE);
    mv_view *view = open_view(path, MV_OPEN_WRITE);
    memcpy(mv_data(view), "stored", 6);
    WORKS(mv_detach(view, ERR));
    close_view(view);
    char seen[6];
    read_file(path, seen, 6, 0);
    CHECK(memcmp(seen, "stored", 6) == 0);
}

/* At the limit of mappings nothing new can be mapped over the view. */
static void test_detach_without_a_new_mapping(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE);
    failing_arm(FAILING_mmap, failing_count(FAILING_mmap) + 1, -ENOMEM, true);
    check_detach(view, scratch("file"));
    failing_disarm();
}

static bool refuse(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)argument;
    *result = -ENOMEM;
    return true;
}

/* A detach that can do neither has done nothing. */
static void test_detach_that_cannot(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE);
    failing_on(FAILING_mmap, refuse, NULL);
    failing_on(FAILING_mprotect, refuse, NULL);
    REFUSED(-ENOMEM, mv_detach(view, ERR));
    SAME(mv_size(view), PAGE);
    check_usable(view);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    failing_on(FAILING_mmap, NULL, NULL);
    check_detach(view, scratch("file"));
}

/* First the word, then the deed: who faults beside a detach must find the
 * reason. */
static bool look_beside(unsigned k, long *result, void *argument)
{
    char byte;
    (void)k;
    (void)result;
    SAME(mv_size(argument), 0);
    SAME(mv_read(argument, &byte, 1, 0, NULL), -EBADF);
    return false;
}

static void test_detach_says_so_first(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE);
    failing_on(FAILING_mmap, look_beside, view);
    WORKS(mv_detach(view, ERR));
    failing_reset();
    close_view(view);
}

/* ---- close ---- */

static void test_close_reports_close(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE);
    failing_reset();
    failing_arm(FAILING_close, 1, -EIO, false);
    close_failed(view, -EIO); /* it is gone all the same: see the count at the end */
    FAILED_OP("close");

    view = open_view(scratch("file"), MV_OPEN_WRITE);
    failing_reset();
    failing_arm(FAILING_close, 1, -EINTR, false);
    close_view(view); /* an interrupted close has closed */
}

static void test_close_reports_munmap(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE);
    failing_reset();
    failing_arm(FAILING_munmap, 1, -ENOMEM, false);
    close_failed(view, -ENOMEM);
    FAILED_OP("munmap");
    SAME(failing_unmap_left(), PAGE);
}

/* ---- mv_stat ---- */

static void test_stat(void **state)
{
    (void)state;
    struct stat st;
    const char *path = make_file(scratch("file"), 3 * PAGE);
    CHECK(stat(path, &st) == 0);
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_RANDOM);
    o.offset = 100;
    o.reserve = 10 * PAGE;
    mv_view *view = open_with(path, &o);
    mv_info info = info_of(view);
    SAME(info.size, sizeof info);
    SAME(info.page_size, PAGE);
    SAME(info.flags, MV_OPEN_WRITE | MV_OPEN_RANDOM);
    SAME(info.state, MV_STATE_DESCRIPTOR | MV_STATE_THROUGH);
    SAME(info.offset, 100);
    SAME(info.length, 3 * PAGE - 100);
    CHECK(info.reserved >= 10 * PAGE && info.reserved <= 11 * PAGE);
    SAME(info.file_size, 3 * PAGE);
    SAME(info.device, st.st_dev);
    SAME(info.inode, st.st_ino);
    SAME(info.failure, 0);
    SAME(info.failure_offset, 0);
    SAME(info.failure_length, 0);
    WORKS(mv_resize(view, info.reserved, ERR)); /* it can really be that large */
    SAME(info_of(view).length, info.reserved);
    cut_file(path, 10);
    SAME(info_of(view).file_size, 10); /* asked, not remembered */
    SAME(info_of(view).length, info.reserved);
    close_view(view);
}

static void test_stat_of_memory(void **state)
{
    (void)state;
    mv_view *view = open_memory(100, 1000);
    mv_info info = info_of(view);
    SAME(info.flags, MV_OPEN_WRITE);
    SAME(info.length, 100);
    SAME(info.file_size, 100);
    CHECK(info.reserved >= 1000 && info.inode != 0);
    close_view(view);

    mv_options o = with(MV_OPEN_PRIVATE);
    WORKS(mv_anonymous(100, &o, &view, ERR));
    info = info_of(view);
    SAME(info.flags, MV_OPEN_WRITE | MV_OPEN_PRIVATE);
    SAME(info.length, 100);
    SAME(info.reserved, 100);
    SAME(mv_reserved(view), 100);
    SAME(info.state, 0);
    SAME(info.device, 0);
    SAME(info.inode, 0);
    CHECK(info.file_size == UINT64_MAX);
    close_view(view);
}

static void test_stat_sizes(void **state)
{
    (void)state;
    struct {
        mv_info info;
        unsigned char behind[16];
    } larger;
    mv_view *view = open_memory(100, 0);
    REFUSED(-EINVAL, mv_stat(view, NULL, ERR));
    FAILED_OP("info");
    memset(&larger, 0xEE, sizeof larger);
    for (uint32_t size = 0; size < sizeof(mv_info); size++) {
        larger.info.size = size;
        REFUSED(-EINVAL, mv_stat(view, &larger.info, ERR));
        SAME(larger.info.page_size, 0xEEEEEEEE);
    }
    larger.info.size = sizeof larger;
    WORKS(mv_stat(view, &larger.info, ERR));
    SAME(larger.info.size, sizeof larger);
    SAME(larger.info.length, 100);
    for (size_t i = 0; i < sizeof larger.behind; i++)
        SAME(larger.behind[i], 0xEE);
    close_view(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_view),
        TEST(test_ranges),
        TEST(test_empty_range_does_nothing),
        TEST(test_mapping_is_what_was_asked),
        TEST(test_detach),
        TEST(test_detach_keeps_stores),
        TEST(test_detach_without_a_new_mapping),
        TEST(test_detach_that_cannot),
        TEST(test_detach_says_so_first),
        TEST(test_close_reports_close),
        TEST(test_close_reports_munmap),
        TEST(test_stat),
        TEST(test_stat_of_memory),
        TEST(test_stat_sizes),
    };
    return RUN(tests);
}
