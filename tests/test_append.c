/* test_append.c: records behind records, in a view that grows under them. */
#include "records.h"

/* ---- appending ---- */

static void check_records(uint64_t view_flags, uint32_t flags)
{
    const char *path = scratch("log");
    mv_view *view = open_log(path, view_flags, 64 * MIB);
    mv_appender *a = open_appender(view, flags);
    uint64_t end = 0;
    SAME(mv_append_end(a), 0);
    for (uint64_t i = 0; i < 3000; i++) {
        append_record(a, 1 + i % 1000, i, end);
        end += 1 + i % 1000;
        CHECK(mv_size(view) >= end && file_length(path) >= end);
    }
    SAME(WORKS(mv_append(a, NULL, 0, ERR)), end); /* nothing, at the end */
    WORKS(mv_sync(view, 0, end, MV_SYNC_DATA, ERR));
    WORKS(mv_appender_close(a, ERR));
    SAME(mv_size(view), end);
    SAME(file_length(path), end);
    uint64_t at = 0;
    for (uint64_t i = 0; i < 3000; at += 1 + i++ % 1000)
        CHECK(has_record((char *)mv_data(view) + at, 1 + i % 1000, i));
    close_view(view);
    unlink(path);
}

static void test_records(void **state)
{
    (void)state;
    static const uint64_t flags[] = {0, MV_OPEN_RANDOM, MV_OPEN_SEQUENTIAL, MV_OPEN_NO_HANDLER};
    for (size_t i = 0; i < 4; i++) {
        check_records(flags[i], 0);
        check_records(flags[i], MV_APPEND_AHEAD);
    }
}

/* An appender goes on where the last one has ended, or where it is told to. */
static void test_start(void **state)
{
    (void)state;
    const char *path = make_file(scratch("log"), 1000);
    mv_view *view = open_log(path, 0, MIB);
    mv_append_options o = MV_APPEND_OPTIONS_INIT;
    mv_appender *a;
    WORKS(mv_appender_open(view, NULL, &a, ERR));
    append_record(a, 10, 1, 1000);
    WORKS(mv_appender_close(a, ERR));
    SAME(file_length(path), 1010);
    CHECK(file_has_pattern(path, 0, 1000));
    o.start = 500;
    WORKS(mv_appender_open(view, &o, &a, ERR));
    append_record(a, 10, 2, 500);
    SAME(mv_size(view), 1010);
    WORKS(mv_appender_close(a, ERR));
    SAME(file_length(path), 510);
    CHECK(file_has_pattern(path, 0, 500) && has_record((char *)mv_data(view) + 500, 10, 2));
    close_view(view);
}

/* Memory of its own grows, too. */
static void test_memory(void **state)
{
    (void)state;
    mv_view *view = open_memory(0, 8 * MIB);
    mv_appender *a = open_appender(view, 0);
    for (uint64_t i = 0; i < 1000; i++)
        append_record(a, 100, i, 100 * i);
    WORKS(mv_appender_close(a, ERR));
    SAME(mv_size(view), 100000);
    for (uint64_t i = 0; i < 1000; i++)
        CHECK(has_record((char *)mv_data(view) + 100 * i, 100, i));
    close_view(view);
}

/* ---- growth ---- */

static void test_steps_double(void **state)
{
    (void)state;
    const char *path = scratch("log");
    mv_view *view = open_log(path, 0, MIB);
    mv_append_options o = MV_APPEND_OPTIONS_INIT;
    mv_appender *a;
    o.step_min = 10000;
    o.step_max = 45000;
    WORKS(mv_appender_open(view, &o, &a, ERR));
    static const uint64_t sizes[] = {10000, 20000, 40000, 45000, 90000, 135000};
    uint64_t end = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        while (end + 1000 <= sizes[i]) {
            append_record(a, 1000, i, end);
            end += 1000;
            SAME(mv_size(view), sizes[i]);
            CHECK(file_storage(path) >= sizes[i]); /* real blocks */
        }
    }
    WORKS(mv_appender_close(a, ERR));
    close_view(view);
}

