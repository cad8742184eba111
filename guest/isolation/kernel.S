/* A kernel whose every access to memory is known: tests of isolation.monitor run it under policies and
   count.

   It has no C and, in system calls, no stack. A system call touches the page of its code and what its arguments
   name; an interrupt touches the tables and the stack besides. User code works off a script of four quadwords for
   each step, which the test writes:

     step      rdi               rsi                   rdx
     0                                                            system call: isa-debug-exit; the test may go on
     1                                                            system call: back at once
     2         address                                            system call: loads
     3         address                                 value      system call: stores
     4         address of entry  page-table entry      address    system call: changes a mapping; INVLPG unless 0
     5         frame             pages                 for users  system call: `allocate` is reached
     6         frame             pages                            system call: `release` is reached
     7         next task         previous has ended               system call: `switch_task` is reached
     8         CR3                                                system call: loads another address space
     9         address or 0                                       system call: INT 80H in the kernel
     10                                                           system call: drops all translations
     100       address or 0                                       INT 80H, whose handler loads
     101                                                          INT 22H, which users must not call: #GP

   Physical memory is where kernel.ld puts it. Linear memory:

     0000000000200000   what booting needs
     0000000000400000   user code, then four pages of script
     ffff888000000000   all of the first 16 MiB, in pages of 4 KiB
     ffffc90000000000   512 pages that step 4 maps; table `areas`, which maps nothing at first
     ffffffff80200000   the image, in pages of 4 KiB */

        .set    IMAGE, 0xffffffff80000000
        .set    KERNEL_CODE, 0x08
        .set    TASK, 0x30
        .set    EXIT_PORT, 0xf4

        .section .multiboot, "a"
        .align  4
        .long   0x1badb002, 0, -0x1badb002

        .section .boot, "ax"
        .code32
        .global _start
_start: movl    %cr4, %eax
        orl     $0xa0, %eax             /* PAE, PGE */
        movl    %eax, %cr4
        movl    $root_a, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx       /* EFER: LME, SCE */
        rdmsr
        orl     $0x101, %eax
        wrmsr
        movl    $0xc0000081, %ecx       /* STAR: CS 8 for the kernel, 28H for users */
        xorl    %eax, %eax
        movl    $0x00180008, %edx
        wrmsr
        movl    $0xc0000082, %ecx       /* LSTAR */
        movl    $entry + 0x80000000, %eax
        movl    $0xffffffff, %edx
        wrmsr
        movl    %cr0, %eax
        orl     $0x80010021, %eax       /* PG, WP, NE, PE */
        movl    %eax, %cr0
        lgdt    boot_pointer
        ljmp    $KERNEL_CODE, $1f
        .code64
1:      movabsq $IMAGE + start, %rax
        jmp     *%rax

        .align  8
boot_pointer:
        .word   0x3f
        .long   gdt

        /* The kernel. */
        .section .text, "ax"
start:  lgdt    gdt_pointer(%rip)
        lidt    idt_pointer(%rip)
        movw    $TASK, %ax
        ltr     %ax
        xorl    %eax, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $1, %eax
        outb    %al, $EXIT_PORT         /* ready: the test attaches */
        movl    $0x400000, %ecx
        movl    $0x401000, %ebx
        movl    $2, %r11d
        sysretq

        .align  16
entry:  cmpl    $1, %eax
        jb      finish
        je      back
        cmpl    $2, %eax
        je      load
        cmpl    $3, %eax
        je      store
        cmpl    $4, %eax
        je      map
        cmpl    $5, %eax
        je      allocate
        cmpl    $6, %eax
        je      release
        cmpl    $7, %eax
        je      switch_task
        cmpl    $8, %eax
        je      switch_address_space
        cmpl    $9, %eax
        je      interrupt
        cmpl    $10, %eax
        je      flush
finish: xorl    %eax, %eax
        outb    %al, $EXIT_PORT
back:   sysretq
load:   movq    (%rdi), %r8
        sysretq
store:  movq    %rdx, (%rdi)
        sysretq
map:    movq    %rsi, (%rdi)
        testq   %rdx, %rdx
        jz      back
        invlpg  (%rdx)
        sysretq
switch_address_space:
        movq    %rdi, %cr3
        sysretq
interrupt:
        int     $0x80
        sysretq
flush:  movq    %cr4, %r8
        movq    %r8, %r9
        xorb    $0x80, %r9b             /* PGE */
        movq    %r9, %cr4
        movq    %r8, %cr4
        sysretq

        /* The test knows the following places. */
        .org    0x400
