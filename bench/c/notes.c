/* notes.c: the notes' benchmark, repaired and with writing, in C. */

#include <errno.h>
#include <fcntl.h>
#include <mapview.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rounds.h"
#include "rows.h"

/* Reading. What a loop needs is in locals, as a user's would be. */

static int read_view(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    size_t size = b->size, accesses = b->accesses;
    mv_view *view = v->view;
    for (size_t i = 0; i < accesses; i++)
        if (mv_read(view, buf + i * stride, size, i * size, NULL) != (int64_t)size)
            return -1;
    return 0;
}

/* read_memory serves mapview's mv_data, mmap by hand and ordinary memory. The
 * compiler does not know the size: it calls memcpy in the C library. */
static int read_memory(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    size_t size = b->size, accesses = b->accesses;
    const char *memory = v->memory;
    for (size_t i = 0; i < accesses; i++) {
        memcpy(buf + i * stride, memory + i * size, size);
        KEEP();
    }
    return 0;
}

#ifdef __x86_64__
/* What a guarded copy of one instruction would take. */
static int read_string(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    for (size_t i = 0; i < b->accesses; i++) {
        const char *from = v->memory + i * b->size;
        char *to = buf + i * stride;
        size_t n = b->size;
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    }
    return 0;
}
#endif

/* For blocks of 8 bytes alone. */
static int read_number(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    size_t accesses = b->accesses;
    mv_view *view = v->view;
    for (size_t i = 0; i < accesses; i++) {
        uint64_t value;
        if (mv_load(view, i * sizeof value, sizeof value, &value, NULL) != 0)
            return -1;
        memcpy(buf + i * stride, &value, sizeof value);
        KEEP();
    }
    return 0;
}

/* The lseek back to the start, once a pass, is timed with it. */
static int read_read(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    size_t size = b->size, accesses = b->accesses;
    if (lseek(v->fd, 0, SEEK_SET) != 0)
        return -1;
    for (size_t i = 0; i < accesses; i++)
        if (read(v->fd, buf + i * stride, size) != (ssize_t)size)
            return -1;
    return 0;
}

static int read_pread(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    size_t size = b->size, accesses = b->accesses;
    for (size_t i = 0; i < accesses; i++)
        if (pread(v->fd, buf + i * stride, size, (off_t)(i * size)) != (ssize_t)size)
            return -1;
    return 0;
}

/* Writing. */

static int write_view(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    size_t size = b->size, accesses = b->accesses;
    mv_view *view = v->view;
    for (size_t i = 0; i < accesses; i++)
        if (mv_write(view, buf + i * stride, size, i * size, NULL) != (int64_t)size)
            return -1;
    return 0;
}

static int write_memory(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    size_t size = b->size, accesses = b->accesses;
    char *memory = v->memory;
    for (size_t i = 0; i < accesses; i++) {
        memcpy(memory + i * size, buf + i * stride, size);
        KEEP();
    }
    return 0;
}

static int write_write(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    size_t size = b->size, accesses = b->accesses;
    if (lseek(v->fd, 0, SEEK_SET) != 0)
        return -1;
    for (size_t i = 0; i < accesses; i++)
        if (write(v->fd, buf + i * stride, size) != (ssize_t)size)
            return -1;
    return 0;
}

static int write_pwrite(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    size_t size = b->size, accesses = b->accesses;
    for (size_t i = 0; i < accesses; i++)
        if (pwrite(v->fd, buf + i * stride, size, (off_t)(i * size)) != (ssize_t)size)
            return -1;
    return 0;
}

/* The same copies as read_memory and write_memory make, each in an mv_try. */

struct piece {
    char *to;
    const char *from;
    size_t size;
};

static int copy_piece(void *arg)
{
    const struct piece *piece = arg;
    memcpy(piece->to, piece->from, piece->size);
    return 0;
}

