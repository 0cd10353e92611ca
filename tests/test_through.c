/* test_through.c: mv_write through the file, on views opened for it. */
#include "support.h"

#include <sys/resource.h>
#include <stdlib.h>

#define MIB ((uint64_t)1 << 20)

static unsigned char bytes[4 * LARGEST_PAGE];

static mv_view *open_part(const char *path, uint64_t flags, uint64_t offset)
{
    mv_options o = with(MV_OPEN_WRITE | flags);
    o.offset = offset;
    o.reserve = 64 * MIB;
    return open_with(path, &o);
}

static bool is_through(const mv_view *view)
{
    return info_of(view).state & MV_STATE_THROUGH;
}

/* Writes and tells by how many calls of pwrite. */
static unsigned pwrites_of(mv_view *view, const void *buf, uint64_t n, uint64_t off, int64_t expected)
{
    failing_reset();
    SAME(WORKS(mv_write(view, buf, n, off, ERR)), expected);
    return failing_count(FAILING_pwrite);
}

/* ---- MV_OPEN_RANDOM ---- */

static void test_random_writes(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 8 * PAGE);
    static const uint64_t flags[] = {MV_OPEN_RANDOM, MV_OPEN_RANDOM | MV_OPEN_NO_HANDLER};
    memset(bytes, 0xEE, sizeof bytes);
    for (size_t i = 0; i < 2; i++) {
        make_file(path, 8 * PAGE);
        mv_view *view = open_part(path, flags[i], 100);
        unsigned char *data = mv_data(view);
        CHECK(is_through(view));
        SAME(pwrites_of(view, bytes, 1, 0, 1), 1);
        SAME(pwrites_of(view, bytes, 64, PAGE + 5, 64), 1);
        SAME(pwrites_of(view, bytes, 100, 8 * PAGE - 150, 50), 1); /* short at the end alone */
        SAME(pwrites_of(view, bytes, 100, 8 * PAGE - 100, 0), 0);
        SAME(pwrites_of(view, bytes, 0, 5, 0), 0);
        CHECK(data[0] == 0xEE && has_pattern(data + 1, PAGE + 4, 101)); /* seen at once */
        CHECK(data[PAGE + 5] == 0xEE && data[PAGE + 68] == 0xEE && data[PAGE + 69] != 0xEE);
        SAME(data[8 * PAGE - 101], 0xEE);
        CHECK(file_has_pattern(path, 0, 100) && file_length(path) == 8 * PAGE);
        WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
        check_usable(view);
        close_view(view);
    }
}

/* Any place and length: view and file hold what a plain array would. */
static void test_random_writes_are_writes(void **state)
{
    (void)state;
    const uint64_t size = 5 * PAGE + 77;
    const char *path = make_file(scratch("file"), size + 100);
    mv_view *view = open_part(path, MV_OPEN_RANDOM, 100);
    unsigned char *model = test_malloc(size);
    memcpy(model, mv_data(view), size);
    srand(1);
    for (int i = 0; i < 2000; i++) {
        uint64_t off = (uint64_t)rand() % (size + 50), n = (uint64_t)rand() % (2 * PAGE);
        uint64_t fits = off < size ? size - off : 0;
        memset(bytes, rand() & 255, n);
        fits = fits < n ? fits : n;
        SAME(WORKS(mv_write(view, bytes, n, off, ERR)), fits);
        memcpy(model + (off < size ? off : 0), bytes, fits);
        if (i % 100 == 0)
            ((unsigned char *)mv_data(view))[off % size] = model[off % size] = (unsigned char)i;
    }
    CHECK(memcmp(model, mv_data(view), size) == 0);
    WORKS(mv_read(view, bytes, size < sizeof bytes ? size : sizeof bytes, 0, ERR));
    CHECK(memcmp(model, bytes, size < sizeof bytes ? size : sizeof bytes) == 0);
    SAME(file_length(path), size + 100);
    test_free(model);
    close_view(view);
}

