package dev.ringfence.machine.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.interrupt.InterruptLine;
import dev.ringfence.machine.time.VirtualClock;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Event timers against the IA-PC HPET specification 1.0a, section 2.3. */
final class HpetTest {
  private final VirtualClock clock = new VirtualClock();
  private final List<String> edges = new ArrayList<>();
  private final Hpet hpet =
      new Hpet(
          clock,
          List.of(line("irq0"), line("irq8")),
          List.of(line("20"), line("21"), line("22"), line("23")));

  private InterruptLine line(String name) {
    boolean[] level = new boolean[1];
    return asserted -> {
      if (asserted != level[0]) {
        level[0] = asserted;
        edges.add(asserted ? name : "-" + name);
      }
    };
  }

  private long in(int register) {
    return hpet.read(register, 8);
  }

  private void out(int register, long value) {
    hpet.write(register, 4, value);
  }

  private void advanceTo(long nanoseconds) {
    while (clock.nextDeadline() <= nanoseconds) {
      clock.setNow(Math.max(clock.now(), clock.nextDeadline()));
      clock.expire();
    }
    clock.setNow(nanoseconds);
  }

  @Test
  void capabilitiesDescribeThreeTimersAt100MHz() {
    assertEquals(10_000_000, in(0) >>> 32);
    assertEquals(0x8086_a201L, in(0) & 0xffff_ffffL);
    assertEquals(0x00f0_0000L << 32 | 0x30, in(0x100));
  }

  @Test
  void theCounterRunsWhileEnabled() {
    advanceTo(1000);
    assertEquals(0, in(0xf0));
    out(0x10, 1);
    advanceTo(3000);
    assertEquals(200, in(0xf0));
    out(0x10, 0);
    advanceTo(9000);
    assertEquals(200, in(0xf0));
    out(0xf0, 5);
    out(0xf4, 1);
    assertEquals(0x1_0000_0005L, in(0xf0));
  }

  @Test
  void aOneShotTimerInterruptsOnItsRoute() {
    out(0x10, 1);
    out(0x140, 22 << 9 | 4);
    out(0x148, 500);
    out(0x14c, 0);
    advanceTo(4999);
    assertEquals(List.of(), edges);
    advanceTo(100_000);
    assertEquals(List.of("22", "-22"), edges);
  }

  @Test
  void legacyReplacementTakesTheTimerAndClockInterrupts() {
    assertFalse(hpet.replacesLegacy());
    out(0x10, 3);
    assertTrue(hpet.replacesLegacy());
    out(0x100, 4);
    out(0x108, 100);
    out(0x10c, 0);
    out(0x120, 4);
    out(0x128, 200);
    out(0x12c, 0);
    advanceTo(10_000);
    assertEquals(List.of("irq0", "-irq0", "irq8", "-irq8"), edges);
  }

  @Test
  void aPeriodicTimerAddsItsPeriod() {
    out(0x10, 1);
    out(0x100, 20 << 9 | 0x4c | 1 << 8);
    out(0x108, 300);
    out(0x108, 100);
    advanceTo(2999);
    assertEquals(List.of(), edges);
    advanceTo(3000);
    assertEquals(2, edges.size());
    assertEquals(400, in(0x108));
    advanceTo(10_000);
    assertEquals(16, edges.size());
  }

  @Test
  void aLevelTimerStaysAssertedUntilItsStatusIsCleared() {
    out(0x10, 1);
    out(0x140, 23 << 9 | 6);
    out(0x148, 100);
    out(0x14c, 0);
    advanceTo(5000);
    assertEquals(List.of("23"), edges);
    assertEquals(4, in(0x20));
    out(0x20, 3);
    assertEquals(4, in(0x20));
    out(0x20, 4);
    assertEquals(List.of("23", "-23"), edges);
  }

  @Test
  void a32BitTimerMatchesAgainAfterTheCounterWraps() {
    out(0x10, 1);
    out(0x100, 20 << 9 | 4 | 1 << 8);
    out(0x108, 100);
    advanceTo(2000);
    assertEquals(2, edges.size());
    advanceTo((1L << 32) * 10 + 1000);
    assertEquals(4, edges.size());
  }

  @Test
  void aLevelTimerLetsGoOfItsWireWhenItIsRouted() {
    out(0x10, 1);
    out(0x140, 23 << 9 | 6);
    out(0x148, 100);
    out(0x14c, 0);
    advanceTo(5000);
    out(0x140, 22 << 9 | 6);
    assertEquals(List.of("23", "-23", "22"), edges);
    out(0x140, 22 << 9 | 2);
    assertEquals(List.of("23", "-23", "22", "-22"), edges);
  }

  @Test
  void aDisabledTimerIsSilent() {
    out(0x10, 1);
    out(0x100, 20 << 9);
    out(0x108, 100);
    out(0x10c, 0);
    advanceTo(5000);
    assertEquals(List.of(), edges);
  }
}
