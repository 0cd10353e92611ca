/* stage.c: see stage.h. */

#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "counters.h"

/* ---- files ---- */

int make_stage(const char *path, const char *content, size_t size, size_t fill)
{
    static char nothing[MIB];
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail("open", path);
    int ok = posix_fallocate(fd, 0, (off_t)size) == 0;
    for (size_t at = 0; ok && at < size; at += fill) {
        size_t n = size - at < fill ? size - at : fill;
        ok = pwrite(fd, content ? content + at : nothing, n, (off_t)at) == (ssize_t)n;
    }
    ok = ok && fsync(fd) == 0;
    close(fd);
    return ok ? 0 : fail("cannot be written", path);
}

char *map_file(const char *path, size_t size, int writable)
{
    int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    void *at = mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    close(fd);
    return at == MAP_FAILED ? NULL : at;
}

size_t folio_of(const char *path, size_t size)
{
    char *map = map_file(path, size, 1);
    size_t n = size < MIB ? size : MIB, folio = 0;
    if (!map)
        return 0;
    long before = faults_so_far();
    if (madvise(map + (size / 2 & ~(MIB - 1)), n, MADV_POPULATE_WRITE) == 0) {
        long faults = faults_so_far() - before;
        folio = n / (size_t)(faults > 0 ? faults : 1);
    }
    munmap(map, size);
    return sync_file(path) == 0 ? folio : 0;
}

long resident_of(const char *path, size_t size)
{
    size_t pages = (size + 4095) / 4096;
    unsigned char *resident = malloc(pages);
    char *map = map_file(path, size, 0);
    long count = -1;
    if (resident && map && mincore(map, size, resident) == 0) {
        count = 0;
        for (size_t i = 0; i < pages; i++)
            count += resident[i] & 1;
    }
    if (map)
        munmap(map, size);
    free(resident);
    return count;
}

int drop_file(const char *path, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd) == 0 ? posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) : -1;
    close(fd);
    if (rc == 0 && resident_of(path, size) != 0) {
        errno = EBUSY;
        rc = -1;
    }
    return rc == 0 ? 0 : -1;
}

int sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    close(fd);
    return rc;
}

int open_stage(struct stage *s, struct work *w, const struct order *order, const char *name,
               size_t size, size_t fill)
{
    uint64_t seed = 7;
    snprintf(s->path, sizeof s->path, "%s/%s", order->dir, name);
    s->size = size;
    s->truth = NULL;
    s->content = malloc(size);
    if (!w->buf)
        w->buf = aligned_alloc(4096, 2 * MIB);
    if (!s->content || !w->buf)
        return fail("no memory", name);
    fill_random(s->content, size, &seed);
    if (make_stage(s->path, s->content, size, fill) != 0)
        return -1;
    w->path = s->path;
    w->content = s->content;
    w->file_size = size;
    if (!(s->truth = map_file(s->path, size, 0)))
        return fail("mmap", s->path);
    w->truth = s->truth;
    return 0;
}

void close_stage(struct stage *s, struct work *w)
{
    if (s->truth)
        munmap(s->truth, s->size);
    unlink(s->path);
    free(s->content);
    free(w->buf);
    w->buf = NULL;
}

int say_state(struct work *w, size_t size, const char *more)
{
    long pages = resident_of(w->path, size), all = (long)((size + 4095) / 4096);
    size_t folio = folio_of(w->path, size);
    snprintf(w->state, sizeof w->state,
             "%ld of %ld pages in memory (mincore), in folios of %zu KiB (faults of POPULATE_WRITE)%s",
             pages, all, folio >> 10, more);
    errno = 0;
    return pages == all && folio ? 0 : work_fail(w, NULL, "the file is not in memory");
}

/* ---- for ways ---- */

size_t file_size_of(const struct work *w)
{
    return w->file_size ? w->file_size : w->walk.places * w->walk.size;
}

int open_way_view(struct work *w, struct way *v)
{
    mv_options options = MV_OPTIONS_INIT;
    mv_error error = MV_ERROR_INIT;
    options.flags = MV_OPEN_WRITE | (uint64_t)v->kind;
    if (mv_open(w->path, &options, &v->view, &error) != 0 ||
        mv_prefault(v->view, 0, MV_TO_END, MV_READ, &error) != 0) {
        errno = 0;
        return work_fail(w, v, error.text);
    }
    return 0;
}

int open_way_map(struct work *w, struct way *v)
{
    v->mapped = file_size_of(w);
    if (!(v->data = map_file(w->path, v->mapped, 1)))
        return -1;
    return madvise(v->data, v->mapped, MADV_POPULATE_READ);
}

int open_way_fd(struct work *w, struct way *v)
{
    v->fd = open(w->path, O_RDWR | O_CLOEXEC | v->kind);
    return v->fd < 0 ? -1 : 0;
}

int open_way_memory(struct work *w, struct way *v)
{
    struct memory *m = calloc(1, sizeof *m);
    if (!m || take_memory(m, v->kind, file_size_of(w)) != 0) {
        free(m);
        return ABSENT;
    }
    if (w->content)
        memcpy(m->at, w->content, m->size);
    else
        memset(m->at, 1, m->size);
    v->extra = m;
    v->data = m->at;
    v->truth = m->at;
    return 0;
}

void close_way_file(struct work *w, struct way *v)
{
    if (v->mapped)
        munmap(v->data, v->mapped);
    if (v->fd >= 0)
        close(v->fd);
    if (mv_close(v->view, NULL) != 0)
        work_fail(w, v, "mv_close");
    v->mapped = 0;
    v->fd = -1;
    v->view = NULL;
}

void close_way_all(struct work *w, struct way *v)
{
    close_way_file(w, v);
    if (v->extra) {
        drop_memory(v->extra);
        free(v->extra);
        v->extra = NULL;
    }
}