/* Where pwrite has no advantage, or no right: nothing changes. */
static void test_other_views_store(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 4 * PAGE);
    static const uint64_t ways[] = {MV_OPEN_RANDOM, MV_OPEN_SEQUENTIAL};
    for (size_t i = 0; i < 2; i++) {
        mv_options o = with(ways[i]);
        mv_options private = with(MV_OPEN_PRIVATE | ways[i]);
        mv_view *views[] = {
            open_view(path, MV_OPEN_WRITE), open_view(path, MV_OPEN_WRITE | MV_OPEN_PRIVATE | ways[i]),
            open_view(make_file(scratch_memory("file"), 4 * PAGE), MV_OPEN_WRITE | ways[i]), NULL,
            NULL};
        WORKS(mv_anonymous(4 * PAGE, &o, &views[3], ERR));
        WORKS(mv_anonymous(4 * PAGE, &private, &views[4], ERR));
        for (size_t k = 0; k < 5; k++) {
            CHECK(!is_through(views[k]));
            SAME(pwrites_of(views[k], "x", 1, 5, 1), 0);
            SAME(failing_count(FAILING_fstat), 0);
            SAME(((char *)mv_data(views[k]))[5], 'x');
            close_view(views[k]);
        }
        mv_view *reading = open_view(path, ways[i]);
        CHECK(!is_through(reading));
        REFUSED(-EACCES, mv_write(reading, "x", 1, 0, ERR));
        close_view(reading);
    }
}

static void test_protection_is_kept(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 4 * PAGE);
    static const uint32_t kinds[] = {0, MV_READ};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = open_part(path, MV_OPEN_RANDOM, 0);
        WORKS(mv_protect(view, PAGE, PAGE, kinds[i], ERR));
        failing_reset();
        REFUSED(-EACCES, mv_write(view, bytes, 100, PAGE + 5, ERR));
        AT(PAGE + 5, 100, 0);
        REFUSED(-EACCES, mv_write(view, bytes, 100, PAGE - 50, ERR));
        AT(PAGE, 50, 50);
        SAME(failing_count(FAILING_pwrite), 0);
        CHECK(file_has_pattern(path, PAGE, PAGE));
        WORKS(mv_protect(view, 0, MV_TO_END, MV_READ | MV_WRITE, ERR));
        check_usable(view);
        close_view(view);
        make_file(path, 4 * PAGE);
    }
}

/* SIGXFSZ has its default action, which ends the child: it must not come. */
static void write_over_limit(void *argument)
{
    (void)argument;
    struct rlimit limit = {2 * PAGE, RLIM_INFINITY};
    const char *path = make_file(scratch("file"), 8 * PAGE);
    mv_view *view = open_part(path, MV_OPEN_RANDOM, 100);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    SAME(pwrites_of(view, bytes, 100, 0, 100), 1);
    SAME(pwrites_of(view, bytes, PAGE, 2 * PAGE - 150, (int64_t)PAGE), 0);
    SAME(pwrites_of(view, bytes, 100, 5 * PAGE, 100), 0);
    CHECK(memcmp((char *)mv_data(view) + 5 * PAGE, bytes, 100) == 0);
    close_view(view);
}

static void test_limit_makes_no_signal(void **state)
{
    (void)state;
    in_child(write_over_limit, NULL);
}

/* ---- foreign cuts ---- */

static void test_cut_files_stay_cut(void **state)
{
    (void)state;
    const char *path = scratch("file");
    const uint64_t length = 2 * PAGE + 100;
    memset(bytes, 0xEE, sizeof bytes);
    for (size_t lead = 0; lead < 200; lead += 100) {
        mv_view *view = open_part(make_file(path, 8 * PAGE), MV_OPEN_RANDOM, lead);
        cut_file(path, length);
        REFUSED(-MV_ETRUNCATED, mv_write(view, bytes, 10, 4 * PAGE, ERR));
        AT(4 * PAGE, 10, 0);
        /* As far as pages go that the file has a byte of, as with every view. */
        REFUSED(-MV_ETRUNCATED, mv_write(view, bytes, 3 * PAGE, PAGE - lead, ERR));
        AT(3 * PAGE - lead, PAGE, 2 * PAGE);
        SAME(file_length(path), length);
        char *got = test_malloc(length);
        read_file(path, got, length, 0);
        for (uint64_t i = PAGE; i < length; i++)
            SAME((unsigned char)got[i], 0xEE);
        test_free(got);
        SAME(pwrites_of(view, bytes, 10, PAGE, 10), 1);
        REFUSED(-MV_ETRUNCATED, mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
        close_view(view);
    }
}

static bool cut_before_pwrite(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)result;
    cut_file(argument, PAGE);
    return false;
}

/* The window that the header tells of: what the library looked at is no more. */
static void test_cut_right_before_pwrite(void **state)
{
    (void)state;
    char path[512];
    snprintf(path, sizeof path, "%s", make_file(scratch("file"), 8 * PAGE));
    mv_view *view = open_part(path, MV_OPEN_RANDOM, 0);
    memset(bytes, 0xEE, 10);
    failing_reset();
    failing_on(FAILING_pwrite, cut_before_pwrite, path);
    SAME(WORKS(mv_write(view, bytes, 10, 4 * PAGE, ERR)), 10);
    failing_reset();
    SAME(file_length(path), 4 * PAGE + 10);
    CHECK(file_has_zeros(path, PAGE, 3 * PAGE));
    close_view(view);
}

