/* history.c: what was done and promised, and whether it holds. */
#include "crash.h"

#include <stdlib.h>
#include <sys/stat.h>

struct event {
    uint64_t at; /* the length of the log */
    enum kind kind;
    int file;
    uint64_t from, to;
    unsigned version;
};

enum { MOST_EVENTS = 8192 };
static struct event events[MOST_EVENTS];
static size_t event_count, taken_in;
static const char *log_path;
static bool blocks_go_astray;

#define ANYTHING UINT64_MAX

/* What a file may be, as far as the history has been taken in. */
struct file {
    uint64_t length;                 /* by the last event */
    uint64_t least;                  /* what a promise made sure of */
    uint64_t lengths[MOST_VERSIONS]; /* what it may have, once that was promised */
    size_t length_count;
    bool made, promised, named, exact;
    bool renamed;                    /* it may have its last name */
    unsigned char now[LONGEST_FILE]; /* each byte's version */
    uint64_t may_be[LONGEST_FILE];   /* each byte's versions, a bit for each */
    const char *lie;                 /* what of it was promised and not synced */
    bool found;
};
static struct file *files[MOST_FILES];
static int promise_count;
static uint64_t bytes_checked;

unsigned char version_byte(int file, unsigned version, uint64_t at)
{
    if (version == 0)
        return 0;
    uint64_t mixed = (at << 16 | (uint64_t)(unsigned)file << 8 | version) * 0x9E3779B97F4A7C15;
    return (unsigned char)(1 + (mixed >> 40) % 255);
}

/* ---- taking notes ---- */

void history_begin(const char *log, bool astray)
{
    for (int i = 0; i < MOST_FILES; i++) {
        free(files[i]);
        files[i] = NULL;
    }
    event_count = taken_in = 0;
    promise_count = 0;
    bytes_checked = 0;
    log_path = log;
    blocks_go_astray = astray;
}

static struct file *file_of(int number)
{
    CHECK(number >= 0 && number < MOST_FILES);
    if (!files[number])
        files[number] = calloc(1, sizeof(struct file));
    CHECK(files[number]);
    return files[number];
}

void history_note(enum kind kind, int file, uint64_t from, uint64_t to, unsigned version)
{
    CHECK(event_count < MOST_EVENTS && to <= LONGEST_FILE && version < MOST_VERSIONS);
    file_of(file);
    promise_count += kind >= PROMISED;
    events[event_count++] = (struct event){file_length(log_path), kind, file, from, to, version};
}

void history_lie(int file, const char *what)
{
    file_of(file)->lie = what;
}

/* ---- taking them in ---- */

static void may_be_also(struct file *file, uint64_t from, uint64_t to, unsigned version)
{
    for (uint64_t at = from; at < to; at++) {
        file->now[at] = (unsigned char)version;
        file->may_be[at] |= (uint64_t)1 << version;
    }
}

/* Bytes that are given back, and are zeros if they ever come again. */
static void take_back(struct file *file, uint64_t from, uint64_t to)
{
    may_be_also(file, from, to, 0);
    for (uint64_t at = from; blocks_go_astray && at < to; at++)
        file->may_be[at] = ANYTHING;
}

static void take_store(struct file *file, const struct event *e)
{
    uint64_t from = e->from & ~(uint64_t)4095, to = (e->to + 4095) & ~(uint64_t)4095;
    for (uint64_t at = from; blocks_go_astray && at < to; at++)
        if (file->now[at] == 0)
            file->may_be[at] = ANYTHING;
    may_be_also(file, e->from, e->to, e->version);
}

static void take_length(struct file *file, uint64_t length)
{
    if (length < file->length)
        take_back(file, length, LONGEST_FILE);
    else
        may_be_also(file, file->length, LONGEST_FILE, 0);
    file->length = length;
    if (length < file->least)
        file->least = length;
    if (file->exact) {
        CHECK(file->length_count < MOST_VERSIONS);
        file->lengths[file->length_count++] = length;
    }
}

