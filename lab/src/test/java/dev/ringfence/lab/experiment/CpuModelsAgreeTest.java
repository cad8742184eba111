package dev.ringfence.lab.experiment;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.isolation.cost.CostModel;
import dev.ringfence.isolation.policy.Vulnerability;
import dev.ringfence.silicon.model.Forwarding;
import dev.ringfence.silicon.model.IndirectTargetSelection;
import dev.ringfence.silicon.model.Predictors;
import dev.ringfence.silicon.model.SiliconModel;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * A processor has two files, what it is and what it costs. What one says about vulnerabilities, on
 * which flushes depend, the other has as mechanisms.
 */
final class CpuModelsAgreeTest {
  private static final List<String> MODELS =
      List.of(
          "haswell-server",
          "skylake-server",
          "cascadelake-server",
          "icelake-server",
          "sapphirerapids",
          "zen1",
          "zen2",
          "zen4",
          "ideal");

  @Test
  void vulnerabilitiesOfTheCostModelAreMechanismsOfTheSilicon() {
    for (String name : MODELS) {
      CostModel costs = CostModel.load(name);
      assertEquals(name, costs.name());
      SiliconModel silicon = SiliconModel.load(name);
      Forwarding forwarding = silicon.forwarding();
      agree(costs, Vulnerability.MELTDOWN, forwarding.supervisorFromL1());
      agree(costs, Vulnerability.L1TF, forwarding.terminalFaultUsesFrame());
      agree(costs, Vulnerability.MDS, forwarding.storeBuffer());
      agree(costs, Vulnerability.MDS, forwarding.fillBuffers());
      agree(costs, Vulnerability.MDS, forwarding.loadPorts());
      agree(costs, Vulnerability.TAA, forwarding.transactionAbort());
      Predictors predictors = silicon.predictors();
      agree(costs, Vulnerability.SRSO, predictors.predictsNonBranches());
      agree(
          costs,
          Vulnerability.ITS,
          predictors.indirectTargetSelection() != IndirectTargetSelection.NONE);
    }
  }

  private static void agree(CostModel costs, Vulnerability vulnerability, boolean mechanism) {
    assertEquals(
        costs.vulnerabilities().contains(vulnerability),
        mechanism,
        costs.name() + " " + vulnerability);
  }
}
