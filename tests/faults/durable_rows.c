/* durable_rows.c: the ways in which bytes do not reach the medium. */
#include "durable.h"

/* ---- the disk ---- */

static void break_write(struct trial *trial)
{
    fixture_order(trial->fs, "write-error " MARKER);
}

static void refuse_write(struct trial *trial)
{
    fixture_order(trial->fs, "write-full " MARKER);
}

static void break_flushes(struct trial *trial)
{
    fixture_order(trial->fs, "flush-error 1000000");
}

/* The file is a hole: what is stored needs blocks, which the file system has
 * and the disk has not. */
static void make_hole(struct trial *trial)
{
    make_sparse(trial->path, PAGES * PAGE);
}

static void refuse_blocks(struct trial *trial)
{
    fixture_order(trial->fs, "thin");
}

/* ---- somebody else is told first ---- */

static void open_beside(struct trial *trial)
{
    trial->other = open_file(trial->path, O_RDWR);
    durable_open(trial);
    SAME(mv_has(trial->view, MV_HAS_OWN_DESCRIPTION), 1);
}

static void fsync_first(struct trial *trial)
{
    break_write(trial);
    CHECK(fsync(trial->other) < 0);
}

static void other_view_first(struct trial *trial)
{
    mv_view *view = trial->view;
    durable_open(trial);
    mv_view *first = trial->view;
    trial->view = view;
    break_write(trial);
    int r = mv_sync(first, 0, MV_TO_END, MV_SYNC_FULL, support_prepare());
    CHECK(r < 0);
    close_failed(first, r);
}

/* The caller's own description, as when the file may not be opened any more.
 * The header warns of it, and mv_stat and mv_has tell. */
static void open_sharing(struct trial *trial)
{
    mv_options options = with(MV_OPEN_WRITE | MV_OPEN_RANDOM | MV_OPEN_SHARE_DESCRIPTION);
    options.offset = LEAD;
    trial->other = open_file(trial->path, O_RDWR);
    failing_reset();
    failing_arm(FAILING_open, 1, -EACCES, false);
    WORKS(mv_open_fd(trial->other, &options, &trial->view, ERR));
    CHECK(failing_fired());
    failing_reset();
    CHECK(info_of(trial->view).state & MV_STATE_SHARED_DESCRIPTION);
    SAME(mv_has(trial->view, MV_HAS_OWN_DESCRIPTION), 0);
}

/* ---- before the view is opened ---- */

/* The stores are of a view that is closed before anything is written; then the
 * kernel tries to write. */
static void lose_after_close(struct trial *trial)
{
    unsigned long failed = fixture_count(trial->fs, "failed");
    close_view(trial->view);
    trial->view = NULL;
    break_write(trial);
    int folder = open_file(fixture_path(trial->fs, ""), O_RDONLY | O_DIRECTORY);
    (void)!syncfs(folder); /* some kernels tell, and some do not */
    close(folder);
    CHECK(fixture_count(trial->fs, "failed") > failed);
}

static void close_first(struct trial *trial)
{
    lose_after_close(trial);
    durable_open(trial);
}

static void close_and_tell(struct trial *trial)
{
    lose_after_close(trial);
    int fd = open_file(trial->path, O_RDWR);
    CHECK(fsync(fd) < 0);
    close(fd);
    durable_open(trial);
}

/* ---- a child ---- */

static void sync_in_child(void *argument)
{
    struct trial *trial = argument;
    for (uint32_t level = MV_SYNC_START; level <= MV_SYNC_FULL; level++)
        REFUSED(-ECHILD, mv_sync(trial->view, 0, MV_TO_END, level, ERR));
    REFUSED(-ECHILD, mv_detach(trial->view, ERR));
    WORKS(mv_close(trial->view, ERR));
}

static void child_first(struct trial *trial)
{
    break_write(trial);
    in_child(sync_in_child, trial);
}

/* A descriptor of the caller's, which the child has inherited. */
static void fsync_in_child(void *argument)
{
    struct trial *trial = argument;
    CHECK(fsync(trial->other) < 0);
}

static void child_fsync_first(struct trial *trial)
{
    break_write(trial);
    in_child(fsync_in_child, trial);
}

/* The header warns of who goes past the library with the view's own addresses:
 * they have its open file description, and a child inherits them. */
