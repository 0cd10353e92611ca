/* test_direct.c: what is found out, and written past the mapping, after a
 * fault: never more than the caller asked for, and never a cause made up. */
#include "support.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void limit(int resource, uint64_t value)
{
    struct rlimit now;
    CHECK(getrlimit((__rlimit_resource_t)resource, &now) == 0);
    now.rlim_cur = value;
    CHECK(setrlimit((__rlimit_resource_t)resource, &now) == 0);
}

static void fill_rest(const char *path)
{
    static char bytes[4096];
    int fd = open_file(path, O_WRONLY | O_CREAT);
    for (ssize_t n = sizeof bytes; n > 0;)
        n = write(fd, bytes, sizeof bytes);
    CHECK(errno == ENOSPC);
    close(fd);
}

/* A sparse file of 100 bytes on a memory file system that is full. */
static const char *make_hole_without_room(void)
{
    mount_small(scratch("small"), 16 * PAGE);
    const char *path = make_sparse(scratch("small/hole"), 100);
    fill_rest(scratch("small/rest"));
    return path;
}

/* ---- RLIMIT_FSIZE, whose signal would end the process ---- */

static void write_under_a_limit(void *argument)
{
    (void)argument;
    const char *path = make_hole_without_room();
    mv_view *view = open_view(path, MV_OPEN_WRITE);
    limit(RLIMIT_FSIZE, 1000); /* less than the page that the hole is in */
    REFUSED(-ENOSPC, mv_write(view, "x", 1, 5, ERR));
    AT(5, 1, 0);
    REFUSED(-ENOSPC, mv_store(view, 8, 8, 1, ERR));
    REFUSED(-ENOSPC, mv_probe(view, 0, 1, MV_WRITE, ERR));
    limit(RLIMIT_FSIZE, 50); /* less than the file */
    REFUSED(-EFBIG, mv_write(view, "x", 1, 60, ERR));
    SAME(file_length(path), 100);
    close_view(view);
}

static void test_limit(void **state)
{
    (void)state;
    in_child(write_under_a_limit, NULL);
}

static void write_privately_without_room(void *argument)
{
    (void)argument;
    mv_view *view = open_view(make_hole_without_room(), MV_OPEN_WRITE | MV_OPEN_PRIVATE);
    REFUSED(-ENOSPC, mv_write(view, "x", 1, 5, ERR));
    close_view(view);
}

static void test_private_without_room(void **state)
{
    (void)state;
    in_child(write_privately_without_room, NULL);
}

/* ---- a file that is cut while the cause is looked for ---- */

struct cutter {
    const char *path;
    unsigned extensions; /* how often it is made long again */
    bool over;
};

static bool cut_before(unsigned k, long *result, void *argument)
{
    struct cutter *c = argument;
    (void)k;
    (void)result;
    if (!c->over)
        cut_file(c->path, 0);
    return false;
}

static bool cut_for_the_last_time(unsigned k, long *result, void *argument)
{
    cut_before(k, result, argument);
    ((struct cutter *)argument)->over = true;
    return false;
}

static bool extend_before(unsigned k, long *result, void *argument)
{
    struct cutter *c = argument;
    (void)result;
    if (k <= c->extensions)
        cut_file(c->path, PAGE);
    return false;
}

/* However often the file seems long enough, once it is cut it stays so. */
static void test_cut_is_not_undone(void **state)
{
    (void)state;
    for (unsigned extensions = 0; extensions < 5; extensions++) {
        struct cutter c = {make_file(scratch("file"), PAGE), extensions, false};
        mv_view *view = open_view(c.path, MV_OPEN_WRITE | MV_OPEN_NO_HANDLER);
        failing_reset();
        failing_on(FAILING_process_vm_writev, cut_before, &c);
        failing_on(FAILING_madvise, cut_before, &c);
        failing_on(FAILING_fstat, extend_before, &c);
        int64_t n = mv_write(view, "0123456789", 10, 5, NULL);
        failing_reset();
        if (n == 10) { /* at the last look it was long enough, and so it is */
            SAME(file_length(c.path), PAGE);
        } else {
            SAME(n, -MV_ETRUNCATED);
            SAME(file_length(c.path), 0);
            REFUSED(-MV_ETRUNCATED, mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
        }
        close_view(view);
        CHECK(unlink(c.path) == 0);
    }
}

/* Blocks are asked for without making the file longer. */
static void test_blocks_do_not_undo_it(void **state)
{
    (void)state;
    struct cutter c = {make_sparse(scratch("file"), PAGE), 1, false};
    mv_view *view = open_view(c.path, MV_OPEN_WRITE | MV_OPEN_NO_HANDLER);
    failing_reset();
    failing_on(FAILING_process_vm_writev, cut_before, &c);
    failing_on(FAILING_madvise, cut_before, &c);
    failing_on(FAILING_fstat, extend_before, &c);
    failing_on(FAILING_fallocate, cut_for_the_last_time, &c);
    REFUSED(-MV_ETRUNCATED, mv_write(view, "x", 1, 5, ERR));
    CHECK(failing_count(FAILING_fallocate) > 0);
    failing_reset();
    SAME(file_length(c.path), 0);
    close_view(view);
}

/* ---- what always fails for no reason ---- */

static bool copy_nothing(unsigned k, long *result, void *argument)
{
    (void)k;
    *result = argument ? 1 : 0;
    return true;
}

static bool spare_the_buffer(unsigned k, long *result, void *argument)
{
    (void)argument;
    *result = 0;
    return k % 2 == 1; /* each copy of the view's is followed by one of the buffer alone */
}

static void test_no_reason(void **state)
{
    (void)state;
    char bytes[10];
    mv_view *view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE | MV_OPEN_NO_HANDLER);
    failing_reset();
    failing_on(FAILING_process_vm_readv, spare_the_buffer, NULL);
    REFUSED(-EAGAIN, mv_read(view, bytes, 10, 5, ERR));
    AT(5, 10, 0);
    failing_reset();
    failing_on(FAILING_process_vm_readv, copy_nothing, NULL);
    REFUSED(-EFAULT, mv_read(view, bytes, 10, 5, ERR));
    failing_reset();
    close_view(view);
}

