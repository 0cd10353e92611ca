/* test_descriptor.c: views of files that are open already, and which
 * descriptors a view keeps. */
#include "support.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/wait.h>

static void refuse_fd(int fd, uint64_t flags, int code)
{
    mv_view *view = (mv_view *)1;
    mv_options o = with(flags);
    REFUSED(code, mv_open_fd(fd, &o, &view, ERR));
    CHECK(!view);
}

static mv_view *view_of(int fd, uint64_t flags)
{
    mv_view *view = NULL;
    mv_options o = with(flags);
    WORKS(mv_open_fd(fd, &o, &view, ERR));
    CHECK(view);
    return view;
}

/* ---- refused ---- */

static void test_closed(void **state)
{
    (void)state;
    int fd = open_file(make_file(scratch("file"), 10), O_RDWR);
    close(fd);
    refuse_fd(fd, 0, -EBADF);
    FAILED_OP("fcntl");
    refuse_fd(fd, MV_OPEN_WRITE, -EBADF);
    refuse_fd(-1, 0, -EBADF);
    refuse_fd(INT32_MAX, 0, -EBADF);
    refuse_fd(INT32_MIN, 0, -EBADF);
}

static void test_access_modes(void **state)
{
    (void)state;
    static const struct {
        int flags;
        int read, write; /* what the two kinds of view give */
    } cases[] = {
        {O_RDONLY, 0, -EACCES},
        {O_RDWR, 0, 0},
        {O_WRONLY, -EACCES, -EACCES},
        {O_RDWR | O_APPEND, 0, -EINVAL},
        {O_WRONLY | O_APPEND, -EACCES, -EACCES},
        {O_PATH, -EBADF, -EBADF},
    };
    const char *path = make_file(scratch("file"), 10);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = open_file(path, cases[i].flags);
        static const uint64_t reading[] = {0, MV_OPEN_PRIVATE, MV_OPEN_WRITE | MV_OPEN_PRIVATE};
        for (size_t k = 0; k < 3; k++)
            if (cases[i].read < 0)
                refuse_fd(fd, reading[k], cases[i].read);
            else
                close_view(view_of(fd, reading[k]));
        if (cases[i].write < 0)
            refuse_fd(fd, MV_OPEN_WRITE, cases[i].write);
        else
            close_view(view_of(fd, MV_OPEN_WRITE));
        SAME(fcntl(fd, F_GETFD), FD_CLOEXEC); /* it is still the caller's */
        close(fd);
    }
}

static void test_flags_of_paths(void **state)
{
    (void)state;
    int fd = open_file(make_file(scratch("file"), 10), O_RDWR);
    refuse_fd(fd, MV_OPEN_CREATE, -EINVAL);
    refuse_fd(fd, MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE, -EINVAL);
    refuse_fd(fd, MV_OPEN_NOFOLLOW, -EINVAL);
    REFUSED(-EINVAL, mv_open_fd(fd, NULL, NULL, ERR));
    FAILED_OP("out");
    close(fd);
}

/* ---- an open file description of the view's own ---- */

/* The position belongs to the description: it tells whether it is shared. */
static bool shares_description(const mv_view *view, int fd)
{
    off_t before = lseek(fd, 0, SEEK_CUR);
    CHECK(before >= 0);
    SAME(lseek(fd, 4711, SEEK_SET), 4711);
    off_t own = lseek(view->source.fd, 0, SEEK_CUR);
    SAME(lseek(fd, before, SEEK_SET), before);
    return own == 4711;
}

static void test_own_description(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 10);
    int fd = open_file(path, O_RDWR);
    SAME(lseek(fd, 5, SEEK_SET), 5);
    static const uint64_t flags[] = {MV_OPEN_WRITE, MV_OPEN_WRITE | MV_OPEN_SHARE_DESCRIPTION};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = view_of(fd, flags[i]); /* sharing is accepted, not asked for */
        CHECK(!shares_description(view, fd));
        SAME(mv_has(view, MV_HAS_OWN_DESCRIPTION), 1);
        SAME(info_of(view).state, MV_STATE_DESCRIPTOR);
        SAME(lseek(view->source.fd, 0, SEEK_CUR), 0);
        close_view(view);
    }
    SAME(lseek(fd, 0, SEEK_CUR), 5);
    close(fd);
}

