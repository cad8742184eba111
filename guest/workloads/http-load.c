/*
 * Fetches one path from an HTTP server on the loopback interface again and again:
 *
 *   http-load PORT PATH REQUESTS CONNECTIONS
 *
 * Opens that many connections and lets each carry one request at a time, by epoll. A connection
 * that the server closes after an answer is opened again. Waits for the server to come up. Prints
 * the number of answers and of bytes in their bodies; fails unless all answers are 200.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	MOST_CONNECTIONS = 256,
	HEAD = 4096,		/* longest head of an answer */
	MOST_ATTEMPTS = 1000,	/* to connect, 10 ms apart */
};

static struct connection {
	int fd;
	int in_body;
	int closing;		/* the server said that it closes after this answer */
	size_t have;		/* bytes of the head so far */
	long long left;		/* bytes of the body to come; -1 if it ends with the connection */
	char head[HEAD + 1];
} connections[MOST_CONNECTIONS];

static struct sockaddr_in address = { .sin_family = AF_INET };
static char request[1024];
static int poller;
static long to_send, to_receive, failed_connects;
static long long body_bytes;
static char buffer[65536];

static void connect_to_server(struct connection *connection)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };

	for (;;) {
		connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connection->fd < 0)
			err(1, "socket");
		if (!connect(connection->fd, (struct sockaddr *)&address, sizeof(address)))
			break;
		if (errno != ECONNREFUSED || ++failed_connects > MOST_ATTEMPTS)
			err(1, "connect");
		close(connection->fd);
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	if (epoll_ctl(poller, EPOLL_CTL_ADD, connection->fd, &event))
		err(1, "epoll_ctl");
}

static void send_request(struct connection *connection)
{
	size_t length = strlen(request);

	if (to_send == 0)
		return;
	to_send--;
	connection->have = 0;
	connection->in_body = 0;
	if (send(connection->fd, request, length, MSG_NOSIGNAL) != (ssize_t)length)
		err(1, "send");
}

static void open_again(struct connection *connection)
{
	close(connection->fd);
	if (to_send > 0) {
		connect_to_server(connection);
		send_request(connection);
	}
}

static void answered(struct connection *connection)
{
	to_receive--;
	connection->in_body = 0;
	if (connection->closing)
		open_again(connection);
	else
		send_request(connection);
}

/* Looks for the end of the head; bytes after it belong to the body. */
static void take_head(struct connection *connection, const char *data, size_t length)
{
	size_t room = HEAD - connection->have, taken = length < room ? length : room, rest;
	char *end, *field;

	memcpy(connection->head + connection->have, data, taken);
	connection->have += taken;
	connection->head[connection->have] = 0;
	end = strstr(connection->head, "\r\n\r\n");
	if (!end) {
		if (connection->have == HEAD)
			errx(1, "expected a head of at most %d bytes", HEAD);
		return;
	}
	if (strncmp(connection->head, "HTTP/1.", 7) || strncmp(connection->head + 8, " 200", 4))
		errx(1, "expected status 200, found: %.*s", (int)strcspn(connection->head, "\r"), connection->head);
	end[2] = 0;
	field = strcasestr(connection->head, "\r\ncontent-length:");
	connection->left = field ? strtoll(field + 17, NULL, 10) : -1;
	connection->closing = strcasestr(connection->head, "\r\nconnection: close") != NULL;
	rest = connection->have - (end + 4 - connection->head) + (length - taken);
	connection->in_body = 1;
	body_bytes += rest;
	if (connection->left >= 0) {
		connection->left -= rest;
		if (connection->left <= 0)
			answered(connection);
	}
}

static void receive(struct connection *connection)
{
	ssize_t length = recv(connection->fd, buffer, sizeof(buffer), 0);

	if (length < 0 && errno != ECONNRESET)
		err(1, "recv");
	if (length <= 0) {
		if (connection->in_body && connection->left > 0)
			errx(1, "the server closed a connection in the middle of an answer");
		if (connection->in_body)
			to_receive--;
		else if (connection->have == 0 && to_receive > to_send)
			to_send++; /* The request crossed the server's close. */
		connection->in_body = 0;
		open_again(connection);
	} else if (!connection->in_body) {
		take_head(connection, buffer, length);
	} else {
		body_bytes += length;
		if (connection->left >= 0 && (connection->left -= length) <= 0)
			answered(connection);
	}
}

int main(int argc, char **argv)
{
	long requests, count, port;

	if (argc != 5 || (port = strtol(argv[1], NULL, 10)) < 1 || port > 65535 ||
	    (requests = strtol(argv[3], NULL, 10)) < 1 || (count = strtol(argv[4], NULL, 10)) < 1 ||
	    count > MOST_CONNECTIONS)
		errx(2, "usage: http-load PORT PATH REQUESTS CONNECTIONS");
	address.sin_port = htons(port);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[2]) >=
	    (int)sizeof(request))
		errx(2, "expected a shorter path");
	poller = epoll_create1(EPOLL_CLOEXEC);
	if (poller < 0)
		err(1, "epoll_create1");
	to_send = to_receive = requests;
	for (long i = 0; i < count && to_send > 0; i++) {
		connect_to_server(&connections[i]);
		send_request(&connections[i]);
	}
	while (to_receive > 0) {
		struct epoll_event event;
		int ready = epoll_wait(poller, &event, 1, 10000);

		if (ready < 0 && errno != EINTR)
			err(1, "epoll_wait");
		if (ready == 0)
			errx(1, "no answer within ten seconds, %ld to come", to_receive);
		if (ready == 1)
			receive(event.data.ptr);
	}
	printf("%ld answers, %lld bytes\n", requests, body_bytes);
	return 0;
}