struct shrinking {
    pthread_t thread;
    mv_view *view;
};

static void *shrink_to_a_page(void *argument)
{
    mv_resize(argument, PAGE, NULL);
    return NULL;
}

/* Leaves a shrink the time to come between the look at the length and pwrite. */
static bool shrink_before_pwrite(unsigned k, long *result, void *argument)
{
    struct shrinking *shrinking = argument;
    (void)k;
    (void)result;
    if (pthread_create(&shrinking->thread, NULL, shrink_to_a_page, shrinking->view) == 0)
        usleep(100000);
    return false;
}

/* A shrink of the view is no foreign cut: it waits for the pwrite. */
static void test_shrink_right_before_pwrite(void **state)
{
    (void)state;
    struct shrinking both = {0};
    const char *path = make_file(scratch("file"), 8 * PAGE);
    both.view = open_part(path, MV_OPEN_RANDOM, 0);
    failing_reset();
    failing_on(FAILING_pwrite, shrink_before_pwrite, &both);
    int64_t r = mv_write(both.view, bytes, 10, 4 * PAGE, NULL);
    failing_on(FAILING_pwrite, NULL, NULL);
    pthread_join(both.thread, NULL);
    CHECK(r == 10 || r == 0);
    SAME(file_length(path), PAGE);
    SAME(mv_size(both.view), PAGE);
    close_view(both.view);
}

struct race {
    mv_view *view;
    atomic_bool over;
    int64_t wrong;
};

static void *write_all_over(void *argument)
{
    struct race *race = argument;
    unsigned seed = 5;
    while (!atomic_load(&race->over)) {
        int64_t r = mv_write(race->view, "12345678", 8, (uint64_t)rand_r(&seed) % (64 * PAGE), NULL);
        if ((r < 0 && r != -MV_ETRUNCATED) || r > 8)
            race->wrong = r;
    }
    return NULL;
}

/* The same, many times: the file stays as short as it gets. */
static void test_shrinks_beside_writers(void **state)
{
    (void)state;
    if (under_valgrind())
        skip_test("under valgrind one thread runs at a time");
    const char *path = make_file(scratch("file"), 64 * PAGE);
    struct race race = {.view = open_part(path, MV_OPEN_RANDOM, 0)};
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, write_all_over, &race) == 0);
    uint64_t wrong = 0;
    for (int i = 0; i < 300; i++) {
        mv_resize(race.view, PAGE, NULL);
        wrong += file_length(path) != PAGE;
        mv_resize(race.view, 64 * PAGE, NULL);
    }
    atomic_store(&race.over, true);
    for (size_t i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    SAME(wrong, 0);
    SAME(race.wrong, 0);
    SAME(file_length(path), 64 * PAGE);
    close_view(race.view);
}

/* ---- what pwrite does not do is stored ---- */

static void test_refusals_are_stored(void **state)
{
    (void)state;
    static const struct {
        enum failing_call call;
        long result;
    } refusals[] = {{FAILING_pwrite, -EIO},  {FAILING_pwrite, -EPERM}, {FAILING_pwrite, -ETXTBSY},
                    {FAILING_pwrite, 0},     {FAILING_fstat, -EIO},    {FAILING_getrlimit, -EINVAL},
                    {FAILING_pwrite, -EINTR}};
    mv_view *view = open_part(make_file(scratch("file"), 4 * PAGE), MV_OPEN_RANDOM, 0);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        memset(bytes, (int)i + 1, PAGE);
        failing_reset();
        failing_arm(refusals[i].call, 1, refusals[i].result, refusals[i].result != -EINTR);
        SAME(WORKS(mv_write(view, bytes, PAGE, 100, ERR)), PAGE);
        CHECK(failing_fired());
        SAME(failing_count(FAILING_pwrite),
             refusals[i].result == -EINTR ? 2 : refusals[i].call == FAILING_pwrite);
        CHECK(memcmp(bytes, (char *)mv_data(view) + 100, PAGE) == 0);
    }
    close_view(view);
}

