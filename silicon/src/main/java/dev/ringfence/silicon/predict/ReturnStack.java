package dev.ringfence.silicon.predict;

import java.util.Arrays;

/**
 * The return stack buffer of a logical processor: calls push the address behind them, returns pop
 * their prediction. More calls than it has entries overwrite the oldest; more returns than calls
 * find it empty, and what then predicts depends on the processor.
 *
 * <p>After a misprediction the processor restores which entry is on top, but not what wrong-path
 * calls wrote: {@link #position} and {@link #restore} do the same (Koruyeh et al., "Spectre
 * Returns!", 2018; Trujillo et al., "Inception", 2023, overwrite all entries so).
 */
public final class ReturnStack {
  private final long[] targets;
  private int top;
  private int count;

  public ReturnStack(int entries) {
    if (entries < 1) {
      throw new IllegalArgumentException("expected at least one entry, got " + entries);
    }
    targets = new long[entries];
    clear();
  }

  public int entries() {
    return targets.length;
  }

  /** A call: {@code target} is the address behind it. */
  public void push(long target) {
    top = top + 1 == targets.length ? 0 : top + 1;
    targets[top] = target;
    count = Math.min(count + 1, targets.length);
  }

  /** Whether as many returns as calls came by: a return finds no prediction here. */
  public boolean isEmpty() {
    return count == 0;
  }

  /**
   * A return.
   *
   * @return the prediction, or {@link TargetPredictor#NONE} if the entry on top is harmless or the
   *     stack empty
   */
  public long pop() {
    if (count == 0) {
      return TargetPredictor.NONE;
    }
    long target = targets[top];
    top = top == 0 ? targets.length - 1 : top - 1;
    count--;
    return target;
  }

  /** What {@link #restore} wants to know: which entry is on top, and how many there are. */
  public int position() {
    return count << 16 | top;
  }

  /** Goes back to a position; entries that were overwritten since stay so. */
  public void restore(int position) {
    top = position & 0xffff;
    count = position >>> 16;
  }

  /** Fills all entries with harmless targets, as software does by calls ("RSB stuffing"). */
  public void fill() {
    Arrays.fill(targets, TargetPredictor.NONE);
    count = targets.length;
  }

  /** Empties it. */
  public void clear() {
    Arrays.fill(targets, TargetPredictor.NONE);
    top = 0;
    count = 0;
  }
}
