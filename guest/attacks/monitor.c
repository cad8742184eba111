/*
 * Set-up program: a monitor that runs virtual machines for tenants, a process of root's. It has a
 * secret of its own, as monitors have the keys of their machines' disks.
 *
 *   monitor --secret FILE
 *
 * Prints the socket that takes machines (--monitor), and of its own address space where the secret is
 * (--address), where its call of a device ends (--branch), where the table of devices is (--slow), and
 * code that discloses what a register points to (--disclosure).
 */
#include "setup.h"

#include <sys/mman.h>

#include "channel.h"
#include "machine.h"
#include "monitor.h"
#include "record.h"

enum { MOST_BYTES = 2048 };

static const char socket_path[] = "/tmp/monitor";

static uint8_t record[PAGE] __attribute__((aligned(PAGE)));
static int secret_bytes;
static volatile uint8_t used;

/* A device takes what a machine has written, and may use the buffer that is in the machine's memory. */
typedef void device(uint64_t value, uint8_t *buffer);

/*
 * Models of devices are apart from the rest of the monitor, which puts them where there is room, as
 * modules are loaded. So they use nothing but what they are given.
 */
#define DEVICE_MODEL __attribute__((section("models"), noinline))

extern const uint8_t __start_models[], __stop_models[];

static DEVICE_MODEL void ring(uint64_t value, uint8_t *buffer)
{
	enum { LAST_VALUE = 128 };

	memcpy(buffer + LAST_VALUE, &value, sizeof(value));
}

/* A device that no machine has, in a page of its own: counts a byte of the monitor's by its halves. */
static DEVICE_MODEL __attribute__((aligned(PAGE))) void count(uint64_t address, uint8_t *buffer)
{
	uint8_t byte = *(const uint8_t *)address;

	buffer[(byte & 15) << SLOT_BITS]++;
	buffer[UPPER_HALF + ((byte & 0xf0) << (SLOT_BITS - 4))]++;
}

/* In a page of its own, with room before it. */
static struct {
	uint8_t other[PAGE / 2];
	device *first, *second;
	uint8_t others[PAGE / 2 - 2 * sizeof(device *)];
} devices __attribute__((aligned(PAGE)));

extern const uint8_t device_called[];

/* The monitor's call of a device. It is written out so that there is one, at a place that has a name. */
static DEVICE_MODEL __attribute__((aligned(PAGE))) void call_device(device *const *chosen, uint64_t value, uint8_t *buffer)
{
	/* Functions may use 128 bytes below the stack pointer. */
	__asm__ volatile(
		"sub $128, %%rsp\n\t"
		"call *(%%rax)\n"
		"device_called:\n\t"
		"add $128, %%rsp\n\t"
		: "+D"(value), "+S"(buffer), "+a"(chosen)
		:
		: "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc");
}

/* Where something of the models has been put. */
static uint8_t *loaded_models;

static uint8_t *in_models(const void *address)
{
	return loaded_models + ((const uint8_t *)address - __start_models);
}

static void load_models(void)
{
	uint64_t bytes = __stop_models - __start_models;

	loaded_models = mmap(NULL, bytes, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (loaded_models == MAP_FAILED)
		err(1, "mmap");
	memcpy(loaded_models, __start_models, bytes);
	devices.first = (device *)in_models(ring);
	devices.second = (device *)in_models(count);
}

/* As a disk's key is used: all of its bytes are read. */
static void use_key(void)
{
	for (int i = 0; i < secret_bytes; i++)
		used ^= record[HEADER + i];
}

/* Returns 0, or the exit reason if that is not one that the machine's devices have. */
static uint8_t run(struct machine *machine)
{
	void (*call)(device *const *, uint64_t, uint8_t *) = (void *)in_models(call_device);

	for (;;) {
		const struct kvm_run *exit = run_to_exit(&machine->virtual);

		if (says_done(exit)) {
			return 0;
		} else if (exit->exit_reason == KVM_EXIT_MMIO && exit->mmio.is_write && exit->mmio.phys_addr == DOORBELL) {
			uint64_t value;

			memcpy(&value, exit->mmio.data, sizeof(value));
			call(&devices.first, value, machine->virtual.memory + MACHINE_BUFFER);
		} else if (exit->exit_reason == KVM_EXIT_IO && exit->io.port == DISK_PORT) {
			use_key();
		} else {
			return exit->exit_reason;
		}
	}
}

/* Runs the machine of a tenant as long as the tenant wants. */
static void serve(int tenant)
{
	struct machine machine = { 0 };
	uint64_t begin;
	int file = receive_descriptor(tenant);
	uint8_t byte;

	if (read(tenant, &begin, sizeof(begin)) != sizeof(begin))
		return;
	machine.virtual.memory = mmap(NULL, MACHINE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
	if (machine.virtual.memory == MAP_FAILED)
		return;
	machine_start(&machine, begin);
	while (read(tenant, &byte, 1) == 1) {
		byte = run(&machine);
		if (write(tenant, &byte, 1) != 1)
			return;
	}
}

int main(int argc, char **argv)
{
	int socket;

	if (argc != 3 || strcmp(argv[1], "--secret"))
		errx(2, "expected --secret FILE");
	load_models();
	put_mark(record + HEADER);
	secret_bytes = read_file(argv[2], record + HEADER, MOST_BYTES);
	socket = listen_at(socket_path, SOCK_STREAM);
	printf("--monitor %s --address %#lx --branch %#lx --slow %#lx --disclosure %#lx", socket_path,
	       (uintptr_t)record + HEADER, (uintptr_t)in_models(device_called) - 1, (uintptr_t)&devices.first, (uintptr_t)in_models(count));
	to_background();
	for (;;) {
		int tenant = accept(socket, NULL, NULL);

		serve(tenant);
		close(tenant);
	}
}
