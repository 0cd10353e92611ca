/*
 * disk.c: a disk in memory that fails on command.
 *
 *     disk MEBIBYTES FOLDER
 *
 * mounts two files on FOLDER and goes into the background: disk, to be put
 * under a loop device, and ctl. A command is one line, written to ctl at once;
 * a bad one is EINVAL. A later command of the same name replaces the earlier.
 *
 *   read-error TEXT     reads fail with EIO that cover a block of 4 KiB with TEXT in it
 *   write-error [TEXT]  writes fail with EIO: all, or those with TEXT in them
 *   write-full [TEXT]   the same with ENOSPC
 *   thin                writes fail with ENOSPC that touch a block which was never written
 *   flush-error N       the next N flushes fail with EIO
 *   delay MICROSECONDS  every read waits that long; 0: none does
 *   log FILE, log off   what reaches the disk is appended to FILE (an absolute path, and
 *                       not on a fault disk)
 *   mark TEXT           is put into the log
 *   cut                 the power goes: what was written since the last flush that worked is
 *                       gone, and later writes and flushes work, yet change nothing
 *   heal                ends all faults and delays, and the power is back; the log goes on
 *
 * TEXT is 1 to 64 printable bytes. Reading ctl tells how many reads, writes
 * and flushes there were, how many of them failed, and how many were delayed.
 *
 * The log is a sequence of records: three numbers of 64 bits in the machine's
 * byte order, and then bytes.
 *
 *   'W', offset, length, length bytes   a write
 *   'F', 0, 0                           a flush: what was written before it is durable
 *   'M', 0, length, length bytes        a mark
 *
 * What failed or came after a cut did not reach the disk: it is not in the log.
 */
#define FUSE_USE_VERSION 31
#include <fuse3/fuse.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#define BLOCK 4096U
#define LONGEST_TEXT 64

struct range {
    size_t at, n;
};

/* lock protects all of it. FUSE runs the calls below side by side. */
static struct {
    pthread_mutex_t lock;
    char *bytes;
    size_t size;
    char *flushed; /* bytes, as a cut would leave them */
    struct range *loose;
    size_t loose_count, loose_room; /* where the two differ */
    bool *written;                  /* for each block: was it ever? */
    bool thin, cut;
    char bad_read[LONGEST_TEXT + 1];  /* "": none */
    int bad_write_code;               /* 0: no write fails */
    char bad_write[LONGEST_TEXT + 1]; /* "": all do */
    unsigned long bad_flushes;
    useconds_t delay;
    int log; /* a descriptor, or -1 */
    unsigned long reads, writes, flushes, failed, delayed;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .log = -1};

static void record(uint64_t kind, uint64_t offset, uint64_t length, const char *bytes)
{
    uint64_t head[3] = {kind, offset, length};
    if (disk.log < 0)
        return;
    /* A log with a gap would prove the wrong thing. */
    if (write(disk.log, head, sizeof head) != (ssize_t)sizeof head ||
        write(disk.log, bytes, length) != (ssize_t)length)
        abort();
}

/* ---- what a cut of the power leaves ---- */

static void note_loose(size_t at, size_t n)
{
    if (disk.loose_count == disk.loose_room) {
        disk.loose_room = 2 * disk.loose_room + 64;
        disk.loose = realloc(disk.loose, disk.loose_room * sizeof *disk.loose);
        if (!disk.loose)
            abort();
    }
    disk.loose[disk.loose_count++] = (struct range){at, n};
}

static void copy_loose(char *to, const char *from)
{
    for (size_t i = 0; i < disk.loose_count; i++)
        memcpy(to + disk.loose[i].at, from + disk.loose[i].at, disk.loose[i].n);
    disk.loose_count = 0;
}

/* ---- commands ---- */

static int take_text(char *into, const char *text, bool may_be_empty)
{
    size_t n = strlen(text);
    if (n > LONGEST_TEXT || (n == 0 && !may_be_empty))
        return -EINVAL;
    for (size_t i = 0; i < n; i++)
        if (text[i] < ' ' || text[i] > '~')
            return -EINVAL;
    memcpy(into, text, n + 1);
    return 0;
}

static int take_number(unsigned long *into, const char *text)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return -EINVAL;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (*end || errno || number > 1000000000)
        return -EINVAL;
    *into = number;
    return 0;
}

static int fail_reads(const char *text)
{
    return take_text(disk.bad_read, text, false);
}

static int fail_writes(const char *text, int code)
{
    int r = take_text(disk.bad_write, text, true);
    if (r == 0)
        disk.bad_write_code = code;
    return r;
}

static int break_writes(const char *text)
{
    return fail_writes(text, -EIO);
}

static int refuse_writes(const char *text)
{
    return fail_writes(text, -ENOSPC);
}

static int fail_flushes(const char *text)
{
    return take_number(&disk.bad_flushes, text);
}

static int delay_reads(const char *text)
{
    unsigned long number;
    int r = take_number(&number, text);
    if (r == 0)
        disk.delay = (useconds_t)number;
    return r;
}

