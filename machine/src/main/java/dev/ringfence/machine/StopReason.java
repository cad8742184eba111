package dev.ringfence.machine;

/**
 * Why {@code Machine.run} came back. A guest that ran into a wall is a {@link
 * GuestTroubleException} instead.
 */
public sealed interface StopReason {
  /** The guest switched the power off. */
  record PowerOff() implements StopReason {}

  /** The guest asked for a reset of the platform. */
  record Reset() implements StopReason {}

  /**
   * The guest wrote to isa-debug-exit.
   *
   * @param status the exit status, 2N + 1 for a write of N
   */
  record DebugExit(int status) implements StopReason {}

  /** The limit on instructions was reached; the machine can go on. */
  record InstructionLimit() implements StopReason {}

  /** The limit on virtual time was reached; the machine can go on. */
  record TimeLimit() implements StopReason {}

  /** The host called {@code requestStop}; the machine can go on. */
  record Requested() implements StopReason {}
}
