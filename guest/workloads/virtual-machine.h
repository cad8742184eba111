/*
 * The least that a virtual machine monitor on /dev/kvm needs: a machine with one virtual processor
 * that begins in real-address mode, and the loop that runs it. Failures end the program.
 */
#ifndef RINGFENCE_VIRTUAL_MACHINE_H
#define RINGFENCE_VIRTUAL_MACHINE_H

#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define DONE_PORT 0xe9 /* the guest says by OUT to it that it is done */
#define CODE 0x1000 /* guest-physical address of the guest's code */
#define MEMORY_BYTES (2ul << 20)

struct virtual_machine {
	int vm, vcpu;
	struct kvm_run *state;
	unsigned char *memory;
};

static _Noreturn void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Gives a machine memory at a guest-physical address. Returns where this program sees it. */
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

/* Makes a machine with code at CODE and its segments at 0. */
static struct virtual_machine create_machine(const char *code, const char *end)
{
	struct virtual_machine machine;
	struct kvm_sregs segments;
	int kvm = open("/dev/kvm", O_RDWR);
	int bytes;

	machine.vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	if (machine.vm < 0)
		fail("/dev/kvm");
	machine.memory = add_memory(machine.vm, 0, 0, MEMORY_BYTES);
	memcpy(machine.memory + CODE, code, end - code);
	machine.vcpu = ioctl(machine.vm, KVM_CREATE_VCPU, 0);
	bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (machine.vcpu < 0 || bytes < 0)
		fail("virtual processor");
	machine.state = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, machine.vcpu, 0);
	if (machine.state == MAP_FAILED || ioctl(machine.vcpu, KVM_GET_SREGS, &segments) < 0)
		fail("virtual processor");
	segments.cs.base = 0;
	segments.cs.selector = 0;
	if (ioctl(machine.vcpu, KVM_SET_SREGS, &segments) < 0)
		fail("segments");
	return machine;
}

/* Lets the guest go on at an address, with a count in ESI. */
static void start_at(struct virtual_machine *machine, unsigned long address, unsigned long count)
{
	struct kvm_regs registers = { .rip = address, .rsi = count, .rflags = 2 };

	if (ioctl(machine->vcpu, KVM_SET_REGS, &registers) < 0)
		fail("registers");
}

/*
 * Runs until the guest says that it is done. Each exit that KVM hands over goes to handle, which may
 * be NULL. Returns how many there were.
 */
static unsigned long run_machine(struct virtual_machine *machine, void (*handle)(const struct kvm_run *))
{
	for (unsigned long exits = 0;; exits++) {
		if (ioctl(machine->vcpu, KVM_RUN, 0) < 0)
			fail("KVM_RUN");
		switch (machine->state->exit_reason) {
		case KVM_EXIT_IO:
			if (machine->state->io.port == DONE_PORT)
				return exits;
			break;
		case KVM_EXIT_HLT:
		case KVM_EXIT_MMIO:
			break;
		default:
			fprintf(stderr, "exit reason %u of KVM is not expected\n", machine->state->exit_reason);
			exit(1);
		}
		if (handle)
			handle(machine->state);
	}
}

#endif
