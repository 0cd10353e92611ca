/*
 * process.c: a whole program that adds up the bytes of a file, for `make bench-process`.
 *
 *   process mmap|mapview|mv_read|read FILE
 *
 * prints the sum. What a program pays for being started, and for opening, mapping
 * and closing, is in the time.
 */

#include <fcntl.h>
#include <mapview.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned char buf[1 << 16];

static uint64_t add_up(const unsigned char *bytes, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += bytes[i];
    return sum;
}

static int by_mmap(const char *path, uint64_t *sum)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return -1;
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return -1;
    *sum = add_up(at, (size_t)st.st_size);
    return munmap(at, (size_t)st.st_size);
}

static int by_mapview(const char *path, uint64_t *sum)
{
    mv_view *view;
    if (mv_open(path, NULL, &view, NULL) != 0)
        return -1;
    *sum = add_up(mv_data(view), (size_t)mv_size(view));
    return mv_close(view, NULL);
}

static int by_mv_read(const char *path, uint64_t *sum)
{
    mv_view *view;
    if (mv_open(path, NULL, &view, NULL) != 0)
        return -1;
    int64_t n = 0;
    *sum = 0;
    for (uint64_t at = 0; (n = mv_read(view, buf, sizeof buf, at, NULL)) > 0; at += (uint64_t)n)
        *sum += add_up(buf, (size_t)n);
    return mv_close(view, NULL) != 0 || n < 0 ? -1 : 0;
}

static int by_read(const char *path, uint64_t *sum)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    if (fd < 0)
        return -1;
    *sum = 0;
    while ((n = read(fd, buf, sizeof buf)) > 0)
        *sum += add_up(buf, (size_t)n);
    close(fd);
    return n < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*add_up)(const char *path, uint64_t *sum);
    } ways[] = {{"mmap", by_mmap}, {"mapview", by_mapview}, {"mv_read", by_mv_read}, {"read", by_read}};
    for (size_t i = 0; argc == 3 && i < sizeof ways / sizeof ways[0]; i++) {
        uint64_t sum;
        if (strcmp(argv[1], ways[i].name) != 0)
            continue;
        if (ways[i].add_up(argv[2], &sum) != 0) {
            perror(argv[2]);
            return 1;
        }
        return printf("%llu\n", (unsigned long long)sum) < 0;
    }
    fprintf(stderr, "usage: process mmap|mapview|mv_read|read FILE\n");
    return 2;
}
