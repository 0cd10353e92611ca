/* test_rewrite.c: MV_ADVICE_REWRITE. */
#include "support.h"

#include <sys/resource.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define MIB ((size_t)1 << 20)

static mv_view *open_written(size_t size)
{
    return open_view(make_file(scratch("file"), size), MV_OPEN_WRITE);
}

static long faults(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_minflt + usage.ru_majflt;
}

/* The view shows the same, and what is stored then takes no fault. */
static void test_rewrite(void **state)
{
    (void)state;
    const size_t size = 5 * MIB + 100;
    mv_view *view = open_written(size);
    unsigned char *data = mv_data(view);
    data[0] = data[3 * MIB] = data[size - 1] = 0xEE; /* not synced */
    WORKS(mv_advise(view, 0, MV_TO_END, MV_ADVICE_REWRITE, ERR));
    CHECK(data[0] == 0xEE && data[3 * MIB] == 0xEE && data[size - 1] == 0xEE);
    CHECK(has_pattern(data + 1, 3 * MIB - 1, 1));
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR)); /* write-protects every page */
    WORKS(mv_advise(view, 0, MV_TO_END, MV_ADVICE_REWRITE, ERR));
    long before = faults();
    for (size_t at = 0; at < size; at += PAGE)
        data[at] = 0xDD;
    /* Of more than a thousand pages. (The memory of a sanitizer faults, too.) */
    CHECK(faults() - before < 50 || under_sanitizer() || under_valgrind());
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    unsigned char byte;
    read_file(scratch("file"), &byte, 1, 2 * MIB);
    SAME(byte, 0xDD);
    close_view(view);
}

/* Any part, of files and of memory, keeps its bytes and those beside it. */
static void test_parts(void **state)
{
    (void)state;
    static const size_t edges[] = {0, 1, 5000, 70000, 2 * MIB - 1, 2 * MIB, 3 * MIB + 5};
    mv_options o = with(MV_OPEN_WRITE);
    o.offset = 100;
    mv_view *views[] = {open_with(make_file(scratch("file"), 4 * MIB), &o), open_memory(4 * MIB, 0)};
    for (size_t v = 0; v < 2; v++) {
        size_t size = mv_size(views[v]);
        unsigned char *data = mv_data(views[v]);
        for (size_t i = 0; i < size; i++)
            data[i] = pattern(i);
        for (size_t i = 0; i < 7; i++)
            for (size_t k = i; k < 7; k++)
                WORKS(mv_advise(views[v], edges[i], edges[k] - edges[i], MV_ADVICE_REWRITE, ERR));
        CHECK(has_pattern(data, size, 0));
        close_view(views[v]);
    }
}

#ifdef MV__CPU_CHECKS
#define PIECE ((size_t)64 << 10)

/* Writes and tells whether that went past the caches. */
static bool goes_past(mv_view *view, const unsigned char *bytes, size_t n, size_t off)
{
    uint64_t before = view->rewrite_from;
    SAME(mv_write(view, bytes, n, off, ERR), n);
    return view->rewrite_from == off + n && before != off + n;
}
#endif

/* What mv_write does past the caches: in order, once, in large pieces, of what
 * has been prepared; the bytes arrive however they go. */
static void test_writes_go_past_the_caches(void **state)
{
    (void)state;
#ifndef MV__CPU_CHECKS
    skip_test("on this processor every copy goes through the caches");
#else
    static unsigned char bytes[4 * PIECE + 1];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = pattern(i + 77);
    mv_view *view = open_written(MIB);
    SAME(mv_write(view, bytes, 1, 0, ERR), 1); /* the first finds out how to copy */
    CHECK(!goes_past(view, bytes, 4 * PIECE, 0));
    WORKS(mv_advise(view, PIECE, MIB / 2 - PIECE, MV_ADVICE_REWRITE, ERR));
    CHECK(!goes_past(view, bytes, PIECE, 0));
    CHECK(!goes_past(view, bytes, PIECE - 1, PIECE));
    CHECK(goes_past(view, bytes + 1, PIECE + 1, PIECE + 3));
    CHECK(!goes_past(view, bytes, PIECE, PIECE)); /* a second time */
    CHECK(goes_past(view, bytes, 4 * PIECE, 3 * PIECE));
    CHECK(!goes_past(view, bytes, PIECE + 1, MIB / 2 - PIECE)); /* one too far */
    CHECK(goes_past(view, bytes, PIECE, MIB / 2 - PIECE));
    close_view(view);
    static unsigned char got[4 * PIECE];
    read_file(scratch("file"), got, PIECE + 4, PIECE);
    CHECK(memcmp(got, bytes, PIECE) == 0 && memcmp(got + PIECE, bytes + PIECE - 2, 4) == 0);
    read_file(scratch("file"), got, 4 * PIECE, 3 * PIECE);
    CHECK(memcmp(got, bytes, 4 * PIECE) == 0);
    read_file(scratch("file"), got, PIECE, MIB / 2 - PIECE);
    CHECK(memcmp(got, bytes, PIECE) == 0);
#endif
}

