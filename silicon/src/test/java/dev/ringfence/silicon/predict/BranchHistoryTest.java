package dev.ringfence.silicon.predict;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Against what Horn (2018) and Yavarzadeh et al. (2023) found on Intel processors. */
final class BranchHistoryTest {
  private static final int HASWELL = 29;
  private static final int SKYLAKE = 93;

  private final RandomGenerator random = RandomGenerator.of("L64X128MixRandom");

  /** Where each bit of a branch's address and of its target goes, by Horn's table. */
  @ParameterizedTest
  @CsvSource({
    "target, 0, 0", "target, 5, 5", "branch, 6, 0", "branch, 7, 1", "branch, 10, 2",
    "branch, 11, 3", "branch, 14, 4", "branch, 15, 5", "branch, 4, 6", "branch, 5, 7",
    "branch, 8, 8", "branch, 9, 9", "branch, 12, 10", "branch, 13, 11", "branch, 16, 12",
    "branch, 17, 13", "branch, 18, 14", "branch, 19, 15"
  })
  void eachBitOfTheFootprintHasItsPlace(String of, int bit, int place) {
    BranchHistory history = new BranchHistory(HASWELL);
    history.taken(of.equals("branch") ? 1L << bit : 0, of.equals("target") ? 1L << bit : 0);
    assertEquals(1L << place, history.bits()[0]);
  }

  @ParameterizedTest
  @CsvSource({"branch, 0", "branch, 3", "branch, 20", "branch, 47", "target, 6", "target, 40"})
  void otherBitsLeaveNoTrace(String of, int bit) {
    BranchHistory history = new BranchHistory(HASWELL);
    history.taken(of.equals("branch") ? 1L << bit : 0, of.equals("target") ? 1L << bit : 0);
    assertEquals(0, history.bits()[0]);
  }

  /** So attack code needs as many branches of its own to make the history the same each time. */
  @ParameterizedTest
  @CsvSource({"29", "93", "194"})
  void asManyBranchesMakeOneForgetTheOlderOnes(int branches) {
    BranchHistory one = new BranchHistory(branches, 8);
    BranchHistory other = new BranchHistory(branches, 8);
    for (int i = 0; i < 300; i++) {
      one.taken(random.nextLong(), random.nextLong());
      other.taken(random.nextLong(), random.nextLong());
    }
    for (int i = 0; i < branches; i++) {
      long branch = random.nextLong();
      long target = random.nextLong();
      one.taken(branch, target);
      other.taken(branch, target);
    }
    assertArrayEquals(one.bits(), other.bits());
    assertEquals(one.fold(0), other.fold(0));
    assertEquals(one.whole(), other.whole());
  }

  @Test
  void oneBranchLessDoesNot() {
    BranchHistory one = new BranchHistory(HASWELL);
    BranchHistory other = new BranchHistory(HASWELL);
    one.taken(0, 1);
    for (int i = 0; i < HASWELL - 1; i++) {
      one.taken(0x40_0000, 0x40_0100);
      other.taken(0x40_0000, 0x40_0100);
    }
    assertNotEquals(one.bits()[0], other.bits()[0]);
  }

  @Test
  void aFoldIsTheExclusiveOrOfItsBits() {
    BranchHistory history = new BranchHistory(SKYLAKE, 8, 27);
    int[] lengths = {8, 27, SKYLAKE};
    for (int i = 0; i < 500; i++) {
      history.taken(random.nextLong(), random.nextLong());
      long[] bits = history.bits();
      for (int fold = 0; fold < lengths.length; fold++) {
        int expected = 0;
        for (int bit = 0; bit < 2 * lengths[fold]; bit++) {
          expected ^= (int) (bits[bit / 64] >>> bit % 64 & 1) << bit % 16;
        }
        assertEquals(expected, history.fold(fold), "fold " + fold + " after " + i);
      }
    }
  }

  @Test
  void aCopyRestoresAll() {
    BranchHistory history = new BranchHistory(SKYLAKE, 8, 27);
    history.taken(0x1234, 0x5678);
    BranchHistory saved = new BranchHistory(SKYLAKE, 8, 27);
    saved.copyFrom(history);
    history.taken(0x9999, 0x1111);
    history.copyFrom(saved);
    assertArrayEquals(saved.bits(), history.bits());
    assertEquals(saved.fold(0), history.fold(0));
  }

  @Test
  void foldsThatCannotBeAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> new BranchHistory(29, 30));
    assertThrows(IllegalArgumentException.class, () -> new BranchHistory(29, 7));
    assertThrows(IllegalArgumentException.class, () -> new BranchHistory(4));
  }
}
