package dev.ringfence.silicon.predict;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/**
 * A saturating counter of four bits, as found for Intel (Intel patent US 7,603,527; Henry Wong).
 */
final class DisambiguationPredictorTest {
  @Test
  void aLoadMayOvertakeAfterFifteenTimesAlone() {
    DisambiguationPredictor predictor = new DisambiguationPredictor();
    for (int i = 0; i < 15; i++) {
      assertFalse(predictor.mayOvertake(0x401234));
      predictor.independent(0x401234);
    }
    assertTrue(predictor.mayOvertake(0x401234));
    assertFalse(predictor.mayOvertake(0x401235));
    predictor.dependent(0x401234);
    assertFalse(predictor.mayOvertake(0x401234));
  }

  @Test
  void loadsShareACounterByLowBits() {
    DisambiguationPredictor predictor = new DisambiguationPredictor();
    for (int i = 0; i < 15; i++) {
      predictor.independent(0x401234);
    }
    assertTrue(predictor.mayOvertake(0xffff_ffff_8100_0034L));
  }
}
