package dev.ringfence.cli;

import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.attack.Attack;
import dev.ringfence.lab.attack.AttackCatalog;
import dev.ringfence.lab.attack.AttackedProcessor;
import dev.ringfence.lab.attack.ExpectedMatrix;
import dev.ringfence.lab.attack.MitigationCatalog;
import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.machine.BadInputException;
import java.util.Collection;
import java.util.List;
import java.util.function.Consumer;

/**
 * The leak matrix of a run: what its policies cost stands beside what they stop. It is smaller than
 * that of the command {@code attack}: the attacks that the catalog names for it, on one target
 * each, and of them those that leak on the processor model when nothing is mitigated.
 */
final class RunAttacks {
  private final MachineOptions options;
  private final MatrixRunner runner;
  private final Consumer<String> say;

  RunAttacks(MachineOptions options, MatrixRunner runner, Consumer<String> say) {
    this.options = options;
    this.runner = runner;
    this.say = say;
  }

  /**
   * Runs the attacks. What keeps them from being run, such as a missing compiler, is said in the
   * matrix: the run itself has its result already.
   */
  LeakMatrix execute(Collection<Policy> policies) {
    try {
      List<Attack> attacks =
          ExpectedMatrix.shipped()
              .leakingWithoutMitigation(
                  AttackCatalog.shipped().ofRun(), AttackedProcessor.of(options.cpuModel()))
              .stream()
              .map(attack -> attack.on(attack.targets().getFirst()))
              .toList();
      return runner.run(
          options.cpuModel(), options.seed(), attacks, MitigationCatalog.shipped().ofRun(policies));
    } catch (BadInputException e) {
      say.accept("no leak matrix: " + e.getMessage());
      return LeakMatrix.leftOut(options.cpuModel(), e.getMessage());
    }
  }
}
