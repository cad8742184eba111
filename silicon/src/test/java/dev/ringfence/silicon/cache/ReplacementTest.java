package dev.ringfence.silicon.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.silicon.model.ReplacementPolicy;
import java.util.ArrayList;
import java.util.List;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Replacement policies against what others proved and measured of them. */
final class ReplacementTest {
  /** Fills all ways from the left, as an empty set is filled. */
  private static long filled(Replacement replacement, int ways) {
    long state = replacement.initial();
    for (int way = 0; way < ways; way++) {
      state = replacement.filled(state, way);
    }
    return state;
  }

  private static List<Integer> victims(Replacement replacement, int ways, int count) {
    List<Integer> victims = new ArrayList<>();
    long state = filled(replacement, ways);
    for (int i = 0; i < count; i++) {
      int victim = replacement.victim(state);
      victims.add(victim);
      state = replacement.filled(state, victim);
    }
    return victims;
  }

  @Test
  void leastRecentlyUsedGoesFirst() {
    Replacement lru = new Replacement(ReplacementPolicy.LRU, 4);
    long state = filled(lru, 4);
    state = lru.used(state, 0);
    state = lru.used(state, 2);
    assertEquals(1, lru.victim(state));
    state = lru.filled(state, 1);
    assertEquals(3, lru.victim(state));
  }

  @Test
  void sixteenWaysOfLeastRecentlyUsedAreOneLong() {
    Replacement lru = new Replacement(ReplacementPolicy.LRU, 16);
    long state = filled(lru, 16);
    RandomGenerator random = RandomGenerator.of("L64X128MixRandom");
    List<Integer> order = new ArrayList<>();
    for (int way = 0; way < 16; way++) {
      order.add(way);
    }
    for (int i = 0; i < 1000; i++) {
      assertEquals(order.getFirst(), lru.victim(state));
      int way = random.nextInt(16);
      state = lru.used(state, way);
      order.removeIf(other -> other == way);
      order.add(way);
    }
  }

  /** Each bit on the path to a victim is turned, so victims come in the order of reversed bits. */
  @Test
  void aTreeAlternatesBetweenItsHalves() {
    assertEquals(
        List.of(0, 4, 2, 6, 1, 5, 3, 7, 0),
        victims(new Replacement(ReplacementPolicy.PLRU, 8), 8, 9));
  }

  /**
   * Reineke, Grund, Berg, Wilhelm, "Timing predictability of cache replacement policies" (2007):
   * the minimal life span of a line, in accesses to different other lines, is the number of ways
   * for LRU, and its logarithm plus one for PLRU.
   */
  @ParameterizedTest
  @CsvSource({"LRU, 4, 4", "LRU, 8, 8", "PLRU, 4, 3", "PLRU, 8, 4", "PLRU, 16, 5"})
  void aLineLivesAtLeastAsLongAsProved(ReplacementPolicy policy, int ways, int expected) {
    Replacement replacement = new Replacement(policy, ways);
    int shortest = Integer.MAX_VALUE;
    RandomGenerator random = RandomGenerator.of("L64X128MixRandom");
    for (int start = 0; start < 200; start++) {
      long state = filled(replacement, ways);
      for (int i = 0; i < 3 * ways; i++) {
        state = replacement.used(state, random.nextInt(ways));
      }
      int way = random.nextInt(ways);
      state = replacement.used(state, way);
      shortest = Math.min(shortest, lifeSpan(replacement, state, way, 1 << way, ways, expected));
    }
    assertEquals(expected, shortest);
  }

  /** Fewest accesses, hits of ways not used yet or misses, that evict a way; none above a limit. */
  private static int lifeSpan(
      Replacement replacement, long state, int way, int used, int ways, int limit) {
    int victim = replacement.victim(state);
    if (victim == way) {
      return 1;
    }
    if (limit == 1) {
      return limit + 1;
    }
    int best =
        lifeSpan(
            replacement,
            replacement.filled(state, victim),
            way,
            used | 1 << victim,
            ways,
            limit - 1);
    for (int hit = 0; hit < ways; hit++) {
      if ((used >> hit & 1) == 0) {
        best =
            Math.min(
                best,
                lifeSpan(
                    replacement,
                    replacement.used(state, hit),
                    way,
                    used | 1 << hit,
                    ways,
                    limit - 1));
      }
    }
    return best + 1;
  }