static void use_shared_description(int fd)
{
    mv_view *view = view_of(fd, MV_OPEN_WRITE | MV_OPEN_SHARE_DESCRIPTION);
    CHECK(shares_description(view, fd));
    SAME(mv_has(view, MV_HAS_OWN_DESCRIPTION), 0);
    SAME(info_of(view).state, MV_STATE_DESCRIPTOR | MV_STATE_SHARED_DESCRIPTION);
    SAME(fcntl(view->source.fd, F_GETFD), FD_CLOEXEC);
    check_usable(view);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    WORKS(mv_resize(view, 5, ERR));
    close_view(view);
    CHECK(fcntl(fd, F_GETFD) >= 0);
}

static void test_shared_description(void **state)
{
    (void)state;
    int fd = open_file(make_file(scratch("file"), 10), O_RDWR);
    failing_arm(FAILING_open, 1, -EACCES, true);
    refuse_fd(fd, MV_OPEN_WRITE, -EACCES);
    CHECK(strstr(support_error.text, "share"));
    use_shared_description(fd);
    failing_disarm();
    close(fd);
}

static void use_inherited(void *argument)
{
    int fd = *(int *)argument;
    refuse_fd(fd, MV_OPEN_WRITE, -EACCES);
    use_shared_description(fd);
    /* A read-only view goes back to the path, which may be looked at, not read. */
    mv_view *view = view_of(fd, 0);
    CHECK(mv_size(view) == 5 && has_pattern(mv_data(view), 5, 0));
    WORKS(mv_refresh(view, ERR));
    REFUSED(-EACCES, mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    close_view(view);
    close(fd);
}

/* A descriptor that was handed to a process which may not open the file. */
static void test_inherited_without_permission(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 10);
    CHECK(chmod(path, 0600) == 0);
    int fd = open_file(path, O_RDWR);
    as_nobody(use_inherited, &fd);
    close(fd);
}

/* Whether a file without a name can be opened anew is the kernel's to say: the
 * library says the same. */
static void test_tmpfile(void **state)
{
    (void)state;
    int fd = open(scratch("."), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        skip_test("this file system has no O_TMPFILE");
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    int again = open(name, O_RDWR | O_CLOEXEC);
    if (again < 0) {
        refuse_fd(fd, MV_OPEN_WRITE, -errno);
    } else {
        close(again);
        close_view(view_of(fd, MV_OPEN_WRITE));
    }
    mv_view *view = view_of(fd, MV_OPEN_WRITE | MV_OPEN_SHARE_DESCRIPTION);
    CHECK(ftruncate(fd, 10) == 0);
    WORKS(mv_refresh(view, ERR));
    check_usable(view);
    close_view(view);
    close(fd);
}

/* What stands behind the name in /proc must be the same file: were it not, the
 * view would write to another one. */
static bool lead_astray(unsigned k, long *result, void *argument)
{
    (void)k;
    *result = open(argument, O_RDWR | O_CLOEXEC);
    return true;
}

static void test_identity_is_checked(void **state)
{
    (void)state;
    const char *other = make_file(scratch("other"), 10);
    int fd = open_file(make_file(scratch("file"), 10), O_RDWR);
    failing_on(FAILING_open, lead_astray, (void *)(uintptr_t)other);
    refuse_fd(fd, MV_OPEN_WRITE, -ESTALE);
    failing_on(FAILING_open, NULL, NULL);
    close(fd);
}

static void use_without_proc(void *argument)
{
    (void)argument;
    int fd = open_file(scratch("file"), O_RDWR);
    if (chroot(scratch(".")) < 0 || chdir("/") < 0)
        skip_test("only root can change its root");
    mv_view *view = open_view("file", 0); /* has no way to find the whole path: keeps it open */
    SAME(info_of(view).state, MV_STATE_DESCRIPTOR);
    WORKS(mv_refresh(view, ERR));
    close_view(view);
    view = open_view("/file", 0);
    SAME(info_of(view).state, 0);
    WORKS(mv_refresh(view, ERR));
    close_view(view);
    view = open_view("/new", MV_OPEN_WRITE | MV_OPEN_CREATE);
    WORKS(mv_resize(view, 10, ERR));
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    close_view(view);
    refuse_fd(fd, MV_OPEN_WRITE, -ENOENT);
    use_shared_description(fd);
    close(fd);
}

static void test_without_proc(void **state)
{
    (void)state;
    make_file(scratch("file"), 10);
    in_child(use_without_proc, NULL);
}

/* A view that has only its path to find the file by, which led through a
 * symlink that leads to another file now. */
static void test_symlink_is_moved(void **state)
{
    (void)state;
    for (int last = 0; last < 2; last++) { /* the path's last part is the symlink, or one before */
        const char *file = last ? "file" : "folder/file", *link = last ? "link" : "here";
        char path[PATH_MAX];
        CHECK(mkdir(scratch("folder"), 0700) == 0 || errno == EEXIST);
        make_file(scratch(file), 10000);
        make_file(scratch("other"), 5);
        CHECK(symlink(last ? "file" : "folder", scratch(link)) == 0);
        (void)snprintf(path, sizeof path, "%s%s", scratch(link), last ? "" : "/file");
        mv_view *view = open_view(path, 0);
        SAME(info_of(view).state, 0); /* no descriptor */
        CHECK(unlink(scratch(link)) == 0 && symlink(last ? "other" : ".", scratch(link)) == 0);
        make_file(scratch("file"), last ? 10000 : 5);
        SAME(info_of(view).file_size, 10000);
        WORKS(mv_refresh(view, ERR));
        close_view(view);
    }
}

/* ---- what the view keeps ---- */

/* The caller's descriptor may be closed at once. */
static void test_caller_may_close(void **state)
{
    (void)state;
    static const uint64_t flags[] = {0, MV_OPEN_WRITE, MV_OPEN_WRITE | MV_OPEN_PRIVATE};
    const char *path = make_file(scratch("file"), 10000);
    for (size_t i = 0; i < 3; i++) {
        int fd = open_file(path, O_RDWR);
        mv_view *view = view_of(fd, flags[i]);
        close(fd);
        CHECK(has_pattern(mv_data(view), 10000, 0));
        WORKS(mv_refresh(view, ERR));
        WORKS(mv_probe(view, 0, MV_TO_END, MV_READ, ERR));
        SAME(descriptors_of(-1, path), flags[i] == MV_OPEN_WRITE);
        close_view(view);
        SAME(descriptors_of(-1, path), 0);
    }
}

static void test_which_views_keep_one(void **state)
{
    (void)state;
    static const struct {
        uint64_t flags;
        bool kept;
    } cases[] = {
        {0, false},
        {MV_OPEN_CREATE, false},
        {MV_OPEN_PRIVATE, false},
        {MV_OPEN_PRIVATE | MV_OPEN_WRITE, false},
        {MV_OPEN_WRITE, true},
        {MV_OPEN_WRITE | MV_OPEN_CREATE, true},
    };
    const char *path = make_file(scratch("file"), 10000);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        mv_view *view = open_view(path, cases[i].flags);
        SAME(descriptors_of(-1, path), cases[i].kept);
        SAME(info_of(view).state, cases[i].kept ? MV_STATE_DESCRIPTOR : 0);
        WORKS(mv_refresh(view, ERR));
        SAME(descriptors_of(-1, path), cases[i].kept);
        /* A detached view lets its file go. */
        WORKS(mv_detach(view, ERR));
        SAME(descriptors_of(-1, path), 0);
        close_view(view);
    }
}