static void msync_view(void *argument)
{
    struct trial *trial = argument;
    CHECK(msync(trial->view->base, trial->view->geometry.mapped, MS_SYNC) < 0);
}

static void msync_first(struct trial *trial)
{
    break_write(trial);
    msync_view(trial);
}

static void child_msync_first(struct trial *trial)
{
    break_write(trial);
    in_child(msync_view, trial);
}

/* ---- many at once ---- */

enum { THREADS = 8 };

struct caller {
    struct trial *trial;
    uint64_t off, len;
    uint32_t level;
    pthread_barrier_t *start;
    int code;
};

static void *sync_in_thread(void *argument)
{
    struct caller *caller = argument;
    pthread_barrier_wait(caller->start);
    caller->code = mv_sync(caller->trial->view, caller->off, caller->len, caller->level, NULL);
    return NULL;
}

/* Each of them is told, or none is. */
static int sync_at_once(struct trial *trial, uint64_t off, uint64_t len, uint32_t level)
{
    pthread_t threads[THREADS];
    struct caller callers[THREADS];
    pthread_barrier_t start;
    CHECK(pthread_barrier_init(&start, NULL, THREADS) == 0);
    for (size_t i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){trial, off, len, level, &start, 1};
        CHECK(pthread_create(&threads[i], NULL, sync_in_thread, &callers[i]) == 0);
    }
    int code = 0;
    bool one_worked = false;
    for (size_t i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        one_worked = one_worked || callers[i].code == 0;
        code = callers[i].code < 0 ? callers[i].code : code;
    }
    pthread_barrier_destroy(&start);
    return one_worked ? 0 : code;
}

/* ---- what the trial would see of a library that believes the kernel ---- */

static int ask_kernel(struct trial *trial, uint64_t off, uint64_t len, uint32_t level)
{
    size_t n;
    const mv_view *view = trial->view;
    struct mv__span span = {off, len == MV_TO_END ? mv_size(view) - off : len};
    unsigned char *pages = mv__view_pages(view, span, &n);
    if (level == MV_SYNC_START)
        return sync_file_range(view->source.fd, 0, 0, SYNC_FILE_RANGE_WRITE) < 0 ? -errno : 0;
    int r = level == MV_SYNC_DATA ? msync(pages, n, MS_SYNC) : fsync(view->source.fd);
    return r < 0 ? -errno : 0;
}

static int ask_kernel_twice(struct trial *trial, uint64_t off, uint64_t len, uint32_t level)
{
    ask_kernel(trial, off, len, level);
    return ask_kernel(trial, off, len, level);
}

/* Who syncs nothing at all. */
static int promise_only(struct trial *trial, uint64_t off, uint64_t len, uint32_t level)
{
    (void)trial;
    (void)off;
    (void)len;
    (void)level;
    return 0;
}

/* ---- the rows ---- */

/* The thin device is first: as long as no block of the disk has been used for
 * a file and is free again. */
const struct failing failings[] = {
    {.name = "thin device", .make = make_hole, .strike = refuse_blocks, .kills = true},
    {.name = "write EIO", .strike = break_write},
    {.name = "write ENOSPC", .strike = refuse_write},
    {.name = "flush EIO", .strike = break_flushes, .kills = true},
    {.name = "fsync by another", .open = open_beside, .strike = fsync_first},
    {.name = "another view first", .strike = other_view_first},
    {.name = "shared, unasked", .open = open_sharing, .strike = break_write},
    {.name = "shared, fsync first", .open = open_sharing, .strike = fsync_first, .falseness = WEAKER},
    {.name = "after close", .strike = close_first},
    {.name = "after close, told", .strike = close_and_tell, .falseness = WEAKER},
    {.name = "child syncs", .strike = child_first},
    {.name = "child, fsync", .open = open_beside, .strike = child_fsync_first},
    {.name = "child, raw msync", .strike = child_msync_first, .falseness = WEAKER},
    {.name = "raw msync", .strike = msync_first, .falseness = WEAKER},
    {.name = "8 threads", .strike = break_write, .sync = sync_at_once},
    {.name = "control: msync twice",
     .strike = break_write,
     .sync = ask_kernel_twice,
     .falseness = CONTROL},
    {.name = "control: no sync", .strike = break_write, .sync = promise_only, .falseness = CONTROL},
    {0},
};
