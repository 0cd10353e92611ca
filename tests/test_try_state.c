/* test_try_state.c: what is as it was when mv_try has ended a function, be it
 * for the hundred thousandth time. */
#include "guarded.h"

static mv_view *open_half(void)
{
    mv_view *view = open_view(make_file(scratch("file"), 2 * PAGE), MV_OPEN_WRITE);
    cut_file(scratch("file"), PAGE);
    return view;
}

/* ---- many faults ---- */

static unsigned many(void)
{
#ifdef __SANITIZE_THREAD__
    return 5000;
#else
    return under_valgrind() ? 1000 : 100000;
#endif
}

static void check_many(mv_view *view)
{
    sigset_t before, after;
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &before) == 0);
    unsigned char *data = mv_data(view);
    for (unsigned i = 0; i < many(); i++) {
        mv_error err = MV_ERROR_INIT;
        int r = mv_try(view, i % 2 ? store_first : load_first, data + PAGE + i % PAGE, &err);
        if (r != -MV_ETRUNCATED || err.offset != PAGE + i % PAGE)
            SAME(r, 0);
    }
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &after) == 0);
    for (int number = 1; number <= SIGRTMAX; number++)
        SAME(sigismember(&after, number), sigismember(&before, number));
}

static void test_many(void **state)
{
    (void)state;
    sigset_t some, before;
    mv_view *view = open_half();
    check_many(view);
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigaddset(&some, SIGRTMIN + 3);
    CHECK(pthread_sigmask(SIG_BLOCK, &some, &before) == 0);
    check_many(view);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    close_view(view);
}

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

/* The handler runs on the thread's alternate stack, which is there again for
 * the next fault. */
static void test_alternate_stack(void **state)
{
    (void)state;
    enum { SIZE = 1 << 17 };
    static unsigned char stack[SIZE];
    static const unsigned flags[] = {0, SS_AUTODISARM};
#ifdef MV__CPU_ANY
    const size_t kinds = 1; /* a jump out of the handler loses the other one */
#else
    const size_t kinds = 2;
#endif
    if (under_valgrind())
        skip_test("valgrind knows no alternate stack that disarms itself");
    mv_view *view = open_half();
    for (size_t i = 0; i < kinds; i++) {
        stack_t mine = {.ss_sp = stack, .ss_flags = (int)flags[i], .ss_size = SIZE}, before, now;
        memset(stack, 0x55, SIZE);
        CHECK(sigaltstack(&mine, &before) == 0);
        check_many(view);
        CHECK(sigaltstack(&before, &now) == 0);
        CHECK(now.ss_sp == stack && now.ss_size == SIZE && now.ss_flags == mine.ss_flags);
        size_t unused = 0;
        while (unused < SIZE && stack[unused] == 0x55)
            unused++;
        CHECK(unused < SIZE); /* it was used */
    }
    close_view(view);
}

/* ---- the stack and the registers ---- */

/* Frames that AddressSanitizer knows of, with bytes around each array that
 * nobody may touch, down to some depth of the stack. */
struct descent {
    unsigned char *at;
    int depth;
};

__attribute__((noinline, no_sanitize_thread)) static int leave_frames(void *argument)
{
    struct descent *d = argument;
    volatile unsigned char one[100], other[1000];
    one[0] = other[999] = 1;
    if (d->depth-- > 0)
        return leave_frames(d) + one[0];
    return *(volatile unsigned char *)d->at + other[999];
}

/* ... and one that is wholly its own. */
LEFT static void use_stack(void)
{
    static void *(*volatile checked)(void *, int, size_t) = memset; /* by the sanitizer */
    unsigned char bytes[65536];
    checked(bytes, 1, sizeof bytes);
    CHECK(bytes[0] == 1);
}

static void test_left_frames(void **state)
{
    (void)state;
    mv_view *view = open_half();
    for (int depth = 0; depth < 40; depth++) {
        struct descent d = {view->data + PAGE, depth};
        REFUSED(-MV_ETRUNCATED, mv_try(view, leave_frames, &d, ERR));
        use_stack();
    }
    close_view(view);
}

#if defined(__x86_64__) && !defined(MV__CPU_ANY)

/* try_marked(view, function, argument, err, out) calls mv_try with a mark in
 * every register that a function must preserve, and stores what is in them,
 * and the flags, afterwards. wreck changes them all, and the direction of
 * string instructions, and leaves a number in the x87 before it loads. */
int try_marked(mv_view *view, int (*function)(void *), void *argument, mv_error *err, uint64_t out[7]);
int wreck(void *at);

__asm__("    .pushsection .text\n"
        "try_marked:\n"
        "    endbr64\n"
        "    push %rbx\n    push %rbp\n    push %r12\n    push %r13\n    push %r14\n    push %r15\n"
        "    push %r8\n"
        "    mov $101, %ebx\n    mov $102, %ebp\n    mov $103, %r12d\n"
        "    mov $104, %r13d\n    mov $105, %r14d\n    mov $106, %r15d\n"
        "    call mv_try\n"
        "    pop %r8\n"
        "    mov %rbx, (%r8)\n    mov %rbp, 8(%r8)\n    mov %r12, 16(%r8)\n"
        "    mov %r13, 24(%r8)\n    mov %r14, 32(%r8)\n    mov %r15, 40(%r8)\n"
        "    pushf\n    popq 48(%r8)\n"
        "    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n    pop %rbp\n    pop %rbx\n"
        "    ret\n"
        "wreck:\n"
        "    endbr64\n"
        "    mov $-1, %rbx\n    mov $-1, %rbp\n    mov $-1, %r12\n"
        "    mov $-1, %r13\n    mov $-1, %r14\n    mov $-1, %r15\n"
        "    sub $1000, %rsp\n"
        "    fld1\n"
        "    std\n"
        "    movb (%rdi), %al\n"
        "    ud2\n"
        "    .popsection\n");

#define DIRECTION 0x400U
#define ROUND_DOWN 0x2000U /* of MXCSR */

static void test_registers(void **state)
{
    (void)state;
    if (under_valgrind())
        skip_test("valgrind gives no flags back that a handler has changed");
    mv_view *view = open_half();
    unsigned control = __builtin_ia32_stmxcsr();
    for (int i = 0; i < 1000; i++) {
        uint64_t out[7];
        support_prepare();
        __builtin_ia32_ldmxcsr(control | ROUND_DOWN);
        int r = try_marked(view, wreck, (char *)mv_data(view) + PAGE, ERR, out);
        unsigned now = __builtin_ia32_stmxcsr();
        __builtin_ia32_ldmxcsr(control);
        SAME(r, -MV_ETRUNCATED);
        for (uint64_t k = 0; k < 6; k++)
            SAME(out[k], 101 + k);
        SAME(out[6] & DIRECTION, 0);
        SAME(now & 0xFFC0U, (control | ROUND_DOWN) & 0xFFC0U);
        volatile long double one = 1, sum = 0;
        for (int k = 0; k < 8; k++)
            sum = sum + (one + (one + one * one)); /* the x87 is not full */
        CHECK(sum == 24);
    }
    close_view(view);
}

#else

static void test_registers(void **state)
{
    (void)state;
    skip_test("written for the code for x86-64");
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_many),
        TEST(test_alternate_stack),
        TEST(test_left_frames),
        TEST(test_registers),
    };
    return RUN(tests);
}
