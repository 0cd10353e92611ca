/*
 * mapview.h: files and memory as plain memory, for reading and writing.
 *
 *     cc program.c $(pkg-config --cflags --libs mapview)
 *
 * A view shows a file, a part of one, or memory that has no file, at one
 * address that never changes until mv_close. It can be read and written
 * through mv_data like any memory, or through mv_read and mv_write, which
 * turn every fault into an error.
 *
 * What mapview promises
 *
 *   - A fault under mv_read, mv_write, mv_load, mv_store, mv_try, mv_probe or
 *     mv_prefault is a returned error that names the first bad byte and its
 *     cause. Through the raw pointer of mv_data, outside of mv_try, a fault is
 *     what it always was: SIGBUS or SIGSEGV.
 *   - A successful mv_sync means that the bytes are on the medium. After a
 *     failed one the view fails for good: no later sync can claim success.
 *   - A view never moves. It grows inside address space reserved at open.
 *   - mv_detach may be called at any time, beside any call.
 *
 * What it cannot promise
 *
 *   - When somebody else cuts a file to a length inside a page, the bytes
 *     from the new end to the end of that page read as zero and what is
 *     stored there is lost, without a fault. mv_sync and mv_probe compare the
 *     file's length and say so; a file that was cut and grown back in between
 *     cannot be told from one that was not.
 *   - The kernel tells of lost bytes once. Who calls msync(2) on a view's own
 *     addresses, in this process or in a child of fork, is told in place of
 *     mv_sync, which may then return 0. (To sync the file through any other
 *     descriptor, mapping or view takes nothing away.)
 *   - mv_write of bytes that can only be written directly (a hole on a full disk)
 *     looks at the file's length just before. If somebody cuts the file between
 *     that and the write, the file is made long again.
 *   - A store can run out of space in a hole, in blocks that are shared with
 *     another file (a reflink), and anywhere on a file system that copies on
 *     write (btrfs, ZFS, bcachefs).
 *   - Closing any descriptor of a file drops the classic fcntl locks that
 *     this process holds on it: that is POSIX, and it holds for the ones that
 *     mapview closes, too: at open, at mv_detach and mv_close, and on a
 *     read-only or private view wherever it has to read its file directly.
 *   - Under overlayfs a read-only view goes on to show the lower file when
 *     somebody has written to the upper one, as every mapping does. Where the
 *     two differ in length, bytes that are not there are -ESTALE.
 *
 * Conventions
 *
 *   Results    0 or a count, or a negative errno. errno is left alone, and
 *              nothing is kept in thread-local state.
 *   Errors     Every call that can fail takes an mv_error, or NULL. A call
 *              that fails fills it; one that succeeds leaves it alone.
 *   Structs    A struct begins with its own size, which the _INIT macro sets.
 *              A smaller size than this header's first release is -EINVAL (for
 *              an mv_error without a text: only the result tells). In
 *              a struct that is read, a larger one whose unknown tail is not
 *              zero is -E2BIG; a struct that is written is filled up to the
 *              smaller of the two sizes.
 *   Flags      Unknown ones are -EINVAL.
 *   Ranges     off and len count bytes from the first byte of the view and
 *              need not be aligned. len MV_TO_END means up to the end. A
 *              range that leaves the view is -EINVAL, but for mv_read and
 *              mv_write, which come back short. len 0 does nothing.
 *   Threads    Any call may run beside any other on the same view, mv_close
 *              excepted. mv_resize, mv_refresh, mv_protect and mv_detach take
 *              turns on one mutex. mv_read and mv_write take none.
 *              What is written last and alone, say a length after its
 *              record, should be an mv_store, or an atomic store through
 *              mv_data: a copy is not atomic.
 *   Fork       In a child only mv_data, mv_size, mv_reserved, mv_read, mv_write,
 *              mv_load, mv_store, mv_try and mv_close work on a view that the
 *              parent opened; the rest return -ECHILD. A view that the child opens is
 *              like any other.
 *   Signals    A thread that makes guarded accesses (mv_read, mv_write,
 *              mv_load, mv_store, mv_try) must not block SIGBUS or SIGSEGV: at
 *              a blocked fault the kernel ends the process. No call is
 *              async-signal-safe but mv_data, mv_size and, on x86-64 and
 *              64-bit ARM once mv_guard_install has returned, mv_read,
 *              mv_write, mv_load and mv_store on a shared write view with err
 *              NULL, and in a handler that has interrupted an mv_try, mv_try.
 *              (mv_write not on a view with MV_STATE_THROUGH.)
 *   Cancel     No call is a point at which a thread can be cancelled.
 *   Silence    The library never aborts, prints or reads the environment. It
 *              installs a signal handler at the first guarded access (see
 *              mv_guard_install) and in no other call, and starts a thread in
 *              mv_appender_open when that is asked for, and nowhere else.
 *
 * Errors that every call may return: -EINVAL (a bad argument; the text says
 * which), -EBADF (the view is detached), -ECHILD (see Fork). The others stand
 * at each call.
 */
#ifndef MAPVIEW_H
#define MAPVIEW_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MV_VERSION_MAJOR 0
#define MV_VERSION_MINOR 1
#define MV_VERSION_PATCH 0

/* What the shared library exports. Define it as nothing to link mapview into
 * a library of your own without exporting it again. */
#ifndef MV_API
#define MV_API __attribute__((visibility("default")))
#endif

/* The file ends before this byte: somebody has cut it. Returned negative, like
 * an errno; Linux numbers its own up to 133. */
#define MV_ETRUNCATED 1001

/* A length: everything from the offset to the end of the view. */
#define MV_TO_END UINT64_MAX

