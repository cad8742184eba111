package dev.ringfence.lab.attack;

import dev.ringfence.lab.experiment.MachinePool;
import dev.ringfence.lab.experiment.SavedGuest;
import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.machine.GuestTroubleException;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.silicon.taint.SecretTrace;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Runs attacks against mitigations on one processor model, two machines at a time where the host
 * has two processors. A cell depends on nothing but its own inputs, so the order does not matter.
 *
 * <p>Cells that are equal up to some point share the way there, as branches of a tree: those of one
 * command line the boot, of them those of one attack its set-up, of them those of one target the
 * secret and what is done for the target. Only there do columns with one command line part, the
 * policies.
 */
public final class AttackMatrix {
  private final AttackPreparation.AttackGuest guest;
  private final MachineConfiguration configuration;
  private final BootSnapshots snapshots;
  private final long seed;
  private final Progress progress;
  private final AttackedProcessor processor;
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
   * @throws dev.ringfence.machine.BadInputException if the processor model does not say what
   *     architecture hides
   */
  public AttackMatrix(
      AttackPreparation.AttackGuest guest,
      MachineConfiguration configuration,
      BootSnapshots snapshots,
      long seed,
      Progress progress) {
    this.guest = guest;
    this.configuration = configuration;
    this.processor = AttackedProcessor.of(configuration.cpuModel());
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
          runs.add(new AttackRun(attack, target, mitigation, processor, expected));
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
    List<AttackRun> toBeRun = new ArrayList<>();
    for (AttackRun run : runs) {
      Optional<LeakMatrix.Cell> known = run.withoutRun();
      if (known.isPresent()) {
        cells.put(run, known.get());
      } else {
        toBeRun.add(run);
      }
    }
    Results results = new Results(cells, runs.size());
    int threads = Math.clamp(Runtime.getRuntime().availableProcessors(), 1, 2);
    try (MachinePool machines = new MachinePool(configuration, threads);
        ForkJoinPool pool = new ForkJoinPool(threads)) {
      pool.invoke(
          ForkJoinTask.adapt(() ->
              inParallel(
                  by(toBeRun, run -> run.mitigation().commandLine()).stream()
                      .<Runnable>map(same -> () -> new Tree(same, machines, results).grow())
                      .toList())));
    }
    results.rethrow();
    return cells;
  }

  /** Groups runs, in their order. */
  private static List<List<AttackRun>> by(List<AttackRun> runs, Function<AttackRun, Object> key) {
    return List.copyOf(
        runs.stream()
            .collect(Collectors.groupingBy(key, LinkedHashMap::new, Collectors.toList()))
            .values());
  }

  private static void inParallel(List<Runnable> tasks) {
    ForkJoinTask.invokeAll(tasks.stream().map(ForkJoinTask::adapt).toList());
  }

  /** Cells that have come out, from all threads. */
  private final class Results {
    private final Map<AttackRun, LeakMatrix.Cell> cells;
    private final int all;
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();

    Results(Map<AttackRun, LeakMatrix.Cell> cells, int all) {
      this.cells = cells;
      this.all = all;
    }

    synchronized void add(AttackRun run, LeakMatrix.Cell cell) {
      if (!interrupted) {
        cells.put(run, cell);
        progress.done(cell, cells.size(), all);
      }
    }

    /**
     * Does a part, unless there is no point in it. What it throws is thrown by the caller's thread.
     */
    void attempt(Runnable part) {
      if (interrupted) {
        return;
      }
      try {
        part.run();
      } catch (Throwable e) {
        if (!interrupted) {
          failure.compareAndSet(null, e);
        }
        interrupted = true;
      }
    }

    void rethrow() {
      switch (failure.get()) {
        case null -> {}
        case RuntimeException e -> throw e;
        case Error e -> throw e;
        case Throwable e -> throw new IllegalStateException(e);
      }
    }
  }

  /** The cells of one command line. */
  private final class Tree {
    private final List<AttackRun> runs;
    private final Results results;
    private final AttackSetup setup;

    /** A branch: an attack with what goes on from a guest. */
    private record Branch(Attack attack, Consumer<AttackedGuest> way) {}

    /** One step on the way. */
    private interface Step {
      void run() throws AttackSetup.SetupFailedException;
    }

    Tree(List<AttackRun> runs, MachinePool machines, Results results) {
      this.runs = runs;
      this.results = results;
      this.setup =
          new AttackSetup(
              guest,
              runs.getFirst().mitigation().commandLine(),
              runs.stream()
                  .map(run -> run.mitigation().policy())
                  .filter(Objects::nonNull)
                  .distinct()
                  .toList(),
              configuration,
              processor.costs(),
              snapshots,
              machines,
              () -> interrupted);
    }

    void grow() {
      results.attempt(() -> {
        List<Branch> branches = new ArrayList<>();
        for (List<AttackRun> same : by(runs, AttackRun::attack)) {
          Attack attack = same.getFirst().attack();
          if (attack.setup().isEmpty()) {
            branches.addAll(targets(same));
          } else {
            branches.add(
                new Branch(
                    attack,
                    guest ->
                        step(
                            same,
                            () -> setup.setUp(guest, attack),
                            () -> part(guest, targets(same)))));
          }
        }
        step(
            runs,
            () -> {},
            () -> {
              try (AttackedGuest guest = setup.boot(runs.getFirst().attack())) {
                part(guest, branches);
              }
            });
      });
    }

    private List<Branch> targets(List<AttackRun> ofAttack) {
      return by(ofAttack, AttackRun::target).stream().map(this::target).toList();
    }

    private Branch target(List<AttackRun> same) {
      Attack attack = same.getFirst().attack();
      Target target = same.getFirst().target();
      Secret secret = secret(attack, target);
      return new Branch(
          attack,
          guest ->
              step(
                  same,
                  () -> setup.plant(guest, attack, target, secret),
                  () -> {
                    PlantedSecret planted =
                        new PlantedSecret(
                            secret, SecretTrace.copies(guest.machine().memory(), secret.bytes()));
                    part(
                        guest,
                        same.stream()
                            .map(run ->
                                new Branch(
                                    attack, own -> results.add(run, run.execute(own, planted))))
                            .toList());
                  }));
    }

    /** Takes a step and goes on; if the step fails, so have all runs that it is for. */
    private void step(List<AttackRun> ofRuns, Step step, Runnable then) {
      String failure;
      try {
        step.run();
        then.run();
        return;
      } catch (AttackSetup.SetupFailedException e) {
        failure = String.valueOf(e.getMessage());
      } catch (GuestTroubleException e) {
        failure = AttackedGuest.trouble(e);
      }
      for (AttackRun run : ofRuns) {
        results.add(run, run.failed(failure));
      }
    }

    /**
     * Where branches part: each goes on from here, a single one in the machine that is there,
     * several from its saved state.
     */
    private void part(AttackedGuest guest, List<Branch> branches) {
      if (branches.size() == 1) {
        branches.getFirst().way().accept(guest);
        return;
      }
      try (SavedGuest saved = setup.save(guest)) {
        guest.close();
        inParallel(
            branches.stream()
                .<Runnable>map(branch ->
                    () ->
                        results.attempt(() -> {
                          try (AttackedGuest own = setup.resume(saved, branch.attack())) {
                            branch.way().accept(own);
                          }
                        }))
                .toList());
      }
    }
  }

  /** The secret is that of an attack on a target; columns share it, as they share the set-up. */
  private Secret secret(Attack attack, Target target) {
    return Secret.of(
        seed,
        "%s %s %s".formatted(configuration.cpuModel(), attack.name(), target.name()),
        attack.bytes());
  }
}
