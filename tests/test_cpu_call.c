/* test_cpu_call.c: calls that a fault ends, and what a fault tells: mv__cpu_call,
 * mv__cpu_land, mv__cpu_resume, mv__cpu_access and mv__cpu_stack, with no view
 * and no handler but the test's own. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <ucontext.h>

/* ---- the handler ---- */

static struct mv__landing *where; /* the next fault lands there */
static uint32_t told_access;
static uintptr_t told_stack;
static void *told_address;
static unsigned long faults;

static void on_test_fault(int number, siginfo_t *info, void *context)
{
    faults++;
    told_access = mv__cpu_access(context);
    told_stack = mv__cpu_stack(context);
    told_address = info->si_addr;
    if (where)
        mv__cpu_land(context, where);
    else
        sigaction(number, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
}

static void handle(void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigfillset(&action.sa_mask);
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    CHECK(sigaction(SIGBUS, &action, NULL) == 0);
}

static unsigned char *wall; /* cannot be accessed */

static int begin(void **state)
{
    int r = support_begin(state);
    where = NULL;
    faults = 0;
    mv__cpu_prepare();
    handle(on_test_fault, 0);
    wall = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(wall != MAP_FAILED);
    return r;
}

static int end(void **state)
{
    munmap(wall, PAGE);
    return support_end(state);
}

static void call_to_land(int (*function)(void *), void *argument)
{
    struct mv__landing landing, *outer = where;
    where = &landing;
    mv__cpu_call(&landing, function, argument);
    where = outer;
}

/* lands calls function, which must fault. */
static void lands(int (*function)(void *), void *argument)
{
    unsigned long before = faults;
    call_to_land(function, argument);
    CHECK(faults == before + 1);
}

/* What a fault may leave behind knows nothing of the sanitizers. */
#define LEFT __attribute__((noinline, no_sanitize_address, no_sanitize_thread))

LEFT static int load_byte(void *at)
{
    return *(volatile unsigned char *)at;
}

LEFT static int store_byte(void *at)
{
    *(volatile unsigned char *)at = 1;
    return 0;
}

/* ---- calls ---- */

static int twice(void *number)
{
    return 2 * *(int *)number;
}

static void a_call_returns_what_the_function_does(void **state)
{
    (void)state;
    struct mv__landing landing;
    for (int i = -3; i < 4; i++)
        SAME(mv__cpu_call(&landing, twice, &i), 2 * i);
    SAME(faults, 0);
}

static void a_fault_ends_a_call(void **state)
{
    (void)state;
    for (int i = 0; i < 10000; i++) {
        lands(load_byte, wall + i % 4096);
        CHECK(told_address == wall + i % 4096);
        lands(store_byte, wall);
    }
}

/* ---- registers ---- */

/* change_registers changes every register that a function must preserve, and
 * the direction of string instructions, and then accesses its argument.
 * keeps_registers(landing, argument) calls it through mv__cpu_call and tells
 * whether they are what they were. */
int change_registers(void *argument);
int keeps_registers(struct mv__landing *landing, void *argument);

#if defined(__x86_64__)
#define HAS_REGISTERS
#define EACH_REGISTER(x) x("rbx") x("rbp") x("r12") x("r13") x("r14") x("r15")
#define PUSH(r) "    push %" r "\n"
#define POP(r) "    pop %" r "\n"
#define SET(r) "    lea (%rsp), %" r "\n"
#define CHANGE(r) "    mov $-1, %" r "\n"
#define COMPARE(r) "    cmp %" r ", %rsp\n    jne 1f\n"
__asm__("    .pushsection .text\n"
        "    .globl change_registers\n"
        "change_registers:\n"
        "    endbr64\n" EACH_REGISTER(
            CHANGE) "    std\n"
                    "    mov (%rdi), %eax\n"
                    "    ud2\n"
                    "    .globl keeps_registers\n"
                    "keeps_registers:\n"
                    "    endbr64\n"
                    "    push %rbx\n    push %rbp\n    push %r12\n    push %r13\n    push %r14\n    "
                    "push %r15\n"
                    "    sub $8, %rsp\n"
                    "    mov %rsi, %rdx\n"
                    "    lea change_registers(%rip), %rsi\n" EACH_REGISTER(
                        SET) "    call mv__cpu_call\n"
                             "    mov $2, %eax\n"
                             "    pushf\n"
                             "    pop %rcx\n"
                             "    test $0x400, %ecx\n"
                             "    cld\n"
                             "    jnz 1f\n"
                             "    xor %eax, %eax\n" EACH_REGISTER(
                                 COMPARE) "    mov $1, %eax\n"
                                          "1:  add $8, %rsp\n"
                                          "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    "
                                          "pop %rbp\n    pop %rbx\n"
                                          "    ret\n"
                                          "    .popsection\n");
#elif defined(__aarch64__)
#define HAS_REGISTERS
#define EACH_REGISTER(x) x("19") x("20") x("21") x("22") x("23") x("24") x("25") x("26") x("27") x("28")
#define EACH_VECTOR(x) x("8") x("9") x("10") x("11") x("12") x("13") x("14") x("15")
#define SET(r) "    add x" r ", sp, #" r "\n"
#define CHANGE(r) "    mov x" r ", #-1\n"
#define COMPARE(r) "    add x9, sp, #" r "\n    cmp x9, x" r "\n    b.ne 1f\n"
#define SET_VECTOR(r) "    add x9, sp, #" r "\n    fmov d" r ", x9\n"
#define CHANGE_VECTOR(r) "    fmov d" r ", xzr\n"
#define COMPARE_VECTOR(r) "    add x9, sp, #" r "\n    fmov x10, d" r "\n    cmp x9, x10\n    b.ne 1f\n"
__asm__("    .pushsection .text\n"
        "    .globl change_registers\n"
        "change_registers:\n"
        "    hint #34\n" EACH_REGISTER(CHANGE) EACH_VECTOR(
            CHANGE_VECTOR) "    mov x29, #-1\n"
                           "    ldr w0, [x0]\n"
                           "    brk #1\n"
                           "    .globl keeps_registers\n"
                           "keeps_registers:\n"
                           "    hint #34\n"
                           "    stp x29, x30, [sp, #-176]!\n"
                           "    stp x19, x20, [sp, #16]\n    stp x21, x22, [sp, #32]\n    stp x23, "
                           "x24, [sp, #48]\n"
                           "    stp x25, x26, [sp, #64]\n    stp x27, x28, [sp, #80]\n"
                           "    stp d8, d9, [sp, #96]\n    stp d10, d11, [sp, #112]\n"
                           "    stp d12, d13, [sp, #128]\n    stp d14, d15, [sp, #144]\n"
                           "    mov x29, sp\n"
                           "    mov x2, x1\n"
                           "    adrp x1, change_registers\n"
                           "    add x1, x1, :lo12:change_registers\n" EACH_REGISTER(SET) EACH_VECTOR(
                               SET_VECTOR) "    bl mv__cpu_call\n"
                                           "    mov w0, #0\n"
                                           "    mov x9, sp\n"
                                           "    cmp x9, x29\n"
                                           "    b.ne 1f\n" EACH_REGISTER(COMPARE) EACH_VECTOR(
                                               COMPARE_VECTOR) "    mov w0, #1\n"
                                                               "1:  ldp d14, d15, [sp, #144]\n    ldp "
                                                               "d12, d13, [sp, #128]\n"
                                                               "    ldp d10, d11, [sp, #112]\n    ldp "
                                                               "d8, d9, [sp, #96]\n"
                                                               "    ldp x27, x28, [sp, #80]\n    ldp "
                                                               "x25, x26, [sp, #64]\n"
                                                               "    ldp x23, x24, [sp, #48]\n    ldp "
                                                               "x21, x22, [sp, #32]\n    ldp x19, x20, "
                                                               "[sp, #16]\n"
                                                               "    ldp x29, x30, [sp], #176\n"
                                                               "    ret\n"
                                                               "    .popsection\n");
#endif

static void a_fault_preserves_registers(void **state)
{
    (void)state;
#ifdef HAS_REGISTERS
    struct mv__landing landing;
    where = &landing;
    for (int i = 0; i < 100; i++)
        SAME(keeps_registers(&landing, wall), 1);
    where = NULL;
    SAME(faults, 100);
#else
    skip_test("this processor's registers are not known to the test");
#endif
}

#if defined(__aarch64__) && defined(__ARM_FEATURE_BTI_DEFAULT)
/* A function that faults at its first instruction, in code that knows nothing
 * of branch targets. */
static int (*make_unmarked_load(void))(void *)
{
    static const uint32_t code[] = {0xb9400000 /* ldr w0, [x0] */, 0xd65f03c0 /* ret */};
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int (*function)(void *);
    CHECK(page != MAP_FAILED);
    memcpy(page, code, sizeof code);
    CHECK(mprotect(page, PAGE, PROT_READ | PROT_EXEC) == 0);
    __builtin___clear_cache(page, (char *)page + sizeof code);
    memcpy(&function, &page, sizeof function);
    return function;
}
#endif

/* The processor checks where an indirect branch goes. A landing is none. */
static void a_fault_lands_in_code_with_branch_targets(void **state)
{
    (void)state;
#if defined(__aarch64__) && defined(__ARM_FEATURE_BTI_DEFAULT)
    extern const char mv__cpu_landed[] __attribute__((visibility("hidden")));
    char *page = (char *)((uintptr_t)mv__cpu_landed & ~(uintptr_t)(PAGE - 1));
    if (!(getauxval(AT_HWCAP2) & HWCAP2_BTI))
        skip_test("this processor does not check branch targets");
    int (*function)(void *) = make_unmarked_load();
    CHECK(mprotect(page, PAGE, PROT_READ | PROT_EXEC | PROT_BTI) == 0);
    lands(function, wall);
    CHECK(mprotect(page, PAGE, PROT_READ | PROT_EXEC) == 0);
    CHECK(munmap((void *)(uintptr_t)function, PAGE) == 0);
#else
    skip_test("built for a processor, or in a way, without branch targets");
#endif
}

/* A long double is computed on a stack of eight registers, on some processors. */
LEFT static int add_up(void *at)
{
    long double sum = 1.5L;
    for (volatile long double *number = at; sum < 1000; number++)
        sum += *number * sum;
    return (int)sum;
}

static void a_fault_leaves_arithmetic_as_it_was(void **state)
{
    (void)state;
    volatile long double x = 3;
    for (int i = 0; i < 20; i++) {
        lands(add_up, wall);
        CHECK(x * x + x / 2 == 10.5L);
    }
}

/* ---- nested, and with signals ---- */

LEFT static int fault_inside_and_outside(void *depth)
{
    int left = *(int *)depth;
    if (left > 0)
        for (int i = 0; i < 2; i++)
            call_to_land(fault_inside_and_outside, &(int){left - 1});
    return load_byte(wall);
}

/* Leaves the inner calls and lands at the outermost. */
LEFT static int skip_inner(void *argument)
{
    struct mv__landing inner;
    return mv__cpu_call(&inner, argument ? skip_inner : load_byte, argument ? NULL : wall);
}

static void calls_nest(void **state)
{
    (void)state;
    call_to_land(fault_inside_and_outside, &(int){9});
    SAME(faults, (1 << 10) - 1);
    for (int i = 0; i < 1000; i++)
        lands(skip_inner, wall);
}

static void a_fault_restores_the_signal_mask(void **state)
{
    (void)state;
    sigset_t set, before, after;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, &before) == 0);
    lands(load_byte, wall);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, &after) == 0);
    for (int number = 1; number < SIGRTMIN; number++)
        SAME(sigismember(&after, number), number == SIGUSR2 || sigismember(&before, number));
}

