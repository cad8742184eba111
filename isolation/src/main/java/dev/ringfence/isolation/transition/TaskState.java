package dev.ringfence.isolation.transition;

import org.jspecify.annotations.Nullable;

/**
 * What a task takes along when it leaves a processor: how many interrupts its kernel code is nested
 * in, and the domain that the outermost of them interrupted. One for each task.
 */
public final class TaskState {
  int depth;
  @Nullable Domain interrupted;

  /** Interrupts, exceptions and NMIs taken in the kernel that have not returned. */
  public int depth() {
    return depth;
  }
}
