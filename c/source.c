/* source.c: where a view's bytes come from: opens files and memory, and finds
 * them again. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* Non-blocking, so that a FIFO cannot hang the open; no terminal is adopted. */
#define ALWAYS (O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

/* Room for the name in /proc that leads to what a descriptor has open. Not
 * that of /proc/self: the process's first thread may have ended. */
#define PROC_NAME 48

static long open_retrying(const char *path, int flags, mode_t mode)
{
    long fd;
    do
        fd = mv__sys.open(path, flags, mode);
    while (fd == -EINTR);
    return fd;
}

static struct mv__source empty_source(bool writable)
{
    return (struct mv__source){
        .fd = -1, .users = 1, .given = -1, .directory = -1, .writable = writable};
}

static bool is_shared_write(const mv_options *o)
{
    return (o->flags & MV_OPEN_WRITE) && !(o->flags & MV_OPEN_PRIVATE);
}

/* hugetlbfs maps and unmaps in pages that are not the machine's. */
static int refuse_huge_pages(int fd, const struct stat *st, mv_error *err)
{
    enum mv__fs kind;
    uint64_t unused;
    if ((size_t)st->st_blksize <= mv__sys_page_size())
        return 0;
    int r = mv__sys_filesystem(fd, &kind, &unused);
    if (r < 0)
        return mv__fail_call(err, r, "fstatfs");
    return kind == MV__FS_HUGE
               ? mv__fail(err, -ENODEV, "fstatfs", "a file of hugetlbfs cannot be mapped here")
               : 0;
}

/* Notes which file fd is and refuses the kinds that cannot be mapped. */
static int identify(struct mv__source *source, int fd, const mv_options *o, mv_error *err)
{
    struct stat st;
    long r = mv__sys.fstat(fd, &st);
    if (r < 0)
        return mv__fail_call(err, (int)r, "fstat");
    source->device = st.st_dev;
    source->inode = st.st_ino;
    source->length = (uint64_t)st.st_size;
    source->is_file = S_ISREG(st.st_mode);
    if (source->is_file)
        return refuse_huge_pages(fd, &st, err);
    if (S_ISDIR(st.st_mode))
        return mv__fail(err, -EISDIR, "open", "a directory cannot be mapped");
    if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
        if (o->flags & MV_OPEN_DEVICE)
            return 0;
        return mv__fail(err, -ENODEV, "open",
                        "a device is mapped only when asked for as one, with a length");
    }
    return mv__fail(err, -ENODEV, "open", "only regular files can be mapped, not a FIFO or a socket");
}

static bool same_file(const struct mv__source *source, const struct stat *st)
{
    return source->device == st->st_dev && source->inode == st->st_ino;
}

/* Opens path and finds out whether this very call created it. */
static long open_or_create(const char *path, int flags, const mv_options *o, bool *created)
{
    mode_t mode = o->mode ? (mode_t)o->mode : 0600;
    long fd = open_retrying(path, flags | O_CREAT | O_EXCL, mode);
    if (fd == -EEXIST && !(o->flags & MV_OPEN_EXCLUSIVE)) {
        fd = open_retrying(path, flags, 0);
        if (fd != -ENOENT)
            return fd;
        /* A symlink that leads nowhere, or the file went away just now. */
        fd = open_retrying(path, flags | O_CREAT, mode);
    }
    *created = fd >= 0;
    return fd;
}

/* Opens path, and finds out on the way whether it leads to the file from
 * anywhere: to look at it takes half as long as to open it. */
static long open_direct(const char *path, int flags, bool *direct)
{
    long fd = open_retrying(path, flags | O_NOFOLLOW, 0);
    *direct = fd >= 0 && path[0] == '/';
    if (fd != -ELOOP || (flags & O_NOFOLLOW))
        return fd;
    return open_retrying(path, flags, 0);
}

static int open_failed(mv_error *err, long code)
{
    return mv__fail(err, (int)code, "open", "the file cannot be opened: %s", mv_strerror((int)code));
}

int mv__source_path(struct mv__source *out, const char *path, const mv_options *o, int *fd,
                    mv_error *err)
{
    *out = empty_source(is_shared_write(o));
    out->asked = path;
    int flags = ALWAYS | (out->writable ? O_RDWR : O_RDONLY);
    if (o->flags & MV_OPEN_NOFOLLOW)
        flags |= O_NOFOLLOW;
    long opened = (o->flags & MV_OPEN_CREATE) ? open_or_create(path, flags, o, &out->created)
                                              : open_direct(path, flags, &out->direct);
    if (opened < 0)
        return open_failed(err, opened);
    out->entry_owed = out->created;
    int r = identify(out, (int)opened, o, err);
    if (r < 0) {
        if (o->flags & MV_OPEN_EXCLUSIVE)
            mv__source_remove(out, path);
        mv__source_abandon(out, (int)opened);
        return r;
    }
    *fd = (int)opened;
    return 0;
}

