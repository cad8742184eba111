/*
 * A virtual machine on /dev/kvm whose kernel is this very program: a copy of its image at the same
 * addresses, so that a function of the program can run inside, in 64-bit mode at CPL 0, on the
 * copy's variables. Page tables, descriptor tables and the stack are beside it. Interrupts are off
 * inside, and there is nothing of the C library that asks the system for anything.
 *
 *   machine_create(&machine)
 *   machine_run(&machine, function)       runs a function inside until it returns
 *   IN_MACHINE(&machine, variable)        pointer to the copy of a variable
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <string.h>

#include "fault.h"
#include "virtual-machine.h"

enum {
	MACHINE_PAGE = 4096,
	MACHINE_BYTES = 6 << 20,
	/* Guest-physical addresses. */
	MACHINE_DESCRIPTORS = 0x1000,
	MACHINE_INTERRUPTS = 0x2000,
	MACHINE_TASK_STATE = 0x3000,
	MACHINE_FAULT_STACK = 0x8000,	/* ends of stacks */
	MACHINE_STACK = 0x10000,
	MACHINE_TABLES = 0x10000,	/* the root; others behind it */
	MACHINE_TABLES_END = 0x3e000,
	MACHINE_BUFFER = 0x3e000,	/* of 8 KiB, for a device */
	MACHINE_IMAGE = 0x40000,
	MACHINE_FREE = 0x180000,	/* behind the image: memory that displaces lines */
	MACHINE_FREE_PAGES = 1024,	/* twice as many as a second-level cache of 2 MiB holds */
	MACHINE_SHARED = 0x8000000,	/* memory of the monitor's that the machine may read */
	MACHINE_CODE_SELECTOR = 8,
	MACHINE_TASK_SELECTOR = 16,
	FIRST_INTERRUPT_STACK = 0x24,	/* in the task state */
	MACHINE_VECTORS = 32,
	PAGE_FAULT = 14,
	PANIC_PORT = 0xea,
	UNKNOWN_HYPERCALL = 0x5eed,
	ENTRY_PRESENT = 1,
	ENTRY_WRITABLE = 2,
	ENTRY_ACCESSED_DIRTY = 0x60,
};

static const uint64_t entry_frame = 0x000ffffffffff000;

struct machine {
	struct virtual_machine virtual;
	uint64_t next_table;
};

/* Begin and end of the program's image, from the linker. */
extern const uint8_t __executable_start[], _end[];

#define MACHINE_OFFSET(address) (MACHINE_IMAGE + ((uintptr_t)(address) - (uintptr_t)__executable_start))
#define IN_MACHINE(machine, variable) ((__typeof__(&(variable)))((machine)->virtual.memory + MACHINE_OFFSET(&(variable))))

/*
 * Handlers inside: a page fault goes on where the code that raised it has noted (RESUME_AT_9); all
 * else tells the monitor. They have a stack of their own, because functions use what is below theirs.
 */
extern const uint8_t machine_page_fault[], machine_panic[];

__asm__(".text\n"
	"machine_page_fault:\n\t"
	"cmpq $0, fault_resume(%rip)\n\t"
	"je machine_panic\n\t"
	"push %rax\n\t"			/* below error code, RIP, CS, RFLAGS, RSP */
	"mov fault_resume(%rip), %rax\n\t"
	"mov %rax, 16(%rsp)\n\t"
	"mov fault_stack(%rip), %rax\n\t"
	"mov %rax, 40(%rsp)\n\t"
	"movq $0, fault_resume(%rip)\n\t"
	"pop %rax\n\t"
	"add $8, %rsp\n\t"
	"iretq\n"
	"machine_panic:\n\t"
	"out %al, $0xea\n\t"
	"jmp machine_panic\n");

/* What runs inside next. */
static void (*machine_task)(void);

static __attribute__((noreturn, used)) void machine_loop(void)
{
	for (;;) {
		machine_task();
		__asm__ volatile("out %%al, %0" : : "i"(DONE_PORT) : "memory");
	}
}

