/* test_write_failures.c: writing through the file, rewriting and appending, with
 * each of their system calls failed. */
#include "failures.h"

enum { PAGES = 4 };

#define WINDOW ((uint64_t)4 << 20)

static char path[512];
static mv_view *view;
static mv_appender *appender;
static unsigned char bytes[LARGEST_PAGE];

static void prepare(uint64_t flags, uint64_t length)
{
    mv_options o = with(MV_OPEN_WRITE | flags);
    snprintf(path, sizeof path, "%s", make_sparse(scratch("file"), length));
    o.offset = 100;
    o.reserve = 2 * WINDOW;
    memset(bytes, 0xEE, sizeof bytes);
    view = open_with(path, &o);
}

static void prepare_random(void)
{
    prepare(MV_OPEN_RANDOM, PAGES * PAGE);
}

static void prepare_random_cut(void)
{
    prepare_random();
    cut_file(path, 2 * PAGE);
}

static void prepare_sequential(void)
{
    prepare(MV_OPEN_SEQUENTIAL, WINDOW + PAGE);
}

static void prepare_plain(void)
{
    prepare(0, PAGES * PAGE);
}

static void open_appender_with(uint32_t flags)
{
    mv_append_options o = MV_APPEND_OPTIONS_INIT;
    o.flags = flags;
    WORKS(mv_appender_open(view, &o, &appender, ERR));
}

static void prepare_appender(void)
{
    prepare_plain();
    open_appender_with(0);
}

static void prepare_appended(void)
{
    prepare_appender();
    WORKS(mv_append(appender, bytes, 1000, ERR));
}

static void clean(void)
{
    if (appender)
        mv_appender_close(appender, NULL);
    appender = NULL;
    mv_close(view, NULL);
    view = NULL;
    unlink(path);
}

/* ---- the calls ---- */

static int64_t write_random(void)
{
    return mv_write(view, bytes, 2 * PAGE < sizeof bytes ? 2 * PAGE : sizeof bytes, PAGE, ERR);
}

static int64_t write_past_cut(void)
{
    return mv_write(view, bytes, 100, 3 * PAGE, ERR);
}

static int64_t write_window(void)
{
    return mv_write(view, bytes, sizeof bytes, WINDOW - sizeof bytes, ERR);
}

static int64_t rewrite(void)
{
    return mv_advise(view, 5, 2 * PAGE, MV_ADVICE_REWRITE, ERR);
}

static int64_t open_appender(void)
{
    return mv_appender_open(view, NULL, &appender, ERR);
}

static int64_t append(void)
{
    return mv_append(appender, bytes, 1000, ERR);
}

static int64_t close_appender(void)
{
    mv_appender *a = appender;
    appender = NULL;
    return mv_appender_close(a, ERR);
}

/* ---- what is left of it ---- */

static void written(int64_t result)
{
    SAME(memcmp((char *)mv_data(view) + PAGE, bytes, (size_t)result), 0);
    SAME(file_length(path), PAGES * PAGE);
    check_usable(view);
}

static void not_written(int64_t result)
{
    CHECK(result < 0);
    SAME(file_length(path), 2 * PAGE);
}

/* A failed write-back is not the write's, but the next sync's. */
static void window_written(int64_t result)
{
    SAME(result, sizeof bytes);
    SAME(memcmp((char *)mv_data(view) + WINDOW - sizeof bytes, bytes, sizeof bytes), 0);
    check_usable(view);
}

static void usable(int64_t result)
{
    (void)result;
    SAME(file_length(path), PAGES * PAGE);
    check_usable(view);
}

static void opened(int64_t result)
{
    SAME(result < 0, appender == NULL);
}

static void appended(int64_t result)
{
    uint64_t start = PAGES * PAGE - 100;
    SAME(mv_append_end(appender), result < 0 ? start : start + 1000);
    if (result >= 0) {
        SAME(result, start);
        SAME(memcmp((char *)mv_data(view) + start, bytes, 1000), 0);
        return;
    }
    SAME(mv_size(view), start);
    SAME(file_length(path), PAGES * PAGE);
}

static void trimmed(int64_t result)
{
    uint64_t end = PAGES * PAGE - 100 + 1000;
    SAME(mv_size(view) == end, result == 0);
    SAME(file_length(path) == end + 100, result == 0);
    check_usable(view);
}

/* clang-format off */

/* What the file does not take is stored. */
#define STORED MAY_FAIL(fstat), MAY_FAIL(pwrite), MAY_FAIL(getrlimit)
/* The first look is not the one that decides. */
#define LOOKED_AGAIN {true, FAILING_fstat, 0, 0, -MV_ETRUNCATED, false}
/* After a step that fails a smaller one is made. */
#define STEPS PASSES(fstat), PASSES(fallocate), PASSES(getrlimit)
/* Where nothing can be allocated, the file is only made longer. */
#define ONLY_LONGER {true, FAILING_fallocate, 0, -EOPNOTSUPP, 0, false}
#define TAIL MAY_FAIL(process_vm_readv)
#define NONE {false, FAILING_open, 0, 0, 0, false}

static const struct failing_case cases[] = {
    {"write at random", prepare_random, write_random, written, clean, {STORED}},
    {"write behind a cut", prepare_random_cut, write_past_cut, not_written, clean,
     {LOOKED_AGAIN, MAY_FAIL(getrlimit), PASSES(madvise)}},
    {"write a window", prepare_sequential, write_window, window_written, clean,
     {STORED, MAY_FAIL(sync_file_range)}},
    {"rewrite", prepare_plain, rewrite, usable, clean, {MAY_FAIL(getrusage), PASSES(madvise)}},
    {"open an appender", prepare_plain, open_appender, opened, clean, {NONE}},
    {"append", prepare_appender, append, appended, clean,
     {ONLY_LONGER, STEPS, TAIL, MAY_FAIL(madvise)}},
    {"close an appender", prepare_appended, close_appender, trimmed, clean, {MAY_FAIL(fcntl)}},
};

/* clang-format on */

int main(void)
{
    return run_failing_cases(cases, sizeof cases / sizeof cases[0], WRITES);
}
