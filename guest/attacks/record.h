/*
 * What set-up programs and attacks know of the record whose part a secret is: before it are bytes
 * that do not change, as formats of files and structures have constants, names or padding.
 */
#ifndef RECORD_H
#define RECORD_H

#include <emmintrin.h>
#include <stdint.h>
#include <string.h>

enum {
	MARK = '#',
	MARK_BYTES = 16,
	/* Of services: where in a page the secret begins; no byte of it is the first of the page or of a line. */
	HEADER = 0x340 + MARK_BYTES,
};

/* Puts the mark before the place of a secret. */
static inline void put_mark(uint8_t *secret)
{
	memset(secret - MARK_BYTES, MARK, MARK_BYTES);
}

/* Whether 16 bytes from a place on are all the guess, compared at once, as C libraries do it. */
static inline int matches(const uint8_t *bytes, uint8_t guess)
{
	__m128i part = _mm_loadu_si128((const __m128i *)bytes);

	return _mm_movemask_epi8(_mm_cmpeq_epi8(part, _mm_set1_epi8(guess))) == 0xffff;
}

#endif