/* A record that is longer than the step takes whole steps, too. */
static void test_steps_of_long_records(void **state)
{
    (void)state;
    mv_view *view = open_log(scratch("log"), 0, MIB);
    mv_append_options o = MV_APPEND_OPTIONS_INIT;
    mv_appender *a;
    o.step_min = o.step_max = 1000;
    WORKS(mv_appender_open(view, &o, &a, ERR));
    append_record(a, 2500, 0, 0);
    SAME(mv_size(view), 3000);
    append_record(a, 500, 1, 2500); /* to the very end */
    SAME(mv_size(view), 3000);
    append_record(a, 1001, 2, 3000);
    SAME(mv_size(view), 5000);
    WORKS(mv_appender_close(a, ERR));
    close_view(view);
}

/* A step over the reservation is all of it, also when it is doubled. */
static void test_steps_without_end(void **state)
{
    (void)state;
    static const uint64_t steps[] = {UINT64_MAX, (uint64_t)1 << 63, (uint64_t)1 << 62, MIB + 1};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const char *path = make_file(scratch("log"), 100);
        mv_view *view = open_log(path, 0, MIB);
        mv_append_options o = MV_APPEND_OPTIONS_INIT;
        mv_appender *a;
        o.start = 0;
        o.step_min = steps[i];
        WORKS(mv_appender_open(view, &o, &a, ERR));
        for (uint64_t k = 0; k < 4; k++) {
            append_record(a, 1000, k, 1000 * k);
            SAME(mv_size(view), MIB);
            cut_file(path, 1000 * (k + 1)); /* so that it grows again */
            WORKS(mv_refresh(view, ERR));
        }
        WORKS(mv_appender_close(a, ERR));
        close_view(view);
        unlink(path);
    }
}

/* To the last byte, and not one more. */
static void test_reservation(void **state)
{
    (void)state;
    static const uint32_t flags[] = {0, MV_APPEND_AHEAD};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = open_log(scratch("log"), 0, 100 * KIB);
        uint64_t reserved = info_of(view).reserved, end = 0;
        mv_appender *a = open_appender(view, flags[i]);
        for (; end + 1000 <= reserved; end += 1000)
            append_record(a, 1000, end, end);
        REFUSED(-ENOMEM, mv_append(a, record, 1000, ERR));
        AT(end, 1000, 0);
        FAILED_OP("append");
        SAME(mv_append_end(a), end);
        append_record(a, reserved - end, 5, end);
        REFUSED(-ENOMEM, mv_append(a, record, 1, ERR));
        REFUSED(-ENOMEM, mv_append(a, record, UINT64_MAX, ERR));
        SAME(mv_size(view), reserved);
        WORKS(mv_appender_close(a, ERR));
        SAME(file_length(scratch("log")), reserved);
        close_view(view);
        unlink(scratch("log"));
    }
}

/* The first fallocate finds no room, and what needs less does. */
static bool no_room_for_steps(unsigned k, long *result, void *argument)
{
    (void)k;
    struct stat st;
    if (stat(argument, &st) != 0 || st.st_size < (off_t)(60 * KIB))
        return false;
    *result = -ENOSPC;
    return true;
}

static void test_no_room(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", scratch("log"));
    mv_view *view = open_log(path, 0, 64 * MIB);
    mv_appender *a = open_appender(view, 0);
    failing_reset();
    append_record(a, 1000, 0, 0); /* 64 KiB */
    failing_on(FAILING_fallocate, no_room_for_steps, path);
    uint64_t end = 1000;
    for (; end + 1000 <= 64 * KIB; end += 1000)
        append_record(a, 1000, end, end);
    REFUSED(-ENOSPC, mv_append(a, record, 1000, ERR));
    SAME(mv_append_end(a), end);
    SAME(mv_size(view), 64 * KIB);
    failing_reset();
    failing_arm(FAILING_fallocate, 1, -ENOSPC, false); /* of the step alone */
    append_record(a, 1000, 7, end);
    SAME(mv_size(view), end + 1000); /* no more than needed */
    append_record(a, 1000, 8, end + 1000);
    CHECK(mv_size(view) > end + 2000); /* and steps again */
    WORKS(mv_appender_close(a, ERR));
    SAME(file_length(path), end + 2000);
    close_view(view);
}