/* An mv_view is one open view. It must be closed with mv_close. */
typedef struct mv_view mv_view;

/* An mv_error says what went wrong, where and why. Set it to MV_ERROR_INIT
 * once; it may be used for any number of calls, by one thread at a time. */
typedef struct mv_error {
    uint32_t size;   /* sizeof(mv_error), set by MV_ERROR_INIT */
    int32_t code;    /* what the call returned: a negative errno */
    uint64_t offset; /* the first byte of the view concerned, where one is */
    uint64_t length; /* how many bytes from there are concerned; 0: unknown */
    uint64_t done;   /* bytes that were finished before the failure */
    char op[24];     /* the check or the system call that failed */
    char text[160];  /* one sentence for a person, without a newline */
} mv_error;

/* clang-format off */
#define MV_ERROR_INIT {sizeof(mv_error), 0, 0, 0, 0, {0}, {0}}
/* clang-format on */

/* Flags of mv_options. */
#define MV_OPEN_WRITE ((uint64_t)1 << 0)      /* the view can be written */
#define MV_OPEN_PRIVATE ((uint64_t)1 << 1)    /* copy on write: stores never reach the file */
#define MV_OPEN_CREATE ((uint64_t)1 << 2)     /* make the file, empty, if it is not there */
#define MV_OPEN_EXCLUSIVE ((uint64_t)1 << 3)  /* with CREATE: -EEXIST if it is there */
#define MV_OPEN_TRUNCATE ((uint64_t)1 << 4)   /* empty the file first; needs WRITE */
#define MV_OPEN_RANDOM ((uint64_t)1 << 5)     /* access will jump: see below */
#define MV_OPEN_SEQUENTIAL ((uint64_t)1 << 6) /* access will run forward: see below */
#define MV_OPEN_DEVICE ((uint64_t)1 << 7)     /* the file may be a device; length must be given */
#define MV_OPEN_NOFOLLOW ((uint64_t)1 << 8)   /* -ELOOP if the last part of path is a symlink */
#define MV_OPEN_SHARE_DESCRIPTION ((uint64_t)1 << 9) /* see mv_open_fd */
#define MV_OPEN_NO_HANDLER ((uint64_t)1 << 10)       /* see mv_guard_install */
#define MV_OPEN_TRACK ((uint64_t)1 << 11)            /* see mv_dirty; needs WRITE */

/* An mv_options says what to show and how. MV_OPTIONS_INIT asks for a
 * read-only shared view of the whole file, and so does NULL. */
typedef struct mv_options {
    uint32_t size;      /* sizeof(mv_options), set by MV_OPTIONS_INIT */
    uint32_t mode;      /* permission bits of a created file, less the umask; 0 means 0600 */
    uint64_t flags;     /* MV_OPEN_ bits */
    uint64_t offset;    /* the first byte of the file to show, of any alignment */
    uint64_t length;    /* how many bytes to show; 0: up to the end of the file */
    uint64_t file_size; /* make the file at least this long and allocate its blocks; 0: leave it */
    uint64_t reserve;   /* address space to keep for growth, in bytes; not with length */
} mv_options;

/* clang-format off */
#define MV_OPTIONS_INIT {sizeof(mv_options), 0, 0, 0, 0, 0, 0}
/* clang-format on */

/*
 * mv_open opens the file at path and stores a view of it in *out (NULL when it
 * fails).
 *
 * Without flags the view is read-only and shared: it shows what others write.
 * With MV_OPEN_WRITE its stores reach the file, and with MV_OPEN_WRITE and
 * MV_OPEN_PRIVATE they stay in this process; then the file is only read.
 *
 * An empty file is a view of size 0, with a non-NULL mv_data. With reserve
 * the view can grow to that size by mv_resize, or follow a growing file by
 * mv_refresh, without ever moving; reserved addresses cost no memory. What is
 * shown is always reserved, in whole pages; a view with a length cannot grow,
 * and its reserve is of no effect.
 *
 * file_size gives the file real blocks for its first file_size bytes, so that
 * a full disk is -ENOSPC here and not a fault at a later store. Where the file
 * system cannot allocate ahead, the file is only made long enough and mv_has
 * MV_HAS_ALLOCATE says 0. It needs a shared MV_OPEN_WRITE view. When the call
 * fails the file's bytes and length are as before, though some of its holes
 * may have been given blocks.
 *
 * A file that this call created under MV_OPEN_EXCLUSIVE is removed again when
 * the call fails. One that it created without is left, since another process
 * may already use it. MV_OPEN_TRUNCATE takes effect when all else has
 * succeeded but the allocation of file_size.
 *
 * A read-only or private view keeps no descriptor: when it needs the file
 * again (mv_refresh, mv_probe, the cause of a fault) it opens the path that
 * the file had, or was renamed to. It answers -ENOENT if the name is gone since,
 * and -ESTALE if another file has it. Only a file that has no name when it is
 * opened (unlinked, a memfd) is kept open.
 *
 * MV_OPEN_RANDOM is for accesses that jump. Nothing is read ahead, so that a
 * file that was not in memory comes in single pages. A store dirties, and a
 * sync writes, all that the kernel keeps together with the page: a page for
 * what came in so, up to megabytes for what was written or read in bulk.
 * So on a shared write view of a regular file mv_write hands its bytes to
 * pwrite, which dirties their blocks alone; they are seen through the view at
 * once. Each mv_write then takes as long as a system call: this pays for
 * updates that are scattered and synced, not for pages that are written many
 * times in between. mv_store and stores through mv_data remain stores.
 *
 * MV_OPEN_SEQUENTIAL is for accesses that run forward. Much is read ahead. On a
 * shared write view of a regular file mv_write begins the write-back of each
 * 4 MiB of the file that it has come to the end of, for which it may have to
 * wait for the device, and the mv_sync at the end has little left to do; when
 * that write-back fails, the view holds the failure as that of a sync.
 * From 64 KiB on mv_write hands its bytes to pwrite.
 *
 * Of both, mv_stat shows MV_STATE_THROUGH. pwrite is not used on tmpfs, devices
 * and memory, over RLIMIT_FSIZE and once mv_protect has been called, and what
 * it refuses is stored: counts and errors are those of any mv_write. It does not
 * make the file longer: the length is compared first. When another process
 * cuts the file right between the two, it is long again, with zeros and the
 * bytes written. (mv_resize takes turns with it.)
 *
 * Errors: those of open(2), fstat(2), mmap(2), and
 *   -EACCES     no permission, or a write view of a file that may only be read
 *   -EISDIR     path is a directory
 *   -ENODEV     not a regular file (a FIFO, a socket, a device without
 *               MV_OPEN_DEVICE), or one that cannot be mapped (as in /proc)
 *   -ENXIO      path is a socket
 *   -EAGAIN     another process has a lease on the file (see fcntl(2))
 *   -EINVAL     contradictory flags, or an offset or length past the end
 *   -EOVERFLOW  offset plus length, reserve or file_size leaves 63 bits
 *   -ENOMEM     no address space left (RLIMIT_AS, vm.max_map_count, or more
 *               than the processor can address)
 *   -EFBIG      file_size is over RLIMIT_FSIZE (no signal is raised)
 *   -ENOSPC, -EDQUOT  no room for file_size
 *   -MV_ETRUNCATED  the file was cut while it was being opened
 */
