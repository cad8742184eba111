package dev.ringfence.cli;

import dev.ringfence.lab.experiment.IsolationRun;
import java.io.PrintWriter;
import java.util.Locale;

/**
 * The line that shows how far a run is: rewritten in place on a terminal, else a line now and then.
 */
final class RunProgress {
  private static final long TERMINAL_NANOSECONDS = 200_000_000L;
  private static final long LOG_NANOSECONDS = 10_000_000_000L;

  private final PrintWriter out;
  private final boolean terminal = InteractiveConsole.hasTerminal();
  private final long start = System.nanoTime();
  private long last = start;
  private String stage = "";
  private boolean shown;

  RunProgress(PrintWriter out) {
    this.out = out;
  }

  void show(IsolationRun.Progress progress) {
    long now = System.nanoTime();
    boolean news = !terminal && !progress.stage().equals(stage);
    if (!news && now - last < (terminal ? TERMINAL_NANOSECONDS : LOG_NANOSECONDS)) {
      return;
    }
    last = now;
    stage = progress.stage();
    double seconds = (now - start) / 1e9;
    String line =
        String.format(
            Locale.ROOT,
            "ringfence: %s: %,d million instructions, %.0f s, %.0f MIPS",
            stage,
            progress.instructions() / 1_000_000,
            seconds,
            progress.instructions() / 1e6 / Math.max(seconds, 1e-3));
    if (terminal) {
      out.print("\r" + line + "\u001b[K");
      shown = true;
    } else {
      out.println(line);
    }
    out.flush();
  }

  /** Gives the line back to what follows. */
  void clear() {
    if (shown) {
      out.print("\r\u001b[K");
      out.flush();
      shown = false;
    }
  }
}
