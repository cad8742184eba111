package dev.ringfence.isolation.transition;

/** Why a restricted address space was left. */
public enum ExitReason {
  /** An access to memory that only the unrestricted address space maps. */
  FAULT,
  /** The policy leaves at every entry from user mode. */
  KERNEL_ENTRY,
  /** The policy runs interrupt handlers unrestricted. */
  INTERRUPT,
  /** Another task or another process gets the processor. */
  CONTEXT_SWITCH,
  /** Code that must not see the restricted address space, such as one that reads CR3. */
  OTHER
}