MV_API int mv_open(const char *path, const mv_options *options, mv_view **out, mv_error *err);

/*
 * mv_open_fd is mv_open for a file that is open already. fd stays the
 * caller's, who may close it at once. MV_OPEN_CREATE, _EXCLUSIVE and _NOFOLLOW
 * are refused.
 *
 * A shared write view needs an open file description of its own, so that
 * nobody else's fsync can consume the error of its sync. It is opened anew
 * through /proc/self/fd. Where that is refused (no permission any more, an
 * O_TMPFILE, no /proc) the call fails with that errno, unless
 * MV_OPEN_SHARE_DESCRIPTION accepts to share the caller's; mv_stat then shows
 * MV_STATE_SHARED_DESCRIPTION.
 *
 * Errors: as mv_open, and
 *   -EBADF   fd is not open, or was opened with O_PATH
 *   -EACCES  fd was opened O_WRONLY, or O_RDONLY for a shared write view
 *   -EINVAL  fd was opened with O_APPEND for a shared write view
 */
MV_API int mv_open_fd(int fd, const mv_options *options, mv_view **out, mv_error *err);

/*
 * mv_anonymous makes a writable view of size bytes of zeros that belong to no
 * named file. Memory is taken at first touch, so size may exceed it.
 *
 * The memory is shared with children of fork and can grow up to reserve. With
 * MV_OPEN_PRIVATE a child gets a copy, and the view cannot grow. Of the other
 * flags only _WRITE (implied), _RANDOM, _SEQUENTIAL, _NO_HANDLER and _TRACK are
 * allowed, of the other options only reserve (not with MV_OPEN_PRIVATE).
 *
 * Errors: -ENOMEM, -EMFILE, -ENFILE, -EOVERFLOW, -EFBIG (over RLIMIT_FSIZE,
 * which the kernel applies to shared memory, too).
 */
MV_API int mv_anonymous(uint64_t size, const mv_options *options, mv_view **out, mv_error *err);

/*
 * mv_memory opens the shared memory of that name, which every process can find:
 * what shm_open(3) opens. name is a slash and 1 to 255 bytes that are no slash.
 * The memory stays until mv_unlink_memory, or until the machine stops.
 *
 * The view is one of a file: options are those of mv_open, but _NOFOLLOW is
 * implied, and _DEVICE and file_size are refused. size makes the memory at
 * least that long, which needs a shared MV_OPEN_WRITE view; 0 takes it as it is.
 * What size and mv_resize add is taken then, not at first touch, so that it
 * cannot run out at a store. Of processes that open it beside each other with
 * MV_OPEN_CREATE and a size, each gets all of it.
 *
 * Errors: as mv_open, and -EINVAL (a name that is none, file_size, or a size
 * where the view cannot grow), -ENAMETOOLONG, and -ENOENT (no memory has that
 * name, or the system has no /dev/shm).
 */
MV_API int mv_memory(const char *name, uint64_t size, const mv_options *options, mv_view **out,
                     mv_error *err);

/*
 * mv_unlink_memory removes the name of shared memory. Views of it stay, and the
 * memory goes with the last of them. Errors: -ENOENT (no memory has that name),
 * -EACCES (it is another user's), -EINVAL and -ENAMETOOLONG as mv_memory.
 */
MV_API int mv_unlink_memory(const char *name, mv_error *err);

/*
 * mv_detach ends all access, for good. The address stays taken: every later
 * access through a raw pointer faults, every later call but mv_detach,
 * mv_data, mv_size and mv_close returns -EBADF, and a call that is running
 * finishes as it can or returns -EBADF. Dirty bytes are not synced. The view
 * must still be closed with mv_close.
 *
 * It may be called at any time, by any thread, any number of times. Returns 0,
 * or the sync failure that the view holds (see mv_sync); the view is detached
 * all the same. Only -ENOMEM (the limit of mappings, and no way around it)
 * means that it is not.
 */