static void fill_small_disk(void *argument)
{
    const char *folder = argument;
    char path[600];
    mount_small(folder, 512 * KIB);
    snprintf(path, sizeof path, "%s/log", folder);
    mv_view *view = open_log(path, 0, 64 * MIB);
    mv_appender *a = open_appender(view, 0);
    int64_t r;
    uint64_t end = 0;
    for (uint64_t i = 0;; i++, end += 1000) {
        fill_record(record, 1000, i);
        r = mv_append(a, record, 1000, ERR);
        if (r < 0)
            break;
        SAME(r, end);
    }
    SAME(r, -ENOSPC);
    SAME(mv_append_end(a), end);
    CHECK(end > 512 * KIB - 2 * PAGE); /* the disk is full, but for a page */
    for (uint64_t i = 0; i < end / 1000; i++)
        CHECK(has_record((char *)mv_data(view) + 1000 * i, 1000, i));
    WORKS(mv_appender_close(a, ERR));
    SAME(file_length(path), end);
    close_view(view);
}

static void test_full_disk(void **state)
{
    (void)state;
    char folder[512];
    snprintf(folder, sizeof folder, "%s", scratch("small"));
    in_child(fill_small_disk, folder);
    rmdir(folder);
}

/* ---- refusals ---- */

static void refuse_options(mv_view *view, const mv_append_options *o, int code)
{
    mv_appender *a = (mv_appender *)1;
    REFUSED(code, mv_appender_open(view, o, &a, ERR));
    CHECK(!a);
}

static void test_options(void **state)
{
    (void)state;
    const char *path = make_file(scratch("log"), 1000);
    mv_view *view = open_log(path, 0, MIB);
    struct {
        mv_append_options o;
        uint64_t tail;
    } larger = {MV_APPEND_OPTIONS_INIT, 0};
    mv_append_options o = MV_APPEND_OPTIONS_INIT;
    mv_appender *a;
    REFUSED(-EINVAL, mv_appender_open(view, NULL, NULL, ERR));
    REFUSED(-EINVAL, mv_appender_open(NULL, NULL, &a, ERR));
    o.flags = 2;
    refuse_options(view, &o, -EINVAL);
    o = (mv_append_options)MV_APPEND_OPTIONS_INIT;
    o.size = 8;
    refuse_options(view, &o, -EINVAL);
    o = (mv_append_options)MV_APPEND_OPTIONS_INIT;
    o.start = 1001;
    refuse_options(view, &o, -EINVAL);
    o = (mv_append_options)MV_APPEND_OPTIONS_INIT;
    o.step_min = 2;
    o.step_max = 1;
    refuse_options(view, &o, -EINVAL);
    larger.o.size = sizeof larger;
    larger.tail = 1;
    refuse_options(view, &larger.o, -E2BIG);
    larger.tail = 0;
    WORKS(mv_appender_open(view, &larger.o, &a, ERR));
    WORKS(mv_appender_close(a, ERR));
    o = (mv_append_options)MV_APPEND_OPTIONS_INIT;
    o.step_max = 5; /* under the usual least: steps of that */
    WORKS(mv_appender_open(view, &o, &a, ERR));
    append_record(a, 1, 1, 1000);
    SAME(mv_size(view), 1005);
    WORKS(mv_appender_close(a, ERR));
    WORKS(mv_appender_close(NULL, ERR));
    SAME(mv_append_end(NULL), 0);
    REFUSED(-EINVAL, mv_append(NULL, "x", 1, ERR));
    close_view(view);
}

