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
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "marker.h"

#define MEMORY_BYTES (2ul << 20)
#define CODE 0x1000
#define DEVICE 0x8000000ul /* guest-physical address without memory */
#define FRESH 0x1000000ul /* guest-physical address of memory that nothing has touched */
#define DONE_PORT 0xe9
#define PORT 0x80
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

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static unsigned char *add_memory(int vm, int slot, unsigned long address, unsigned long bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = address,
		.memory_size = bytes,
		.userspace_addr = (unsigned long)memory,
	};

	if (memory == MAP_FAILED || ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		fail("memory of the virtual machine");
	return memory;
}

/* Runs until the guest says that it is done. Returns the exits that were handed to this program. */
static unsigned long run(int vcpu, struct kvm_run *state)
{
	for (unsigned long exits = 0;; exits++) {
		if (ioctl(vcpu, KVM_RUN, 0) < 0)
			fail("KVM_RUN");
		switch (state->exit_reason) {
		case KVM_EXIT_IO:
			if (state->io.port == DONE_PORT)
				return exits;
			break;
		case KVM_EXIT_HLT:
		case KVM_EXIT_MMIO:
			break;
		default:
			fprintf(stderr, "vm-exits: exit reason %u of KVM\n", state->exit_reason);
			exit(1);
		}
	}
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
	int kvm = open("/dev/kvm", O_RDWR);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	int vcpu, bytes;
	struct kvm_run *state;
	struct kvm_sregs segments;

	marks = argc < 3;
	if (count == 0) {
		fprintf(stderr, "usage: vm-exits COUNT [warm-up]\n");
		return 2;
	}
	if (vm < 0)
		fail("/dev/kvm");
	memcpy(add_memory(vm, 0, 0, MEMORY_BYTES) + CODE, guest_start, guest_end - guest_start);
	add_memory(vm, 1, FRESH, (count + 1) * 4096);
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vcpu < 0 || bytes < 0)
		fail("virtual processor");
	state = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (state == MAP_FAILED || ioctl(vcpu, KVM_GET_SREGS, &segments) < 0)
		fail("virtual processor");
	segments.cs.base = 0;
	segments.cs.selector = 0;
	segments.fs.base = DEVICE;
	segments.gs.base = FRESH;
	segments.gs.limit = 0xffffffff;
	segments.gs.g = 1;
	if (ioctl(vcpu, KVM_SET_SREGS, &segments) < 0)
		fail("segments");

	mark(RINGFENCE_REGION_BEGIN, 0);
	for (unsigned long i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		struct kvm_regs registers = {
			.rip = CODE + (phases[i].code - guest_start),
			.rsi = count * phases[i].factor,
			.rflags = 2,
		};

		mark(RINGFENCE_PHASE_BEGIN, i);
		if (ioctl(vcpu, KVM_SET_REGS, &registers) < 0)
			fail("registers");
		printf("%s: %lu exits reached the monitor\n", phases[i].name, run(vcpu, state));
		fflush(stdout);
		mark(RINGFENCE_PHASE_END, i);
	}
	mark(RINGFENCE_REGION_END, 0);
	return 0;
}
