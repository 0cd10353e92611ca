/* test_sync_clean.c: the syncs that are known to have nothing to do, and
 * everything after which that is not known any more. */
#include "support.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>

static unsigned calls_made(void)
{
    unsigned total = 0;
    for (int call = 0; call < FAILING_CALLS; call++)
        total += failing_count((enum failing_call)call);
    return total;
}

/* Does a sync of the whole view at this level make any system call? */
static bool syncs(mv_view *view, uint32_t level)
{
    failing_reset();
    WORKS(mv_sync(view, 0, MV_TO_END, level, ERR));
    return calls_made() > 0;
}

static void make_clean(mv_view *view)
{
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    for (uint32_t level = MV_SYNC_START; level <= MV_SYNC_FULL; level++)
        CHECK(!syncs(view, level));
}

static mv_view *open_clean(uint64_t flags)
{
    mv_options o = with(MV_OPEN_WRITE | flags);
    o.reserve = 8 * PAGE;
    mv_view *view = open_with(make_file(scratch("file"), 4 * PAGE), &o);
    make_clean(view);
    return view;
}

/* ---- what is clean ---- */

static void test_clean(void **state)
{
    (void)state;
    mv_view *view = open_clean(0);
    failing_reset();
    for (uint64_t off = 0; off <= 4 * PAGE; off += PAGE / 2) /* every range of it */
        WORKS(mv_sync(view, off, MV_TO_END, MV_SYNC_FULL, ERR));
    WORKS(mv_sync(view, 5, 7, MV_SYNC_DATA, ERR));
    SAME(calls_made(), 0);
    REFUSED(-EINVAL, mv_sync(view, 4 * PAGE, 1, MV_SYNC_FULL, ERR)); /* but still a checked one */
    close_view(view);
}

static void test_force(void **state)
{
    (void)state;
    mv_view *view = open_clean(0);
    static const enum failing_call calls[] = {FAILING_sync_file_range, FAILING_msync, FAILING_fsync};
    for (uint32_t level = MV_SYNC_START; level <= MV_SYNC_FULL; level++) {
        CHECK(syncs(view, level | MV_SYNC_FORCE));
        SAME(failing_count(calls[level - 1]), 1);
        CHECK(!syncs(view, MV_SYNC_FULL)); /* which takes nothing away */
    }
    cut_file(scratch("file"), PAGE); /* what a clean sync does not look at */
    CHECK(!syncs(view, MV_SYNC_FULL));
    REFUSED(-MV_ETRUNCATED, mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL | MV_SYNC_FORCE, ERR));
    REFUSED(-MV_ETRUNCATED, mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR)); /* known by now */
    close_view(view);
}

static void test_levels(void **state)
{
    (void)state;
    mv_view *view = open_view(make_file(scratch("file"), 4 * PAGE), MV_OPEN_WRITE);
    CHECK(syncs(view, MV_SYNC_START) && syncs(view, MV_SYNC_START)); /* begun is not done */
    CHECK(syncs(view, MV_SYNC_DATA));                                /* the first after the open */
    CHECK(!syncs(view, MV_SYNC_DATA) && !syncs(view, MV_SYNC_START));
    CHECK(syncs(view, MV_SYNC_FULL)); /* more than was reached */
    CHECK(!syncs(view, MV_SYNC_FULL) && !syncs(view, MV_SYNC_DATA) && !syncs(view, MV_SYNC_START));
    SAME(WORKS(mv_write(view, "x", 1, 0, ERR)), 1);
    CHECK(syncs(view, MV_SYNC_DATA) && !syncs(view, MV_SYNC_DATA) && syncs(view, MV_SYNC_FULL));
    close_view(view);
}

/* A part that was synced says nothing of the rest. */
static void test_parts(void **state)
{
    (void)state;
    mv_view *view = open_clean(0);
    SAME(WORKS(mv_write(view, "x", 1, 0, ERR)), 1);
    for (uint32_t level = MV_SYNC_DATA; level <= MV_SYNC_FULL; level++) {
        WORKS(mv_sync(view, 0, 4 * PAGE - 1, level, ERR));
        WORKS(mv_sync(view, 1, MV_TO_END, level, ERR));
        CHECK(syncs(view, MV_SYNC_START)); /* hence not clean */
    }
    CHECK(syncs(view, MV_SYNC_FULL) && !syncs(view, MV_SYNC_FULL));
    close_view(view);
}

