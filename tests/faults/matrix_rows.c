/* matrix_rows.c: the faults. */
#include "matrix.h"

#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define MARKER "this block of the matrix is bad"

static bool is_fs(const struct cell *cell, const char *fs)
{
    return strcmp(cell->fs, fs) == 0;
}

/* ---- what the view must show ---- */

static void want_zeros(struct cell *cell, uint64_t from, uint64_t to)
{
    memset(cell->want + from, 0, to - from);
}

static void want_pattern(struct cell *cell, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        cell->want[i] = pattern(i + LEAD);
}

/* ---- somebody cuts the file ---- */

static void cut_to(struct cell *cell, uint64_t length)
{
    cut_file(cell->path, length);
    cell->end = length > LEAD ? length - LEAD : 0;
    want_zeros(cell, cell->end, PAGES * PAGE - LEAD);
}

static void strike_cut(struct cell *cell)
{
    cut_to(cell, 0);
}

static struct verdict verdict_cut(const struct cell *cell)
{
    return (struct verdict){-MV_ETRUNCATED, cell->from};
}

static void strike_middle(struct cell *cell)
{
    cut_to(cell, EDGE * PAGE + EDGE_BYTES);
}

/* From the new end to the end of its page there are zeros and no fault. */
static struct verdict verdict_middle(const struct cell *cell)
{
    (void)cell;
    return (struct verdict){-MV_ETRUNCATED, matrix_at(BAD, 0)};
}

/* mv_probe says more than the processor: those zeros are not the file's. */
static struct verdict probe_middle(const struct cell *cell)
{
    return (struct verdict){-MV_ETRUNCATED, cell->end};
}

/* Grows the file, and gives every byte back. */
static void heal_cut(struct cell *cell)
{
    cut_file(cell->path, 0);
    grow_file(cell->path, PAGES * PAGE);
    cell->end = PAGES * PAGE - LEAD;
    want_pattern(cell, 0, cell->end);
}

static void strike_regrown(struct cell *cell)
{
    cut_to(cell, 0);
    cut_file(cell->path, PAGES * PAGE);
    cell->end = PAGES * PAGE - LEAD;
}

/* ---- holes and a full file system ---- */

static const char *no_full(const struct cell *cell)
{
    return is_fs(cell, "memfd") ? "memory has no size to be full of" : NULL;
}

/* The pages from BAD to the last but one. */
static void want_hole(struct cell *cell)
{
    want_zeros(cell, matrix_at(BAD, 0), matrix_at(PAGES - 1, 0));
}

static void make_hole(struct cell *cell)
{
    unsigned char last[LARGEST_PAGE];
    matrix_make(cell, BAD * PAGE);
    cut_file(cell->path, PAGES * PAGE);
    for (size_t i = 0; i < PAGE; i++)
        last[i] = pattern((PAGES - 1) * PAGE + i);
    write_file(cell->path, last, PAGE, (PAGES - 1) * PAGE);
    want_hole(cell);
}

/* The blocks must be on the disk, or room is still promised to them. */
static void strike_full(struct cell *cell)
{
    fixture_forget(cell->path);
    fixture_fill(cell->fs);
}

static void heal_full(struct cell *cell)
{
    fixture_free(cell->fs);
}

/* Where each write goes to new blocks, one into old ones needs room, too. */
static struct verdict verdict_full(const struct cell *cell)
{
    if (cell->column->access == MV_READ)
        return WORKS_ALL;
    return (struct verdict){-ENOSPC, is_fs(cell, "btrfs") ? cell->from : matrix_at(BAD, 0)};
}

/* On tmpfs even to look at a hole takes a page. What copies reads the file
 * instead; a plain access cannot. */
static struct verdict touch_full(const struct cell *cell)
{
    if (is_fs(cell, "tmpfs"))
        return (struct verdict){-ENOSPC, matrix_at(BAD, 0)};
    return verdict_full(cell);
}

