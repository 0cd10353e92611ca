/* test_dirty_failures.c: the calls on views that track, with each of their
 * system calls failed. Above all nothing is forgotten. */
#include "failures.h"
#include "tracking.h"

static mv_view *view;
static bool reset;

static void clean(void)
{
    if (view)
        mv_close(view, NULL);
    view = NULL;
    unlink(scratch("file"));
}

/* ---- opening ---- */

static void prepare_file(void)
{
    make_file(scratch("file"), TRACKED_PAGES * PAGE);
}

static int64_t open_tracking(uint64_t flags)
{
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_TRACK | flags);
    o.offset = TRACKED_FROM;
    return mv_open(scratch("file"), &o, &view, ERR);
}

static int64_t open_shared(void)
{
    return open_tracking(0);
}

static int64_t open_private(void)
{
    return open_tracking(MV_OPEN_PRIVATE);
}

static void check_opened(int64_t result)
{
    SAME(result < 0, view == NULL);
    if (result < 0)
        return;
    write_page(view, 3);
    SAME(pages_found(view, 0), 1 << 3);
}

/* ---- views with dirty pages ---- */

static void prepare_way(uint32_t way)
{
    view = open_file_way(way);
    write_page(view, 1);
    write_page(view, 5);
    WORKS(mv_sync(view, 0, 2 * PAGE, MV_SYNC_DATA, ERR)); /* so that the next is not the first */
    write_page(view, 1);
    reset = false;
}

static void prepare_kernel(void)
{
    prepare_way(MV_TRACK_KERNEL);
}

static void prepare_marks(void)
{
    prepare_way(MV_TRACK_MARKS);
}

static void prepare_private(void)
{
    view = open_file_way(MV_TRACK_PRIVATE);
    write_page(view, 1);
    write_page(view, 5);
    reset = false;
}

static int64_t look_only(void)
{
    return mv_dirty(view, 0, MV_TO_END, ranges, MOST_RANGES, 0, ERR);
}

static int64_t look_and_reset(void)
{
    reset = true;
    return mv_dirty(view, 0, MV_TO_END, ranges, MOST_RANGES, MV_DIRTY_RESET, ERR);
}

static void check_looked(int64_t result)
{
    uint64_t found = pages_found(view, 0);
    if (result >= 0 && reset)
        SAME(found, 0);
    else
        SAME(found & (1 << 1 | 1 << 5), 1 << 1 | 1 << 5);
    write_page(view, 7);
    CHECK(pages_found(view, 0) & 1 << 7);
}

static int64_t sync_all(void)
{
    return mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR);
}

/* What a sync did not put on the medium stays; what it did may stay. */
static void check_synced(int64_t result)
{
    if (result != 0)
        SAME(pages_found(view, 0) & (1 << 1 | 1 << 5), 1 << 1 | 1 << 5);
    write_page(view, 7);
    CHECK(pages_found(view, 0) & 1 << 7);
}

static int64_t grow(void)
{
    return mv_resize(view, 2 * TRACKED_PAGES * PAGE, ERR);
}

static void check_grown(int64_t result)
{
    if (result == 0)
        write_page(view, TRACKED_PAGES + 3);
    uint64_t expected = 1 << 1 | 1 << 5 | (result == 0 ? (uint64_t)1 << (TRACKED_PAGES + 3) : 0);
    SAME(pages_found(view, 0) & expected, expected);
}

static int64_t detach(void)
{
    return mv_detach(view, ERR);
}

static void check_detached(int64_t result)
{
    SAME(mv_size(view) == 0, result == 0);
    if (result < 0)
        SAME(pages_found(view, 0), 1 << 1 | 1 << 5);
}

/* clang-format off */
#define INSTEAD(name, injected) {true, FAILING_##name, 0, (injected), 0, false}

static const struct failing_case cases[] = {
    {"open, the kernel's watch", prepare_file, open_shared, check_opened, clean,
     {INSTEAD(userfaultfd, -EPERM), MAY_FAIL(ioctl), INSTEAD(open, -EACCES), MAY_FAIL(close)}},
    {"open, private", prepare_file, open_private, check_opened, clean,
     {INSTEAD(userfaultfd, -EPERM), MAY_FAIL(ioctl), INSTEAD(open, -EACCES), MAY_FAIL(close),
      MAY_FAIL(readlink), MAY_FAIL(lstat), MAY_FAIL(fstat)}},
    {"look, the kernel's watch", prepare_kernel, look_only, check_looked, clean, {MAY_FAIL(close)}},
    {"look and reset, the kernel's watch", prepare_kernel, look_and_reset, check_looked, clean,
     {MAY_FAIL(close)}},
    {"look, private", prepare_private, look_only, check_looked, clean, {MAY_FAIL(close)}},
    {"sync, the kernel's watch", prepare_kernel, sync_all, check_synced, clean,
     {MAY_FAIL(open), MAY_FAIL(ioctl), MAY_FAIL(close)}},
    {"sync, marks", prepare_marks, sync_all, check_synced, clean, {{0}}},
    {"grow, the kernel's watch", prepare_kernel, grow, check_grown, clean,
     {MAY_FAIL(ioctl), INSTEAD(fallocate, -EOPNOTSUPP)}},
    {"detach, the kernel's watch", prepare_kernel, detach, check_detached, clean,
     {MAY_FAIL(close), MAY_FAIL(mmap)}},
};
/* clang-format on */

int main(void)
{
    return run_failing_cases(cases, sizeof cases / sizeof cases[0], TRACKING);
}
