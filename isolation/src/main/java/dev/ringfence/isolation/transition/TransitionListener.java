package dev.ringfence.isolation.transition;

import dev.ringfence.isolation.policy.HardwareOperation;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Hears what a {@link DomainState} decides, in the order in which it is to take effect. Sets that
 * are handed over are constants, so no call allocates.
 */
public interface TransitionListener {
  /** Hears nothing. */
  TransitionListener SILENT = new TransitionListener() {};

  /**
   * A domain has become current and its enter is complete.
   *
   * @param previous domain that was current, null if the processor was unrestricted
   */
  default void entered(Domain domain, @Nullable Domain previous) {}

  /** A domain is no longer current; the processor is unrestricted. */
  default void exited(Domain domain, ExitReason reason) {}

  /**
   * Untrusted code no longer runs.
   *
   * @param current domain whose address space stays in use, null if the processor is unrestricted
   */
  default void relaxed(@Nullable Domain current) {}

  /**
   * CR3 is written.
   *
   * @param domain whose page table it is, null for the kernel's own
   * @param keepTranslations whether translations of both address spaces survive
   */
  default void cr3Written(@Nullable Domain domain, boolean keepTranslations) {}

  /**
   * Predictors are flushed.
   *
   * @param operations at least one, in no particular order
   */
  default void controlFlush(Set<HardwareOperation> operations) {}

  /**
   * Caches and buffers are flushed.
   *
   * @param operations at least one, in no particular order
   */
  default void dataFlush(Set<HardwareOperation> operations) {}

  /** The processor's taints have changed; masks of {@link dev.ringfence.isolation.policy.Taint}. */
  default void taintsChanged(int before, int after) {}

  /**
   * A step of a transition is complete and the next has not begun. Interrupts may be reported to
   * the state from here, together with the exits that their handlers cause.
   */
  default void step(TransitionStep step) {}
}