/* Opens the file behind fd anew, and stores its length if that is asked for. The
 * name in /proc leads to the file itself, whatever its path says by now. */
static long open_behind(const struct mv__source *source, int fd, int flags, uint64_t *length)
{
    char name[PROC_NAME];
    (void)snprintf(name, sizeof name, "/proc/thread-self/fd/%d", fd);
    long again = open_retrying(name, flags | ALWAYS, 0);
    if (again < 0)
        return again;
    struct stat st;
    long r = mv__sys.fstat((int)again, &st);
    if (r == 0 && same_file(source, &st)) {
        if (length)
            *length = (uint64_t)st.st_size;
        return again;
    }
    mv__sys.close((int)again);
    return r < 0 ? r : -ESTALE;
}

static int check_descriptor(int given, bool writable, mv_error *err)
{
    long status = mv__sys.fcntl(given, F_GETFL, 0);
    if (status < 0)
        return mv__fail(err, (int)status, "fcntl", "the descriptor %d is not open", given);
    if (status & O_PATH)
        return mv__fail(err, -EBADF, "fcntl",
                        "the descriptor was opened with O_PATH, which cannot be mapped");
    if ((status & O_ACCMODE) == O_WRONLY)
        return mv__fail(err, -EACCES, "fcntl", "the descriptor was opened O_WRONLY: mapping must read");
    if (writable && (status & O_ACCMODE) != O_RDWR)
        return mv__fail(err, -EACCES, "fcntl",
                        "a shared view to write needs a descriptor that was opened O_RDWR");
    if (writable && (status & O_APPEND))
        return mv__fail(err, -EINVAL, "fcntl",
                        "a shared view to write cannot be of a descriptor that was opened O_APPEND");
    return 0;
}

int mv__source_descriptor(struct mv__source *out, int given, const mv_options *o, int *fd,
                          mv_error *err)
{
    *out = empty_source(is_shared_write(o));
    int r = check_descriptor(given, out->writable, err);
    if (r == 0)
        r = identify(out, given, o, err);
    if (r < 0)
        return r;
    /* Reading needs no description of its own, but has one where it can: the
     * mapping would keep the caller's alive, with the locks on it. A file of the
     * network may be longer than the caller's descriptor still says. */
    out->given = given;
    long own = open_behind(out, given, out->writable ? O_RDWR : O_RDONLY, &out->length);
    if (own < 0 && !out->writable)
        own = given;
    if (own < 0) {
        if (!(o->flags & MV_OPEN_SHARE_DESCRIPTION))
            return mv__fail(err, (int)own, "open",
                            "no description of its own for the sync (%s); it can share yours",
                            mv_strerror((int)own));
        own = mv__sys.fcntl(given, F_DUPFD_CLOEXEC, 0);
        if (own < 0)
            return mv__fail_call(err, (int)own, "fcntl");
        out->shared_description = true;
    }
    *fd = (int)own;
    return 0;
}

