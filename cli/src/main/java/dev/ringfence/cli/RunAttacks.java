package dev.ringfence.cli;

import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.attack.Attack;
import dev.ringfence.lab.attack.AttackCatalog;
import dev.ringfence.lab.attack.AttackMatrix;
import dev.ringfence.lab.attack.AttackPreparation;
import dev.ringfence.lab.attack.AttackedProcessor;
import dev.ringfence.lab.attack.ExpectedMatrix;
import dev.ringfence.lab.attack.MitigationCatalog;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.MachineConfiguration;
import java.io.PrintWriter;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The leak matrix of a run: what its policies cost stands beside what they stop. It is smaller than
 * that of the command {@code attack}: the attacks that the catalog names for it, on one target
 * each, and of them those that leak on the processor model when nothing is mitigated.
 */
final class RunAttacks {
  private final MachineOptions options;
  private final boolean fresh;
  private final PrintWriter err;
  private final Consumer<String> say;
  private volatile boolean interrupted;
  private volatile @Nullable AttackMatrix running;

  RunAttacks(MachineOptions options, boolean fresh, PrintWriter err, Consumer<String> say) {
    this.options = options;
    this.fresh = fresh;
    this.err = err;
    this.say = say;
  }

  /** Ends {@link #execute} soon, with the cells that are done. */
  void interrupt() {
    interrupted = true;
    AttackMatrix matrix = running;
    if (matrix != null) {
      matrix.interrupt();
    }
  }

  /**
   * Runs the attacks. What keeps them from being run, such as a missing compiler, is said in the
   * matrix: the run itself has its result already.
   */
  LeakMatrix execute(Collection<Policy> policies) {
    AttackProgress progress = new AttackProgress(err, options.cpuModel());
    try {
      long start = System.nanoTime();
      AttackCatalog catalog = AttackCatalog.shipped();
      GuestCache cache = GuestCache.ofUser();
      List<Attack> attacks =
          ExpectedMatrix.shipped()
              .leakingWithoutMitigation(catalog.ofRun(), AttackedProcessor.of(options.cpuModel()))
              .stream()
              .map(attack -> attack.on(attack.targets().getFirst()))
              .toList();
      AttackPreparation.AttackGuest guest =
          new AttackPreparation(cache, new GuestPreparation(cache, say), say)
              .prepare(catalog, options.kernel(), options.append());
      AttackMatrix matrix =
          new AttackMatrix(
              guest,
              MachineConfiguration.of(
                      Math.max(AttackCommand.MEMORY, guest.guest().memoryNeeded()), 1)
                  .withCpuModel(options.cpuModel()),
              new BootSnapshots(cache, fresh, Ringfence.Version.RINGFENCE, line -> {}),
              options.seed(),
              progress);
      running = matrix;
      if (interrupted) {
        matrix.interrupt();
      }
      LeakMatrix leaks = matrix.execute(attacks, MitigationCatalog.shipped().ofRun(policies));
      progress.clear();
      say.accept(
          String.format(
              Locale.ROOT,
              "%d cells of the leak matrix in %.0f s",
              leaks.cells().size(),
              (System.nanoTime() - start) / 1e9));
      return leaks;
    } catch (BadInputException e) {
      say.accept("no leak matrix: " + e.getMessage());
      return LeakMatrix.leftOut(options.cpuModel(), e.getMessage());
    } finally {
      progress.clear();
    }
  }
}
