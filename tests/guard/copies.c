/* copies.c: more than one copy of mapview in one process.
 *
 *     copies FILE DEATH LIBRARY...
 *
 * loads each library, which are copies of one, has each guard faults of its
 * own views, beside the others and inside of their guarded calls, and looks at
 * what a handler gets that was installed before. With DEATH "fault" it ends in
 * a fault that nobody guards, with "closed" in one after dlclose, else with
 * status 0. */
#include <mapview.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MUST(condition) \
    ((condition) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), exit(1)))

enum { MOST = 4, ROUNDS = 1000, LENGTH = 65536 };

/* One copy, by its own names. */
static struct copy {
    void *handle;
    __typeof__(&mv_open) open;
    __typeof__(&mv_read) read;
    __typeof__(&mv_try) try;
    __typeof__(&mv_data) data;
    __typeof__(&mv_close) close;
    __typeof__(&mv_guard_status) guard_status;
    mv_view *view;
} copies[MOST];
static int count;

static void *name_of(const struct copy *copy, const char *name)
{
    void *found = dlsym(copy->handle, name);
    MUST(found);
    return found;
}

static void load(struct copy *copy, const char *library)
{
    copy->handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!copy->handle)
        fprintf(stderr, "%s\n", dlerror());
    MUST(copy->handle);
    *(void **)&copy->open = name_of(copy, "mv_open");
    *(void **)&copy->read = name_of(copy, "mv_read");
    *(void **)&copy->try = name_of(copy, "mv_try");
    *(void **)&copy->data = name_of(copy, "mv_data");
    *(void **)&copy->close = name_of(copy, "mv_close");
    *(void **)&copy->guard_status = name_of(copy, "mv_guard_status");
    for (struct copy *other = copies; other < copy; other++)
        MUST(other->read != copy->read); /* or they are one */
}

static const char *file;

static void make_file(off_t length)
{
    int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    MUST(fd >= 0 && ftruncate(fd, length) == 0);
    close(fd);
}

static int load_first(void *at)
{
    return *(volatile unsigned char *)at;
}

static void check_read(struct copy *copy)
{
    char byte;
    MUST(copy->read(copy->view, &byte, 1, 0, NULL) == -MV_ETRUNCATED);
}

static void check_try(struct copy *copy)
{
    MUST(copy->try(copy->view, load_first, copy->data(copy->view), NULL) == -MV_ETRUNCATED);
}

/* Faults of every copy inside of a guarded call of one. */
static int fault_in_all(void *argument)
{
    (void)argument;
    for (int i = 0; i < count; i++) {
        check_read(&copies[i]);
        check_try(&copies[i]);
    }
    return 4711;
}

static unsigned char *own;
static unsigned long handled;

static void handle(int number, siginfo_t *info, void *context)
{
    (void)context;
    handled++;
    if (number != SIGSEGV || info->si_addr != own + 5 || mprotect(own, LENGTH, PROT_READ) < 0)
        _exit(2);
}

static void fault_of_own(void)
{
    MUST(mprotect(own, LENGTH, PROT_NONE) == 0);
    MUST(load_first(own + 5) == 0);
}

static void run(void)
{
    for (int i = 0; i < count; i++) {
        MUST(copies[i].guard_status() == MV_GUARD_NONE);
        check_read(&copies[i]); /* installs */
        MUST(copies[i].guard_status() == MV_GUARD_INSTALLED);
        for (int j = 0; j < i; j++)
            MUST(copies[j].guard_status() == MV_GUARD_REPLACED);
    }
    for (int round = 0; round < ROUNDS; round++) {
        fault_in_all(NULL);
        for (int i = 0; i < count; i++)
            MUST(copies[i].try(copies[i].view, fault_in_all, NULL, NULL) == 4711);
        fault_of_own();
    }
    MUST(handled == ROUNDS);
}

int main(int argc, char **argv)
{
    MUST(argc >= 4 && argc - 3 <= MOST);
    file = argv[1];
    own = mmap(NULL, LENGTH, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(own != MAP_FAILED);
    make_file(LENGTH);
    mv_options options = MV_OPTIONS_INIT;
    options.flags = MV_OPEN_WRITE;
    for (; count < argc - 3; count++) {
        load(&copies[count], argv[3 + count]);
        MUST(copies[count].open(file, &options, &copies[count].view, NULL) == 0);
    }
    make_file(0);
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGSEGV, &action, NULL) == 0);
    run();
    printf("%d copies, %d rounds\n", count, ROUNDS);
    fflush(stdout);
    const volatile unsigned char *bad = copies[0].data(copies[0].view);
    if (strcmp(argv[2], "closed") == 0) {
        bad = mmap(NULL, LENGTH, PROT_READ, MAP_SHARED, open(file, O_RDONLY), 0);
        for (int i = 0; i < count; i++) {
            MUST(copies[i].close(copies[i].view, NULL) == 0);
            MUST(dlclose(copies[i].handle) == 0);
        }
        fault_of_own(); /* through handlers that must still be there */
    }
    return strcmp(argv[2], "none") == 0 ? 0 : *bad;
}
