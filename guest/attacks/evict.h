/*
 * Eviction without CLFLUSH, of lines that this process cannot map: loads of other lines with the
 * same place in their pages, which therefore compete for the same sets.
 */
#ifndef EVICT_H
#define EVICT_H

#include <err.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "channel.h"

enum { EVICTION_PAGE = 4096 };

static uint8_t *eviction_pages;
static long first_level_pages __attribute__((unused));

/* Of these pages, those that evict from caches near enough to be too near: at first from the second level. */
static long pages_to_evict;

/* A cache of a size holds this many lines of the same place in a page. */
static inline long pages_for(int name, long otherwise)
{
	long bytes = sysconf(name);

	return (bytes > 0 ? bytes : otherwise) / EVICTION_PAGE;
}

/*
 * Pages that evict from the second level for sure: twice as many as it holds lines of one place. Inlined in any
 * case, as where an attack's code lies should not depend on what the compiler thinks of this.
 */
static inline __attribute__((always_inline)) long second_level_pages(void)
{
	return 2 * pages_for(_SC_LEVEL2_CACHE_SIZE, 2 << 20);
}

static inline void prepare_eviction(void)
{
	first_level_pages = 2 * pages_for(_SC_LEVEL1_DCACHE_SIZE, 48 << 10);
	pages_to_evict = second_level_pages();
	eviction_pages = mmap(NULL, pages_to_evict * EVICTION_PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (eviction_pages == MAP_FAILED)
		err(1, "mmap");
}

/*
 * Evicts from the last cache, too, from now on: with more pages, in large ones if there are such, which
 * spread over its sets, so that a quarter more than it holds will do; but not more than half of what memory
 * is free. Does nothing if it has been called before.
 */
static inline void prepare_far_eviction(void)
{
	enum { LARGE_PAGE = 2 << 20 };
	static int far;
	long pages = pages_to_evict + pages_for(_SC_LEVEL3_CACHE_SIZE, 32 << 20) * 5 / 4;
	long free_pages = sysconf(_SC_AVPHYS_PAGES);
	uint8_t *first;

	if (far)
		return;
	far = 1;
	if (pages > free_pages / 2)
		pages = free_pages / 2;
	if (pages < pages_to_evict)
		return;
	first = mmap(NULL, pages * EVICTION_PAGE + LARGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (first == MAP_FAILED)
		err(1, "mmap");
	first += -(uintptr_t)first % LARGE_PAGE;
	madvise(first, pages * EVICTION_PAGE, MADV_HUGEPAGE);
	for (long i = 0; i < pages; i++)
		first[i * EVICTION_PAGE] = 1;
	eviction_pages = first;
	pages_to_evict = pages;
}

/* Evicts the line of an address from the caches that these many pages fill. */
static inline void evict(uint64_t address, long pages)
{
	const uint8_t *line = eviction_pages + (address & (EVICTION_PAGE - 64));

	for (long i = 0; i < pages; i++)
		touch(line + i * EVICTION_PAGE);
	memory_fence();
}

#endif
