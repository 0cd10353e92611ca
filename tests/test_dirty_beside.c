/* test_dirty_beside.c: mv_dirty beside syncs, failures, other processes and
 * writers: nothing that was written is ever left out. */
#include "tracking.h"

#include <pthread.h>

/* ---- beside a sync ---- */

static void test_sync(void **state)
{
    (void)state;
    for (size_t i = 0; i < RESETTABLE; i++)
        for (uint32_t level = MV_SYNC_START; level <= MV_SYNC_FULL; level++) {
            mv_view *view = open_file_way(tracks[i]);
            write_page(view, 1);
            write_page(view, 5);
            WORKS(mv_sync(view, PAGE - 100 + 7, 1, level, ERR)); /* whole pages are synced */
            SAME(pages_found(view, 0), level == MV_SYNC_START ? 1 << 1 | 1 << 5 : 1 << 5);
            WORKS(mv_sync(view, 0, MV_TO_END, level, ERR));
            SAME(pages_found(view, 0), level == MV_SYNC_START ? 1 << 1 | 1 << 5 : 0);
            close_view(view);
        }
}

static bool write_beside(unsigned k, long *result, void *argument)
{
    (void)result;
    if (k == 1) {
        mv_view *view = argument;
        CHECK(mv_write(view, "dirty", 5, 5 * PAGE, NULL) == 5);
        CHECK(mv_write(view, "dirty", 5, 8 * PAGE, NULL) == 5);
        /* What the sync is at is not durable yet. */
        SAME(pages_found(view, 0), 1 << 1 | 1 << 5 | 1 << 8);
    }
    return false;
}

static void test_write_beside_a_sync(void **state)
{
    (void)state;
    for (size_t i = 0; i < RESETTABLE; i++) {
        mv_view *view = open_file_way(tracks[i]);
        write_page(view, 1);
        write_page(view, 5);
        failing_reset();
        failing_on(FAILING_msync, write_beside, view);
        SAME(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, NULL), 0);
        SAME(failing_count(FAILING_msync), 1);
        failing_reset();
        SAME(pages_found(view, 0), 1 << 5 | 1 << 8);
        close_view(view);
    }
}

