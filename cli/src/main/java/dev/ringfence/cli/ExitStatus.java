package dev.ringfence.cli;

/**
 * What the exit status of a command means. A guest command run by {@code boot --exec} passes its
 * own status on.
 */
final class ExitStatus {
  static final int OK = 0;

  /** Ringfence itself failed: a defect. */
  static final int DEFECT = 1;

  /** An option or an input is wrong, or something is not installed. */
  static final int BAD_INPUT = 2;

  /** The guest did something after which the machine could not go on. */
  static final int GUEST_TROUBLE = 3;

  /** Attacks came out otherwise than what is published says they must. */
  static final int UNEXPECTED = 4;

  /** The user interrupted the run: 128 + SIGINT. */
  static final int INTERRUPTED = 130;

  private ExitStatus() {}
}
