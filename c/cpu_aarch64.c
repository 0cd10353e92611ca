/* cpu_aarch64.c: guarded accesses on little-endian 64-bit ARM. */
#include "cpu.h"
#include "mapview.h"

#if defined(__aarch64__) && !defined(MV__CPU_ANY)

#include <asm/sigcontext.h>
#include <ucontext.h>

/* A place in the code that C and the linker may know. */
#define AT(name) "    .globl " name "\n    .hidden " name "\n" name ":\n"

/* clang-format off */

/*
 * The copy.  Its code is in two ranges, and a fault means another thing in each:
 *
 *   blocks   vectors, with overlapping ends. At every load and store x0, x1
 *            and x2 say what is left to do from a point before which all is
 *            done. A fault resumes at mv__cpu_again, which copies the same
 *            again by the byte, and comes to the exact one, or through if the
 *            page is there by now.
 *   bytes    a fault resumes at mv__cpu_short: x2 bytes are left.
 *
 * x6 is the whole count. A number is copied at once or, after a fault, not at
 * all.
 */
__asm__(
    "    .pushsection .text\n"
    "    .p2align 6\n"
    "    .type mv__cpu_copy, %function\n"
    AT("mv__cpu_copy")
    "    .cfi_startproc\n"
    "    hint #34\n" /* bti c */
    "    mov x6, x2\n"
    "    add x4, x1, x2\n" /* the ends */
    "    add x5, x0, x2\n"
    AT("mv__cpu_blocks_begin")
    "    cmp x2, #16\n"
    "    b.lo 1f\n"
    "    cmp x2, #32\n"
    "    b.hi 2f\n"
    /* 16 to 32 bytes */
    "    ldr q0, [x1]\n"
    "    ldr q1, [x4, #-16]\n"
    "    str q0, [x0]\n"
    "    str q1, [x5, #-16]\n"
    "    b 9f\n"
    "1:  tbz x2, #3, 3f\n"
    /* 8 to 15; a number is stored once, here and below */
    "    ldr x7, [x1]\n"
    "    cmp x2, #8\n"
    "    b.eq 8f\n"
    "    ldr x8, [x4, #-8]\n"
    "    str x7, [x0]\n"
    "    str x8, [x5, #-8]\n"
    "    b 9f\n"
    "8:  str x7, [x0]\n"
    "    b 9f\n"
    "3:  tbz x2, #2, 4f\n"
    /* 4 to 7 */
    "    ldr w7, [x1]\n"
    "    cmp x2, #4\n"
    "    b.eq 8f\n"
    "    ldr w8, [x4, #-4]\n"
    "    str w7, [x0]\n"
    "    str w8, [x5, #-4]\n"
    "    b 9f\n"
    "8:  str w7, [x0]\n"
    "    b 9f\n"
    "4:  tbz x2, #1, 5f\n"
    /* 2 and 3 */
    "    ldrh w7, [x1]\n"
    "    tbz x2, #0, 8f\n"
    "    ldrb w8, [x1, #2]\n"
    "    strh w7, [x0]\n"
    "    strb w8, [x0, #2]\n"
    "    b 9f\n"
    "8:  strh w7, [x0]\n"
    "    b 9f\n"
    "5:  cbz x2, 9f\n"
    "    ldrb w7, [x1]\n"
    "    strb w7, [x0]\n"
    "    b 9f\n"
    "2:  cmp x2, #64\n"
    "    b.hi 6f\n"
    /* 33 to 64 */
    "    ldp q0, q1, [x1]\n"
    "    ldp q2, q3, [x4, #-32]\n"
    "    stp q0, q1, [x0]\n"
    "    stp q2, q3, [x5, #-32]\n"
    "    b 9f\n"
    /* 65 and more, 64 at a time; the last 1 to 64 overlap what is done */
    "6:  ldp q0, q1, [x1]\n"
    "    ldp q2, q3, [x1, #32]\n"
    "    stp q0, q1, [x0]\n"
    "    stp q2, q3, [x0, #32]\n"
    "    add x1, x1, #64\n"
    "    add x0, x0, #64\n"
    "    sub x2, x2, #64\n"
    "    cmp x2, #64\n"
    "    b.hi 6b\n"
    "    ldp q0, q1, [x4, #-64]\n"
    "    ldp q2, q3, [x4, #-32]\n"
    "    stp q0, q1, [x5, #-64]\n"
    "    stp q2, q3, [x5, #-32]\n"
    AT("mv__cpu_blocks_end")
    "9:  mov x0, x6\n"
    "    ret\n"
    AT("mv__cpu_again")
    "    cbz x2, mv__cpu_short\n"
    AT("mv__cpu_bytes_begin")
    "7:  ldrb w7, [x1]\n"
    "    strb w7, [x0]\n"
    AT("mv__cpu_bytes_end")
    "    add x1, x1, #1\n"
    "    add x0, x0, #1\n"
    "    subs x2, x2, #1\n"
    "    b.ne 7b\n"
    AT("mv__cpu_short")
    "    sub x0, x6, x2\n"
    "    ret\n"
    "    .cfi_endproc\n"
    "    .size mv__cpu_copy, .-mv__cpu_copy\n"
    "    .popsection\n");