int mv__source_memory(struct mv__source *out, int *fd, mv_error *err)
{
    *out = empty_source(true);
    out->is_file = out->is_memory = true;
    long made = mv__sys.memfd_create("mapview", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (made == -EINVAL) /* before Linux 6.3 */
        made = mv__sys.memfd_create("mapview", MFD_CLOEXEC);
    if (made < 0)
        return mv__fail_call(err, (int)made, "memfd_create");
    struct stat st;
    long r = mv__sys.fstat((int)made, &st);
    if (r < 0) {
        mv__sys.close((int)made);
        return mv__fail_call(err, (int)r, "fstat");
    }
    out->device = st.st_dev;
    out->inode = st.st_ino;
    *fd = (int)made;
    return 0;
}

/* The folder of shm_open on Linux, in every libc. */
#define MEMORY_FOLDER "/dev/shm"

int mv__source_memory_path(const char *name, char path[MV__MEMORY_PATH], mv_error *err)
{
    if (!name)
        return mv__fail(err, -EINVAL, "name", "the name is NULL");
    size_t n = strnlen(name, MV__MEMORY_PATH);
    if (n < 2 || name[0] != '/' || memchr(name + 1, '/', n - 1))
        return mv__fail(
            err, -EINVAL, "name",
            "the name of memory is a slash and at least one more byte, none of them a slash");
    if (strcmp(name, "/.") == 0 || strcmp(name, "/..") == 0)
        return mv__fail(err, -EINVAL, "name", "%s is a folder, not memory", name);
    if (n - 1 > NAME_MAX)
        return mv__fail(err, -ENAMETOOLONG, "name", "the name is longer than a slash and %d bytes",
                        NAME_MAX);
    (void)snprintf(path, MV__MEMORY_PATH, MEMORY_FOLDER "%s", name);
    return 0;
}

int mv__source_length(const struct mv__source *source, int fd, uint64_t *out, mv_error *err)
{
    struct stat st;
    long r = mv__sys.fstat(fd, &st);
    if (r < 0)
        return mv__fail_call(err, (int)r, "fstat");
    if (!same_file(source, &st)) /* somebody closed what was not theirs: touch nothing */
        return mv__fail(err, -ESTALE, "fstat", "the view's descriptor leads to another file now");
    *out = (uint64_t)st.st_size;
    if (source->is_file)
        return 0;
    *out = UINT64_MAX;
    if (!S_ISBLK(st.st_mode))
        return 0;
    r = mv__sys_device_size(fd, out);
    return r < 0 ? mv__fail_call(err, (int)r, "ioctl") : 0;
}

/* Is the file at path, and no symlink to it? */
static bool is_at(const struct mv__source *source, const char *path)
{
    struct stat st;
    return mv__sys.lstat(path, &st) == 0 && same_file(source, &st);
}

/* Stores the absolute path at which fd's file is found now; path is empty
 * when there is none (unlinked, a memfd, another root, no /proc). To ask the
 * kernel for it takes as long as to open the file: where the caller's path will
 * do, it is not asked. */
static void find_path(const struct mv__source *source, int fd, char path[PATH_MAX])
{
    if (source->asked && source->asked[0] == '/' && is_at(source, source->asked)) {
        (void)snprintf(path, PATH_MAX, "%s", source->asked); /* it was opened: it fits */
        return;
    }
    char name[PROC_NAME];
    (void)snprintf(name, sizeof name, "/proc/thread-self/fd/%d", fd);
    long n = mv__sys.readlink(name, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
    if (path[0] && !is_at(source, path))
        path[0] = 0;
}

/* Opens the directory that holds path, for the sync of the new name. When it
 * cannot be opened, mv_sync has another way. */
static void open_directory(struct mv__source *source, const char *path)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!slash)
        return;
    size_t n = slash == path ? 1 : (size_t)(slash - path);
    memcpy(directory, path, n);
    directory[n] = 0;
    long fd = open_retrying(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd >= 0)
        source->directory = (int)fd;
}

static int keep_path(struct mv__source *source, const char *path, mv_error *err)
{
    size_t n = strlen(path) + 1;
    long memory = mv__sys.allocate(n);
    if (memory == 0 || mv__sys_failed(memory))
        return mv__fail_call(err, -ENOMEM, "allocate");
    source->path = (char *)memory;
    memcpy(source->path, path, n);
    return 0;
}

/* Makes fd the view's own, in place of the caller's if it is that. */
static int keep_descriptor(struct mv__source *source, int fd, mv_error *err)
{
    if (fd == source->given) {
        long own = mv__sys.fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (own < 0)
            return mv__fail_call(err, (int)own, "fcntl");
        source->shared_description = true;
        fd = (int)own;
    }
    source->fd = fd;
    return 0;
}

int mv__source_settle(struct mv__source *source, int fd, mv_error *err)
{
    char found[PATH_MAX];
    const char *path = found;
    found[0] = 0;
    if (!source->writable && source->direct)
        path = source->asked;
    else if (source->created || !source->writable)
        find_path(source, fd, found);
    if (source->created)
        open_directory(source, path);
    int r;
    if (source->writable || !path[0]) {
        r = keep_descriptor(source, fd, err);
    } else {
        r = keep_path(source, path, err);
        if (r == 0 && fd != source->given)
            mv__sys.close(fd);
    }
    if (r == 0)
        source->given = -1;
    source->asked = NULL;
    return r;
}

void mv__source_remove(const struct mv__source *source, const char *path)
{
    struct stat st;
    if (!source->created)
        return;
    /* Without an inode number it was made a moment ago, and not even looked at. */
    if (source->inode == 0 || (mv__sys.lstat(path, &st) == 0 && same_file(source, &st)))
        mv__sys.unlink(path);
}

void mv__source_abandon(struct mv__source *source, int fd)
{
    if (fd >= 0 && fd != source->given)
        mv__sys.close(fd);
}