static struct verdict verdict_full_access(const struct cell *cell)
{
    return strcmp(cell->column->name, "try load") == 0 ? touch_full(cell) : verdict_full(cell);
}

static void look_at_all(struct cell *cell)
{
    unsigned char byte;
    for (uint64_t at = 0; at < cell->end; at += PAGE)
        SAME(WORKS(mv_read(cell->view, &byte, 1, at, ERR)), 1);
}

static void strike_punched(struct cell *cell)
{
    look_at_all(cell); /* every page is mapped */
    int fd = open_file(cell->path, O_RDWR);
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(BAD * PAGE),
                    (off_t)((PAGES - 1 - BAD) * PAGE)) == 0);
    close(fd);
    want_hole(cell);
}

static void strike_punched_full(struct cell *cell)
{
    strike_punched(cell);
    strike_full(cell);
}

/* ---- blocks that two files share ---- */

static int share_blocks(const char *from, const char *to)
{
    int source = open_file(from, O_RDONLY), copy = open_file(to, O_RDWR | O_CREAT | O_TRUNC);
    int r = ioctl(copy, FICLONE, source) < 0 ? -errno : 0;
    close(source);
    close(copy);
    return r;
}

static const char *copy_path(const struct cell *cell)
{
    return fixture_path(cell->fs, "copy");
}

/* That it is impossible is seen, not believed. */
static const char *no_reflink(const struct cell *cell)
{
    if (is_fs(cell, "xfs") || is_fs(cell, "btrfs"))
        return NULL;
    if (is_fs(cell, "memfd"))
        return "memory has no blocks to share";
    const char *from = make_file(fixture_path(cell->fs, "from"), PAGE);
    int r = share_blocks(from, copy_path(cell));
    CHECK(unlink(from) == 0 && unlink(copy_path(cell)) == 0);
    CHECK(r == -EOPNOTSUPP || r == -EXDEV || r == -EINVAL);
    return "files cannot share blocks there";
}

static void strike_reflink(struct cell *cell)
{
    SAME(share_blocks(cell->path, copy_path(cell)), 0);
    strike_full(cell);
}

static struct verdict verdict_reflink(const struct cell *cell)
{
    if (cell->column->access == MV_READ)
        return WORKS_ALL;
    return (struct verdict){-ENOSPC, cell->from};
}

/* What the other file has is its own, whatever this one was given. */
static void heal_reflink(struct cell *cell)
{
    CHECK(file_has_pattern(copy_path(cell), 0, PAGES * PAGE));
    CHECK(unlink(copy_path(cell)) == 0);
    fixture_free(cell->fs);
}

/* ---- the device ---- */

static const char *no_device(const struct cell *cell)
{
    return fixture_has_disk(cell->fs) ? NULL : "memory has no device to fail";
}

/* The marker is in page BAD, and nothing of the file is in memory. */
static void make_marked(struct cell *cell)
{
    matrix_make(cell, PAGES * PAGE);
    write_file(cell->path, MARKER, strlen(MARKER), BAD * PAGE + 2000);
    memcpy(cell->want + matrix_at(BAD, 2000), MARKER, strlen(MARKER));
    fixture_forget(cell->path);
    cell->to = matrix_at(BAD, 1024); /* whole, the page could be written without being read */
}

static void strike_device(struct cell *cell)
{
    fixture_order(cell->fs, "read-error " MARKER);
}

static void heal_device(struct cell *cell)
{
    fixture_order(cell->fs, "heal");
}

static struct verdict verdict_device(const struct cell *cell)
{
    (void)cell;
    return (struct verdict){-EIO, matrix_at(BAD, 0)};
}

/* The whole page can be written, without being read before. */
static void more_device(struct cell *cell)
{
    static unsigned char page[LARGEST_PAGE];
    uint64_t at = matrix_at(BAD, 0);
    if (cell->column->access != MV_WRITE)
        return;
    for (size_t i = 0; i < PAGE; i++)
        page[i] = fresh(at + i);
    SAME(WORKS(mv_write(cell->view, page, PAGE, at, ERR)), PAGE);
    memcpy(cell->want + at, page, PAGE);
    WORKS(mv_probe(cell->view, at, PAGE, MV_READ | MV_WRITE, ERR));
}

