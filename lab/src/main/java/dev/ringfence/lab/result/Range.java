package dev.ringfence.lab.result;

/**
 * A figure that is known between two bounds.
 *
 * @param low lower bound, inclusive
 * @param high upper bound, inclusive
 */
public record Range(double low, double high) {
  public static final Range NOTHING = new Range(0, 0);

  public Range plus(Range other) {
    return new Range(low + other.low, high + other.high);
  }

  /** Both bounds times a count. */
  public Range times(double count) {
    return new Range(low * count, high * count);
  }

  /** The middle, for sorting only. */
  public double middle() {
    return (low + high) / 2;
  }
}
