/* guard.c: the handler of SIGBUS and SIGSEGV, what it passes on, and which
 * guarded calls a thread is in. */
#include "guard.h"
#include "internal.h"

#include <errno.h>
#include <signal.h>
#include <ucontext.h>

/* ---- the guarded calls of a thread ---- */

/*
 * The handler must find the pad of the thread that it interrupts, and may not
 * wait, allocate or call into the loader, as an access to a thread-local
 * variable of a shared library can. So there is a table of threads. A thread
 * takes a slot at its first guarded call and gives it back when it ends; only
 * the thread itself, which its signal handlers belong to, uses a slot's top.
 */
struct slot {
    _Atomic uintptr_t thread; /* 0: free */
    struct mv__pad *_Atomic top;
    char line_of_its_own[64 - 2 * sizeof(uintptr_t)];
};

#define SLOTS 512 /* of one table, a power of two */

struct table {
    struct slot slots[SLOTS];
    struct table *_Atomic more; /* for when all are taken */
};

static struct table first_table;
static pthread_key_t slot_key;
static pthread_once_t slot_key_once = PTHREAD_ONCE_INIT;
static int slot_key_failure;

static uintptr_t this_thread(void)
{
    return (uintptr_t)pthread_self(); /* async-signal-safe */
}

/* Threads differ in the middle bits of their number, which is an address. */
static unsigned first_place(uintptr_t thread)
{
    return (unsigned)((thread >> 6) ^ (thread >> 12) ^ (thread >> 21));
}

static struct slot *find_slot(uintptr_t thread)
{
    struct slot *likely = &first_table.slots[first_place(thread) % SLOTS];
    if (atomic_load_explicit(&likely->thread, memory_order_relaxed) == thread)
        return likely;
    for (struct table *t = &first_table; t; t = atomic_load_explicit(&t->more, memory_order_acquire))
        for (unsigned i = 0; i < SLOTS; i++) {
            struct slot *slot = &t->slots[(first_place(thread) + i) % SLOTS];
            if (atomic_load_explicit(&slot->thread, memory_order_relaxed) == thread)
                return slot;
        }
    return NULL;
}

/* When a thread ends. Its number may be used again at once. */
static void give_back(void *slot)
{
    atomic_store_explicit(&((struct slot *)slot)->top, NULL, memory_order_relaxed);
    atomic_store_explicit(&((struct slot *)slot)->thread, 0, memory_order_release);
}

/* In a child of fork, which has one thread: a new one may get the number of
 * one that was left behind. */
static void give_back_others(void)
{
    uintptr_t thread = this_thread();
    for (struct table *t = &first_table; t; t = atomic_load(&t->more))
        for (unsigned i = 0; i < SLOTS; i++)
            if (atomic_load(&t->slots[i].thread) != 0 && atomic_load(&t->slots[i].thread) != thread)
                give_back(&t->slots[i]);
}

static void make_slot_key(void)
{
    slot_key_failure = pthread_key_create(&slot_key, give_back);
    if (slot_key_failure == 0)
        slot_key_failure = pthread_atfork(NULL, NULL, give_back_others);
}

static struct slot *claim_slot(struct table *t, uintptr_t thread)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        struct slot *slot = &t->slots[(first_place(thread) + i) % SLOTS];
        uintptr_t none = 0;
        if (atomic_load_explicit(&slot->thread, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong(&slot->thread, &none, thread))
            return slot;
    }
    return NULL;
}

static struct table *table_after(struct table *t)
{
    struct table *none = NULL;
    struct table *more = atomic_load_explicit(&t->more, memory_order_acquire);
    if (more)
        return more;
    more = (struct table *)mv__sys.allocate(sizeof *more);
    if (!more || mv__sys_failed((long)more))
        return NULL;
    if (atomic_compare_exchange_strong(&t->more, &none, more))
        return more;
    mv__sys.release(more); /* another thread was first */
    return none;
}

