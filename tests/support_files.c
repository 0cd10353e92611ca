/* support_files.c: files and views of the tests, looked at past the library. */
#include "support.h"

#include <grp.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#define STEP 65536U

unsigned char pattern(uint64_t at)
{
    return (unsigned char)(1 + at % 251);
}

bool has_pattern(const void *bytes, size_t n, uint64_t offset)
{
    for (size_t i = 0; i < n; i++)
        if (((const unsigned char *)bytes)[i] != pattern(offset + i))
            return false;
    return true;
}

bool has_zeros(const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (((const unsigned char *)bytes)[i] != 0)
            return false;
    return true;
}

void grow_file(const char *path, uint64_t length)
{
    unsigned char bytes[STEP];
    for (uint64_t done = file_length(path); done < length;) {
        size_t n = length - done < sizeof bytes ? (size_t)(length - done) : sizeof bytes;
        for (size_t i = 0; i < n; i++)
            bytes[i] = pattern(done + i);
        write_file(path, bytes, n, done);
        done += n;
    }
}

const char *make_file(const char *path, uint64_t length)
{
    close(open_file(path, O_RDWR | O_CREAT | O_TRUNC));
    grow_file(path, length);
    return path;
}

const char *make_sparse(const char *path, uint64_t length)
{
    make_file(path, 0);
    cut_file(path, length);
    return path;
}

int open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0644);
    CHECK(fd >= 0);
    return fd;
}

void read_file(const char *path, void *buf, size_t n, uint64_t offset)
{
    int fd = open_file(path, O_RDONLY);
    SAME(pread(fd, buf, n, (off_t)offset), n);
    close(fd);
}

void write_file(const char *path, const void *buf, size_t n, uint64_t offset)
{
    int fd = open_file(path, O_WRONLY);
    SAME(pwrite(fd, buf, n, (off_t)offset), n);
    close(fd);
}

static bool all_of_file(const char *path, uint64_t offset, uint64_t n, bool zeros)
{
    unsigned char bytes[STEP];
    int fd = open_file(path, O_RDONLY);
    bool yes = true;
    while (yes && n > 0) {
        size_t step = n < sizeof bytes ? (size_t)n : sizeof bytes;
        yes = pread(fd, bytes, step, (off_t)offset) == (ssize_t)step &&
              (zeros ? has_zeros(bytes, step) : has_pattern(bytes, step, offset));
        offset += step;
        n -= step;
    }
    close(fd);
    return yes;
}

bool file_has_pattern(const char *path, uint64_t offset, uint64_t n)
{
    return all_of_file(path, offset, n, false);
}

bool file_has_zeros(const char *path, uint64_t offset, uint64_t n)
{
    return all_of_file(path, offset, n, true);
}

uint64_t file_length(const char *path)
{
    struct stat st;
    CHECK(stat(path, &st) == 0);
    return (uint64_t)st.st_size;
}

uint64_t file_storage(const char *path)
{
    struct stat st;
    CHECK(stat(path, &st) == 0);
    return (uint64_t)st.st_blocks * 512;
}

bool file_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

void cut_file(const char *path, uint64_t length)
{
    CHECK(truncate(path, (off_t)length) == 0);
}

/* ---- views ---- */

mv_options with(uint64_t flags)
{
    mv_options options = MV_OPTIONS_INIT;
    options.flags = flags;
    return options;
}

mv_view *open_with(const char *path, const mv_options *options)
{
    mv_view *view = NULL;
    WORKS(mv_open(path, options, &view, ERR));
    CHECK(view && view->data); /* mv_data would make a view that is never clean */
    return view;
}

mv_view *open_view(const char *path, uint64_t flags)
{
    mv_options options = with(flags);
    return open_with(path, &options);
}

mv_view *open_memory(uint64_t size, uint64_t reserve)
{
    mv_view *view = NULL;
    mv_options options = MV_OPTIONS_INIT;
    options.reserve = reserve;
    WORKS(mv_anonymous(size, &options, &view, ERR));
    CHECK(view && view->data); /* mv_data would make a view that is never clean */
    return view;
}

mv_info info_of(const mv_view *view)
{
    mv_info info = MV_INFO_INIT;
    WORKS(mv_stat(view, &info, ERR));
    return info;
}

void close_view(mv_view *view)
{
    SAME(WORKS(mv_close(view, ERR)), 0);
}

void close_failed(mv_view *view, int code)
{
    REFUSED(code, mv_close(view, ERR));
}

void check_usable(mv_view *view)
{
    unsigned char before, byte = 0xA5, after = 0;
    uint64_t last = mv_size(view) - 1;
    SAME(WORKS(mv_read(view, &before, 1, last, ERR)), 1);
    SAME(WORKS(mv_write(view, &byte, 1, last, ERR)), 1);
    SAME(WORKS(mv_read(view, &after, 1, last, ERR)), 1);
    SAME(after, byte);
    SAME(WORKS(mv_write(view, &before, 1, last, ERR)), 1);
}

/* ---- what needs a child, or privilege ---- */

struct errand {
    void (*function)(void *);
    void *argument;
};

static void without_privilege(void *argument)
{
    const struct errand *errand = argument;
    CHECK(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
    prctl(PR_SET_DUMPABLE, 1); /* as a process that began like this */
    if (access(scratch("."), X_OK) < 0)
        skip_test("an unprivileged process cannot reach the scratch folder");
    errand->function(errand->argument);
}

void as_nobody(void (*function)(void *), void *argument)
{
    struct errand errand = {function, argument};
    if (geteuid() != 0)
        skip_test("only root can become an unprivileged process");
    in_child(without_privilege, &errand);
}

void mount_small(const char *path, size_t bytes)
{
    char options[64];
    snprintf(options, sizeof options, "size=%zu,mode=0777", bytes);
    CHECK(mkdir(path, 0777) == 0 || errno == EEXIST);
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", "", MS_REC | MS_PRIVATE, "") < 0 ||
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
        skip_test("a file system can be mounted by root only");
}

int make_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    if (path) {
        CHECK(strlen(path) < sizeof address.sun_path);
        memcpy(address.sun_path, path, strlen(path) + 1);
        CHECK(bind(fd, (const struct sockaddr *)&address, sizeof address) == 0);
    }
    return fd;
}
