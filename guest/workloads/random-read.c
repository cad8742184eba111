/*
 * Reads blocks of 4 KiB at random places of a file, as fio's randread does:
 *
 *   random-read FILE COUNT
 *
 * The places follow from a fixed seed. Prints the number of bytes and a sum over them.
 */
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 4096 };

int main(int argc, char **argv)
{
	static uint64_t block[BLOCK / sizeof(uint64_t)];
	uint64_t random = 88172645463325252, sum = 0;
	struct stat file;
	long count, blocks;
	int fd;

	if (argc != 3 || (count = strtol(argv[2], NULL, 10)) < 1)
		errx(2, "usage: random-read FILE COUNT");
	fd = open(argv[1], O_RDONLY);
	if (fd < 0 || fstat(fd, &file))
		err(1, "%s", argv[1]);
	blocks = file.st_size / BLOCK;
	if (blocks < 1)
		errx(1, "%s: expected at least %d bytes", argv[1], BLOCK);
	for (long i = 0; i < count; i++) {
		/* Marsaglia's xorshift. */
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		if (pread(fd, block, BLOCK, (off_t)(random % blocks) * BLOCK) != BLOCK)
			err(1, "%s: expected a whole block", argv[1]);
		sum += block[random % (BLOCK / sizeof(block[0]))];
	}
	printf("%ld bytes, sum %016llx\n", count * BLOCK, (unsigned long long)sum);
	return 0;
}
