/*
 * A virtual machine monitor on /dev/kvm with one virtual processor in real-address mode, whose guest
 * makes VM exits of one kind after the other; each kind is a phase of the workload. Usage: vm-exits
 * COUNT [warm-up], the latter without marks. Kinds in the order of the workload's phases:
 *
 *   cpuid      handled in the kernel
 *   msr        RDMSR of IA32_APIC_BASE, handled in the kernel
 *   hlt        handed to the monitor, which goes on
 *   port       OUT to a port, handed to the monitor
 *   mmio       load from an address without memory: decoded by the kernel, handed to the monitor
 *   ept        first store to a page of guest memory
 *   interrupt  the guest computes, until timer interrupts of the host
 */
#include <stdio.h>
#include <stdlib.h>

#include "marker.h"
#include "real-mode-machine.h"

#define DEVICE 0x8000000ul /* guest-physical address without memory */
#define FRESH 0x1000000ul /* guest-physical address of memory that nothing has touched */
#define SPINS_PER_EXIT 20000 /* instructions of the interrupt phase for each exit of the others */

/* ESI counts, FS reaches the device, GS the fresh memory. */
__asm__(".section .rodata\n"
	".code16\n"
	".globl guest_start, guest_cpuid, guest_msr, guest_hlt, guest_port, guest_mmio, guest_ept, guest_spin, guest_end\n"
	"guest_start:\n"
	"guest_cpuid: xor %eax, %eax; cpuid; dec %esi; jnz guest_cpuid; out %al, $0xe9\n"
	"guest_msr: mov $0x1b, %ecx; rdmsr; dec %esi; jnz guest_msr; out %al, $0xe9\n"
	"guest_hlt: hlt; dec %esi; jnz guest_hlt; out %al, $0xe9\n"
	"guest_port: out %al, $0x80; dec %esi; jnz guest_port; out %al, $0xe9\n"
	"guest_mmio: movb %fs:0, %al; dec %esi; jnz guest_mmio; out %al, $0xe9\n"
	"guest_ept: movb $1, %gs:(%edi); add $4096, %edi; dec %esi; jnz guest_ept; out %al, $0xe9\n"
	"guest_spin: dec %esi; jnz guest_spin; out %al, $0xe9\n"
	"guest_end:\n"
	".code64\n"
	".text\n");

extern const char guest_start[], guest_cpuid[], guest_msr[], guest_hlt[], guest_port[], guest_mmio[], guest_ept[],
	guest_spin[], guest_end[];

static int marks;

static void mark(enum ringfence_operation operation, unsigned long argument)
{
	if (marks)
		ringfence_mark(operation, argument);
}

int main(int argc, char **argv)
{
	const struct {
		const char *name, *code;
		unsigned long factor;
	} phases[] = {
		{ "cpuid", guest_cpuid, 1 }, { "msr", guest_msr, 1 }, { "hlt", guest_hlt, 1 },
		{ "port", guest_port, 1 }, { "mmio", guest_mmio, 1 }, { "ept", guest_ept, 1 },
		{ "interrupt", guest_spin, SPINS_PER_EXIT },
	};
	unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long fresh_bytes;
	struct virtual_machine machine;
	struct kvm_sregs segments;

	marks = argc < 3;
	if (count == 0) {
		fprintf(stderr, "usage: vm-exits COUNT [warm-up]\n");
		return 2;
	}
	machine = create_machine(guest_start, guest_end);
	fresh_bytes = (count + 1) * 4096;
	add_memory(&machine, (struct kvm_userspace_memory_region){
		.slot = 1, .guest_phys_addr = FRESH, .memory_size = fresh_bytes, .userspace_addr = (uintptr_t)allocate(fresh_bytes),
	});
	segments = system_registers(&machine);
	segments.fs.base = DEVICE;
	segments.gs.base = FRESH;
	segments.gs.limit = 0xffffffff;
	segments.gs.g = 1;
	set_system_registers(&machine, &segments);

	mark(RINGFENCE_REGION_BEGIN, 0);
	for (unsigned long i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		mark(RINGFENCE_PHASE_BEGIN, i);
		start_at(&machine, CODE + (phases[i].code - guest_start), count * phases[i].factor);
		printf("%s: %lu exits reached the monitor\n", phases[i].name, run_machine(&machine, NULL));
		fflush(stdout);
		mark(RINGFENCE_PHASE_END, i);
	}
	mark(RINGFENCE_REGION_END, 0);
	return 0;
}