static int read_try(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    size_t size = b->size, accesses = b->accesses;
    const char *memory = v->memory;
    for (size_t i = 0; i < accesses; i++) {
        struct piece piece = {buf + i * stride, memory + i * size, size};
        if (mv_try(v->view, copy_piece, &piece, NULL) != 0)
            return -1;
    }
    return 0;
}

static int write_try(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    size_t size = b->size, accesses = b->accesses;
    char *memory = v->memory;
    for (size_t i = 0; i < accesses; i++) {
        struct piece piece = {memory + i * size, buf + i * stride, size};
        if (mv_try(v->view, copy_piece, &piece, NULL) != 0)
            return -1;
    }
    return 0;
}

/* Writing, then one sync. */

static int sync_view(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    if (write_view(b, v, buf, stride) != 0)
        return -1;
    return mv_sync(v->view, 0, MV_TO_END, MV_SYNC_FULL, NULL);
}

static int sync_data(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    write_memory(b, v, buf, stride);
    return mv_sync(v->view, 0, MV_TO_END, MV_SYNC_FULL, NULL);
}

static int sync_mapping(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    write_memory(b, v, buf, stride);
    return msync(v->memory, FILE_SIZE, MS_SYNC);
}

static int sync_pwrite(const struct block *b, const struct variant *v, char *buf, size_t stride)
{
    if (write_pwrite(b, v, buf, stride) != 0)
        return -1;
    return fsync(v->fd);
}

/* What a block's variants work on: each has a view, a mapping or a descriptor
 * of its own, but for the Guard blocks, which are about one view. */
struct opened {
    mv_view *views[2];
    mv_view *unhandled; /* with MV_OPEN_NO_HANDLER */
    char *mappings[2];  /* the second for the A/A pair */
    char *memory;
    int fd;
};

static int open_view(const char *path, uint64_t flags, mv_view **out)
{
    mv_options options = MV_OPTIONS_INIT;
    mv_error error = MV_ERROR_INIT;
    options.flags = flags;
    if (mv_open(path, &options, out, &error) == 0)
        return 0;
    errno = 0;
    return fail(error.text, path);
}

static int open_all(struct opened *o, const char *path, int write)
{
    *o = (struct opened){.fd = -1};
    uint64_t flags = write ? MV_OPEN_WRITE : 0;
    for (int i = 0; i < 2; i++)
        if (open_view(path, flags, &o->views[i]) != 0)
            return -1;
    if (open_view(path, flags | MV_OPEN_NO_HANDLER, &o->unhandled) != 0)
        return -1;
    if ((o->fd = open(path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC)) < 0)
        return fail("open", path);
    for (int i = 0; i < 2; i++) {
        void *at =
            mmap(NULL, FILE_SIZE, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, o->fd, 0);
        if (at == MAP_FAILED)
            return fail("mmap", path);
        o->mappings[i] = at;
    }
    /* Whole pages, as a mapping is: a copy from an odd address is slower. */
    if (!(o->memory = aligned_alloc(4096, FILE_SIZE)))
        return fail("no memory", path);
    memset(o->memory, 1, FILE_SIZE);
    return 0;
}

static int close_all(struct opened *o, int rc)
{
    for (int i = 0; i < 2; i++) {
        if (mv_close(o->views[i], NULL) != 0)
            rc = fail("mv_close", "C");
        if (o->mappings[i])
            munmap(o->mappings[i], FILE_SIZE);
    }
    if (mv_close(o->unhandled, NULL) != 0)
        rc = fail("mv_close", "C");
    if (o->fd >= 0)
        close(o->fd);
    free(o->memory);
    return rc;
}

