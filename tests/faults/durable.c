/* durable.c: the columns, and the course of a trial. */
#include "durable.h"

/* ---- file and view ---- */

uint64_t durable_at(int page)
{
    return (uint64_t)page * PAGE + STORED_AT - LEAD;
}

/* What is stored into a page: the marker in the midst of the bad one. */
static const unsigned char *bytes_of(int page)
{
    static unsigned char bytes[STORED_LENGTH];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(255 - pattern(durable_at(page) + LEAD + i));
    if (page == BAD)
        memcpy(bytes + 200, MARKER, strlen(MARKER));
    return bytes;
}

static void make_whole(struct trial *trial)
{
    make_file(trial->path, PAGES * PAGE);
}

/* Without read-ahead, so that the two pages are written each for itself. */
void durable_open(struct trial *trial)
{
    mv_options options = with(MV_OPEN_WRITE | MV_OPEN_RANDOM);
    options.offset = LEAD;
    trial->view = open_with(trial->path, &options);
}

void durable_store(struct trial *trial)
{
    static const int pages[] = {GOOD, BAD};
    for (size_t i = 0; i < 2; i++) {
        uint64_t at = durable_at(pages[i]);
        const unsigned char *bytes = bytes_of(pages[i]);
        if (trial->raw)
            memcpy((char *)mv_data(trial->view) + at, bytes, STORED_LENGTH);
        else
            SAME(WORKS(mv_write(trial->view, bytes, STORED_LENGTH, at, ERR)), STORED_LENGTH);
    }
}

/* ---- columns ---- */

static int sync_by(struct trial *trial, uint64_t off, uint64_t len, uint32_t level)
{
    if (trial->failing->sync)
        return trial->failing->sync(trial, off, len, level);
    return mv_sync(trial->view, off, len, level, support_prepare());
}

static int data_range(struct trial *trial)
{
    return sync_by(trial, durable_at(BAD), STORED_LENGTH, MV_SYNC_DATA);
}

static int data_whole(struct trial *trial)
{
    return sync_by(trial, 0, MV_TO_END, MV_SYNC_DATA);
}

static int full_range(struct trial *trial)
{
    return sync_by(trial, durable_at(BAD), STORED_LENGTH, MV_SYNC_FULL);
}

static int full_whole(struct trial *trial)
{
    return sync_by(trial, 0, MV_TO_END, MV_SYNC_FULL);
}

/* What was begun may have failed by the time of the second call, or not. It
 * promises nothing itself, but a failure of it is kept. */
static int started(struct trial *trial)
{
    unsigned long before = fixture_count(trial->fs, "failed");
    int r = sync_by(trial, 0, MV_TO_END, MV_SYNC_START);
    for (int i = 0; i < 20 && fixture_count(trial->fs, "failed") == before; i++)
        usleep(1000);
    return r < 0 ? r : data_range(trial);
}

static int data_beside(struct trial *trial)
{
    return sync_by(trial, durable_at(GOOD), STORED_LENGTH, MV_SYNC_DATA);
}

/* A sync of other bytes must not make one forget. */
static int data_after_beside(struct trial *trial)
{
    int r = data_beside(trial);
    return r < 0 ? r : data_whole(trial);
}

const struct way ways[WAYS] = {
    {"DATA", BAD, data_range},      {"all", 0, data_whole},  {"FULL", BAD, full_range},
    {"all", 0, full_whole},         {"START", BAD, started}, {"other", GOOD, data_beside},
    {"+all", 0, data_after_beside},
};

/* ---- after a success ---- */

static bool is_there(const struct trial *trial, int page)
{
    unsigned char seen[STORED_LENGTH];
    if (file_length(trial->path) < PAGES * PAGE)
        return false;
    read_file(trial->path, seen, sizeof seen, durable_at(page) + LEAD);
    return memcmp(seen, bytes_of(page), sizeof seen) == 0;
}

void durable_clean(struct trial *trial)
{
    if (trial->view)
        mv_close(trial->view, NULL);
    if (trial->other >= 0)
        close(trial->other);
    trial->view = NULL;
    trial->other = -1;
}

