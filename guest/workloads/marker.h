/*
 * The marker instruction, by which a program in the guest tells the machine where it is: CPUID with
 * EAX = "RING", ECX = operation, RBX = argument. Elsewhere it reads a leaf that no processor has.
 * The numbers are those of dev.ringfence.lab.workload.Marker.
 */
#ifndef RINGFENCE_MARKER_H
#define RINGFENCE_MARKER_H

#define RINGFENCE_LEAF 0x52494e47u

enum ringfence_operation {
	RINGFENCE_REGION_BEGIN = 1,
	RINGFENCE_REGION_END = 2,
	RINGFENCE_PHASE_BEGIN = 3, /* argument: index of the phase in the workload's list */
	RINGFENCE_PHASE_END = 4,
};

static inline void ringfence_mark(enum ringfence_operation operation, unsigned long argument)
{
	unsigned int eax = RINGFENCE_LEAF, ecx = operation;

	__asm__ volatile("cpuid" : "+a"(eax), "+b"(argument), "+c"(ecx) : : "rdx", "memory");
}

#endif