static void add_reads(struct block *b, struct opened *o)
{
    memcpy(o->memory, b->content, FILE_SIZE);
    block_add(b, &(struct variant){"mapview", "mv_read", read_view, o->views[0], NULL, -1, 0});
    block_add(b, &(struct variant){"mapview", "mv_data+memcpy", read_memory, NULL, mv_data(o->views[1]),
                                   -1, 0});
    block_add(b, &(struct variant){"mmap", "memcpy", read_memory, NULL, o->mappings[0], -1, 0});
    block_add(b, &(struct variant){"libc", "read", read_read, NULL, NULL, o->fd, 0});
    block_add(b, &(struct variant){"libc", "pread", read_pread, NULL, NULL, o->fd, 0});
    block_add(b, &(struct variant){"memory", "copy", read_memory, NULL, o->memory, -1, 0});
    block_add(b, &(struct variant){"mmap", "memcpy", read_memory, NULL, o->mappings[1], -1, 1});
}

static void add_writes(struct block *b, struct opened *o)
{
    block_add(b, &(struct variant){"mapview", "mv_write", write_view, o->views[0], NULL, -1, 0});
    block_add(b, &(struct variant){"mapview", "mv_data+memcpy", write_memory, NULL,
                                   mv_data(o->views[1]), -1, 0});
    block_add(b, &(struct variant){"mmap", "memcpy", write_memory, NULL, o->mappings[0], -1, 0});
    block_add(b, &(struct variant){"libc", "write", write_write, NULL, NULL, o->fd, 0});
    block_add(b, &(struct variant){"libc", "pwrite", write_pwrite, NULL, NULL, o->fd, 0});
    block_add(b, &(struct variant){"memory", "copy", write_memory, NULL, o->memory, -1, 0});
    block_add(b, &(struct variant){"mmap", "memcpy", write_memory, NULL, o->mappings[1], -1, 1});
}

/* The A/A pair is pwrite and fsync: here the noise is the disk's. */
static void add_syncs(struct block *b, struct opened *o)
{
    char *data = mv_data(o->views[1]);
    block_add(b, &(struct variant){"mapview", "mv_write+mv_sync", sync_view, o->views[0], NULL, -1, 0});
    block_add(
        b, &(struct variant){"mapview", "mv_data+memcpy+mv_sync", sync_data, o->views[1], data, -1, 0});
    block_add(b, &(struct variant){"mmap", "memcpy+msync", sync_mapping, NULL, o->mappings[0], -1, 0});
    block_add(b, &(struct variant){"memory", "copy", write_memory, NULL, o->memory, -1, 0});
    block_add(b, &(struct variant){"libc", "pwrite+fsync", sync_pwrite, NULL, NULL, o->fd, 0});
    block_add(b, &(struct variant){"libc", "pwrite+fsync", sync_pwrite, NULL, NULL, o->fd, 1});
}

/* Every variant uses the same view, whose mapping's place makes no difference
 * then; the two in which the kernel copies have to use another. */
static void add_guarded_reads(struct block *b, struct opened *o)
{
    mv_view *view = o->views[0];
    char *data = mv_data(view);
    block_add(b, &(struct variant){"unguarded", "memcpy", read_memory, view, data, -1, 0});
    block_add(b, &(struct variant){"mapview", "mv_read", read_view, view, data, -1, 0});
    block_add(b, &(struct variant){"mapview", "mv_try+memcpy", read_try, view, data, -1, 0});
    if (b->size == sizeof(uint64_t))
        block_add(b, &(struct variant){"mapview", "mv_load", read_number, view, data, -1, 0});
    block_add(b,
              &(struct variant){"mapview", "mv_read,no-handler", read_view, o->unhandled, NULL, -1, 0});
#ifdef __x86_64__
    if (b->size >= 256 && b->size <= 4096)
        block_add(b, &(struct variant){"unguarded", "rep-movsb", read_string, view, data, -1, 0});
#endif
    block_add(b, &(struct variant){"libc", "pread", read_pread, NULL, NULL, o->fd, 0});
    block_add(b, &(struct variant){"unguarded", "memcpy", read_memory, view, data, -1, 1});
}