/* The kernel writes what it can read, and says so by a short count. */
static void test_bad_buffer(void **state)
{
    (void)state;
    mv_view *view = open_part(make_file(scratch("file"), 8 * PAGE), MV_OPEN_RANDOM, 0);
    char *buf = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(buf != MAP_FAILED);
    memset(buf, 0xEE, PAGE);
    CHECK(mprotect(buf + PAGE, PAGE, PROT_NONE) == 0);
    REFUSED(-EFAULT, mv_write(view, buf, 2 * PAGE, 100, ERR));
    AT(100 + PAGE, PAGE, PAGE);
    REFUSED(-EFAULT, mv_write(view, buf + PAGE, 10, 100, ERR));
    AT(100, 10, 0);
    CHECK(has_pattern((char *)mv_data(view) + 100 + PAGE, PAGE, 100 + PAGE));
    munmap(buf, 2 * PAGE);
    close_view(view);
}

static void test_detached(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 4 * PAGE);
    mv_view *view = open_part(path, MV_OPEN_RANDOM, 0);
    WORKS(mv_detach(view, ERR));
    failing_reset();
    REFUSED(-EBADF, mv_write(view, bytes, 10, 0, ERR));
    SAME(failing_count(FAILING_pwrite), 0);
    CHECK(file_has_pattern(path, 0, 4 * PAGE));
    close_view(view);
}

static void write_in_child(void *argument)
{
    mv_view *view = argument;
    SAME(pwrites_of(view, "child", 5, PAGE, 5), 1);
    close_view(view);
}

static void test_child_of_fork(void **state)
{
    (void)state;
    static const uint64_t ways[] = {MV_OPEN_RANDOM, MV_OPEN_RANDOM | MV_OPEN_NO_HANDLER};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = open_part(make_file(scratch("file"), 4 * PAGE), ways[i], 0);
        /* A lock that a thread of the parent holds is held in the child for ever. */
        pthread_mutex_lock(&view->through_lock);
        in_child(write_in_child, view);
        pthread_mutex_unlock(&view->through_lock);
        CHECK(memcmp((char *)mv_data(view) + PAGE, "child", 5) == 0);
        close_view(view);
    }
}

/* ---- MV_OPEN_SEQUENTIAL ---- */

#define WINDOW (4 * MIB) /* as in through.c */

static bool note_begun(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)result;
    ++*(unsigned *)argument;
    return false;
}

static void test_sequential_writes(void **state)
{
    (void)state;
    static char mib[1 << 20];
    const char *path = make_sparse(scratch("file"), 20 * MIB);
    mv_view *view = open_part(path, MV_OPEN_SEQUENTIAL, 0);
    CHECK(is_through(view));
    unsigned begun = 0, writes = 0;
    for (uint64_t at = 0; at < 20 * MIB; at += MIB) {
        memset(mib, (int)(at / MIB) + 1, MIB);
        failing_reset();
        failing_on(FAILING_sync_file_range, note_begun, &begun);
        SAME(WORKS(mv_write(view, mib, MIB, at, ERR)), MIB);
        writes += failing_count(FAILING_pwrite);
        SAME(begun, (at + MIB) / WINDOW);
    }
    SAME(writes, 20);
    for (uint64_t at = 0; at < 20 * MIB; at += PAGE)
        SAME(((char *)mv_data(view))[at], at / MIB + 1);
    /* Records of any size begin it, too, and are stored. */
    failing_reset();
    for (uint64_t at = WINDOW - 3000; at < WINDOW; at += 1000)
        SAME(WORKS(mv_write(view, bytes, 1000, at, ERR)), 1000);
    SAME(failing_count(FAILING_sync_file_range), 1);
    SAME(failing_count(FAILING_pwrite), 0);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    close_view(view);
}

/* Small ones go as fast as on other views: what was synced before one of them is
 * not clean after it, and each that ends a window has that written. */
static void test_small_sequential_writes(void **state)
{
    (void)state;
    const char *path = make_sparse(scratch("file"), 17 * MIB);
    mv_view *view = open_part(path, MV_OPEN_SEQUENTIAL, 0);
    memset(bytes, 0xEE, sizeof bytes);
    SAME(mv_write(view, bytes, 1, 0, ERR), 1); /* the first finds out how to copy */
    for (int i = 0; i < 4; i++) {
        uint64_t at = i < 3 ? WINDOW - 200 + (uint64_t)i * 100 : 0;
        failing_reset();
        WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
        SAME(failing_count(FAILING_msync), 1);
        WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
        SAME(failing_count(FAILING_msync), 1);
        SAME(mv_write(view, bytes, 100, at, ERR), 100);
        SAME(failing_count(FAILING_sync_file_range), i == 1);
        SAME(mv_write(view, bytes, 5, 40, ERR), 5);
        SAME(mv_write(view, bytes, 5, 16 * MIB - 3, ERR), 5);
        SAME(failing_count(FAILING_sync_file_range), (i == 1) + 1);
        SAME(failing_count(FAILING_pwrite), 0);
    }
    SAME(mv_write(view, bytes, 5, 17 * MIB - 2, ERR), 2);
    SAME(mv_write(view, bytes, 5, 17 * MIB, ERR), 0);
    close_view(view);
    unsigned char got[300];
    read_file(path, got, 300, WINDOW - 200);
    CHECK(memcmp(got, bytes, 300) == 0);
}

