/*
 * Virtual machines that begin in real-address mode, with code that needs neither page tables nor
 * descriptors. Failures end the program.
 */
#ifndef RINGFENCE_REAL_MODE_MACHINE_H
#define RINGFENCE_REAL_MODE_MACHINE_H

#include <string.h>

#include "virtual-machine.h"

#define CODE 0x1000 /* guest-physical address of the guest's code */
#define MEMORY_BYTES (2ul << 20)

/* Memory for a machine, which takes up room once it is touched. */
static inline uint8_t *allocate(unsigned long bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		err(1, "memory of the virtual machine");
	return memory;
}

/* Makes a machine with code at CODE and its segments at 0. */
static inline struct virtual_machine create_machine(const char *code, const char *end)
{
	struct virtual_machine machine = create_virtual_machine(allocate(MEMORY_BYTES), MEMORY_BYTES);
	struct kvm_sregs segments = system_registers(&machine);

	memcpy(machine.memory + CODE, code, end - code);
	segments.cs.base = 0;
	segments.cs.selector = 0;
	set_system_registers(&machine, &segments);
	return machine;
}

/* Lets the guest go on at an address, with a count in ESI. */
static inline void start_at(const struct virtual_machine *machine, unsigned long address, unsigned long count)
{
	set_registers(machine, &(struct kvm_regs){ .rip = address, .rsi = count, .rflags = 2 });
}

/*
 * Runs until the guest says that it is done. Each exit that KVM hands over goes to handle, which may
 * be NULL. Returns how many there were.
 */
static inline unsigned long run_machine(const struct virtual_machine *machine, void (*handle)(const struct kvm_run *))
{
	for (unsigned long exits = 0;; exits++) {
		const struct kvm_run *exit = run_to_exit(machine);

		if (says_done(exit))
			return exits;
		if (exit->exit_reason != KVM_EXIT_IO && exit->exit_reason != KVM_EXIT_HLT && exit->exit_reason != KVM_EXIT_MMIO)
			errx(1, "KVM_RUN: expected an exit for a port, HLT or memory, found reason %u", exit->exit_reason);
		if (handle)
			handle(exit);
	}
}

#endif