MV_API int mv_detach(mv_view *view, mv_error *err);

/*
 * mv_close frees the view and its address. It is the last call, made once,
 * while no other call runs on the view. NULL is fine. Bytes that were not
 * synced are written by the kernel in its own time.
 *
 * Returns 0, the sync failure that the view holds, or what close(2) reported;
 * the view is gone in each case.
 */
MV_API int mv_close(mv_view *view, mv_error *err);

/* mv_data returns the address of the first byte: the same one until mv_close,
 * NULL for a NULL view. Bytes from mv_size on must not be touched. Of a view on
 * which it was ever called, no sync is known to be clean (see mv_sync). */
MV_API void *mv_data(const mv_view *view);

/* mv_size returns the size of the view in bytes: 0 when it is detached or
 * NULL. What the size covers can be accessed by the thread that has read it. */
MV_API uint64_t mv_size(const mv_view *view);

/* mv_reserved returns the largest size in bytes that the view can ever have:
 * the same number until mv_close, 0 for a NULL view. */
MV_API uint64_t mv_reserved(const mv_view *view);

/*
 * mv_read copies n bytes from the view, starting at off, into buf. It returns
 * how many bytes it copied, which is less than n only where the view ends (0
 * from its end on), or a negative errno; then err->done bytes were copied and
 * err->offset is the first that failed.
 *
 * Errors:
 *   -MV_ETRUNCATED  somebody has cut the file before this byte
 *   -EIO            the device failed; or the cause cannot be found out, since
 *                   the file of a read-only view cannot be opened again (its
 *                   name is gone, or the permission)
 *   -EACCES         the bytes were made inaccessible by mv_protect
 *   -EFAULT         buf is not the caller's to write to
 *   -ESTALE         the file has this byte but what is mapped has not: the
 *                   case of overlayfs above
 *   -EOPNOTSUPP     a device whose memory only mv_data can access
 *   -EAGAIN         the bytes come and go, and were gone at every attempt
 *   -ENOMEM, -EMFILE, -ENFILE  the kernel could not copy, or not open the file
 *                   again to find out
 * and what else pread(2) reports of the file.
 */
MV_API int64_t mv_read(mv_view *view, void *buf, uint64_t n, uint64_t off, mv_error *err);

/*
 * mv_write copies n bytes from buf into the view, starting at off. It never
 * grows the view: it returns how many bytes it copied, which is less than n
 * only where the view ends (0 from its end on), or a negative errno as
 * mv_read does. The bytes are durable after mv_sync. As with memcpy, buf must
 * not overlap the bytes that it is written to; the same holds for mv_read.
 *
 * Errors: as mv_read, and
 *   -EACCES           the view is read-only, or made so by mv_protect
 *   -ENOSPC, -EDQUOT  no room for a hole or a shared block
 *   -EFBIG            only a write past RLIMIT_FSIZE would find room
 * and what else fallocate(2) and pwrite(2) report of the file.
 */
MV_API int64_t mv_write(mv_view *view, const void *buf, uint64_t n, uint64_t off, mv_error *err);

/*
 * mv_load and mv_store access one whole number of width bytes (1, 2, 4 or 8)
 * in this machine's byte order, at once: no other thread or process ever sees
 * or makes a part of it. mv_load acquires and stores the number in *value;
 * mv_store releases. So what was written before an mv_store is seen by who has
 * loaded what it stored. The number must be aligned: its place in the file,
 * or in the memory, is a multiple of width.
 *
 * Returns 0 or a negative errno. Errors: as mv_read and mv_write, and
 *   -EINVAL      the width, the alignment, a value that does not fit the width,
 *                or a number that is not whole inside the view
 *   -EAGAIN      the page comes and goes, and was gone at every attempt
 *   -EOPNOTSUPP  a view with MV_OPEN_NO_HANDLER: the kernel copies by the byte
 */
MV_API int mv_load(mv_view *view, uint64_t off, uint32_t width, uint64_t *value, mv_error *err);
MV_API int mv_store(mv_view *view, uint64_t off, uint32_t width, uint64_t value, mv_error *err);

/*
 * mv_try calls fn(arg), which may access the view through the pointer of
 * mv_data, and returns what fn returns. When an access of fn's thread to the
 * view faults, fn is over at that instruction, and mv_try returns the cause as
 * a negative errno and fills err. (When fn itself returns, err is left alone:
 * an err->code that was 0 before tells a negative result of fn from a fault.)
 *
 * fn is left as by longjmp, without its end: it should hold no lock and own no
 * memory, stdio or other resource of which nobody outside of it knows; a
 * local variable of its own that it changed is gone. Of a C++ fn no destructor
 * runs. fn must not be left by longjmp, a C++ exception or the end of its
 * thread, and must not switch to another stack or thread. It may call
 * anything, mv_try on this or another view and every call on the view but
 * mv_close included. A signal handler that interrupts fn and accesses the view
 * needs an mv_try of its own: without one a fault may end it together with fn,
 * and what it had blocked stays blocked.
 *
 * ThreadSanitizer never forgets a frame that was left so, and gives up after
 * thousands: there fn, and what it calls, should be compiled with
 * __attribute__((no_sanitize("thread"))).
 *
 * Errors: as mv_read and mv_write at the byte that fn accessed, and
 *   -EAGAIN         nothing stops the byte any more: fn can be called again
 *   -MV_ETRUNCATED  also a byte past the end of the view
 *   -EOPNOTSUPP     a view with MV_OPEN_NO_HANDLER
 *   -ENOMEM         no memory to note the call in; fn was not called
 */
