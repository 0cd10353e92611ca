/* test_memory.c: shared memory that has a name. */
#include "support.h"

#include <sys/stat.h>

/* A name of this test alone; what it names is removed before and after. */
static const char *name_of(const char *which)
{
    static char name[64];
    snprintf(name, sizeof name, "/mapview-%d-%s", (int)getpid(), which);
    return name;
}

static mv_view *open_named(const char *name, uint64_t flags, uint64_t size)
{
    mv_view *view;
    mv_options o = with(flags);
    WORKS(mv_memory(name, size, &o, &view, ERR));
    return view;
}

static void refuse_named(const char *name, uint64_t flags, uint64_t size, int code)
{
    mv_view *view = (mv_view *)1;
    mv_options o = with(flags);
    REFUSED(code, mv_memory(name, size, &o, &view, ERR));
    CHECK(!view);
}

#define CREATE (MV_OPEN_WRITE | MV_OPEN_CREATE)

static void add_one(void *argument)
{
    mv_view *view = open_named(argument, MV_OPEN_WRITE, 0);
    SAME(mv_size(view), 3 * PAGE + 5);
    WORKS(mv_store(view, 8, 8, 42, ERR));
    close_view(view);
}

/* Made, found by another process, grown, and gone with its last view. */
static void test_memory(void **state)
{
    (void)state;
    const char *name = name_of("a");
    uint64_t value;
    mv_view *view = open_named(name, CREATE | MV_OPEN_EXCLUSIVE, 3 * PAGE + 5);
    SAME(mv_size(view), 3 * PAGE + 5);
    CHECK(has_zeros(mv_data(view), 3 * PAGE + 5));
    CHECK(info_of(view).state & MV_STATE_CREATED);
    in_child(add_one, (void *)(uintptr_t)name);
    WORKS(mv_load(view, 8, 8, &value, ERR));
    SAME(value, 42);

    mv_view *reader = open_named(name, 0, 0);
    SAME(mv_size(reader), 3 * PAGE + 5);
    REFUSED(-EACCES, mv_write(reader, "x", 1, 0, ERR));
    mv_view *longer = open_named(name, CREATE, 5 * PAGE);
    SAME(mv_size(longer), 5 * PAGE);
    WORKS(mv_load(longer, 8, 8, &value, ERR));
    SAME(value, 42);
    mv_view *as_it_is = open_named(name, MV_OPEN_WRITE, PAGE); /* at least */
    SAME(mv_size(as_it_is), 5 * PAGE);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));

    WORKS(mv_unlink_memory(name, ERR));
    REFUSED(-ENOENT, mv_unlink_memory(name, ERR));
    FAILED_OP("unlink");
    refuse_named(name, MV_OPEN_WRITE, 0, -ENOENT);
    WORKS(mv_load(reader, 8, 8, &value, ERR));
    SAME(value, 42);
    check_usable(view);
    close_view(view);
    close_view(reader);
    close_view(longer);
    close_view(as_it_is);
}

/* It is what shm_open knows by that name. */
static void test_shm_open(void **state)
{
    (void)state;
    const char *name = name_of("b");
    mv_options o = with(CREATE);
    struct stat st;
    mv_view *view;
    o.mode = 0640;
    mode_t mask = umask(0);
    WORKS(mv_memory(name, 100, &o, &view, ERR));
    umask(mask);
    WORKS(mv_write(view, "here", 4, 96, ERR));
    int fd = shm_open(name, O_RDWR, 0);
    char bytes[4];
    CHECK(fd >= 0 && fstat(fd, &st) == 0 && pread(fd, bytes, 4, 96) == 4);
    CHECK(memcmp(bytes, "here", 4) == 0);
    SAME(st.st_size, 100);
    SAME(st.st_mode & 07777, 0640);
    SAME(info_of(view).inode, st.st_ino);
    close(fd);
    close_view(view);
    CHECK(shm_unlink(name) == 0);
}

static void test_flags(void **state)
{
    (void)state;
    const char *name = name_of("c");
    refuse_named(name, MV_OPEN_WRITE, 10, -ENOENT);
    close_view(open_named(name, CREATE, 10));
    refuse_named(name, CREATE | MV_OPEN_EXCLUSIVE, 10, -EEXIST);
    mv_view *view = open_named(name, CREATE, 0);
    WORKS(mv_write(view, "0123456789", 10, 0, ERR));
    close_view(view);

    view = open_named(name, MV_OPEN_WRITE | MV_OPEN_PRIVATE, 0);
    WORKS(mv_write(view, "x", 1, 0, ERR));
    close_view(view);
    view = open_named(name, MV_OPEN_WRITE, 0);
    char bytes[10];
    SAME(WORKS(mv_read(view, bytes, 10, 0, ERR)), 10);
    CHECK(memcmp(bytes, "0123456789", 10) == 0);
    close_view(view);
    view = open_named(name, CREATE | MV_OPEN_TRUNCATE, 20);
    SAME(mv_size(view), 20);
    CHECK(has_zeros(mv_data(view), 20));
    close_view(view);

    refuse_named(name, 0, 10, -EINVAL); /* cannot grow */
    FAILED_OP("size");
    refuse_named(name, MV_OPEN_WRITE | MV_OPEN_PRIVATE, 10, -EINVAL);
    refuse_named(name, MV_OPEN_WRITE, (uint64_t)INT64_MAX + 1, -EOVERFLOW);
    refuse_named(name, MV_OPEN_DEVICE, 0, -EINVAL);
    refuse_named(name, MV_OPEN_NOFOLLOW, 0, -EINVAL);
    refuse_named(name, MV_OPEN_SHARE_DESCRIPTION, 0, -EINVAL);
    mv_options o = with(MV_OPEN_WRITE);
    o.file_size = 10;
    REFUSED(-EINVAL, mv_memory(name, 0, &o, &view, ERR));
    REFUSED(-EINVAL, mv_memory(name, 0, NULL, NULL, ERR));
    WORKS(mv_unlink_memory(name, ERR));
}

