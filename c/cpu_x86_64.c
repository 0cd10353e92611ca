/* cpu_x86_64.c: guarded accesses on x86-64. */
#include "cpu.h"
#include "mapview.h"

#if defined(__x86_64__) && !defined(MV__CPU_ANY)

#include <cpuid.h>
#include <ucontext.h>

/* clang-format off */

/*
 * The copy.  Its code is in two ranges, and a fault means another thing in each:
 *
 *   blocks   vectors, with overlapping ends. At every load and store rdi, rsi
 *            and rdx say what is left to do from a point before which all is
 *            done. A fault resumes at mv__cpu_again, which copies the same
 *            again, and comes to the exact byte, or through if the page is
 *            there by now.
 *   bytes    one rep movsb. A fault resumes at mv__cpu_short: rdi is the first
 *            byte that was not stored, r11 the end. (rcx would say the same,
 *            but valgrind counts it down before the access.)
 *
 * r10 is the whole count; rcx (rax in the second range), r8 and r9 stay what
 * the caller has given. A number is copied at once or, after a fault, not at
 * all: it resumes at mv__cpu_untouched. Vectors of 32 bytes are used when the
 * processor has them (mv__cpu_wide).
 *
 * From LARGE on mv__copy_large chooses among three ways to go on, which all
 * take what mv__cpu_checked does: mv__cpu_loop, the vectors; mv__cpu_string,
 * rep movsb; and mv__cpu_stream, whose stores go past the caches.
 */
#define LARGE "65536"

/* A place in the code that C and the linker may know. */
#define AT(name) "    .globl " name "\n    .hidden " name "\n" name ":\n"

/* All is copied. */
#define RETURN \
    "    cmp %r8, (%rcx)\n" \
    "    jne mv__cpu_changed\n" \
    "    mov %r10, %rax\n" \
    "    ret\n"

