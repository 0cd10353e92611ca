/* test_view_failures.c: the calls on a view, with each of their system calls
 * failed. */
#include "failures.h"

enum { PAGES = 4 };

/* What a case has to work with: a view that begins at byte 100 of its file. */
static char path[512];
static mv_view *view;
static unsigned char bytes[2 * LARGEST_PAGE];

/* ---- views ---- */

static void prepare(const char *file, uint64_t flags)
{
    mv_options o = with(flags);
    snprintf(path, sizeof path, "%s", file);
    make_file(path, PAGES * PAGE + 50);
    o.offset = 100;
    o.reserve = 4 * PAGES * PAGE;
    view = open_with(path, &o);
}

static void prepare_reading(void)
{
    prepare(scratch("file"), 0);
}

static void prepare_writing(void)
{
    prepare(scratch("file"), MV_OPEN_WRITE);
}

static void prepare_private(void)
{
    prepare(scratch("file"), MV_OPEN_WRITE | MV_OPEN_PRIVATE);
    memset(mv_data(view), 0xEE, (PAGES - 2) * PAGE);
}

static void prepare_created(void)
{
    mv_options o = with(MV_OPEN_WRITE | MV_OPEN_CREATE);
    snprintf(path, sizeof path, "%s", scratch("file"));
    o.file_size = PAGE;
    view = open_with(path, &o);
}

/* Its folder cannot be opened. */
static void prepare_created_inside(void)
{
    failing_reset();
    failing_arm(FAILING_open, 2, -EACCES, false);
    prepare_created();
    CHECK(failing_fired() && view->source.directory < 0);
    failing_reset();
}

static void prepare_memory(void)
{
    path[0] = 0;
    view = open_memory(PAGES * PAGE, 4 * PAGES * PAGE);
}

static void prepare_private_memory(void)
{
    mv_options o = with(MV_OPEN_PRIVATE);
    path[0] = 0;
    WORKS(mv_anonymous(PAGES * PAGE, &o, &view, ERR));
    memset(mv_data(view), 0xEE, PAGES * PAGE);
}

static void prepare_reading_cut(void)
{
    prepare_reading();
    cut_file(path, 2 * PAGE);
}

static void prepare_writing_cut(void)
{
    prepare_writing();
    cut_file(path, 2 * PAGE);
}

static void prepare_private_cut(void)
{
    prepare_private();
    cut_file(path, 2 * PAGE);
}

/* Stale bytes behind the end, which growing has to see to. */
static void prepare_stale_tail(void)
{
    prepare(scratch_memory("file"), MV_OPEN_WRITE);
    memset((char *)mv_data(view) + mv_size(view), 0xEE, 100);
}

/* The page that growing has to see to cannot be seen through the view. */
static void prepare_hidden_tail(void)
{
    prepare_writing();
    WORKS(mv_protect(view, mv_size(view) - 1, 1, 0, ERR));
}

/* The file has grown in a page that the view has copied. */
static void prepare_private_tail(void)
{
    prepare_private();
    ((unsigned char *)mv_data(view))[mv_size(view) - 1] = 0xEE;
    grow_file(path, (PAGES + 2) * PAGE);
}

static void prepare_pinned(void)
{
    prepare_writing();
    WORKS(mv_pin(view, 0, MV_TO_END, ERR));
}

/* Where the kernel copies. */
static void prepare_without_handler(void)
{
    prepare(scratch("file"), MV_OPEN_WRITE | MV_OPEN_NO_HANDLER);
}

static void prepare_without_handler_cut(void)
{
    prepare_without_handler();
    cut_file(path, 2 * PAGE);
}

/* The other way of the kernel, for the rest of this program. */
static void prepare_piping(void)
{
    mv__caps_copy_refused();
    prepare_without_handler();
}

static void prepare_piping_cut(void)
{
    prepare_piping();
    cut_file(path, 2 * PAGE);
}

