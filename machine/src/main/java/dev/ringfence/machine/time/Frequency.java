package dev.ringfence.machine.time;

/**
 * Converts between virtual time and the ticks of an oscillator that started at time 0. All
 * arithmetic is exact in integers, so that every host computes the same.
 *
 * @param hertz ticks per second, from 1 to 9 GHz (the bound keeps intermediate products within 63
 *     bits)
 */
public record Frequency(long hertz) {
  private static final long SECOND = 1_000_000_000L;

  public Frequency {
    if (hertz < 1 || hertz > 9_000_000_000L) {
      throw new IllegalArgumentException("frequency must be from 1 to 9000000000 Hz, got " + hertz);
    }
  }

  /** Whole ticks that have passed at a time, which must not be negative. */
  public long ticksAt(long nanoseconds) {
    return nanoseconds / SECOND * hertz + nanoseconds % SECOND * hertz / SECOND;
  }

  /**
   * The earliest time at which {@link #ticksAt} is at least {@code ticks}; saturates at {@link
   * VirtualClock#NEVER}.
   */
  public long nanosecondsAt(long ticks) {
    if (ticks <= 0) {
      return 0;
    }
    long seconds = ticks / hertz;
    if (seconds > VirtualClock.NEVER / SECOND - 1) {
      return VirtualClock.NEVER;
    }
    return seconds * SECOND + (ticks % hertz * SECOND + hertz - 1) / hertz;
  }
}
