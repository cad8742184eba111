package dev.ringfence.lab.attack;

import dev.ringfence.isolation.cost.CostModel;
import dev.ringfence.isolation.policy.Vulnerability;
import java.util.Set;

/**
 * The processor that attacks run on.
 *
 * @param model name of the processor model
 * @param vulnerabilities on which flushes of policies depend
 */
public record AttackedProcessor(String model, Set<Vulnerability> vulnerabilities) {
  public AttackedProcessor {
    vulnerabilities = Set.copyOf(vulnerabilities);
  }

  /** A processor model by name. */
  public static AttackedProcessor of(String model) {
    return new AttackedProcessor(model, CostModel.load(model).vulnerabilities());
  }
}