static void clean(void)
{
    if (view)
        mv_close(view, NULL);
    if (path[0])
        unlink(path);
    view = NULL;
    path[0] = 0;
}

/* ---- what must hold afterwards ---- */

/* The view goes on, whatever has happened. */
static void check_goes_on(int64_t result)
{
    (void)result;
    WORKS(mv_protect(view, 0, MV_TO_END, view->writable ? MV_READ | MV_WRITE : MV_READ, ERR));
    if (view->writable)
        check_usable(view);
    WORKS(mv_refresh(view, ERR));
    WORKS(mv_probe(view, 0, MV_TO_END, MV_READ, ERR));
    if (view->shared)
        WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    if (mv_has(view, MV_HAS_RESIZE)) {
        WORKS(mv_resize(view, (PAGES + 1) * PAGE, ERR));
        WORKS(mv_resize(view, 10, ERR));
    }
}

static void check_unchanged(int64_t result)
{
    SAME(mv_size(view), PAGES * PAGE - 50);
    CHECK(has_pattern(mv_data(view), PAGES * PAGE - 50, 100));
    SAME(file_length(path), PAGES * PAGE + 50);
    CHECK(file_has_pattern(path, 0, PAGES * PAGE + 50));
    check_goes_on(result);
}

/* A failed sync is for good, and of nothing else. */
static void check_synced(int64_t result)
{
    bool held = strstr("sync_file_range msync fsync fdatasync syncfs", support_error.op);
    mv_info info = info_of(view);
    SAME(info.failure, result < 0 && held ? result : 0);
    if (view->writable)
        check_usable(view);
    WORKS(mv_refresh(view, ERR));
    if (info.failure) {
        REFUSED(result, mv_sync(view, 0, 1, MV_SYNC_DATA, ERR));
        REFUSED(result, mv_sync(view, 0, 1, MV_SYNC_FULL, ERR));
    } else {
        WORKS(mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    }
}

static void check_grown(int64_t result)
{
    uint64_t size = result < 0 ? PAGES * PAGE - 50 : 3 * PAGES * PAGE;
    SAME(mv_size(view), size);
    SAME(file_length(path), 100 + size);
    CHECK(has_pattern(mv_data(view), PAGES * PAGE - 50, 100));
    if (result >= 0)
        CHECK(has_zeros((char *)mv_data(view) + PAGES * PAGE - 50, 2 * PAGES * PAGE + 50));
    check_goes_on(result);
}

static void check_grown_hidden(int64_t result)
{
    WORKS(mv_protect(view, 0, MV_TO_END, MV_READ | MV_WRITE, ERR));
    check_grown(result);
}

static void check_shrunk(int64_t result)
{
    uint64_t size = result < 0 ? PAGES * PAGE - 50 : PAGE;
    SAME(mv_size(view), size);
    SAME(file_length(path), 100 + size);
    CHECK(file_has_pattern(path, 0, 100 + size));
    check_goes_on(result);
}

static void check_memory_grown(int64_t result)
{
    SAME(mv_size(view), result < 0 ? PAGES * PAGE : 3 * PAGES * PAGE);
    SAME(info_of(view).file_size, mv_size(view));
    CHECK(has_zeros(mv_data(view), mv_size(view)));
    check_goes_on(result);
}

static void check_memory_shrunk(int64_t result)
{
    SAME(mv_size(view), result < 0 ? PAGES * PAGE : PAGE);
    SAME(info_of(view).file_size, mv_size(view));
    check_goes_on(result);
}

static void check_followed(int64_t result)
{
    unsigned char *data = mv_data(view);
    SAME(mv_size(view), result < 0 ? PAGES * PAGE - 50 : (PAGES + 2) * PAGE - 100);
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), (PAGES + 2) * PAGE - 100);
    CHECK(data[PAGES * PAGE - 51] == 0xEE);
    CHECK(has_pattern(data + PAGES * PAGE - 50, 2 * PAGE - 50, PAGES * PAGE + 50));
    check_goes_on(result);
}

