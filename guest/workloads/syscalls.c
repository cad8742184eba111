/*
 * Micro-benchmarks of the kernel's most common paths, each a phase of its own in the order of the
 * table at the end, which is also the order of `phases` in syscalls.yaml.
 *
 *   syscalls [DIVISOR]      divides all iteration counts, for a quick look
 *
 * Iteration counts are fixed, so runs compare. Each benchmark runs a tenth of them first, unmarked,
 * to warm up. The line printed for each has its name, iterations and nanoseconds of virtual time an
 * iteration; the machine executes an instruction in a nanosecond.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "marker.h"

enum {
	PAGE = 4096,
	FILE_PAGES = 256,	/* of the file that is read and written */
	BATCH = 64,		/* operations between marks where each needs another one to undo it */
	DESCRIPTORS = 64,	/* that select, poll and epoll watch */
	FAULT_PAGES = 1024,	/* touched between marks */
	BIG_PAGES = 2048,	/* dirty pages of the process that fork-big copies */
};

static const char file_name[] = "/root/syscalls.data";
static const char self[] = "/proc/self/exe";
static char buffer[FILE_PAGES * PAGE] __attribute__((aligned(4096)));

static unsigned long phase;
static int measuring;		/* 0 while warming up */
static long long begun, spent;

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void begin(void)
{
	begun = now();
	if (measuring)
		ringfence_mark(RINGFENCE_PHASE_BEGIN, phase);
}

static void end(void)
{
	if (measuring)
		ringfence_mark(RINGFENCE_PHASE_END, phase);
	spent += now() - begun;
}

/* Ends the program unless a call that returns -1 for an error succeeded. */
static long check(long result, const char *what)
{
	if (result < 0)
		err(1, "%s", what);
	return result;
}

static void expect(long result, long wanted, const char *what)
{
	check(result, what);
	if (result != wanted)
		errx(1, "%s: expected %ld, found %ld", what, wanted, result);
}

static int open_data(int flags)
{
	return check(open(file_name, flags | O_CLOEXEC), file_name);
}

static void bench_getpid(long n)
{
	begin();
	while (n-- > 0)
		syscall(SYS_getpid);
	end();
}

static void read_blocks(long n, size_t size)
{
	int fd = open_data(O_RDONLY);
	long offset = 0;

	begin();
	while (n-- > 0) {
		expect(pread(fd, buffer, size, offset), size, "pread");
		offset = (offset + PAGE) % (FILE_PAGES * PAGE);
	}
	end();
	close(fd);
}

static void bench_read_1(long n)
{
	read_blocks(n, 1);
}

static void bench_read_4k(long n)
{
	read_blocks(n, PAGE);
}

static void write_blocks(long n, size_t size)
{
	int fd = open_data(O_RDWR);
	long offset = 0;

	begin();
	while (n-- > 0) {
		expect(pwrite(fd, buffer, size, offset), size, "pwrite");
		offset = (offset + PAGE) % (FILE_PAGES * PAGE);
	}
	end();
	close(fd);
}

static void bench_write_1(long n)
{
	write_blocks(n, 1);
}

static void bench_write_4k(long n)
{
	write_blocks(n, PAGE);
}

static void bench_open_close(long n)
{
	begin();
	while (n-- > 0)
		check(close(open_data(O_RDONLY)), "close");
	end();
}

static void bench_stat(long n)
{
	struct stat result;

	begin();
	while (n-- > 0)
		check(stat(file_name, &result), file_name);
	end();
}

/* Maps the file BATCH times and unmaps it again, and measures one of the two. */
static void map_and_unmap(long n, int measure_map)
{
	static void *maps[BATCH];
	int fd = open_data(O_RDONLY);

	for (; n > 0; n -= BATCH) {
		if (measure_map)
			begin();
		for (int i = 0; i < BATCH; i++) {
			maps[i] = mmap(NULL, sizeof(buffer), PROT_READ, MAP_PRIVATE, fd, 0);
			if (maps[i] == MAP_FAILED)
				err(1, "mmap");
		}
		if (measure_map)
			end();
		else
			begin();
		for (int i = 0; i < BATCH; i++)
			check(munmap(maps[i], sizeof(buffer)), "munmap");
		if (!measure_map)
			end();
	}
	close(fd);
}

