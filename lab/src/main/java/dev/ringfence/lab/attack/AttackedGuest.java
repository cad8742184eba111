package dev.ringfence.lab.attack;

import dev.ringfence.isolation.monitor.KernelView;
import dev.ringfence.lab.experiment.GuestBoot;
import dev.ringfence.lab.experiment.MachinePool;
import dev.ringfence.machine.GuestTroubleException;
import dev.ringfence.machine.Machine;
import java.util.function.BooleanSupplier;

/** A guest that runs and is to be attacked. */
final class AttackedGuest implements AutoCloseable {
  /** Virtual time between looks at output and budget, in nanoseconds. */
  private static final long STEP = 500_000;

  private final GuestBoot.Booted booted;
  private final MachinePool machines;
  private final AttackOutput output;
  private final BooleanSupplier interrupted;
  private boolean closed;

  /**
   * @param machines to which its machine goes back
   * @param output that takes what set-up and attack print
   * @param interrupted whether to give up
   */
  AttackedGuest(
      GuestBoot.Booted booted,
      MachinePool machines,
      AttackOutput output,
      BooleanSupplier interrupted) {
    this.booted = booted;
    this.machines = machines;
    this.output = output;
    this.interrupted = interrupted;
  }

  GuestBoot.Booted booted() {
    return booted;
  }

  Machine machine() {
    return booted.session().machine();
  }

  KernelView kernel() {
    return booted.kernel();
  }

  AttackOutput output() {
    return output;
  }

  /** Runs for a step; returns whether there is no point in going on. */
  boolean goOn() {
    return booted.session().advance(STEP).isPresent() || interrupted.getAsBoolean();
  }

  /** What happened to a guest, for the reason of a cell. */
  static String trouble(GuestTroubleException e) {
    return "the guest ran into trouble: " + e.getMessage().lines().findFirst().orElse("");
  }

  /** Gives the machine back; may be called again. */
  @Override
  public void close() {
    if (!closed) {
      closed = true;
      machines.giveBack(machine());
    }
  }
}