/* The power goes first: nothing that comes after the sync can help it. */
static enum verdict prove(struct trial *trial)
{
    fixture_order(trial->fs, "cut");
    durable_clean(trial);
    fixture_cut(trial->fs);
    bool there = true;
    if (trial->way->page != BAD)
        there = is_there(trial, GOOD);
    if (trial->way->page != GOOD)
        there = there && is_there(trial, BAD);
    return there ? THERE : NOT_THERE;
}

/* ---- after a failure ---- */

/* Whatever is asked for, the answer is the first failure, with its place. */
static void check_held(struct trial *trial, mv_error first)
{
    static const uint64_t ranges[][2] = {{0, 0}, {0, MV_TO_END}, {5, 1}};
    for (uint32_t level = MV_SYNC_START; level <= MV_SYNC_FULL; level++)
        for (size_t i = 0; i < 3; i++) {
            REFUSED(trial->code, mv_sync(trial->view, ranges[i][0], ranges[i][1], level, ERR));
            AT(first.offset, first.length, 0);
            FAILED_OP(first.op);
        }
    mv_info info = info_of(trial->view);
    CHECK(info.state & MV_STATE_FAILED);
    SAME(info.failure, trial->code);
    SAME(info.failure_offset, first.offset);
    SAME(info.failure_length, first.length);
}

static mv_error held_failure(struct trial *trial)
{
    REFUSED(trial->code, mv_sync(trial->view, 0, 0, MV_SYNC_DATA, ERR));
    CHECK(strstr("msync fsync sync_file_range syncfs", support_error.op));
    CHECK(support_error.length == STORED_LENGTH
              ? support_error.offset == durable_at(BAD) || support_error.offset == durable_at(GOOD)
              : support_error.offset == 0 && support_error.length == PAGES * PAGE - LEAD);
    return support_error;
}

/* Open it anew to start over, and write the bytes again. */
static void check_anew(struct trial *trial)
{
    durable_open(trial);
    durable_store(trial);
    SAME(WORKS(mv_sync(trial->view, 0, MV_TO_END, MV_SYNC_FULL, ERR)), 0);
    fixture_order(trial->fs, "cut");
    close_view(trial->view);
    trial->view = NULL;
    fixture_cut(trial->fs);
    CHECK(is_there(trial, GOOD) && is_there(trial, BAD));
}

/* What fails in a control is no failure of the view. */
static enum verdict end_control(struct trial *trial)
{
    fixture_order(trial->fs, "heal");
    close_view(trial->view);
    trial->view = NULL;
    fixture_unmount(trial->fs);
    fixture_mount(trial->fs);
    return FAILED;
}

static enum verdict check_failed(struct trial *trial)
{
    if (trial->failing->falseness == CONTROL)
        return end_control(trial);
    mv_error first = held_failure(trial);
    check_held(trial, first);
    fixture_order(trial->fs, "heal");
    check_held(trial, first);
    if (!trial->failing->kills)
        check_usable(trial->view);
    if (trial->raw) {
        REFUSED(trial->code, mv_detach(trial->view, ERR));
        AT(first.offset, first.length, 0);
    }
    close_failed(trial->view, trial->code);
    AT(first.offset, first.length, 0);
    FAILED_OP(first.op);
    trial->view = NULL;
    durable_clean(trial);
    if (trial->failing->kills) {
        fixture_unmount(trial->fs);
        fixture_mount(trial->fs);
    }
    check_anew(trial);
    return FAILED;
}

/* ---- the course of a trial ---- */

/* Every file is a new one, on blocks of its own. */
static const char *next_file(const struct trial *trial)
{
    static unsigned count;
    char name[32];
    snprintf(name, sizeof name, "file%u", count++);
    return fixture_path(trial->fs, name);
}

enum verdict durable_run(struct trial *trial)
{
    char path[512];
    snprintf(path, sizeof path, "%s", next_file(trial));
    trial->path = path;
    if (trial->failing->make)
        trial->failing->make(trial);
    else
        make_whole(trial);
    fixture_forget(path);
    int folder = open_file(fixture_path(trial->fs, ""), O_RDONLY | O_DIRECTORY);
    CHECK(fsync(folder) == 0);
    close(folder);
    if (trial->failing->open)
        trial->failing->open(trial);
    else
        durable_open(trial);
    durable_store(trial);
    trial->failing->strike(trial);
    trial->code = trial->way->run(trial);
    CHECK(trial->code <= 0);
    return trial->code == 0 ? prove(trial) : check_failed(trial);
}