/* The stack that the handler runs on is free again. */
static void with_alternate_stack(int flags)
{
    size_t n = 65536;
    stack_t stack = {.ss_sp = malloc(n), .ss_size = n, .ss_flags = flags},
            off = {.ss_flags = SS_DISABLE}, now;
    CHECK(stack.ss_sp);
    if (sigaltstack(&stack, NULL) < 0) {
        free(stack.ss_sp);
        skip_test("this kernel has no such alternate stack");
    }
    handle(on_test_fault, SA_ONSTACK);
    for (int i = 0; i < 100; i++) {
        lands(load_byte, wall);
        CHECK(sigaltstack(NULL, &now) == 0);
        SAME(now.ss_flags, flags);
        CHECK(now.ss_sp == stack.ss_sp);
    }
    CHECK(sigaltstack(&off, NULL) == 0);
    free(stack.ss_sp);
}

static void a_fault_frees_the_alternate_stack(void **state)
{
    (void)state;
    with_alternate_stack(0);
}

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (int)(1U << 31)
#endif

static void a_fault_keeps_a_stack_that_disarms_itself(void **state)
{
    (void)state;
#ifdef MV__CPU_ANY
    skip_test("siglongjmp loses an alternate stack of SS_AUTODISARM");
#endif
    with_alternate_stack(SS_AUTODISARM);
}