static void test_failed_sync(void **state)
{
    (void)state;
    for (size_t i = 0; i < RESETTABLE; i++) {
        mv_view *view = open_file_way(tracks[i]);
        write_page(view, 1);
        write_page(view, 5);
        failing_reset();
        failing_arm(FAILING_fstat, 1, -EIO, false);
        REFUSED(-EIO, mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
        failing_reset();
        SAME(pages_found(view, 0), 1 << 1 | 1 << 5);
        WORKS(mv_sync(view, 0, 2 * PAGE, MV_SYNC_DATA, ERR));
        SAME(pages_found(view, 0), 1 << 5);
        failing_reset();
        failing_arm(FAILING_msync, 1, -EIO, false);
        REFUSED(-EIO, mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
        failing_reset();
        REFUSED(-EIO, mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
        SAME(pages_found(view, MV_DIRTY_RESET), 1 << 5); /* for whoever writes it anew */
        SAME(look(view, 0), 0);
        close_failed(view, -EIO);
    }
}

/* A sync that cannot reset syncs all the same. */
static void test_sync_without_look(void **state)
{
    (void)state;
    mv_view *view = open_file_way(MV_TRACK_KERNEL);
    static const enum failing_call calls[] = {FAILING_open, FAILING_ioctl};
    for (size_t i = 0; i < 2; i++) {
        write_page(view, 1);
        failing_reset();
        failing_arm(calls[i], 1, -EMFILE, false);
        WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
        CHECK(failing_fired() && failing_count(FAILING_msync) == 1);
        failing_reset();
        SAME(pages_found(view, 0), i ? ((1 << TRACKED_PAGES) - 1) : 1 << 1); /* it may be any, now */
    }
    close_view(view);
}

/* ---- failures ---- */

/* Nobody was told, so all that was reset is dirty again. */
static bool fail_second(unsigned k, long *result, void *argument)
{
    (void)argument;
    *result = -EIO;
    return k == 2;
}

static void test_failure_resets_nothing(void **state)
{
    (void)state;
    enum { LARGE = 20000 };
    mv_view *view = open_way(make_sparse(scratch("large"), LARGE * PAGE), MV_TRACK_KERNEL, 0);
    write_page(view, 1);
    write_page(view, LARGE - 1);
    failing_reset();
    failing_on(FAILING_ioctl, fail_second, NULL);
    REFUSED(-EIO, mv_dirty(view, 0, MV_TO_END, ranges, MOST_RANGES, MV_DIRTY_RESET, ERR));
    failing_reset();
    SAME(look(view, 0), 2);
    check_range(0, view, 1, 2);
    CHECK(ranges[1].offset + ranges[1].length == mv_size(view));
    close_view(view);
}

static long (*real_ioctl)(int fd, unsigned long request, void *argument);

static long scan_and_fail(int fd, unsigned long request, void *argument)
{
    mv__sys.ioctl = real_ioctl;
    return real_ioctl(fd, request, argument) < 0 ? -ENOTTY : -EIO;
}

/* The kernel has begun to note anew, and then had no way to tell. */
static void test_look_that_is_lost(void **state)
{
    (void)state;
    for (int by_sync = 0; by_sync < 2; by_sync++) {
        mv_view *view = open_file_way(MV_TRACK_KERNEL);
        write_page(view, 1);
        real_ioctl = mv__sys.ioctl;
        mv__sys.ioctl = scan_and_fail;
        if (by_sync)
            WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
        else
            REFUSED(-EIO, mv_dirty(view, 0, MV_TO_END, ranges, MOST_RANGES, MV_DIRTY_RESET, ERR));
        CHECK(mv__sys.ioctl == real_ioctl);
        CHECK(pages_found(view, 0) & 1 << 1);
        close_view(view);
    }
}

/* What somebody has mapped over the view nobody notes. */
static void test_mapped_over(void **state)
{
    (void)state;
    mv_view *view = open_file_way(MV_TRACK_KERNEL);
    CHECK(mmap(view->base + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
    REFUSED(-EPERM, mv_dirty(view, 0, MV_TO_END, ranges, MOST_RANGES, 0, ERR));
    close_view(view);
}

static bool detach_beside(unsigned k, long *result, void *argument)
{
    (void)result;
    if (k == 1)
        CHECK(mv_detach(argument, NULL) == 0);
    return false;
}

static void test_detach(void **state)
{
    (void)state;
    for (size_t i = 0; i < WAYS; i++) {
        struct resources before = resources_now();
        mv_view *view = open_file_way(tracks[i]);
        write_page(view, 1);
        WORKS(mv_detach(view, ERR));
        SAME(resources_now().descriptors, before.descriptors);
        REFUSED(-EBADF, mv_dirty(view, 0, MV_TO_END, ranges, MOST_RANGES, 0, ERR));
        close_view(view);
        CHECK(resources_same(before));
    }
    static const enum failing_call calls[] = {FAILING_ioctl, FAILING_close, FAILING_pread};
    static const uint32_t of_calls[] = {MV_TRACK_KERNEL, MV_TRACK_KERNEL, MV_TRACK_PRIVATE};
    for (size_t i = 0; i < 3; i++) {
        mv_view *view = open_file_way(of_calls[i]);
        write_page(view, 1);
        failing_reset();
        failing_on(calls[i], detach_beside, view);
        REFUSED(-EBADF, mv_dirty(view, 0, MV_TO_END, ranges, MOST_RANGES, 0, ERR));
        failing_reset();
        close_view(view);
    }
}

/* ---- others ---- */

static void write_in_child(void *argument)
{
    mv_view *view = argument;
    REFUSED(-ECHILD, mv_dirty(view, 0, MV_TO_END, ranges, MOST_RANGES, 0, ERR));
    write_page(view, 4);
    ((volatile unsigned char *)mv_data(view))[5 * PAGE] = 1;
    close_view(view);
}

/* What a child stores is not seen, and it leaves the parent's watch alone. */
static void test_fork(void **state)
{
    (void)state;
    for (size_t i = 0; i < WAYS; i++) {
        mv_view *view = open_file_way(tracks[i]);
        write_page(view, 1);
        in_child(write_in_child, view);
        SAME(pages_found(view, 0), 1 << 1);
        write_page(view, 2);
        SAME(pages_found(view, 0), 1 << 1 | 1 << 2);
        if (tracks[i] != MV_TRACK_PRIVATE) {
            SAME(pages_found(view, MV_DIRTY_RESET), 1 << 1 | 1 << 2);
            in_child(write_in_child, view);
            SAME(look(view, 0), 0);
            write_page(view, 2);
            SAME(pages_found(view, 0), 1 << 2);
        }
        close_view(view);
    }
}

/* Nor is what others write to the file. */
static void test_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < WAYS; i++) {
        mv_view *view = open_file_way(tracks[i]);
        mv_view *other = open_view(scratch("file"), MV_OPEN_WRITE);
        write_file(scratch("file"), "other", 5, 3 * PAGE);
        SAME(WORKS(mv_write(other, "other", 5, 4 * PAGE, ERR)), 5);
        SAME(look(view, 0), 0);
        close_view(other);
        close_view(view);
    }
}

static void track_as_nobody(void *argument)
{
    (void)argument;
    CHECK(kernel_can_watch()); /* where root can, everybody can */
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t flags = tracks[i] == MV_TRACK_PRIVATE ? MV_OPEN_PRIVATE : 0;
        mv_view *view = open_way(scratch("file"), tracks[i], flags);
        write_page(view, 3);
        SAME(pages_found(view, 0), 1 << 3);
        close_view(view);
    }
}

static void test_as_nobody(void **state)
{
    (void)state;
    if (!kernel_can_watch())
        skip_test("this kernel does not note what is written: Linux 6.7 does");
    CHECK(chmod(make_file(scratch("file"), TRACKED_PAGES * PAGE), 0666) == 0);
    as_nobody(track_as_nobody, NULL);
}

/* ---- a storm ---- */

/* Writers, and syncs that fail, beside a reader who takes what is dirty and
 * copies it: whenever they rest he must have the last of every page. What was
 * written after his copy must have been told again. */
enum { WRITERS = 3, BATCHES = 150, ROUNDS = 100, STORM_PAGES = 100 };

static struct {
    mv_view *view;
    bool raw, syncs;
    unsigned batch;
    atomic_uint running;
    atomic_bool broken;
    uint64_t copy[STORM_PAGES][WRITERS];
} storm;

static _Atomic uint64_t *number_of(uint64_t page, uint64_t writer)
{
    uint64_t off = page * PAGE + 128 + writer * 64 - storm.view->geometry.lead;
    return (_Atomic uint64_t *)(storm.view->data + off);
}

static void *write_storm(void *argument)
{
    uint64_t writer = (uint64_t)(uintptr_t)argument, seed = writer + storm.batch * WRITERS;
    for (uint64_t number = 1; number <= ROUNDS; number++) {
        seed = seed * 6364136223846793005U + 1442695040888963407U;
        _Atomic uint64_t *at = number_of((seed >> 33) % STORM_PAGES, writer);
        uint64_t off = (uint64_t)((unsigned char *)at - storm.view->data);
        uint64_t value = storm.batch * ROUNDS + number;
        if (storm.raw)
            atomic_store(at, value);
        else if (number % 2 ? mv_store(storm.view, off, 8, value, NULL) != 0
                            : mv_write(storm.view, &value, 8, off, NULL) != 8)
            atomic_store(&storm.broken, true);
    }
    atomic_fetch_sub(&storm.running, 1);
    return NULL;
}

/* What these put aside comes back. */
static void *sync_storm(void *argument)
{
    (void)argument;
    while (atomic_load(&storm.running) > 0)
        if (mv_sync(storm.view, 0, MV_TO_END, MV_SYNC_DATA, NULL) != -EIO)
            atomic_store(&storm.broken, true);
    return NULL;
}

static bool do_nothing(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)argument;
    *result = 0;
    return true;
}

static bool fail_look(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)argument;
    *result = -EIO;
    return true;
}

