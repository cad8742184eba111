package dev.ringfence.isolation.transition;

/** How the kernel was entered from user mode. */
public enum EntryKind {
  SYSTEM_CALL,
  EXCEPTION,
  INTERRUPT,
  NON_MASKABLE_INTERRUPT
}