/* A part of the range may be zeros by now, or the file's, and nothing else. */
static void check_discarded(int64_t result)
{
    const unsigned char *data = mv_data(view);
    unsigned char kept = view->shared ? pattern(100 + 4) : 0xEE;
    SAME(data[4], kept);
    for (uint64_t at = 5; at < PAGE + 25; at++) {
        unsigned char gone = view->shared || !path[0] ? 0 : pattern(100 + at);
        unsigned char before = view->shared ? pattern(100 + at) : 0xEE;
        CHECK(data[at] == gone || (result < 0 && data[at] == before));
    }
    SAME(data[PAGE + 25], view->shared ? pattern(PAGE + 125) : 0xEE);
    check_goes_on(result);
}

static void check_cut(int64_t result)
{
    (void)result;
    SAME(file_length(path), 2 * PAGE);
    WORKS(mv_refresh(view, ERR));
    SAME(mv_size(view), 2 * PAGE - 100);
    check_goes_on(result);
}

/* ---- the calls ---- */

static int64_t read_it(void)
{
    return mv_read(view, bytes, 2 * PAGE, PAGE, ERR);
}

static int64_t write_it(void)
{
    for (size_t i = 0; i < 2 * PAGE; i++)
        bytes[i] = pattern(100 + PAGE + i);
    return mv_write(view, bytes, 2 * PAGE, PAGE, ERR);
}

static int64_t load(void)
{
    uint64_t value;
    return mv_load(view, 2 * PAGE + 4, 8, &value, ERR);
}

static int64_t store(void)
{
    return mv_store(view, 2 * PAGE + 4, 8, 5, ERR);
}

/* Left in the middle, without the exit that ThreadSanitizer would count. */
__attribute__((no_sanitize("thread"))) static int touch_middle(void *argument)
{
    volatile unsigned char *byte = (volatile unsigned char *)mv_data(view) + 2 * PAGE + 7;
    if (argument)
        *byte = pattern(107 + 2 * PAGE);
    return *byte;
}

static int64_t try_to_read(void)
{
    return mv_try(view, touch_middle, NULL, ERR);
}

static int64_t try_to_write(void)
{
    return mv_try(view, touch_middle, &view, ERR);
}

static int64_t probe_to_read(void)
{
    return mv_probe(view, 5, MV_TO_END, MV_READ, ERR);
}

static int64_t probe_to_write(void)
{
    return mv_probe(view, 5, MV_TO_END, MV_WRITE, ERR);
}

static int64_t prefault(void)
{
    return mv_prefault(view, 5, MV_TO_END, MV_READ, ERR);
}

static int64_t sync_start(void)
{
    return mv_sync(view, 5, MV_TO_END, MV_SYNC_START, ERR);
}

static int64_t sync_data(void)
{
    return mv_sync(view, 5, MV_TO_END, MV_SYNC_DATA, ERR);
}

static int64_t sync_full(void)
{
    return mv_sync(view, 5, MV_TO_END, MV_SYNC_FULL, ERR);
}

static int64_t grow(void)
{
    return mv_resize(view, 3 * PAGES * PAGE, ERR);
}

static int64_t shrink(void)
{
    return mv_resize(view, PAGE, ERR);
}

static int64_t refresh(void)
{
    return mv_refresh(view, ERR);
}

static int64_t advise(void)
{
    return mv_advise(view, 5, MV_TO_END, MV_ADVICE_WILLNEED, ERR);
}

static int64_t prefetch(void)
{
    const mv_range ranges[] = {{5, 1}, {(PAGES - 1) * PAGE, MV_TO_END}};
    return mv_prefetch(view, ranges, 2, ERR);
}

static int64_t discard(void)
{
    return mv_discard(view, 5, PAGE + 20, ERR);
}

static int64_t pin(void)
{
    return mv_pin(view, 5, PAGE, ERR);
}

static int64_t unpin(void)
{
    return mv_unpin(view, 5, PAGE, ERR);
}