static void test_grows_in_place(void **state)
{
    (void)state;
    const char *name = name_of("d");
    mv_options o = with(CREATE);
    mv_view *view, *other;
    o.reserve = 100 * PAGE;
    WORKS(mv_memory(name, PAGE, &o, &view, ERR));
    o.flags = 0;
    WORKS(mv_memory(name, 0, &o, &other, ERR));
    const void *data = mv_data(view);
    WORKS(mv_resize(view, 50 * PAGE, ERR));
    CHECK(mv_data(view) == data);
    WORKS(mv_write(view, "x", 1, 50 * PAGE - 1, ERR));
    WORKS(mv_refresh(other, ERR));
    SAME(mv_size(other), 50 * PAGE);
    CHECK(((char *)mv_data(other))[50 * PAGE - 1] == 'x');
    close_view(view);
    close_view(other);
    WORKS(mv_unlink_memory(name, ERR));
}

static void refuse_name(const char *name, int code)
{
    support_context = name;
    refuse_named(name, CREATE, 1, code);
    FAILED_OP("name");
    REFUSED(code, mv_unlink_memory(name, ERR));
    FAILED_OP("name");
    support_context = NULL;
}

static void test_names(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "/", "name", "//", "/a/b", "//a", "/a/", "/.", "/..", "a/"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        refuse_name(bad[i], -EINVAL);
    refuse_name(NULL, -EINVAL);
    char longest[400];
    memset(longest, 'x', sizeof longest);
    longest[0] = '/';
    longest[257] = 0;
    refuse_name(longest, -ENAMETOOLONG);
    longest[257] = 'x';
    longest[399] = 0;
    refuse_name(longest, -ENAMETOOLONG);
    longest[300] = '/'; /* where it is not looked any more */
    refuse_name(longest, -ENAMETOOLONG);
    longest[256] = 0;
    snprintf(longest + 1, 20, "mapview-%08d", (int)getpid());
    longest[strlen(longest)] = 'x';
    close_view(open_named(longest, CREATE | MV_OPEN_EXCLUSIVE, 1));
    WORKS(mv_unlink_memory(longest, ERR));
}

/* A symbolic link there is somebody's trap. */
static void test_symlink(void **state)
{
    (void)state;
    const char *name = name_of("e");
    char link[128];
    snprintf(link, sizeof link, "/dev/shm%s", name);
    make_file(scratch("file"), 100);
    if (symlink(scratch("file"), link) < 0)
        skip_test("nothing can be linked in /dev/shm");
    refuse_named(name, MV_OPEN_WRITE, 0, -ELOOP);
    refuse_named(name, CREATE, 0, -ELOOP);
    WORKS(mv_unlink_memory(name, ERR));
    CHECK(file_has_pattern(scratch("file"), 0, 100));
}

static void use_foreign_memory(void *argument)
{
    refuse_named(argument, 0, 0, -EACCES);
    refuse_named(argument, CREATE, 10, -EACCES);
    REFUSED(-EACCES, mv_unlink_memory(argument, ERR));
}

static void test_no_permission(void **state)
{
    (void)state;
    const char *name = name_of("f");
    mv_view *view = open_named(name, CREATE, 10);
    as_nobody(use_foreign_memory, (void *)(uintptr_t)name);
    close_view(view);
    WORKS(mv_unlink_memory(name, ERR));
}

/* A full folder is an error at open, and of a file that only this call can
 * have made nothing is left. */
static void use_small_folder(void *argument)
{
    (void)argument;
    mount_small("/dev/shm", 16 * PAGE);
    refuse_named("/large", CREATE | MV_OPEN_EXCLUSIVE, 100 * PAGE, -ENOSPC);
    REFUSED(-ENOENT, mv_unlink_memory("/large", ERR));
    mv_options o = with(CREATE);
    mv_view *view;
    o.reserve = 100 * PAGE;
    WORKS(mv_memory("/small", 8 * PAGE, &o, &view, ERR));
    SAME(file_storage("/dev/shm/small"), 8 * PAGE);
    REFUSED(-ENOSPC, mv_resize(view, 100 * PAGE, ERR));
    SAME(mv_size(view), 8 * PAGE);
    check_usable(view);
    close_view(view);
}

static void test_full_folder(void **state)
{
    (void)state;
    in_child(use_small_folder, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_memory), TEST(test_shm_open), TEST(test_flags),         TEST(test_grows_in_place),
        TEST(test_names),  TEST(test_symlink),  TEST(test_no_permission), TEST(test_full_folder),
    };
    return RUN(tests);
}
