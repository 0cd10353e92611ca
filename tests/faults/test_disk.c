/* test_disk.c: every command of the fault disk has its effect, seen through a
 * loop device and each file system. */
#include "fixture.h"

#include <stdlib.h>
#include <time.h>

#define MARKER "this block is bad"
#define PAGES 8
#define BAD 5 /* the page with the marker in it */

static unsigned char page[LARGEST_PAGE], seen[LARGEST_PAGE];

/* ---- a file on the disk ---- */

static off_t page_at(int i)
{
    return (off_t)i * (off_t)PAGE;
}

/* The content of page i: the marker stands somewhere inside page BAD. */
static const unsigned char *page_of(int i)
{
    for (size_t k = 0; k < PAGE; k++)
        page[k] = pattern((uint64_t)page_at(i) + k);
    if (i == BAD)
        memcpy(page + 1234, MARKER, strlen(MARKER));
    return page;
}

/* Makes the file, on the disk and not in memory, and opens it. */
static int open_cold(const char *fs)
{
    const char *path = make_file(fixture_path(fs, "file"), 0);
    int fd = open_file(path, O_RDWR);
    for (int i = 0; i < PAGES; i++)
        SAME(pwrite(fd, page_of(i), PAGE, page_at(i)), PAGE);
    fixture_forget(path);
    SAME(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0); /* a page at a time */
    return fd;
}

static void done_with(const char *fs, int fd)
{
    close(fd);
    CHECK(unlink(fixture_path(fs, "file")) == 0);
}

static int read_page(int fd, int i)
{
    if (pread(fd, seen, PAGE, page_at(i)) != (ssize_t)PAGE)
        return -errno;
    CHECK(memcmp(seen, page_of(i), PAGE) == 0);
    return 0;
}

static int write_page(int fd, int i)
{
    SAME(pwrite(fd, page_of(i), PAGE, page_at(i)), PAGE);
    return fsync(fd) < 0 ? -errno : 0;
}

/* on_disks runs a check on each file system that has a fault disk. */
static void on_disks(void (*check)(const char *fs))
{
    int count = 0;
    for (const char *const *fs = fixture_names; *fs; fs++) {
        if (!fixture_has_disk(*fs))
            continue;
        support_context = *fs;
        check(*fs);
        count++;
    }
    CHECK(count > 0);
}

/* ---- the commands ---- */

static void check_read_error(const char *fs)
{
    int fd = open_cold(fs);
    fixture_order(fs, "read-error " MARKER "\n");
    unsigned long failed = fixture_count(fs, "failed");
    SAME(read_page(fd, BAD - 1), 0);
    SAME(fixture_count(fs, "failed"), failed);
    SAME(read_page(fd, BAD), -EIO);
    CHECK(fixture_count(fs, "failed") > failed);
    SAME(read_page(fd, BAD + 1), 0);
    fixture_order(fs, "heal\n");
    SAME(read_page(fd, BAD), 0);
    done_with(fs, fd);
}

static void test_read_error(void **state)
{
    (void)state;
    on_disks(check_read_error);
}

static void check_bad_write(const char *fs, const char *command, int code)
{
    bool btrfs = strcmp(fs, "btrfs") == 0;
    int fd = open_cold(fs);
    fixture_order(fs, command);
    unsigned long failed = fixture_count(fs, "failed");
    SAME(write_page(fd, BAD - 1), 0);
    SAME(fixture_count(fs, "failed"), failed);
    int r = write_page(fd, BAD);
    CHECK(r == code || (btrfs && r == -EIO)); /* which says EIO to all on older kernels */
    CHECK(fixture_count(fs, "failed") > failed);
    fixture_order(fs, "heal");
    SAME(write_page(fd, BAD), 0);
    done_with(fs, fd);
}

static void check_write_error(const char *fs)
{
    check_bad_write(fs, "write-error " MARKER, -EIO);
}

static void check_write_full(const char *fs)
{
    check_bad_write(fs, "write-full " MARKER, -ENOSPC);
}

static void test_write_error(void **state)
{
    (void)state;
    on_disks(check_write_error);
    on_disks(check_write_full);
}

/* All writes: asked past the file system, which would not survive it. */
static void check_all_writes(const char *fs)
{
    int fd = open_file(fixture_path(fs, ".disk/disk"), O_RDWR);
    off_t last = lseek(fd, 0, SEEK_END) - 512;
    SAME(pread(fd, seen, 512, last), 512);
    fixture_order(fs, "write-error");
    CHECK(pwrite(fd, seen, 512, last) < 0 && errno == EIO);
    fixture_order(fs, "write-full");
    CHECK(pwrite(fd, seen, 512, last) < 0 && errno == ENOSPC);
    fixture_order(fs, "heal");
    SAME(pwrite(fd, seen, 512, last), 512);
    close(fd);
}