/* Copies the numbers of the pages that are dirty. */
static int64_t take_dirty(void)
{
    mv_range some[8];
    uint64_t at = 0, lead = storm.view->geometry.lead;
    int64_t n, total = 0;
    do {
        n = WORKS(mv_dirty(storm.view, at, MV_TO_END, some, 8, MV_DIRTY_RESET, ERR));
        for (int64_t i = 0; i < n; i++) {
            at = some[i].offset + some[i].length;
            for (uint64_t page = (lead + some[i].offset) / PAGE; page * PAGE < lead + at; page++)
                for (uint64_t writer = 0; writer < WRITERS; writer++)
                    storm.copy[page][writer] = atomic_load(number_of(page, writer));
        }
        total += n;
    } while (n == 8);
    return total;
}

static int64_t run_batch(void)
{
    pthread_t threads[WRITERS + 1];
    int64_t taken = 0;
    atomic_store(&storm.running, WRITERS);
    for (size_t i = 0; i < WRITERS; i++)
        CHECK(pthread_create(&threads[i], NULL, write_storm, (void *)(uintptr_t)i) == 0);
    if (storm.syncs)
        CHECK(pthread_create(&threads[WRITERS], NULL, sync_storm, NULL) == 0);
    while (atomic_load(&storm.running) > 0)
        taken += take_dirty();
    for (size_t i = 0; i < WRITERS + (storm.syncs ? 1U : 0U); i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    taken += take_dirty();
    for (uint64_t page = 0; page < STORM_PAGES; page++)
        for (uint64_t writer = 0; writer < WRITERS; writer++)
            SAME(storm.copy[page][writer], atomic_load(number_of(page, writer)));
    return taken;
}

static void run_storm(uint32_t way, uint64_t flags, bool raw, bool syncs)
{
    int64_t taken = 0;
    storm.view = open_way(make_file(scratch("file"), STORM_PAGES * PAGE), way, flags);
    storm.raw = raw;
    storm.syncs = syncs;
    for (uint64_t page = 0; page < STORM_PAGES; page++)
        for (uint64_t writer = 0; writer < WRITERS; writer++)
            storm.copy[page][writer] = atomic_load(number_of(page, writer));
    failing_reset();
    failing_on(FAILING_msync, do_nothing, NULL);
    failing_on(FAILING_fstat, fail_look, NULL);
    for (storm.batch = 1; storm.batch <= BATCHES; storm.batch++)
        taken += run_batch();
    failing_reset();
    CHECK(taken > BATCHES && !atomic_load(&storm.broken));
    SAME(take_dirty(), 0);
    close_view(storm.view);
}

static void test_storm(void **state)
{
    (void)state;
    for (int syncs = 0; syncs < 2; syncs++) {
        run_storm(MV_TRACK_MARKS, 0, false, syncs);
        run_storm(MV_TRACK_KERNEL, 0, false, syncs);
        run_storm(MV_TRACK_KERNEL, 0, true, syncs);
    }
    run_storm(MV_TRACK_KERNEL, MV_OPEN_PRIVATE, true, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_sync),
        TEST(test_write_beside_a_sync),
        TEST(test_failed_sync),
        TEST(test_sync_without_look),
        TEST(test_failure_resets_nothing),
        TEST(test_look_that_is_lost),
        TEST(test_mapped_over),
        TEST(test_detach),
        TEST(test_fork),
        TEST(test_others),
        TEST(test_as_nobody),
        TEST(test_storm),
    };
    return RUN(tests);
}
