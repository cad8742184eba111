/*
 * Set-up program: an agent in the kernel that has a secret key, as programs have that sign or
 * pseudonymize what they trace.
 *
 *   key-agent --event sys_exit|kvm_exit --secret FILE
 *
 * It is a BPF program that copies the key to a working area and hashes it, whenever the kernel passes
 * a tracepoint: at the end of the system call getpgid, or at each exit of a virtual machine. Prints
 * the key's address in the kernel (--address), its physical address (--physical), the address of the
 * working area (--copy), and the number of the system call (--call) if it is one.
 */
#include "setup.h"

#include <getopt.h>
#include <sys/mman.h>

#include "bpf.h"
#include "record.h"

enum {
	MOST_BYTES = 64,
	KEY = 256 + MARK_BYTES,	/* offsets in the value of the map */
	COPY = 2048,
	SYSTEM_CALL = SYS_getpgid,
	ORIGINAL_RAX = 0x78,	/* of struct pt_regs */
};

int main(int argc, char **argv)
{
	struct bpf_insn program[256];
	uint8_t *value;
	uint64_t address;
	int count = 0, size, map, of_call;

	if (argc != 5 || strcmp(argv[1], "--event") || strcmp(argv[3], "--secret"))
		errx(2, "expected --event sys_exit|kvm_exit and --secret FILE");
	of_call = !strcmp(argv[2], "sys_exit");
	map = create_map(PAGE);
	address = map_address(map);
	value = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	if (value == MAP_FAILED)
		err(1, "mmap");
	memset(value, 0, PAGE);
	put_mark(value + KEY);
	size = read_file(argv[4], value + KEY, MOST_BYTES);

	/* The tracepoint sys_exit has two arguments, the user's registers and the result. */
	const struct bpf_insn which_call[] = {
		LOAD(BPF_DW, BPF_REG_3, BPF_REG_1, 0),
		ADD_IMM(BPF_REG_3, ORIGINAL_RAX),
		MOVE(BPF_REG_1, BPF_REG_10),
		ADD_IMM(BPF_REG_1, -8),
		MOVE_IMM(BPF_REG_2, 8),
		CALL(BPF_FUNC_probe_read_kernel),
		LOAD(BPF_DW, BPF_REG_2, BPF_REG_10, -8),
		MOVE_IMM(BPF_REG_0, 0),
		JUMP_NOT_EQUAL_IMM(BPF_REG_2, SYSTEM_CALL, 3 + 3 * ((size + 7) / 8)),
	};
	const struct bpf_insn use[] = { MOVE_IMM(BPF_REG_0, 0), MAP_ADDRESS(BPF_REG_1, map, 0) };

	if (of_call) {
		memcpy(program, which_call, sizeof(which_call));
		count = sizeof(which_call) / sizeof(which_call[0]);
	}
	memcpy(program + count, use, sizeof(use));
	count += sizeof(use) / sizeof(use[0]);
	for (int i = 0; i < size; i += 8) {
		program[count++] = LOAD(BPF_DW, BPF_REG_2, BPF_REG_1, KEY + i);
		program[count++] = STORE(BPF_DW, BPF_REG_1, BPF_REG_2, COPY + i);
		program[count++] = XOR(BPF_REG_0, BPF_REG_2);
	}
	program[count++] = EXIT();

	attach_tracepoint(load_program(BPF_PROG_TYPE_RAW_TRACEPOINT, program, count), argv[2]);
	printf("--address %#lx --physical %#lx --copy %#lx", address + KEY, physical_address(value + KEY), address + COPY);
	if (of_call)
		printf(" --call %d", SYSTEM_CALL);
	munmap(value, PAGE);
	to_background();
	for (;;)
		pause();
}
