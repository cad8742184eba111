/* How clients reach set-up programs: by pipes and sockets in the file system. */
#ifndef SERVICE_H
#define SERVICE_H

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What the service that has the secret is asked: whether the 16 bytes at a place are all the guess. */
struct service_request {
	uint8_t guess;
	int16_t place;	/* relative to the secret's begin */
};

/* It has a pipe for requests and one for answers of one byte. */
#define REQUESTS "requests"
#define ANSWERS "answers"

static inline int open_service(const char *path, const char *pipe)
{
	char name[256];
	int fd;

	if (!path)
		errx(2, "expected the service that the set-up program printed");
	snprintf(name, sizeof(name), "%s.%s", path, pipe);
	/* To read and write, so that it does not wait for the other end. */
	fd = open(name, O_RDWR);
	if (fd < 0)
		err(1, "%s", name);
	return fd;
}

/* A connection to a socket in the file system. */
static inline int connect_to(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	if (!path)
		errx(2, "expected the socket that the set-up program printed");
	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)))
		err(1, "%s", path);
	return fd;
}

/* Sends a descriptor to the other end of a socket. */
static inline void send_descriptor(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(socket, &message, 0) < 0)
		warn("descriptor");
}

/* A descriptor that the other end of a socket passes. */
static inline int receive_descriptor(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	int fd;

	if (recvmsg(socket, &message, 0) != 1 || !(header = CMSG_FIRSTHDR(&message)))
		err(1, "expected a descriptor");
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

#endif