/* A byte is stored beside the marker, and its page cannot be written back. */
static void strike_write_back(struct cell *cell)
{
    uint64_t at = matrix_at(BAD, 3000);
    cell->want[at] = fresh(at);
    SAME(WORKS(mv_write(cell->view, cell->want + at, 1, at, ERR)), 1);
    fixture_order(cell->fs, "write-error " MARKER);
}

/* The view fails for good; another one can store the bytes again. */
static void heal_write_back(struct cell *cell)
{
    REFUSED(-EIO, mv_sync(cell->view, 0, 1, MV_SYNC_DATA, ERR));
    fixture_order(cell->fs, "heal");
    REFUSED(-EIO, mv_sync(cell->view, 0, MV_TO_END, MV_SYNC_FULL, ERR));
    check_usable(cell->view);
    close_failed(cell->view, -EIO);
    matrix_open(cell, 0);
    SAME(WORKS(mv_write(cell->view, cell->want, cell->end, 0, ERR)), cell->end);
}

/* ---- a lower file that is copied up ---- */

static const char *no_lower(const struct cell *cell)
{
    if (!is_fs(cell, "overlay"))
        return "it has no layers";
    return cell->column->access == MV_READ ? NULL : "to open the file for writing copies it up";
}

/* Each has a name of its own: an overlay does not expect its lower layer to
 * change where it has looked. */
static const char *lower_name(bool next)
{
    static int count;
    static char name[32];
    count += next;
    snprintf(name, sizeof name, "lower%d", count);
    return name;
}

static const char *lower_path(void)
{
    char suffix[64];
    snprintf(suffix, sizeof suffix, ".lower/%s", lower_name(false));
    return fixture_path("overlay", suffix);
}

static void make_lower(struct cell *cell)
{
    cell->path = fixture_path(cell->fs, lower_name(true));
    make_file(lower_path(), BAD * PAGE);
    cell->reserve = PAGES * PAGE;
}

/* Somebody appends, which copies the file up. What is mapped stays the lower
 * one, and has no such bytes. */
static void strike_copied_up(struct cell *cell)
{
    grow_file(cell->path, PAGES * PAGE);
    WORKS(mv_refresh(cell->view, ERR));
    SAME(mv_size(cell->view), cell->end);
}

static struct verdict verdict_copied_up(const struct cell *cell)
{
    (void)cell;
    return (struct verdict){-ESTALE, matrix_at(BAD, 0)};
}

static void open_anew(struct cell *cell)
{
    close_view(cell->view);
    matrix_open(cell, 0);
}

/* ---- a private view of a file that somebody cuts ---- */

/* Pages FIRST and BAD are the process's own, EDGE is still the file's. */
static void strike_private(struct cell *cell)
{
    static const uint64_t own[] = {FIRST, BAD};
    for (size_t i = 0; i < 2; i++) {
        uint64_t at = matrix_at(own[i], 0);
        for (uint64_t k = 0; k < PAGE; k++)
            cell->want[at + k] = fresh(at + k);
        SAME(WORKS(mv_write(cell->view, cell->want + at, PAGE, at, ERR)), PAGE);
    }
    cut_file(cell->path, EDGE * PAGE + EDGE_BYTES);
    cell->end = matrix_at(EDGE, EDGE_BYTES);
    want_zeros(cell, cell->end, PAGES * PAGE - LEAD);
}

/* What the process had stored past the new end is gone for good. What it
 * stored into the page of the new end is its own from then on, with the zeros
 * behind it. */
static void heal_private(struct cell *cell)
{
    grow_file(cell->path, PAGES * PAGE);
    cell->end = PAGES * PAGE - LEAD;
    want_pattern(cell, matrix_at(BAD, 0), cell->end);
    if (cell->column->access == MV_READ)
        want_pattern(cell, matrix_at(EDGE, EDGE_BYTES), matrix_at(BAD, 0));
}

