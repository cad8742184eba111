/*
 * What set-up programs share. They run as root before an attack, print options for it on one line,
 * and stay in the background where something has to be kept alive or to be answered.
 */
#ifndef SETUP_H
#define SETUP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE	/* memmem and ucred; so this header or attack.h comes first */
#endif
#include <elf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "service.h"

enum { PAGE = 4096 };

static inline long checked(long result, const char *what)
{
	if (result < 0)
		err(1, "%s", what);
	return result;
}

/* A file's content, at most size bytes of it; returns how many there are. */
static inline int read_file(const char *path, void *buffer, int size)
{
	int fd = checked(open(path, O_RDONLY), path);
	int bytes = checked(read(fd, buffer, size), path);

	close(fd);
	return bytes;
}

/* A listening socket in the file system that everybody may connect to. */
static inline int listen_at(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = checked(socket(AF_UNIX, type, 0), "socket");

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	unlink(path);
	checked(bind(fd, (struct sockaddr *)&address, sizeof(address)), path);
	checked(chmod(path, 0666), path);
	if (type != SOCK_DGRAM)
		checked(listen(fd, 4), path);
	return fd;
}

/* Ends the line of options. */
static inline void end_options(void)
{
	printf("\n");
	fflush(stdout);
}

static inline void leave_terminal(void)
{
	int null = checked(open("/dev/null", O_RDWR), "/dev/null");

	setsid();
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
}

/* Ends the line of options and goes on in the background. */
static inline void to_background(void)
{
	end_options();
	if (checked(fork(), "fork"))
		_exit(0);
	leave_terminal();
}

/*
 * The same for what belongs to one process alone: goes on in a child, while this process waits until
 * the child is ready, and ends. Returns what the child is to call ready with.
 */
static inline int begin_in_background(void)
{
	int pipes[2];
	char byte;

	checked(pipe(pipes), "pipe");
	if (checked(fork(), "fork")) {
		close(pipes[1]);
		_exit(read(pipes[0], &byte, 1) == 1 ? 0 : 1);
	}
	close(pipes[0]);
	return pipes[1];
}

static inline void ready(int waiting)
{
	end_options();
	leave_terminal();
	if (write(waiting, "", 1) != 1)
		exit(1);
	close(waiting);
}

/* A pipe of a service in the file system that everybody may use. */
static inline int make_pipe(const char *service, const char *pipe)
{
	char name[256];

	snprintf(name, sizeof(name), "%s.%s", service, pipe);
	unlink(name);
	checked(mkfifo(name, 0666), name);
	checked(chmod(name, 0666), name);
	return open_service(service, pipe);
}

/* The frame behind a page of this process, which has been touched. */
static inline uint64_t physical_address(const void *address)
{
	uint64_t entry;
	int fd = checked(open("/proc/self/pagemap", O_RDONLY), "pagemap");

	if (pread(fd, &entry, sizeof(entry), (uintptr_t)address / PAGE * sizeof(entry)) != sizeof(entry)
	    || !(entry >> 63))
		errx(1, "pagemap: expected a page that is present");
	close(fd);
	return (entry & ((1ULL << 55) - 1)) * PAGE + (uintptr_t)address % PAGE;
}

/* A segment of the kernel's memory as /proc/kcore describes it. */
struct kernel_memory {
	int fd, count;
	Elf64_Phdr segments[64];
};

static inline struct kernel_memory *kernel_memory(void)
{
	static struct kernel_memory memory;
	Elf64_Ehdr header;

	if (memory.fd)
		return &memory;
	memory.fd = checked(open("/proc/kcore", O_RDONLY), "/proc/kcore");
	if (pread(memory.fd, &header, sizeof(header), 0) != sizeof(header) || header.e_phnum > 64)
		errx(1, "/proc/kcore: expected an ELF header of at most 64 segments");
	memory.count = header.e_phnum;
	if (pread(memory.fd, memory.segments, memory.count * sizeof(Elf64_Phdr), header.e_phoff) < 0)
		err(1, "/proc/kcore");
	return &memory;
}

static inline void read_kernel(uint64_t address, void *buffer, int size)
{
	struct kernel_memory *memory = kernel_memory();

	for (int i = 0; i < memory->count; i++) {
		const Elf64_Phdr *segment = &memory->segments[i];

		if (segment->p_type == PT_LOAD && address - segment->p_vaddr < segment->p_memsz) {
			if (pread(memory->fd, buffer, size, segment->p_offset + address - segment->p_vaddr) != size)
				err(1, "/proc/kcore at %#lx", address);
			return;
		}
	}
	errx(1, "/proc/kcore: expected address %#lx in a segment", address);
}

/* Where the kernel's direct map has a frame: the first segment whose physical addresses hold it. */
static inline uint64_t direct_map_address(uint64_t physical)
{
	struct kernel_memory *memory = kernel_memory();
	uint64_t lowest = 0;

	/* The direct map lies below all other mappings of the kernel. */
	for (int i = 0; i < memory->count; i++) {
		const Elf64_Phdr *segment = &memory->segments[i];

		if (segment->p_type == PT_LOAD && physical - segment->p_paddr < segment->p_memsz) {
			uint64_t address = segment->p_vaddr + physical - segment->p_paddr;

			if (!lowest || address < lowest)
				lowest = address;
		}
	}
	if (!lowest)
		errx(1, "/proc/kcore: expected physical address %#lx in a segment", physical);
	return lowest;
}

struct kernel_symbol {
	uint64_t address;
	char name[128];
};

/*
 * The symbol at a place in the list of all, which is sorted by address; NULL behind the last one.
 * The kernel makes the list as it is read, and that takes long: so it is read once, and no farther
 * than it has to be.
 */
static inline const struct kernel_symbol *kernel_symbol(int index)
{
	enum { MORE = 1 << 14 };
	static FILE *file;
	static struct kernel_symbol *symbols;
	static int count;
	char line[512];

	if (!file && !(file = fopen("/proc/kallsyms", "r")))
		err(1, "/proc/kallsyms");
	while (index >= count && fgets(line, sizeof(line), file)) {
		if (count % MORE == 0)
			symbols = realloc(symbols, (count + MORE) * sizeof(*symbols));
		if (!symbols)
			err(1, "symbols");
		/* ADDRESS TYPE NAME, and [MODULE] for those of modules */
		if (sscanf(line, "%lx %*c %127s", &symbols[count].address, symbols[count].name) == 2)
			count++;
	}
	return index < count ? &symbols[index] : NULL;
}

/*
 * Addresses of functions and variables of the kernel, in the order of the names, and where the
 * symbol behind each begins.
 */
static inline void kernel_symbols(int count, const char *const *names, uint64_t *starts, uint64_t *ends)
{
	const struct kernel_symbol *symbol;
	int missing = 2 * count;

	memset(starts, 0, count * sizeof(*starts));
	memset(ends, 0, count * sizeof(*ends));
	for (int at = 0; missing && (symbol = kernel_symbol(at)); at++) {
		for (int i = 0; i < count; i++) {
			if (starts[i] && !ends[i] && symbol->address > starts[i]) {
				ends[i] = symbol->address;
				missing--;
			}
			if (!starts[i] && !strcmp(symbol->name, names[i])) {
				starts[i] = symbol->address;
				missing--;
			}
		}
	}
	for (int i = 0; i < count; i++) {
		if (!starts[i] || !ends[i])
			errx(1, "/proc/kallsyms: expected %s", names[i]);
	}
}

#endif