static void test_empty_view(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_WRITE);
    o.reserve = 2 * PAGE;
    mv_view *view = open_with(make_file(scratch("file"), 0), &o);
    CHECK(syncs(view, MV_SYNC_FULL) && !syncs(view, MV_SYNC_FULL));
    WORKS(mv_resize(view, 10, ERR));
    CHECK(syncs(view, MV_SYNC_FULL) && !syncs(view, MV_SYNC_FULL));
    close_view(view);
}

/* The name of a created file is not yet known to be there. */
static void test_name_is_owed(void **state)
{
    (void)state;
    mv_view *view = open_view(scratch("new"), MV_OPEN_WRITE | MV_OPEN_CREATE);
    failing_reset();
    failing_arm(FAILING_fstat, 1, -EIO, false); /* comes after the folder's fsync */
    REFUSED(-EIO, mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    SAME(failing_count(FAILING_fsync), 2);
    CHECK(syncs(view, MV_SYNC_FULL)); /* a sync that did not succeed is none */
    SAME(failing_count(FAILING_fsync), 1);
    CHECK(!syncs(view, MV_SYNC_FULL));
    close_view(view);
}

/* ---- what ends it ---- */

static void by_write(mv_view *view)
{
    SAME(WORKS(mv_write(view, "x", 1, PAGE, ERR)), 1);
}

static void by_second_write(mv_view *view)
{
    by_write(view);
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    by_write(view);
}

static void by_short_write(mv_view *view)
{
    SAME(WORKS(mv_write(view, "xyz", 3, 4 * PAGE - 1, ERR)), 1);
}

/* Half of it arrives. */
static void by_failing_write(mv_view *view)
{
    static unsigned char bytes[2 * LARGEST_PAGE];
    cut_file(scratch("file"), PAGE);
    REFUSED(-MV_ETRUNCATED, mv_write(view, bytes, 2 * PAGE, 0, ERR));
    cut_file(scratch("file"), 4 * PAGE);
}

static void by_store(mv_view *view)
{
    WORKS(mv_store(view, 8, 8, 1, ERR));
}

static void by_failing_store(mv_view *view)
{
    cut_file(scratch("file"), PAGE);
    REFUSED(-MV_ETRUNCATED, mv_store(view, PAGE, 8, 1, ERR));
    cut_file(scratch("file"), 4 * PAGE);
}

static void by_discard(mv_view *view)
{
    WORKS(mv_discard(view, PAGE, PAGE, ERR));
}

static void by_failing_discard(mv_view *view)
{
    failing_arm(FAILING_fallocate, 1, -EIO, false);
    REFUSED(-EIO, mv_discard(view, PAGE, PAGE, ERR));
}

static void by_prefault(mv_view *view)
{
    WORKS(mv_prefault(view, PAGE, 1, MV_WRITE, ERR));
}

static void by_probe(mv_view *view)
{
    WORKS(mv_probe(view, PAGE, 1, MV_READ | MV_WRITE, ERR));
}

static void by_growth(mv_view *view)
{
    WORKS(mv_resize(view, 5 * PAGE, ERR));
}

static void by_failing_growth(mv_view *view)
{
    failing_arm(FAILING_fallocate, 1, -ENOSPC, false);
    REFUSED(-ENOSPC, mv_resize(view, 5 * PAGE, ERR));
}

static void by_shrink(mv_view *view)
{
    WORKS(mv_resize(view, 3 * PAGE, ERR));
}

static void by_refresh(mv_view *view)
{
    grow_file(scratch("file"), 5 * PAGE);
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), 5 * PAGE);
}

static void by_data(mv_view *view)
{
    CHECK(mv_data(view));
}

static void test_what_ends_it(void **state)
{
    (void)state;
    static void (*const writes[])(mv_view *) = {
        by_write,   by_second_write,    by_short_write, by_failing_write, by_store,
        by_discard, by_failing_discard, by_prefault,    by_probe,         by_growth,
        by_shrink,  by_failing_growth,  by_refresh,     by_failing_store, by_data,
    };
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++)
        for (uint32_t level = MV_SYNC_START; level <= MV_SYNC_FULL; level++) {
            mv_view *view = open_clean(0);
            failing_reset();
            writes[i](view);
            CHECK(syncs(view, level));
            close_view(view);
        }
}

/* The same where the kernel copies. */
static void test_without_handler(void **state)
{
    (void)state;
    static void (*const writes[])(mv_view *) = {by_write, by_second_write, by_short_write,
                                                by_failing_write};
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++) {
        mv_view *view = open_clean(MV_OPEN_NO_HANDLER);
        failing_reset();
        writes[i](view);
        CHECK(syncs(view, MV_SYNC_DATA));
        close_view(view);
    }
}

