/* test_sync.c: what mv_sync asks of the kernel, and what it never forgets. */
#include "support.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

/* ---- arguments ---- */

static void test_arguments(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), PAGE);
    mv_view *view = open_view(path, MV_OPEN_WRITE);
    static const uint32_t wrong[] = {0, 4, 5, UINT32_MAX, MV_SYNC_FORCE, MV_SYNC_FORCE | 4, 0x200U | 1};
    for (size_t i = 0; i < 7; i++) {
        REFUSED(-EINVAL, mv_sync(view, 0, 1, wrong[i], ERR));
        FAILED_OP("sync");
    }
    close_view(view);
}

/* Whatever is asked for: what stays in this process has no medium. */
static void test_private(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), PAGE);
    mv_view *views[3] = {
        open_view(path, MV_OPEN_PRIVATE),
        open_view(path, MV_OPEN_PRIVATE | MV_OPEN_WRITE),
    };
    mv_options o = with(MV_OPEN_PRIVATE);
    WORKS(mv_anonymous(PAGE, &o, &views[2], ERR));
    for (size_t i = 0; i < 3; i++) {
        for (uint32_t level = MV_SYNC_START; level <= MV_SYNC_FULL; level++) {
            REFUSED(-EINVAL, mv_sync(views[i], 0, 1, level, ERR));
            FAILED_OP("sync");
            REFUSED(-EINVAL, mv_sync(views[i], 0, 0, level, ERR));
        }
        close_view(views[i]);
    }
}

/* ---- what each level asks of the kernel ---- */

static void check_calls(unsigned started, unsigned msynced, unsigned fdatasynced, unsigned fsynced)
{
    SAME(failing_count(FAILING_sync_file_range), started);
    SAME(failing_count(FAILING_msync), msynced);
    SAME(failing_count(FAILING_fdatasync), fdatasynced);
    SAME(failing_count(FAILING_fsync), fsynced);
    SAME(failing_count(FAILING_syncfs), 0);
    failing_reset();
}

static void test_levels(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 3 * PAGE);
    mv_options o = with(MV_OPEN_WRITE);
    o.offset = 100;
    mv_view *view = open_with(path, &o);
    failing_reset();
    for (int i = 0; i < 2; i++) {
        memset(mv_data(view), i, 2 * PAGE);
        SAME(WORKS(mv_sync(view, PAGE + 5, 10, MV_SYNC_START, ERR)), 0);
        check_calls(1, 0, 0, 0);
        SAME(WORKS(mv_sync(view, PAGE + 5, PAGE, MV_SYNC_DATA, ERR)), 0);
        check_calls(0, 1, 0, 0);
        SAME(WORKS(mv_sync(view, PAGE + 5, PAGE, MV_SYNC_FULL, ERR)), 0);
        check_calls(0, 0, 0, 1);
    }
    /* Nothing to write: FULL is about the file all the same. */
    WORKS(mv_sync(view, 5, 0, MV_SYNC_START, ERR));
    WORKS(mv_sync(view, 5, 0, MV_SYNC_DATA, ERR));
    check_calls(0, 0, 0, 0);
    WORKS(mv_sync(view, 5, 0, MV_SYNC_FULL, ERR));
    check_calls(0, 0, 0, 1);
    close_view(view);
}

/* The kernel passes a mapping that cannot be written over: what others have
 * written through the file needs another call. */
static void test_levels_of_a_read_only_view(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), 3 * PAGE), 0);
    failing_reset();
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_START, ERR));
    check_calls(1, 0, 0, 0);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    check_calls(0, 0, 1, 0);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    check_calls(0, 0, 0, 1);
    close_view(view);
}

static void test_memory(void **state)
{
    (void)state;
    mv_view *view = open_memory(3 * PAGE, 0);
    memset(mv_data(view), 1, 3 * PAGE);
    for (uint32_t level = MV_SYNC_START; level <= MV_SYNC_FULL; level++)
        WORKS(mv_sync(view, 0, MV_TO_END, level, ERR));
    close_view(view);
}

/* ---- the name of a created file ---- */