/* Inside, where the free memory is. */
static const uint8_t *const machine_free = (const uint8_t *)(2ULL << 40);

/* Inside: loads lines with the same place in their pages, which displace that of an address. */
static inline void displace(uint64_t address, long pages)
{
	const uint8_t *line = machine_free + (address & (MACHINE_PAGE - 64));

	for (long i = 0; i < pages; i++)
		(void)*(const volatile uint8_t *)(line + i * MACHINE_PAGE);
	__asm__ volatile("mfence; lfence" : : : "memory");
}

/* Has the processor exit to its host, which handles CPUID for every virtual machine and goes on. */
static inline void exit_to_host(void)
{
	uint32_t leaf = 0, subleaf = 0;

	__asm__ volatile("cpuid" : "+a"(leaf), "+c"(subleaf) : : "rbx", "rdx", "memory");
}

/* Makes a hypercall that the host does not know, with an argument. */
static inline void hypercall(uint64_t argument)
{
	uint64_t number = UNKNOWN_HYPERCALL;

	__asm__ volatile("vmcall" : "+a"(number) : "b"(argument), "c"(0), "d"(0), "S"(0) : "memory");
}

/* The last-level entry of an address inside, with the tables that lead to it. */
static inline uint64_t *machine_entry(struct machine *machine, uint64_t linear)
{
	uint64_t table = MACHINE_TABLES;

	for (int level = 3; level > 0; level--) {
		uint64_t *entry = (uint64_t *)(machine->virtual.memory + table) + (linear >> (12 + 9 * level) & 511);

		if (!*entry) {
			if (machine->next_table == MACHINE_TABLES_END)
				errx(1, "expected a program that few page tables can map");
			*entry = machine->next_table | ENTRY_PRESENT | ENTRY_WRITABLE | ENTRY_ACCESSED_DIRTY;
			machine->next_table += MACHINE_PAGE;
		}
		table = *entry & entry_frame;
	}
	return (uint64_t *)(machine->virtual.memory + table) + (linear >> 12 & 511);
}

static inline void machine_map(struct machine *machine, uint64_t linear, uint64_t physical)
{
	*machine_entry(machine, linear) = physical | ENTRY_PRESENT | ENTRY_WRITABLE | ENTRY_ACCESSED_DIRTY;
}

/*
 * Makes the memory of a machine, with the image of this program and the tables that it needs.
 *
 * @param file of MACHINE_BYTES that is to be the memory, or -1
 */
static inline void machine_fill(struct machine *machine, int file)
{
	uint64_t image = (uintptr_t)__executable_start & entry_frame;
	uint64_t bytes = (uintptr_t)_end - image;
	int sharing = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	uint64_t *interrupts;

	machine->virtual.memory = mmap(NULL, MACHINE_BYTES, PROT_READ | PROT_WRITE, sharing | MAP_POPULATE, file, 0);
	if (machine->virtual.memory == MAP_FAILED)
		err(1, "mmap");
	machine->next_table = MACHINE_TABLES + MACHINE_PAGE;
	interrupts = (uint64_t *)(machine->virtual.memory + MACHINE_INTERRUPTS);
	if (bytes > MACHINE_FREE - MACHINE_IMAGE)
		errx(1, "expected an image of at most %d bytes, found %lu", MACHINE_FREE - MACHINE_IMAGE, bytes);
	/* The image has holes, so it is copied by what is mapped. */
	for (uint64_t page = 0; page < bytes; page += MACHINE_PAGE) {
		if (!msync((void *)(image + page), MACHINE_PAGE, MS_ASYNC))
			memcpy(machine->virtual.memory + MACHINE_IMAGE + page, (void *)(image + page), MACHINE_PAGE);
		machine_map(machine, image + page, MACHINE_IMAGE + page);
	}
	for (uint64_t page = 0; page < MACHINE_IMAGE; page += MACHINE_PAGE)
		machine_map(machine, page, page);
	for (uint64_t page = 0; page < MACHINE_FREE_PAGES * MACHINE_PAGE; page += MACHINE_PAGE)
		machine_map(machine, (uintptr_t)machine_free + page, MACHINE_FREE + page);
	((uint64_t *)(machine->virtual.memory + MACHINE_DESCRIPTORS))[MACHINE_CODE_SELECTOR / 8] = 0x00af9b000000ffff;
	for (int vector = 0; vector < MACHINE_VECTORS; vector++) {
		uint64_t handler = (uintptr_t)(vector == PAGE_FAULT ? machine_page_fault : machine_panic);

		interrupts[2 * vector] = (handler & 0xffff) | MACHINE_CODE_SELECTOR << 16 | 0x8e01ULL << 32
			| (handler >> 16 & 0xffff) << 48;
		interrupts[2 * vector + 1] = handler >> 32;
	}
	*(uint64_t *)(machine->virtual.memory + MACHINE_TASK_STATE + FIRST_INTERRUPT_STACK) = MACHINE_FAULT_STACK;
}