bool mv__source_has_file(const struct mv__source *source)
{
    return source->fd >= 0 || source->path;
}

/* Opens path and makes sure that it is the same file. While the view maps it,
 * its inode number cannot be given to another. */
static long open_same(const struct mv__source *source, const char *path, int flags)
{
    long fd = open_retrying(path, flags | ALWAYS, 0);
    if (fd < 0)
        return fd;
    struct stat st;
    long r = mv__sys.fstat((int)fd, &st);
    if (r == 0 && same_file(source, &st))
        return fd;
    mv__sys.close((int)fd);
    return r < 0 ? r : -ESTALE;
}

/* Finds the file again by the path it had, or by the one it was renamed to. */
static int reopen(const struct mv__source *source, int flags, int *fd, mv_error *err)
{
    if (!mv__source_has_file(source))
        return mv__fail(err, -ENODEV, "open", "private memory has no file");
    long again = open_same(source, source->path, flags);
    char now[PATH_MAX];
    if ((again == -ENOENT || again == -ENOTDIR || again == -ESTALE) &&
        mv__sys_mapped_path(source->mapping, now, sizeof now) == 0) {
        long renamed = open_same(source, now, flags);
        again = renamed >= 0 ? renamed : again;
    }
    if (again < 0)
        return mv__fail(err, (int)again, "open", "the view's file cannot be found again: %s",
                        mv_strerror((int)again));
    *fd = (int)again;
    return 0;
}

/* Counts one more user, unless the view is detached. */
static int enter_source(struct mv__source *source, mv_error *err)
{
    unsigned users = atomic_load(&source->users);
    do {
        if (users == 0)
            return mv__fail(err, -EBADF, "view", "the view is detached");
    } while (!atomic_compare_exchange_weak(&source->users, &users, users + 1));
    return 0;
}

static int borrow(struct mv__source *source, int flags, int *fd, mv_error *err)
{
    int r = enter_source(source, err);
    if (r != 0)
        return r;
    *fd = source->fd;
    if (source->fd < 0)
        r = reopen(source, flags, fd, err);
    if (r != 0)
        mv__source_drop(source);
    return r;
}

int mv__source_borrow(struct mv__source *source, int *fd, mv_error *err)
{
    return borrow(source, O_RDONLY, fd, err);
}

int mv__source_look(struct mv__source *source, uint64_t *length, mv_error *err)
{
    int fd = -1;
    /* O_PATH needs no permission to read, and to close it drops no lock. */
    int r = borrow(source, O_PATH, &fd, err);
    if (r != 0)
        return r;
    r = mv__source_length(source, fd, length, err);
    mv__source_return(source, fd);
    return r;
}

int mv__source_filesystem(struct mv__source *source, enum mv__fs *kind)
{
    uint64_t unused;
    int fd = -1;
    int r = borrow(source, O_PATH, &fd, NULL);
    if (r != 0)
        return r;
    r = mv__sys_filesystem(fd, kind, &unused);
    mv__source_return(source, fd);
    return r;
}

void mv__source_return(struct mv__source *source, int fd)
{
    if (fd != source->fd)
        mv__sys.close(fd);
    mv__source_drop(source);
}

/* Closes what no call uses any more. Returns what close said of the file. */
static int close_source(struct mv__source *source)
{
    long r = source->fd >= 0 ? mv__sys.close(source->fd) : 0;
    if (source->directory >= 0)
        mv__sys.close(source->directory);
    return r == -EINTR ? 0 : (int)r;
}

void mv__source_drop(struct mv__source *source)
{
    if (atomic_fetch_sub(&source->users, 1) == 1)
        atomic_store(&source->closing, close_source(source));
}

int mv__source_free(struct mv__source *source)
{
    /* In a child of fork the count may include the parent's calls. */
    int r =
        atomic_exchange(&source->users, 0) > 0 ? close_source(source) : atomic_load(&source->closing);
    if (source->path)
        mv__sys.release(source->path);
    source->path = NULL;
    return r;
}

int mv__source_open_again(struct mv__source *source, mv_error *err)
{
    int fd = -1;
    int r = mv__source_borrow(source, &fd, err);
    if (r != 0)
        return r;
    if (fd != source->fd) { /* what was borrowed is a new one already */
        mv__source_drop(source);
        return fd;
    }
    long again = open_behind(source, fd, source->writable ? O_RDWR : O_RDONLY, NULL);
    mv__source_return(source, fd);
    if (again < 0)
        return mv__fail(err, (int)again, "open", "the view's file cannot be opened again: %s",
                        mv_strerror((int)again));
    return (int)again;
}
