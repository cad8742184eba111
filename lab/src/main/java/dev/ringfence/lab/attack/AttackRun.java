package dev.ringfence.lab.attack;

import dev.ringfence.isolation.cost.CostModel;
import dev.ringfence.isolation.monitor.IsolationMonitor;
import dev.ringfence.isolation.monitor.KernelView;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.attack.ExpectedMatrix.Expectation;
import dev.ringfence.lab.attack.ExpectedMatrix.Outcome;
import dev.ringfence.lab.experiment.Experiment;
import dev.ringfence.lab.experiment.GuestBoot;
import dev.ringfence.lab.result.LeakMatrix.Cell;
import dev.ringfence.lab.result.LeakMatrix.Evidence;
import dev.ringfence.lab.result.LeakMatrix.Held;
import dev.ringfence.lab.result.LeakMatrix.TransientLoad;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.lab.run.GuestSession;
import dev.ringfence.machine.GuestTroubleException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.probe.Probe;
import dev.ringfence.silicon.Silicon;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.model.SiliconModel;
import java.io.OutputStream;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * One cell of the matrix: a guest from the snapshot of its boot, a secret planted in it, an attack
 * on the processor model's silicon, and the judge's word.
 */
final class AttackRun {
  /** Virtual time between looks at the attack's output and budget, in nanoseconds. */
  private static final long STEP = 500_000;

  /** Virtual time that the set-up may take: shell commands and a few system calls. */
  private static final long SETUP_BUDGET = 20_000_000_000L;

  private final Attack attack;
  private final Target target;
  private final Mitigation mitigation;
  private final AttackedProcessor processor;
  private final AttackPreparation.AttackGuest guest;
  private final MachineConfiguration configuration;
  private final BootSnapshots snapshots;
  private final @Nullable Expectation expectation;
  private final long seed;
  private final BooleanSupplier interrupted;

  /**
   * @param configuration of the machine, with the processor model
   * @param snapshots of booted guests
   * @param seed of the run, from which the secret follows
   * @param interrupted whether to give up; the cell is not of use then
   */
  AttackRun(
      Attack attack,
      Target target,
      Mitigation mitigation,
      AttackedProcessor processor,
      AttackPreparation.AttackGuest guest,
      MachineConfiguration configuration,
      BootSnapshots snapshots,
      ExpectedMatrix expected,
      long seed,
      BooleanSupplier interrupted) {
    this.attack = attack;
    this.target = target;
    this.mitigation = mitigation;
    this.processor = processor;
    this.guest = guest;
    this.configuration = configuration;
    this.snapshots = snapshots;
    this.expectation = expected.of(attack, target, mitigation, processor).orElse(null);
    this.seed = seed;
    this.interrupted = interrupted;
  }

  /** What the guest is booted with beyond what all attacks have. */
  String commandLine() {
    return mitigation.commandLine();
  }

  /** The cell, if attack or mitigation do not apply to the processor; else it must be run. */
  Optional<Cell> withoutRun() {
    String exempt = mitigation.notApplicable(processor);
    if (exempt.isEmpty()
        && expectation != null
        && expectation.outcome() == Outcome.NOT_APPLICABLE) {
      exempt = expectation.reason();
    }
    return exempt.isEmpty()
        ? Optional.empty()
        : Optional.of(cell(Cell.NOT_APPLICABLE, exempt, Evidence.NONE));
  }

  /** Runs the attack. */
  Cell execute() {
    Secret secret =
        Secret.of(
            seed,
            "%s %s %s %s"
                .formatted(processor.model(), attack.name(), target.name(), mitigation.name()),
            attack.bytes());
    AttackOutput output = new AttackOutput(attack.bytes());
    try {
      return judge(secret, output, run(secret, output));
    } catch (GuestTroubleException e) {
      return cell(
          Cell.FAILED,
          "the guest ran into trouble: " + e.getMessage().lines().findFirst().orElse(""),
          Evidence.NONE);
    }
  }

  /**
   * How an attack went.
   *
   * @param end in words
   * @param nanoseconds of virtual time since the mark
   * @param instructions since the mark
   */
  private record Course(
      String end,
      long nanoseconds,
      long instructions,
      List<TransientLoad> transientLoads,
      List<Held> held) {
    static Course notBegun(String end) {
      return new Course(end, 0, 0, List.of(), List.of());
    }
  }

  private Course run(Secret secret, AttackOutput output) {
    String script = AttackPreparation.script(attack, target, secret);
    Policy policy = mitigation.policy();
    Experiment experiment =
        new Experiment(
            attack.name(),
            attack.title(),
            guest.with(mitigation, script),
            guest.requestOf(mitigation, script),
            configuration,
            List.of(),
            false,
            Long.MAX_VALUE,
            policy == null ? List.of() : List.of(policy),
            CostModel.load(processor.model()),
            false,
            policy == null);
    GuestBoot.Booted booted =
        new GuestBoot(
                experiment,
                OutputStream.nullOutputStream(),
                output,
                interrupted,
                instructions -> {},
                snapshots)
            .run();
    GuestSession session = booted.session();
    try (Machine machine = session.machine()) {
      if (policy == null) {
        return attack(machine, session, booted.kernel(), secret, output);
      }
      try (IsolationMonitor monitor =
          new IsolationMonitor(
              machine, booted.kernel(), List.of(policy), processor.vulnerabilities())) {
        // Causes of exits are not asked for here, and finding them takes time.
        monitor.setRecording(false);
        return attack(machine, session, booted.kernel(), secret, output);
      }
    }
  }

