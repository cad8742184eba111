/*
 * A system call that returns through many functions: receiving from a TCP connection of this process
 * with itself. Within it the kernel acknowledges what it has delivered, by a chain of more than 16
 * nested calls through the network stack and back, so the stack of return predictions is used up
 * when the outer functions return; and it copies more than the first-level cache holds, so their
 * return addresses come late. The last argument of recvfrom, which is not looked at if the one
 * before is NULL, stays in a register meanwhile.
 */
#ifndef RECEIVE_H
#define RECEIVE_H

#include <err.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECEIVED_BYTES = 96 << 10 };

static int receive_from, receive_to;

static inline void prepare_receiving(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), room = 4 * RECEIVED_BYTES;

	receive_from = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(receive_from, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (listener < 0 || receive_from < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address))
	    || listen(listener, 1) || getsockname(listener, (struct sockaddr *)&address, &size)
	    || connect(receive_from, (struct sockaddr *)&address, size)
	    || (receive_to = accept(listener, NULL, NULL)) < 0)
		err(1, "loopback connection");
	close(listener);
}

static inline void send_for_receiving(void)
{
	static const uint8_t bytes[RECEIVED_BYTES];

	if (write(receive_from, bytes, sizeof(bytes)) != sizeof(bytes))
		err(1, "send");
}

static inline void receive_with(uint64_t value)
{
	static uint8_t bytes[RECEIVED_BYTES];

	if (recvfrom(receive_to, bytes, sizeof(bytes), MSG_DONTWAIT, NULL, (socklen_t *)value) < 0)
		err(1, "recvfrom");
}

#endif