MV_API int mv_try(mv_view *view, int (*fn)(void *arg), void *arg, mv_error *err);

/*
 * mv_guard_install installs, for the whole process and for good, the handler
 * of SIGBUS and SIGSEGV that guarded accesses (mv_read, mv_write, mv_load,
 * mv_store, mv_try) rely on. The first of them does it by itself: calling it
 * before is for a program that wants to decide on the moment, or to install a
 * handler of its own afterwards. Returns 0, also when it is installed already,
 * or what sigaction(2) reports.
 *
 * The handler takes no fault but those of guarded accesses: inside of mv_read,
 * mv_write, mv_load and mv_store, and at an address of the view inside of
 * mv_try. All else is passed on to what was installed before, with the same
 * siginfo and context, and the signal mask that it would have had; where that
 * is SIG_DFL the process ends by the signal at the address of the fault, as it
 * would have without mapview. It runs on the alternate stack of a thread that
 * has one.
 *
 * A handler that is installed later sees every fault first. It must pass on
 * what is not its own, with the siginfo and the context, to the handler that
 * sigaction(2) gave it; else guarded accesses are not guarded any more, which
 * mv_guard_status tells.
 *
 * With MV_OPEN_NO_HANDLER a view never needs the handler: mv_read and mv_write
 * then let the kernel copy, which takes a system call each, and mv_load,
 * mv_store and mv_try are -EOPNOTSUPP. Where sigaction is refused, mv_read and
 * mv_write do so on any view.
 *
 * A plug-in that is linked with the static library must be linked with
 * -z nodelete, so that dlclose leaves the handler where it is.
 */
MV_API int mv_guard_install(mv_error *err);

/* mv_guard_status tells which handler SIGBUS and SIGSEGV have now. */
#define MV_GUARD_NONE 0      /* not mapview's: it was never installed */
#define MV_GUARD_INSTALLED 1 /* mapview's, for both */
#define MV_GUARD_REPLACED 2  /* another one, since: guarded only if that passes faults on */
MV_API int mv_guard_status(void);

/* Kinds of access, for mv_probe, mv_prefault and mv_protect. */
#define MV_READ 1U
#define MV_WRITE 2U

/*
 * mv_probe tells whether every byte of the range can be accessed now, in the
 * ways of access (MV_READ, MV_WRITE or both). It returns 0, or the cause at the
 * first byte that cannot, which is err->offset: an error of mv_read or
 * mv_write. Nothing is promised of the next moment.
 *
 * The pages are brought in as mv_prefault does; MV_WRITE gives holes their
 * blocks and private pages their copies, and marks shared pages dirty. Bytes
 * past a new end of the file are -MV_ETRUNCATED even where they do not fault.
 *
 * Errors: also -EOPNOTSUPP (a kernel before Linux 5.14), and those of opening
 * the file again (see mv_open) when a read-only view has to.
 */
MV_API int mv_probe(mv_view *view, uint64_t off, uint64_t len, uint32_t access, mv_error *err);

/* Levels of mv_sync. */
#define MV_SYNC_START 1U /* begin to write the range, wait for nothing, promise nothing */
#define MV_SYNC_DATA 2U  /* the range, and what is needed to read it back, is on the medium */
#define MV_SYNC_FULL 3U  /* also all metadata, and the name of a file that mv_open created */
#define MV_SYNC_FORCE 0x100U /* or-ed to a level: also what is known to be clean */

/*
 * mv_sync writes what was stored in the range to the medium. On success it is
 * there, as far as the level says; memory and tmpfs have no medium. Syncs of
 * one view that wait for the medium take turns.
 *
 * A sync that is known to have nothing to do makes no system call and returns
 * 0: when a DATA or FULL sync of the whole view has succeeded and nothing was
 * written through the view since, any range is clean for that level and those
 * below it. That is never known of a view whose mv_data was ever called, and
 * not of read-only views and devices; a change of size counts as a write. It is
 * about the writes of this view in this process alone. Where others write to
 * the file (another view, a descriptor, a child of fork), MV_SYNC_FORCE makes
 * the sync happen all the same; it also makes it compare the file's length.
 *
 * The first failure of the kernel is kept: every later mv_sync on the view
 * returns it with its offset, length and op, whatever the range and level,
 * since the kernel may have dropped the bytes and would report success the next
 * time. mv_stat shows it, mv_detach and mv_close report it. The view can still
 * be read and written. Open it anew to start over, and write the bytes again.
 *
 * -EINTR is a failure like any other where a sync waits: a file system of FUSE
 * whose server answers a write so has lost the bytes, and the next sync would
 * return 0. MV_SYNC_START, which consumes no error, tries again by itself.
 *
 * A range that reaches past the file's present end is -MV_ETRUNCATED: its
 * bytes were lost when somebody cut the file. That is not kept: it is asked
 * each time.
 *
 * On a read-only view it writes what others have stored, by the file opened
 * again; a failure that somebody else has been told of is not told again. Nor
 * is, on any view, one from before the view was opened; where nobody has been
 * told, its first sync is.
 *
 * Errors: -EIO, -ENOSPC, -EDQUOT and what else fsync(2) reports, -EINVAL on a
 * private view, -EOPNOTSUPP (a device that cannot), -MV_ETRUNCATED, and those
 * of opening the file again (see mv_open) on a read-only view.
 */
MV_API int mv_sync(mv_view *view, uint64_t off, uint64_t len, uint32_t level, mv_error *err);

/* An mv_range is a range of a view, in calls that take or give many. */
typedef struct mv_range {
    uint64_t offset, length;
} mv_range;

