package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.transition.TaskState;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

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

  /** One for each policy. */
  final MachineRound[] rounds;

  /** Of VM exits of the task's virtual machine, by exit reason; null before the first of one. */
  private MachineExits.@Nullable Tally[] tallies = new MachineExits.Tally[0];

  /** That of the latest VM exit, until the machine is entered again. */
  private MachineExits.@Nullable Tally latest;

  private boolean handedOver;

  TaskContext(int policies) {
    states = new TaskState[policies];
    rounds = new MachineRound[policies];
    for (int i = 0; i < policies; i++) {
      states[i] = new TaskState();
      rounds[i] = new MachineRound();
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

  /** The tally of VM exits of a basic exit reason; null if it has not been set. */
  MachineExits.@Nullable Tally tally(int exitReason) {
    return exitReason < tallies.length ? tallies[exitReason] : null;
  }

  void setTally(int exitReason, MachineExits.Tally tally) {
    if (exitReason >= tallies.length) {
      tallies = Arrays.copyOf(tallies, exitReason + 1);
    }
    tallies[exitReason] = tally;
  }

  /** A virtual machine that the task runs was left, for a reason. */
  void machineLeft(int reason, MachineExits.Tally tally) {
    machineEntered();
    interrupted(reason);
    tally.exit();
    latest = tally;
    handedOver = false;
  }

  /** What was done about the latest exit of the virtual machine is done: it is entered again. */
  void machineEntered() {
    depth = Math.min(depth, 1);
    latest = null;
  }

  /** The tally of the VM exit that the task is about; null if it is about none. */
  MachineExits.@Nullable Tally latestMachineExit() {
    return latest;
  }

  /** The task went back to user mode. */
  void left() {
    depth = 0;
    if (latest != null && !handedOver) {
      handedOver = true;
      latest.handOver();
    }
  }

  /** Why it is in the kernel now: the latest reason. */
  int reason() {
    return depth == 0 ? EntryReason.KERNEL_THREAD : reasons[depth - 1];
  }
}