static void test_views_that_cannot_grow(void **state)
{
    (void)state;
    const char *path = make_file(scratch("log"), 1000);
    mv_options o = with(MV_OPEN_WRITE);
    o.length = 500;
    mv_view *views[] = {open_view(path, 0), open_view(path, MV_OPEN_WRITE | MV_OPEN_PRIVATE),
                        open_with(path, &o)};
    static const int codes[] = {-EACCES, -EINVAL, -EINVAL};
    for (size_t i = 0; i < 3; i++) {
        refuse_options(views[i], NULL, codes[i]);
        close_view(views[i]);
    }
}

static void test_bad_calls(void **state)
{
    (void)state;
    mv_view *view = open_log(scratch("log"), 0, MIB);
    mv_appender *a = open_appender(view, 0);
    mv_error small = {.size = 4};
    append_record(a, 10, 0, 0);
    REFUSED(-EINVAL, mv_append(a, NULL, 10, ERR));
    SAME(mv_append(a, record, 10, &small), -EINVAL);
    SAME(mv_append_end(a), 10);
    SAME(mv_appender_close(a, &small), -EINVAL); /* it is closed all the same */
    SAME(file_length(scratch("log")), 10);
    close_view(view);
}

static void test_bad_buffer(void **state)
{
    (void)state;
    mv_view *view = open_log(scratch("log"), 0, MIB);
    mv_appender *a = open_appender(view, 0);
    char *buf = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(buf != MAP_FAILED && mprotect(buf + PAGE, PAGE, PROT_NONE) == 0);
    append_record(a, 10, 0, 0);
    REFUSED(-EFAULT, mv_append(a, buf, 2 * PAGE, ERR));
    AT(10 + PAGE, PAGE, 0); /* nothing of the record counts */
    SAME(mv_append_end(a), 10);
    append_record(a, 10, 1, 10);
    WORKS(mv_appender_close(a, ERR));
    munmap(buf, 2 * PAGE);
    close_view(view);
}

/* ---- others ---- */

static void test_cut_by_others(void **state)
{
    (void)state;
    const char *path = scratch("log");
    mv_view *view = open_log(path, 0, MIB);
    mv_appender *a = open_appender(view, 0);
    append_record(a, 4096, 0, 0);
    append_record(a, 4096, 1, 4096);
    cut_file(path, 0);
    REFUSED(-MV_ETRUNCATED, mv_append(a, record, 4096, ERR));
    AT(8192, 4096, 0);
    SAME(mv_append_end(a), 8192);
    REFUSED(-MV_ETRUNCATED, mv_appender_close(a, ERR));
    SAME(file_length(path), 0);
    close_view(view);
}

static void test_grown_by_others(void **state)
{
    (void)state;
    const char *path = scratch("log");
    mv_view *view = open_log(path, 0, 4 * MIB);
    mv_appender *a = open_appender(view, 0);
    append_record(a, 1000, 0, 0);
    grow_file(path, MIB);
    for (uint64_t i = 1; i < 500; i++)
        append_record(a, 1000, i, 1000 * i);
    SAME(file_length(path), MIB);
    CHECK(file_has_pattern(path, MIB - 1000, 1000));
    REFUSED(-EBUSY, mv_appender_close(a, ERR));
    SAME(file_length(path), MIB);
    close_view(view);
}