/* The windows are the file's, whatever part of it is shown. */
static void test_windows_of_a_part(void **state)
{
    (void)state;
    const char *path = make_sparse(scratch("file"), 12 * MIB);
    mv_view *view = open_part(path, MV_OPEN_SEQUENTIAL, WINDOW - 100);
    static const bool handlers[] = {true, false};
    for (size_t i = 0; i < 2; i++) {
        failing_reset();
        WORKS(mv_write(view, bytes, 99, 0, ERR));
        SAME(failing_count(FAILING_sync_file_range), 0);
        WORKS(mv_write(view, bytes, 1, 99, ERR));
        SAME(failing_count(FAILING_sync_file_range), 1);
        WORKS(mv_write(view, bytes, 1000, 100, ERR));
        SAME(failing_count(FAILING_sync_file_range), 1);
        close_view(view);
        view =
            open_part(path, MV_OPEN_SEQUENTIAL | (handlers[i] ? MV_OPEN_NO_HANDLER : 0), WINDOW - 100);
    }
    close_view(view);
}

/* The write is in memory; what became of the write-back the next sync tells. */
static void test_failed_write_back(void **state)
{
    (void)state;
    const char *path = make_sparse(scratch("file"), 9 * MIB);
    static const long results[] = {-EIO, -ENOSYS};
    for (size_t i = 0; i < 2; i++) {
        mv_view *view = open_part(path, MV_OPEN_SEQUENTIAL, 0);
        failing_reset();
        failing_arm(FAILING_sync_file_range, 1, results[i], true);
        SAME(WORKS(mv_write(view, bytes, 100, WINDOW - 50, ERR)), 100);
        CHECK(failing_fired());
        failing_reset();
        if (results[i] == -EIO) {
            REFUSED(-EIO, mv_sync(view, 0, 1, MV_SYNC_DATA, ERR));
            AT(0, WINDOW, 0);
            FAILED_OP("sync_file_range");
            close_failed(view, -EIO);
        } else {
            WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
            close_view(view);
        }
    }
}

static void write_window_in_child(void *argument)
{
    mv_view *view = argument;
    failing_reset();
    WORKS(mv_write(view, bytes, 100, WINDOW - 50, ERR));
    SAME(failing_count(FAILING_sync_file_range), 0); /* its failure is the parent's to be told */
    close_view(view);
}

static void test_no_write_back_in_a_child(void **state)
{
    (void)state;
    mv_view *view = open_part(make_sparse(scratch("file"), 9 * MIB), MV_OPEN_SEQUENTIAL, 0);
    in_child(write_window_in_child, view);
    close_view(view);
}

/* Views without these flags make no system call for a write. */
static void test_plain_writes_make_no_call(void **state)
{
    (void)state;
    mv_view *view = open_part(make_file(scratch("file"), 4 * PAGE), 0, 0);
    WORKS(mv_write(view, bytes, 10, 0, ERR));
    failing_reset();
    for (uint64_t i = 0; i < 1000; i++)
        WORKS(mv_write(view, bytes, 100, i, ERR));
    for (int call = 0; call < FAILING_CALLS; call++)
        SAME(failing_count((enum failing_call)call), 0);
    CHECK(atomic_load(&view->fast) & MV_WRITE);
    close_view(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_random_writes),
        TEST(test_random_writes_are_writes),
        TEST(test_other_views_store),
        TEST(test_protection_is_kept),
        TEST(test_limit_makes_no_signal),
        TEST(test_cut_files_stay_cut),
        TEST(test_cut_right_before_pwrite),
        TEST(test_shrink_right_before_pwrite),
        TEST(test_shrinks_beside_writers),
        TEST(test_refusals_are_stored),
        TEST(test_bad_buffer),
        TEST(test_detached),
        TEST(test_child_of_fork),
        TEST(test_sequential_writes),
        TEST(test_small_sequential_writes),
        TEST(test_windows_of_a_part),
        TEST(test_failed_write_back),
        TEST(test_no_write_back_in_a_child),
        TEST(test_plain_writes_make_no_call),
    };
    return RUN(tests);
}
