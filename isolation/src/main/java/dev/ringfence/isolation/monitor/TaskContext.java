package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.transition.TaskState;
import java.util.Arrays;

/**
 * What belongs to a task while it is in the kernel: why it entered, the interrupts on top of that,
 * and the nesting that each policy counts. It goes with the task and not with the processor, since
 * a task that sleeps in a page fault goes on later, perhaps elsewhere.
 */
final class TaskContext {
  private int[] reasons = new int[8];
  private int depth;

  /** One for each policy. */
  final TaskState[] states;

  TaskContext(int policies) {
    states = new TaskState[policies];
    for (int i = 0; i < policies; i++) {
      states[i] = new TaskState();
    }
  }

  /** The task entered the kernel from user mode. */
  void entered(int reason) {
    depth = 0;
    interrupted(reason);
  }

  /** Something interrupted the kernel. */
  void interrupted(int reason) {
    if (depth == reasons.length) {
      reasons = Arrays.copyOf(reasons, 2 * depth);
    }
    reasons[depth++] = reason;
  }

  /** The latest interruption returned. */
  void returned() {
    depth = Math.max(0, depth - 1);
  }

  /** A virtual machine that the task runs was left, for a reason; or it is entered again. */
  void machineLeft(int reason) {
    machineEntered();
    interrupted(reason);
  }

  /** What was done about the latest exit of the virtual machine is done. */
  void machineEntered() {
    depth = Math.min(depth, 1);
  }

  /** The task went back to user mode. */
  void left() {
    depth = 0;
  }

  /** Why it is in the kernel now: the latest reason. */
  int reason() {
    return depth == 0 ? EntryReason.KERNEL_THREAD : reasons[depth - 1];
  }
}
