/* memory.c: memory of each kind: see stage.h. */

#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

static char *map_memory(int fd, size_t size, int flags)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* Shared memory is mapped, and goes by the last mapping. */
static char *map_shared(int fd, size_t size)
{
    char *at = fd >= 0 && ftruncate(fd, (off_t)size) == 0 ? map_memory(fd, size, MAP_SHARED) : NULL;
    if (fd >= 0)
        close(fd);
    return at;
}

static char *take_posix(size_t size)
{
    char name[64];
    snprintf(name, sizeof name, "/mapview-bench-%d", (int)getpid());
    int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd >= 0)
        shm_unlink(name);
    return map_shared(fd, size);
}

static char *take_sysv(size_t size)
{
    int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
    if (id < 0)
        return NULL;
    void *at = shmat(id, NULL, 0);
    shmctl(id, IPC_RMID, NULL);
    return at == (void *)-1 ? NULL : at; // NOLINT: that is what shmat returns
}

static char *take_mv(struct memory *m)
{
    char name[64];
    if (m->kind == OF_MV_ANONYMOUS) {
        if (mv_anonymous(m->size, NULL, &m->view, NULL) != 0)
            return NULL;
        return mv_data(m->view);
    }
    mv_options options = MV_OPTIONS_INIT;
    options.flags = MV_OPEN_WRITE | MV_OPEN_CREATE | MV_OPEN_EXCLUSIVE;
    snprintf(name, sizeof name, "/mapview-bench-mv-%d", (int)getpid());
    if (mv_memory(name, m->size, &options, &m->view, NULL) != 0)
        return NULL;
    mv_unlink_memory(name, NULL);
    return mv_data(m->view);
}

/* The break is moved in whole pages. */
static char *take_sbrk(size_t size)
{
    size_t odd = (size_t)sbrk(0) % 4096;
    void *at = sbrk((intptr_t)(size + (odd ? 4096 - odd : 0)));
    return at == (void *)-1 ? NULL : (char *)at + (odd ? 4096 - odd : 0); // NOLINT: so is sbrk's
}

static char *take_huge(size_t size)
{
    char *at = map_memory(-1, size, MAP_PRIVATE | MAP_ANONYMOUS);
    if (at)
        madvise(at, size, MADV_HUGEPAGE);
    return at;
}

int take_memory(struct memory *m, int kind, size_t size)
{
    *m = (struct memory){.size = size, .kind = kind};
    switch (kind) {
    case OF_MALLOC:
        m->at = malloc(size);
        break;
    case OF_SBRK:
        m->at = take_sbrk(size);
        break;
    case OF_MMAP:
        m->at = map_memory(-1, size, MAP_PRIVATE | MAP_ANONYMOUS);
        break;
    case OF_MMAP_SHARED:
        m->at = map_memory(-1, size, MAP_SHARED | MAP_ANONYMOUS);
        break;
    case OF_SYSV:
        m->at = take_sysv(size);
        break;
    case OF_POSIX:
        m->at = take_posix(size);
        break;
    case OF_MEMFD:
        m->at = map_shared(memfd_create("mapview-bench", MFD_CLOEXEC), size);
        break;
    case OF_HUGE_PAGES:
        m->at = take_huge(size);
        break;
    default:
        m->at = take_mv(m);
    }
    return m->at ? 0 : -1;
}

int drop_memory(struct memory *m)
{
    char *at = m->at;
    m->at = NULL;
    if (!at)
        return 0;
    switch (m->kind) {
    case OF_MALLOC:
        free(at);
        return 0;
    case OF_SBRK: /* unless malloc has moved the break on */
        return sbrk(0) != at + m->size || sbrk(-(intptr_t)m->size) != (void *)-1 ? 0 : -1; // NOLINT
    case OF_SYSV:
        return shmdt(at);
    case OF_MV_ANONYMOUS:
    case OF_MV_MEMORY:
        return mv_close(m->view, NULL);
    default:
        return munmap(at, m->size);
    }
}
