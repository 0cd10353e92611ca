/* test_open.c: what mv_open and mv_anonymous make, of the file and of memory. */
#include "support.h"

#include <signal.h>
#include <sys/resource.h>

static void refuse_with(const char *path, const mv_options *o, int code)
{
    mv_view *view = (mv_view *)1;
    REFUSED(code, mv_open(path, o, &view, ERR));
    CHECK(!view);
}

/* ---- arguments ---- */

static void test_arguments(void **state)
{
    (void)state;
    mv_view *view = (mv_view *)1;
    mv_options o = MV_OPTIONS_INIT;
    const char *path = make_file(scratch("file"), 10);
    REFUSED(-EINVAL, mv_open(path, NULL, NULL, ERR));
    FAILED_OP("out");
    REFUSED(-EINVAL, mv_anonymous(1, NULL, NULL, ERR));
    REFUSED(-EINVAL, mv_open(NULL, NULL, &view, ERR));
    CHECK(!view);
    view = (mv_view *)1;
    o.size = sizeof o - 1;
    REFUSED(-EINVAL, mv_anonymous(1, &o, &view, ERR));
    CHECK(!view);
    refuse_with(path, &o, -EINVAL);
    struct {
        mv_options options;
        uint64_t field;
    } later = {MV_OPTIONS_INIT, 1};
    later.options.size = sizeof later;
    refuse_with(path, &later.options, -E2BIG);
    later.field = 0;
    close_view(open_with(path, &later.options));
    o = with((uint64_t)1 << 40);
    refuse_with(path, &o, -EINVAL);
    o = with(MV_OPEN_TRUNCATE);
    refuse_with(path, &o, -EINVAL);
    o = with(MV_OPEN_EXCLUSIVE | MV_OPEN_WRITE);
    refuse_with(path, &o, -EINVAL);
    SAME(mv_open(path, &o, &view, NULL), -EINVAL); /* nobody wants to know why */
    CHECK(file_has_pattern(path, 0, 10));
}

static void test_ranges_past_the_end(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 1000);
    mv_options o = MV_OPTIONS_INIT;
    o.offset = 1001;
    refuse_with(path, &o, -EINVAL);
    o.offset = 500;
    o.length = 501;
    refuse_with(path, &o, -EINVAL);
    o.length = 500;
    close_view(open_with(path, &o));
    o.length = (uint64_t)INT64_MAX;
    refuse_with(path, &o, -EOVERFLOW);
    o = with(MV_OPEN_WRITE | MV_OPEN_TRUNCATE); /* past the end that there will be */
    o.offset = 500;
    refuse_with(path, &o, -EINVAL);
    SAME(file_length(path), 1000);
}

static void test_more_than_can_be_addressed(void **state)
{
    (void)state;
    if (under_valgrind())
        skip_test("valgrind answers EINVAL for mappings that large");
    const char *path = make_file(scratch("file"), 10);
    mv_view *view;
    mv_options o = MV_OPTIONS_INIT;
    static const uint64_t sizes[] = {INT64_MAX, INT64_MAX - 4096, (uint64_t)1 << 62, (uint64_t)1 << 47};
    for (size_t i = 0; i < 4; i++) {
        o.reserve = sizes[i];
        refuse_with(path, &o, -ENOMEM);
        REFUSED(-ENOMEM, mv_anonymous(1, &o, &view, ERR));
    }
    REFUSED(-EOVERFLOW, mv_anonymous(UINT64_MAX, NULL, &view, ERR));
    REFUSED(-EOVERFLOW, mv_anonymous((uint64_t)INT64_MAX + 1, NULL, &view, ERR));
    REFUSED(-ENOMEM, mv_anonymous(INT64_MAX, NULL, &view, ERR));
    o = with(MV_OPEN_PRIVATE);
    REFUSED(-ENOMEM, mv_anonymous((uint64_t)1 << 62, &o, &view, ERR));
    CHECK(!view);
}

/* ---- what is shown ---- */

static void check_part(const char *path, uint64_t offset, uint64_t length)
{
    static const uint64_t flags[] = {0, MV_OPEN_WRITE, MV_OPEN_PRIVATE,
                                     MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    for (size_t i = 0; i < 4; i++) {
        mv_options o = with(flags[i]);
        unsigned char bytes[64];
        o.offset = offset;
        o.length = length;
        mv_view *view = open_with(path, &o);
        uint64_t size = length ? length : file_length(path) - offset;
        SAME(mv_size(view), size);
        CHECK(has_pattern(mv_data(view), size, offset));
        uint64_t n = size < sizeof bytes ? size : sizeof bytes;
        SAME(WORKS(mv_read(view, bytes, sizeof bytes, size - n, ERR)), n);
        CHECK(has_pattern(bytes, n, offset + size - n));
        close_view(view);
    }
}

/* Any byte of the file can be the first of a view, and any the last. */
static void test_parts(void **state)
{
    (void)state;
    const uint64_t edges[] = {0, 1, 7, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 99, 3 * PAGE - 1};
    const char *path = make_file(scratch("file"), 3 * PAGE);
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        check_part(path, edges[i], 0);
        check_part(path, edges[i], 1);
        for (size_t j = i + 1; j < sizeof edges / sizeof edges[0]; j++)
            check_part(path, edges[i], edges[j] - edges[i]);
    }
}