static void test_name_is_synced_once(void **state)
{
    (void)state;
    struct stat folder, kept;
    mv_view *view = open_view(scratch("new"), MV_OPEN_WRITE | MV_OPEN_CREATE);
    CHECK(stat(scratch("."), &folder) == 0 && fstat(view->source.directory, &kept) == 0);
    SAME(kept.st_ino, folder.st_ino);
    SAME(kept.st_dev, folder.st_dev);
    failing_reset();
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR)); /* the bytes alone */
    check_calls(0, 0, 0, 0);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR)); /* the file and its folder */
    check_calls(0, 0, 0, 2);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL | MV_SYNC_FORCE, ERR));
    check_calls(0, 0, 0, 1);
    SAME(descriptors_of(-1, scratch(".")), 0);
    close_view(view);
}

static void test_no_name_is_owed(void **state)
{
    (void)state;
    make_file(scratch("old"), 10);
    mv_view *views[2] = {open_view(scratch("old"), MV_OPEN_WRITE | MV_OPEN_CREATE), open_memory(10, 0)};
    for (size_t i = 0; i < 2; i++) {
        failing_reset();
        WORKS(mv_sync(views[i], 0, MV_TO_END, MV_SYNC_FULL, ERR));
        check_calls(0, 0, 0, 1);
        close_view(views[i]);
    }
    /* A view that is detached or closed first gives the folder back, too. */
    mv_view *view = open_view(scratch("new"), MV_OPEN_WRITE | MV_OPEN_CREATE);
    SAME(descriptors_of(-1, scratch(".")), 1);
    WORKS(mv_detach(view, ERR));
    SAME(descriptors_of(-1, scratch(".")), 0);
    close_view(view);
    close_view(open_view(scratch("newer"), MV_OPEN_WRITE | MV_OPEN_CREATE));
    SAME(descriptors_of(-1, scratch(".")), 0);
}

/* One that may make files in a folder may not be able to open it. */
static void create_in_closed_folder(void *argument)
{
    (void)argument;
    mv_view *view = open_view(scratch("drop/new"), MV_OPEN_WRITE | MV_OPEN_CREATE);
    failing_reset();
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    SAME(failing_count(FAILING_fsync), 1);
    SAME(failing_count(FAILING_syncfs), 1);
    failing_reset();
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL | MV_SYNC_FORCE, ERR));
    check_calls(0, 0, 0, 1);
    close_view(view);
}

static void test_folder_that_cannot_be_opened(void **state)
{
    (void)state;
    CHECK(mkdir(scratch("drop"), 0700) == 0 && chmod(scratch("drop"), 0733) == 0);
    as_nobody(create_in_closed_folder, NULL);
}

/* A folder that cannot be synced by itself. */
static bool folder_is_unsyncable(unsigned k, long *result, void *argument)
{
    (void)argument;
    *result = -EINVAL;
    return k == 2;
}

static void test_folder_that_cannot_be_synced(void **state)
{
    (void)state;
    mv_view *view = open_view(scratch("new"), MV_OPEN_WRITE | MV_OPEN_CREATE);
    failing_reset();
    failing_on(FAILING_fsync, folder_is_unsyncable, NULL);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    SAME(failing_count(FAILING_syncfs), 1);
    close_view(view);
}

