package dev.ringfence.silicon.cache;

import dev.ringfence.silicon.model.CacheLevel;
import dev.ringfence.silicon.model.Caches;
import dev.ringfence.silicon.model.ReplacementPolicy;

/** Caches by published figures: Intel optimization manual, uops.info/cache.html. */
final class TestModels {
  private static final CacheLevel L1_32K =
      new CacheLevel(32 << 10, 8, 4, false, ReplacementPolicy.PLRU);

  /** Haswell server, one core's share of the third level: inclusive, 2.5 MiB, 20 ways. */
  static Caches haswell() {
    return new Caches(
        64,
        L1_32K,
        L1_32K,
        new CacheLevel(256 << 10, 8, 12, false, ReplacementPolicy.PLRU),
        new CacheLevel(2560 << 10, 20, 44, true, ReplacementPolicy.QLRU_H11_M1_R0_U0),
        230,
        false,
        false);
  }

  /**
   * Skylake server, one core's share: 1 MiB of second level, a third level that is not inclusive.
   */
  static Caches skylake() {
    return new Caches(
        64,
        L1_32K,
        L1_32K,
        new CacheLevel(1 << 20, 16, 14, false, ReplacementPolicy.PLRU),
        new CacheLevel(1408 << 10, 11, 50, false, ReplacementPolicy.QLRU_H11_M1_R0_U0),
        240,
        false,
        false);
  }

  /** Zen 2: the second level holds all that the first ones hold. */
  static Caches zen() {
    return new Caches(
        64,
        L1_32K,
        L1_32K,
        new CacheLevel(512 << 10, 8, 12, true, ReplacementPolicy.PLRU),
        new CacheLevel(4 << 20, 16, 39, false, ReplacementPolicy.LRU),
        250,
        false,
        false);
  }

  static Caches prefetching(boolean nextLine, boolean stride) {
    Caches m = skylake();
    return new Caches(
        64, m.l1Instruction(), m.l1Data(), m.l2(), m.l3(), m.memoryLatency(), nextLine, stride);
  }

  private TestModels() {}
}
