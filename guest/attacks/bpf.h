/*
 * BPF programs and maps by the bare system call, and the instructions that the gadgets use.
 * Registers: R0 result, R1 to R5 arguments, R6 to R9 preserved, R10 frame pointer.
 */
#ifndef BPF_H
#define BPF_H

#include <err.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INSN(opcode, dst, src, offset, value) \
	((struct bpf_insn){ .code = (opcode), .dst_reg = (dst), .src_reg = (src), .off = (offset), .imm = (value) })

#define MOVE(dst, src) INSN(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)
#define MOVE_IMM(dst, value) INSN(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, value)
#define ADD(dst, src) INSN(BPF_ALU64 | BPF_ADD | BPF_X, dst, src, 0, 0)
#define ADD_IMM(dst, value) INSN(BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, value)
#define AND(dst, src) INSN(BPF_ALU64 | BPF_AND | BPF_X, dst, src, 0, 0)
#define AND_IMM(dst, value) INSN(BPF_ALU64 | BPF_AND | BPF_K, dst, 0, 0, value)
#define XOR(dst, src) INSN(BPF_ALU64 | BPF_XOR | BPF_X, dst, src, 0, 0)
#define SHIFT_LEFT(dst, bits) INSN(BPF_ALU64 | BPF_LSH | BPF_K, dst, 0, 0, bits)
/* size: BPF_B, BPF_W, BPF_DW */
#define LOAD(size, dst, src, offset) INSN(BPF_LDX | BPF_MEM | (size), dst, src, offset, 0)
#define STORE(size, dst, src, offset) INSN(BPF_STX | BPF_MEM | (size), dst, src, offset, 0)
#define JUMP_NOT_EQUAL(left, right, instructions) INSN(BPF_JMP | BPF_JNE | BPF_X, left, right, instructions, 0)
#define JUMP_NOT_EQUAL_IMM(left, value, instructions) INSN(BPF_JMP | BPF_JNE | BPF_K, left, 0, instructions, value)
#define JUMP_EQUAL_IMM(left, value, instructions) INSN(BPF_JMP | BPF_JEQ | BPF_K, left, 0, instructions, value)
#define JUMP(instructions) INSN(BPF_JMP | BPF_JA, 0, 0, instructions, 0)
#define CALL(helper) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper)
#define EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)
/* The address of a byte of a map's only value: two instructions. */
#define MAP_ADDRESS(dst, map, offset) \
	INSN(BPF_LD | BPF_DW | BPF_IMM, dst, BPF_PSEUDO_MAP_VALUE, 0, map), INSN(0, 0, 0, 0, offset)

static inline long bpf(int command, union bpf_attr *attributes)
{
	return syscall(SYS_bpf, command, attributes, sizeof(*attributes));
}

/* An array of one value, which can be mapped by processes. */
static inline int create_map(uint32_t value_bytes)
{
	union bpf_attr attributes = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = value_bytes, .max_entries = 1,
		.map_flags = BPF_F_MMAPABLE,
	};
	int fd = bpf(BPF_MAP_CREATE, &attributes);

	if (fd < 0)
		err(1, "BPF_MAP_CREATE");
	return fd;
}

static inline int load_program(enum bpf_prog_type type, const struct bpf_insn *instructions, int count)
{
	static char log[1 << 16];
	union bpf_attr attributes = {
		.prog_type = type, .insns = (uintptr_t)instructions, .insn_cnt = count, .license = (uintptr_t)"GPL",
	};
	int fd = bpf(BPF_PROG_LOAD, &attributes);

	if (fd < 0) {
		attributes.log_buf = (uintptr_t)log;
		attributes.log_size = sizeof(log);
		attributes.log_level = 1;
		bpf(BPF_PROG_LOAD, &attributes);
		err(1, "%sBPF_PROG_LOAD", log);
	}
	return fd;
}

/* Has a program run whenever the kernel passes a tracepoint, as long as the descriptor is open. */
static inline int attach_tracepoint(int program, const char *name)
{
	union bpf_attr attributes = { .raw_tracepoint = { .name = (uintptr_t)name, .prog_fd = program } };
	int fd = bpf(BPF_RAW_TRACEPOINT_OPEN, &attributes);

	if (fd < 0)
		err(1, "BPF_RAW_TRACEPOINT_OPEN %s", name);
	return fd;
}

/* Runs a socket filter once, on an empty packet. */
static inline void run_filter(int program)
{
	static char packet[64];
	union bpf_attr attributes = {
		.test = { .prog_fd = program, .data_in = (uintptr_t)packet, .data_size_in = sizeof(packet) },
	};

	if (bpf(BPF_PROG_TEST_RUN, &attributes))
		err(1, "BPF_PROG_TEST_RUN");
}

/* Kernel address of a map's value: a program may write it down, if root loads it. */
static inline uint64_t map_address(int map)
{
	const struct bpf_insn program[] = {
		MAP_ADDRESS(BPF_REG_1, map, 0),
		STORE(BPF_DW, BPF_REG_1, BPF_REG_1, 0),
		MOVE_IMM(BPF_REG_0, 0),
		EXIT(),
	};
	int fd = load_program(BPF_PROG_TYPE_SOCKET_FILTER, program, sizeof(program) / sizeof(program[0]));
	uint32_t key = 0;
	static uint8_t value[1 << 16];
	uint64_t address;
	union bpf_attr attributes = { .map_fd = map, .key = (uintptr_t)&key, .value = (uintptr_t)value };

	run_filter(fd);
	close(fd);
	if (bpf(BPF_MAP_LOOKUP_ELEM, &attributes))
		err(1, "BPF_MAP_LOOKUP_ELEM");
	memcpy(&address, value, sizeof(address));
	return address;
}

/*
 * Machine code of a program.
 *
 * @return its address; code has up to size bytes of it
 */
static inline uint64_t program_code(int program, uint8_t *code, uint32_t size, uint32_t *bytes)
{
	uint64_t address = 0;
	struct bpf_prog_info info = {
		.nr_jited_ksyms = 1, .jited_ksyms = (uintptr_t)&address,
		.jited_prog_len = size, .jited_prog_insns = (uintptr_t)code,
	};
	union bpf_attr attributes = {
		.info = { .bpf_fd = program, .info_len = sizeof(info), .info = (uintptr_t)&info },
	};

	if (bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes))
		err(1, "BPF_OBJ_GET_INFO_BY_FD");
	if (!address || !info.jited_prog_len)
		errx(1, "expected a program that was compiled to machine code");
	*bytes = info.jited_prog_len;
	return address;
}

#endif