/* Flags of mv_dirty. */
#define MV_DIRTY_RESET 1U /* what is returned is clean from then on */

/*
 * mv_dirty stores in ranges, which has room for n, what was written since the
 * view was opened, since the last successful mv_sync of level DATA or FULL over
 * it, and since it was last returned under MV_DIRTY_RESET, whichever was last.
 * The view must have been opened with MV_OPEN_TRACK.
 *
 * Ranges are whole pages, but for the ends of the view; they ascend, and no two
 * touch. Every page that has a byte of off and len is looked at, so that a range
 * may begin before off and end after off+len. The result is how many there are.
 * If it is n there may be more: go on from the end of the last one. What is
 * written beside the call is returned now or the next time, and so is what is
 * written beside a sync; what a sync failed at stays dirty. With MV_DIRTY_RESET
 * exactly the pages that are returned are clean afterwards; a call that fails
 * resets nothing. A page may be returned that was not written (what mv_prefault
 * or mv_probe touched for writing, what a write failed at, what the kernel has
 * lost track of), but never is a written one left out that the way of tracking
 * sees. What mv_discard gave back counts as written, and so does what a shrink
 * took away, when it is shown again.
 *
 * mv_stat tells the way, which is decided when the view is opened:
 *
 *   MV_TRACK_KERNEL   Every store of this process, also through mv_data: Linux
 *                     6.7 and newer notes it by itself (userfaultfd, asynchronous
 *                     write protection), without a thread, a signal or a
 *                     privilege. The first store to a page after a reset or a
 *                     sync costs a fault, and each page that is shown eight bytes
 *                     of page table. The view keeps one more descriptor.
 *   MV_TRACK_PRIVATE  Private views where the kernel does not have that, or a
 *                     filter refuses it: the pages of which the process has a
 *                     copy of its own. Only mv_discard makes them clean;
 *                     MV_DIRTY_RESET is -EOPNOTSUPP. Of memory without a file
 *                     what was only read counts, too.
 *   MV_TRACK_MARKS    Shared views there (and private ones without /proc): what
 *                     the library itself wrote, by mv_write, mv_store, mv_discard
 *                     and the like. Stores through mv_data, also those in mv_try,
 *                     are not seen. mv_write takes some times as long for few
 *                     bytes.
 *
 * Whichever it is: what others write to the file is not seen, neither by another
 * view or descriptor (that of mv_fd included) nor by a child of fork, whose
 * stores into shared pages do not pass this process's page table. For want of
 * descriptors or memory mv_open fails, rather than to choose another way.
 *
 * Calls on one view take turns. Errors: -EINVAL (opened without MV_OPEN_TRACK),
 * -EOPNOTSUPP (see above), those of opening and reading /proc/self/pagemap
 * (-EMFILE, -ENFILE, -ENOENT), -EPERM (somebody else has mapped something over
 * the view), -ENOMEM.
 */
MV_API int64_t mv_dirty(mv_view *view, uint64_t off, uint64_t len, mv_range *ranges, uint64_t n,
                        uint32_t flags, mv_error *err);

/*
 * mv_resize makes the view size bytes long, and the file offset+size. Growing
 * allocates real blocks and reads as zeros; nothing moves and no reader waits.
 * When it fails, view and file are as before. Only a shared write view that
 * was opened up to the end of its file (length 0), or growable memory, can be
 * resized. Memory is taken at first touch, not here. A file that somebody else
 * has made longer stays so long; the bytes up to size are allocated then, too.
 *
 * When shrinking, an access past the new end through a raw pointer faults; a
 * running mv_read comes back short or with -MV_ETRUNCATED.
 *
 * Errors:
 *   -ENOMEM         size is over the reservation; open with a larger reserve
 *   -EACCES         the view is read-only
 *   -EINVAL         a private or fixed-length view, or one of a device
 *   -EBUSY          shrinking a file that somebody else has made longer
 *   -MV_ETRUNCATED  somebody has cut the file; mv_refresh adopts that
 *   -EFBIG          over RLIMIT_FSIZE, or more than the file system can hold
 *   -EOVERFLOW      offset plus size leaves 63 bits
 *   -ESTALE         the view's descriptor was closed by somebody, and reused
 *   -ENOSPC, -EDQUOT, -EIO, -EPERM (a sealed memfd)
 */
MV_API int mv_resize(mv_view *view, uint64_t size, mv_error *err);

/*
 * mv_refresh makes the size of the view follow the file's present length: up
 * to the end for a view opened to the end, and never over the length asked
 * for otherwise. Private memory and devices stay as they are. The bytes of a
 * shared view are always the file's present ones: only its size waits for
 * mv_refresh.
 *
 * Errors: -ENOMEM (the file is longer than the reservation), -EACCES (the last
 * page of a private view must take appended bytes, and mv_protect forbids it),
 * and those of opening the file again (see mv_open). The view then stays as it
 * was.
 */
MV_API int mv_refresh(mv_view *view, mv_error *err);

/* An mv_appender appends records to a view. It must be closed with
 * mv_appender_close before its view is. */
typedef struct mv_appender mv_appender;

/* An mv_append_options says how. NULL is MV_APPEND_OPTIONS_INIT. */
typedef struct mv_append_options {
    uint32_t size;     /* sizeof(mv_append_options), set by MV_APPEND_OPTIONS_INIT */
    uint32_t flags;    /* MV_APPEND_ bits */
    uint64_t start;    /* where the first record goes; MV_TO_END: the end of the view */
    uint64_t step_min; /* bytes of the first step of growth; 0: 64 KiB */
    uint64_t step_max; /* bytes of the largest; 0: 64 MiB, or step_min if that is more */
} mv_append_options;

