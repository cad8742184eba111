package dev.ringfence.lab.result;

import java.util.List;

/**
 * What the exits of one virtual machine came to, in the region of interest or in one phase of it.
 *
 * @param process name of the process that runs the machine, at most 15 bytes; empty if the kernel
 *     could not be read
 * @param number of that process
 * @param phase of the workload; empty for the whole region
 * @param all exits together
 * @param reasons exits by reason, most frequent first
 */
public record VirtualMachine(
    String process, int number, String phase, Exits all, List<Exits> reasons) {

  /**
   * VM exits that are counted together, with all that happened from each of them to the next entry
   * of the machine.
   *
   * @param reason {@code CPUID}; empty for all reasons
   * @param count how many
   * @param handedOver those that were handed to user mode before the machine was entered again
   * @param ownFlushes flushes that the kernel made of its own accord, of each kind that there was
   * @param own cycles of these flushes
   * @param policies what policies of the run that isolate did about them, in their order
   */
  public record Exits(
      String reason,
      long count,
      long handedOver,
      List<FlushCount> ownFlushes,
      Range own,
      List<UnderPolicy> policies) {}

  /**
   * What one policy did about VM exits.
   *
   * @param policy its name
   * @param restricted VM exits that the kernel handled in the restricted address space to the end:
   *     to the next entry of the machine or to user mode
   * @param exits from the restricted address space, up to there
   * @param exitsInUserMode exits from the return to user mode to the next entry of the machine
   * @param cost cycles that the policy adds up to there
   * @param costInUserMode cycles that it adds from the return to user mode to the next entry
   */
  public record UnderPolicy(
      String policy,
      long restricted,
      long exits,
      long exitsInUserMode,
      Range cost,
      Range costInUserMode) {
    /** All that the policy adds between these VM exits and the next entries. */
    public Range total() {
      return cost.plus(costInUserMode);
    }
  }
}
