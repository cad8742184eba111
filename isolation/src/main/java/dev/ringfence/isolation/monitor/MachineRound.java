package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.cost.EventCounts;
import org.jspecify.annotations.Nullable;

/**
 * What one policy does about the latest VM exit of a task, until the task enters its virtual
 * machine again. It goes with the task and not with the processor, because a task that is preempted
 * at a VM exit goes on with it later.
 */
final class MachineRound {
  private MachineExits.@Nullable UnderPolicy tally;
  private boolean inUserMode;
  private boolean restricted;

  /** The machine was left. */
  void begin(MachineExits.UnderPolicy underPolicy, boolean isRestricted) {
    tally = underPolicy;
    inUserMode = false;
    restricted = isRestricted;
  }

  /** The restricted address space was left. */
  void left() {
    restricted = false;
  }

  /**
   * The kernel has done its part: the machine or user mode is next.
   *
   * @return whether it was restricted to the end; false if its part was over before
   */
  boolean handled() {
    boolean toTheEnd = restricted;
    restricted = false;
    if (toTheEnd && tally != null) {
      tally.handledRestricted();
    }
    return toTheEnd;
  }

  /** User mode is reached. */
  void returned() {
    inUserMode = true;
  }

  /** The machine is entered again. */
  void end() {
    tally = null;
  }

  /** Where events of the round are counted; null if there is none. */
  @Nullable EventCounts account() {
    return tally == null ? null : inUserMode ? tally.inUserMode() : tally.inKernel();
  }
}