static int64_t protect(void)
{
    return mv_protect(view, 5, PAGE, MV_READ, ERR);
}

static int64_t ask(void)
{
    mv_info info = MV_INFO_INIT;
    return mv_stat(view, &info, ERR);
}

/* What cannot be found out is no capability. */
static int64_t has(void)
{
    for (uint32_t capability = MV_HAS_POPULATE; capability <= MV_HAS_RESIZE; capability++) {
        int r = mv_has(view, capability);
        CHECK(r == 0 || r == 1);
    }
    return 0;
}

static int64_t get_fd(void)
{
    int fd = mv_fd(view, ERR);
    return fd < 0 ? fd : close(fd);
}

/* ---- the cases ---- */

/* clang-format off */

/* A read-only view opens its file for a look and closes it again. */
#define LOOKS MAY_FAIL(close)
/* A page that could not be touched is touched again, to see why. */
#define AGAIN PASSES(madvise)
/* A file that cannot be opened for reading may be looked at all the same; else
 * the fault has a cause that is not known. */
#define UNKNOWN PASSES(open), PASSES(fstat), {true, FAILING_open, 0, -EACCES, -EIO, false}
/* Where nothing can be allocated, the file is only made longer. */
#define ONLY_LONGER {true, FAILING_fallocate, 0, -EOPNOTSUPP, 0, false}
/* What stands behind the end is cleared, also without a look at it. */
#define TAIL MAY_FAIL(process_vm_readv), MAY_FAIL(process_vm_writev)
/* A growth over stale bytes first waits for whoever appends. */
#define FIRST_WAIT {true, FAILING_fallocate, 1, 0, 0, false}
#define NONE {false, FAILING_open, 0, 0, 0, false}

