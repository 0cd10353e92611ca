/* test_source.c: which files can be a view, and who keeps a descriptor. */
#include "support.h"

#include <linux/loop.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

static void refuse_path(const char *path, uint64_t flags, int code)
{
    mv_view *view = (mv_view *)1;
    mv_options o = with(flags);
    if (flags & MV_OPEN_DEVICE)
        o.length = 1;
    REFUSED(code, mv_open(path, &o, &view, ERR));
    CHECK(!view);
}

static void refuse_fd(int fd, uint64_t flags, int code)
{
    mv_view *view = (mv_view *)1;
    mv_options o = with(flags);
    if (flags & MV_OPEN_DEVICE)
        o.length = 1;
    REFUSED(code, mv_open_fd(fd, &o, &view, ERR));
    CHECK(!view);
}

/* ---- what is no regular file ---- */

static void test_directory(void **state)
{
    (void)state;
    refuse_path(scratch("."), 0, -EISDIR);
    refuse_path(scratch("."), MV_OPEN_WRITE, -EISDIR);
    refuse_path(scratch("."), MV_OPEN_CREATE, -EISDIR);
    int fd = open_file(scratch("."), O_RDONLY | O_DIRECTORY);
    refuse_fd(fd, 0, -EISDIR);
    close(fd);
}

/* A FIFO that nobody writes to hangs an open that is not careful. */
static void test_fifo(void **state)
{
    (void)state;
    const char *path = scratch("fifo");
    CHECK(mkfifo(path, 0600) == 0);
    refuse_path(path, 0, -ENODEV);
    refuse_path(path, MV_OPEN_WRITE, -ENODEV);
    refuse_path(path, MV_OPEN_CREATE, -ENODEV);
    refuse_path(path, MV_OPEN_DEVICE, -ENODEV);
    int fd = open_file(path, O_RDWR | O_NONBLOCK);
    refuse_fd(fd, 0, -ENODEV);
    close(fd);
}

static void test_socket(void **state)
{
    (void)state;
    const char *path = scratch("s");
    int fd = make_socket(strlen(path) < 100 ? path : NULL);
    if (file_exists(path))
        refuse_path(path, 0, -ENXIO);
    refuse_fd(fd, 0, -ENODEV);
    refuse_fd(fd, MV_OPEN_WRITE, -ENODEV);
    close(fd);
}

static void test_devices(void **state)
{
    (void)state;
    refuse_path("/dev/null", 0, -ENODEV);
    refuse_path("/dev/null", MV_OPEN_WRITE, -ENODEV);
    refuse_path("/dev/null", MV_OPEN_DEVICE, -ENODEV); /* has no memory */
    refuse_path("/dev/zero", 0, -ENODEV);
    CHECK(strstr(support_error.text, "device"));
    int fd = open_file("/dev/zero", O_RDWR);
    refuse_fd(fd, MV_OPEN_WRITE, -ENODEV);
    close(fd);
}

static void test_zero_device(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_DEVICE);
    char bytes[100];
    o.length = 10000;
    mv_view *view = open_with("/dev/zero", &o);
    SAME(mv_size(view), 10000);
    SAME(WORKS(mv_read(view, bytes, sizeof bytes, 9950, ERR)), 50);
    CHECK(has_zeros(bytes, 50));
    CHECK(info_of(view).file_size == UINT64_MAX);
    REFUSED(-EOPNOTSUPP, mv_sync(view, 0, MV_TO_END, MV_SYNC_START, ERR));
    WORKS(mv_refresh(view, ERR)); /* stays as it is */
    SAME(mv_size(view), 10000);
    close_view(view);

    o.flags |= MV_OPEN_WRITE;
    view = open_with("/dev/zero", &o);
    check_usable(view);
    REFUSED(-EINVAL, mv_resize(view, 5, ERR));
    close_view(view);
}

static void loop_device(void *argument)
{
    const char *path = make_sparse(argument, 1 << 20);
    char name[64];
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    snprintf(name, sizeof name, "/dev/loop%d", number);
    int device = open(name, O_RDWR | O_CLOEXEC), file = open_file(path, O_RDWR);
    struct loop_info64 goes_with_its_user = {.lo_flags = LO_FLAGS_AUTOCLEAR};
    if (device < 0 || ioctl(device, LOOP_SET_FD, file) < 0)
        skip_test("there is no loop device for this process");
    CHECK(ioctl(device, LOOP_SET_STATUS64, &goes_with_its_user) == 0);

    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_DEVICE);
    mv_view *view;
    o.length = (1 << 20) + 1;
    REFUSED(-EINVAL, mv_open(name, &o, &view, ERR));
    for (int forever = 0; forever < 2; forever++) {
        failing_arm(FAILING_ioctl, 1 + failing_count(FAILING_ioctl), -EIO, forever);
        REFUSED(-EIO, mv_open(name, &o, &view, ERR)); /* its size cannot be had */
        FAILED_OP("ioctl");
        failing_disarm();
    }
    o.offset = 1000;
    o.length = (1 << 20) - 1000;
    view = open_with(name, &o);
    SAME(info_of(view).file_size, 1 << 20);
    WORKS(mv_write(view, "here", 4, 5000, ERR));
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_START, ERR));
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    char seen[4];
    read_file(path, seen, 4, 6000);
    CHECK(memcmp(seen, "here", 4) == 0);
    close_view(view);
    close(device);
    close(file);
    close(control);
}

