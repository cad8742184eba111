package dev.ringfence.silicon.predict;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.function.IntPredicate;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;

final class DirectionPredictorTest {
  private static final long BRANCH = 0x401234;
  private static final long TARGET = 0x401300;

  private final DirectionPredictor predictor = new DirectionPredictor(4096);
  private final BranchHistory history = DirectionPredictor.history(93);

  /** Executes a branch as a processor does; returns whether it was predicted. */
  private boolean execute(long branch, boolean taken) {
    boolean right = predictor.predict(branch, history) == taken;
    predictor.update(branch, history, taken);
    if (taken) {
      history.taken(branch, TARGET);
    }
    return right;
  }

  private int mispredictions(int warmUp, int count, IntPredicate taken) {
    int wrong = 0;
    for (int i = 0; i < warmUp + count; i++) {
      boolean right = execute(BRANCH, taken.test(i));
      // The branch that closes the loop, so that history goes on even if the other is not taken.
      execute(BRANCH + 0x40, true);
      wrong += i >= warmUp && !right ? 1 : 0;
    }
    return wrong;
  }

  @Test
  void aBranchWithOneDirectionIsPredicted() {
    assertEquals(0, mispredictions(10, 1000, i -> true));
    assertEquals(0, mispredictions(10, 1000, i -> false));
  }

  /** What global history is for. */
  @Test
  void patternsAreLearntFromHistory() {
    assertTrue(mispredictions(2000, 1000, i -> i % 2 == 0) < 10);
    assertTrue(mispredictions(2000, 1000, i -> i % 5 == 0) < 20);
    assertTrue(mispredictions(4000, 1000, i -> i % 16 == 0) < 30);
  }

  @Test
  void chanceIsNotPredicted() {
    RandomGenerator random = RandomGenerator.of("L64X128MixRandom");
    int wrong = mispredictions(1000, 4000, i -> random.nextBoolean());
    assertTrue(wrong > 1600, wrong + " of 4000");
  }

  /**
   * Kocher et al., "Spectre Attacks", listing 1: after some valid calls, one out of bounds is
   * predicted to be valid, if nothing in history tells it from them.
   */
  @Test
  void aFewValidCallsTrainABoundsCheck() {
    for (int call = 0; call < 200; call++) {
      for (int i = 0; i < 93; i++) {
        history.taken(0x402000, 0x401f00);
      }
      boolean outOfBounds = call % 6 == 5;
      if (outOfBounds) {
        assertFalse(predictor.predict(BRANCH, history), "call " + call);
      }
      execute(BRANCH, outOfBounds);
    }
  }

  /** Branches share entries by low bits of their addresses, whoever runs them. */
  @Test
  void branchesAliasAcrossAddressSpaces() {
    for (int i = 0; i < 10; i++) {
      predictor.update(0x5555_0000_1234L, history, true);
    }
    assertTrue(predictor.predict(0x5555_0000_1234L + (1L << 32), history));
    assertFalse(predictor.predict(0x5555_0000_1238L, history));
  }
}