static void test_empty_files(void **state)
{
    (void)state;
    static const uint64_t flags[] = {0, MV_OPEN_WRITE, MV_OPEN_PRIVATE,
                                     MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    const char *path = make_file(scratch("empty"), 0);
    char byte = 0;
    for (size_t i = 0; i < 4; i++) {
        mv_view *view = open_view(path, flags[i]);
        SAME(mv_size(view), 0);
        SAME(WORKS(mv_read(view, &byte, 1, 0, ERR)), 0);
        if (flags[i] & MV_OPEN_WRITE)
            SAME(WORKS(mv_write(view, &byte, 1, 0, ERR)), 0);
        WORKS(mv_probe(view, 0, MV_TO_END, MV_READ, ERR));
        WORKS(mv_refresh(view, ERR));
        SAME(touch(mv_data(view), MV_READ), SIGBUS); /* a page is mapped, with nothing in it */
        close_view(view);
    }
    SAME(file_length(path), 0);
    mv_options o = MV_OPTIONS_INIT;
    o.offset = 1;
    refuse_with(path, &o, -EINVAL);
    /* Right at the end a view is empty, too. */
    o.offset = 5000;
    mv_view *view = open_with(make_file(scratch("file"), 5000), &o);
    SAME(mv_size(view), 0);
    close_view(view);
}

/* Past 2 and 4 GiB, where an int or an unsigned would not do. */
static void test_large_files(void **state)
{
    (void)state;
    static const uint64_t starts[] = {((uint64_t)2 << 30) - 5, ((uint64_t)4 << 30) - 5,
                                      ((uint64_t)6 << 30) + 1};
    const uint64_t end = ((uint64_t)6 << 30) + 5000;
    const char *path = make_sparse(scratch("large"), end);
    char seen[10];
    mv_view *view = open_view(path, MV_OPEN_WRITE);
    SAME(mv_size(view), end);
    for (size_t i = 0; i < 3; i++) {
        SAME(WORKS(mv_write(view, "0123456789", 10, starts[i], ERR)), 10);
        CHECK(memcmp((char *)mv_data(view) + starts[i], "0123456789", 10) == 0);
        read_file(path, seen, 10, starts[i]);
        CHECK(memcmp(seen, "0123456789", 10) == 0);
        WORKS(mv_sync(view, starts[i], 10, MV_SYNC_DATA, ERR));
        WORKS(mv_sync(view, starts[i], 10, MV_SYNC_START, ERR));
        WORKS(mv_probe(view, starts[i], 10, MV_READ | MV_WRITE, ERR));
    }
    SAME(WORKS(mv_read(view, seen, 10, end - 5, ERR)), 5);
    close_view(view);

    mv_options o = with(MV_OPEN_WRITE);
    for (size_t i = 0; i < 3; i++) { /* a part that lies there */
        o.offset = starts[i];
        o.length = 10;
        view = open_with(path, &o);
        CHECK(memcmp(mv_data(view), "0123456789", 10) == 0);
        close_view(view);
    }
    CHECK(file_storage(path) < 10 << 20);
}

/* Reserved addresses are no memory, nor are they counted as if. */
static void test_large_reservations(void **state)
{
    (void)state;
    static const uint64_t flags[] = {0, MV_OPEN_WRITE, MV_OPEN_PRIVATE | MV_OPEN_WRITE};
    const uint64_t much = (uint64_t)4 << 40;
    char mode = 0;
    read_file("/proc/sys/vm/overcommit_memory", &mode, 1, 0);
    if (mode == '2')
        skip_test("vm.overcommit_memory is 2: all that is mapped is counted");
    if (under_valgrind() || under_sanitizer())
        skip_test("valgrind and sanitizers have no such addresses");
    const char *path = make_file(scratch("file"), 100);
    for (size_t i = 0; i < 3; i++) {
        mv_options o = with(flags[i]);
        o.reserve = much;
        mv_view *view = open_with(path, &o);
        SAME(info_of(view).reserved, much);
        CHECK(has_pattern(mv_data(view), 100, 0));
        CHECK(smaps_kib(mv_data(view), "Rss") <= (long)(PAGE / 1024));
        close_view(view);
    }
    mv_view *view = open_memory(100, much);
    WORKS(mv_resize(view, (uint64_t)1 << 40, ERR));
    check_usable(view);
    WORKS(mv_resize(view, 1, ERR));
    close_view(view);
}

/* ---- create and truncate ---- */

static mode_t mode_of(const char *path)
{
    struct stat st;
    CHECK(stat(path, &st) == 0);
    return st.st_mode & 07777;
}

static void create_with_umask(void *argument)
{
    (void)argument;
    mv_options o = with(MV_OPEN_CREATE | MV_OPEN_WRITE);
    umask(0);
    close_view(open_with(scratch("default"), &o));
    SAME(mode_of(scratch("default")), 0600);
    o.mode = 0666;
    close_view(open_with(scratch("explicit"), &o));
    SAME(mode_of(scratch("explicit")), 0666);
    close_view(open_with(scratch("default"), &o)); /* it is there: its mode stays */
    SAME(mode_of(scratch("default")), 0600);
    umask(027);
    close_view(open_with(scratch("masked"), &o));
    SAME(mode_of(scratch("masked")), 0640);
}

static void test_mode_of_created_files(void **state)
{
    (void)state;
    in_child(create_with_umask, NULL);
}

static void test_create(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_view *view = open_view(path, MV_OPEN_CREATE); /* to read only */
    SAME(mv_size(view), 0);
    SAME(info_of(view).state, MV_STATE_CREATED);
    close_view(view);
    SAME(file_length(path), 0);

    make_file(path, 10);
    view = open_view(path, MV_OPEN_CREATE | MV_OPEN_WRITE);
    CHECK(!(info_of(view).state & MV_STATE_CREATED));
    CHECK(has_pattern(mv_data(view), 10, 0));
    close_view(view);

    mv_options o = with(MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE | MV_OPEN_WRITE);
    refuse_with(path, &o, -EEXIST);
    CHECK(file_has_pattern(path, 0, 10));
    CHECK(unlink(path) == 0);
    o.file_size = 100;
    view = open_with(path, &o);
    CHECK(info_of(view).state & MV_STATE_CREATED);
    SAME(mv_size(view), 100);
    CHECK(has_zeros(mv_data(view), 100));
    close_view(view);
}

/* The path may go away between two looks: then it is made after all. */
static bool remove_after_first(unsigned k, long *result, void *argument)
{
    (void)result;
    if (k == 2)
        CHECK(unlink(argument) == 0);
    return false;
}

/* Another file has come to the path: that one is not removed. */
static bool replace_file(unsigned k, long *result, void *argument)
{
    (void)k;
    CHECK(unlink(argument) == 0);
    make_file(argument, 10);
    *result = -ENOMEM;
    return true;
}

static void test_file_of_another_is_not_removed(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_options o = with(MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE | MV_OPEN_WRITE);
    failing_on(FAILING_mmap, replace_file, (void *)(uintptr_t)path);
    refuse_with(path, &o, -ENOMEM);
    CHECK(file_has_pattern(path, 0, 10));
}

static void test_create_beside_a_removal(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 10);
    failing_on(FAILING_open, remove_after_first, (void *)(uintptr_t)path);
    mv_view *view = open_view(path, MV_OPEN_CREATE | MV_OPEN_WRITE);
    SAME(mv_size(view), 0);
    CHECK(info_of(view).state & MV_STATE_CREATED);
    close_view(view);
}