static void test_block_device(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", scratch("image"));
    if (under_valgrind())
        skip_test("valgrind does not know the calls that make a loop device");
    in_child(loop_device, path);
}

/* These are regular files, say they, but have nothing to map. */
static void test_proc_file(void **state)
{
    (void)state;
    refuse_path("/proc/self/maps", 0, -ENODEV);
    FAILED_OP("mmap");
    int fd = open_file("/proc/self/maps", O_RDONLY);
    refuse_fd(fd, 0, -ENODEV);
    close(fd);
}

/* ---- paths ---- */

static void test_no_file(void **state)
{
    (void)state;
    refuse_path(NULL, 0, -EINVAL);
    FAILED_OP("path");
    refuse_path("", 0, -ENOENT);
    refuse_path(scratch("none"), 0, -ENOENT);
    FAILED_OP("open");
    refuse_path(scratch("none"), MV_OPEN_WRITE, -ENOENT);
    refuse_path(scratch("no/folder"), MV_OPEN_CREATE | MV_OPEN_WRITE, -ENOENT);
    make_file(scratch("file"), 1);
    refuse_path(scratch("file/file"), 0, -ENOTDIR);
    char longest[5000];
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = 0;
    refuse_path(longest, MV_OPEN_CREATE, -ENAMETOOLONG);
}

static void test_live_symlink(void **state)
{
    (void)state;
    const char *file = make_file(scratch("file"), 100), *link = scratch("link");
    struct stat st;
    CHECK(symlink("file", link) == 0 && stat(file, &st) == 0);
    mv_view *view = open_view(link, MV_OPEN_WRITE);
    SAME(info_of(view).inode, st.st_ino);
    close_view(view);
    close_view(open_view(link, MV_OPEN_CREATE));
    refuse_path(link, MV_OPEN_NOFOLLOW, -ELOOP);
    refuse_path(link, MV_OPEN_NOFOLLOW | MV_OPEN_CREATE, -ELOOP);
    refuse_path(link, MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE, -EEXIST);
    close_view(open_view(file, MV_OPEN_NOFOLLOW));
    CHECK(file_has_pattern(file, 0, 100));
    /* Only the last part of a path is meant. */
    CHECK(symlink(".", scratch("here")) == 0);
    close_view(open_view(scratch("here/file"), MV_OPEN_NOFOLLOW));
}

static void test_dangling_symlink(void **state)
{
    (void)state;
    const char *file = scratch("file"), *link = scratch("link");
    CHECK(symlink("file", link) == 0);
    refuse_path(link, 0, -ENOENT);
    refuse_path(link, MV_OPEN_WRITE, -ENOENT);
    refuse_path(link, MV_OPEN_NOFOLLOW, -ELOOP);
    refuse_path(link, MV_OPEN_NOFOLLOW | MV_OPEN_CREATE, -ELOOP);
    refuse_path(link, MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE, -EEXIST);
    CHECK(!file_exists(file));
    mv_view *view = open_view(link, MV_OPEN_WRITE | MV_OPEN_CREATE);
    CHECK(info_of(view).state & MV_STATE_CREATED);
    SAME(file_length(file), 0);
    close_view(view);
}

static void test_symlink_to_itself(void **state)
{
    (void)state;
    CHECK(symlink("b", scratch("a")) == 0 && symlink("a", scratch("b")) == 0);
    refuse_path(scratch("a"), 0, -ELOOP);
    refuse_path(scratch("a"), MV_OPEN_CREATE, -ELOOP);
}

static void test_running_program(void **state)
{
    (void)state;
    if (under_valgrind())
        skip_test("under valgrind the program that runs is valgrind");
    if (access("/proc/self/exe", W_OK) < 0)
        skip_test("this program may not be written to anyway");
    refuse_path("/proc/self/exe", MV_OPEN_WRITE, -ETXTBSY);
    close_view(open_view("/proc/self/exe", MV_OPEN_WRITE | MV_OPEN_PRIVATE));
}