static void test_all_writes(void **state)
{
    (void)state;
    on_disks(check_all_writes);
}

/* Tries blocks all over the disk, each with what it holds: the file system
 * stays as it is. */
static off_t find_new_block(int fd)
{
    for (off_t at = lseek(fd, 0, SEEK_END) - 4096; at > 0; at -= 4096) {
        SAME(pread(fd, seen, 512, at), 512);
        if (pwrite(fd, seen, 512, at) < 0) {
            CHECK(errno == ENOSPC);
            return at;
        }
    }
    CHECK(!"every block was written");
    return 0;
}

static void check_thin(const char *fs)
{
    int fd = open_file(fixture_path(fs, ".disk/disk"), O_RDWR);
    fixture_order(fs, "thin\n");
    off_t at = find_new_block(fd);
    fixture_order(fs, "heal");
    SAME(pwrite(fd, seen, 512, at), 512);
    fixture_order(fs, "thin");
    SAME(pwrite(fd, seen, 512, at + 1024), 512); /* the same block */
    fixture_order(fs, "heal");
    close(fd);
}

static void test_thin(void **state)
{
    (void)state;
    on_disks(check_thin);
}

static bool is_on_disk(int fd, off_t at, int byte)
{
    unsigned char all[512];
    memset(all, byte, sizeof all);
    SAME(pread(fd, seen, sizeof all, at), sizeof all);
    return memcmp(seen, all, sizeof all) == 0;
}

static void put(int fd, off_t at, int byte)
{
    unsigned char all[512];
    memset(all, byte, sizeof all);
    SAME(pwrite(fd, all, sizeof all, at), sizeof all);
}

/* In the last block, which no file system uses. */
static void check_cut(const char *fs)
{
    int fd = open_file(fixture_path(fs, ".disk/disk"), O_RDWR);
    off_t last = lseek(fd, 0, SEEK_END) - 512, before = last - 512;
    put(fd, last, 1);
    CHECK(fsync(fd) == 0);
    put(fd, last, 2);
    put(fd, before, 2);
    fixture_order(fs, "flush-error 1");
    CHECK(fsync(fd) < 0); /* a flush that failed is none */
    CHECK(is_on_disk(fd, last, 2));
    fixture_order(fs, "cut\n");
    CHECK(is_on_disk(fd, last, 1) && is_on_disk(fd, before, 0));
    put(fd, last, 3);
    CHECK(fsync(fd) == 0);
    CHECK(is_on_disk(fd, last, 1));
    fixture_order(fs, "heal");
    put(fd, last, 0);
    CHECK(fsync(fd) == 0);
    CHECK(is_on_disk(fd, last, 0));
    close(fd);
}

/* The same through a file system: what was synced is there, and no more. */
static void check_cut_file(const char *fs)
{
    if (strcmp(fs, "overlay") == 0)
        return; /* it lies on an ext4, which is checked */
    int fd = open_cold(fs);
    SAME(write_page(fd, 1), 0);
    memset(page, 'x', PAGE);
    SAME(pwrite(fd, page, PAGE, page_at(2)), PAGE);
    close(fd);
    fixture_cut(fs);
    fd = open_file(fixture_path(fs, "file"), O_RDWR);
    SAME(read_page(fd, 1), 0);
    SAME(read_page(fd, 2), 0);
    done_with(fs, fd);
}

static void test_cut(void **state)
{
    (void)state;
    on_disks(check_cut);
    on_disks(check_cut_file);
}

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void check_undelayed(const char *fs, int fd, int cold)
{
    unsigned long delayed = fixture_count(fs, "delayed"), reads = fixture_count(fs, "reads");
    SAME(read_page(fd, cold), 0);
    CHECK(fixture_count(fs, "reads") > reads);
    SAME(fixture_count(fs, "delayed"), delayed);
}

/* That it waits for long enough is certain, whatever else this machine does. */
static void check_delay(const char *fs)
{
    int fd = open_cold(fs);
    unsigned long delayed = fixture_count(fs, "delayed");
    fixture_order(fs, "delay 50000");
    int64_t start = milliseconds();
    SAME(read_page(fd, 1), 0);
    CHECK(milliseconds() - start >= 50);
    CHECK(fixture_count(fs, "delayed") > delayed);
    fixture_order(fs, "delay 0");
    check_undelayed(fs, fd, 3);
    fixture_order(fs, "delay 50000");
    fixture_order(fs, "heal");
    check_undelayed(fs, fd, 6);
    done_with(fs, fd);
}

static void test_delay(void **state)
{
    (void)state;
    on_disks(check_delay);
}

/* ---- the log ---- */

