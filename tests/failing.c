/* failing.c: the table of system calls that counts, fails and calls hooks. */
#include "failing.h"

#include <stdatomic.h>
#include <sys/mman.h>

static struct mv__sys real;

static struct entry {
    atomic_uint count;
    failing_hook *hook;
    void *argument;
} entries[FAILING_CALLS];

/* The armed failure. It is set while no other thread runs. */
static struct {
    bool on, forever;
    enum failing_call call;
    unsigned k;
    long result;
} armed;

static atomic_bool fired;
static atomic_long heap, mapped;

/* One munmap at a time is made to fail. */
static void *left_behind;
static size_t left_bytes;

static bool is_armed(enum failing_call call, unsigned k)
{
    return armed.on && armed.call == call && (k == armed.k || (armed.forever && k > armed.k));
}

/* Counts the call and tells whether *result comes in its place. */
static bool before(enum failing_call call, long *result)
{
    struct entry *entry = &entries[call];
    unsigned k = atomic_fetch_add(&entry->count, 1) + 1;
    if (entry->hook && entry->hook(k, result, entry->argument))
        return true;
    if (!is_armed(call, k))
        return false;
    *result = armed.result;
    atomic_store(&fired, true);
    return true;
}

/* clang-format off */
#define FAILING_WRAPPER(name, parameters, arguments)                          \
    static long counted_##name parameters                                     \
    {                                                                         \
        long result;                                                          \
        return before(FAILING_##name, &result) ? result : real.name arguments; \
    }
/* clang-format on */
MV__SYS_CALLS(FAILING_WRAPPER)
#undef FAILING_WRAPPER

static long tracked_allocate(size_t n)
{
    long memory = counted_allocate(n);
    if (memory > 0)
        atomic_fetch_add(&heap, 1);
    return memory;
}

static void tracked_release(void *memory)
{
    if (memory)
        atomic_fetch_sub(&heap, 1);
    real.release(memory);
}

static long tracked_mmap(void *address, size_t n, int protection, int flags, int fd, off_t offset)
{
    long base = counted_mmap(address, n, protection, flags, fd, offset);
    if (!mv__sys_failed(base) && !(flags & MAP_FIXED))
        atomic_fetch_add(&mapped, (long)n);
    return base;
}

static long tracked_munmap(void *address, size_t n)
{
    long r = counted_munmap(address, n);
    if (r == 0) {
        atomic_fetch_sub(&mapped, (long)n);
    } else {
        left_behind = address;
        left_bytes = n;
    }
    return r;
}

/* close(2) gives the descriptor up also when it reports an error. */
static long tracked_close(int fd)
{
    long result;
    if (!before(FAILING_close, &result))
        return real.close(fd);
    real.close(fd);
    return result;
}

void failing_install(void)
{
    if (real.release)
        return;
    real = mv__sys;
#define FAILING_ENTRY(name, parameters, arguments) mv__sys.name = counted_##name;
    MV__SYS_CALLS(FAILING_ENTRY)
#undef FAILING_ENTRY
    mv__sys.allocate = tracked_allocate;
    mv__sys.release = tracked_release;
    mv__sys.mmap = tracked_mmap;
    mv__sys.munmap = tracked_munmap;
    mv__sys.close = tracked_close;
}

void failing_reset(void)
{
    for (int call = 0; call < FAILING_CALLS; call++) {
        atomic_store(&entries[call].count, 0);
        entries[call].hook = NULL;
        entries[call].argument = NULL;
    }
    failing_disarm();
    atomic_store(&fired, false);
}

void failing_arm(enum failing_call call, unsigned k, long result, bool forever)
{
    armed.call = call;
    armed.k = k;
    armed.result = result;
    armed.forever = forever;
    armed.on = true;
}

void failing_disarm(void)
{
    armed.on = false;
}

unsigned failing_count(enum failing_call call)
{
    return atomic_load(&entries[call].count);
}

bool failing_fired(void)
{
    return atomic_load(&fired);
}

void failing_on(enum failing_call call, failing_hook *hook, void *argument)
{
    entries[call].hook = hook;
    entries[call].argument = argument;
}

const char *failing_name(enum failing_call call)
{
    static const char *const names[] = {
#define FAILING_NAME(name, parameters, arguments) #name,
        MV__SYS_CALLS(FAILING_NAME)
#undef FAILING_NAME
    };
    return names[call];
}

long failing_heap(void)
{
    return atomic_load(&heap);
}

long failing_mapped(void)
{
    return atomic_load(&mapped);
}

long failing_unmap_left(void)
{
    long bytes = (long)left_bytes;
    if (left_behind && real.munmap(left_behind, left_bytes) == 0)
        atomic_fetch_sub(&mapped, bytes);
    left_behind = NULL;
    left_bytes = 0;
    return bytes;
}
