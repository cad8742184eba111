package dev.ringfence.cli;

import dev.ringfence.machine.Machine;
import java.util.Locale;

/** The line at the end of a run. */
final class RunSummary {
  private final long startInstructions;
  private final long startNanoseconds = System.nanoTime();

  /** Begins to measure. */
  RunSummary(Machine machine) {
    this.startInstructions = machine.instructions();
  }

  /** Instructions since power-on, and the speed since the measurement began. */
  String line(Machine machine) {
    double wall = (System.nanoTime() - startNanoseconds) / 1e9;
    long executed = machine.instructions() - startInstructions;
    return String.format(
        Locale.ROOT,
        "%,d instructions, %.3f s virtual, %.1f s wall, %.1f MIPS",
        machine.instructions(),
        machine.nanoseconds() / 1e9,
        wall,
        executed / wall / 1e6);
  }
}