/* ---- what a fault tells ---- */

#ifdef __x86_64__
#define TELLS true
#else
#define TELLS false /* not every kernel does, nor every emulator */
#endif

static void accesses_as(int (*function)(void *), void *at, uint32_t access)
{
    lands(function, at);
#ifdef MV__CPU_ANY
    SAME(told_access, 0);
    SAME(told_stack, 0);
    (void)access;
#else
    if (TELLS || told_access != 0)
        SAME(told_access, access);
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    CHECK(told_stack < here && here - told_stack < 65536);
#endif
}

static void a_fault_tells_loads_from_stores(void **state)
{
    (void)state;
    int fd = open_file(scratch("empty"), O_RDWR | O_CREAT);
    void *past_end = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(past_end != MAP_FAILED);
    close(fd);
    accesses_as(load_byte, wall, MV_READ);
    accesses_as(store_byte, wall, MV_WRITE);
    accesses_as(load_byte, past_end, MV_READ);
    accesses_as(store_byte, past_end, MV_WRITE);
    CHECK(mprotect(wall, PAGE, PROT_READ) == 0);
    accesses_as(store_byte, wall, MV_WRITE);
    CHECK(munmap(past_end, PAGE) == 0);
#ifdef __x86_64__ /* no page fault: an address that there cannot be */
    lands(load_byte, (void *)((uintptr_t)1 << 63));
    SAME(told_access, 0);
#endif
}