allocate:
        nop
        sysretq
        .org    0x410
release:
        nop
        sysretq
        .org    0x420
switch_task:
        nop
        sysretq
        .org    0x500
handle_80:
        testq   %rdi, %rdi
        jz      1f
        movq    (%rdi), %r8
1:      iretq
        .org    0x520
handle_protection:                      /* goes on after the INT */
        addq    $8, %rsp
        addq    $2, (%rsp)
        iretq
        .org    0x540
handle_others:
        movl    $2, %eax
        outb    %al, $EXIT_PORT
1:      hlt
        jmp     1b

        /* Descriptor tables and the TSS, in one page. */
        .section .area, "aw"
        .macro  gate offset, access
        .quad   (IMAGE + 0x201000 + \offset) & 0xffff | KERNEL_CODE << 16 | 1 << 32 | \access << 40 | 0x8020 << 48
        .quad   0xffffffff
        .endm
idt:    .rept   13
        gate    0x540, 0x8e
        .endr
        gate    0x520, 0x8e
        .rept   0x80 - 14
        gate    0x540, 0x8e
        .endr
        gate    0x500, 0xee
        .org    0xa00
gdt:    .quad   0
        .quad   0x00af9b000000ffff      /* kernel code */
        .quad   0x00cf93000000ffff      /* kernel data */
        .quad   0
        .quad   0x00cff3000000ffff      /* user data */
        .quad   0x00affb000000ffff      /* user code */
        .quad   0x800089202b000067      /* TSS at IMAGE + 202B00H; LTR finds it available */
        .quad   0xffffffff
gdt_pointer:
        .word   0x3f
        .quad   IMAGE + gdt
idt_pointer:
        .word   0x80f
        .quad   IMAGE + idt
        .org    0xb00
        .fill   0x24, 1, 0
        .quad   IMAGE + stack_top       /* IST 1, of all gates */
        .fill   0x3c, 1, 0

        .section .stack, "aw"
        .fill   4096, 1, 0
stack_top:

        /* User code, at 400000H. */
        .section .user, "ax"
step:   movq    (%rbx), %rax
        movq    8(%rbx), %rdi
        movq    16(%rbx), %rsi
        movq    24(%rbx), %rdx
        addq    $32, %rbx
        cmpl    $100, %eax
        je      1f
        cmpl    $101, %eax
        je      2f
        syscall
        jmp     step
1:      int     $0x80
        jmp     step
2:      int     $0x22
        jmp     step

        .section .script, "aw"
        .fill   4 * 4096, 1, 0

        /* Page tables, all of them made here: 1 present, 2 writable, 4 user, 20H accessed, 40H dirty. */
        .section .tables, "aw"
        .macro  root
        .quad   low_3 + 0x27
        .fill   272, 8, 0
        .quad   all_3 + 0x23            /* 273: ffff888000000000 */
        .fill   128, 8, 0
        .quad   areas_3 + 0x23          /* 402: ffffc90000000000 */
        .fill   108, 8, 0
        .quad   image_3 + 0x23          /* 511 */
        .endm
root_a: root
root_b: root
low_3:  .quad   low_2 + 0x27
        .fill   511, 8, 0
low_2:  .quad   0, boot_1 + 0x23, user_1 + 0x27
        .fill   509, 8, 0
boot_1: .quad   0x200061, 0, 0x202061    /* boot code and descriptor tables */
        .fill   509, 8, 0
user_1: .quad   0x204025, 0x205025, 0x206025, 0x207025, 0x208025
        .fill   507, 8, 0
all_3:  .quad   all_2 + 0x23
        .fill   511, 8, 0
all_2:  .set    table, 0
        .rept   8
        .quad   all_1 + 4096 * table + 0x23
        .set    table, table + 1
        .endr
        .fill   504, 8, 0
all_1:  .set    frame, 0
        .rept   4096
        .quad   4096 * frame + 0x163    /* global */
        .set    frame, frame + 1
        .endr
areas_3:
        .quad   areas_2 + 0x23
        .fill   511, 8, 0
areas_2:
        .quad   areas + 0x23
        .fill   511, 8, 0
image_3:
        .fill   510, 8, 0
        .quad   image_2 + 0x23, 0
image_2:
        .quad   0, image_1 + 0x23
        .fill   510, 8, 0
image_1:
        .set    frame, 0x200
        .rept   512
        .quad   4096 * frame + 0x163
        .set    frame, frame + 1
        .endr
        .global areas
areas:  .fill   512, 8, 0
        .section .note.GNU-stack, "", @progbits
