/*
 * A virtual machine on /dev/kvm with one virtual processor: what every monitor needs to make and to
 * run it (Linux, Documentation/virt/kvm/api.rst). Failures end the program.
 */
#ifndef RINGFENCE_VIRTUAL_MACHINE_H
#define RINGFENCE_VIRTUAL_MACHINE_H

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

enum { DONE_PORT = 0xe9 };	/* the guest says by OUT to it that it is done */

struct virtual_machine {
	uint8_t *memory;	/* what is guest-physical 0 */
	int vm, vcpu;
	struct kvm_run *state;
};

static inline void add_memory(const struct virtual_machine *machine, struct kvm_userspace_memory_region region)
{
	if (ioctl(machine->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		err(1, "memory of the virtual machine");
}

/* Makes a machine with memory of this program's in slot 0, from guest-physical 0. */
static inline struct virtual_machine create_virtual_machine(uint8_t *memory, uint64_t bytes)
{
	struct virtual_machine machine = { .memory = memory };
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int state_bytes;

	machine.vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	if (machine.vm < 0)
		err(1, "/dev/kvm");
	add_memory(&machine, (struct kvm_userspace_memory_region){ .memory_size = bytes, .userspace_addr = (uintptr_t)memory });
	machine.vcpu = ioctl(machine.vm, KVM_CREATE_VCPU, 0);
	state_bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (machine.vcpu < 0 || state_bytes < 0)
		err(1, "virtual processor");
	machine.state = mmap(NULL, state_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, machine.vcpu, 0);
	if (machine.state == MAP_FAILED)
		err(1, "virtual processor");
	return machine;
}

/* Segments, descriptor tables and control registers. */
static inline struct kvm_sregs system_registers(const struct virtual_machine *machine)
{
	struct kvm_sregs registers;

	if (ioctl(machine->vcpu, KVM_GET_SREGS, &registers) < 0)
		err(1, "KVM_GET_SREGS");
	return registers;
}

static inline void set_system_registers(const struct virtual_machine *machine, const struct kvm_sregs *registers)
{
	if (ioctl(machine->vcpu, KVM_SET_SREGS, registers) < 0)
		err(1, "KVM_SET_SREGS");
}

static inline void set_registers(const struct virtual_machine *machine, const struct kvm_regs *registers)
{
	if (ioctl(machine->vcpu, KVM_SET_REGS, registers) < 0)
		err(1, "KVM_SET_REGS");
}

/* Lets the guest run until an exit that KVM hands over, which signals are not. Returns what it was. */
static inline const struct kvm_run *run_to_exit(const struct virtual_machine *machine)
{
	while (ioctl(machine->vcpu, KVM_RUN, 0) < 0)
		if (errno != EINTR)
			err(1, "KVM_RUN");
	return machine->state;
}

static inline int says_done(const struct kvm_run *exit)
{
	return exit->exit_reason == KVM_EXIT_IO && exit->io.port == DONE_PORT;
}

#endif
