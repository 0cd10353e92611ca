/* matrix.c: the columns, and the course of a cell. */
#include "matrix.h"

#include "../guarded.h"

#include <signal.h>
#include <stdlib.h>

/* ---- columns ---- */

static struct outcome copied(int64_t result, const mv_error *err)
{
    if (result < 0)
        return (struct outcome){(int)result, err->done, err->offset};
    return (struct outcome){0, (uint64_t)result, 0};
}

static struct outcome run_read(mv_view *view, unsigned char *bytes, uint64_t from, uint64_t n,
                               mv_error *err)
{
    return copied(mv_read(view, bytes, n, from, err), err);
}

static struct outcome run_write(mv_view *view, unsigned char *bytes, uint64_t from, uint64_t n,
                                mv_error *err)
{
    return copied(mv_write(view, bytes, n, from, err), err);
}

/* Numbers of every width: 16 bytes are one of 8, 4, 2, 1 and 1. */
static uint32_t width_at(uint64_t i)
{
    static const uint32_t widths[16] = {[0] = 8, [8] = 4, [12] = 2, [14] = 1, [15] = 1};
    return widths[i % 16];
}

static int access_number(mv_view *view, unsigned char *bytes, uint64_t at, uint32_t width,
                         uint32_t access, mv_error *err)
{
    union {
        uint64_t eight;
        uint32_t four;
        uint16_t two;
        unsigned char bytes[8];
    } u = {0};
    uint64_t value = UINT64_MAX;
    if (access == MV_WRITE) {
        memcpy(u.bytes, bytes, width);
        value = width == 8 ? u.eight : width == 4 ? u.four : width == 2 ? u.two : u.bytes[0];
        return mv_store(view, at, width, value, err);
    }
    int r = mv_load(view, at, width, &value, err);
    if (r < 0)
        return r;
    if (width < 8 && value >> (8 * width)) /* more than was asked for */
        return -ERANGE;
    if (width == 8)
        u.eight = value;
    else if (width == 4)
        u.four = (uint32_t)value;
    else if (width == 2)
        u.two = (uint16_t)value;
    else
        u.bytes[0] = (unsigned char)value;
    memcpy(bytes, u.bytes, width);
    return 0;
}

static struct outcome run_numbers(mv_view *view, unsigned char *bytes, uint64_t from, uint64_t n,
                                  uint32_t access, mv_error *err)
{
    for (uint64_t i = 0; i < n; i += width_at(i)) {
        int r = access_number(view, bytes + i, from + i, width_at(i), access, err);
        if (r < 0)
            return (struct outcome){r, i, err->offset};
    }
    return (struct outcome){0, n, 0};
}

static struct outcome run_load(mv_view *view, unsigned char *bytes, uint64_t from, uint64_t n,
                               mv_error *err)
{
    return run_numbers(view, bytes, from, n, MV_READ, err);
}

static struct outcome run_store(mv_view *view, unsigned char *bytes, uint64_t from, uint64_t n,
                                mv_error *err)
{
    return run_numbers(view, bytes, from, n, MV_WRITE, err);
}

/* What a callback of mv_try goes through. It is outside of the callback, so
 * that a fault leaves it as it is. (In the rows with threads two callbacks go
 * through the same bytes: the sanitizers need not know.) */
struct walk {
    volatile unsigned char *at;
    unsigned char *bytes;
    uint64_t n;
    volatile uint64_t done;
};

LEFT static int load_each(void *argument)
{
    struct walk *walk = argument;
    for (walk->done = 0; walk->done < walk->n; walk->done++)
        walk->bytes[walk->done] = walk->at[walk->done];
    return 0;
}

LEFT static int store_each(void *argument)
{
    struct walk *walk = argument;
    for (walk->done = 0; walk->done < walk->n; walk->done++)
        walk->at[walk->done] = walk->bytes[walk->done];
    return 0;
}

static struct outcome run_walk(mv_view *view, int (*each)(void *), unsigned char *bytes, uint64_t from,
                               uint64_t n, mv_error *err)
{
    struct walk walk = {(unsigned char *)mv_data(view) + from, bytes, n, 0};
    int r = mv_try(view, each, &walk, err);
    return (struct outcome){r, walk.done, r < 0 ? err->offset : 0};
}

