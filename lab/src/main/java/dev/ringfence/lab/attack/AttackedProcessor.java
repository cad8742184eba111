package dev.ringfence.lab.attack;

import dev.ringfence.isolation.cost.CostModel;
import dev.ringfence.isolation.policy.Vulnerability;
import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.silicon.model.SiliconModel;
import java.util.Set;

/**
 * The processor that attacks run on.
 *
 * @param model name of the processor model, or the path of its file
 * @param costs of transitions, which also say on what flushes of policies depend
 * @param silicon that attacks run on
 */
public record AttackedProcessor(String model, CostModel costs, SiliconModel silicon) {
  /**
   * A processor model by name or path.
   *
   * @throws dev.ringfence.machine.BadInputException if there is no such model, or its file does not
   *     say what architecture hides
   */
  public static AttackedProcessor of(String model) {
    CpuModel processor = CpuModel.load(model);
    return new AttackedProcessor(
        model, CostModel.load(processor.name()), SiliconModel.of(processor));
  }

  /** The vulnerabilities on which flushes of policies depend. */
  public Set<Vulnerability> vulnerabilities() {
    return costs.vulnerabilities();
  }
}
