package dev.ringfence.machine;

/**
 * How far a machine runs. Both limits are absolute, counted since power-on, and the machine stops
 * at the first instruction boundary that has reached one of them. Where it stops changes nothing
 * that the guest can see.
 *
 * @param instructions instructions of all processors
 * @param nanoseconds virtual time
 */
public record RunLimits(long instructions, long nanoseconds) {
  /** Runs until the guest ends the run or the host stops it. */
  public static final RunLimits NONE = new RunLimits(Long.MAX_VALUE, Long.MAX_VALUE);

  public static RunLimits untilInstruction(long instructions) {
    return new RunLimits(instructions, Long.MAX_VALUE);
  }

  public static RunLimits untilNanosecond(long nanoseconds) {
    return new RunLimits(Long.MAX_VALUE, nanoseconds);
  }
}