static void test_file_without_a_name(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 100);
    int fd = open_file(path, O_RDWR);
    CHECK(unlink(path) == 0);
    mv_view *view = view_of(fd, 0);
    SAME(descriptors_of(fd, NULL), 2);
    SAME(info_of(view).state, MV_STATE_DESCRIPTOR);
    CHECK(ftruncate(fd, 50) == 0);
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), 50);
    close_view(view);
    SAME(descriptors_of(fd, NULL), 1);
    close(fd);
}

static void test_memfd(void **state)
{
    (void)state;
    int fd = memfd_create("test", MFD_CLOEXEC);
    CHECK(fd >= 0 && ftruncate(fd, 100) == 0);
    mv_view *reading = view_of(fd, 0), *writing = view_of(fd, MV_OPEN_WRITE);
    CHECK(!shares_description(writing, fd));
    SAME(descriptors_of(fd, NULL), 3);
    WORKS(mv_write(writing, "memfd", 5, 10, ERR));
    CHECK(memcmp((char *)mv_data(reading) + 10, "memfd", 5) == 0);
    close_view(reading);
    close_view(writing);
    SAME(descriptors_of(fd, NULL), 1);
    close(fd);
}

/* A program that closes descriptors which are not its own, and whose next file
 * gets the number: that file is left alone. */
static void test_number_of_another_file(void **state)
{
    (void)state;
    const char *other = make_file(scratch("other"), PAGE);
    mv_options o = with(MV_OPEN_WRITE);
    o.reserve = 4 * PAGE;
    mv_view *view = open_with(make_file(scratch("file"), 2 * PAGE), &o);
    int number = view->source.fd;
    int fd = open_file(other, O_RDWR);
    SAME(dup3(fd, number, O_CLOEXEC), number);
    const uint64_t sizes[] = {3 * PAGE, PAGE, 0};
    for (size_t i = 0; i < 3; i++)
        REFUSED(-ESTALE, mv_resize(view, sizes[i], ERR));
    SAME(mv_size(view), 2 * PAGE);
    CHECK(file_length(other) == PAGE && file_has_pattern(other, 0, PAGE));
    mv_close(view, NULL);
    close(fd);
}

