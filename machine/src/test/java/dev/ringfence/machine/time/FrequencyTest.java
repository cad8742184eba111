package dev.ringfence.machine.time;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;

/** Conversion between virtual time and ticks. */
final class FrequencyTest {
  @Test
  void ticksAreCountedFromTimeZeroAndRoundedDown() {
    Frequency pit = new Frequency(1_193_182);
    assertEquals(0, pit.ticksAt(838));
    assertEquals(1, pit.ticksAt(839));
    assertEquals(1_193_182, pit.ticksAt(1_000_000_000));
    assertEquals(839, pit.nanosecondsAt(1));
    assertEquals(0, pit.nanosecondsAt(0));
    assertEquals(0, pit.nanosecondsAt(-5));
  }

  @Test
  void theTimeOfATickIsTheFirstAtWhichItHasHappened() {
    Random random = new Random(1);
    for (int i = 0; i < 100_000; i++) {
      Frequency frequency = new Frequency(1 + random.nextLong(9_000_000_000L));
      long ticks = 1 + random.nextLong(1L << 50);
      long time = frequency.nanosecondsAt(ticks);
      if (time != VirtualClock.NEVER) {
        assertTrue(frequency.ticksAt(time) >= ticks, frequency + " " + ticks);
        assertTrue(frequency.ticksAt(time - 1) < ticks, frequency + " " + ticks);
      }
    }
  }

  @Test
  void whatLiesBeyondAllTimeIsNever() {
    assertEquals(VirtualClock.NEVER, new Frequency(1).nanosecondsAt(Long.MAX_VALUE));
  }

  @Test
  void frequenciesOutsideTheExactRangeAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> new Frequency(0));
    assertThrows(IllegalArgumentException.class, () -> new Frequency(9_000_000_001L));
  }
}
