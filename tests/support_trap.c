/* support_trap.c: memory whose first access waits for something else. */
#include "support.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#if __has_include(<linux/userfaultfd.h>)
#include <linux/userfaultfd.h>
#endif

#ifdef UFFD_USER_MODE_ONLY

/* Fills the page that a thread waits for. */
static bool fill(const struct trap *trap, unsigned char byte)
{
    unsigned char page[LARGEST_PAGE];
    memset(page, byte, sizeof page);
    struct uffdio_copy copy = {
        .dst = (uintptr_t)trap->page, .src = (uintptr_t)page, .len = PAGE, .mode = 0};
    return ioctl(trap->fd, UFFDIO_COPY, &copy) == 0;
}

static void *serve(void *argument)
{
    struct trap *trap = argument;
    struct uffd_msg message;
    if (read(trap->fd, &message, sizeof message) != sizeof message)
        abort(); /* or the other thread would wait for ever */
    if (!atomic_load(&trap->over)) {
        trap->function(trap->argument);
        trap->sprung = true;
    }
    if (!fill(trap, TRAP_BYTE))
        abort();
    return NULL;
}

void trap_make(struct trap *trap, void (*function)(void *), void *argument)
{
    struct uffdio_api api = {.api = UFFD_API};
    memset(trap, 0, sizeof *trap);
    trap->function = function;
    trap->argument = argument;
    trap->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if (trap->fd < 0)
        skip_test("the kernel refuses userfaultfd");
    trap->bytes =
        mmap(NULL, TRAP_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(trap->bytes != MAP_FAILED);
    memset(trap->bytes, TRAP_BYTE, PAGE);
    memset(trap->bytes + 2 * PAGE, TRAP_BYTE, (TRAP_PAGES - 2) * PAGE);
    trap->page = trap->bytes + PAGE;
    struct uffdio_register place = {.range = {(uintptr_t)trap->page, PAGE},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING};
    CHECK(ioctl(trap->fd, UFFDIO_API, &api) == 0 && ioctl(trap->fd, UFFDIO_REGISTER, &place) == 0);
    CHECK(pthread_create(&trap->thread, NULL, serve, trap) == 0);
}

bool trap_free(struct trap *trap)
{
    atomic_store(&trap->over, true);
    (void)*(volatile unsigned char *)trap->page; /* in case that nobody else has */
    CHECK(pthread_join(trap->thread, NULL) == 0);
    CHECK(munmap(trap->bytes, TRAP_PAGES * PAGE) == 0 && close(trap->fd) == 0);
    return trap->sprung;
}

#else

void trap_make(struct trap *trap, void (*function)(void *), void *argument)
{
    (void)trap;
    (void)function;
    (void)argument;
    skip_test("these kernel headers have no userfaultfd for everybody");
}

bool trap_free(struct trap *trap)
{
    (void)trap;
    return false;
}

#endif
