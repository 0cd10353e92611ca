/*
 * typed_int: an int that lives in a file.
 *
 * One process opens a file of sizeof(int) bytes, stores through a pointer to
 * int, syncs and closes. A second one opens the file and finds the int. There
 * is nothing to encode: the file holds the int as memory does, so it is for
 * machines of the same kind.
 *
 *     typed_int         does both, with a file that it removes again
 *     typed_int FILE    is the second process: prints the int in FILE
 */
#define _POSIX_C_SOURCE 200809L

#include <mapview.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VALUE = 42 };

static int failed(const mv_error *error)
{
    fprintf(stderr, "typed_int: %s: %s\n", error->op, error->text);
    return 1;
}

static int store(const char *path)
{
    mv_error error = MV_ERROR_INIT;
    mv_options options = MV_OPTIONS_INIT;
    mv_view *view;

    /* A file must be long enough before it can be stored to. */
    options.flags = MV_OPEN_WRITE | MV_OPEN_CREATE;
    options.file_size = sizeof(int);
    if (mv_open(path, &options, &view, &error) < 0)
        return failed(&error);

    int *number = mv_data(view);
    *number = VALUE;

    if (mv_sync(view, 0, MV_TO_END, MV_SYNC_FULL, &error) < 0) {
        mv_close(view, NULL);
        return failed(&error);
    }
    if (mv_close(view, &error) < 0)
        return failed(&error);
    printf("first process:  stored %d, synced, closed\n", VALUE);
    return 0;
}

static int load(const char *path)
{
    mv_error error = MV_ERROR_INIT;
    mv_view *view;
    if (mv_open(path, NULL, &view, &error) < 0)
        return failed(&error);
    if (mv_size(view) < sizeof(int)) {
        fprintf(stderr, "typed_int: %s is too short for an int\n", path);
        mv_close(view, NULL);
        return 1;
    }

    const int *number = mv_data(view);
    int found = *number;
    printf("second process: read %d\n", found);

    if (mv_close(view, &error) < 0)
        return failed(&error);
    return found == VALUE ? 0 : 1;
}

/* load_in_another_process starts this program anew, with nothing but a name. */
static int load_in_another_process(const char *path)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "typed_int", path, (char *)NULL);
        perror("typed_int: execl");
        _exit(1);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        perror("typed_int: second process");
        return 1;
    }
    return status == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return load(argv[1]);

    char folder[] = "/tmp/typed_int.XXXXXX";
    char path[sizeof(folder) + sizeof("/number")];
    if (mkdtemp(folder) == NULL) {
        perror("typed_int: mkdtemp");
        return 1;
    }
    snprintf(path, sizeof(path), "%s/number", folder);

    int result = store(path);
    if (result == 0)
        result = load_in_another_process(path);

    unlink(path);
    rmdir(folder);
    return result;
}
