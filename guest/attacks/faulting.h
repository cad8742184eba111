/*
 * Loads that fault, whose value is sent before the fault is taken. An older load of a flushed line
 * keeps the fault from retiring for as long as memory takes.
 */
#ifndef FAULTING_H
#define FAULTING_H

#include "channel.h"
#include "fault.h"

static inline void send_faulting(const void *address, const uint8_t *probe, const void *slow)
{
	__asm__ volatile(
		RESUME_AT_9
		"mov (%[slow]), %%rax\n\t"
		"movzbl (%[address]), %%eax\n\t"
		SEND_BYTE
		RESUMED
		:
		: [address] "r"(address), [probe] "r"(probe), [slow] "r"(slow)
		: "rax", "rcx", "memory", "cc");
}

/*
 * The same right after a system call with up to three arguments: what the kernel did last is still
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
