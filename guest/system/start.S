/* Entry of a bare guest by Multiboot 1: page tables, long mode, traps. See segments.c. */

        .set    KERNEL_CODE, 0x08
        .set    KERNEL_DATA, 0x10

        .section .multiboot, "a"
        .align  4
        .long   0x1badb002, 0, -0x1badb002

        .bss
        .align  4096
tables: .skip   4096 * 3
        .skip   16384
stack_top:
        .skip   8192
interrupt_stack_top:

        .section .text
        .code32
        .global _start
_start: movl    $stack_top, %esp
        /* 1 GiB, mapped to itself with pages of 2 MiB, for users too. */
        movl    $tables + 4096 + 7, tables
        movl    $tables + 8192 + 7, tables + 4096
        movl    $0x87, %eax
        movl    $tables + 8192, %edi
1:      movl    %eax, (%edi)
        addl    $0x200000, %eax
        addl    $8, %edi
        cmpl    $tables + 12288, %edi
        jne     1b
        movl    %cr4, %eax
        orl     $0x220, %eax            /* PAE, OSFXSR */
        movl    %eax, %cr4
        movl    $tables, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx
        rdmsr
        orl     $0x101, %eax            /* LME, SCE */
        wrmsr
        movl    %cr0, %eax
        orl     $0x80000021, %eax       /* PG, NE, PE */
        movl    %eax, %cr0
        lgdt    boot_pointer
        ljmp    $KERNEL_CODE, $2f
        .code64
2:      movw    $KERNEL_DATA, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        xorl    %eax, %eax
        movw    %ax, %fs
        movw    %ax, %gs
        movq    $stack_top, %rsp
        call    guest_main
3:      hlt
        jmp     3b

        .align  8
boot_table:
        .quad   0, 0x00af9b000000ffff, 0x00cf93000000ffff
boot_pointer:
        .word   23
        .quad   boot_table

/* void run_case(void): enters the code of `entry` by IRETQ; the trap that ends it returns here. */
        .global run_case
run_case:
        pushq   %rbx
        pushq   %rbp
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        movq    %rsp, saved_rsp
        movw    entry + 80, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %fs
        movw    %ax, %gs
        pushq   entry + 0               /* SS */
        pushq   entry + 8               /* RSP */
        pushq   entry + 16              /* RFLAGS */
        pushq   entry + 24              /* CS */
        pushq   entry + 32              /* RIP */
        movq    entry + 40, %rax
        movq    entry + 48, %rcx
        movq    entry + 56, %rdx
        movq    entry + 64, %rbx
        movq    entry + 72, %r11
        iretq

        .macro  trap vector, error
        .align  16
        .if     \error == 0
        pushq   $0
        .endif
        pushq   $\vector
        jmp     common_trap
        .endm

        .align  16
        .global trap_entries
trap_entries:
        .irp    vector, 0, 1, 2, 3, 4, 5, 6, 7
        trap    \vector, 0
        .endr
        trap    8, 1
        trap    9, 0
        .irp    vector, 10, 11, 12, 13, 14
        trap    \vector, 1
        .endr
        .irp    vector, 15, 16
        trap    \vector, 0
        .endr
        trap    17, 1
        .irp    vector, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        trap    \vector, 0
        .endr

common_trap:
        movq    %rax, result + 56
        movq    %rcx, result + 64
        movq    %rdx, result + 72
        movq    %rbx, result + 80
        movq    %r11, result + 88
        movw    %ds, result + 96
        movw    %es, result + 98
        movw    %fs, result + 100
        movw    %gs, result + 102
        popq    result + 0              /* vector */
        popq    result + 8              /* error code */
        popq    result + 16             /* RIP */
        popq    result + 24             /* CS */
        popq    result + 32             /* RFLAGS */
        popq    result + 40             /* RSP */
        popq    result + 48             /* SS */
        movw    $KERNEL_DATA, %ax
        movw    %ax, %ss
        movw    %ax, %ds
        movw    %ax, %es
        cld
        movq    saved_rsp, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbp
        popq    %rbx
        ret

        .bss
        .align  8
saved_rsp:
        .skip   8
        .global entry, result, interrupt_stack
entry:  .skip   96
result: .skip   112
        .data
        .align  8
interrupt_stack:
        .quad   interrupt_stack_top
        .section .note.GNU-stack, "", @progbits