__asm__(
    "    .pushsection .text\n"
    "    .p2align 6\n"
    "    .type mv__cpu_checked, @function\n"
    AT("mv__cpu_checked")
    "    .cfi_startproc\n"
    "    endbr64\n"
    "    mov %rdx, %r10\n"
    AT("mv__cpu_blocks_begin")
    "    cmp $16, %rdx\n"
    "    jb 1f\n"
    "    cmp $32, %rdx\n"
    "    ja 2f\n"
    /* 16 to 32 bytes */
    "    movups (%rsi), %xmm0\n"
    "    movups -16(%rsi,%rdx), %xmm1\n"
    "    movups %xmm0, (%rdi)\n"
    "    movups %xmm1, -16(%rdi,%rdx)\n"
    RETURN
    "1:  cmp $8, %edx\n"
    "    jae 3f\n"
    "    cmp $4, %edx\n"
    "    jae 4f\n"
    "    cmp $1, %edx\n"
    "    ja 5f\n"
    "    jb 6f\n"
    "    movzbl (%rsi), %eax\n"
    "    movb %al, (%rdi)\n"
    "6:\n"
    RETURN
    /* 8 to 15; the flags are still those of the comparison. What could be a
     * number is stored once: a second time would undo what somebody stored
     * between. */
    "3:  movq (%rsi), %rax\n"
    "    je 12f\n"
    "    movq -8(%rsi,%rdx), %r11\n"
    "    movq %rax, (%rdi)\n"
    "    movq %r11, -8(%rdi,%rdx)\n"
    RETURN
    "12: movq %rax, (%rdi)\n"
    RETURN
    /* 4 to 7 */
    "4:  movl (%rsi), %eax\n"
    "    je 13f\n"
    "    movl -4(%rsi,%rdx), %r11d\n"
    "    movl %eax, (%rdi)\n"
    "    movl %r11d, -4(%rdi,%rdx)\n"
    RETURN
    "13: movl %eax, (%rdi)\n"
    RETURN
    /* 2 and 3 */
    "5:  movzwl (%rsi), %eax\n"
    "    cmp $2, %edx\n"
    "    je 14f\n"
    "    movzwl -2(%rsi,%rdx), %r11d\n"
    "    movw %ax, (%rdi)\n"
    "    movw %r11w, -2(%rdi,%rdx)\n"
    RETURN
    "14: movw %ax, (%rdi)\n"
    RETURN
    "2:  cmp $64, %rdx\n"
    "    ja 7f\n"
    /* 33 to 64 */
    "    movups (%rsi), %xmm0\n"
    "    movups 16(%rsi), %xmm1\n"
    "    movups -32(%rsi,%rdx), %xmm2\n"
    "    movups -16(%rsi,%rdx), %xmm3\n"
    "    movups %xmm0, (%rdi)\n"
    "    movups %xmm1, 16(%rdi)\n"
    "    movups %xmm2, -32(%rdi,%rdx)\n"
    "    movups %xmm3, -16(%rdi,%rdx)\n"
    RETURN
    "7:  cmp $128, %rdx\n"
    "    ja 8f\n"
    /* 65 to 128 */
    "    movups (%rsi), %xmm0\n"
    "    movups 16(%rsi), %xmm1\n"
    "    movups 32(%rsi), %xmm2\n"
    "    movups 48(%rsi), %xmm3\n"
    "    movups -64(%rsi,%rdx), %xmm4\n"
    "    movups -48(%rsi,%rdx), %xmm5\n"
    "    movups -32(%rsi,%rdx), %xmm6\n"
    "    movups -16(%rsi,%rdx), %xmm7\n"
    "    movups %xmm0, (%rdi)\n"
    "    movups %xmm1, 16(%rdi)\n"
    "    movups %xmm2, 32(%rdi)\n"
    "    movups %xmm3, 48(%rdi)\n"
    "    movups %xmm4, -64(%rdi,%rdx)\n"
    "    movups %xmm5, -48(%rdi,%rdx)\n"
    "    movups %xmm6, -32(%rdi,%rdx)\n"
    "    movups %xmm7, -16(%rdi,%rdx)\n"
    RETURN
    "8:  cmp $" LARGE ", %rdx\n"
    "    jae mv__copy_large\n"
    AT("mv__cpu_loop")
    "    mov %rdx, %r10\n"
    "    cmpb $0, mv__cpu_wide(%rip)\n"
    "    je 11f\n"
    /* 129 and more, 128 at a time; the last 1 to 128 overlap what is done */
    "    .p2align 4\n"
    "9:  vmovdqu (%rsi), %ymm0\n"
    "    vmovdqu 32(%rsi), %ymm1\n"
    "    vmovdqu 64(%rsi), %ymm2\n"
    "    vmovdqu 96(%rsi), %ymm3\n"
    "    vmovdqu %ymm0, (%rdi)\n"
    "    vmovdqu %ymm1, 32(%rdi)\n"
    "    vmovdqu %ymm2, 64(%rdi)\n"
    "    vmovdqu %ymm3, 96(%rdi)\n"
    "    sub $-128, %rsi\n"
    "    sub $-128, %rdi\n"
    "    add $-128, %rdx\n"
    "    cmp $128, %rdx\n"
    "    ja 9b\n"
    "    vmovdqu -128(%rsi,%rdx), %ymm0\n"
    "    vmovdqu -96(%rsi,%rdx), %ymm1\n"
    "    vmovdqu -64(%rsi,%rdx), %ymm2\n"
    "    vmovdqu -32(%rsi,%rdx), %ymm3\n"
    "    vmovdqu %ymm0, -128(%rdi,%rdx)\n"
    "    vmovdqu %ymm1, -96(%rdi,%rdx)\n"
    "    vmovdqu %ymm2, -64(%rdi,%rdx)\n"
    "    vmovdqu %ymm3, -32(%rdi,%rdx)\n"
    "    vzeroupper\n"
    RETURN
    "    .p2align 4\n"
    "11: movups (%rsi), %xmm0\n"
    "    movups 16(%rsi), %xmm1\n"
    "    movups 32(%rsi), %xmm2\n"
    "    movups 48(%rsi), %xmm3\n"
    "    movups %xmm0, (%rdi)\n"
    "    movups %xmm1, 16(%rdi)\n"
    "    movups %xmm2, 32(%rdi)\n"
    "    movups %xmm3, 48(%rdi)\n"
    "    add $64, %rsi\n"
    "    add $64, %rdi\n"
    "    sub $64, %rdx\n"
    "    cmp $64, %rdx\n"
    "    ja 11b\n"
    "18: movups -64(%rsi,%rdx), %xmm0\n"
    "    movups -48(%rsi,%rdx), %xmm1\n"
    "    movups -32(%rsi,%rdx), %xmm2\n"
    "    movups -16(%rsi,%rdx), %xmm3\n"
    "    movups %xmm0, -64(%rdi,%rdx)\n"
    "    movups %xmm1, -48(%rdi,%rdx)\n"
    "    movups %xmm2, -32(%rdi,%rdx)\n"
    "    movups %xmm3, -16(%rdi,%rdx)\n"
    RETURN
    /* 65 and more, past the caches. Such a store wants an aligned place: the
     * first 64 go the ordinary way, and some of them once more. */
    AT("mv__cpu_stream")
    "    mov %rdx, %r10\n"
    "    movups (%rsi), %xmm0\n"
    "    movups 16(%rsi), %xmm1\n"
    "    movups 32(%rsi), %xmm2\n"
    "    movups 48(%rsi), %xmm3\n"
    "    movups %xmm0, (%rdi)\n"
    "    movups %xmm1, 16(%rdi)\n"
    "    movups %xmm2, 32(%rdi)\n"
    "    movups %xmm3, 48(%rdi)\n"
    "    mov %edi, %eax\n"
    "    and $63, %eax\n"
    "    sub $64, %rax\n" /* as many to the next multiple of 64, negative */
    "    sub %rax, %rsi\n"
    "    sub %rax, %rdi\n"
    "    add %rax, %rdx\n"
    "    cmp $64, %rdx\n"
    "    jbe 17f\n"
    "    .p2align 4\n"
    "16: movups (%rsi), %xmm0\n"
    "    movups 16(%rsi), %xmm1\n"
    "    movups 32(%rsi), %xmm2\n"
    "    movups 48(%rsi), %xmm3\n"
    "    movntps %xmm0, (%rdi)\n"
    "    movntps %xmm1, 16(%rdi)\n"
    "    movntps %xmm2, 32(%rdi)\n"
    "    movntps %xmm3, 48(%rdi)\n"
    "    add $64, %rsi\n"
    "    add $64, %rdi\n"
    "    sub $64, %rdx\n"
    "    cmp $64, %rdx\n"
    "    ja 16b\n"
    "17: sfence\n" /* what comes later must not be seen before these */
    "    jmp 18b\n"
    AT("mv__cpu_blocks_end")
    AT("mv__cpu_string")
    "    mov %rdx, %r10\n"
    "    jmp mv__cpu_bytes\n"
    AT("mv__cpu_again")
    "    sfence\n"
    "    cmpb $0, mv__cpu_wide(%rip)\n"
    "    je mv__cpu_bytes\n"
    "    vzeroupper\n"
    "mv__cpu_bytes:\n"
    "    mov %rcx, %rax\n"
    "    lea (%rdi,%rdx), %r11\n"
    "    mov %rdx, %rcx\n"
    "    add %rsi, %rdx\n"
    AT("mv__cpu_bytes_begin")
    "    rep movsb\n"
    AT("mv__cpu_bytes_end")
    AT("mv__cpu_short")
    /* r11: the bytes left; the others as they came */
    "    sub %rdi, %r11\n"
    "    add %r11, %rdi\n"
    "    sub %r10, %rdi\n"
    "    mov %rdx, %rsi\n"
    "    sub %r10, %rsi\n"
    "    mov %rax, %rcx\n"
    "    mov %r10, %rdx\n"
    "    test %r11, %r11\n"
    "    jnz 15f\n"
    RETURN
    "15: mov %r10, %r8\n"
    "    sub %r11, %r8\n"
    "    jmp mv__copy_rest\n"
    AT("mv__cpu_untouched")
    "    xor %r8d, %r8d\n"
    "    jmp mv__copy_rest\n"
    /* rdi+rdx and rsi+rdx are the ends, however far the blocks had come */
    "mv__cpu_changed:\n"
    "    mov %r10, %r8\n"
    "    sub %r10, %rdx\n"
    "    add %rdx, %rdi\n"
    "    add %rdx, %rsi\n"
    "    mov %r10, %rdx\n"
    "    jmp mv__copy_rest\n"
    "    .cfi_endproc\n"
    "    .size mv__cpu_checked, .-mv__cpu_checked\n"
    "    .popsection\n");