static struct outcome run_try_load(mv_view *view, unsigned char *bytes, uint64_t from, uint64_t n,
                                   mv_error *err)
{
    return run_walk(view, load_each, bytes, from, n, err);
}

static struct outcome run_try_store(mv_view *view, unsigned char *bytes, uint64_t from, uint64_t n,
                                    mv_error *err)
{
    return run_walk(view, store_each, bytes, from, n, err);
}

const struct column columns[COLUMNS] = {
    {"read", MV_READ, 0, run_read},
    {"write", MV_WRITE, 0, run_write},
    {"load", MV_READ, 0, run_load},
    {"store", MV_WRITE, 0, run_store},
    {"try load", MV_READ, 0, run_try_load},
    {"try store", MV_WRITE, 0, run_try_store},
    {"read, no handler", MV_READ, MV_OPEN_NO_HANDLER, run_read},
    {"write, no handler", MV_WRITE, MV_OPEN_NO_HANDLER, run_write},
};

const struct column *matrix_partner(const struct column *column)
{
    return &columns[(column - columns) ^ 1];
}

/* ---- file and view ---- */

static unsigned char want[PAGES * LARGEST_PAGE], bytes[PAGES * LARGEST_PAGE];
static unsigned char original[PAGES * LARGEST_PAGE];

uint64_t matrix_at(uint64_t page, uint64_t byte)
{
    return page * PAGE + byte - LEAD;
}

unsigned char fresh(uint64_t at)
{
    return (unsigned char)(255 - pattern(at + LEAD));
}

