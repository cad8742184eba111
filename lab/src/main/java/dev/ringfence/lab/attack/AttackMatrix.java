package dev.ringfence.lab.attack;

import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.machine.MachineConfiguration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * Runs attacks against mitigations on one processor model, two machines at a time where the host
 * has two processors. A cell depends on nothing but its own inputs, so the order does not matter.
 */
public final class AttackMatrix {
  private final AttackPreparation.AttackGuest guest;
  private final MachineConfiguration configuration;
  private final BootSnapshots snapshots;
  private final long seed;
  private final Progress progress;
  private final ExpectedMatrix expected = ExpectedMatrix.shipped();
  private volatile boolean interrupted;

  /** Told how far it is; calls come one after the other, from any thread. */
  public interface Progress {
    /**
     * A cell is done.
     *
     * @param done cells that are done
     * @param all cells of the matrix
     */
    void done(LeakMatrix.Cell cell, int done, int all);
  }

  /**
   * @param guest with the programs of the attacks
   * @param configuration of the machines, with the processor model
   * @param snapshots of booted guests
   * @param seed from which all secrets follow
   */
  public AttackMatrix(
      AttackPreparation.AttackGuest guest,
      MachineConfiguration configuration,
      BootSnapshots snapshots,
      long seed,
      Progress progress) {
    this.guest = guest;
    this.configuration = configuration;
    this.snapshots = snapshots;
    this.seed = seed;
    this.progress = progress;
  }

  /** Ends the run soon, with the cells that are done. May be called by another thread. */
  public void interrupt() {
    interrupted = true;
  }

  /** Runs all cells. */
  public LeakMatrix execute(List<Attack> attacks, List<Mitigation> mitigations) {
    AttackedProcessor processor = AttackedProcessor.of(configuration.cpuModel());
    List<LeakMatrix.Row> rows = new ArrayList<>();
    List<AttackRun> runs = new ArrayList<>();
    for (Attack attack : attacks) {
      for (Target target : attack.targets()) {
        rows.add(
            new LeakMatrix.Row(
                attack.name(),
                target.name(),
                attack.title(),
                target.title(),
                attack.vulnerability(),
                attack.sources()));
        for (Mitigation mitigation : mitigations) {
          runs.add(
              new AttackRun(
                  attack,
                  target,
                  mitigation,
                  processor,
                  guest,
                  configuration,
                  snapshots,
                  expected,
                  seed,
                  () -> interrupted));
        }
      }
    }
    Map<AttackRun, LeakMatrix.Cell> cells = execute(runs);
    boolean complete = cells.size() == runs.size();
    return new LeakMatrix(
        configuration.cpuModel(),
        seed,
        complete ? LeakMatrix.COMPLETE : LeakMatrix.PARTIAL,
        complete ? "" : "interrupted",
        mitigations.stream().map(AttackMatrix::column).toList(),
        rows,
        runs.stream().filter(cells::containsKey).map(cells::get).toList());
  }

  private static LeakMatrix.Column column(Mitigation mitigation) {
    return new LeakMatrix.Column(
        mitigation.name(),
        mitigation.title(),
        mitigation.commandLine(),
        mitigation.policyName(),
        mitigation.leftOut() == null ? "" : MitigationCatalog.id(mitigation.leftOut()));
  }

  /** The cells that came out before an interruption. */
  private Map<AttackRun, LeakMatrix.Cell> execute(List<AttackRun> runs) {
    Map<AttackRun, LeakMatrix.Cell> cells = new LinkedHashMap<>();
    // The first of each command line boots, and the others wait for its snapshot.
    Map<String, List<AttackRun>> byBoot = new LinkedHashMap<>();
    for (AttackRun run : runs) {
      Optional<LeakMatrix.Cell> known = run.withoutRun();
      if (known.isPresent()) {
        cells.put(run, known.get());
      } else {
        byBoot.computeIfAbsent(run.commandLine(), unused -> new ArrayList<>()).add(run);
      }
    }
    int threads = Math.clamp(Runtime.getRuntime().availableProcessors(), 1, 2);
    CountDownLatch left = new CountDownLatch(runs.size() - cells.size());
    AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
    try (ExecutorService executor = Executors.newFixedThreadPool(threads)) {
      class Task implements Runnable {
        private final AttackRun run;
        private final List<AttackRun> followers;

        Task(AttackRun run, List<AttackRun> followers) {
          this.run = run;
          this.followers = followers;
        }

        @Override
        public void run() {
          try {
            if (!interrupted) {
              LeakMatrix.Cell cell = run.execute();
              if (!interrupted) {
                done(run, cell, cells, runs.size());
              }
            }
          } catch (Throwable e) { // Whatever it is, it is thrown by the caller's thread.
            if (!interrupted) {
              failure.compareAndSet(null, e);
            }
            interrupted = true;
          } finally {
            followers.forEach(follower -> executor.execute(new Task(follower, List.of())));
            left.countDown();
          }
        }
      }
      for (List<AttackRun> same : byBoot.values()) {
        executor.execute(new Task(same.getFirst(), same.subList(1, same.size())));
      }
      left.await();
    } catch (InterruptedException e) {
      interrupted = true;
      Thread.currentThread().interrupt();
    }
    switch (failure.get()) {
      case null -> {}
      case RuntimeException e -> throw e;
      case Error e -> throw e;
      case Throwable e -> throw new IllegalStateException(e);
    }
    return cells;
  }

  private synchronized void done(
      AttackRun run, LeakMatrix.Cell cell, Map<AttackRun, LeakMatrix.Cell> cells, int all) {
    cells.put(run, cell);
    progress.done(cell, cells.size(), all);
  }
}