/* clang-format off */
#define MV_APPEND_OPTIONS_INIT {sizeof(mv_append_options), 0, MV_TO_END, 0, 0}
/* clang-format on */

/* Flags of mv_append_options. */
#define MV_APPEND_AHEAD 1U /* start a thread that keeps the view grown and prefaulted ahead */

/*
 * mv_appender_open prepares a view that can be resized (see mv_resize) for
 * records that are written one after the other, and stores an appender in *out
 * (NULL when it fails). The view should have been opened with a large reserve:
 * it grows within that, to multiples of a step that doubles from step_min to
 * step_max, with real blocks. What lies from start on, in the view and in the
 * file, belongs to the appender: bytes that were there are written over, or cut
 * off at the end. Until mv_appender_close the file is longer than its records,
 * by zeros: who may be interrupted has to find the last record by its contents,
 * and to cut off what stands behind it (mv_resize) before going on: whole records
 * in there would follow the next one as if they were new.
 *
 * With MV_APPEND_AHEAD this call starts a thread, which keeps up to 32 MiB
 * behind the end grown and prefaulted, so that mv_append takes no faults. It
 * blocks all signals but those of faults, sleeps when there is nothing to do,
 * and is gone when mv_appender_close returns. Without it mv_append prefaults
 * by itself, 2 MiB at a time and never past the present step. With it, and on
 * a view with MV_OPEN_SEQUENTIAL, the kernel is asked for large folios: the
 * fastest for records in bulk, but a sync then writes up to 2 MiB for a single
 * record.
 *
 * Errors: those of mv_resize for a view that cannot be resized, -EINVAL and
 * -E2BIG (options), -ENOMEM, -EAGAIN (the thread cannot be started).
 */
MV_API int mv_appender_open(mv_view *view, const mv_append_options *options, mv_appender **out,
                            mv_error *err);

/*
 * mv_append writes a record of n bytes behind the last one and returns the
 * offset in the view at which it begins: all of it or, with a negative errno,
 * nothing; then the end has not moved and the record can be appended again.
 *
 * One thread appends at a time, others may read and mv_sync what lies before
 * mv_append_end, and use the view in every way but one that makes it smaller.
 * What another process appends to the same file is written over.
 *
 * Errors: as mv_write, those of mv_resize where the view has to grow, and
 *   -ENOMEM         the record goes past the reservation
 *   -MV_ETRUNCATED  also a view that was made smaller than what was appended
 */
MV_API int64_t mv_append(mv_appender *appender, const void *buf, uint64_t n, mv_error *err);

/* mv_append_end returns the offset behind the last complete record: who has
 * read it sees what lies before. 0 for a NULL appender. Any thread may ask. */
MV_API uint64_t mv_append_end(const mv_appender *appender);

/*
 * mv_appender_close ends its thread, makes view and file end behind the last
 * record, and frees the appender, also when it fails. It is the last call, and
 * no other may run on the appender. NULL is fine. Nothing is synced. In a child
 * of fork it only frees, and returns -ECHILD.
 *
 * Errors: those of mv_resize when it shrinks. The file then keeps its length:
 * -EBUSY, when another process has made it longer.
 */
MV_API int mv_appender_close(mv_appender *appender, mv_error *err);

/* Advice for mv_advise. It holds for whole pages, those at the edges included. */
#define MV_ADVICE_NORMAL 0U     /* the kernel's own judgement */
#define MV_ADVICE_RANDOM 1U     /* no read-ahead */
#define MV_ADVICE_SEQUENTIAL 2U /* much read-ahead */
#define MV_ADVICE_WILLNEED 3U   /* begin to read the range in, wait for nothing */
#define MV_ADVICE_COLD 4U       /* reclaim these pages first */
#define MV_ADVICE_PAGEOUT 5U    /* reclaim these pages now */
#define MV_ADVICE_HUGE 6U       /* use huge pages where it can be done */
#define MV_ADVICE_NOHUGE 7U     /* do not */
#define MV_ADVICE_REWRITE 8U    /* the range will be stored to from end to end */

/*
 * mv_advise tells the kernel how the range will be used. No advice changes
 * what the view shows.
 *
 * MV_ADVICE_REWRITE is for shared write views, before every byte of a range
 * that was synced or read is stored to again. It is an mv_prefault for writing
 * with as few faults as the kernel can do with: where the page cache is in
 * large folios the pages leave the page table first, which loses nothing, and
 * come back folio by folio. It takes longer than the faults of a few stores.
 * Until the next such advice mv_write, in order and in pieces of 64 KiB or
 * more, stores to the range past the processor's caches where that is faster.
 *
 * Errors: -EOPNOTSUPP (the kernel does not know it). With MV_ADVICE_REWRITE
 * also -EINVAL (a private or read-only view), and those of mv_prefault.
 */
MV_API int mv_advise(mv_view *view, uint64_t off, uint64_t len, uint32_t what, mv_error *err);

/*
 * mv_prefetch begins to read n ranges and waits for none: mv_advise with
 * MV_ADVICE_WILLNEED for each, but ranges that follow each other in the array
 * and whose pages touch are asked for as one, so that sorted ones cost least.
 * All are checked before the first is begun. ranges may be NULL if n is 0.
 */
MV_API int mv_prefetch(mv_view *view, const mv_range *ranges, uint64_t n, mv_error *err);