static int log_to(const char *text)
{
    int fd = -1;
    if (strcmp(text, "off") != 0) {
        if (text[0] != '/') /* the folder that this program began in is not its own any more */
            return -EINVAL;
        fd = open(text, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (fd < 0)
            return -errno;
    }
    if (disk.log >= 0)
        close(disk.log);
    disk.log = fd;
    return 0;
}

static int mark(const char *text)
{
    char checked[LONGEST_TEXT + 1];
    int r = take_text(checked, text, false);
    if (r == 0)
        record('M', 0, strlen(checked), checked);
    return r;
}

static int refuse_new_blocks(const char *text)
{
    if (text[0])
        return -EINVAL;
    disk.thin = true;
    return 0;
}

static int cut_power(const char *text)
{
    if (text[0])
        return -EINVAL;
    copy_loose(disk.bytes, disk.flushed);
    disk.cut = true;
    return 0;
}

static int heal(const char *text)
{
    if (text[0])
        return -EINVAL;
    disk.thin = false;
    disk.cut = false;
    disk.bad_read[0] = 0;
    disk.bad_write_code = 0;
    disk.bad_flushes = 0;
    disk.delay = 0;
    return 0;
}

static const struct {
    const char *name;
    int (*run)(const char *text);
} commands[] = {
    {"read-error", fail_reads},
    {"write-error", break_writes},
    {"write-full", refuse_writes},
    {"thin", refuse_new_blocks},
    {"cut", cut_power},
    {"flush-error", fail_flushes},
    {"delay", delay_reads},
    {"log", log_to},
    {"mark", mark},
    {"heal", heal},
};

/* Runs one line: a name and, after one space, its argument. */
static int run_command(char *line)
{
    char *argument = strchr(line, ' ');
    if (argument)
        *argument++ = 0;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(line, commands[i].name) == 0)
            return commands[i].run(argument ? argument : "");
    return -EINVAL;
}

/* ---- the disk ---- */

/* Has one of the whole blocks that the range touches the text in it? */
static bool is_bad_read(size_t from, size_t n)
{
    size_t end = from + n;
    if (!disk.bad_read[0])
        return false;
    for (size_t at = from - from % BLOCK; at < end; at += BLOCK)
        if (memmem(disk.bytes + at, BLOCK, disk.bad_read, strlen(disk.bad_read)))
            return true;
    return false;
}

static bool is_bad_write(const char *bytes, size_t n)
{
    return disk.bad_write_code != 0 &&
           (!disk.bad_write[0] || memmem(bytes, n, disk.bad_write, strlen(disk.bad_write)));
}

static bool has_new_block(size_t at, size_t n)
{
    for (size_t block = at / BLOCK; block * BLOCK < at + n; block++)
        if (!disk.written[block])
            return true;
    return false;
}

static void note_written(size_t at, size_t n)
{
    for (size_t block = at / BLOCK; block * BLOCK < at + n; block++)
        disk.written[block] = true;
}

static int code_of_write(const char *bytes, size_t n, size_t at)
{
    if (is_bad_write(bytes, n))
        return disk.bad_write_code;
    return disk.thin && has_new_block(at, n) ? -ENOSPC : 0;
}

static int read_disk(char *into, size_t n, size_t from)
{
    pthread_mutex_lock(&disk.lock);
    disk.reads++;
    useconds_t delay = disk.delay;
    if (delay) {
        disk.delayed++;
        pthread_mutex_unlock(&disk.lock);
        usleep(delay);
        pthread_mutex_lock(&disk.lock);
    }
    n = from >= disk.size ? 0 : n < disk.size - from ? n : disk.size - from;
    int r = (int)n;
    if (is_bad_read(from, n)) {
        disk.failed++;
        r = -EIO;
    } else {
        memcpy(into, disk.bytes + from, n);
    }
    pthread_mutex_unlock(&disk.lock);
    return r;
}

static int write_disk(const char *bytes, size_t n, size_t at)
{
    int r = (int)n;
    if (at > disk.size || n > disk.size - at)
        return -ENOSPC;
    pthread_mutex_lock(&disk.lock);
    disk.writes++;
    int code = code_of_write(bytes, n, at);
    if (code < 0) {
        disk.failed++;
        r = code;
    } else if (!disk.cut) {
        memcpy(disk.bytes + at, bytes, n);
        note_written(at, n);
        note_loose(at, n);
        record('W', at, n, bytes);
    }
    pthread_mutex_unlock(&disk.lock);
    return r;
}

static int flush_disk(void)
{
    int r = 0;
    pthread_mutex_lock(&disk.lock);
    disk.flushes++;
    if (disk.bad_flushes > 0) {
        disk.bad_flushes--;
        disk.failed++;
        r = -EIO;
    } else if (!disk.cut) {
        copy_loose(disk.flushed, disk.bytes);
        record('F', 0, 0, "");
    }
    pthread_mutex_unlock(&disk.lock);
    return r;
}

/* ---- the control file ---- */

