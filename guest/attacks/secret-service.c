/*
 * Set-up program: a service that knows a secret and uses it when anybody asks.
 *
 *   secret-service --target process|page-cache --secret FILE
 *
 * process     it keeps the secret in its memory and compares it with what it is sent
 * page-cache  it keeps the secret in a file that only root may read, and reads it anew each time
 *
 * Prints where the kernel's direct map has the secret (--address), its physical address (--physical)
 * and the service (--service).
 */
#include "setup.h"

#include <getopt.h>
#include <sys/mman.h>

#include "record.h"

enum { MOST_BYTES = 2048 };

static const char path[] = "/tmp/secret-service";

static uint8_t record[PAGE] __attribute__((aligned(PAGE)));

/* Makes a file of the record, beside another file; returns it to be read. */
static int write_record(const char *beside, int bytes)
{
	char name[256];
	int file;

	snprintf(name, sizeof(name), "%s.record", beside);
	file = checked(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600), name);
	if (write(file, record, bytes) != bytes)
		err(1, "%s", name);
	close(file);
	return checked(open(name, O_RDONLY), name);
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{ "target", required_argument, NULL, 't' },
		{ "secret", required_argument, NULL, 's' },
		{ NULL, 0, NULL, 0 },
	};
	const char *target = NULL, *secret = NULL;
	const uint8_t *place;
	struct service_request request;
	int option, size, file, requests, answers;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 't')
			target = optarg;
		else if (option == 's')
			secret = optarg;
		else
			return 2;
	}
	if (!target || !secret)
		errx(2, "expected --target process|page-cache and --secret FILE");

	size = read_file(secret, record + HEADER, MOST_BYTES);
	put_mark(record + HEADER);
	if (!strcmp(target, "process")) {
		place = record + HEADER;
		file = -1;
	} else if (!strcmp(target, "page-cache")) {
		file = write_record(secret, HEADER + size);
		place = mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
		if (place == MAP_FAILED)
			err(1, "%s", secret);
		place += HEADER;
		/* Read, so that the page is mapped. */
		(void)*(volatile const uint8_t *)place;
	} else {
		errx(2, "--target %s: expected process or page-cache", target);
	}
	printf("--address %#lx --physical %#lx --service %s", direct_map_address(physical_address(place)),
	       physical_address(place), path);
	if (file >= 0)
		munmap((void *)(place - HEADER), PAGE);
	requests = make_pipe(path, REQUESTS);
	answers = make_pipe(path, ANSWERS);
	to_background();
	while (read(requests, &request, sizeof(request)) == sizeof(request)) {
		uint8_t answer = 0;

		if (file >= 0 && pread(file, record + HEADER - MARK_BYTES, MARK_BYTES + size, HEADER - MARK_BYTES) < 0)
			return 1;
		if (request.place >= -HEADER && request.place < size)
			answer = matches(record + HEADER + request.place, request.guess);
		if (write(answers, &answer, 1) != 1)
			return 1;
	}
	return 1;
}
