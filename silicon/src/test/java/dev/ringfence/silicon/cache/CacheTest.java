package dev.ringfence.silicon.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.silicon.model.ReplacementPolicy;
import org.junit.jupiter.api.Test;

final class CacheTest {
  /** 32 KiB, 8 ways, 64 sets: the first level of Intel from Core to Skylake. */
  private static Cache firstLevel() {
    return new Cache(64, 8, ReplacementPolicy.PLRU);
  }

  private static void access(Cache cache, long line) {
    if (!cache.use(line)) {
      cache.fill(line);
    }
  }

  /** Its ways are 4 KiB each, so addresses that are equal in bits 11:6 share a set. */
  @Test
  void linesOfEqualPageOffsetConflict() {
    Cache cache = firstLevel();
    assertEquals(cache.setOf(0x12345fc0L >>> 6), cache.setOf(0x98765fc0L >>> 6));
    assertEquals(63, cache.setOf(0x12345fc0L >>> 6));
  }

  @Test
  void anEvictionSetHasAsManyLinesAsWays() {
    Cache cache = firstLevel();
    access(cache, 7);
    for (int i = 1; i < 8; i++) {
      access(cache, 7 + 64L * i);
    }
    assertTrue(cache.contains(7), "seven lines beside it fit");
    access(cache, 7 + 64 * 8);
    assertFalse(cache.contains(7), "the eighth evicts it");
    for (int i = 0; i < 100; i++) {
      access(cache, 8 + 64L * i);
    }
    assertTrue(cache.contains(7 + 64), "other sets do not matter");
  }

  @Test
  void emptyWaysAreFilledBeforeAnythingIsEvicted() {
    Cache cache = new Cache(1, 4, ReplacementPolicy.LRU);
    for (long line = 0; line < 4; line++) {
      assertEquals(Cache.NONE, cache.fill(line));
    }
    assertTrue(cache.remove(2));
    assertFalse(cache.remove(2));
    assertEquals(Cache.NONE, cache.fill(9));
    assertEquals(0, cache.fill(10));
  }

  @Test
  void aModifiedLineSaysSoWhenItLeaves() {
    Cache cache = new Cache(1, 2, ReplacementPolicy.LRU);
    cache.fill(1);
    cache.fill(2);
    assertTrue(cache.mark(1, true));
    assertFalse(cache.mark(1, true), "it was already");
    assertTrue(cache.modified(1));
    assertEquals(1, cache.fill(3));
    assertTrue(cache.evictedModified());
    assertEquals(2, cache.fill(4));
    assertFalse(cache.evictedModified());
  }

  /**
   * 1.375 MiB of a core of Skylake-SP: 11 ways, 2048 sets; more than one slice is no power of 2.
   */
  @Test
  void setsNeedNotBeAPowerOfTwo() {
    Cache cache = new Cache(3 * 2048, 11, ReplacementPolicy.QLRU_H11_M1_R0_U0);
    for (long line = 0; line < 3 * 2048 * 11; line++) {
      assertEquals(Cache.NONE, cache.fill(line));
    }
    assertEquals(0, cache.setOf(3 * 2048));
    assertTrue(cache.fill(3 * 2048 * 11) >= 0);
  }

  @Test
  void askingChangesNothing() {
    Cache cache = new Cache(1, 2, ReplacementPolicy.LRU);
    cache.fill(1);
    cache.fill(2);
    assertTrue(cache.contains(1));
    assertEquals(1, cache.fill(3));
  }
}
