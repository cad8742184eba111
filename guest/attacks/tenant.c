/*
 * Set-up program: a tenant with a virtual machine that knows a secret and uses it when anybody asks
 * its service. The secret is in the machine's memory alone.
 *
 *   tenant --secret FILE
 *
 * Prints where the kernel's direct map has the secret (--address), its physical address (--physical)
 * and the service (--service).
 */
#include "setup.h"

#include <sys/mman.h>

#include "machine.h"
#include "record.h"

enum { MOST_BYTES = 2048 };

static const char path[] = "/tmp/tenant";

/* Inside: the record with the secret, what is asked and what is answered. */
static uint8_t record[PAGE] __attribute__((aligned(PAGE)));
static struct service_request request;
static uint8_t answer;

static void compare(void)
{
	answer = matches(record + HEADER + request.place, request.guess);
}

int main(int argc, char **argv)
{
	struct machine machine;
	int size, requests, answers, waiting;
	uint8_t *secret;

	if (argc != 3 || strcmp(argv[1], "--secret"))
		errx(2, "expected --secret FILE");
	/* A virtual machine belongs to the process that makes it. */
	waiting = begin_in_background();
	machine_create(&machine);
	secret = *IN_MACHINE(&machine, record) + HEADER;
	put_mark(secret);
	size = read_file(argv[2], secret, MOST_BYTES);
	requests = make_pipe(path, REQUESTS);
	answers = make_pipe(path, ANSWERS);
	/* Its first run makes the host's tables that lead to its memory. */
	machine_run(&machine, compare);
	printf("--address %#lx --physical %#lx --service %s", direct_map_address(physical_address(secret)),
	       physical_address(secret), path);
	ready(waiting);
	while (read(requests, &request, sizeof(request)) == sizeof(request)) {
		if (request.place < -HEADER || request.place >= size)
			return 1;
		*IN_MACHINE(&machine, request) = request;
		machine_run(&machine, compare);
		if (write(answers, IN_MACHINE(&machine, answer), 1) != 1)
			return 1;
	}
	return 1;
}