static int read_counts(char *into, size_t room, off_t from)
{
    char text[160];
    pthread_mutex_lock(&disk.lock);
    int n = snprintf(text, sizeof text, "reads %lu writes %lu flushes %lu failed %lu delayed %lu\n",
                     disk.reads, disk.writes, disk.flushes, disk.failed, disk.delayed);
    pthread_mutex_unlock(&disk.lock);
    if (from >= n)
        return 0;
    size_t left = (size_t)(n - (int)from);
    left = left < room ? left : room;
    memcpy(into, text + from, left);
    return (int)left;
}

static int write_command(const char *bytes, size_t n)
{
    char line[4200]; /* log and the longest path */
    if (n >= sizeof line)
        return -EINVAL;
    memcpy(line, bytes, n);
    line[n] = 0;
    if (n > 0 && line[n - 1] == '\n')
        line[n - 1] = 0;
    pthread_mutex_lock(&disk.lock);
    int r = run_command(line);
    pthread_mutex_unlock(&disk.lock);
    return r < 0 ? r : (int)n;
}

/* ---- what FUSE calls ---- */

static bool is_disk(const char *path)
{
    return strcmp(path, "/disk") == 0;
}

static bool is_ctl(const char *path)
{
    return strcmp(path, "/ctl") == 0;
}

static int on_getattr(const char *path, struct stat *st, struct fuse_file_info *info)
{
    (void)info;
    memset(st, 0, sizeof *st);
    st->st_nlink = 1;
    st->st_mode = S_IFREG | 0600;
    if (is_disk(path))
        st->st_size = (off_t)disk.size;
    else if (strcmp(path, "/") == 0)
        st->st_mode = S_IFDIR | 0700;
    else if (!is_ctl(path))
        return -ENOENT;
    return 0;
}

static int on_readdir(const char *path, void *list, fuse_fill_dir_t fill, off_t from,
                      struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
    static const char *const names[] = {".", "..", "disk", "ctl"};
    (void)path;
    (void)from;
    (void)info;
    (void)flags;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        fill(list, names[i], NULL, 0, 0);
    return 0;
}

/* Every read must reach this program: the kernel may not answer from a cache
 * of its own. */
static int on_open(const char *path, struct fuse_file_info *info)
{
    info->direct_io = 1;
    return is_disk(path) || is_ctl(path) ? 0 : -ENOENT;
}

/* A shell empties ctl before it writes. */
static int on_truncate(const char *path, off_t length, struct fuse_file_info *info)
{
    (void)length;
    (void)info;
    return is_ctl(path) ? 0 : -EPERM;
}

static int on_read(const char *path, char *into, size_t n, off_t from, struct fuse_file_info *info)
{
    (void)info;
    return is_ctl(path) ? read_counts(into, n, from) : read_disk(into, n, (size_t)from);
}

static int on_write(const char *path, const char *bytes, size_t n, off_t at,
                    struct fuse_file_info *info)
{
    (void)info;
    return is_ctl(path) ? write_command(bytes, n) : write_disk(bytes, n, (size_t)at);
}

static int on_fsync(const char *path, int only_data, struct fuse_file_info *info)
{
    (void)only_data;
    (void)info;
    return is_disk(path) ? flush_disk() : 0;
}

static const struct fuse_operations operations = {
    .getattr = on_getattr,
    .readdir = on_readdir,
    .open = on_open,
    .truncate = on_truncate,
    .read = on_read,
    .write = on_write,
    .fsync = on_fsync,
};

/*
 * Mounts the two files, and leaves.
 *
 * When everything is killed, whoever is the last in a mount namespace unmounts
 * what is in it, and a file system wants to write then. That must not be this
 * program, whose disk it would wait for: hence a namespace of its own, which
 * holds what was mounted before.
 */
static int serve(char *name, const char *folder)
{
    char *arguments[] = {name, NULL};
    struct fuse_args args = FUSE_ARGS_INIT(1, arguments);
    struct fuse *fuse = fuse_new(&args, &operations, sizeof operations, NULL);
    if (!fuse || fuse_mount(fuse, folder) != 0)
        return 1;
    if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        fuse_daemonize(0) != 0) {
        perror("disk");
        fuse_unmount(fuse);
        return 1;
    }
    return fuse_loop_mt(fuse, 0);
}

/* Memory that is taken where it is written. */
static void *zeros(size_t n)
{
    void *memory =
        mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int main(int argc, char **argv)
{
    unsigned long mebibytes;
    if (argc != 3 || take_number(&mebibytes, argv[1]) < 0 || mebibytes == 0) {
        fprintf(stderr, "usage: %s MEBIBYTES FOLDER\n", argv[0]);
        return 2;
    }
    disk.size = mebibytes << 20;
    disk.bytes = zeros(disk.size);
    disk.flushed = zeros(disk.size);
    disk.written = zeros(disk.size / BLOCK * sizeof *disk.written);
    if (!disk.bytes || !disk.flushed || !disk.written) {
        perror("disk: mmap");
        return 1;
    }
    return serve(argv[0], argv[2]);
}
