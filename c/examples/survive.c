/*
 * survive: a file that somebody cuts while it is mapped.
 *
 * An ordinary mapping ends the program by SIGBUS at the first access behind
 * the new end. Here mv_read says which byte is gone and why, a function under
 * mv_try that works on the bytes themselves is over at that byte, and
 * everything works again when the file is whole.
 *
 *     survive         makes a file, which it removes again
 */
#define _POSIX_C_SOURCE 200809L

#include <mapview.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Room for pages of every size. */
enum { LENGTH = 400000, CUT = 5, FAR = 300000 };

static int failed(const char *what)
{
    fprintf(stderr, "survive: %s\n", what);
    return 1;
}

static int make_file(const char *path)
{
    static char letters[LENGTH];
    memset(letters, 'a', sizeof letters);
    FILE *file = fopen(path, "w");
    if (!file)
        return -1;
    size_t n = fwrite(letters, 1, sizeof letters, file);
    return fclose(file) == 0 && n == sizeof letters ? 0 : -1;
}

/* A sum is a function's argument and result. What it counts is still there
 * when a fault has ended the function. */
struct sum {
    const unsigned char *bytes;
    size_t n;
    volatile unsigned long total;
};

static int add_up(void *argument)
{
    struct sum *sum = argument;
    for (size_t i = 0; i < sum->n; i++)
        sum->total += sum->bytes[i];
    return 0;
}

static void look(mv_view *view)
{
    char byte;
    mv_error error = MV_ERROR_INIT;
    struct sum sum = {mv_data(view), LENGTH, 0};
    if (mv_read(view, &byte, 1, FAR, &error) == 1)
        printf("mv_read: byte %d is %c\n", FAR, byte);
    else
        printf("mv_read: %s\n", error.text);
    if (mv_try(view, add_up, &sum, &error) == 0)
        printf("mv_try:  all bytes add up to %lu\n", sum.total);
    else
        printf("mv_try:  over: %s\n", mv_strerror(error.code));
}

static int run(const char *path)
{
    mv_error error = MV_ERROR_INIT;
    mv_view *view;
    if (make_file(path) < 0)
        return failed("the file cannot be made");
    if (mv_open(path, NULL, &view, &error) < 0)
        return failed(error.text);
    look(view);
    if (truncate(path, CUT) < 0)
        return failed("the file cannot be cut");
    look(view);
    if (make_file(path) < 0) /* fopen with "w" keeps the file itself */
        return failed("the file cannot be made again");
    look(view);
    return mv_close(view, &error) < 0 ? failed(error.text) : 0;
}

int main(void)
{
    char folder[] = "/tmp/survive.XXXXXX";
    char path[sizeof(folder) + sizeof("/file")];
    if (mkdtemp(folder) == NULL) {
        perror("survive: mkdtemp");
        return 1;
    }
    snprintf(path, sizeof(path), "%s/file", folder);
    int result = run(path);
    unlink(path);
    rmdir(folder);
    return result;
}