size_t mv__cpu_copy(void *to, const void *from, size_t n)
{
    static const _Atomic uint64_t word;
    return (size_t)mv__cpu_checked(to, from, n, &word, 0, MV__CPU_COUNT);
}

/* The numbers. A plain move acquires and releases on this processor. A fault
 * resumes at mv__cpu_none. */
__asm__(
    "    .pushsection .text\n"
    "    .p2align 4\n"
    "    .type mv__cpu_load, @function\n"
    AT("mv__cpu_load")
    "    .cfi_startproc\n"
    "    endbr64\n"
    AT("mv__cpu_numbers_begin")
    "    cmp $4, %esi\n"
    "    je 3f\n"
    "    ja 4f\n"
    "    cmp $2, %esi\n"
    "    je 2f\n"
    "    movzbl (%rdi), %eax\n"
    "    jmp 5f\n"
    "2:  movzwl (%rdi), %eax\n"
    "    jmp 5f\n"
    "3:  movl (%rdi), %eax\n"
    "    jmp 5f\n"
    "4:  movq (%rdi), %rax\n"
    "5:  movq %rax, (%rdx)\n"
    "    mov $1, %eax\n"
    "    ret\n"
    "    .cfi_endproc\n"
    "    .size mv__cpu_load, .-mv__cpu_load\n"
    "    .p2align 4\n"
    "    .type mv__cpu_store, @function\n"
    AT("mv__cpu_store")
    "    .cfi_startproc\n"
    "    endbr64\n"
    "    mov $1, %eax\n"
    "    cmp $4, %esi\n"
    "    je 3f\n"
    "    ja 4f\n"
    "    cmp $2, %esi\n"
    "    je 2f\n"
    "    movb %dl, (%rdi)\n"
    "    ret\n"
    "2:  movw %dx, (%rdi)\n"
    "    ret\n"
    "3:  movl %edx, (%rdi)\n"
    "    ret\n"
    "4:  movq %rdx, (%rdi)\n"
    "    ret\n"
    AT("mv__cpu_numbers_end")
    AT("mv__cpu_none")
    "    xor %eax, %eax\n"
    "    ret\n"
    "    .cfi_endproc\n"
    "    .size mv__cpu_store, .-mv__cpu_store\n"
    "    .popsection\n");

