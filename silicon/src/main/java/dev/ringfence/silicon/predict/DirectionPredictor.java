package dev.ringfence.silicon.predict;

import java.util.Arrays;

/**
 * Whether a conditional branch is taken: a base table by address, and tagged tables by address and
 * ever more history, of which the longest that knows the branch decides (Seznec and Michaud,
 * "TAGE", 2006). Intel's have one base table and three tagged ones (Yavarzadeh et al.,
 * "Half&amp;Half", 2023). A core has one, which its logical processors, modes and address spaces
 * share; nothing clears it.
 */
public final class DirectionPredictor {
  private static final int TABLES = 3;
  private static final int TAG_BITS = 10;
  private static final int TAG_MASK = (1 << TAG_BITS) - 1;

  /** Counters go from 0 to 7, taken from 4 on. */
  private static final int TAKEN = 4;

  private static final int STRONGEST = 7;
  private static final int COUNTER_MASK = 7;
  private static final int USEFUL = 8;
  private static final int TAG_SHIFT = 4;

  /** An entry without tag: negative, so no tag is equal to it. */
  private static final short EMPTY = Short.MIN_VALUE;

  private final int mask;
  private final byte[] base;

  /** By table: tag, useful bit and counter of each entry. */
  private final short[][] tagged = new short[TABLES][];

  private int provider;

  /**
   * @param entries of each table, a power of two
   */
  public DirectionPredictor(int entries) {
    if (Integer.bitCount(entries) != 1) {
      throw new IllegalArgumentException("expected a power of two of entries, got " + entries);
    }
    mask = entries - 1;
    base = new byte[entries];
    for (int i = 0; i < TABLES; i++) {
      tagged[i] = new short[entries];
    }
    clear();
  }

  /**
   * A history whose folds this predictor can use.
   *
   * @param branches taken branches that it remembers
   */
  public static BranchHistory history(int branches) {
    int middle = (int) Math.sqrt(8.0 * branches);
    return new BranchHistory(branches, 8, Math.max(8, middle));
  }

  private int entry(int table, long branch, BranchHistory history) {
    int fold = history.fold(table);
    int low = (int) branch;
    return (low ^ low >>> 12 ^ fold ^ fold >>> 5 << table) & mask;
  }

  private int tag(int table, long branch, BranchHistory history) {
    int fold = history.fold(table);
    int low = (int) branch;
    return (low ^ low >>> 7 ^ fold >>> 6 ^ fold << 2) & TAG_MASK;
  }

  /**
   * Predicts a conditional branch.
   *
   * @param branch address of its last byte
   */
  public boolean predict(long branch, BranchHistory history) {
    for (int table = TABLES - 1; table >= 0; table--) {
      int entry = tagged[table][entry(table, branch, history)];
      if (entry >>> TAG_SHIFT == tag(table, branch, history)) {
        provider = table;
        return (entry & COUNTER_MASK) >= TAKEN;
      }
    }
    provider = -1;
    return base[(int) branch & mask] >= TAKEN;
  }

  /** A conditional branch has executed; history is that before it. */
  public void update(long branch, BranchHistory history, boolean taken) {
    boolean predicted = predict(branch, history);
    if (provider < 0) {
      int entry = (int) branch & mask;
      base[entry] = (byte) counted(base[entry], taken);
    } else {
      int at = entry(provider, branch, history);
      int entry = tagged[provider][at];
      int counter = counted(entry & COUNTER_MASK, taken);
      int useful = predicted == taken ? USEFUL : 0;
      tagged[provider][at] = (short) (entry & ~(COUNTER_MASK | USEFUL) | counter | useful);
    }
    if (predicted != taken) {
      learn(branch, history, taken);
    }
  }

  private static int counted(int counter, boolean taken) {
    return taken ? Math.min(counter + 1, STRONGEST) : Math.max(counter - 1, 0);
  }

  /** Takes an entry in a table with more history than the one that was wrong. */
  private void learn(long branch, BranchHistory history, boolean taken) {
    for (int table = provider + 1; table < TABLES; table++) {
      int at = entry(table, branch, history);
      if ((tagged[table][at] & USEFUL) == 0) {
        int weak = taken ? TAKEN : TAKEN - 1;
        tagged[table][at] = (short) (tag(table, branch, history) << TAG_SHIFT | weak);
        return;
      }
      tagged[table][at] &= ~USEFUL;
    }
  }

  /** Forgets everything: not taken, weakly. */
  public void clear() {
    Arrays.fill(base, (byte) (TAKEN - 1));
    for (short[] table : tagged) {
      Arrays.fill(table, EMPTY);
    }
  }
}
