/* sys_linux.c: the system calls of mapview on Linux 5.14 and newer. */
#if !defined(__linux__)
#error "mapview runs on Linux only, so far"
#endif

#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* The one call of the table that is no system call: memory, set to zero. */
static void *allocate(size_t n)
{
    return calloc(1, n);
}

static long returned(long result)
{
    return result == -1 ? -errno : result;
}

#define MV__SYS_REAL(name, parameters, arguments) \
    static long sys_##name parameters             \
    {                                             \
        return returned((long)name arguments);    \
    }
MV__SYS_CALLS(MV__SYS_REAL)
#undef MV__SYS_REAL

static void sys_release(void *memory)
{
    free(memory);
}

#ifndef MV__TESTING
const
#endif
    struct mv__sys mv__sys = {
#define MV__SYS_ENTRY(name, parameters, arguments) .name = sys_##name,
        MV__SYS_CALLS(MV__SYS_ENTRY)
#undef MV__SYS_ENTRY
            .release = sys_release,
};

size_t mv__sys_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

int mv__sys_device_size(int fd, uint64_t *out)
{
    return (int)mv__sys.ioctl(fd, BLKGETSIZE64, out);
}

/* One page that the kernel empties in a child of fork holds this process's
 * number; numbers come from a counter that the child inherits. */
static _Atomic(_Atomic uint64_t *) process_page;
static _Atomic uint64_t process_count;

static int make_process_page(void)
{
    size_t page = mv__sys_page_size();
    long address = mv__sys.mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mv__sys_failed(address))
        return (int)address;
    long r = mv__sys.madvise((void *)address, page, MADV_WIPEONFORK);
    if (r < 0) {
        mv__sys.munmap((void *)address, page);
        return (int)r;
    }
    _Atomic uint64_t *mine = (_Atomic uint64_t *)address;
    _Atomic uint64_t *none = NULL;
    if (!atomic_compare_exchange_strong(&process_page, &none, mine))
        mv__sys.munmap((void *)address, page); /* another thread was first */
    return 0;
}

int mv__sys_process(uint64_t *out)
{
    _Atomic uint64_t *page = atomic_load(&process_page);
    if (!page) {
        int r = make_process_page();
        if (r < 0)
            return r;
        page = atomic_load(&process_page);
    }
    uint64_t number = atomic_load(page);
    if (number == 0) {
        uint64_t next = atomic_fetch_add(&process_count, 1) + 1;
        number = atomic_compare_exchange_strong(page, &number, next) ? next : number;
    }
    *out = number;
    return 0;
}