/* The open neither waits for a lease to be given up nor fails for good. */
static void take_lease(void *argument)
{
    const char *path = argument;
    int fd = open_file(path, O_RDWR);
    signal(SIGIO, SIG_IGN); /* how the holder is told */
    if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
        skip_test("this file system has no leases");
    refuse_path(path, 0, -EAGAIN);
    refuse_path(path, MV_OPEN_WRITE, -EAGAIN);
    CHECK(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
    close_view(open_view(path, MV_OPEN_WRITE));
    close(fd);
}

static void test_lease(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", make_file(scratch("file"), 10));
    in_child(take_lease, path);
}

/* ---- permission ---- */

static void use_foreign_files(void *argument)
{
    (void)argument;
    refuse_path(scratch("secret"), 0, -EACCES);
    refuse_path(scratch("readable"), MV_OPEN_WRITE, -EACCES);
    FAILED_OP("open");
    refuse_path(scratch("readable"), MV_OPEN_WRITE | MV_OPEN_CREATE, -EACCES);
    refuse_path(scratch("new"), MV_OPEN_WRITE | MV_OPEN_CREATE, -EACCES);
    refuse_path(scratch("hidden/file"), 0, -EACCES);
    close_view(open_view(scratch("readable"), 0));
    mv_view *view = open_view(scratch("readable"), MV_OPEN_WRITE | MV_OPEN_PRIVATE);
    check_usable(view);
    close_view(view);
}

static void test_no_permission(void **state)
{
    (void)state;
    chmod(make_file(scratch("secret"), 10), 0600);
    chmod(make_file(scratch("readable"), 10), 0444);
    CHECK(mkdir(scratch("hidden"), 0700) == 0);
    make_file(scratch("hidden/file"), 10);
    as_nobody(use_foreign_files, NULL);
    CHECK(file_has_pattern(scratch("readable"), 0, 10));
}

static void use_read_only_file_system(void *argument)
{
    const char *folder = argument;
    char file[600], new[600];
    mount_small(folder, 1 << 20);
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(new, sizeof new, "%s/new", folder);
    make_file(file, 10);
    CHECK(mount("none", folder, "", MS_REMOUNT | MS_RDONLY, "") == 0);
    refuse_path(file, MV_OPEN_WRITE, -EROFS);
    refuse_path(new, MV_OPEN_WRITE | MV_OPEN_CREATE, -EROFS);
    close_view(open_view(file, 0));
}

static void test_read_only_file_system(void **state)
{
    (void)state;
    char folder[512];
    snprintf(folder, sizeof folder, "%s", scratch("small"));
    in_child(use_read_only_file_system, folder);
}

/* ---- the file is found again ---- */

/* A read-only view opens its path anew when it needs the file, and follows it
 * to another name. */
static void test_file_is_found_again(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 5000);
    const char *const names[] = {"elsewhere",   "two words",      "new\nline",
                                 "back\\slash", "file (deleted)", "\303\251"};
    mv_options o = MV_OPTIONS_INIT;
    o.reserve = 100000;
    mv_view *view = open_with(path, &o);
    cut_file(path, 20000);
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), 20000);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        CHECK(rename(path, scratch(names[i])) == 0);
        cut_file(scratch(names[i]), 20001 + i);
        support_context = names[i];
        WORKS(mv_refresh(view, ERR));
        SAME(mv_size(view), 20001 + i);
        make_file(path, 30000); /* another file has the old name */
        WORKS(mv_refresh(view, ERR));
        SAME(mv_size(view), 20001 + i);
        SAME(info_of(view).file_size, 20001 + i);
        CHECK(rename(scratch(names[i]), path) == 0);
    }
    WORKS(mv_refresh(view, ERR));
    CHECK(has_pattern(mv_data(view), 5000, 0));
    close_view(view);
}

static void refuse_without_file(mv_view *view, int code)
{
    REFUSED(code, mv_refresh(view, ERR));
    FAILED_OP("open");
    REFUSED(code, mv_probe(view, 0, 1, MV_READ, ERR));
    REFUSED(code, mv_sync(view, 0, 1, MV_SYNC_DATA, ERR));
    REFUSED(code, mv_fd(view, ERR));
    CHECK(info_of(view).file_size == UINT64_MAX);
    SAME(mv_size(view), 5000);
    CHECK(has_pattern(mv_data(view), 5000, 0));
}

static void test_file_that_has_lost_its_name(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 5000);
    mv_view *view = open_view(path, 0);
    CHECK(link(path, scratch("keep")) == 0 && unlink(path) == 0);
    refuse_without_file(view, -ENOENT);
    make_file(path, 30000);
    refuse_without_file(view, -ESTALE);
    CHECK(rename(scratch("keep"), path) == 0);
    WORKS(mv_refresh(view, ERR)); /* it is back */
    close_view(view);
}