/*
 * mv_prefault brings the range into memory and its pages into the page table,
 * so that a first access does not stop at a fault. what is MV_READ, or
 * MV_WRITE (with or without MV_READ), which also gives holes their blocks and
 * private pages their copies, and marks shared pages dirty.
 *
 * Errors: as mv_write, the first bad byte in err->offset; -ENOMEM; -EOPNOTSUPP
 * (a kernel before Linux 5.14).
 */
MV_API int mv_prefault(mv_view *view, uint64_t off, uint64_t len, uint32_t what, mv_error *err);

/*
 * mv_discard gives the storage of the range back. On a shared write view the
 * bytes read as zero afterwards, in the file too, and a later store may find
 * no room (mv_resize's blocks are gone). On a private view the process drops
 * its own copies: the bytes are the file's again, or zero if there is no file.
 *
 * Errors: -EACCES (a read-only view, or protected private bytes), -EOPNOTSUPP
 * (the file system cannot), -ENODEV (a shared view of a device), -EBUSY (pinned
 * private pages, before Linux 5.18), -EIO, -EPERM (a sealed memfd).
 */
MV_API int mv_discard(mv_view *view, uint64_t off, uint64_t len, mv_error *err);

/*
 * mv_pin keeps the pages of the range in memory until mv_unpin or mv_close.
 * Pins do not nest. Errors: as mv_prefault where a byte cannot be brought in;
 * -ENOMEM (over RLIMIT_MEMLOCK), -EPERM (that limit is 0).
 */
MV_API int mv_pin(mv_view *view, uint64_t off, uint64_t len, mv_error *err);
MV_API int mv_unpin(mv_view *view, uint64_t off, uint64_t len, mv_error *err);

/*
 * mv_protect sets how the pages of the range, those at the edges included, may
 * be accessed: what is 0 (not at all), MV_READ, or MV_READ|MV_WRITE; MV_WRITE
 * alone is the same as both. mv_read and mv_write then return -EACCES where
 * they may not go. Errors: -EACCES (write access to a read-only view), -ENOMEM
 * (the ranges are too many).
 */
MV_API int mv_protect(mv_view *view, uint64_t off, uint64_t len, uint32_t what, mv_error *err);

/* Bits of mv_info.state. */
#define MV_STATE_FAILED ((uint64_t)1 << 0)             /* a sync has failed: see failure */
#define MV_STATE_SHARED_DESCRIPTION ((uint64_t)1 << 1) /* see mv_open_fd */
#define MV_STATE_DESCRIPTOR ((uint64_t)1 << 2)         /* the view keeps a descriptor */
#define MV_STATE_CREATED ((uint64_t)1 << 3)            /* mv_open created the file */
#define MV_STATE_THROUGH ((uint64_t)1 << 4)            /* mv_write may go by pwrite: see mv_open */

/* Ways of tracking: see mv_dirty. */
#define MV_TRACK_NONE 0U
#define MV_TRACK_KERNEL 1U
#define MV_TRACK_PRIVATE 2U
#define MV_TRACK_MARKS 3U

/* An mv_info is what mv_stat tells. */
typedef struct mv_info {
    uint32_t size;           /* sizeof(mv_info), set by MV_INFO_INIT */
    uint32_t page_size;      /* of this machine, in bytes */
    uint64_t flags;          /* the MV_OPEN_ bits that the view was opened with */
    uint64_t state;          /* MV_STATE_ bits */
    uint64_t offset;         /* where in the file the view begins */
    uint64_t length;         /* mv_size */
    uint64_t reserved;       /* mv_reserved */
    uint64_t file_size;      /* the file's length now; UINT64_MAX when it cannot be found out */
    uint64_t device, inode;  /* which file it is; 0 for private memory */
    int64_t failure;         /* the failed sync's negative errno, or 0 */
    uint64_t failure_offset; /* and its range */
    uint64_t failure_length;
    uint32_t tracking; /* MV_TRACK_ */
    uint32_t zero;     /* for later use */
} mv_info;

/* clang-format off */
#define MV_INFO_INIT {sizeof(mv_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
/* clang-format on */

/* mv_stat fills *info. It returns 0 or one of the errors that every call has. */
MV_API int mv_stat(const mv_view *view, mv_info *info, mv_error *err);

/* Capabilities, for mv_has. */
#define MV_HAS_POPULATE 1U        /* mv_probe and mv_prefault work */
#define MV_HAS_KERNEL_COPY 2U     /* a copy by the kernel needs one system call (else several) */
#define MV_HAS_ALLOCATE 3U        /* growing allocates blocks that a later store finds there */
#define MV_HAS_OWN_DESCRIPTION 4U /* nobody else can consume the errors of a sync; 0 without a view */
#define MV_HAS_RESIZE 5U          /* mv_resize is for views like this; 0 without a view */

/* mv_has returns 1 if the view, or the kernel alone when view is NULL, has the
 * capability, 0 if not or if it is unknown, -EBADF or -ECHILD. */
MV_API int mv_has(const mv_view *view, uint32_t capability);

/* mv_fd returns a new descriptor of the view's file, close-on-exec, with an
 * open file description of its own: for passing memory of mv_anonymous to
 * another process, or for calls that mapview does not have. It is the
 * caller's, to be closed with close(2). It can be written through if the view
 * is a shared write view. Errors: -ENODEV (private memory has none), and those
 * of opening the file again (see mv_open and mv_open_fd). */
MV_API int mv_fd(mv_view *view, mv_error *err);

/* mv_strerror returns one sentence for a code, which may be negative or
 * positive: a constant string. */
MV_API const char *mv_strerror(int code);

/* mv_version returns the version of the library that runs: "0.1.0". */
MV_API const char *mv_version(void);

#ifdef __cplusplus
}
#endif

#endif
