package dev.ringfence.machine.snapshot;

import dev.ringfence.machine.BadInputException;

/** A snapshot that cannot be read: damaged, of another version, or of another machine. */
public final class SnapshotException extends BadInputException {
  private static final long serialVersionUID = 1L;

  public SnapshotException(String message) {
    super(message);
  }

  public SnapshotException(String message, Throwable cause) {
    super(message, cause);
  }
}