/*
 * The call that can be left. Its frame holds what a function must preserve:
 *
 *     rsp -> shadow stack pointer (0: there is none), r15, r14, r13, r12,
 *            rbx, rbp, return address
 *
 * mv__cpu_landed is entered with that rsp. What is in the midst of being
 * computed on the old floating point stack is dropped, and so are the frames
 * between, which have no other trace than on the shadow stack.
 */
__asm__(
    "    .pushsection .text\n"
    "    .p2align 4\n"
    "    .type mv__cpu_call, @function\n"
    AT("mv__cpu_call")
    "    .cfi_startproc\n"
    "    endbr64\n"
    "    push %rbp\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    .cfi_rel_offset %rbp, 0\n"
    "    push %rbx\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    .cfi_rel_offset %rbx, 0\n"
    "    push %r12\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    .cfi_rel_offset %r12, 0\n"
    "    push %r13\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    .cfi_rel_offset %r13, 0\n"
    "    push %r14\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    .cfi_rel_offset %r14, 0\n"
    "    push %r15\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    .cfi_rel_offset %r15, 0\n"
    "    xor %eax, %eax\n"
    "    rdsspq %rax\n" /* does nothing where there is none */
    "    push %rax\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    mov %rsp, (%rdi)\n"
    "    mov %rdx, %rdi\n"
    "    call *%rsi\n"
    "1:  add $8, %rsp\n"
    "    .cfi_adjust_cfa_offset -8\n"
    "    .cfi_remember_state\n"
    "    pop %r15\n"
    "    .cfi_adjust_cfa_offset -8\n"
    "    .cfi_restore %r15\n"
    "    pop %r14\n"
    "    .cfi_adjust_cfa_offset -8\n"
    "    .cfi_restore %r14\n"
    "    pop %r13\n"
    "    .cfi_adjust_cfa_offset -8\n"
    "    .cfi_restore %r13\n"
    "    pop %r12\n"
    "    .cfi_adjust_cfa_offset -8\n"
    "    .cfi_restore %r12\n"
    "    pop %rbx\n"
    "    .cfi_adjust_cfa_offset -8\n"
    "    .cfi_restore %rbx\n"
    "    pop %rbp\n"
    "    .cfi_adjust_cfa_offset -8\n"
    "    .cfi_restore %rbp\n"
    "    ret\n"
    AT("mv__cpu_landed")
    "    .cfi_restore_state\n"
    "    .cfi_adjust_cfa_offset 8\n"
    "    emms\n"
    "    cmpb $0, mv__cpu_wide(%rip)\n"
    "    je 3f\n"
    "    vzeroupper\n"
    "3:  mov (%rsp), %rcx\n"
    "    test %rcx, %rcx\n"
    "    je 1b\n"
    "    rdsspq %rax\n"
    "    sub %rax, %rcx\n"
    "    shr $3, %rcx\n"
    "2:  mov $255, %edx\n" /* the most that one incssp drops */
    "    cmp %rdx, %rcx\n"
    "    cmovb %rcx, %rdx\n"
    "    incsspq %rdx\n"
    "    sub %rdx, %rcx\n"
    "    ja 2b\n"
    "    jmp 1b\n"
    "    .cfi_endproc\n"
    "    .size mv__cpu_call, .-mv__cpu_call\n"
    "    .popsection\n");

