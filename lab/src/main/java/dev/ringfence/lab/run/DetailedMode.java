package dev.ringfence.lab.run;

import dev.ringfence.machine.Machine;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.probe.Probe;
import dev.ringfence.silicon.Silicon;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.execute.DetailedExecutor;
import dev.ringfence.silicon.model.SiliconModel;
import java.util.Locale;

/** A session whose machine changes to detailed mode at some point, for good. */
public final class DetailedMode {
  /** Where a run changes to detailed mode. */
  public enum Start {
    /** At once: at power-on, or where a snapshot was taken. */
    UP,

    /** When the system is up and the init program is told what to do. */
    BOOT,

    /** At the first marker instruction, which {@code ringfence-mark} executes. */
    MARKER
  }

  private final GuestSession session;
  private final Silicon silicon;
  private boolean attached;
  private boolean asked;
  private long firstInstruction;
  private long firstCycle;

  private DetailedMode(GuestSession session, Silicon silicon) {
    this.session = session;
    this.silicon = silicon;
  }

  /**
   * Arranges the change, before the session runs.
   *
   * @param model silicon of the machine's processors
   */
  public static DetailedMode arrange(GuestSession session, SiliconModel model, Start start) {
    DetailedMode mode = new DetailedMode(session, new Silicon(model, TimeBase.CYCLES));
    switch (start) {
      case UP -> mode.attach();
      case BOOT -> {
        if (session.isAssigned()) {
          mode.attach();
        } else {
          session.onUp(mode::attach);
        }
      }
      case MARKER -> mode.waitForMarker();
    }
    return mode;
  }

  private void attach() {
    Machine machine = session.machine();
    silicon.attach(machine);
    attached = true;
    firstInstruction = machine.instructions();
    firstCycle = cycles();
  }

  /** The machine must not run while it changes, so it stops behind the marker. */
  private void waitForMarker() {
    Machine machine = session.machine();
    machine
        .probes()
        .add(
            new Probe() {
              @Override
              public void marked(Processor processor, int operation, long argument) {
                if (!asked) {
                  asked = true;
                  machine.stopAfterInstruction();
                }
              }
            });
    session.onStop(() -> {
      if (asked && !attached) {
        attach();
      }
    });
  }

  /** The silicon; it has no cores before the change. */
  public Silicon silicon() {
    return silicon;
  }

  private long cycles() {
    return silicon.executors().stream().mapToLong(DetailedExecutor::cycles).sum();
  }

  /** What happened since the change, in one line. */
  public String summary() {
    if (!attached) {
      return "detailed mode was not reached";
    }
    long instructions = session.machine().instructions() - firstInstruction;
    long cycles = cycles() - firstCycle;
    long mispredictions =
        silicon.executors().stream().mapToLong(DetailedExecutor::mispredictions).sum();
    long squashed =
        silicon.executors().stream().mapToLong(DetailedExecutor::squashedOperations).sum();
    return String.format(
        Locale.ROOT,
        "%s in detail: %,d instructions, %,d cycles with idle ones, %,d mispredicted branches, "
            + "%,d micro-operations squashed",
        silicon.model().name(),
        instructions,
        cycles,
        mispredictions,
        squashed);
  }
}
