package dev.ringfence.machine.interrupt;

import static dev.ringfence.machine.interrupt.ApicFixture.TIMER;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.time.VirtualClock;
import java.util.List;
import org.junit.jupiter.api.Test;

/** APIC timer (SDM volume 3, section 11.5.4) with an input clock of 25 MHz, 40 ns per tick. */
final class LocalApicTimerTest {
  private static final int INITIAL = 0x380;
  private static final int CURRENT = 0x390;
  private static final int DIVIDE = 0x3e0;
  private static final int PERIODIC = 1 << 17;
  private static final int DEADLINE = 2 << 17;

  private final ApicFixture fixture = new ApicFixture(1);
  private final LocalApic apic = fixture.apic(0);

  private void start(int localVector, int divide, int count) {
    fixture.write(0, TIMER, localVector);
    fixture.write(0, DIVIDE, divide);
    fixture.write(0, INITIAL, count);
  }

  @Test
  void aOneShotTimerCountsDownOnce() {
    fixture.clock.setNow(1000);
    start(0x40, 0b1011, 100);
    fixture.advanceTo(1000 + 40 * 40);
    assertEquals(60, fixture.read(0, CURRENT));
    fixture.advanceTo(1000 + 4000 - 1);
    assertFalse(apic.hasInterrupt());
    fixture.advanceTo(1000 + 4000);
    assertEquals(List.of(0x40), fixture.drain(0));
    assertEquals(0, fixture.read(0, CURRENT));
    fixture.advanceTo(100_000);
    assertFalse(apic.hasInterrupt());
    assertEquals(VirtualClock.NEVER, fixture.clock.nextDeadline());
  }

  @Test
  void divideConfigurationCodesAreThoseOfTheManual() {
    // Figure 11-10: bits 3, 1 and 0.
    int[] codes = {0b0000, 0b0001, 0b0010, 0b0011, 0b1000, 0b1001, 0b1010, 0b1011};
    int[] dividers = {2, 4, 8, 16, 32, 64, 128, 1};
    for (int i = 0; i < codes.length; i++) {
      start(0x1_0040, codes[i], 10);
      assertEquals(fixture.clock.now() + 400L * dividers[i], fixture.clock.nextDeadline());
    }
  }

  @Test
  void aPeriodicTimerReloads() {
    start(PERIODIC | 0x40, 0b1011, 100);
    fixture.advanceTo(4000);
    assertEquals(List.of(0x40), fixture.drain(0));
    assertEquals(100, fixture.read(0, CURRENT));
    fixture.advanceTo(7999);
    assertFalse(apic.hasInterrupt());
    fixture.advanceTo(8000);
    assertTrue(apic.hasInterrupt());
  }

  @Test
  void overduePeriodsAreOneInterrupt() {
    start(PERIODIC | 0x40, 0b1011, 1);
    fixture.clock.setNow(1_000_000_010);
    fixture.clock.expire();
    assertEquals(List.of(0x40), fixture.drain(0));
    assertEquals(1_000_000_040, fixture.clock.nextDeadline());
  }

  @Test
  void aMaskedTimerRunsWithoutInterrupting() {
    start(0x1_0040, 0b1011, 100);
    fixture.advanceTo(5000);
    assertFalse(apic.hasInterrupt());
  }

  @Test
  void anInitialCountOfZeroStopsTheTimer() {
    start(PERIODIC | 0x40, 0b1011, 100);
    fixture.write(0, INITIAL, 0);
    assertEquals(VirtualClock.NEVER, fixture.clock.nextDeadline());
    assertEquals(0, fixture.read(0, CURRENT));
  }

  @Test
  void theDeadlineInterruptsWhenTheTimeStampCounterReachesIt() {
    // Section 11.5.4.1; the counter runs at 2 GHz.
    fixture.write(0, TIMER, DEADLINE | 0x41);
    apic.setTscDeadline(20_001);
    assertEquals(20_001, apic.tscDeadline());
    fixture.advanceTo(10_000);
    assertFalse(apic.hasInterrupt());
    fixture.advanceTo(10_001);
    assertEquals(List.of(0x41), fixture.drain(0));
    assertEquals(0, apic.tscDeadline());
  }

  @Test
  void aDeadlineThatHasPassedInterruptsAtOnce() {
    fixture.clock.setNow(5000);
    fixture.write(0, TIMER, DEADLINE | 0x41);
    apic.setTscDeadline(1);
    fixture.clock.expire();
    assertEquals(List.of(0x41), fixture.drain(0));
  }

  @Test
  void theDeadlineFollowsTheOffsetOfTheProcessor() {
    fixture.write(0, TIMER, DEADLINE | 0x41);
    fixture.timeStampOffsets[0] = 10_000;
    apic.setTscDeadline(20_000);
    assertEquals(5000, fixture.clock.nextDeadline());
    fixture.timeStampOffsets[0] = -10_000;
    apic.timeStampCounterChanged();
    // The counter is below zero, which is a huge unsigned number.
    assertEquals(fixture.clock.now(), fixture.clock.nextDeadline());
    fixture.advanceTo(5000);
    assertEquals(List.of(0x41), fixture.drain(0));
  }

  @Test
  void deadlinesBeyondAllTimeNeverExpire() {
    fixture.write(0, TIMER, DEADLINE | 0x41);
    apic.setTscDeadline(-1);
    assertEquals(VirtualClock.NEVER, fixture.clock.nextDeadline());
    apic.setTscDeadline(Long.MAX_VALUE);
    fixture.advanceTo(1_000_000);
    assertFalse(apic.hasInterrupt());
    apic.setTscDeadline(0);
    assertEquals(VirtualClock.NEVER, fixture.clock.nextDeadline());
  }

  @Test
  void changingToOrFromDeadlineModeDisarmsTheTimer() {
    start(0x40, 0b1011, 100);
    fixture.write(0, TIMER, DEADLINE | 0x40);
    assertEquals(VirtualClock.NEVER, fixture.clock.nextDeadline());
    // The initial count is ignored in this mode.
    fixture.write(0, INITIAL, 5);
    assertEquals(0, fixture.read(0, INITIAL));
    apic.setTscDeadline(1_000_000);
    fixture.write(0, TIMER, 0x40);
    assertEquals(0, apic.tscDeadline());
    assertEquals(VirtualClock.NEVER, fixture.clock.nextDeadline());
    // And the deadline outside of it.
    apic.setTscDeadline(1_000_000);
    assertEquals(VirtualClock.NEVER, fixture.clock.nextDeadline());
  }
}
