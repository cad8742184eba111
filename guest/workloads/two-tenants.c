/*
 * Two virtual machines of two processes, tenant-a and tenant-b, that take turns on one processor, or
 * run on the first and the last of several. Each reads a page of its own over and over, its secret,
 * and makes VM exits in between as a guest with little to compute does. Usage: two-tenants ROUNDS
 *
 * In each phase of the workload KVM flushes the L1 data cache at VM entries in another way: the
 * phases are values of the parameter vmentry_l1d_flush of kvm_intel, which can be set while machines
 * run. Before the first phase all is run once without marks.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "marker.h"
#include "real-mode-machine.h"

#define TENANTS 2
#define SECRET 0x100000 /* guest-physical address of the page that the tenant keeps to itself */
#define SECRET_BYTES 4096
#define SECTOR_BYTES 512
#define PARAMETER "/sys/module/kvm_intel/parameters/vmentry_l1d_flush"

/*
 * ESI counts rounds, EBP adds up what is read. A round: one load of each line of the secret, eight
 * CPUID and one RDMSR, which the kernel handles, an OUT that stands for a request to a device, and
 * HLT, as nothing is left to do.
 */
__asm__(".section .rodata\n"
	".code16\n"
	".globl tenant_start, tenant_end\n"
	"tenant_start:\n"
	"  xor %ebp, %ebp\n"
	"1: xor %edi, %edi\n"
	"2: addl %fs:(%edi), %ebp\n"
	"  add $64, %edi\n"
	"  cmp $4096, %edi\n"
	"  jb 2b\n"
	"  mov $8, %edi\n"
	"3: xor %eax, %eax\n"
	"  cpuid\n"
	"  dec %edi\n"
	"  jnz 3b\n"
	"  mov $0x1b, %ecx\n"
	"  rdmsr\n"
	"  out %al, $0x80\n"
	"  hlt\n"
	"  dec %esi\n"
	"  jnz 1b\n"
	"  out %al, $0xe9\n"
	"tenant_end:\n"
	".code64\n"
	".text\n");

extern const char tenant_start[], tenant_end[];

static int disk;

/* The device is a disk whose image lies in the page cache; an idle machine yields its processor. */
static void serve(const struct kvm_run *state)
{
	static const char sector[SECTOR_BYTES];

	if (state->exit_reason == KVM_EXIT_HLT)
		sched_yield();
	else if (pwrite(disk, sector, sizeof(sector), 0) != sizeof(sector))
		err(1, "the tenant's disk");
}

static struct virtual_machine create_tenant(int tenant)
{
	struct virtual_machine machine = create_machine(tenant_start, tenant_end);
	unsigned int *secret = (unsigned int *)(machine.memory + SECRET);
	struct kvm_sregs segments = system_registers(&machine);

	for (int i = 0; i < SECRET_BYTES / 4; i++)
		secret[i] = (unsigned int)(i + 1) * 2654435761u ^ (unsigned int)tenant * 0x5bd1e995u;
	segments.fs.base = SECRET;
	set_system_registers(&machine, &segments);
	return machine;
}

/* The process of a tenant: runs its machine for each number of rounds that it is told. */
static void be_tenant(int tenant, int orders, int answers)
{
	const char name[] = { 't', 'e', 'n', 'a', 'n', 't', '-', (char)('a' + tenant), 0 };
	char path[] = "/tmp/tenant-a.disk";
	cpu_set_t processors;
	unsigned long rounds;
	struct virtual_machine machine;
	struct kvm_regs registers;

	CPU_ZERO(&processors);
	CPU_SET(tenant == 0 ? 0 : (int)sysconf(_SC_NPROCESSORS_ONLN) - 1, &processors);
	path[sizeof("/tmp/tenant-") - 1] = (char)('a' + tenant);
	disk = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (disk < 0 || prctl(PR_SET_NAME, name) < 0 || sched_setaffinity(0, sizeof(processors), &processors) < 0)
		err(1, "%s", name);
	machine = create_tenant(tenant);
	while (read(orders, &rounds, sizeof(rounds)) == sizeof(rounds)) {
		start_at(&machine, CODE, rounds);
		run_machine(&machine, serve);
		if (ioctl(machine.vcpu, KVM_GET_REGS, &registers) < 0
		    || write(answers, &registers.rbp, sizeof(registers.rbp)) != sizeof(registers.rbp))
			err(1, "%s", name);
	}
	exit(0);
}

/* Sets the parameter and prints what it is then; a processor without L1TF does not take it. */
static void set_flush(const char *value)
{
	char now[32] = "";
	int file = open(PARAMETER, O_RDWR);
	long bytes;

	if (file < 0 || write(file, value, strlen(value)) < 0)
		err(1, PARAMETER);
	bytes = pread(file, now, sizeof(now) - 1, 0);
	close(file);
	now[strcspn(now, "\n")] = 0;
	printf("flush at VM entries: %s\n", bytes > 0 ? now : "not known");
	fflush(stdout);
}

static void run_tenants(const int orders[], int answers, unsigned long rounds)
{
	unsigned long sum, both = 0;

	for (int i = 0; i < TENANTS; i++)
		if (write(orders[i], &rounds, sizeof(rounds)) != sizeof(rounds))
			err(1, "order");
	for (int i = 0; i < TENANTS; i++) {
		if (read(answers, &sum, sizeof(sum)) != sizeof(sum))
			err(1, "answer");
		both += sum;
	}
	printf("sum of what both have read: %lu\n", both);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static const char *const settings[] = { "never", "cond", "always" };
	unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	int orders[TENANTS], answers[2];

	if (rounds == 0) {
		fprintf(stderr, "usage: two-tenants ROUNDS\n");
		return 2;
	}
	if (pipe(answers) < 0)
		err(1, "pipe");
	for (int i = 0; i < TENANTS; i++) {
		int ends[2];

		if (pipe(ends) < 0)
			err(1, "pipe");
		switch (fork()) {
		case -1:
			err(1, "fork");
		case 0:
			close(ends[1]);
			for (int j = 0; j < i; j++)
				close(orders[j]);
			be_tenant(i, ends[0], answers[1]);
		}
		close(ends[0]);
		orders[i] = ends[1];
	}
	close(answers[1]);
	run_tenants(orders, answers[0], rounds / 10 + 1);
	ringfence_mark(RINGFENCE_REGION_BEGIN, 0);
	for (unsigned long i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		set_flush(settings[i]);
		ringfence_mark(RINGFENCE_PHASE_BEGIN, i);
		run_tenants(orders, answers[0], rounds);
		ringfence_mark(RINGFENCE_PHASE_END, i);
	}
	ringfence_mark(RINGFENCE_REGION_END, 0);
	for (int i = 0; i < TENANTS; i++)
		close(orders[i]);
	for (int i = 0; i < TENANTS; i++) {
		int status;

		if (wait(&status) < 0 || status != 0)
			err(1, "tenant");
	}
	return 0;
}
