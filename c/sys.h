/*
 * sys.h: what mapview needs from a system, and nothing else. A port provides
 * one file beside sys_linux.c.
 *
 * Every system call, every allocation and every start of a thread goes through the table mv__sys, so
 * that a test can make any of them fail. Each entry returns what the call
 * returns, or a negative errno. None changes errno, and none is a point at
 * which a thread can be cancelled: it might hold a lock or a descriptor.
 */
#ifndef MAPVIEW_SYS_H
#define MAPVIEW_SYS_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

struct statfs;

/* clang-format off */

/* The list: name, parameters, arguments. The table, the calls behind it and
 * the failing table of the tests are all made from it. An address comes back
 * as a long, too: see mv__sys_failed. */
#define MV__SYS_CALLS(X) \
    X(open,              (const char *path, int flags, mode_t mode), (path, flags, mode)) \
    X(close,             (int fd), (fd)) \
    X(fcntl,             (int fd, int command, long argument), (fd, command, argument)) \
    X(fstat,             (int fd, struct stat *st), (fd, st)) \
    X(fstatfs,           (int fd, struct statfs *fs), (fd, fs)) \
    X(lstat,             (const char *path, struct stat *st), (path, st)) \
    X(ioctl,             (int fd, unsigned long request, void *argument), (fd, request, argument)) \
    X(readlink,          (const char *path, char *buf, size_t n), (path, buf, n)) \
    X(unlink,            (const char *path), (path)) \
    X(ftruncate,         (int fd, off_t size), (fd, size)) \
    X(fallocate,         (int fd, int mode, off_t offset, off_t length), (fd, mode, offset, length)) \
    X(memfd_create,      (const char *name, unsigned flags), (name, flags)) \
    X(pipe2,             (int fds[2], int flags), (fds, flags)) \
    X(read,              (int fd, void *buf, size_t n), (fd, buf, n)) \
    X(write,             (int fd, const void *buf, size_t n), (fd, buf, n)) \
    X(pread,             (int fd, void *buf, size_t n, off_t offset), (fd, buf, n, offset)) \
    X(pwrite,            (int fd, const void *buf, size_t n, off_t offset), (fd, buf, n, offset)) \
    X(process_vm_readv,  (pid_t pid, const struct iovec *local, unsigned long nl, const struct iovec *remote, unsigned long nr, unsigned long flags), (pid, local, nl, remote, nr, flags)) \
    X(process_vm_writev, (pid_t pid, const struct iovec *local, unsigned long nl, const struct iovec *remote, unsigned long nr, unsigned long flags), (pid, local, nl, remote, nr, flags)) \
    X(mmap,              (void *address, size_t n, int protection, int flags, int fd, off_t offset), (address, n, protection, flags, fd, offset)) \
    X(munmap,            (void *address, size_t n), (address, n)) \
    X(mprotect,          (void *address, size_t n, int protection), (address, n, protection)) \
    X(madvise,           (void *address, size_t n, int advice), (address, n, advice)) \
    X(mlock,             (const void *address, size_t n), (address, n)) \
    X(munlock,           (const void *address, size_t n), (address, n)) \
    X(msync,             (void *address, size_t n, int flags), (address, n, flags)) \
    X(fsync,             (int fd), (fd)) \
    X(fdatasync,         (int fd), (fd)) \
    X(syncfs,            (int fd), (fd)) \
    X(sync_file_range,   (int fd, off_t offset, off_t n, unsigned flags), (fd, offset, n, flags)) \
    X(userfaultfd,       (int flags), (flags)) \
    X(sigaction,         (int signal, const struct sigaction *action, struct sigaction *old), (signal, action, old)) \
    X(getrlimit,         (unsigned resource, struct rlimit *limit), (resource, limit)) \
    X(getrusage,         (int who, struct rusage *usage), (who, usage)) \
    X(start_thread,      (pthread_t *thread, void *(*run)(void *), void *argument), (thread, run, argument)) \
    X(join_thread,       (pthread_t thread), (thread)) \
    X(allocate,          (size_t n), (n))

