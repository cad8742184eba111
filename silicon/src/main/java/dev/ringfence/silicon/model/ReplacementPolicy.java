package dev.ringfence.silicon.model;

import java.util.Locale;

/**
 * Which line of a set gives its place to a new one. Which processor has which policy was measured,
 * not documented: Abel and Reineke, "nanoBench: A Low-Overhead Tool for Running Microbenchmarks on
 * x86 Systems" (ISPASS 2020), whose names are used, and <a
 * href="https://uops.info/cache.html">uops.info/cache.html</a>, where the letters of QLRU are
 * explained.
 */
public enum ReplacementPolicy {
  /** Least recently used. */
  LRU,
  /** A binary tree whose bits point away from what was used last. */
  PLRU,
  /** Three trees of four ways; the tree that was not used for longest names the victim. */
  LRU3PLRU4,
  /** "Quad-age" LRU, hits make the age 0, ages grow without the way just used. */
  QLRU_H00_M1_R0_U1,
  /** Hits make an age of 3 or 2 an age of 1, else 0; all ages grow, whatever was used. */
  QLRU_H11_M1_R0_U0;

  /** Name in the files of CPU models: {@code qlru_h11_m1_r0_u0}. */
  public String id() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** Whether the policy can be that of sets of so many ways. */
  public boolean canChooseAmong(int ways) {
    return ways >= 1
        && switch (this) {
          case LRU -> ways <= 16;
          case PLRU -> Integer.bitCount(ways) == 1 && ways <= 32;
          case LRU3PLRU4 -> ways == 12;
          case QLRU_H00_M1_R0_U1, QLRU_H11_M1_R0_U0 -> ways <= 32;
        };
  }
}
