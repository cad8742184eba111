package dev.ringfence.lab.attack;

import dev.ringfence.isolation.policy.HardwareOperation;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.Vulnerability;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What stands against an attack: settings of the kernel's command line, or a policy of isolation
 * beneath a kernel that mitigates nothing itself.
 *
 * @param name of the column
 * @param title one line
 * @param settings words of the kernel's command line by what they decide
 * @param policy that isolates, or null
 * @param leftOut operation that the policy's flushes are without, or null if they are complete
 * @param leftOutOn processors on which the policy does that operation are those with one of these
 *     vulnerabilities; empty for all processors
 * @param exemptions where it does not apply
 */
public record Mitigation(
    String name,
    String title,
    Map<String, String> settings,
    @Nullable Policy policy,
    @Nullable HardwareOperation leftOut,
    Set<Vulnerability> leftOutOn,
    List<Exemption> exemptions) {

  /**
   * Processors and attacks to which a mitigation does not apply.
   *
   * @param models names of processor models; empty for all
   * @param from where the attacks come from; empty for all
   * @param reason for people
   */
  public record Exemption(Set<String> models, Set<Attack.From> from, String reason) {
    public Exemption {
      models = Set.copyOf(models);
      from = Set.copyOf(from);
    }

    private boolean covers(String model, Attack.From attacksFrom) {
      return (models.isEmpty() || models.contains(model))
          && (from.isEmpty() || from.contains(attacksFrom));
    }
  }

  public Mitigation {
    settings = Collections.unmodifiableMap(new LinkedHashMap<>(settings));
    leftOutOn = Set.copyOf(leftOutOn);
    exemptions = List.copyOf(exemptions);
  }

  /** The name of the policy in full, by which expectations know it; empty if there is none. */
  String policyName() {
    return policy == null ? "" : policy.name();
  }

  /** Words for the kernel's command line. */
  String commandLine() {
    return String.join(" ", settings.values());
  }

  /** Why it does not apply to attacks on a processor; empty if it does. */
  String notApplicable(AttackedProcessor processor, Attack.From from) {
    if (leftOut != null
        && !leftOutOn.isEmpty()
        && Collections.disjoint(leftOutOn, processor.vulnerabilities())) {
      return "%s does not do it on this processor, so there is nothing to leave out."
          .formatted(policyName());
    }
    return exemptions.stream()
        .filter(exemption -> exemption.covers(processor.model(), from))
        .map(Exemption::reason)
        .findFirst()
        .orElse("");
  }
}
