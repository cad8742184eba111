/*
 * Loads that fault on purpose, and how the program goes on: the handler of the signal continues at
 * the place that was noted before the load, with the stack pointer of that moment.
 */
#ifndef FAULT_H
#define FAULT_H

#include <err.h>
#include <signal.h>
#include <stdint.h>
#include <ucontext.h>
#include <unistd.h>

/* Where to go on; written by assembly. */
uint64_t fault_resume, fault_stack;

static inline void on_fault(int signal, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

	(void)signal;
	(void)info;
	if (!fault_resume)
		_exit(3);
	registers[REG_RIP] = fault_resume;
	registers[REG_RSP] = fault_stack;
	fault_resume = 0;
}

static inline void catch_faults(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	if (sigaction(SIGSEGV, &action, NULL) || sigaction(SIGBUS, &action, NULL))
		err(1, "sigaction");
}

/* Assembly that notes to go on at local label 9, and the label; %rax is lost. */
#define RESUME_AT_9                        \
	"lea 9f(%%rip), %%rax\n\t"         \
	"mov %%rax, fault_resume(%%rip)\n\t" \
	"mov %%rsp, fault_stack(%%rip)\n\t"
#define RESUMED "9:\n\t"

#endif