/* ---- which code is guarded ---- */

#ifndef MV__CPU_ANY
#define PLACE(name) extern const char name[] __attribute__((visibility("hidden")))
PLACE(mv__cpu_blocks_begin);
PLACE(mv__cpu_blocks_end);
PLACE(mv__cpu_bytes_begin);
PLACE(mv__cpu_bytes_end);
PLACE(mv__cpu_numbers_begin);
PLACE(mv__cpu_numbers_end);
PLACE(mv__cpu_again);
PLACE(mv__cpu_short);
PLACE(mv__cpu_none);

static uintptr_t resumed_from(uintptr_t at)
{
    ucontext_t context;
    memset(&context, 0, sizeof context);
#ifdef __x86_64__
    context.uc_mcontext.gregs[REG_RIP] = (greg_t)at;
    bool resumes = mv__cpu_resume(&context);
    uintptr_t next = (uintptr_t)context.uc_mcontext.gregs[REG_RIP];
#else
    context.uc_mcontext.pc = at;
    bool resumes = mv__cpu_resume(&context);
    uintptr_t next = (uintptr_t)context.uc_mcontext.pc;
#endif
    CHECK(resumes || next == at);
    return resumes ? next : 0;
}

static void range_resumes(const char *from, const char *to, const char *next)
{
    CHECK(from < to);
    SAME(resumed_from((uintptr_t)from - 1), 0);
    for (uintptr_t at = (uintptr_t)from; at < (uintptr_t)to; at++)
        SAME(resumed_from(at), (uintptr_t)next);
    SAME(resumed_from((uintptr_t)to), 0);
}
#endif

static void only_guarded_code_resumes(void **state)
{
    (void)state;
#ifdef MV__CPU_ANY
    SAME(mv__cpu_resume(NULL), false);
#else
    range_resumes(mv__cpu_blocks_begin, mv__cpu_blocks_end, mv__cpu_again);
    range_resumes(mv__cpu_bytes_begin, mv__cpu_bytes_end, mv__cpu_short);
    range_resumes(mv__cpu_numbers_begin, mv__cpu_numbers_end, mv__cpu_none);
    SAME(resumed_from((uintptr_t)load_byte), 0);
    SAME(resumed_from(0), 0);
    SAME(resumed_from(UINTPTR_MAX), 0);
#endif
}

#define CPU_TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CPU_TEST(a_call_returns_what_the_function_does),
        CPU_TEST(a_fault_ends_a_call),
        CPU_TEST(a_fault_preserves_registers),
        CPU_TEST(a_fault_lands_in_code_with_branch_targets),
        CPU_TEST(a_fault_leaves_arithmetic_as_it_was),
        CPU_TEST(calls_nest),
        CPU_TEST(a_fault_restores_the_signal_mask),
        CPU_TEST(a_fault_frees_the_alternate_stack),
        CPU_TEST(a_fault_keeps_a_stack_that_disarms_itself),
        CPU_TEST(a_fault_tells_loads_from_stores),
        CPU_TEST(only_guarded_code_resumes),
    };
    return cmocka_run_group_tests(tests, support_group_begin_cold, support_group_end);
}
