/*
 * What set-up programs and attacks know of the record whose part a secret is: before it are bytes
 * that do not change, as formats of files and structures have constants, names or padding.
 */
#ifndef RECORD_H
#define RECORD_H

#include <stdint.h>
#include <string.h>

enum { MARK = '#', MARK_BYTES = 16 };

/* Puts the mark before the place of a secret. */
static inline void put_mark(uint8_t *secret)
{
	memset(secret - MARK_BYTES, MARK, MARK_BYTES);
}

#endif
