package dev.ringfence.lab.attack;

import dev.ringfence.isolation.monitor.IsolationMonitor;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.attack.ExpectedMatrix.Expectation;
import dev.ringfence.lab.attack.ExpectedMatrix.Outcome;
import dev.ringfence.lab.result.LeakMatrix.Cell;
import dev.ringfence.lab.result.LeakMatrix.Evidence;
import dev.ringfence.lab.result.LeakMatrix.Held;
import dev.ringfence.lab.result.LeakMatrix.TransientLoad;
import dev.ringfence.machine.GuestTroubleException;
import dev.ringfence.machine.Machine;
import dev.ringfence.silicon.Silicon;
import dev.ringfence.silicon.TimeBase;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** One cell of the matrix: an attack on the processor model's silicon, and the judge's word. */
final class AttackRun {
  private final Attack attack;
  private final Target target;
  private final Mitigation mitigation;
  private final AttackedProcessor processor;
  private final @Nullable Expectation expectation;

  AttackRun(
      Attack attack,
      Target target,
      Mitigation mitigation,
      AttackedProcessor processor,
      ExpectedMatrix expected) {
    this.attack = attack;
    this.target = target;
    this.mitigation = mitigation;
    this.processor = processor;
    this.expectation = expected.of(attack, target, mitigation, processor).orElse(null);
  }

  Attack attack() {
    return attack;
  }

  Target target() {
    return target;
  }

  Mitigation mitigation() {
    return mitigation;
  }

  /** The cell, if attack or mitigation do not apply to the processor; else it must be run. */
  Optional<Cell> withoutRun() {
    String exempt = mitigation.notApplicable(processor, attack.from());
    if (exempt.isEmpty()
        && expectation != null
        && expectation.outcome() == Outcome.NOT_APPLICABLE) {
      exempt = expectation.reason();
    }
    return exempt.isEmpty()
        ? Optional.empty()
        : Optional.of(cell(Cell.NOT_APPLICABLE, exempt, Evidence.NONE));
  }

  /** The cell, if its set-up did not come to its end. */
  Cell failed(String reason) {
    return cell(Cell.FAILED, reason, Evidence.NONE);
  }

  /**
   * Runs the attack.
   *
   * @param guest in which everything is set up; it is of no use afterwards
   * @param planted the secret in it
   */
  Cell execute(AttackedGuest guest, PlantedSecret planted) {
    try {
      return judge(planted.secret(), guest.output(), run(guest, planted));
    } catch (GuestTroubleException e) {
      return failed(AttackedGuest.trouble(e));
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
      List<Held> held) {}

  private Course run(AttackedGuest guest, PlantedSecret planted) {
    Policy policy = mitigation.policy();
    if (policy == null) {
      return runInDetail(guest, planted);
    }
    try (IsolationMonitor monitor =
        new IsolationMonitor(
            guest.machine(), guest.kernel(), List.of(policy), processor.vulnerabilities())) {
      // Causes of exits are not asked for here, and finding them takes time.
      monitor.setRecording(false);
      return runInDetail(guest, planted);
    }
  }

  private Course runInDetail(AttackedGuest guest, PlantedSecret planted) {
    Silicon silicon = new Silicon(processor.silicon(), TimeBase.CYCLES);
    silicon.attach(guest.machine());
    try (SecretEvidence evidence =
        new SecretEvidence(
            guest.machine(), silicon, guest.kernel(), attack.programName(), planted)) {
      return runToEnd(guest, evidence);
    }
  }

  private Course runToEnd(AttackedGuest guest, SecretEvidence evidence) {
    Machine machine = guest.machine();
    AttackOutput output = guest.output();
    long nanoseconds = machine.nanoseconds();
    long instructions = machine.instructions();
    boolean off = false;
    while (!output.done()
        && !output.ended()
        && !off
        && machine.nanoseconds() - nanoseconds < attack.budget()) {
      off = guest.goOn();
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
    if (output.status() > 0 && !output.done()) {
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