/* A memfd has no place: its path is that of a descriptor. */
static const char *memory_path(int fd)
{
    static char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

void matrix_make(struct cell *cell, uint64_t length)
{
    if (strcmp(cell->fs, "memfd") == 0) {
        cell->memory = memfd_create("matrix", MFD_CLOEXEC);
        CHECK(cell->memory >= 0);
        cell->path = memory_path(cell->memory);
    } else {
        cell->path = fixture_path(cell->fs, "file");
    }
    make_file(cell->path, length);
}

void matrix_open(struct cell *cell, uint64_t flags)
{
    mv_options options = with(flags | cell->flags | cell->column->flags);
    options.offset = LEAD;
    options.reserve = cell->reserve;
    cell->view = open_with(cell->path, &options);
}

void matrix_close(struct cell *cell)
{
    close_view(cell->view);
    cell->view = NULL;
    if (cell->memory >= 0)
        close(cell->memory);
    else
        CHECK(unlink(cell->path) == 0);
}

/* ---- an access, and all that must hold after it ---- */

static bool is_copy(const struct cell *cell)
{
    return cell->column->run == run_read || cell->column->run == run_write;
}

/* What a call leaves in its mv_error. */
static void check_error(const struct cell *cell, struct outcome outcome)
{
    if (outcome.code == 0)
        support_worked(0, cell->column->name, __FILE__, __LINE__);
    else
        support_refused(outcome.code, outcome.code, cell->column->name, __FILE__, __LINE__);
    if (outcome.code != 0 && !is_copy(cell))
        SAME(support_error.done, 0);
}

/* The file itself, read past the view: what was stored is there, what was
 * not is as it was. Of a page that the device does not give nothing is known. */
static void check_file(const struct cell *cell, struct verdict verdict)
{
    static unsigned char seen[LARGEST_PAGE];
    int fd = open_file(cell->path, O_RDONLY);
    uint64_t length = cell->end > 0 ? cell->end + LEAD : 0;
    for (uint64_t at = 0; at < length; at += PAGE) {
        size_t n = length - at < PAGE ? (size_t)(length - at) : PAGE;
        ssize_t got = pread(fd, seen, n, (off_t)at);
        if (got < 0) {
            CHECK(verdict.code == -EIO && errno == EIO);
            continue;
        }
        SAME(got, n);
        for (uint64_t i = 0; i < n; i++)
            if (at + i >= LEAD)
                SAME(seen[i], cell->kept[at + i - LEAD]);
    }
    close(fd);
}

/* Nothing is loaded past the count; only to see that file and mapping differ
 * (ESTALE), more than that is read. */
static void check_loaded(const struct cell *cell, struct outcome outcome)
{
    uint64_t n = cell->to - cell->from;
    CHECK(memcmp(bytes, cell->want + cell->from, outcome.done) == 0);
    for (uint64_t i = outcome.done; i < n && outcome.code != -ESTALE; i++)
        SAME(bytes[i], 0xEE);
}

static void check_stored(struct cell *cell, uint64_t done, struct verdict verdict)
{
    static unsigned char seen[PAGES * LARGEST_PAGE];
    size_t got;
    memcpy(cell->want + cell->from, bytes, done);
    SAME(mv__copy_kernel((char *)mv_data(cell->view) + cell->from, seen, done, MV_READ, &got), 0);
    CHECK(memcmp(seen, cell->want + cell->from, done) == 0);
    check_file(cell, verdict);
}

/* A view without the handler must not rely on it. */
static struct outcome run_column(const struct cell *cell)
{
    struct sigaction plain = {.sa_handler = SIG_DFL}, bus, segv;
    bool without = cell->column->flags & MV_OPEN_NO_HANDLER;
    if (without)
        CHECK(sigaction(SIGBUS, &plain, &bus) == 0 && sigaction(SIGSEGV, &plain, &segv) == 0);
    struct outcome outcome =
        cell->column->run(cell->view, bytes, cell->from, cell->to - cell->from, support_prepare());
    if (without)
        CHECK(sigaction(SIGBUS, &bus, NULL) == 0 && sigaction(SIGSEGV, &segv, NULL) == 0);
    return outcome;
}

struct outcome matrix_access(struct cell *cell, struct verdict verdict)
{
    bool stores = cell->column->access == MV_WRITE;
    for (uint64_t i = 0; i < cell->to - cell->from; i++)
        bytes[i] = stores ? fresh(cell->from + i) : 0xEE;
    struct outcome outcome = run_column(cell);
    SAME(outcome.code, verdict.code);
    check_error(cell, outcome);
    if (verdict.code != 0)
        SAME(outcome.offset, verdict.first);
    SAME(outcome.done, (verdict.code != 0 ? verdict.first : cell->to) - cell->from);
    if (stores)
        check_stored(cell, outcome.done, verdict);
    else
        check_loaded(cell, outcome);
    return outcome;
}

/* ---- the course of a cell ---- */

static void check_probe(const struct cell *cell, struct verdict verdict)
{
    uint64_t n = cell->to - cell->from;
    if (verdict.code == 0) {
        WORKS(mv_probe(cell->view, cell->from, n, cell->column->access, ERR));
        return;
    }
    REFUSED(verdict.code, mv_probe(cell->view, cell->from, n, cell->column->access, ERR));
    SAME(support_error.offset, verdict.first);
    SAME(support_error.done, verdict.first - cell->from);
}

/* The bytes that a sync counts as lost begin where the file ends. */
static void check_sync(const struct cell *cell, int code)
{
    if (cell->kept != cell->want)
        code = -EINVAL; /* a private view */
    if (code == 0) {
        WORKS(mv_sync(cell->view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
        return;
    }
    REFUSED(code, mv_sync(cell->view, 0, MV_TO_END, MV_SYNC_DATA, ERR));
    if (code == -MV_ETRUNCATED)
        AT(cell->end, mv_size(cell->view) - cell->end, cell->end);
}

/* The processor's own word on it: a plain access, in a child. */
static void check_touch(const struct cell *cell, struct verdict verdict)
{
    unsigned char *data = mv_data(cell->view);
    if (verdict.code == 0) {
        SAME(touch(data + cell->to - 1, cell->column->access), 0);
        return;
    }
    SAME(touch(data + verdict.first, cell->column->access), verdict.code == -EACCES ? SIGSEGV : SIGBUS);
    if (verdict.first > cell->from)
        SAME(touch(data + verdict.first - 1, cell->column->access), 0);
}

/* What a view without the handler cannot do. */
static void check_unsupported(const struct cell *cell)
{
    uint64_t value;
    struct walk none = {0};
    if (!(cell->column->flags & MV_OPEN_NO_HANDLER))
        return;
    REFUSED(-EOPNOTSUPP, mv_load(cell->view, cell->from, 8, &value, ERR));
    if (cell->flags & MV_OPEN_WRITE)
        REFUSED(-EOPNOTSUPP, mv_store(cell->view, cell->from, 8, 1, ERR));
    REFUSED(-EOPNOTSUPP, mv_try(cell->view, load_each, &none, ERR));
}

/* A start inside of what is bad: the first byte is then this one. */
static void check_inside(struct cell *cell, struct verdict verdict)
{
    uint64_t from = cell->from;
    if (verdict.code == 0 || verdict.first + 32 >= cell->to)
        return;
    cell->from = verdict.first + 16;
    matrix_access(cell, (struct verdict){verdict.code, cell->from});
    cell->from = from;
}

/* Copies of other lengths, which other instructions make, over the edge. */
static void check_lengths(struct cell *cell, struct verdict verdict)
{
    static const uint64_t lengths[] = {14, 16, 25, 32, 50, 64, 100, 128, 129, 300, 1000};
    uint64_t from = cell->from, to = cell->to;
    if (!is_copy(cell) || verdict.code == 0 || verdict.first == from)
        return;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        cell->from = verdict.first - 13;
        cell->to = cell->from + lengths[i];
        matrix_access(cell, verdict);
    }
    cell->from = from;
    cell->to = to;
}

static const char *word_for(const struct cell *cell, struct outcome outcome)
{
    static char other[16];
    switch (outcome.code) {
    case 0:
        if (cell->column->access == MV_WRITE)
            return "works";
        return memchr(bytes, 0, outcome.done) ? "zeros" : "data";
    case -MV_ETRUNCATED:
        return "ETRUNC";
    case -ENOSPC:
        return "ENOSPC";
    case -EIO:
        return "EIO";
    case -EACCES:
        return "EACCES";
    case -ESTALE:
        return "ESTALE";
    default:
        snprintf(other, sizeof other, "%d", outcome.code);
        return other;
    }
}

static void begin_cell(const struct fault *fault, struct cell *cell)
{
    cell->from = matrix_at(FIRST, 32);
    cell->to = matrix_at(LAST, 64);
    cell->end = PAGES * PAGE - LEAD;
    cell->want = want;
    for (uint64_t i = 0; i < cell->end; i++)
        want[i] = pattern(i + LEAD);
    if (fault->make)
        fault->make(cell);
    else
        matrix_make(cell, PAGES * PAGE);
    memcpy(original, want, cell->end);
    cell->kept = fault->flags & MV_OPEN_PRIVATE ? original : want;
    matrix_open(cell, fault->flags);
}

static const char *run_course(const struct fault *fault, struct cell *cell)
{
    begin_cell(fault, cell);
    if (fault->strike)
        fault->strike(cell);
    struct verdict verdict = fault->verdict ? fault->verdict(cell) : WORKS_ALL;
    struct verdict plain = fault->touch ? fault->touch(cell) : verdict;
    struct verdict probe = fault->probe ? fault->probe(cell) : plain;
    const char *word = word_for(cell, matrix_access(cell, verdict));
    check_inside(cell, verdict);
    check_lengths(cell, verdict);
    check_unsupported(cell);
    check_touch(cell, plain);
    check_probe(cell, probe);
    check_sync(cell, fault->sync);
    if (fault->more)
        fault->more(cell);
    if (fault->heal) {
        fault->heal(cell);
        matrix_access(cell, WORKS_ALL);
        check_probe(cell, WORKS_ALL);
        check_sync(cell, 0);
    }
    matrix_close(cell);
    return word;
}

const char *matrix_impossible(const struct fault *fault, const char *fs, const struct column *column)
{
    struct cell cell = {.fs = fs, .column = column, .memory = -1};
    return fault->impossible ? fault->impossible(&cell) : NULL;
}

const char *matrix_run(const struct fault *fault, const char *fs, const struct column *column)
{
    const char *word = NULL;
    for (int writable = 0; writable < 2; writable++) {
        struct cell cell = {.fs = fs, .column = column, .memory = -1};
        if (fault->views == (writable ? READ_VIEWS : WRITE_VIEWS))
            continue;
        if (!writable && column->access == MV_WRITE)
            continue;
        if (writable)
            cell.flags = MV_OPEN_WRITE;
        word = fault->run ? fault->run(&cell) : run_course(fault, &cell);
    }
    return word;
}
