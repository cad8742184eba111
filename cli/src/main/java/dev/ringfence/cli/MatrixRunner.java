package dev.ringfence.cli;

import dev.ringfence.lab.attack.Attack;
import dev.ringfence.lab.attack.AttackCatalog;
import dev.ringfence.lab.attack.AttackMatrix;
import dev.ringfence.lab.attack.AttackPreparation;
import dev.ringfence.lab.attack.Mitigation;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.lab.guest.GuestPreparation;
import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.machine.MachineConfiguration;
import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** Prepares the guest of attacks and runs leak matrices on it, with a line that shows how far. */
final class MatrixRunner {
  /** RAM of the guest in bytes: kernel and attack programs, and little to snapshot. */
  private static final long MEMORY = 128L << 20;

  private final KernelOptions kernel;
  private final Attack.From from;
  private final boolean fresh;
  private final PrintWriter err;
  private final Consumer<String> say;
  private final GuestCache cache = GuestCache.ofUser();
  private AttackPreparation.@Nullable AttackGuest guest;
  private volatile boolean interrupted;
  private volatile @Nullable AttackMatrix running;

  /**
   * @param from where the attacks come from
   * @param fresh whether guests boot even if there are snapshots
   * @param err where progress goes
   * @param say takes lines about what happens
   */
  MatrixRunner(
      KernelOptions kernel,
      Attack.From from,
      boolean fresh,
      PrintWriter err,
      Consumer<String> say) {
    this.kernel = kernel;
    this.from = from;
    this.fresh = fresh;
    this.err = err;
    this.say = say;
  }

  /** Ends {@link #run} soon, with the cells that are done. May be called by another thread. */
  void interrupt() {
    interrupted = true;
    AttackMatrix matrix = running;
    if (matrix != null) {
      matrix.interrupt();
    }
  }

  /** Whether {@link #interrupt} was called. */
  boolean isInterrupted() {
    return interrupted;
  }

  /** The guest, which is prepared once. */
  AttackPreparation.AttackGuest guest() {
    AttackPreparation.AttackGuest prepared = guest;
    if (prepared == null) {
      prepared =
          new AttackPreparation(cache, new GuestPreparation(cache, say), say)
              .prepare(AttackCatalog.shipped(), from, kernel.kernel(), kernel.append());
      guest = prepared;
    }
    return prepared;
  }

  /** Runs attacks against mitigations on a processor model. */
  LeakMatrix run(String model, long seed, List<Attack> attacks, List<Mitigation> mitigations) {
    long start = System.nanoTime();
    AttackPreparation.AttackGuest prepared = guest();
    AttackProgress progress = new AttackProgress(err, model);
    AttackMatrix matrix =
        new AttackMatrix(
            prepared,
            MachineConfiguration.of(Math.max(MEMORY, prepared.guest().memoryNeeded()), 1)
                .withCpuModel(model),
            new BootSnapshots(cache, fresh, Ringfence.Version.RINGFENCE, line -> {}),
            seed,
            progress);
    running = matrix;
    if (interrupted) {
      matrix.interrupt();
    }
    try {
      LeakMatrix leaks = matrix.execute(attacks, mitigations);
      progress.clear();
      say.accept(
          String.format(
              Locale.ROOT,
              "%s: %d cells of the leak matrix in %.0f s",
              model,
              leaks.cells().size(),
              (System.nanoTime() - start) / 1e9));
      return leaks;
    } finally {
      progress.clear();
    }
  }
}