static struct slot *make_slot(uintptr_t thread)
{
    pthread_once(&slot_key_once, make_slot_key);
    if (slot_key_failure)
        return NULL;
    struct slot *slot = NULL;
    for (struct table *t = &first_table; t && !slot; t = slot ? t : table_after(t))
        slot = claim_slot(t, thread);
    if (slot && pthread_setspecific(slot_key, slot) != 0) {
        give_back(slot);
        return NULL;
    }
    return slot;
}

/* The frames that a landing leaves behind have told AddressSanitizer, where
 * the program has it, which bytes of the stack are out of bounds. */
__attribute__((weak)) void __asan_handle_no_return(void);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void *at, size_t n);

#define RED_ZONE 128 /* bytes that a function may use below its stack pointer */

static void forget_frames(const struct mv__pad *pad)
{
    uintptr_t from = pad->stack, to = (uintptr_t)pad;
    if (__asan_handle_no_return)
        __asan_handle_no_return(); /* frames that it keeps elsewhere */
    if (__asan_unpoison_memory_region && from != 0 && from < to)
        __asan_unpoison_memory_region((void *)(from - RED_ZONE), to - from + RED_ZONE);
}

int mv__guard_call(struct mv__pad *pad, int (*function)(void *), void *argument, int *result)
{
    uintptr_t thread = this_thread();
    struct slot *slot = find_slot(thread);
    if (!slot)
        slot = make_slot(thread);
    if (!slot)
        return -ENOMEM;
    pad->outer = atomic_load_explicit(&slot->top, memory_order_relaxed);
    /* The handler that interrupts this thread sees the whole pad, or none. */
    atomic_signal_fence(memory_order_release);
    atomic_store_explicit(&slot->top, pad, memory_order_relaxed);
    int returned = mv__cpu_call(&pad->landing, function, argument);
    atomic_store_explicit(&slot->top, pad->outer, memory_order_relaxed);
    atomic_signal_fence(memory_order_acquire);
    if (pad->landed)
        forget_frames(pad);
    else
        *result = returned;
    return 0;
}

/* ---- the handler ---- */

_Atomic int mv__guard_state;

/* Who had the signals before, for what is not ours. */
struct previous {
    struct sigaction action;
    atomic_bool spent; /* it was to be used once (SA_RESETHAND) */
};
static struct previous previous_bus, previous_segv;

/* Whether the kernel raised the signal for an access of this very thread. */
static bool is_access(int signal, const siginfo_t *info)
{
    if (info->si_code <= 0)
        return false;
    return signal != SIGBUS || info->si_code != BUS_MCEERR_AO; /* somebody's page, somewhere */
}

/* Whether a signal handler on an alternate stack has interrupted the guarded
 * call: its frame must not be left behind. */
static bool is_elsewhere(const ucontext_t *context, const struct mv__pad *pad)
{
    const stack_t *stack = &context->uc_stack;
    uintptr_t low = (uintptr_t)stack->ss_sp, high = low + stack->ss_size;
    uintptr_t at = mv__cpu_stack(context), home = mv__cpu_home(&pad->landing);
    return at >= low && at < high && !(home >= low && home < high);
}

/* Whether the guarded call is over: it was left by longjmp, or by the end of its
 * thread, though it must not be. Its frame is anybody's. */
static bool is_left(const ucontext_t *context, const struct mv__pad *pad)
{
    uintptr_t home = mv__cpu_home(&pad->landing);
    return home != 0 && mv__cpu_stack(context) > home;
}

static bool covers(const struct mv__pad *pad, uintptr_t address)
{
    return (address >= pad->start && address < pad->end) ||
           (address >= pad->other_start && address < pad->other_end);
}

/* Ends the innermost guarded call of this thread that covers the address,
 * unless the address itself was at fault: an odd one, or a jump to it. */
