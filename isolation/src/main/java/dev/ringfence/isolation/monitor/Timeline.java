package dev.ringfence.isolation.monitor;

import java.util.Arrays;

/** Events over virtual time, counted by the millisecond. */
public final class Timeline {
  /** Nanoseconds of one count. */
  public static final long STEP = 1_000_000;

  /** A run of more than seventeen minutes of virtual time counts the rest in its last step. */
  private static final int MOST_STEPS = 1 << 20;

  private long[] counts = new long[64];
  private long first = Long.MAX_VALUE;
  private long last = -1;

  void add(long nanoseconds) {
    long step = nanoseconds / STEP;
    if (last < 0) {
      first = step;
    }
    int index = Math.clamp(step - first, 0, MOST_STEPS - 1);
    if (index >= counts.length) {
      counts = Arrays.copyOf(counts, Math.max(index + 1, 2 * counts.length));
    }
    counts[index]++;
    last = Math.max(last, first + index);
  }

  void clear() {
    Arrays.fill(counts, 0);
    first = Long.MAX_VALUE;
    last = -1;
  }

  /** Events from one point of virtual time to another, in nanoseconds. */
  public long between(long from, long to) {
    long sum = 0;
    for (long step = Math.max(first, from / STEP); step <= last && step * STEP < to; step++) {
      sum += counts[(int) (step - first)];
    }
    return sum;
  }
}
