package dev.ringfence.lab.attack;

import dev.ringfence.isolation.cost.CostModel;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.experiment.Experiment;
import dev.ringfence.lab.experiment.GuestBoot;
import dev.ringfence.lab.experiment.MachinePool;
import dev.ringfence.lab.experiment.SavedGuest;
import dev.ringfence.lab.guest.Assignment;
import dev.ringfence.lab.run.BootSnapshots;
import dev.ringfence.lab.workload.Workload;
import dev.ringfence.machine.ConsolePort;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.probe.Probe;
import java.io.OutputStream;
import java.util.List;
import java.util.function.BooleanSupplier;

/**
 * Brings guests in fast mode to where an attack begins: they boot, root does what an attack needs,
 * then plants the secret and does what the target needs. After each of these the state can be
 * saved, so that what is equal up to there is done once.
 *
 * <p>The command of the guest knows nothing of attacks: it executes steps, which come over the
 * second serial port in the form of an {@link Assignment}, and each of which ends with a mark.
 */
final class AttackSetup {
  /** Virtual time that a step may take: shell commands and a few system calls. */
  private static final long STEP_BUDGET = 5_000_000_000L;

  private static final String COMMAND =
      """
      rm -f /.ringfence/command
      umask 077
      mkdir -p /root/attack
      # A process of its own opens the terminal, so that the shell's session does not get it.
      while (read -r bytes && head -c "$bytes") </dev/ttyS1 >/root/attack/step; do
        . /root/attack/step
      done
      """;

  private final Experiment experiment;
  private final BootSnapshots snapshots;
  private final MachinePool machines;
  private final BooleanSupplier interrupted;

  /** A step did not come to its end. */
  static final class SetupFailedException extends Exception {
    private static final long serialVersionUID = 1;

    SetupFailedException(String message) {
      super(message);
    }
  }

  /**
   * For all attacks under one command line of the kernel.
   *
   * @param guest with the programs of the attacks
   * @param commandLine that mitigations add
   * @param policies that will be attached
   * @param configuration of the machine, with the processor model
   * @param costs of the processor model
   * @param snapshots of booted guests
   * @param machines of the configuration
   * @param interrupted whether to give up; what comes is not of use then
   */
  AttackSetup(
      AttackPreparation.AttackGuest guest,
      String commandLine,
      List<Policy> policies,
      MachineConfiguration configuration,
      CostModel costs,
      BootSnapshots snapshots,
      MachinePool machines,
      BooleanSupplier interrupted) {
    this.experiment =
        new Experiment(
            "attacks",
            "Attacks",
            guest.with(commandLine, COMMAND),
            guest.requestWith(commandLine, COMMAND),
            configuration,
            List.of(),
            false,
            Workload.DEFAULT_MAXIMUM_INSTRUCTIONS,
            policies,
            costs,
            false,
            policies.isEmpty());
    this.snapshots = snapshots;
    this.machines = machines;
    this.interrupted = interrupted;
  }

  /** A guest that has booted. */
  AttackedGuest boot(Attack attack) {
    AttackOutput output = new AttackOutput(attack.bytes());
    GuestBoot.Booted booted =
        new GuestBoot(
                experiment,
                OutputStream.nullOutputStream(),
                output,
                interrupted,
                instructions -> {},
                snapshots)
            .run();
    return new AttackedGuest(booted, machines, output, interrupted);
  }

  /** Saves the state of a guest, which goes on. */
  SavedGuest save(AttackedGuest guest) {
    return SavedGuest.of(
        experiment, guest.booted(), snapshots.temporaryFile(), snapshots.version());
  }

  /** A guest that goes on from a saved state. */
  AttackedGuest resume(SavedGuest saved, Attack attack) {
    AttackOutput output = new AttackOutput(attack.bytes());
    return new AttackedGuest(saved.resume(machines, output), machines, output, interrupted);
  }

  /** Does what root does for an attack before there is a secret. */
  void setUp(AttackedGuest guest, Attack attack) throws SetupFailedException {
    step(guest, commands(attack.setup(), attack.name()) + "ringfence-mark begin\n");
  }

  /**
   * Plants the secret, and does what root does for the target. The guest then is where the attack
   * begins.
   */
  void plant(AttackedGuest guest, Attack attack, Target target, Secret secret)
      throws SetupFailedException {
    step(guest, plantScript(attack, target, secret));
  }

  /**
   * Puts the secret into a file that only root may read, sets the target up, marks the point from
   * which the attack counts, and starts the attack without privileges.
   */
  static String plantScript(Attack attack, Target target, Secret secret) {
    return """
    export SECRET=/root/attack/secret BYTES=%d
    printf '%s' >"$SECRET"
    %s\
    arguments=$(tr '\\n' ' ' </root/attack/arguments)
    ringfence-mark begin
    unprivileged %s --target %s --bytes %d $arguments
    echo "ended $?"
    """
        .formatted(
            secret.length(),
            secret.octalEscapes(),
            commands(target.setup(), target.name()),
            attack.programName(),
            target.name(),
            secret.length());
  }

  /** Runs commands of root's whose output is arguments of the attack; a failure ends everything. */
  private static String commands(String commands, String ofWhat) {
    // Not a condition of "if" or "||": there the shell would ignore "set -e".
    return """
    (
      umask 022
      set -e
    %s
    ) >>/root/attack/arguments
    status=$?
    [ "$status" = 0 ] || { echo "failed set-up of %s, status $status"; exit 1; }
    """
        .formatted(commands.strip().indent(2).stripTrailing(), ofWhat);
  }

  private void step(AttackedGuest guest, String script) throws SetupFailedException {
    Machine machine = guest.machine();
    boolean[] marked = {false};
    Probe mark =
        new Probe() {
          @Override
          public void marked(Processor marking, int operation, long argument) {
            if (!marked[0]) {
              marked[0] = true;
              machine.stopAfterInstruction();
            }
          }
        };
    machine.probes().add(mark);
    machine.input(ConsolePort.COM2, new Assignment(script, null).toBytes());
    long end = machine.nanoseconds() + STEP_BUDGET;
    while (!marked[0]) {
      boolean off = guest.goOn();
      if (guest.output().ended()) {
        throw new SetupFailedException(guest.output().failed());
      }
      if (!marked[0] && (off || machine.nanoseconds() >= end)) {
        throw new SetupFailedException("the set-up did not come to its end");
      }
    }
    machine.probes().remove(mark);
  }
}