static bool land(int signal, const siginfo_t *info, ucontext_t *context)
{
    struct slot *slot = find_slot(this_thread());
    if (!slot || (signal == SIGBUS && info->si_code == BUS_ADRALN))
        return false;
    uintptr_t address = (uintptr_t)info->si_addr;
    struct mv__pad *pad = atomic_load_explicit(&slot->top, memory_order_relaxed);
    while (pad && !covers(pad, address))
        pad = pad->outer;
    uintptr_t place = mv__cpu_place(context);
    if (!pad || (place != 0 && covers(pad, place)) || is_elsewhere(context, pad) ||
        is_left(context, pad))
        return false;
    atomic_store_explicit(&slot->top, pad, memory_order_relaxed); /* the inner ones are over, too */
    pad->landed = true;
    pad->address = address;
    pad->access = mv__cpu_access(context);
    pad->stack = mv__cpu_stack(context);
    mv__cpu_land(context, &pad->landing);
    return true;
}

static void pass_on(int signal, siginfo_t *info, ucontext_t *context)
{
    struct previous *previous = signal == SIGBUS ? &previous_bus : &previous_segv;
    const struct sigaction *action = &previous->action;
    bool is_default = action->sa_handler == SIG_DFL;
    if (action->sa_handler == SIG_IGN) {
        if (!is_access(signal, info))
            return;
        is_default = true; /* an access cannot be ignored */
    }
    if (!is_default && (action->sa_flags & (int)SA_RESETHAND))
        is_default = atomic_exchange(&previous->spent, true);
    if (is_default) {
        mv__sys_end_process(signal, info);
        return;
    }
    mv__sys_mask_for(action, signal, context);
    if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(signal, info, context);
    else
        action->sa_handler(signal);
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
    int before = errno;
    if (!is_access(signal, info) || !(mv__cpu_resume(context) || land(signal, info, context)))
        pass_on(signal, info, context);
    errno = before;
}

/* ---- its installation ---- */

/* After a fork in its midst glibc begins anew in the child. */
static pthread_once_t install_once = PTHREAD_ONCE_INIT;
static int install_failure;

static bool is_on_fault(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_fault;
}

static bool is_ours(int signal)
{
    struct sigaction now;
    return mv__sys.sigaction(signal, NULL, &now) == 0 && is_on_fault(&now);
}

static long install_for(int signal, struct previous *previous)
{
    struct sigaction ours = {.sa_sigaction = on_fault,
                             .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigfillset(&ours.sa_mask);
    struct sigaction now;
    long r = mv__sys.sigaction(signal, NULL, &now);
    if (r < 0 || is_on_fault(&now)) /* ours: a fork in the midst, and the previous one is known */
        return r;
    previous->action = now; /* before a fault can ask for it */
    r = mv__sys.sigaction(signal, &ours, &now);
    if (r < 0)
        return r;
    previous->action = now;
    if (is_ours(signal))
        return 0;
    /* A sanitizer has been told to let nobody have the signal, and says nothing. */
    mv__sys.sigaction(signal, &previous->action, NULL);
    return -EPERM;
}

static void install(void)
{
    mv__cpu_prepare();
    long r = install_for(SIGBUS, &previous_bus);
    if (r == 0) {
        r = install_for(SIGSEGV, &previous_segv);
        if (r < 0)
            mv__sys.sigaction(SIGBUS, &previous_bus.action, NULL);
    }
    install_failure = (int)r;
    if (r == 0)
        atomic_store_explicit(&mv__guard_state, MV__GUARD_READY, memory_order_release);
}

int mv__guard_install(void)
{
    pthread_once(&install_once, install);
    return install_failure;
}

int mv_guard_install(mv_error *err)
{
    if (mv__error_usable(err) < 0)
        return -EINVAL;
    int r = mv__guard_install();
    return r == 0 ? 0 : mv__fail_call(err, r, "sigaction");
}

int mv_guard_status(void)
{
    if (atomic_load_explicit(&mv__guard_state, memory_order_acquire) != MV__GUARD_READY)
        return MV_GUARD_NONE;
    return is_ours(SIGBUS) && is_ours(SIGSEGV) ? MV_GUARD_INSTALLED : MV_GUARD_REPLACED;
}