static void take_promise(struct file *file, const struct event *e)
{
    for (uint64_t at = e->from; at < e->to; at++)
        file->may_be[at] = (uint64_t)1 << file->now[at];
    file->promised = true;
    if (e->to > file->least)
        file->least = e->to;
    if (e->kind == PROMISED)
        return;
    file->named = file->exact = true;
    file->lengths[0] = file->length;
    file->length_count = 1;
}

void history_advance(uint64_t log_length)
{
    for (; taken_in < event_count && events[taken_in].at <= log_length; taken_in++) {
        const struct event *e = &events[taken_in];
        struct file *file = files[e->file];
        if (e->kind == CREATED) {
            file->made = true;
            memset(file->may_be, 0xFF, sizeof file->may_be); /* nothing is promised */
        } else if (e->kind == GIVEN_BACK) {
            take_back(file, e->from, e->to);
        } else if (e->kind == STORED) {
            take_store(file, e);
        } else if (e->kind == SIZED) {
            take_length(file, e->to);
        } else if (e->kind == RENAMED) {
            file->renamed = true;
            file->named = false;
        } else {
            take_promise(file, e);
        }
    }
}

/* ---- asking ---- */

static bool is_length_right(const struct file *file, uint64_t length)
{
    if (length < file->least)
        return false;
    if (!file->exact)
        return true;
    for (size_t i = 0; i < file->length_count; i++)
        if (file->lengths[i] == length)
            return true;
    return false;
}

static bool is_byte_right(int number, const struct file *file, uint64_t at, unsigned char byte)
{
    uint64_t may_be = file->may_be[at];
    if (may_be == ANYTHING)
        return true;
    bytes_checked++;
    for (unsigned version = 0; version < MOST_VERSIONS; version++)
        if ((may_be >> version & 1) && byte == version_byte(number, version, at))
            return true;
    return false;
}

static int open_one(const char *folder, int number, const char *suffix)
{
    char path[512];
    snprintf(path, sizeof path, "%s/f%d%s", folder, number, suffix);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* A file that was renamed has its last name once that was promised. Before, it
 * has one of the two, and the last one may still be that of the empty file
 * which it took the name from. */
static int open_by_name(const char *folder, int number, const struct file *file)
{
    struct stat st;
    if (!file->renamed || file->named)
        return open_one(folder, number, "");
    int fd = open_one(folder, number, ".new");
    if (fd >= 0)
        return fd;
    fd = open_one(folder, number, "");
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static const char *check_one(const char *folder, int number, const struct file *file)
{
    unsigned char bytes[LONGEST_FILE + 1];
    int fd = open_by_name(folder, number, file);
    if (fd < 0)
        return file->named ? "the file is not there" : NULL;
    ssize_t n = pread(fd, bytes, sizeof bytes, 0);
    close(fd);
    if (n < 0)
        return "it cannot be read";
    if (!is_length_right(file, (uint64_t)n))
        return "its length is wrong";
    for (uint64_t at = 0; at < (uint64_t)n && at < LONGEST_FILE; at++)
        if (!is_byte_right(number, file, at, bytes[at]))
            return "its bytes are wrong";
    return NULL;
}

int history_check(const char *folder)
{
    int count = 0;
    for (int i = 0; i < MOST_FILES; i++) {
        struct file *file = files[i];
        if (!file || !file->made || !file->promised)
            continue;
        const char *why = folder ? check_one(folder, i, file) : "nothing can be mounted";
        if (!why)
            continue;
        if (file->lie) {
            file->found = true;
            continue;
        }
        count++;
        printf("f%d: %s\n", i, why);
    }
    return count;
}

struct history_totals history_totals(void)
{
    struct history_totals t = {.promises = promise_count, .checked = bytes_checked};
    for (int i = 0; i < MOST_FILES; i++) {
        t.files += files[i] != NULL;
        t.lies += files[i] && files[i]->lie;
        t.lies_found += files[i] && files[i]->lie && files[i]->found;
    }
    return t;
}

const char *history_unfound(void)
{
    for (int i = 0; i < MOST_FILES; i++)
        if (files[i] && files[i]->lie && !files[i]->found)
            return files[i]->lie;
    return NULL;
}
