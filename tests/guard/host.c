/* host.c: a C program with mapview, and a Go library with mapview in it.
 *
 *     host FILE ORDER DEATH LIBRARY
 *
 * ORDER "before": the Go library, and with it Go's runtime, is loaded before
 * mapview's handler is installed; "after": after. Then both have faults, in
 * turns, in several threads. With DEATH "fault" it ends in a fault in C that
 * nobody guards, else with status 0. */
#include <mapview.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MUST(condition) \
    ((condition) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), exit(1)))

enum { ROUNDS = 300, THREADS = 4, LENGTH = 65536 };

static mv_view *view;

/* What the Go library exports; 0 means that all was as it must be. */
static int (*go_fault)(void); /* a guarded fault, of a view of Go's own */
static int (*go_nil)(void);   /* a nil dereference, recovered */

static int load_first(void *at)
{
    return *(volatile unsigned char *)at;
}

static int call_go(void *argument)
{
    (void)argument;
    return go_fault() + go_nil();
}

static int call_go_and_fault(void *argument)
{
    return call_go(NULL) ? 1 : load_first(argument);
}

static void fault_in_c(void)
{
    char byte;
    uint64_t number;
    MUST(mv_read(view, &byte, 1, 0, NULL) == -MV_ETRUNCATED);
    MUST(mv_load(view, 8, 8, &number, NULL) == -MV_ETRUNCATED);
    MUST(mv_try(view, load_first, mv_data(view), NULL) == -MV_ETRUNCATED);
}

static void load_go(const char *library)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        fprintf(stderr, "%s\n", dlerror());
    MUST(handle);
    *(void **)&go_fault = dlsym(handle, "GoFault");
    *(void **)&go_nil = dlsym(handle, "GoNil");
    MUST(go_fault && go_nil);
    MUST(call_go(NULL) == 0); /* which waits until Go has begun */
}

static void *take_turns(void *argument)
{
    for (int round = 0; round < ROUNDS; round++) {
        fault_in_c();
        MUST(go_fault() == 0);
        fault_in_c();
        MUST(go_nil() == 0);
        MUST(mv_try(view, call_go, NULL, NULL) == 0);
    }
    return argument;
}

int main(int argc, char **argv)
{
    MUST(argc == 5);
    mv_options options = MV_OPTIONS_INIT;
    options.flags = MV_OPEN_WRITE | MV_OPEN_CREATE;
    options.file_size = LENGTH;
    MUST(mv_open(argv[1], &options, &view, NULL) == 0);
    MUST(truncate(argv[1], 0) == 0);
    if (strcmp(argv[2], "before") == 0)
        load_go(argv[4]);
    MUST(mv_guard_status() == MV_GUARD_NONE);
    fault_in_c();
    MUST(mv_guard_status() == MV_GUARD_INSTALLED);
    if (strcmp(argv[2], "after") == 0)
        load_go(argv[4]);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        MUST(pthread_create(&threads[i], NULL, take_turns, NULL) == 0);
    take_turns(NULL);
    for (int i = 0; i < THREADS; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    /* The frames of Go are over when this one faults. */
    MUST(mv_try(view, call_go_and_fault, mv_data(view), NULL) == -MV_ETRUNCATED);
    MUST(call_go(NULL) == 0);
    printf("%d rounds in each of %d threads\n", ROUNDS, THREADS + 1);
    fflush(stdout);
    return strcmp(argv[3], "none") == 0 ? 0 : load_first(mv_data(view));
}