static void bench_mmap(long n)
{
	map_and_unmap(n, 1);
}

static void bench_munmap(long n)
{
	map_and_unmap(n, 0);
}

/* Writes to pages of fresh mappings: of no file, which gives zeroed pages, or copies of a file's pages. */
static void touch_pages(long n, int fd)
{
	for (; n > 0; n -= FAULT_PAGES) {
		int pages = fd < 0 ? FAULT_PAGES : FILE_PAGES;
		int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE;

		for (int done = 0; done < FAULT_PAGES; done += pages) {
			volatile char *map = mmap(NULL, (size_t)pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);

			if (map == MAP_FAILED)
				err(1, "mmap");
			/* One fault for each page. */
			check(madvise((void *)map, (size_t)pages * PAGE, MADV_NOHUGEPAGE), "madvise");
			begin();
			for (int i = 0; i < pages; i++)
				map[i * PAGE] = 1;
			end();
			check(munmap((void *)map, (size_t)pages * PAGE), "munmap");
		}
	}
}

static void bench_page_fault(long n)
{
	touch_pages(n, -1);
}

static void bench_page_fault_copy(long n)
{
	int fd = open_data(O_RDONLY);

	touch_pages(n, fd);
	close(fd);
}

static void wait_for(pid_t child)
{
	int status;

	check(waitpid(child, &status, 0), "waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		errx(1, "a child ended with status %#x", status);
}

static void bench_fork(long n)
{
	begin();
	while (n-- > 0) {
		pid_t child = check(fork(), "fork");

		if (!child)
			_exit(0);
		wait_for(child);
	}
	end();
}

static void bench_fork_big(long n)
{
	volatile char *map =
		mmap(NULL, BIG_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		err(1, "mmap");
	madvise((void *)map, BIG_PAGES * PAGE, MADV_NOHUGEPAGE);
	for (int i = 0; i < BIG_PAGES; i++)
		map[i * PAGE] = 1;
	begin();
	while (n-- > 0) {
		pid_t child = check(fork(), "fork");

		if (!child) {
			/* Breaks the sharing of some pages. */
			for (int i = 0; i < BIG_PAGES; i += 16)
				map[i * PAGE] = 2;
			_exit(0);
		}
		wait_for(child);
	}
	end();
	munmap((void *)map, BIG_PAGES * PAGE);
}

static void bench_exec(long n)
{
	begin();
	while (n-- > 0) {
		pid_t child = check(vfork(), "vfork");

		if (!child) {
			execl(self, "syscalls", "exit", (char *)NULL);
			_exit(127);
		}
		wait_for(child);
	}
	end();
}

static void *return_at_once(void *argument)
{
	return argument;
}

static void bench_thread_create(long n)
{
	pthread_t thread;

	begin();
	while (n-- > 0) {
		if (pthread_create(&thread, NULL, return_at_once, NULL))
			errx(1, "pthread_create failed");
		pthread_join(thread, NULL);
	}
	end();
}

static void bench_pipe(long n)
{
	int ends[2];

	check(pipe(ends), "pipe");
	begin();
	while (n-- > 0) {
		expect(write(ends[1], buffer, 512), 512, "write");
		expect(read(ends[0], buffer, 512), 512, "read");
	}
	end();
	close(ends[0]);
	close(ends[1]);
}

/* Sends and receives BATCH messages in turns, and measures one of the two. */
static void send_and_receive(long n, int measure_send)
{
	int ends[2];

	check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
	for (; n > 0; n -= BATCH) {
		if (measure_send)
			begin();
		for (int i = 0; i < BATCH; i++)
			expect(send(ends[0], buffer, 64, 0), 64, "send");
		if (measure_send)
			end();
		else
			begin();
		for (int i = 0; i < BATCH; i++)
			expect(recv(ends[1], buffer, 64, MSG_WAITALL), 64, "recv");
		if (!measure_send)
			end();
	}
	close(ends[0]);
	close(ends[1]);
}

static void bench_send(long n)
{
	send_and_receive(n, 1);
}

static void bench_receive(long n)
{
	send_and_receive(n, 0);
}

static void bench_tcp(long n)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int one = 1, client, server;
	int listener = check(socket(AF_INET, SOCK_STREAM, 0), "socket");

	check(bind(listener, (struct sockaddr *)&address, length), "bind");
	check(listen(listener, 1), "listen");
	check(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");
	client = check(socket(AF_INET, SOCK_STREAM, 0), "socket");
	check(connect(client, (struct sockaddr *)&address, length), "connect");
	server = check(accept(listener, NULL, NULL), "accept");
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	begin();
	while (n-- > 0) {
		expect(send(client, buffer, 64, 0), 64, "send");
		expect(recv(server, buffer, 64, MSG_WAITALL), 64, "recv");
	}
	end();
	close(client);
	close(server);
	close(listener);
}

static int watched[DESCRIPTORS][2];

static void open_watched(void)
{
	for (int i = 0; i < DESCRIPTORS; i++)
		check(pipe(watched[i]), "pipe");
	/* The last one is ready, so that all are looked at. */
	expect(write(watched[DESCRIPTORS - 1][1], "x", 1), 1, "write");
}

static void close_watched(void)
{
	for (int i = 0; i < DESCRIPTORS; i++) {
		close(watched[i][0]);
		close(watched[i][1]);
	}
}

static void bench_select(long n)
{
	fd_set all, set;
	int limit = 0;

	open_watched();
	FD_ZERO(&all);
	for (int i = 0; i < DESCRIPTORS; i++) {
		FD_SET(watched[i][0], &all);
		if (limit <= watched[i][0])
			limit = watched[i][0] + 1;
	}
	begin();
	while (n-- > 0) {
		set = all;
		expect(select(limit, &set, NULL, NULL, NULL), 1, "select");
	}
	end();
	close_watched();
}

static void bench_poll(long n)
{
	struct pollfd set[DESCRIPTORS];

	open_watched();
	for (int i = 0; i < DESCRIPTORS; i++)
		set[i] = (struct pollfd){ .fd = watched[i][0], .events = POLLIN };
	begin();
	while (n-- > 0)
		expect(poll(set, DESCRIPTORS, -1), 1, "poll");
	end();
	close_watched();
}

static void bench_epoll(long n)
{
	int epoll = check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	struct epoll_event event;

	open_watched();
	for (int i = 0; i < DESCRIPTORS; i++) {
		event = (struct epoll_event){ .events = EPOLLIN, .data.fd = i };
		check(epoll_ctl(epoll, EPOLL_CTL_ADD, watched[i][0], &event), "epoll_ctl");
	}
	begin();
	while (n-- > 0)
		expect(epoll_wait(epoll, &event, 1, -1), 1, "epoll_wait");
	end();
	close_watched();
	close(epoll);
}

static int there[2], back[2];

/* The other side of a ping-pong: sends back all it gets. */
static void *answer(void *argument)
{
	char byte;

	while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1 && byte != 'q')
		;
	return argument;
}

static void ping(char byte)
{
	expect(write(there[1], &byte, 1), 1, "write");
	expect(read(back[0], &byte, 1), 1, "read");
}

static void ping_pong(long n)
{
	begin();
	while (n-- > 0)
		ping('p');
	end();
	ping('q');
}

static void open_pipes(void)
{
	check(pipe(there), "pipe");
	check(pipe(back), "pipe");
}

static void close_pipes(void)
{
	close(there[0]);
	close(there[1]);
	close(back[0]);
	close(back[1]);
}

static void bench_context_switch(long n)
{
	pid_t child;

	open_pipes();
	child = check(fork(), "fork");
	if (!child) {
		answer(NULL);
		_exit(0);
	}
	ping_pong(n);
	wait_for(child);
	close_pipes();
}

static void bench_thread_switch(long n)
{
	pthread_t thread;

	open_pipes();
	if (pthread_create(&thread, NULL, answer, NULL))
		errx(1, "pthread_create failed");
	ping_pong(n);
	pthread_join(thread, NULL);
	close_pipes();
}

static volatile long signals;

static void count_signal(int number)
{
	(void)number;
	signals++;
}

static void bench_signal(long n)
{
	pid_t own = getpid();
	long wanted = signals + n;

	signal(SIGUSR1, count_signal);
	begin();
	while (n-- > 0)
		check(kill(own, SIGUSR1), "kill");
	end();
	expect(signals, wanted, "signals");
}

static void bench_nanosleep(long n)
{
	struct timespec time = { .tv_nsec = 1000 };

	begin();
	while (n-- > 0)
		check(nanosleep(&time, NULL), "nanosleep");
	end();
}

static const struct benchmark {
	const char *name;
	long iterations;
	void (*run)(long iterations);
} benchmarks[] = {
	{ "getpid", 100000, bench_getpid },
	{ "read-1", 40000, bench_read_1 },
	{ "read-4k", 20000, bench_read_4k },
	{ "write-1", 16000, bench_write_1 },
	{ "write-4k", 16000, bench_write_4k },
	{ "open-close", 6400, bench_open_close },
	{ "stat", 20000, bench_stat },
	{ "mmap", 6400, bench_mmap },
	{ "munmap", 6400, bench_munmap },
	{ "page-fault", 16384, bench_page_fault },
	{ "page-fault-copy", 8192, bench_page_fault_copy },
	{ "fork", 250, bench_fork },
	{ "fork-big", 40, bench_fork_big },
	{ "exec", 200, bench_exec },
	{ "thread-create", 1000, bench_thread_create },
	{ "pipe", 16000, bench_pipe },
	{ "send", 16000, bench_send },
	{ "receive", 16000, bench_receive },
	{ "tcp", 3000, bench_tcp },
	{ "select", 2000, bench_select },
	{ "poll", 2000, bench_poll },
	{ "epoll", 16000, bench_epoll },
	{ "context-switch", 4000, bench_context_switch },
	{ "thread-switch", 4000, bench_thread_switch },
	{ "signal", 8000, bench_signal },
	{ "nanosleep", 2000, bench_nanosleep },
};

static void write_data(void)
{
	int fd = check(open(file_name, O_RDWR | O_CREAT | O_TRUNC, 0600), file_name);

	for (size_t i = 0; i < sizeof(buffer); i++)
		buffer[i] = i * 7 + (i >> 12);
	expect(write(fd, buffer, sizeof(buffer)), sizeof(buffer), file_name);
	close(fd);
}

static long rounded_up(long n)
{
	return n < 1 ? 1 : n;
}

int main(int argc, char **argv)
{
	long divisor = 1;

	if (argc == 2 && !strcmp(argv[1], "exit"))
		return 0;
	if (argc == 2)
		divisor = strtol(argv[1], NULL, 10);
	if (argc > 2 || divisor < 1)
		errx(2, "usage: syscalls [DIVISOR]");
	write_data();
	ringfence_mark(RINGFENCE_REGION_BEGIN, 0);
	for (phase = 0; phase < sizeof(benchmarks) / sizeof(benchmarks[0]); phase++) {
		const struct benchmark *benchmark = &benchmarks[phase];
		long iterations = rounded_up(benchmark->iterations / divisor);

		measuring = 0;
		benchmark->run(rounded_up(iterations / 10));
		measuring = 1;
		spent = 0;
		benchmark->run(iterations);
		printf("%-16s %7ld iterations %9.1f ns\n", benchmark->name, iterations, (double)spent / iterations);
	}
	ringfence_mark(RINGFENCE_REGION_END, 0);
	unlink(file_name);
	return 0;
}
