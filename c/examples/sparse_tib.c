/*
 * sparse_tib: a view of 1 TiB on a machine with far less memory.
 *
 *     sparse_tib [FOLDER]    (the current one if none is named)
 *
 * A view costs addresses; memory comes with the pages that are touched, and a
 * sparse file has blocks only where something was stored. So the first and
 * the last byte of 1 TiB take a few pages of each.
 *
 * Exit status 77: the file system cannot hold a file of that length.
 */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64

#include <mapview.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIB ((uint64_t)1 << 40)
#define MOST_MEMORY ((long)16 << 20)

/* resident returns how many bytes of memory this process has now, or -1. */
static long resident(void)
{
    long pages = -1;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL)
        return -1;
    if (fscanf(file, "%*s %ld", &pages) != 1)
        pages = -1;
    fclose(file);
    return pages < 0 ? -1 : pages * sysconf(_SC_PAGESIZE);
}

/* make_file makes a file of 1 TiB that is all hole. Returns an exit status. */
static int make_file(char *path)
{
    int fd = mkstemp(path);
    if (fd < 0) {
        perror("sparse_tib: mkstemp");
        return 1;
    }
    int result = 0;
    if (ftruncate(fd, (off_t)TIB) < 0) {
        result = errno == EFBIG || errno == EINVAL || errno == ENOSPC ? 77 : 1;
        printf("a file of 1 TiB cannot be made here: %s\n", strerror(errno));
        unlink(path);
    }
    close(fd);
    return result;
}

/* touch stores to both ends of the view and says what that took. */
static int touch(mv_view *view, const char *path)
{
    unsigned char *bytes = mv_data(view);
    uint64_t size = mv_size(view);
    struct stat st;

    long before = resident();
    bytes[0] = 1;
    bytes[size - 1] = 2;
    long after = resident();
    if (before < 0 || after < 0 || stat(path, &st) < 0) {
        fprintf(stderr, "sparse_tib: memory or blocks cannot be found out\n");
        return 1;
    }

    printf("first byte %d, last byte %d of %llu\n", bytes[0], bytes[size - 1],
           (unsigned long long)size);
    printf("resident memory grew by %ld KiB, the file has %lld KiB of blocks\n",
           (after - before) / 1024, (long long)st.st_blocks / 2);
    return size == TIB && bytes[0] == 1 && bytes[size - 1] == 2 && after - before < MOST_MEMORY ? 0 : 1;
}

int main(int argc, char **argv)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/sparse_tib.XXXXXX", argc > 1 ? argv[1] : ".");
    if (n < 0 || (size_t)n >= sizeof(path)) {
        fprintf(stderr, "sparse_tib: the name of the folder is too long\n");
        return 1;
    }
    int result = make_file(path);
    if (result != 0)
        return result;

    mv_error error = MV_ERROR_INIT;
    mv_options options = MV_OPTIONS_INIT;
    mv_view *view;
    options.flags = MV_OPEN_WRITE;
    if (mv_open(path, &options, &view, &error) < 0) {
        fprintf(stderr, "sparse_tib: %s\n", error.text);
        unlink(path);
        return 1;
    }
    result = touch(view, path);
    mv_close(view, NULL);
    unlink(path);
    return result;
}