/* ---- close-on-exec ---- */

/* Not those that the runner of the tests has left open. */
static bool inherited[1024];

static void look_at_each(void (*function)(int fd))
{
    DIR *all = opendir("/proc/self/fd");
    CHECK(all);
    for (struct dirent *entry = readdir(all); entry; entry = readdir(all)) {
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] != '.' && fd != dirfd(all) && fd < (int)sizeof inherited)
            function(fd);
    }
    closedir(all);
}

static void note_inherited(int fd)
{
    inherited[fd] = true;
}

static void check_cloexec(int fd)
{
    if (!inherited[fd])
        SAME(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static bool look_at_descriptors(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)result;
    (void)argument;
    look_at_each(check_cloexec);
    return false;
}

/* At every call that follows on an open, every descriptor of this process is
 * closed by an exec. */
static void every_descriptor_is_cloexec(void *argument)
{
    (void)argument;
    look_at_each(note_inherited);
    const char *path = make_file(scratch("file"), 100);
    int fd = open_file(path, O_RDWR);
    for (int call = 0; call < FAILING_CALLS; call++)
        failing_on((enum failing_call)call, look_at_descriptors, NULL);
    mv_view *views[5] = {
        open_view(path, 0),
        open_view(path, MV_OPEN_WRITE),
        open_view(scratch("new"), MV_OPEN_WRITE | MV_OPEN_CREATE),
        view_of(fd, MV_OPEN_WRITE),
        open_memory(100, 0),
    };
    char byte = 0;
    for (int i = 0; i < 5; i++) {
        int copy = (int)WORKS(mv_fd(views[i], ERR));
        WORKS(mv_refresh(views[i], ERR));
        WORKS(mv_sync(views[i], 0, MV_TO_END, MV_SYNC_FULL, ERR));
        look_at_each(check_cloexec);
        close(copy);
    }
    mv__caps_copy_refused(); /* the pipe, too */
    WORKS(mv_read(views[0], &byte, 1, 0, ERR));
    for (int i = 0; i < 5; i++)
        close_view(views[i]);
    close(fd);
}

static void test_close_on_exec(void **state)
{
    (void)state;
    in_child(every_descriptor_is_cloexec, NULL);
}

/* ---- mv_fd ---- */

static void test_fd(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 100);
    mv_view *reading = open_view(path, 0), *writing = open_view(path, MV_OPEN_WRITE);
    mv_view *memory = open_memory(100, 0), *private_memory = NULL;
    mv_options o = with(MV_OPEN_PRIVATE);
    WORKS(mv_anonymous(100, &o, &private_memory, ERR));

    int fd = (int)WORKS(mv_fd(reading, ERR));
    SAME(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    SAME(fcntl(fd, F_GETFD), FD_CLOEXEC);
    close(fd);

    fd = (int)WORKS(mv_fd(writing, ERR));
    SAME(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
    CHECK(!shares_description(writing, fd));
    close(fd);

    /* What is written there is seen in the view. */
    fd = (int)WORKS(mv_fd(memory, ERR));
    SAME(pwrite(fd, "x", 1, 99), 1);
    SAME(((char *)mv_data(memory))[99], 'x');
    CHECK(!shares_description(memory, fd));
    close(fd);

    REFUSED(-ENODEV, mv_fd(private_memory, ERR));
    REFUSED(-EINVAL, mv_fd(NULL, ERR));
    WORKS(mv_detach(writing, ERR));
    REFUSED(-EBADF, mv_fd(writing, ERR));
    close_view(reading);
    close_view(writing);
    close_view(memory);
    close_view(private_memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_closed),
        TEST(test_access_modes),
        TEST(test_flags_of_paths),
        TEST(test_own_description),
        TEST(test_shared_description),
        TEST(test_inherited_without_permission),
        TEST(test_tmpfile),
        TEST(test_identity_is_checked),
        TEST(test_without_proc),
        TEST(test_symlink_is_moved),
        TEST(test_caller_may_close),
        TEST(test_which_views_keep_one),
        TEST(test_file_without_a_name),
        TEST(test_memfd),
        TEST(test_number_of_another_file),
        TEST(test_close_on_exec),
        TEST(test_fd),
    };
    return RUN(tests);
}