/* clang-format on */

__attribute__((used, visibility("hidden"))) bool mv__cpu_wide; /* read by the copy */

bool mv__cpu_has_string;

#define LEAF_FEATURES 7
#define FAST_STRING (1U << 9) /* of ebx: the instruction copies by whole lines */

void mv__cpu_prepare(void)
{
    unsigned eax, ebx = 0, ecx, edx;
    __builtin_cpu_init();
    mv__cpu_wide = __builtin_cpu_supports("avx");
    if (__get_cpuid_count(LEAF_FEATURES, 0, &eax, &ebx, &ecx, &edx))
        mv__cpu_has_string = ebx & FAST_STRING;
}

#define PLACE(name) extern const char name[] __attribute__((visibility("hidden")))
PLACE(mv__cpu_blocks_begin);
PLACE(mv__cpu_blocks_end);
PLACE(mv__cpu_again);
PLACE(mv__cpu_bytes_begin);
PLACE(mv__cpu_bytes_end);
PLACE(mv__cpu_short);
PLACE(mv__cpu_numbers_begin);
PLACE(mv__cpu_numbers_end);
PLACE(mv__cpu_none);
PLACE(mv__cpu_untouched);
PLACE(mv__cpu_landed);
#undef PLACE

#define FLAG_DIRECTION 0x400

/* A number is 1, 2, 4 or 8 bytes, aligned on both sides. */
static bool copies_number(const greg_t *registers)
{
    uint64_t n = (uint64_t)registers[REG_R10];
    uint64_t sides = (uint64_t)(registers[REG_RDI] | registers[REG_RSI]);
    return (n == 1 || n == 2 || n == 4 || n == 8) && (sides & (n - 1)) == 0;
}

bool mv__cpu_resume(void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uintptr_t at = (uintptr_t)registers[REG_RIP];
    const char *next;
    if (at >= (uintptr_t)mv__cpu_blocks_begin && at < (uintptr_t)mv__cpu_blocks_end)
        next = copies_number(registers) ? mv__cpu_untouched : mv__cpu_again;
    else if (at >= (uintptr_t)mv__cpu_bytes_begin && at < (uintptr_t)mv__cpu_bytes_end)
        next = mv__cpu_short;
    else if (at >= (uintptr_t)mv__cpu_numbers_begin && at < (uintptr_t)mv__cpu_numbers_end)
        next = mv__cpu_none;
    else
        return false;
    registers[REG_RIP] = (greg_t)(uintptr_t)next;
    return true;
}

void mv__cpu_land(void *context, struct mv__landing *landing)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    registers[REG_RIP] = (greg_t)(uintptr_t)mv__cpu_landed;
    registers[REG_RSP] = (greg_t)(uintptr_t)landing->stack;
    registers[REG_EFL] &= ~(greg_t)FLAG_DIRECTION; /* may be set in the midst of a memmove */
}

uintptr_t mv__cpu_place(const void *context)
{
    return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
}

uintptr_t mv__cpu_stack(const void *context)
{
    return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RSP];
}

uintptr_t mv__cpu_home(const struct mv__landing *landing)
{
    return (uintptr_t)landing->stack;
}

#define PAGE_FAULT 14
#define PAGE_FAULT_WRITE 2

uint32_t mv__cpu_access(const void *context)
{
    const greg_t *registers = ((const ucontext_t *)context)->uc_mcontext.gregs;
    if (registers[REG_TRAPNO] != PAGE_FAULT)
        return 0;
    return (registers[REG_ERR] & PAGE_FAULT_WRITE) ? MV_WRITE : MV_READ;
}

#endif