  /**
   * The same paper: so many misses of different lines evict whatever was in a set: the number of
   * ways for LRU, and k/2 log2 k + 1 for PLRU, if some of them may be hits.
   */
  @ParameterizedTest
  @CsvSource({"LRU, 8, 8", "PLRU, 4, 5", "PLRU, 8, 13"})
  void soManyAccessesEvictEverything(ReplacementPolicy policy, int ways, int expected) {
    Replacement replacement = new Replacement(policy, ways);
    RandomGenerator random = RandomGenerator.of("L64X128MixRandom");
    int longest = 0;
    for (int run = 0; run < 20_000; run++) {
      long state = filled(replacement, ways);
      for (int i = 0; i < 2 * ways; i++) {
        state = replacement.used(state, random.nextInt(ways));
      }
      // Lines of the beginning that were not accessed since, and how many accesses went by.
      int old = (1 << ways) - 1;
      int accesses = 0;
      while (old != 0) {
        accesses++;
        int hit = random.nextInt(ways);
        if ((old >> hit & 1) != 0 && random.nextInt(3) == 0 && Integer.bitCount(old) > 1) {
          state = replacement.used(state, hit);
          old &= ~(1 << hit);
        } else {
          int victim = replacement.victim(state);
          state = replacement.filled(state, victim);
          old &= ~(1 << victim);
        }
      }
      longest = Math.max(longest, accesses);
    }
    assertTrue(longest <= expected, longest + " accesses, proved " + expected);
  }

  /**
   * uops.info/cache.html of Ice Lake's first level: "uses three PLRU trees with 4 elements each;
   * the trees are ordered in an LRU fashion; upon a cache miss, the element that the bits of the
   * least-recently accessed tree point to is replaced".
   */
  @Test
  void threeTreesTakeTurns() {
    Replacement replacement = new Replacement(ReplacementPolicy.LRU3PLRU4, 12);
    assertEquals(List.of(0, 4, 8, 2, 6, 10, 1, 5, 9, 3, 7, 11, 0), victims(replacement, 12, 13));
    long state = filled(replacement, 12);
    state = replacement.used(state, 3);
    assertEquals(4, replacement.victim(state), "tree 1 is used least recently now");
    state = replacement.used(state, 5);
    assertEquals(8, replacement.victim(state));
  }

  /**
   * The letters of "QLRU_H11_M1_R0_U0" as the nanoBench paper defines them: a hit takes age 3 or 2
   * to 1 and others to 0; a miss inserts age 1, replaces the leftmost of age 3, and whenever none
   * has age 3, all ages grow until one has.
   */
  @Test
  void agesDecide() {
    Replacement replacement = new Replacement(ReplacementPolicy.QLRU_H11_M1_R0_U0, 4);
    long state = filled(replacement, 4);
    // Ages 1 1 1 1 grew to 3 3 3 3 with the last line that came.
    assertEquals(0, replacement.victim(state));
    state = replacement.used(state, 0);
    assertEquals(1, replacement.victim(state), "1 3 3 3");
    state = replacement.filled(state, 1);
    assertEquals(2, replacement.victim(state), "1 1 3 3");
    state = replacement.used(state, 0);
    state = replacement.filled(state, 2);
    assertEquals(3, replacement.victim(state), "0 1 1 3");
    state = replacement.filled(state, 3);
    // 0 1 1 1 grew to 2 3 3 3: what was hit again survives the others.
    assertEquals(1, replacement.victim(state), "2 3 3 3");
  }

  /** "QLRU_H00_M1_R0_U1": a hit makes any age 0, and the line just used does not grow. */
  @Test
  void whatWasJustUsedDoesNotGrow() {
    Replacement replacement = new Replacement(ReplacementPolicy.QLRU_H00_M1_R0_U1, 4);
    long state = filled(replacement, 4);
    // The last of four lines of age 1 lets the others grow to 3.
    assertEquals(0, replacement.victim(state), "3 3 3 1");
    state = replacement.used(state, 0);
    assertEquals(1, replacement.victim(state), "0 3 3 1");
    state = replacement.filled(state, 1);
    state = replacement.filled(state, 2);
    // 0 1 1 1: the others of the last line grow by two.
    assertEquals(1, replacement.victim(state), "2 3 1 3");
  }

  @ParameterizedTest
  @CsvSource({"LRU, 17", "PLRU, 12", "PLRU, 64", "LRU3PLRU4, 8", "QLRU_H11_M1_R0_U0, 33", "LRU, 0"})
  void waysThatAPolicyCannotHaveAreRefused(ReplacementPolicy policy, int ways) {
    assertThrows(IllegalArgumentException.class, () -> new Replacement(policy, ways));
  }
}
