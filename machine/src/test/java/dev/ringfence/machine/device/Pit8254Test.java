package dev.ringfence.machine.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.time.VirtualClock;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * Interval timer against the 8254 data sheet, sections "Mode definitions" and "Read operations".
 */
final class Pit8254Test {
  private final VirtualClock clock = new VirtualClock();
  private final IoSpace ports = new IoSpace("port");
  private boolean line;
  private int edges;
  private final Pit8254 pit =
      new Pit8254(
          clock,
          asserted -> {
            if (asserted && !line) {
              edges++;
            }
            line = asserted;
          });

  @BeforeEach
  void attach() {
    pit.attachTo(ports);
  }

  private int in(int port) {
    return (int) ports.read(port, 1);
  }

  private void out(int port, int value) {
    ports.write(port, 1, value);
  }

  private void program(int channel, int mode, int count) {
    out(0x43, channel << 6 | 0x30 | mode << 1);
    out(0x40 + channel, count & 0xff);
    out(0x40 + channel, count >>> 8);
  }

  private static long ticks(long count) {
    return PitChannel.FREQUENCY.nanosecondsAt(count);
  }

  private void advanceTo(long nanoseconds) {
    while (clock.nextDeadline() <= nanoseconds) {
      clock.setNow(Math.max(clock.now(), clock.nextDeadline()));
      clock.expire();
    }
    clock.setNow(nanoseconds);
  }

  private int latched(int channel) {
    out(0x43, channel << 6);
    return in(0x40 + channel) | in(0x40 + channel) << 8;
  }

  @Test
  void mode0RaisesItsOutputOnceAtTerminalCount() {
    program(0, 0, 1000);
    assertFalse(line);
    advanceTo(ticks(999));
    assertFalse(line);
    assertEquals(1, latched(0));
    advanceTo(ticks(1000));
    assertTrue(line);
    advanceTo(ticks(1_000_000));
    assertEquals(1, edges);
  }

  @Test
  void mode0CountsOnPastZero() {
    program(0, 0, 10);
    advanceTo(ticks(12));
    assertEquals(0xfffe, latched(0));
  }

  @Test
  void mode2PulsesOncePerPeriod() {
    program(0, 2, 0x04a9);
    int before = edges;
    advanceTo(ticks(0x04a9 * 100L));
    assertEquals(100, edges - before);
    assertTrue(line);
    assertEquals(0x04a9, latched(0));
  }

  @Test
  void mode2KeepsItsPaceWhenServedLate() {
    program(0, 2, 1000);
    int before = edges;
    clock.setNow(ticks(1500));
    clock.expire();
    assertEquals(1, edges - before);
    advanceTo(ticks(2000));
    assertEquals(2, edges - before);
  }

  @Test
  void mode3IsASquareWaveThatCountsByTwo() {
    program(0, 3, 100);
    assertTrue(line);
    advanceTo(ticks(10));
    assertEquals(80, latched(0));
    advanceTo(ticks(50));
    assertFalse(line);
    assertEquals(100, latched(0));
    advanceTo(ticks(100));
    assertTrue(line);
    int before = edges;
    advanceTo(ticks(1100));
    assertEquals(10, edges - before);
  }

  @Test
  void aCountOfZeroIsTheLargest() {
    program(0, 2, 0);
    int before = edges;
    advanceTo(ticks(65_536 * 3L));
    assertEquals(3, edges - before);
  }

  @Test
  void mode4StrobesOnce() {
    program(0, 4, 20);
    assertTrue(line);
    advanceTo(ticks(20));
    assertFalse(line);
    advanceTo(ticks(21));
    assertTrue(line);
    advanceTo(ticks(100_000));
    assertEquals(VirtualClock.NEVER, clock.nextDeadline());
  }

  @Test
  void channel2IsGatedByPort61() {
    program(2, 0, 100);
    advanceTo(ticks(500));
    assertEquals(0, in(0x61) & 0x20);
    assertEquals(100, latched(2));
    out(0x61, 1);
    advanceTo(ticks(550));
    assertEquals(50, latched(2));
    assertEquals(0x01, in(0x61) & 0x21);
    advanceTo(ticks(601));
    assertEquals(0x21, in(0x61) & 0x21);
  }

  @Test
  void loweringTheGateStopsMode0() {
    out(0x61, 1);
    program(2, 0, 100);
    advanceTo(ticks(30));
    out(0x61, 0);
    advanceTo(ticks(1000));
    assertEquals(70, latched(2));
  }

  @Test
  void mode1IsTriggeredByTheGate() {
    program(2, 1, 10);
    advanceTo(ticks(100));
    assertEquals(0x20, in(0x61) & 0x20);
    out(0x61, 1);
    assertEquals(0, in(0x61) & 0x20);
    advanceTo(ticks(111));
    assertEquals(0x20, in(0x61) & 0x20);
  }

  @Test
  void theLatchHoldsTheCountUntilItIsRead() {
    program(0, 2, 10_000);
    advanceTo(ticks(100));
    out(0x43, 0);
    advanceTo(ticks(200));
    assertEquals(9900 & 0xff, in(0x40));
    advanceTo(ticks(300));
    assertEquals(9900 >>> 8, in(0x40));
    assertEquals(9700, latched(0));
  }

  @Test
  void readBackLatchesStatusAndCount() {
    program(0, 2, 10_000);
    advanceTo(ticks(100));
    // Count and status of channel 0: the status comes first.
    out(0x43, 0xc2);
    assertEquals(0xb4, in(0x40));
    assertEquals(9900, in(0x40) | in(0x40) << 8);
    out(0x43, 0x30);
    out(0x43, 0xe2);
    assertEquals(0x70, in(0x40));
  }

  @Test
  void oneByteAccessReadsAndWritesThatByte() {
    out(0x43, 0x14);
    out(0x40, 200);
    advanceTo(ticks(50));
    assertEquals(150, in(0x40));
    assertEquals(150, in(0x40));
    out(0x43, 0x24);
    out(0x40, 0x10);
    advanceTo(ticks(50 + 0x0100));
    assertEquals(0x0f, in(0x40));
  }

  @Test
  void decimalCountersCountInDecimal() {
    out(0x43, 0x35);
    out(0x40, 0x00);
    out(0x40, 0x10);
    advanceTo(ticks(1));
    assertEquals(0x0999, latched(0));
  }

  @Test
  void aNewCountInMode2TakesEffectWithTheNextPeriod() {
    program(0, 2, 1000);
    advanceTo(ticks(100));
    program(0, 2, 500);
    int before = edges;
    advanceTo(ticks(600));
    assertEquals(1, edges - before);
  }
}