  private Course attack(
      Machine machine,
      GuestSession session,
      KernelView kernel,
      Secret secret,
      AttackOutput output) {
    boolean[] begun = {false};
    Probe mark =
        new Probe() {
          @Override
          public void marked(Processor marking, int operation, long argument) {
            if (!begun[0]) {
              begun[0] = true;
              machine.stopAfterInstruction();
            }
          }
        };
    machine.probes().add(mark);
    long setupEnd = machine.nanoseconds() + SETUP_BUDGET;
    while (!begun[0] && !output.ended()) {
      if (goOn(session) || machine.nanoseconds() >= setupEnd) {
        return Course.notBegun("the set-up did not come to its end");
      }
    }
    machine.probes().remove(mark);
    if (output.ended()) {
      return Course.notBegun("the set-up failed");
    }
    Silicon silicon = new Silicon(SiliconModel.load(processor.model()), TimeBase.CYCLES);
    silicon.attach(machine);
    try (SecretEvidence evidence =
        new SecretEvidence(machine, silicon, kernel, attack.programName(), secret)) {
      return attackFromHere(machine, session, output, evidence);
    }
  }

  private Course attackFromHere(
      Machine machine, GuestSession session, AttackOutput output, SecretEvidence evidence) {
    long nanoseconds = machine.nanoseconds();
    long instructions = machine.instructions();
    boolean off = false;
    while (!output.done()
        && !output.ended()
        && !off
        && machine.nanoseconds() - nanoseconds < attack.budget()) {
      off = goOn(session);
    }
    String end;
    if (output.done()) {
      end = "told all that it had found";
    } else if (output.ended()) {
      end = "ended with status " + output.status();
    } else if (off) {
      end = "the guest ended before the attack did";
    } else {
      end =
          "gave up: it had not ended after its budget of %.0f ms of virtual time"
              .formatted(attack.budget() / 1e6);
    }
    return new Course(
        end,
        machine.nanoseconds() - nanoseconds,
        machine.instructions() - instructions,
        evidence.transientLoads(),
        evidence.held());
  }

  /** Runs the guest for a step; returns whether there is no point in going on. */
  private boolean goOn(GuestSession session) {
    Optional<?> stop = session.advance(STEP);
    return stop.isPresent() || interrupted.getAsBoolean();
  }

  private Cell judge(Secret secret, AttackOutput output, Course course) {
    Judge.Score score = Judge.score(secret, output, course.nanoseconds());
    Evidence evidence =
        new Evidence(
            course.end(),
            score.right(),
            score.of(),
            score.bitsPerSecond(),
            score.chance(),
            secret.hexadecimal(),
            output.hexadecimal(),
            output.confidences(),
            course.nanoseconds(),
            course.instructions(),
            course.transientLoads(),
            course.held(),
            output.notes());
    if (score.leaked()) {
      return cell(Cell.LEAKED, "", evidence);
    }
    if (!output.unsupported().isEmpty()) {
      return cell(Cell.NOT_APPLICABLE, output.unsupported(), evidence);
    }
    if (!output.failed().isEmpty()) {
      return cell(Cell.FAILED, output.failed(), evidence);
    }
    if (course.instructions() == 0 || output.status() > 0 && !output.done()) {
      return cell(Cell.FAILED, course.end(), evidence);
    }
    return cell(Cell.NOT_LEAKED, "", evidence);
  }

  private Cell cell(String outcome, String reason, Evidence evidence) {
    return new Cell(
        attack.name(),
        target.name(),
        mitigation.name(),
        outcome,
        reason,
        expectation == null ? "" : text(expectation.outcome()),
        expectation == null ? "" : expectation.reason(),
        expectation == null ? "" : expectation.source(),
        agrees(outcome),
        evidence);
  }

  private static String text(Outcome outcome) {
    return switch (outcome) {
      case LEAKED -> Cell.LEAKED;
      case NOT_LEAKED -> Cell.NOT_LEAKED;
      case NOT_APPLICABLE -> Cell.NOT_APPLICABLE;
    };
  }

  /**
   * Whether an outcome is as expected. A mitigation may take away what the attack needs (the kernel
   * switches TSX off), so that it cannot run where it is expected to find nothing.
   */
  private boolean agrees(String outcome) {
    if (outcome.equals(Cell.FAILED)) {
      return false;
    }
    if (expectation == null) {
      return true;
    }
    return outcome.equals(text(expectation.outcome()))
        || outcome.equals(Cell.NOT_APPLICABLE) && expectation.outcome() == Outcome.NOT_LEAKED;
  }
}
