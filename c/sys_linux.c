/* sys_linux.c: the system calls of mapview on Linux 5.14 and newer. */
#if !defined(__linux__)
#error "mapview runs on Linux only, so far"
#endif

#include "mapview.h"
#include "sys.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <ucontext.h>
#include <unistd.h>

/* The calls of the table that are no system calls. Memory, set to zero: */
static void *allocate(size_t n)
{
    return calloc(1, n);
}

static long userfaultfd(int flags)
{
    return syscall(SYS_userfaultfd, flags);
}

/* A thread that takes no signal of the process: its faults alone are its own. */
static int start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    static const int faults[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&blocked, faults[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    errno = pthread_create(thread, NULL, run, argument);
    int failed = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = failed;
    return failed ? -1 : 0;
}

static int join_thread(pthread_t thread)
{
    errno = pthread_join(thread, NULL);
    return errno ? -1 : 0;
}

#define MV__SYS_REAL(name, parameters, arguments)                \
    static long sys_##name parameters                            \
    {                                                            \
        int before = errno, cancel;                              \
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); \
        long result = (long)name arguments;                      \
        if (result == -1)                                        \
            result = -errno;                                     \
        pthread_setcancelstate(cancel, NULL);                    \
        errno = before;                                          \
        return result;                                           \
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

pid_t mv__sys_thread(void)
{
    return (pid_t)syscall(SYS_gettid); /* cannot fail; glibc has gettid since 2.30 */
}

#define KERNEL_MASK ((_NSIG - 1 + 7) / 8) /* bytes; libc's sigset_t is larger */

void mv__sys_mask_for(const struct sigaction *action, int signal, const void *context)
{
    sigset_t mask;
    unsigned char bits[KERNEL_MASK], more[KERNEL_MASK];
    memcpy(bits, &((const ucontext_t *)context)->uc_sigmask, sizeof bits);
    memcpy(more, &action->sa_mask, sizeof more);
    for (size_t i = 0; i < sizeof bits; i++)
        bits[i] |= more[i];
    sigemptyset(&mask);
    memcpy(&mask, bits, sizeof bits);
    if (!(action->sa_flags & SA_NODEFER))
        sigaddset(&mask, signal);
    /* Not by libc, which never lets its own two signals be blocked: the
     * interrupted thread may be one that libc does not know. */
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, (size_t)KERNEL_MASK);
}

void mv__sys_end_process(int signal, siginfo_t *info)
{
    struct sigaction deadly = {.sa_handler = SIG_DFL};
    if (info->si_code <= 0 && getpid() == 1)
        return; /* the first process of a container is not ended by what is sent to it */
    sigaction(signal, &deadly, NULL);
    /* An access would raise it again, unless its page came back meanwhile: so
     * it is sent once more, as it was, to wait for the handler's return. */
    if (syscall(SYS_rt_tgsigqueueinfo, getpid(), mv__sys_thread(), signal, info) != 0)
        syscall(SYS_tgkill, getpid(), mv__sys_thread(), signal);
}

/* What is looked for in /proc/self/maps, and what for. */
struct lookup {
    uintptr_t address;
    char *path; /* to be stored, in n bytes; or NULL */
    size_t n;
    uint32_t access; /* found: MV_READ, MV_WRITE */
};

/* Copies a path in which only a newline is written in another way. */
static bool take_path(const char *from, char *path, size_t n)
{
    if (!*from || strlen(from) >= n)
        return false;
    while (*from) {
        bool newline = strncmp(from, "\\012", 4) == 0;
        if (newline)
            *path = '\n';
        else
            *path = *from;
        path++;
        from += newline ? 4 : 1;
    }
    *path = 0;
    return true;
}

/* Whether this is the line of the address, and has what is looked for:
 * "start-end rwxp offset major:minor inode   path". */
static bool take_line(const char *line, struct lookup *what)
{
    uintptr_t start, end;
    char rights[5];
    int at = 0;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %n", &start, &end, rights, &at) != 3)
        return false;
    if (what->address < start || what->address >= end || at == 0)
        return false;
    what->access = (rights[0] == 'r' ? MV_READ : 0) | (rights[1] == 'w' ? MV_WRITE : 0);
    return !what->path || take_path(line + at, what->path, what->n);
}

static bool look_up(struct lookup *what)
{
    const size_t room = (size_t)2 * PATH_MAX;
    size_t have = 0;
    bool found = false;
    char *text = (char *)mv__sys.allocate(room); /* too much for a small stack */
    if (!text || mv__sys_failed((long)text))
        return false;
    long fd = mv__sys.open("/proc/thread-self/maps", O_RDONLY | O_CLOEXEC, 0);
    while (fd >= 0 && !found && have < room - 1) {
        long r = mv__sys.read((int)fd, text + have, room - 1 - have);
        if (r == -EINTR)
            continue;
        if (r <= 0)
            break;
        have += (size_t)r;
        text[have] = 0;
        char *line = text;
        for (char *end; !found && (end = strchr(line, '\n')); line = end + 1) {
            *end = 0;
            found = take_line(line, what);
        }
        have -= (size_t)(line - text);
        memmove(text, line, have);
    }
    if (fd >= 0)
        mv__sys.close((int)fd);
    mv__sys.release(text);
    return found;
}