/* The way of a copy, by its size, by what has been prepared and by what the
 * processor has. */
static void test_ways(void **state)
{
    (void)state;
#ifndef MV__CPU_CHECKS
    skip_test("on this processor every copy goes one way");
#else
    mv_view *view = open_written(4 * MIB);
    unsigned char *data = mv_data(view);
    bool has = mv__cpu_has_string;
    for (int string = 0; string < 2; string++) {
        mv__cpu_has_string = string;
        enum mv__way large = string ? MV__WAY_STRING : MV__WAY_LOOP;
        static const uintptr_t notes[] = {0, MV__CPU_WRITE, MV__CPU_COUNT};
        for (size_t i = 0; i < 3; i++) {
            CHECK(mv__copy_way(data, PIECE, &view->size, notes[i]) == MV__WAY_LOOP);
            CHECK(mv__copy_way(data, MIB, &view->size, notes[i]) == large);
            CHECK(mv__copy_way(data, 16 * MIB, &view->size, notes[i]) == MV__WAY_STREAM);
        }
        WORKS(mv_advise(view, 0, MV_TO_END, MV_ADVICE_REWRITE, ERR));
        CHECK(mv__copy_way(data, MIB, &view->size, 0) == large); /* a read */
        CHECK(mv__copy_way(data, MIB, &view->size, MV__CPU_WRITE) == MV__WAY_STREAM);
        CHECK(mv__copy_way(data + MIB, 3 * MIB, &view->size, MV__CPU_WRITE) == MV__WAY_STREAM);
    }
    mv__cpu_has_string = has;
    close_view(view);
#endif
}

static void test_refused(void **state)
{
    (void)state;
    const char *path = make_file(scratch("file"), 4 * PAGE);
    mv_options o = with(MV_OPEN_PRIVATE);
    mv_view *views[] = {open_view(path, 0), open_view(path, MV_OPEN_PRIVATE),
                        open_view(path, MV_OPEN_PRIVATE | MV_OPEN_WRITE), NULL};
    WORKS(mv_anonymous(4 * PAGE, &o, &views[3], ERR));
    for (size_t i = 2; i < 4; i++)
        memset(mv_data(views[i]), 0xEE, 4 * PAGE);
    for (size_t i = 0; i < 4; i++) {
        REFUSED(-EINVAL, mv_advise(views[i], 0, MV_TO_END, MV_ADVICE_REWRITE, ERR));
        FAILED_OP("advise");
        REFUSED(-EINVAL, mv_advise(views[i], 0, 0, MV_ADVICE_REWRITE, ERR));
        for (size_t k = 0; i >= 2 && k < 4 * PAGE; k++)
            SAME(((unsigned char *)mv_data(views[i]))[k], 0xEE); /* the copies are there */
        close_view(views[i]);
    }
    mv_view *view = open_view(path, MV_OPEN_WRITE);
    REFUSED(-EINVAL, mv_advise(view, 0, 4 * PAGE + 1, MV_ADVICE_REWRITE, ERR));
    WORKS(mv_protect(view, PAGE, PAGE, MV_READ, ERR));
    REFUSED(-EACCES, mv_advise(view, 0, MV_TO_END, MV_ADVICE_REWRITE, ERR));
    AT(PAGE, 0, PAGE);
    WORKS(mv_protect(view, 0, MV_TO_END, MV_READ | MV_WRITE, ERR));
    cut_file(path, PAGE);
    REFUSED(-MV_ETRUNCATED, mv_advise(view, 0, MV_TO_END, MV_ADVICE_REWRITE, ERR));
    AT(PAGE, 0, PAGE);
    WORKS(mv_detach(view, ERR));
    REFUSED(-EBADF, mv_advise(view, 0, MV_TO_END, MV_ADVICE_REWRITE, ERR));
    close_view(view);
}