/* The numbers. A fault resumes at mv__cpu_none. */
__asm__(
    "    .pushsection .text\n"
    "    .p2align 4\n"
    "    .type mv__cpu_load, %function\n"
    AT("mv__cpu_load")
    "    .cfi_startproc\n"
    "    hint #34\n"
    AT("mv__cpu_numbers_begin")
    "    cmp w1, #4\n"
    "    b.eq 3f\n"
    "    b.hi 4f\n"
    "    cmp w1, #2\n"
    "    b.eq 2f\n"
    "    ldarb w3, [x0]\n"
    "    b 5f\n"
    "2:  ldarh w3, [x0]\n"
    "    b 5f\n"
    "3:  ldar w3, [x0]\n"
    "    b 5f\n"
    "4:  ldar x3, [x0]\n"
    "5:  str x3, [x2]\n"
    "    mov w0, #1\n"
    "    ret\n"
    "    .cfi_endproc\n"
    "    .size mv__cpu_load, .-mv__cpu_load\n"
    "    .p2align 4\n"
    "    .type mv__cpu_store, %function\n"
    AT("mv__cpu_store")
    "    .cfi_startproc\n"
    "    hint #34\n"
    "    cmp w1, #4\n"
    "    b.eq 3f\n"
    "    b.hi 4f\n"
    "    cmp w1, #2\n"
    "    b.eq 2f\n"
    "    stlrb w2, [x0]\n"
    "    b 5f\n"
    "2:  stlrh w2, [x0]\n"
    "    b 5f\n"
    "3:  stlr w2, [x0]\n"
    "    b 5f\n"
    "4:  stlr x2, [x0]\n"
    "5:  mov w0, #1\n"
    "    ret\n"
    AT("mv__cpu_numbers_end")
    AT("mv__cpu_none")
    "    mov w0, #0\n"
    "    ret\n"
    "    .cfi_endproc\n"
    "    .size mv__cpu_store, .-mv__cpu_store\n"
    "    .popsection\n");

/* The call that can be left. Its frame holds what a function must preserve;
 * x18 is the shadow call stack of those who have one. mv__cpu_landed is
 * entered with the sp of that frame. */
__asm__(
    "    .pushsection .text\n"
    "    .p2align 4\n"
    "    .type mv__cpu_call, %function\n"
    AT("mv__cpu_call")
    "    .cfi_startproc\n"
    "    hint #34\n"
    "    stp x29, x30, [sp, #-176]!\n"
    "    .cfi_def_cfa_offset 176\n"
    "    .cfi_offset x29, -176\n"
    "    .cfi_offset x30, -168\n"
    "    mov x29, sp\n"
    "    stp x19, x20, [sp, #16]\n"
    "    stp x21, x22, [sp, #32]\n"
    "    stp x23, x24, [sp, #48]\n"
    "    stp x25, x26, [sp, #64]\n"
    "    stp x27, x28, [sp, #80]\n"
    "    stp d8, d9, [sp, #96]\n"
    "    stp d10, d11, [sp, #112]\n"
    "    stp d12, d13, [sp, #128]\n"
    "    stp d14, d15, [sp, #144]\n"
    "    str x18, [sp, #160]\n"
    "    .cfi_offset x19, -160\n"
    "    .cfi_offset x20, -152\n"
    "    .cfi_offset x21, -144\n"
    "    .cfi_offset x22, -136\n"
    "    .cfi_offset x23, -128\n"
    "    .cfi_offset x24, -120\n"
    "    .cfi_offset x25, -112\n"
    "    .cfi_offset x26, -104\n"
    "    .cfi_offset x27, -96\n"
    "    .cfi_offset x28, -88\n"
    "    mov x9, sp\n"
    "    str x9, [x0]\n"
    "    mov x0, x2\n"
    "    blr x1\n"
    AT("mv__cpu_landed")
    "    ldr x18, [sp, #160]\n"
    "    ldp d14, d15, [sp, #144]\n"
    "    ldp d12, d13, [sp, #128]\n"
    "    ldp d10, d11, [sp, #112]\n"
    "    ldp d8, d9, [sp, #96]\n"
    "    ldp x27, x28, [sp, #80]\n"
    "    ldp x25, x26, [sp, #64]\n"
    "    ldp x23, x24, [sp, #48]\n"
    "    ldp x21, x22, [sp, #32]\n"
    "    ldp x19, x20, [sp, #16]\n"
    "    ldp x29, x30, [sp], #176\n"
    "    .cfi_restore x29\n"
    "    .cfi_restore x30\n"
    "    .cfi_def_cfa_offset 0\n"
    "    ret\n"
    "    .cfi_endproc\n"
    "    .size mv__cpu_call, .-mv__cpu_call\n"
    "    .popsection\n");