static void test_reading_does_not(void **state)
{
    (void)state;
    mv_view *view = open_clean(0);
    char bytes[10];
    uint64_t value;
    SAME(WORKS(mv_read(view, bytes, 10, 100, ERR)), 10);
    SAME(WORKS(mv_read(view, bytes, 10, 4 * PAGE - 5, ERR)), 5);
    WORKS(mv_load(view, 0, 8, &value, ERR));
    WORKS(mv_prefault(view, 0, MV_TO_END, MV_READ, ERR));
    WORKS(mv_probe(view, 0, MV_TO_END, MV_READ, ERR));
    WORKS(mv_advise(view, 0, MV_TO_END, MV_ADVICE_WILLNEED, ERR));
    REFUSED(-EINVAL, mv_store(view, 1, 8, 1, ERR));
    SAME(mv_size(view), 4 * PAGE);
    CHECK(!syncs(view, MV_SYNC_FULL));
    close_view(view);
}

/* Of these nothing is known, however often they are synced. */
static void test_never_clean(void **state)
{
    (void)state;
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_DEVICE);
    o.length = PAGE;
    const char *path = make_file(scratch("file"), PAGE);
    mv_view *views[] = {
        open_view(path, MV_OPEN_WRITE), /* lends its memory */
        open_view(path, 0),
        open_with("/dev/zero", &o),
    };
    make_clean(views[0]);
    CHECK(mv_data(views[0]));
    for (size_t i = 0; i < 3; i++) {
        for (int times = 0; times < 3; times++)
            CHECK(syncs(views[i], MV_SYNC_DATA));
        close_view(views[i]);
    }
}

/* ---- failures ---- */

static void test_failure(void **state)
{
    (void)state;
    mv_view *view = open_clean(0);
    by_write(view);
    failing_reset();
    failing_arm(FAILING_fstat, 1, -EIO, false); /* the sync itself has succeeded */
    REFUSED(-EIO, mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    CHECK(syncs(view, MV_SYNC_DATA)); /* but nobody was told so */
    make_clean(view);
    failing_reset();
    failing_arm(FAILING_fsync, 1, -EIO, false);
    REFUSED(-EIO, mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL | MV_SYNC_FORCE, ERR));
    for (uint32_t level = MV_SYNC_START; level <= MV_SYNC_FULL; level++)
        REFUSED(-EIO, mv_sync(view, 0, MV_TO_END, level, ERR)); /* a failed view is never clean */
    close_failed(view, -EIO);
}

static void test_detached(void **state)
{
    (void)state;
    mv_view *view = open_clean(0);
    WORKS(mv_detach(view, ERR));
    SAME(mv_size(view), 0);
    REFUSED(-EBADF, mv_sync(view, 0, 0, MV_SYNC_FULL, ERR));
    REFUSED(-EBADF, mv_write(view, "x", 1, 0, ERR));
    SAME(mv_size(view), 0);
    close_view(view);
}

static bool fails(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)argument;
    *result = -ENOMEM;
    return true;
}

/* Meanwhile nobody could mark it. */
static void test_failed_detach(void **state)
{
    (void)state;
    mv_view *view = open_clean(0);
    failing_reset();
    failing_on(FAILING_mmap, fails, NULL);
    failing_on(FAILING_mprotect, fails, NULL);
    REFUSED(-ENOMEM, mv_detach(view, ERR));
    failing_reset();
    SAME(mv_size(view), 4 * PAGE);
    CHECK(syncs(view, MV_SYNC_DATA));
    close_view(view);
}

/* ---- beside a sync ---- */

static void (*beside)(mv_view *);

static bool run_beside(unsigned k, long *result, void *argument)
{
    (void)result;
    if (k == 1)
        beside(argument);
    return false;
}

static void write_beside(mv_view *view)
{
    CHECK(mv_write(view, "x", 1, 0, NULL) == 1);
}

static void store_beside(mv_view *view)
{
    CHECK(mv_store(view, 0, 1, 1, NULL) == 0);
}

static void grow_beside(mv_view *view)
{
    CHECK(mv_resize(view, 5 * PAGE, NULL) == 0);
}

static void lend_beside(mv_view *view)
{
    CHECK(mv_data(view));
}

static void discard_beside(mv_view *view)
{
    CHECK(mv_discard(view, 0, 1, NULL) == 0);
}