/* Another growth of the same view is not taken back. */
static void test_grown_view(void **state)
{
    (void)state;
    mv_view *view = open_log(scratch("log"), 0, 4 * MIB);
    mv_appender *a = open_appender(view, 0);
    append_record(a, 1000, 0, 0);
    WORKS(mv_resize(view, MIB, ERR));
    append_record(a, 1000, 1, 1000);
    SAME(mv_size(view), MIB);
    WORKS(mv_resize(view, 1500, ERR)); /* and this takes back what was appended */
    REFUSED(-MV_ETRUNCATED, mv_append(a, record, 10, ERR));
    AT(1500, 500, 0);
    SAME(mv_append_end(a), 2000);
    WORKS(mv_resize(view, 2000, ERR));
    append_record(a, 1000, 2, 2000);
    WORKS(mv_appender_close(a, ERR));
    close_view(view);
}

static void *append_in_thread(void *argument)
{
    return mv_append(argument, record, 1000, NULL) == (int64_t)(64 * KIB - 100) ? NULL : argument;
}

/* Not even one that comes between its look at the size and its turn. */
static void test_growth_beside_growth(void **state)
{
    (void)state;
    const char *path = scratch("log");
    mv_view *view = open_log(path, 0, 4 * MIB);
    mv_appender *a = open_appender(view, 0);
    pthread_t thread;
    void *failed;
    WORKS(mv_resize(view, 64 * KIB, ERR));
    for (uint64_t at = 0; at < 64 * KIB - 100; at += 100)
        append_record(a, at + 100 > 64 * KIB - 100 ? 64 * KIB - 100 - at : 100, 0, at);
    pthread_mutex_lock(&view->shape_lock);
    CHECK(pthread_create(&thread, NULL, append_in_thread, a) == 0);
    usleep(100000);      /* to get where it waits for the lock */
    cut_file(path, MIB); /* makes it longer */
    atomic_store(&view->size, MIB);
    pthread_mutex_unlock(&view->shape_lock);
    pthread_join(thread, &failed);
    CHECK(!failed);
    SAME(mv_size(view), MIB);
    SAME(file_length(path), MIB);
    WORKS(mv_appender_close(a, ERR));
    close_view(view);
}

static void test_detached(void **state)
{
    (void)state;
    static const uint32_t flags[] = {0, MV_APPEND_AHEAD};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = open_log(scratch("log"), 0, 64 * MIB);
        mv_appender *a = open_appender(view, flags[i]);
        append_record(a, 10, 0, 0);
        WORKS(mv_detach(view, ERR));
        REFUSED(-EBADF, mv_append(a, record, 10, ERR));
        SAME(mv_append_end(a), 10);
        REFUSED(-EBADF, mv_appender_close(a, ERR));
        close_view(view);
        unlink(scratch("log"));
    }
}

static void use_in_child(void *argument)
{
    mv_appender *a = argument;
    REFUSED(-ECHILD, mv_append(a, record, 10, ERR));
    SAME(mv_append_end(a), 10);
    REFUSED(-ECHILD, mv_appender_close(a, ERR));
}

static void test_child_of_fork(void **state)
{
    (void)state;
    static const uint32_t flags[] = {0, MV_APPEND_AHEAD};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = open_log(scratch("log"), 0, 64 * MIB);
        mv_appender *a = open_appender(view, flags[i]);
        append_record(a, 10, 0, 0);
        in_child(use_in_child, a);
        append_record(a, 10, 1, 10);
        WORKS(mv_appender_close(a, ERR));
        SAME(file_length(scratch("log")), 20);
        close_view(view);
        unlink(scratch("log"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_records),
        TEST(test_start),
        TEST(test_memory),
        TEST(test_steps_double),
        TEST(test_steps_of_long_records),
        TEST(test_steps_without_end),
        TEST(test_reservation),
        TEST(test_no_room),
        TEST(test_full_disk),
        TEST(test_options),
        TEST(test_views_that_cannot_grow),
        TEST(test_bad_calls),
        TEST(test_bad_buffer),
        TEST(test_cut_by_others),
        TEST(test_grown_by_others),
        TEST(test_grown_view),
        TEST(test_growth_beside_growth),
        TEST(test_detached),
        TEST(test_child_of_fork),
    };
    return RUN(tests);
}
