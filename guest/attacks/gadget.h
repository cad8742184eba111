/*
 * What gadgets in the kernel and attacks agree on: an array that lies in the kernel, of which
 * clients have a mapping that they may only read. The kernel has many such pages: the vDSO's data,
 * headers of rings, maps of BPF programs.
 */
#ifndef GADGET_H
#define GADGET_H

#include <sys/mman.h>

#include "channel.h"
#include "service.h"

enum {
	SHARED_LIMIT = 0,		/* 8 bytes: the highest index of the table that is permitted */
	SHARED_FOUND_LIMIT = 512,	/* the same limit, for gadgets that look up where it is */
	SHARED_KNOWN = 128,		/* a byte with the value KNOWN_BYTE */
	SHARED_TABLE = 4096,		/* 256 bytes, all zero */
	SHARED_PROBE = 8192,		/* the gadget's array of counters, by halves of a byte */
	SHARED_BYTES = SHARED_PROBE + PROBE_BYTES,
	HIGHEST_INDEX = 0xff,
};

/* A packet to a socket with a gadget. */
struct gadget_request {
	uint64_t value;
	uint64_t harmless;	/* not zero: a request that gives the gadget nothing to be wrong about */
};

/* System calls at whose begin gadgets run. */
enum { LVI_CALL = 124 /* getsid */ };

/* The probe as the kernel sees it. */
static inline uint64_t kernel_probe(uint64_t known)
{
	return known - SHARED_KNOWN + SHARED_PROBE;
}

/* The array as a client sees it. */
static inline const uint8_t *map_gadget(const char *path)
{
	int socket = connect_to(path, SOCK_STREAM);
	void *array = mmap(NULL, SHARED_BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, receive_descriptor(socket), 0);

	if (array == MAP_FAILED)
		err(1, "%s", path);
	close(socket);
	return array;
}

#endif