static inline void machine_registers(const struct virtual_machine *machine, uint64_t begin)
{
	const struct kvm_segment code = {
		.limit = ~0u, .selector = MACHINE_CODE_SELECTOR, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1,
	};
	const struct kvm_segment data = { .limit = ~0u, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	const struct kvm_segment task = {
		.base = MACHINE_TASK_STATE, .limit = 0x67, .selector = MACHINE_TASK_SELECTOR, .type = 11, .present = 1,
	};
	const struct kvm_regs registers = {
		.rip = begin, .rsp = MACHINE_STACK - 8, .rflags = 2,
	};
	struct kvm_sregs system = system_registers(machine);

	system.cs = code;
	system.ds = system.es = system.fs = system.gs = system.ss = data;
	system.tr = task;
	system.gdt = (struct kvm_dtable){ .base = MACHINE_DESCRIPTORS, .limit = 2 * 8 - 1 };
	system.idt = (struct kvm_dtable){ .base = MACHINE_INTERRUPTS, .limit = MACHINE_VECTORS * 16 - 1 };
	system.cr0 = 0x80010033;	/* PG, WP, NE, ET, MP, PE */
	system.cr3 = MACHINE_TABLES;
	system.cr4 = 0x620;	/* OSXMMEXCPT, OSFXSR, PAE */
	system.efer = 0xd00;	/* NXE, LMA, LME */
	set_system_registers(machine, &system);
	set_registers(machine, &registers);
}

/* Makes a machine of memory that has been filled; begin is the address inside of its first instruction. */
static inline void machine_start(struct machine *machine, uint64_t begin)
{
	machine->virtual = create_virtual_machine(machine->virtual.memory, MACHINE_BYTES);
	machine_registers(&machine->virtual, begin);
}

static inline void machine_create(struct machine *machine)
{
	machine_fill(machine, -1);
	machine_start(machine, (uintptr_t)machine_loop);
}

/* Lets the inside read memory of this process at the same address; once. */
static inline void machine_share(struct machine *machine, const uint8_t *shared, uint64_t bytes)
{
	add_memory(&machine->virtual, (struct kvm_userspace_memory_region){
		.slot = 1, .flags = KVM_MEM_READONLY, .guest_phys_addr = MACHINE_SHARED, .memory_size = bytes,
		.userspace_addr = (uintptr_t)shared,
	});
	for (uint64_t page = 0; page < bytes; page += MACHINE_PAGE)
		machine_map(machine, (uintptr_t)shared + page, MACHINE_SHARED + page);
}

/* Runs a function inside until it returns. */
static inline void machine_run(struct machine *machine, void (*function)(void))
{
	const struct kvm_run *exit;

	*IN_MACHINE(machine, machine_task) = function;
	exit = run_to_exit(&machine->virtual);
	if (exit->exit_reason != KVM_EXIT_IO)
		errx(1, "KVM_RUN: expected an exit for a port, found reason %u", exit->exit_reason);
	if (!says_done(exit))
		errx(1, "expected code inside that raises no exception but page faults");
}

#endif
