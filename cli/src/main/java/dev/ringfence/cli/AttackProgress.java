package dev.ringfence.cli;

import dev.ringfence.lab.attack.AttackMatrix;
import dev.ringfence.lab.result.LeakMatrix;
import java.io.PrintWriter;

/** The line that shows how far a leak matrix is, rewritten in place on a terminal. */
final class AttackProgress implements AttackMatrix.Progress {
  private final PrintWriter err;
  private final String model;
  private final boolean terminal = InteractiveConsole.hasTerminal();
  private boolean shown;

  AttackProgress(PrintWriter err, String model) {
    this.err = err;
    this.model = model;
  }

  @Override
  public void done(LeakMatrix.Cell cell, int done, int all) {
    String line =
        "ringfence: %s: %d of %d: %s, %s, under %s: %s"
            .formatted(
                model, done, all, cell.attack(), cell.target(), cell.column(), cell.outcome());
    if (terminal) {
      err.print("\r" + line + "\u001b[K");
      shown = true;
    } else {
      err.println(line);
    }
    err.flush();
  }

  /** Gives the line back to what follows. */
  void clear() {
    if (shown) {
      err.print("\r\u001b[K");
      err.flush();
      shown = false;
    }
  }
}