/* The file system as a whole cannot be synced either: that is kept. */
static void test_file_system_that_cannot_be_synced(void **state)
{
    (void)state;
    mv_view *view = open_view(scratch("new"), MV_OPEN_WRITE | MV_OPEN_CREATE);
    failing_reset();
    failing_on(FAILING_fsync, folder_is_unsyncable, NULL);
    failing_arm(FAILING_syncfs, 1, -EIO, false);
    REFUSED(-EIO, mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    FAILED_OP("syncfs");
    REFUSED(-EIO, mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    SAME(failing_count(FAILING_syncfs), 1);
    close_failed(view, -EIO);
}

/* ---- a failure is for good ---- */

static void check_held(mv_view *view, int code, uint64_t offset, uint64_t length, const char *op)
{
    failing_reset();
    for (uint32_t level = MV_SYNC_START; level <= MV_SYNC_FULL; level++)
        for (uint64_t off = 0; off <= 3 * PAGE; off += PAGE) { /* any range, the empty one as well */
            REFUSED(code, mv_sync(view, off, MV_TO_END, level, ERR));
            AT(offset, length, 0);
            FAILED_OP(op);
            CHECK(strstr(support_error.text, "earlier"));
        }
    check_calls(0, 0, 0, 0); /* the kernel is not asked again: it would say yes */
    mv_info info = info_of(view);
    CHECK(info.state & MV_STATE_FAILED);
    SAME(info.failure, code);
    SAME(info.failure_offset, offset);
    SAME(info.failure_length, length);
    check_usable(view);
    WORKS(mv_probe(view, 0, MV_TO_END, MV_READ | MV_WRITE, ERR));
    WORKS(mv_resize(view, 4 * PAGE, ERR));
    WORKS(mv_resize(view, 3 * PAGE, ERR));
    WORKS(mv_refresh(view, ERR));
    REFUSED(code, mv_sync(view, 0, 1, MV_SYNC_DATA, ERR)); /* nothing of this heals it */
}

static mv_view *open_new(void)
{
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE);
    unlink(scratch("new"));
    o.file_size = 3 * PAGE;
    o.reserve = 4 * PAGE;
    return open_with(scratch("new"), &o);
}

/* The first failure of each of the calls, with each code that it may have. */
static void test_failure_is_held(void **state)
{
    (void)state;
    static const struct {
        enum failing_call call;
        unsigned k;
        uint32_t level;
        const char *op;
    } cases[] = {
        {FAILING_sync_file_range, 1, MV_SYNC_START, "sync_file_range"},
        {FAILING_msync, 1, MV_SYNC_DATA, "msync"},
        {FAILING_fsync, 1, MV_SYNC_FULL, "fsync"},
        {FAILING_fsync, 2, MV_SYNC_FULL, "fsync"}, /* of the folder */
    };
    static const int codes[] = {-EIO, -ENOSPC, -EDQUOT, -EINTR, -ENOMEM};
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < 5; k++) {
            if (cases[i].level == MV_SYNC_START && codes[k] == -EINTR)
                continue; /* is made again: see test_interrupted_start */
            mv_view *view = open_new();
            failing_reset();
            failing_arm(cases[i].call, cases[i].k, codes[k], false);
            REFUSED(codes[k], mv_sync(view, PAGE + 5, 10, cases[i].level, ERR));
            AT(PAGE + 5, 10, 0);
            FAILED_OP(cases[i].op);
            SAME(failing_count(cases[i].call), cases[i].k); /* not tried again */
            check_held(view, codes[k], PAGE + 5, 10, cases[i].op);
            for (int times = 0; times < 2; times++) {
                REFUSED(codes[k], mv_detach(view, ERR));
                AT(PAGE + 5, 10, 0);
            }
            SAME(mv_size(view), 0); /* detached all the same */
            REFUSED(-EBADF, mv_sync(view, 0, 0, MV_SYNC_DATA, ERR));
            close_failed(view, codes[k]);
            FAILED_OP(cases[i].op);
        }
}

/* What only begins takes no error of the kernel that a later sync would miss. */
static void test_interrupted_start(void **state)
{
    (void)state;
    mv_view *view = open_new();
    failing_reset();
    failing_arm(FAILING_sync_file_range, 1, -EINTR, false);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_START, ERR));
    SAME(failing_count(FAILING_sync_file_range), 2);
    failing_reset();
    failing_arm(FAILING_sync_file_range, 1, -EINTR, true); /* but not without end */
    REFUSED(-EINTR, mv_sync(view, 0, MV_TO_END, MV_SYNC_START, ERR));
    SAME(failing_count(FAILING_sync_file_range), 100);
    failing_reset();
    REFUSED(-EINTR, mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    close_failed(view, -EINTR);
}

/* A call that the kernel does not have for regular files would be news. */
static void test_strange_answers_are_failures(void **state)
{
    (void)state;
    static const int codes[] = {-EINVAL, -EOPNOTSUPP};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = open_new();
        failing_reset();
        failing_arm(FAILING_msync, 1, codes[i], false);
        REFUSED(codes[i], mv_sync(view, 0, 1, MV_SYNC_DATA, ERR));
        REFUSED(codes[i], mv_sync(view, 0, 1, MV_SYNC_DATA, ERR));
        close_failed(view, codes[i]);
    }
}

