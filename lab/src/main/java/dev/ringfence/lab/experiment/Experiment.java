package dev.ringfence.lab.experiment;

import dev.ringfence.isolation.cost.CostModel;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.guest.GuestRequest;
import dev.ringfence.lab.guest.PreparedGuest;
import dev.ringfence.machine.MachineConfiguration;
import java.util.List;

/**
 * What is to be run.
 *
 * @param name of the workload, or of the initramfs that is one
 * @param description for the reader of a report
 * @param guest to boot
 * @param request that the guest was prepared from
 * @param configuration of the machine
 * @param phases names of the parts that are counted apart
 * @param ownInitramfs whether the initramfs is the user's own: then all of user mode counts, from
 *     the first user instruction to power-off, unless there are marks
 * @param maximumInstructions from power-on, at which a guest is taken to be in an endless loop
 * @param policies at least one
 * @param costs of the processor model
 * @param audit whether every enter is audited
 * @param guestMitigations whether the kernel's own mitigations were left on
 */
public record Experiment(
    String name,
    String description,
    PreparedGuest guest,
    GuestRequest request,
    MachineConfiguration configuration,
    List<String> phases,
    boolean ownInitramfs,
    long maximumInstructions,
    List<Policy> policies,
    CostModel costs,
    boolean audit,
    boolean guestMitigations) {
  /**
   * Turns the kernel's own mitigations off, so that all policies see one stream of instructions.
   */
  public static final String WITHOUT_MITIGATIONS = "mitigations=off nopti";

  public Experiment {
    phases = List.copyOf(phases);
    policies = List.copyOf(policies);
  }
}