/* What is written while a sync runs, that sync may have missed. */
static void test_beside_a_sync(void **state)
{
    (void)state;
    static void (*const writes[])(mv_view *) = {write_beside, store_beside, grow_beside, lend_beside,
                                                discard_beside};
    static const enum failing_call calls[] = {FAILING_msync, FAILING_fsync};
    for (size_t i = 0; i < sizeof writes / sizeof writes[0]; i++)
        for (size_t k = 0; k < 2; k++) {
            mv_view *view = open_clean(0);
            by_write(view);
            failing_reset();
            beside = writes[i];
            failing_on(calls[k], run_beside, view);
            WORKS(mv_sync(view, 0, MV_TO_END, k ? MV_SYNC_FULL : MV_SYNC_DATA, ERR));
            CHECK(syncs(view, MV_SYNC_START));
            close_view(view);
        }
}

static bool synced_well = true;
static _Atomic(mv_view *) synced_view;

static void sync_all(void *argument)
{
    _Atomic(mv_view *) *view = argument;
    if (mv_sync(atomic_load(view), 0, MV_TO_END, MV_SYNC_FULL, NULL) != 0)
        synced_well = false;
}

/* A sync in the midst of a copy, which was marked before or was not. */
static void test_in_the_midst(void **state)
{
    (void)state;
    static const uint64_t flags[] = {0, MV_OPEN_TRACK};
    for (size_t i = 0; i < 2; i++)
        for (int marked = 0; marked < 2; marked++) {
            struct trap trap;
            trap_make(&trap, sync_all, &synced_view); /* first: it may skip the test */
            mv_view *view = open_clean(flags[i]);
            atomic_store(&synced_view, view);
            if (marked)
                by_write(view);
            SAME(WORKS(mv_write(view, trap.bytes, 3 * PAGE, 0, ERR)), 3 * PAGE);
            CHECK(trap_free(&trap) && synced_well);
            CHECK(syncs(view, MV_SYNC_START));
            close_view(view);
        }
}

/* Writers that each sync what they have written, while the others do. The call
 * of the kernel notes in its stead what it has got: no sync may return before
 * what was written before it is noted. */
enum { WRITERS = 4, ROUNDS = 20000 };

static struct {
    mv_view *view;
    _Atomic uint64_t durable[WRITERS];
    atomic_ulong made;
    atomic_bool lost, broken;
} storm;

static bool take_bytes(unsigned k, long *result, void *argument)
{
    (void)k;
    (void)argument;
    /* What the kernel does by making pages unwritable: the others' stores are
     * either done or come after it. */
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0)
        atomic_store(&storm.broken, true);
    for (size_t i = 0; i < WRITERS; i++) {
        const _Atomic uint64_t *number = (const _Atomic uint64_t *)(storm.view->data + i * 64);
        atomic_store(&storm.durable[i], atomic_load(number));
    }
    atomic_fetch_add(&storm.made, 1);
    *result = 0;
    return true;
}

static void *write_and_sync(void *argument)
{
    size_t i = (size_t)(uintptr_t)argument;
    for (uint64_t number = 1; number <= ROUNDS && !atomic_load(&storm.lost); number++) {
        if (mv_write(storm.view, &number, sizeof number, i * 64, NULL) != sizeof number ||
            mv_sync(storm.view, 0, MV_TO_END, MV_SYNC_DATA, NULL) != 0)
            atomic_store(&storm.broken, true);
        if (atomic_load(&storm.durable[i]) < number)
            atomic_store(&storm.lost, true);
    }
    return NULL;
}

static void test_storm(void **state)
{
    (void)state;
    pthread_t threads[WRITERS];
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0)
        skip_test("the kernel has no membarrier");
    storm.view = open_view(make_file(scratch("file"), PAGE), MV_OPEN_WRITE);
    failing_reset();
    failing_on(FAILING_msync, take_bytes, NULL);
    for (size_t i = 0; i < WRITERS; i++)
        CHECK(pthread_create(&threads[i], NULL, write_and_sync, (void *)(uintptr_t)i) == 0);
    for (size_t i = 0; i < WRITERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(!atomic_load(&storm.lost) && !atomic_load(&storm.broken));
    CHECK(atomic_load(&storm.made) > 0);
    failing_reset();
    close_view(storm.view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_clean),         TEST(test_force),           TEST(test_levels),
        TEST(test_parts),         TEST(test_empty_view),      TEST(test_name_is_owed),
        TEST(test_what_ends_it),  TEST(test_without_handler), TEST(test_reading_does_not),
        TEST(test_never_clean),   TEST(test_failure),         TEST(test_detached),
        TEST(test_failed_detach), TEST(test_beside_a_sync),   TEST(test_in_the_midst),
        TEST(test_storm),
    };
    return RUN(tests);
}