int mv__sys_mapped_path(const void *address, char *path, size_t n)
{
    struct lookup what = {(uintptr_t)address, path, n, 0};
    return look_up(&what) ? 0 : -ENOENT;
}

int mv__sys_mapped_access(const void *address, uint32_t *access)
{
    struct lookup what = {(uintptr_t)address, NULL, 0, 0};
    *access = 0;
    if (!look_up(&what))
        return -ENOENT;
    *access = what.access;
    return 0;
}

#define ZFS_MAGIC 0x2fc12fc1
#define BCACHEFS_MAGIC 0xca451a4e

int mv__sys_filesystem(int fd, enum mv__fs *kind, uint64_t *free_bytes)
{
    struct statfs fs;
    long r = mv__sys.fstatfs(fd, &fs);
    if (r < 0)
        return (int)r;
    /* No blocks at all: one that does not count them, as tmpfs without a size. */
    *free_bytes = fs.f_blocks ? (uint64_t)fs.f_bfree * (uint64_t)fs.f_bsize : UINT64_MAX;
    switch ((uint32_t)fs.f_type) {
    case TMPFS_MAGIC:
        *kind = MV__FS_MEMORY;
        break;
    case HUGETLBFS_MAGIC:
        *kind = MV__FS_HUGE;
        break;
    case BTRFS_SUPER_MAGIC:
    case BCACHEFS_MAGIC:
    case ZFS_MAGIC:
        *kind = MV__FS_COPY_ON_WRITE;
        break;
    default:
        *kind = MV__FS_PLAIN;
    }
    return 0;
}

int mv__sys_device_size(int fd, uint64_t *out)
{
    return (int)mv__sys.ioctl(fd, BLKGETSIZE64, out);
}

/* From the headers of Linux 6.7. */
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define WATCH_SHARED_MEMORY ((uint64_t)1 << 12) /* UFFD_FEATURE_WP_HUGETLBFS_SHMEM */
#define WATCH_ASYNC ((uint64_t)1 << 15) /* UFFD_FEATURE_WP_ASYNC, pages that are not there included */

int mv__sys_watch(void *start, size_t n)
{
    /* For faults of user mode alone no privilege is needed. The others need
     * none to be served either: nobody serves any, the kernel only notes. */
    long fd = mv__sys.userfaultfd(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    if (fd < 0)
        return (int)fd;
    struct uffdio_api api = {.api = UFFD_API, .features = WATCH_SHARED_MEMORY | WATCH_ASYNC};
    struct uffdio_register place = {.range = {(uintptr_t)start, n}, .mode = UFFDIO_REGISTER_MODE_WP};
    long r = mv__sys.ioctl((int)fd, UFFDIO_API, &api);
    if (r == 0)
        r = mv__sys.ioctl((int)fd, UFFDIO_REGISTER, &place);
    if (r == 0)
        return (int)fd;
    mv__sys.close((int)fd);
    return (int)r;
}

int mv__sys_watch_arm(int watch, void *start, size_t n)
{
    struct uffdio_writeprotect pages = {.range = {(uintptr_t)start, n},
                                        .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    return (int)mv__sys.ioctl(watch, UFFDIO_WRITEPROTECT, &pages);
}

/* struct page_region, struct pm_scan_arg and PAGEMAP_SCAN of linux/fs.h. */
struct scan_region {
    uint64_t start, end, categories;
};
struct scan_request {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_PAGES _IOWR('f', 16, struct scan_request)
#define SCAN_ARM 1         /* PM_SCAN_WP_MATCHING */
#define SCAN_CHECK_WATCH 2 /* PM_SCAN_CHECK_WPASYNC: -EPERM where nothing is noted */
#define SCAN_WRITTEN 2     /* PAGE_IS_WRITTEN */
#define SCAN_REGIONS 64    /* in one call */

long mv__sys_written(int fd, uintptr_t start, uintptr_t end, bool arm, struct mv__sys_span *found,
                     size_t n, uintptr_t *reached)
{
    struct scan_region regions[SCAN_REGIONS];
    struct scan_request request = {.size = sizeof request,
                                   .flags = SCAN_CHECK_WATCH | (arm ? SCAN_ARM : 0),
                                   .start = start,
                                   .end = end,
                                   .vec = (uintptr_t)regions,
                                   .vec_len = n < SCAN_REGIONS ? n : SCAN_REGIONS,
                                   .category_mask = SCAN_WRITTEN,
                                   .return_mask = SCAN_WRITTEN};
    long r = mv__sys.ioctl(fd, SCAN_PAGES, &request);
    for (long i = 0; i < r; i++)
        found[i] = (struct mv__sys_span){regions[i].start, regions[i].end};
    if (r >= 0)
        *reached = request.walk_end;
    return r;
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