/* A file that is of no use, since the call fails, is gone again if only this
 * call can have made it. */
static void test_created_file_is_removed(void **state)
{
    (void)state;
    const char *path = scratch("file");
    mv_options o = with(MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE | MV_OPEN_WRITE);
    o.offset = 1; /* past the end of a new file */
    refuse_with(path, &o, -EINVAL);
    CHECK(!file_exists(path));
    failing_arm(FAILING_unlink, 1 + failing_count(FAILING_unlink), -EACCES, false);
    refuse_with(path, &o, -EINVAL); /* the first failure is the one to tell */
    CHECK(unlink(path) == 0);
    o.flags = MV_OPEN_CREATE | MV_OPEN_WRITE;
    refuse_with(path, &o, -EINVAL);
    CHECK(file_exists(path));
}

static void test_truncate(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 3 * PAGE);
    mv_view *view = open_view(path, MV_OPEN_WRITE | MV_OPEN_TRUNCATE);
    SAME(mv_size(view), 0);
    SAME(file_length(path), 0);
    close_view(view);

    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_TRUNCATE);
    make_file(path, 3 * PAGE);
    o.file_size = PAGE + 10;
    view = open_with(path, &o);
    SAME(file_length(path), PAGE + 10);
    CHECK(has_zeros(mv_data(view), PAGE + 10));
    close_view(view);

    make_file(path, 100);
    int fd = open_file(path, O_RDWR);
    o.file_size = 0;
    WORKS(mv_open_fd(fd, &o, &view, ERR));
    SAME(mv_size(view), 0);
    SAME(file_length(path), 0);
    close_view(view);
    close(fd);
}