/* ---- a file that cannot be opened again ---- */

static void read_without_descriptors(void *argument)
{
    char byte;
    mv_view *view = argument;
    limit(RLIMIT_NOFILE, 0);
    REFUSED(-EMFILE, mv_read(view, &byte, 1, 0, ERR));
}

static void read_without_permission(void *argument)
{
    char byte;
    mv_view *view = argument;
    CHECK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
    REFUSED(-MV_ETRUNCATED, mv_read(view, &byte, 1, 0, ERR));
}

static void test_not_opened_again(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), PAGE);
    CHECK(chmod(path, 0600) == 0 && chmod(scratch("."), 0711) == 0);
    mv_view *view = open_view(path, 0);
    cut_file(path, 0);
    in_child(read_without_descriptors, view);
    if (geteuid() == 0)
        in_child(read_without_permission, view);
    close_view(view);
}

/* ---- a kernel that cannot touch pages without a fault ---- */

static void access_protected(const char *path, uint64_t flags)
{
    char bytes[10] = "0123456789";
    mv_view *view = open_view(path, MV_OPEN_WRITE | flags);
    WORKS(mv_protect(view, 0, PAGE, MV_READ, ERR));
    REFUSED(-EACCES, mv_write(view, bytes, 10, 5, ERR));
    SAME(WORKS(mv_read(view, bytes, 10, 5, ERR)), 10);
    WORKS(mv_protect(view, 0, PAGE, 0, ERR));
    REFUSED(-EACCES, mv_write(view, bytes, 10, 5, ERR));
    REFUSED(-EACCES, mv_read(view, bytes, 10, 5, ERR));
    AT(5, 10, 0);
    if (!(flags & MV_OPEN_NO_HANDLER)) {
        uint64_t value;
        REFUSED(-EACCES, mv_load(view, 0, 8, &value, ERR));
        REFUSED(-EACCES, mv_store(view, 0, 8, 1, ERR));
    }
    SAME(WORKS(mv_read(view, bytes, 10, PAGE + 5, ERR)), 10);
    WORKS(mv_protect(view, 0, PAGE, MV_READ | MV_WRITE, ERR));
    check_usable(view);
    CHECK(has_pattern(mv_data(view), 2 * PAGE, 0));
    cut_file(path, PAGE);
    REFUSED(-MV_ETRUNCATED, mv_read(view, bytes, 10, PAGE, ERR));
    REFUSED(-MV_ETRUNCATED, mv_write(view, bytes, 10, PAGE, ERR));
    close_view(view);
    CHECK(unlink(path) == 0);
}

static void use_old_kernel(void *argument)
{
    (void)argument;
    failing_reset();
    failing_arm(FAILING_madvise, 1, -EINVAL, true);
    CHECK(!mv__caps_populate());
    failing_reset();
    access_protected(make_file(scratch("file"), 2 * PAGE), 0);
    access_protected(make_file(scratch("file"), 2 * PAGE), MV_OPEN_NO_HANDLER);
    access_protected(make_file(scratch_memory("file"), 2 * PAGE), 0);
}

/* In a process that has not asked yet. */
static void test_old_kernel(void **state)
{
    (void)state;
    in_child(use_old_kernel, NULL);
}

/* ---- a detach in the midst of a guarded copy ---- */

static mv_view *_Atomic to_detach; /* the trap's thread is there before it */

static void detach_now(void *argument)
{
    (void)argument;
    mv_detach(to_detach, NULL);
}

static void test_detach_tells_what_was_done(void **state)
{
    (void)state;
    const uint64_t n = TRAP_PAGES * PAGE;
    struct trap trap;
    const char *path = make_file(scratch("file"), n + PAGE);
    trap_make(&trap, detach_now, NULL);
    to_detach = open_view(path, MV_OPEN_WRITE);
    SAME(mv_read(to_detach, &(char){0}, 1, 0, NULL), 1); /* the guard is there from now on */
    REFUSED(-EBADF, mv_write(to_detach, trap.bytes, n, 100, ERR));
    CHECK(trap_free(&trap));
    uint64_t done = support_error.done;
    CHECK(done >= PAGE && done < n);
    AT(100 + done, n - done, done);
    unsigned char *bytes = malloc(n);
    CHECK(bytes != NULL);
    read_file(path, bytes, done, 100);
    for (uint64_t i = 0; i < done; i++)
        CHECK(bytes[i] == TRAP_BYTE);
    free(bytes);
    close_view(to_detach);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_old_kernel),
        TEST(test_limit),
        TEST(test_private_without_room),
        TEST(test_cut_is_not_undone),
        TEST(test_blocks_do_not_undo_it),
        TEST(test_no_reason),
        TEST(test_not_opened_again),
        TEST(test_detach_tells_what_was_done),
    };
    uint64_t process;
    mv__sys_process(&process); /* what it maps once is no leak of the first test */
    return cmocka_run_group_tests(tests, support_group_begin_cold, support_group_end);
}