static void add_guarded_writes(struct block *b, struct opened *o)
{
    mv_view *view = o->views[0];
    char *data = mv_data(view);
    block_add(b, &(struct variant){"unguarded", "memcpy", write_memory, view, data, -1, 0});
    block_add(b, &(struct variant){"mapview", "mv_write", write_view, view, data, -1, 0});
    block_add(b, &(struct variant){"mapview", "mv_try+memcpy", write_try, view, data, -1, 0});
    block_add(
        b, &(struct variant){"mapview", "mv_write,no-handler", write_view, o->unhandled, NULL, -1, 0});
    block_add(b, &(struct variant){"libc", "pwrite", write_pwrite, NULL, NULL, o->fd, 0});
    block_add(b, &(struct variant){"unguarded", "memcpy", write_memory, view, data, -1, 1});
}

/* A plan is a block of one of the rows. */
struct plan {
    const char *name;
    size_t size;
    void (*add)(struct block *, struct opened *);
};

static int run_plan(const struct plan *plan, const char *title, const char *path, const char *content,
                    double seconds, const char *run)
{
    struct block b = {
        .name = plan->name, .title = title, .size = plan->size, .path = path, .content = content};
    struct opened o;
    int rc = open_all(&o, path, content == NULL);
    if (rc == 0) {
        plan->add(&b, &o);
        rc = block_measure(&b, seconds, run);
    }
    return close_all(&o, rc);
}

/* make_file creates a file of random bytes, has them written to the medium and
 * reads them once, so that they are in the page cache. */
static int make_file(const char *path, char *content, uint64_t seed)
{
    fill_random(content, FILE_SIZE, &seed);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail("open", path);
    int ok = write(fd, content, FILE_SIZE) == FILE_SIZE && fsync(fd) == 0 &&
             pread(fd, content, FILE_SIZE, 0) == FILE_SIZE;
    int rc = ok ? 0 : fail("write, fsync or read", path);
    close(fd);
    return rc;
}

static const struct plan plans[] = {
    {"Read", 4096, add_reads},
    {"Read", 1024, add_reads},
    {"Write", 4096, add_writes},
    {"Write", 1024, add_writes},
    {"WriteSync", 4096, add_syncs},
    {"Guard", 8, add_guarded_reads},
    {"Guard", 64, add_guarded_reads},
    {"Guard", 256, add_guarded_reads},
    {"Guard", 1024, add_guarded_reads},
    {"Guard", 2048, add_guarded_reads},
    {"Guard", 4096, add_guarded_reads},
    {"Guard", 65536, add_guarded_reads},
    {"GuardWrite", 64, add_guarded_writes},
    {"GuardWrite", 4096, add_guarded_writes},
};
enum { PLANS = sizeof plans / sizeof plans[0] };

static int measure_notes(const struct row *row, const struct order *order)
{
    static char content[FILE_SIZE];
    char path[4096];
    int count = 0, rc, reads = strstr(row->name, "Write") == NULL;
    snprintf(path, sizeof path, "%s/c-notes", order->dir);
    for (int i = 0; i < PLANS; i++)
        count += strcmp(plans[i].name, row->name) == 0;
    rc = make_file(path, content, 1);
    for (int i = 0; rc == 0 && i < PLANS; i++)
        if (strcmp(plans[i].name, row->name) == 0)
            rc = run_plan(&plans[i], row->title, path, reads ? content : NULL, order->seconds / count,
                          order->run);
    unlink(path);
    return rc;
}

const struct row note_rows[] = {
    {"Read", 0, 3, "500 reads, one behind the other, of a file in memory", measure_notes},
    {"Write", 0, 3, "500 writes, one behind the other, to a file in memory", measure_notes},
    {"WriteSync", 0, 4, "500 writes, then one sync", measure_notes},
    {"Guard", 1, 14, "500 reads of a view: what the guard costs", measure_notes},
    {"GuardWrite", 1, 4, "500 writes to a view: what the guard costs", measure_notes},
    {0},
};
