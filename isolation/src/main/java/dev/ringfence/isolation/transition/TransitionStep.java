package dev.ringfence.isolation.transition;

/** Points within an enter or an exit at which an interrupt or NMI may arrive. */
public enum TransitionStep {
  /** Enter: the target is set, nothing else has happened. */
  TARGET_SET,
  /** Enter: the domain counts as current, CR3 is still the old one. */
  CURRENT_SET,
  /** Either: predictors are flushed if that was necessary. */
  CONTROL_FLUSHED,
  /** Exit: the kernel's data is about to be reachable. */
  KERNEL_DATA_TAINTED,
  /** Either: CR3 is the new one. */
  CR3_WRITTEN,
  /** Enter: buffers are flushed if that was necessary. */
  DATA_FLUSHED,
  /** Enter: what the domain leaves behind is noted; the enter is complete. */
  TAINTS_SET,
  /** Exit: no domain is current any more; the exit is complete. */
  CURRENT_CLEARED
}