/* ---- protected bytes ---- */

static void strike_no_access(struct cell *cell)
{
    WORKS(mv_protect(cell->view, matrix_at(BAD, 5), 10, 0, ERR));
}

static struct verdict verdict_protected(const struct cell *cell)
{
    (void)cell;
    return (struct verdict){-EACCES, matrix_at(BAD, 0)};
}

static void strike_read_only(struct cell *cell)
{
    WORKS(mv_protect(cell->view, matrix_at(BAD, 5), 10, MV_READ, ERR));
}

static struct verdict verdict_read_only(const struct cell *cell)
{
    return cell->column->access == MV_READ ? WORKS_ALL : verdict_protected(cell);
}

static void heal_protected(struct cell *cell)
{
    WORKS(mv_protect(cell->view, matrix_at(BAD, 5), 10,
                     cell->flags & MV_OPEN_WRITE ? MV_WRITE : MV_READ, ERR));
}

/* ---- the rows ---- */

const struct fault faults[] = {
    {.name = "cut to nothing",
     .strike = strike_cut,
     .verdict = verdict_cut,
     .sync = -MV_ETRUNCATED,
     .heal = heal_cut},
    {.name = "cut inside a page",
     .strike = strike_middle,
     .verdict = verdict_middle,
     .probe = probe_middle,
     .sync = -MV_ETRUNCATED,
     .heal = heal_cut},
    {.name = "cut and regrown", .strike = strike_regrown, .heal = heal_cut},
    {.name = "private, cut",
     .flags = MV_OPEN_PRIVATE | MV_OPEN_WRITE,
     .views = WRITE_VIEWS,
     .strike = strike_private,
     .verdict = verdict_middle,
     .probe = probe_middle,
     .heal = heal_private},
    {.name = "hole, full",
     .impossible = no_full,
     .make = make_hole,
     .strike = strike_full,
     .verdict = verdict_full_access,
     .touch = touch_full,
     .heal = heal_full},
    {.name = "punched", .strike = strike_punched},
    {.name = "punched, full",
     .impossible = no_full,
     .strike = strike_punched_full,
     .verdict = verdict_full_access,
     .touch = touch_full,
     .heal = heal_full},
    {.name = "reflink, full",
     .impossible = no_reflink,
     .strike = strike_reflink,
     .verdict = verdict_reflink,
     .heal = heal_reflink},
    {.name = "device read error",
     .impossible = no_device,
     .make = make_marked,
     .flags = MV_OPEN_RANDOM,
     .strike = strike_device,
     .verdict = verdict_device,
     .more = more_device,
     .heal = heal_device},
    {.name = "device, private",
     .impossible = no_device,
     .make = make_marked,
     .flags = MV_OPEN_RANDOM | MV_OPEN_PRIVATE | MV_OPEN_WRITE,
     .views = WRITE_VIEWS,
     .strike = strike_device,
     .verdict = verdict_device,
     .heal = heal_device},
    {.name = "device write error",
     .impossible = no_device,
     .make = make_marked,
     .views = WRITE_VIEWS,
     .strike = strike_write_back,
     .sync = -EIO,
     .heal = heal_write_back},
    {.name = "copied up",
     .impossible = no_lower,
     .make = make_lower,
     .views = READ_VIEWS,
     .strike = strike_copied_up,
     .verdict = verdict_copied_up,
     .heal = open_anew},
    {.name = "no access",
     .strike = strike_no_access,
     .verdict = verdict_protected,
     .heal = heal_protected},
    {.name = "read only",
     .strike = strike_read_only,
     .verdict = verdict_read_only,
     .heal = heal_protected},
    {.name = "own shrink beside", .views = WRITE_VIEWS, .run = matrix_shrink},
    {.name = "own detach beside", .run = matrix_detach},
    {0},
};