/* What was found in a log, in this order. */
struct story {
    bool begun;   /* the mark "begin" */
    bool written; /* the page with the marker */
    bool flushed; /* after that */
    bool ended;   /* the mark "end", and nothing behind it */
};

static bool is_mark(uint64_t kind, const char *bytes, uint64_t n, const char *text)
{
    return kind == 'M' && n == strlen(text) && memcmp(bytes, text, n) == 0;
}

static void read_record(struct story *story, uint64_t kind, const char *bytes, uint64_t n)
{
    CHECK(!story->ended);
    CHECK(kind == 'W' || kind == 'F' || kind == 'M');
    if (!story->begun)
        CHECK(is_mark(kind, bytes, n, "begin")), story->begun = true;
    else if (kind == 'W' && memmem(bytes, n, page_of(BAD), PAGE))
        story->written = true;
    else if (kind == 'F' && story->written)
        story->flushed = true;
    else if (is_mark(kind, bytes, n, "end"))
        story->ended = true;
}

static struct story read_log(const char *path)
{
    struct story story = {0};
    uint64_t n = file_length(path), head[3];
    char *bytes = malloc(n);
    CHECK(bytes);
    read_file(path, bytes, n, 0);
    for (uint64_t at = 0; at < n; at += sizeof head + head[2]) {
        CHECK(n - at >= sizeof head);
        memcpy(head, bytes + at, sizeof head);
        CHECK(n - at - sizeof head >= head[2]);
        read_record(&story, head[0], bytes + at + sizeof head, head[2]);
    }
    free(bytes);
    return story;
}

static void check_log(const char *fs)
{
    char command[600];
    const char *log = scratch(fs);
    int fd = open_cold(fs);
    snprintf(command, sizeof command, "log %s\n", log);
    fixture_order(fs, command);
    fixture_order(fs, "mark begin\n");
    SAME(write_page(fd, BAD), 0);
    fixture_order(fs, "mark end\n");
    fixture_order(fs, "log off\n");
    uint64_t length = file_length(log);
    struct story story = read_log(log);
    CHECK(story.begun && story.written && story.flushed && story.ended);
    SAME(write_page(fd, BAD), 0);
    SAME(file_length(log), length);
    done_with(fs, fd);
}

static void test_log(void **state)
{
    (void)state;
    on_disks(check_log);
}

/* ---- bad commands ---- */

static void check_bad_command(const char *fs)
{
    static const char *const bad[] = {
        "\n",          "read-error",     "read-error \n",  "read-error a\tb", "read-eror x",
        "flush-error", "flush-error -1", "flush-error 1x", "delay",           "delay x",
        "log",         "log file",       "mark",           "heal now",        "thin 1",
        "cut 1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        SAME(fixture_try_order(fs, bad[i]), -EINVAL);
    char command[128] = "read-error ";
    memset(command + strlen(command), 'x', 65); /* a byte too long */
    SAME(fixture_try_order(fs, command), -EINVAL);
    SAME(fixture_try_order(fs, "log /no/such/folder/log"), -ENOENT);
    int fd = open_cold(fs); /* and none had an effect */
    SAME(read_page(fd, BAD), 0);
    SAME(write_page(fd, BAD), 0);
    done_with(fs, fd);
}

static void test_bad_command(void **state)
{
    (void)state;
    on_disks(check_bad_command);
}

/* ---- flushes: the last test, since btrfs is read-only after it ---- */

static void check_flush_error(const char *fs)
{
    int fd = open_cold(fs);
    unsigned long failed = fixture_count(fs, "failed");
    fixture_order(fs, "flush-error 1000");
    CHECK(write_page(fd, 1) < 0); /* EIO, or on btrfs what a read-only file system says */
    CHECK(fixture_count(fs, "failed") > failed);
    fixture_order(fs, "heal");
    close(fd);
}

static void test_flush_error(void **state)
{
    (void)state;
    on_disks(check_flush_error);
}

/* The disk without a file system over it counts them. */
static void check_counted_flushes(const char *fs)
{
    int fd = open_file(fixture_path(fs, ".disk/disk"), O_RDWR);
    fixture_order(fs, "flush-error 2");
    CHECK(fsync(fd) < 0 && errno == EIO);
    CHECK(fsync(fd) < 0 && errno == EIO);
    SAME(fsync(fd), 0);
    close(fd);
}

static void test_counted_flushes(void **state)
{
    (void)state;
    on_disks(check_counted_flushes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_read_error),  TEST(test_write_error), TEST(test_all_writes),
        TEST(test_thin),        TEST(test_cut),         TEST(test_delay),
        TEST(test_log),         TEST(test_bad_command), TEST(test_counted_flushes),
        TEST(test_flush_error),
    };
    return RUN(tests);
}
