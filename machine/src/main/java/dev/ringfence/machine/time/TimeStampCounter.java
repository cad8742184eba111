package dev.ringfence.machine.time;

/**
 * Conversion between the machine's nanoseconds and ticks of an invariant time-stamp counter that
 * started at zero.
 */
public record TimeStampCounter(long hertz) {
  private static final long NANOSECONDS = 1_000_000_000;

  public TimeStampCounter {
    if (hertz < 1_000_000 || hertz > 10L * NANOSECONDS) {
      throw new IllegalArgumentException(
          "TSC frequency must be from 1 MHz to 10 GHz, got " + hertz + " Hz");
    }
  }

  /**
   * Ticks at a time, rounded down. Split so that the product stays below 2^63 for centuries of
   * virtual time.
   */
  public long ticksAt(long nanoseconds) {
    return nanoseconds / NANOSECONDS * hertz + nanoseconds % NANOSECONDS * hertz / NANOSECONDS;
  }

  /** The earliest time at which the counter has reached {@code ticks}. */
  public long nanosecondsAt(long ticks) {
    if (ticks / hertz > Long.MAX_VALUE / NANOSECONDS - 1) {
      return VirtualClock.NEVER;
    }
    return ticks / hertz * NANOSECONDS + (ticks % hertz * NANOSECONDS + hertz - 1) / hertz;
  }
}