static const struct failing_case cases[] = {
    {"read by the kernel", prepare_without_handler, read_it, check_unchanged, clean, {NONE}},
    {"write by the kernel", prepare_without_handler, write_it, check_unchanged, clean, {NONE}},
    {"read what is cut", prepare_reading_cut, read_it, check_cut, clean, {AGAIN, LOOKS, UNKNOWN}},
    {"write what is cut", prepare_writing_cut, write_it, check_cut, clean, {AGAIN}},
    {"write privately what is cut", prepare_private_cut, write_it, check_cut, clean,
     {AGAIN, LOOKS, UNKNOWN}},
    {"read what is cut, by the kernel", prepare_without_handler_cut, read_it, check_cut, clean, {AGAIN}},
    {"write what is cut, by the kernel", prepare_without_handler_cut, write_it, check_cut, clean, {AGAIN}},
    {"load what is cut", prepare_reading_cut, load, check_cut, clean, {AGAIN, LOOKS, UNKNOWN}},
    {"store what is cut", prepare_writing_cut, store, check_cut, clean, {AGAIN}},
    {"store privately what is cut", prepare_private_cut, store, check_cut, clean,
     {AGAIN, LOOKS, UNKNOWN}},
    {"try to read what is cut", prepare_reading_cut, try_to_read, check_cut, clean,
     {AGAIN, LOOKS, UNKNOWN}},
    {"try to write what is cut", prepare_writing_cut, try_to_write, check_cut, clean, {AGAIN}},
    {"probe to read", prepare_reading, probe_to_read, check_unchanged, clean, {AGAIN, LOOKS}},
    {"probe to write", prepare_writing, probe_to_write, check_unchanged, clean, {AGAIN}},
    {"probe privately", prepare_private, probe_to_write, check_goes_on, clean, {AGAIN, LOOKS}},
    {"probe what is cut", prepare_writing_cut, probe_to_read, check_cut, clean, {AGAIN}},
    {"prefault", prepare_reading, prefault, check_unchanged, clean, {AGAIN}},
    {"prefault what is cut", prepare_reading_cut, prefault, check_cut, clean, {AGAIN, LOOKS, UNKNOWN}},
    {"sync, start", prepare_writing, sync_start, check_synced, clean, {NONE}},
    {"sync, data", prepare_writing, sync_data, check_synced, clean, {NONE}},
    {"sync, full", prepare_writing, sync_full, check_synced, clean, {NONE}},
    {"sync a created file", prepare_created, sync_full, check_synced, clean, {LOOKS}},
    {"sync a created file without its folder", prepare_created_inside, sync_full, check_synced, clean,
     {NONE}},
    {"sync to read, start", prepare_reading, sync_start, check_synced, clean, {LOOKS}},
    {"sync to read, full", prepare_reading, sync_full, check_synced, clean, {LOOKS}},
    {"sync to read", prepare_reading, sync_data, check_synced, clean, {LOOKS}},
    {"sync memory", prepare_memory, sync_full, check_synced, clean, {NONE}},
    {"grow", prepare_writing, grow, check_grown, clean, {ONLY_LONGER, TAIL}},
    {"grow over stale bytes", prepare_stale_tail, grow, check_grown, clean,
     {ONLY_LONGER, TAIL, FIRST_WAIT}},
    {"grow behind a hidden end", prepare_hidden_tail, grow, check_grown_hidden, clean,
     {ONLY_LONGER, TAIL, MAY_FAIL(munmap)}},
    {"shrink", prepare_writing, shrink, check_shrunk, clean, {MAY_FAIL(fcntl)}},
    {"grow memory", prepare_memory, grow, check_memory_grown, clean, {ONLY_LONGER, TAIL}},
    {"shrink memory", prepare_memory, shrink, check_memory_shrunk, clean, {MAY_FAIL(fcntl)}},
    {"refresh", prepare_writing, refresh, check_unchanged, clean, {NONE}},
    {"refresh to read", prepare_reading, refresh, check_unchanged, clean, {LOOKS}},
    {"refresh privately", prepare_private_tail, refresh, check_followed, clean, {LOOKS}},
    {"advise", prepare_writing, advise, check_unchanged, clean, {NONE}},
    {"prefetch", prepare_writing, prefetch, check_unchanged, clean, {NONE}},
    {"discard", prepare_writing, discard, check_discarded, clean, {NONE}},
    {"discard privately", prepare_private, discard, check_discarded, clean, {LOOKS}},
    {"discard private memory", prepare_private_memory, discard, check_discarded, clean, {NONE}},
    {"pin", prepare_writing, pin, check_unchanged, clean, {NONE}},
    {"unpin", prepare_pinned, unpin, check_unchanged, clean, {NONE}},
    {"protect", prepare_writing, protect, check_unchanged, clean, {NONE}},
    {"stat", prepare_writing, ask, check_unchanged, clean, {MAY_FAIL(fstat)}},
    {"stat to read", prepare_reading, ask, check_unchanged, clean,
     {MAY_FAIL(fstat), MAY_FAIL(open), LOOKS}},
    {"has", prepare_writing, has, check_unchanged, clean, {MAY_FAIL(fstatfs)}},
    {"has to read", prepare_reading, has, check_unchanged, clean,
     {MAY_FAIL(fstat), MAY_FAIL(fstatfs), MAY_FAIL(open), LOOKS}},
    {"fd", prepare_writing, get_fd, check_unchanged, clean, {NONE}},
    {"fd to read", prepare_reading, get_fd, check_unchanged, clean, {NONE}},
    {"read through a pipe", prepare_piping, read_it, check_unchanged, clean, {LOOKS}},
    {"write through a pipe", prepare_piping, write_it, check_unchanged, clean, {LOOKS}},
    {"read what is cut through a pipe", prepare_piping_cut, read_it, check_cut, clean, {AGAIN, LOOKS}},
    {"write what is cut through a pipe", prepare_piping_cut, write_it, check_cut, clean, {AGAIN, LOOKS}},
};
/* clang-format on */

int main(void)
{
    return run_failing_cases(cases, sizeof cases / sizeof cases[0], CALLS);
}