/* A truncation is the last thing done: what fails before it costs nothing. */
static void test_truncate_is_last(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 3 * PAGE);
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_TRUNCATE);
    failing_arm(FAILING_mmap, 1, -ENOMEM, true);
    refuse_with(path, &o, -ENOMEM);
    failing_disarm();
    o.reserve = (uint64_t)INT64_MAX;
    refuse_with(path, &o, -ENOMEM);
    CHECK(file_has_pattern(path, 0, 3 * PAGE));
}

/* ---- file_size ---- */

static void check_file_size(const char *path)
{
    mv_options o = with(MV_OPEN_WRITE);
    o.file_size = 1 << 20;
    mv_view *view = open_with(make_file(path, 100), &o);
    SAME(mv_size(view), 1 << 20);
    SAME(file_length(path), 1 << 20);
    CHECK(file_has_pattern(path, 0, 100) && file_has_zeros(path, 100, (1 << 20) - 100));
    if (mv_has(view, MV_HAS_ALLOCATE) != 1)
        skip_test("this file system cannot allocate ahead");
    CHECK(file_storage(path) >= 1 << 20);
    close_view(view);

    make_sparse(path, 1 << 20); /* long enough, but a hole */
    CHECK(file_storage(path) < 1 << 20);
    close_view(open_with(path, &o));
    CHECK(file_storage(path) >= 1 << 20);

    make_file(path, 2 << 20); /* longer: it stays so */
    view = open_with(path, &o);
    SAME(mv_size(view), 2 << 20);
    close_view(view);
    CHECK(file_has_pattern(path, 0, 2 << 20));
}

static void test_file_size(void **state)
{
    (void)state;
    check_file_size(scratch("file"));
}

static void test_file_size_on_tmpfs(void **state)
{
    (void)state;
    check_file_size(scratch_memory("file"));
}

/* Where the file system cannot allocate, the file is only made long enough. */
static bool cannot_allocate(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)argument;
    *result = -EOPNOTSUPP;
    return true;
}

static void test_file_size_without_allocation(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 100);
    mv_options o = with(MV_OPEN_WRITE);
    o.file_size = 1 << 20;
    failing_on(FAILING_fallocate, cannot_allocate, NULL);
    mv_view *view = open_with(path, &o);
    SAME(mv_size(view), 1 << 20);
    SAME(mv_has(view, MV_HAS_ALLOCATE), 0);
    SAME(file_length(path), 1 << 20);
    CHECK(file_has_pattern(path, 0, 100) && file_storage(path) < 1 << 20);
    check_usable(view);
    close_view(view);
}

static void fill_small_disk(void *argument)
{
    char path[600];
    const char *folder = argument;
    mount_small(folder, 64 * PAGE);
    snprintf(path, sizeof path, "%s/file", folder);
    mv_options o = with(MV_OPEN_WRITE);
    o.file_size = 65 * PAGE;
    refuse_with(make_file(path, 10), &o, -ENOSPC);
    SAME(file_length(path), 10);
    CHECK(file_has_pattern(path, 0, 10) && file_storage(path) <= PAGE);
    CHECK(unlink(path) == 0);
    o.flags |= MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE;
    refuse_with(path, &o, -ENOSPC);
    CHECK(!file_exists(path));
    o.file_size = 60 * PAGE;
    mv_view *view = open_with(path, &o);
    memset(mv_data(view), 1, 60 * PAGE); /* room for every byte */
    close_view(view);
}

static void test_file_size_on_a_full_disk(void **state)
{
    (void)state;
    char folder[512];
    snprintf(folder, sizeof folder, "%s", scratch("small"));
    in_child(fill_small_disk, folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_arguments),
        TEST(test_ranges_past_the_end),
        TEST(test_more_than_can_be_addressed),
        TEST(test_parts),
        TEST(test_empty_files),
        TEST(test_large_files),
        TEST(test_large_reservations),
        TEST(test_mode_of_created_files),
        TEST(test_create),
        TEST(test_create_beside_a_removal),
        TEST(test_created_file_is_removed),
        TEST(test_file_of_another_is_not_removed),
        TEST(test_truncate),
        TEST(test_truncate_is_last),
        TEST(test_file_size),
        TEST(test_file_size_on_tmpfs),
        TEST(test_file_size_without_allocation),
        TEST(test_file_size_on_a_full_disk),
    };
    return RUN(tests);
}