/* clang-format on */

struct mv__sys {
#define MV__SYS_FIELD(name, parameters, arguments) long(*name) parameters;
    MV__SYS_CALLS(MV__SYS_FIELD)
#undef MV__SYS_FIELD
    void (*release)(void *memory); /* frees what allocate gave; cannot fail */
};

/* Tests replace entries; in a release the table stays in read-only memory. */
#ifdef MV__TESTING
extern struct mv__sys mv__sys;
#else
extern const struct mv__sys mv__sys;
#endif

/* mv__sys_failed tells a negative errno from an address with its top bit set. */
static inline bool mv__sys_failed(long result)
{
    return (unsigned long)result >= (unsigned long)-4095L;
}

/* mv__sys_page_size returns the size of a page in bytes, a power of two. */
size_t mv__sys_page_size(void);

/* Kinds of file systems that mapview treats differently. */
enum mv__fs {
    MV__FS_PLAIN,
    MV__FS_MEMORY,        /* tmpfs: even loading a hole needs memory */
    MV__FS_COPY_ON_WRITE, /* a store into allocated blocks can need new ones */
    MV__FS_HUGE,          /* hugetlbfs: its pages are not the machine's */
};

/* mv__sys_filesystem stores the kind of fd's file system, and how many bytes
 * it has free at most. */
int mv__sys_filesystem(int fd, enum mv__fs *kind, uint64_t *free_bytes);

/* mv__sys_mapped_path stores the path that the file mapped at address has now,
 * which follows renames. Returns 0, or -ENOENT when it cannot be known. */
int mv__sys_mapped_path(const void *address, char *path, size_t n);

/* mv__sys_mapped_access stores how the page at address may be accessed now:
 * MV_READ, MV_WRITE. Returns 0, or -ENOENT when it cannot be known. */
int mv__sys_mapped_access(const void *address, uint32_t *access);

/*
 * The two that a signal handler calls, past the table. mv__sys_mask_for sets
 * the signal mask that the kernel would have given a handler of that action in
 * the interrupted context. mv__sys_end_process makes the signal, with its
 * siginfo, end the process at the interrupted instruction as soon as the
 * handler has returned.
 */
void mv__sys_mask_for(const struct sigaction *action, int signal, const void *context);
void mv__sys_end_process(int signal, siginfo_t *info);

/* mv__sys_thread returns the number of the calling thread, which the kernel
 * takes for its process. (The process's own number is that of its first
 * thread, which may have ended.) */
pid_t mv__sys_thread(void);

/* mv__sys_watch lets the kernel note, without a signal or a thread, which of the
 * pages are written, and returns the descriptor of that, or a negative errno
 * where it cannot. It ends with the descriptor or the mapping.
 * mv__sys_watch_arm begins to note anew: none is written. */
int mv__sys_watch(void *start, size_t n);
int mv__sys_watch_arm(int watch, void *start, size_t n);

/* mv__sys_written stores up to n spans of addresses that were written, of the
 * pages from start on, and how far it has looked; fd is /proc/self/pagemap. With
 * arm it begins to note anew, for each page in the moment of the look. Returns
 * how many, or a negative errno. */
struct mv__sys_span {
    uintptr_t start, end;
};
long mv__sys_written(int fd, uintptr_t start, uintptr_t end, bool arm, struct mv__sys_span *found,
                     size_t n, uintptr_t *reached);

/* mv__sys_device_size stores the size of the block device fd in bytes. */
int mv__sys_device_size(int fd, uint64_t *out);

/*
 * mv__sys_process stores a number that is this process's own: a child of fork
 * finds another one, also when it was given its parent's process number in a
 * namespace of its own. Returns 0 or a negative errno, and after the first
 * success in a process it does not fail any more.
 */
int mv__sys_process(uint64_t *out);

#endif
