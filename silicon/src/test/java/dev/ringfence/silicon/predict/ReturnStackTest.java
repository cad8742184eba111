package dev.ringfence.silicon.predict;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/** 16 entries, as Intel has up to Skylake and its successors. */
final class ReturnStackTest {
  private final ReturnStack stack = new ReturnStack(16);

  @Test
  void returnsAreTheReverseOfCalls() {
    for (int i = 1; i <= 16; i++) {
      stack.push(i);
    }
    for (int i = 16; i >= 1; i--) {
      assertEquals(i, stack.pop());
    }
    assertTrue(stack.isEmpty());
  }

  /** A call chain deeper than the buffer returns without prediction at its end (Retbleed). */
  @Test
  void theSeventeenthReturnUnderflows() {
    for (int i = 1; i <= 20; i++) {
      stack.push(i);
    }
    for (int i = 20; i > 4; i--) {
      assertFalse(stack.isEmpty());
      assertEquals(i, stack.pop());
    }
    assertTrue(stack.isEmpty());
    assertEquals(TargetPredictor.NONE, stack.pop());
  }

  /** Wrong-path calls stay written, only the top goes back (Koruyeh et al., 2018). */
  @Test
  void whatWrongPathCallsWroteStays() {
    stack.push(1);
    stack.push(2);
    int position = stack.position();
    stack.pop();
    stack.push(666);
    stack.restore(position);
    assertEquals(666, stack.pop());
    assertEquals(1, stack.pop());
    assertTrue(stack.isEmpty());
  }

  /** Trujillo et al., "Inception" (2023): recursion on the wrong path fills all of it. */
  @Test
  void manyWrongPathCallsReplaceAll() {
    for (int i = 1; i <= 16; i++) {
      stack.push(i);
    }
    int position = stack.position();
    for (int i = 0; i < 16; i++) {
      stack.push(666);
    }
    stack.restore(position);
    for (int i = 0; i < 16; i++) {
      assertEquals(666, stack.pop());
    }
  }

  /** Stuffing makes sixteen returns harmless; none of them underflows. */
  @Test
  void aFilledStackPredictsNothingHarmful() {
    stack.push(666);
    stack.fill();
    for (int i = 0; i < 16; i++) {
      assertFalse(stack.isEmpty());
      assertEquals(TargetPredictor.NONE, stack.pop());
    }
    assertTrue(stack.isEmpty());
  }
}