static void test_failure_of_a_read_only_view(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), PAGE), 0);
    failing_arm(FAILING_fdatasync, 1, -EIO, false);
    REFUSED(-EIO, mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    REFUSED(-EIO, mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    close_failed(view, -EIO);
}

/* Failures around the sync, not of it, are no word about the bytes. */
static void test_what_is_not_held(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), 2 * PAGE), MV_OPEN_WRITE);
    mv_view *reading = open_view(scratch("file"), 0);
    failing_reset();
    failing_arm(FAILING_fstat, 1, -EIO, false);
    REFUSED(-EIO, mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR)); /* its length is not known */
    failing_reset();
    failing_arm(FAILING_open, 1, -EMFILE, false);
    REFUSED(-EMFILE, mv_sync(reading, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    failing_reset();
    cut_file(scratch("file"), PAGE);
    REFUSED(-MV_ETRUNCATED, mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    AT(PAGE, PAGE, PAGE);
    cut_file(scratch("file"), 2 * PAGE);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    WORKS(mv_sync(reading, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    SAME(info_of(view).failure, 0);
    close_view(view);
    close_view(reading);
}

/* A new view starts over. */
static void test_opened_anew(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), PAGE);
    mv_view *view = open_view(path, MV_OPEN_WRITE), *other = open_view(path, MV_OPEN_WRITE);
    failing_arm(FAILING_msync, 1, -EIO, false);
    REFUSED(-EIO, mv_sync(view, 0, 1, MV_SYNC_DATA, ERR));
    WORKS(mv_sync(other, 0, 1, MV_SYNC_DATA, ERR)); /* each has its own */
    close_failed(view, -EIO);
    close_view(other);
}

/* ---- beside other calls ---- */

/* The first call is told of a failure and takes its time; a second one, at the
 * same time, would be told that all is well. */
struct two_syncs {
    mv_view *view;
    sem_t first_is_in, second_is_in;
    int first, second;
};

static bool fail_slowly(unsigned k, long *result, void *argument)
{
    struct two_syncs *both = argument;
    struct timespec until;
    *result = 0;
    if (k > 1) {
        sem_post(&both->second_is_in);
        return true;
    }
    sem_post(&both->first_is_in);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100 * 1000 * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    sem_timedwait(&both->second_is_in, &until); /* it may well be kept waiting */
    *result = -EIO;
    return true;
}

static void *sync_first(void *argument)
{
    struct two_syncs *both = argument;
    both->first = mv_sync(both->view, 0, MV_TO_END, MV_SYNC_DATA, NULL);
    return NULL;
}

static void test_two_syncs(void **state)
{
    (void)state;
    static const uint32_t levels[] = {MV_SYNC_DATA, MV_SYNC_FULL};
    for (size_t i = 0; i < 2; i++) {
        pthread_t thread;
        struct two_syncs both = {.view = open_new()};
        CHECK(sem_init(&both.first_is_in, 0, 0) == 0 && sem_init(&both.second_is_in, 0, 0) == 0);
        failing_reset();
        failing_on(FAILING_msync, fail_slowly, &both);
        CHECK(pthread_create(&thread, NULL, sync_first, &both) == 0);
        sem_wait(&both.first_is_in);
        both.second = mv_sync(both.view, 0, MV_TO_END, levels[i], NULL);
        CHECK(pthread_join(thread, NULL) == 0);
        SAME(both.first, -EIO);
        SAME(both.second, -EIO);
        failing_reset();
        close_failed(both.view, -EIO);
        sem_destroy(&both.first_is_in);
        sem_destroy(&both.second_is_in);
    }
}

/* A detach takes the pages away from under the sync, which then finds nothing
 * to write and no fault with it. */
static bool detach_beside(unsigned k, long *result, void *argument)
{
    (void)result;
    if (k == 1)
        CHECK(mv_detach(argument, NULL) == 0);
    return false;
}

static void test_detach_beside(void **state)
{
    (void)state;
    static const enum failing_call calls[] = {FAILING_msync, FAILING_fsync, FAILING_fstat};
    static const uint32_t levels[] = {MV_SYNC_DATA, MV_SYNC_FULL, MV_SYNC_DATA};
    for (size_t i = 0; i < 3; i++) {
        mv_view *view = open_new();
        failing_reset();
        failing_on(calls[i], detach_beside, view);
        expect_faults(true);
        REFUSED(-EBADF, mv_sync(view, 0, MV_TO_END, levels[i], ERR));
        expect_faults(false);
        SAME(descriptors_of(-1, scratch("new")), 0); /* the last user has let it go */
        close_view(view);
    }
}

/* The same where there is no length to look at afterwards. */
static void test_detach_beside_device(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_DEVICE);
    o.length = PAGE;
    mv_view *view = open_with("/dev/zero", &o);
    failing_reset();
    failing_on(FAILING_msync, detach_beside, view);
    expect_faults(true);
    REFUSED(-EBADF, mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    expect_faults(false);
    close_view(view);
}

static bool detach_and_fail(unsigned k, long *result, void *argument)
{
    if (k == 1)
        CHECK(mv_detach(argument, NULL) == 0);
    *result = -EIO;
    return k == 1;
}

/* The kernel says it only once, so it is kept also then. */
static void test_failure_beside_a_detach(void **state)
{
    (void)state;
    mv_view *view = open_new();
    failing_reset();
    failing_on(FAILING_msync, detach_and_fail, view);
    int r = mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, NULL);
    CHECK(r == -EIO || r == -EBADF);
    REFUSED(-EIO, mv_detach(view, ERR));
    close_failed(view, -EIO);
}

/* A shrink of this view is no foreign cut. */
static bool shrink_beside(unsigned k, long *result, void *argument)
{
    (void)result;
    if (k == 1)
        CHECK(mv_resize(argument, PAGE, NULL) == 0);
    return false;
}

static void test_shrink_beside(void **state)
{
    (void)state;
    static const enum failing_call calls[] = {FAILING_msync, FAILING_fsync};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = open_new();
        failing_reset();
        failing_on(calls[i], shrink_beside, view);
        WORKS(mv_sync(view, 0, MV_TO_END, i ? MV_SYNC_FULL : MV_SYNC_DATA, ERR));
        failing_reset();
        close_view(view);
    }
}

