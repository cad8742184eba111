package dev.ringfence.silicon.predict;

import java.util.Arrays;

/**
 * Whether a load may overtake older stores whose addresses are not known yet (Intel optimization
 * manual, "Memory Disambiguation"): a counter, chosen by low bits of the load's address, that
 * counts loads that had nothing to wait for and falls to zero when one was wrong. Only at its
 * maximum may loads overtake.
 */
public final class DisambiguationPredictor {
  private static final int ENTRIES = 256;
  private static final int CONFIDENT = 15;

  private final byte[] counters = new byte[ENTRIES];

  private static int entry(long load) {
    return (int) load & ENTRIES - 1;
  }

  /**
   * Whether the load at an address may overtake.
   *
   * @param load linear address of the instruction
   */
  public boolean mayOvertake(long load) {
    return counters[entry(load)] == CONFIDENT;
  }

  /** The load had nothing to wait for. */
  public void independent(long load) {
    int entry = entry(load);
    if (counters[entry] < CONFIDENT) {
      counters[entry]++;
    }
  }

  /** An older store did write what the load wanted. */
  public void dependent(long load) {
    counters[entry(load)] = 0;
  }

  /** Forgets everything. */
  public void clear() {
    Arrays.fill(counters, (byte) 0);
  }
}