/* clang-format on */

void mv__cpu_prepare(void)
{
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
PLACE(mv__cpu_landed);
#undef PLACE

/* A number is 1, 2, 4 or 8 bytes, aligned on both sides. */
static bool copies_number(const mcontext_t *registers)
{
    uint64_t n = registers->regs[6];
    uint64_t sides = registers->regs[0] | registers->regs[1];
    return (n == 1 || n == 2 || n == 4 || n == 8) && (sides & (n - 1)) == 0;
}

bool mv__cpu_resume(void *context)
{
    mcontext_t *registers = &((ucontext_t *)context)->uc_mcontext;
    uintptr_t at = (uintptr_t)registers->pc;
    const char *next;
    if (at >= (uintptr_t)mv__cpu_blocks_begin && at < (uintptr_t)mv__cpu_blocks_end)
        next = copies_number(registers) ? mv__cpu_none : mv__cpu_again;
    else if (at >= (uintptr_t)mv__cpu_bytes_begin && at < (uintptr_t)mv__cpu_bytes_end)
        next = mv__cpu_short;
    else if (at >= (uintptr_t)mv__cpu_numbers_begin && at < (uintptr_t)mv__cpu_numbers_end)
        next = mv__cpu_none;
    else
        return false;
    registers->pc = (uintptr_t)next;
    return true;
}

#define BRANCH_TYPE ((uint64_t)3 << 10)

void mv__cpu_land(void *context, struct mv__landing *landing)
{
    mcontext_t *registers = &((ucontext_t *)context)->uc_mcontext;
    registers->pc = (uintptr_t)mv__cpu_landed;
    registers->sp = (uintptr_t)landing->stack;
    registers->pstate &= ~BRANCH_TYPE; /* set at the first instruction behind an indirect branch */
}

uintptr_t mv__cpu_place(const void *context)
{
    return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.pc;
}

uintptr_t mv__cpu_stack(const void *context)
{
    return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.sp;
}

uintptr_t mv__cpu_home(const struct mv__landing *landing)
{
    return (uintptr_t)landing->stack;
}

#define DATA_ABORT_LOWER 0x24 /* from user space */
#define WRITE_NOT_READ 0x40

uint32_t mv__cpu_access(const void *context)
{
    const mcontext_t *registers = &((const ucontext_t *)context)->uc_mcontext;
    const unsigned char *at = (const unsigned char *)registers->__reserved;
    const unsigned char *end = at + sizeof registers->__reserved;
    while (end - at >= (ptrdiff_t)sizeof(struct _aarch64_ctx)) {
        const struct _aarch64_ctx *record = (const struct _aarch64_ctx *)(const void *)at;
        if (record->magic == ESR_MAGIC) {
            uint64_t syndrome = ((const struct esr_context *)(const void *)at)->esr;
            if (((syndrome >> 26) & 0x3f) != DATA_ABORT_LOWER)
                return 0;
            return (syndrome & WRITE_NOT_READ) ? MV_WRITE : MV_READ;
        }
        if (record->magic == 0 || record->size < sizeof *record || record->size > (size_t)(end - at))
            return 0;
        at += record->size;
    }
    return 0;
}

#endif