static mv_view *reshaped;
static long (*real_fstat)(int fd, struct stat *st);

/* The first look at the file comes between a shrink and a growth. */
static long look_in_between(int fd, struct stat *st)
{
    mv__sys.fstat = real_fstat;
    CHECK(mv_resize(reshaped, PAGE, NULL) == 0);
    long r = real_fstat(fd, st);
    CHECK(mv_resize(reshaped, 4 * PAGE, NULL) == 0);
    return r;
}

static void test_shrink_and_growth_beside(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_WRITE);
    o.reserve = 4 * PAGE;
    reshaped = open_with(make_file(scratch("file"), 4 * PAGE), &o);
    real_fstat = mv__sys.fstat;
    mv__sys.fstat = look_in_between;
    WORKS(mv_sync(reshaped, 0, MV_TO_END, MV_SYNC_DATA, ERR)); /* nobody has cut it */
    CHECK(mv__sys.fstat == real_fstat);
    close_view(reshaped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_arguments),
        TEST(test_private),
        TEST(test_levels),
        TEST(test_levels_of_a_read_only_view),
        TEST(test_memory),
        TEST(test_name_is_synced_once),
        TEST(test_no_name_is_owed),
        TEST(test_folder_that_cannot_be_opened),
        TEST(test_folder_that_cannot_be_synced),
        TEST(test_file_system_that_cannot_be_synced),
        TEST(test_failure_is_held),
        TEST(test_interrupted_start),
        TEST(test_strange_answers_are_failures),
        TEST(test_failure_of_a_read_only_view),
        TEST(test_what_is_not_held),
        TEST(test_opened_anew),
        TEST(test_two_syncs),
        TEST(test_detach_beside),
        TEST(test_detach_beside_device),
        TEST(test_failure_beside_a_detach),
        TEST(test_shrink_beside),
        TEST(test_shrink_and_growth_beside),
    };
    return RUN(tests);
}
