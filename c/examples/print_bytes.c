/*
 * print_bytes: a file, byte by byte, through a private read-only view.
 *
 *     print_bytes         prints a file that it makes and removes again
 *     print_bytes FILE    prints FILE
 *
 * The bytes are read through the raw pointer, where a file that is cut in the
 * meantime is a SIGBUS. mv_read returns an error instead.
 */
#define _POSIX_C_SOURCE 200809L

#include <mapview.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROW = 16 };

/* print_row prints n bytes, at most ROW: their place, as numbers, as text. */
static void print_row(const unsigned char *bytes, uint64_t place, uint64_t n)
{
    printf("%08llx ", (unsigned long long)place);
    for (uint64_t i = 0; i < ROW; i++) {
        if (i < n)
            printf(" %02x", bytes[i]);
        else
            printf("   ");
    }
    printf("  |");
    for (uint64_t i = 0; i < n; i++)
        putchar(bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '.');
    printf("|\n");
}

static int print_file(const char *path)
{
    mv_error error = MV_ERROR_INIT;
    mv_options options = MV_OPTIONS_INIT;
    mv_view *view;

    options.flags = MV_OPEN_PRIVATE;
    if (mv_open(path, &options, &view, &error) < 0) {
        fprintf(stderr, "print_bytes: %s: %s\n", path, error.text);
        return 1;
    }

    /* An empty file is an empty view, and prints nothing. */
    const unsigned char *bytes = mv_data(view);
    uint64_t size = mv_size(view);
    for (uint64_t place = 0; place < size; place += ROW) {
        uint64_t left = size - place;
        print_row(bytes + place, place, left < ROW ? left : ROW);
    }

    mv_close(view, NULL);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return print_file(argv[1]);

    static const char content[] = "A view is plain memory.\n";
    char path[] = "/tmp/print_bytes.XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0) {
        perror("print_bytes: mkstemp");
        return 1;
    }
    int result = 1;
    if (write(fd, content, sizeof(content) - 1) == (ssize_t)sizeof(content) - 1)
        result = print_file(path);
    else
        perror("print_bytes: write");
    close(fd);
    unlink(path);
    return result;
}