/* A fault whose file is gone is an error, too, though its cause is unknown. */
static void test_fault_of_a_lost_file(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 3 * PAGE);
    char byte;
    mv_view *view = open_view(path, 0);
    cut_file(path, PAGE);
    CHECK(unlink(path) == 0);
    REFUSED(-EIO, mv_read(view, &byte, 1, 2 * PAGE, ERR));
    AT(2 * PAGE, 1, 0);
    SAME(WORKS(mv_read(view, &byte, 1, 0, ERR)), 1);
    close_view(view);
}

static void use_relative_path(void *argument)
{
    (void)argument;
    CHECK(chdir(scratch(".")) == 0);
    mv_view *view = open_view("file", 0);
    CHECK(chdir("/") == 0);
    failing_reset();
    WORKS(mv_refresh(view, ERR));
    SAME(failing_count(FAILING_open), 1); /* by the path that it has from anywhere */
    close_view(view);
    CHECK(chdir(scratch(".")) == 0);
    view = open_view("new", MV_OPEN_WRITE | MV_OPEN_CREATE);
    CHECK(chdir("/") == 0);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    close_view(view);
}

static void test_relative_path(void **state)
{
    (void)state;
    make_file(scratch("file"), 10);
    in_child(use_relative_path, NULL);
}

/* The kernel calls a file that has lost its name "NAME (deleted)": such a file
 * may well exist. */
static void test_name_like_a_deleted_one(void **state)
{
    (void)state;
    make_file(scratch("file (deleted)"), 10);
    mv_view *view = open_view(scratch("file (deleted)"), 0);
    SAME(descriptors_of(-1, scratch("file (deleted)")), 0);
    WORKS(mv_refresh(view, ERR));
    close_view(view);

    int fd = open_file(make_file(scratch("file"), 20), O_RDONLY);
    CHECK(unlink(scratch("file")) == 0);
    WORKS(mv_open_fd(fd, NULL, &view, ERR));
    SAME(descriptors_of(fd, NULL), 2);
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), 20);
    close_view(view);
    close(fd);
}

/* A path that leads to the file through a link of /proc is no name of it. */
static void test_path_through_proc(void **state)
{
    (void)state;
    int fd = open_file(make_file(scratch("file"), 20), O_RDONLY);
    CHECK(unlink(scratch("file")) == 0);
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    mv_view *view = open_view(name, 0);
    close(fd);
    SAME(info_of(view).state, MV_STATE_DESCRIPTOR);
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), 20);
    close_view(view);
}

/* Small files are opened by the thousand: nothing is asked that need not be. */
static void test_calls_of_open_and_close(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 20);
    CHECK(symlink(path, scratch("link")) == 0);
    failing_reset();
    close_view(open_view(path, 0));
    SAME(failing_count(FAILING_open), 1);
    SAME(failing_count(FAILING_fstat), 1);
    SAME(failing_count(FAILING_mmap), 1);
    SAME(failing_count(FAILING_close), 1);
    SAME(failing_count(FAILING_munmap), 1);
    SAME(failing_count(FAILING_lstat) + failing_count(FAILING_readlink), 0);
    struct stat st;
    CHECK(stat(path, &st) == 0);
    bool may_be_huge = (size_t)st.st_blksize > PAGE; /* as on a tmpfs of huge pages */
    SAME(failing_count(FAILING_fstatfs), may_be_huge);
    SAME(failing_count(FAILING_fcntl), 0);
    failing_reset();
    close_view(open_view(scratch("link"), 0)); /* needs the name that is none */
    SAME(failing_count(FAILING_open), 2);
    SAME(failing_count(FAILING_readlink), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_directory),
        TEST(test_fifo),
        TEST(test_socket),
        TEST(test_devices),
        TEST(test_zero_device),
        TEST(test_block_device),
        TEST(test_proc_file),
        TEST(test_no_file),
        TEST(test_live_symlink),
        TEST(test_dangling_symlink),
        TEST(test_symlink_to_itself),
        TEST(test_running_program),
        TEST(test_lease),
        TEST(test_no_permission),
        TEST(test_read_only_file_system),
        TEST(test_file_is_found_again),
        TEST(test_file_that_has_lost_its_name),
        TEST(test_fault_of_a_lost_file),
        TEST(test_relative_path),
        TEST(test_name_like_a_deleted_one),
        TEST(test_path_through_proc),
        TEST(test_calls_of_open_and_close),
    };
    return RUN(tests);
}
