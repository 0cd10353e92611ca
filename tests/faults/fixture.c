/* fixture.c: the file systems of mounts.sh, and the disks under them. */
#include "fixture.h"

#include "loop.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/mount.h>

const char *const fixture_names[] = {"ext4", "xfs", "btrfs", "tmpfs", "overlay", NULL};

static const char *beside(const char *fs, const char *suffix)
{
    static char paths[32][512];
    static unsigned next;
    char *path = paths[next++ % 32];
    const char *folder = getenv("MAPVIEW_FAULTS");
    if (!folder)
        support_failed("MAPVIEW_FAULTS is not set: this program is run by mounts.sh", __FILE__,
                       __LINE__);
    snprintf(path, sizeof paths[0], "%s/%s%s", folder, fs, suffix);
    return path;
}

const char *fixture_path(const char *fs, const char *name)
{
    char suffix[256];
    snprintf(suffix, sizeof suffix, "%s%s", name[0] == '.' ? "" : "/", name);
    return beside(fs, suffix);
}

bool fixture_has(const char *fs)
{
    return file_exists(beside(fs, ""));
}

bool fixture_has_disk(const char *fs)
{
    return file_exists(beside(fs, ".ctl"));
}

int fixture_try_order(const char *fs, const char *command)
{
    int fd = open_file(beside(fs, ".ctl"), O_WRONLY);
    ssize_t n = write(fd, command, strlen(command));
    int r = n < 0 ? -errno : 0;
    close(fd);
    return r;
}

void fixture_order(const char *fs, const char *command)
{
    SAME(fixture_try_order(fs, command), 0);
}

unsigned long fixture_count(const char *fs, const char *what)
{
    char text[256];
    int fd = open_file(beside(fs, ".ctl"), O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    CHECK(n > 0);
    text[n] = 0;
    const char *at = strstr(text, what);
    CHECK(at);
    return strtoul(at + strlen(what), NULL, 10);
}

void fixture_forget(const char *path)
{
    int fd = open_file(path, O_RDONLY);
    CHECK(fsync(fd) == 0);
    SAME(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    close(fd);
}

/* Takes room in steps that are halved until not even a byte is left. What a
 * file system has promised is counted only when it is written: hence the sync
 * and the second round. */
static void take_all(int fd)
{
    static const char block[4096] = {1};
    off_t end = 0;
    for (int round = 0; round < 2; round++) {
        for (off_t step = (off_t)1 << 26; step >= (off_t)sizeof block; step /= 2)
            while (fallocate(fd, 0, end, step) == 0)
                end += step;
        for (ssize_t n = 1; n > 0; end += n > 0 ? n : 0)
            n = pwrite(fd, block, sizeof block, end);
        CHECK(errno == ENOSPC);
        fsync(fd);
    }
}

void fixture_fill(const char *fs)
{
    int fd = open_file(fixture_path(fs, "filler"), O_RDWR | O_CREAT | O_TRUNC);
    take_all(fd);
    close(fd);
}

void fixture_free(const char *fs)
{
    const char *filler = fixture_path(fs, "filler");
    cut_file(filler, 0); /* takes effect at once, where a removal may be put off */
    CHECK(unlink(filler) == 0);
    int fd = open_file(fixture_path(fs, ""), O_RDONLY | O_DIRECTORY);
    CHECK(syncfs(fd) == 0); /* so that the room is there again */
    close(fd);
}

void fixture_unmount(const char *fs)
{
    SAME(loop_unmount(beside(fs, "")), 0);
    SAME(loop_unmount(beside(fs, ".whole")), 0);
}

void fixture_mount(const char *fs)
{
    const char *options = strcmp(fs, "btrfs") == 0 ? "nodiscard" : "";
    SAME(loop_mount(beside(fs, ".disk/disk"), fs, options, beside(fs, ".whole")), 0);
    CHECK(mount(beside(fs, ".whole/shown"), beside(fs, ""), NULL, MS_BIND, NULL) == 0);
}

void fixture_cut(const char *fs)
{
    fixture_order(fs, "cut");
    fixture_unmount(fs);
    fixture_order(fs, "heal");
    fixture_mount(fs);
}

void fixture_reset(const char *fs)
{
    struct dirent *entry;
    char path[512];
    if (fixture_has_disk(fs))
        fixture_order(fs, "heal");
    DIR *all = opendir(fixture_path(fs, ""));
    CHECK(all);
    while ((entry = readdir(all)))
        if (entry->d_type == DT_REG) {
            snprintf(path, sizeof path, "%s", fixture_path(fs, entry->d_name));
            unlink(path);
        }
    closedir(all);
}