static void test_pinned(void **state)
{
    (void)state;
    if (under_sanitizer())
        skip_test("a sanitizer makes mlock do nothing");
    mv_view *view = open_written(8 * PAGE);
    WORKS(mv_pin(view, 0, MV_TO_END, ERR));
    WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    failing_reset();
    WORKS(mv_advise(view, 0, MV_TO_END, MV_ADVICE_REWRITE, ERR));
    CHECK(failing_count(FAILING_madvise) >= 2); /* refused, then populated all the same */
    SAME(smaps_kib(mv_data(view), "Locked"), 8 * PAGE / 1024);
    CHECK(has_pattern(mv_data(view), 8 * PAGE, 0));
    close_view(view);
}

/* ---- the choice ---- */

static struct {
    long faults_a_page; /* that the kernel pretends to have taken, in percent */
    long taken;
    unsigned dropped;
} pretence;

static long (*real_madvise)(void *, size_t, int);

static long counting_madvise(void *address, size_t n, int advice)
{
    if (advice == MADV_DONTNEED)
        pretence.dropped++;
    if (advice == MADV_POPULATE_WRITE)
        pretence.taken += (long)(n / PAGE) * pretence.faults_a_page / 100;
    return real_madvise(address, n, advice);
}

static long pretending_getrusage(int who, struct rusage *usage)
{
    SAME(who, RUSAGE_THREAD);
    memset(usage, 0, sizeof *usage);
    usage->ru_minflt = pretence.taken;
    return 0;
}

/* Advises 64 MiB and returns how many of its 32 windows were dropped. */
static unsigned windows_dropped(mv_view *view, long faults_a_page)
{
    pretence.faults_a_page = faults_a_page;
    pretence.dropped = 0;
    WORKS(mv_advise(view, 0, MV_TO_END, MV_ADVICE_REWRITE, ERR));
    return pretence.dropped;
}

/* Small folios are populated as they are, but for one window in sixteen. */
static void test_small_folios_are_not_dropped(void **state)
{
    (void)state;
    mv_view *view = open_memory(64 * MIB, 0);
    struct mv__sys before = mv__sys;
    real_madvise = before.madvise;
    mv__sys.madvise = counting_madvise;
    mv__sys.getrusage = pretending_getrusage;
    unsigned large = windows_dropped(view, 6), small = windows_dropped(view, 100);
    unsigned again = windows_dropped(view, 100);
    mv__sys = before;
    SAME(large, 32);
    SAME(small, 2);
    SAME(again, 2);
    close_view(view);
}

static void rewrite_on_old_kernel(void *argument)
{
    (void)argument;
    mv_view *view = open_written(4 * PAGE);
    failing_reset();
    failing_arm(FAILING_madvise, 1, -EINVAL, true);
    REFUSED(-EOPNOTSUPP, mv_advise(view, 0, MV_TO_END, MV_ADVICE_REWRITE, ERR));
    SAME(failing_count(FAILING_madvise), 1); /* the question alone: nothing was dropped */
    failing_reset();
    CHECK(has_pattern(mv_data(view), 4 * PAGE, 0));
    close_view(view);
}

/* The answer is kept for the life of the process. */
static void test_old_kernels(void **state)
{
    (void)state;
    in_child(rewrite_on_old_kernel, NULL);
}

int main(void)
{
    const struct CMUnitTest first[] = {TEST(test_old_kernels)};
    const struct CMUnitTest tests[] = {
        TEST(test_rewrite), TEST(test_parts),  TEST(test_writes_go_past_the_caches),    TEST(test_ways),
        TEST(test_refused), TEST(test_pinned), TEST(test_small_folios_are_not_dropped),
    };
    int failed = cmocka_run_group_tests(first, support_group_begin_cold, support_group_end);
    return failed + RUN(tests);
}
