package dev.ringfence.machine.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.time.VirtualClock;
import java.time.Instant;
import org.junit.jupiter.api.Test;

/** Real-time clock against the MC146818A data sheet. */
final class CmosRtcTest {
  private static final long SECOND = 1_000_000_000;

  private final VirtualClock clock = new VirtualClock();
  private boolean line;
  private final CmosRtc rtc =
      new CmosRtc(
          clock,
          asserted -> line = asserted,
          Instant.parse("2026-12-31T23:59:58Z"),
          3L << 30,
          5L << 30);

  private int in(int register) {
    rtc.write(0, 1, register);
    return (int) rtc.read(1, 1);
  }

  private void out(int register, int value) {
    rtc.write(0, 1, register);
    rtc.write(1, 1, value);
  }

  private void advanceTo(long nanoseconds) {
    while (clock.nextDeadline() <= nanoseconds) {
      clock.setNow(Math.max(clock.now(), clock.nextDeadline()));
      clock.expire();
    }
    clock.setNow(nanoseconds);
  }

  private String date() {
    return "%02x%02x-%02x-%02x %02x:%02x:%02x"
        .formatted(in(0x32), in(9), in(8), in(7), in(4), in(2), in(0));
  }

  @Test
  void theDateIsTheStartDatePlusVirtualTime() {
    assertEquals("2026-12-31 23:59:58", date());
    // Thursday, where Sunday is 1.
    assertEquals(5, in(6));
    advanceTo(2 * SECOND);
    assertEquals("2027-01-01 00:00:00", date());
    assertEquals(6, in(6));
  }

  @Test
  void binaryAndTwelveHourModesChangeTheEncoding() {
    out(0x0b, 0x06);
    assertEquals(59, in(2));
    assertEquals(23, in(4));
    out(0x0b, 0x04);
    assertEquals(0x8b, in(4));
    out(0x0b, 0x00);
    assertEquals(0x91, in(4));
  }

  @Test
  void settingStopsTheClockUntilItIsReleased() {
    out(0x0b, 0x82);
    out(8, 0x02);
    out(7, 0x29);
    out(9, 0x28);
    out(4, 0x12);
    out(2, 0x34);
    out(0, 0x56);
    advanceTo(10 * SECOND);
    assertEquals("2028-02-29 12:34:56", date());
    out(0x0b, 0x02);
    advanceTo(12 * SECOND);
    assertEquals("2028-02-29 12:34:58", date());
  }

  @Test
  void aFieldCanBeSetWhileTheClockRuns() {
    out(9, 0x30);
    advanceTo(SECOND);
    assertEquals("2030-12-31 23:59:59", date());
  }

  @Test
  void updateInProgressPrecedesTheUpdate() {
    assertEquals(0x26, in(0x0a));
    advanceTo(SECOND - 2_228_000 - 1);
    assertEquals(0x26, in(0x0a));
    advanceTo(SECOND - 2_228_000);
    assertEquals(0xa6, in(0x0a));
    advanceTo(SECOND);
    assertEquals(0x26, in(0x0a));
  }

  @Test
  void theUpdateInterruptComesEverySecond() {
    out(0x0b, 0x12);
    advanceTo(SECOND - 1);
    assertFalse(line);
    advanceTo(SECOND);
    assertTrue(line);
    assertEquals(0x90, in(0x0c) & 0xb0);
    assertFalse(line);
    assertEquals(0, in(0x0c) & 0xb0);
    advanceTo(2 * SECOND);
    assertTrue(line);
  }

  @Test
  void thePeriodicInterruptHasTheRateOfRegisterA() {
    out(0x0a, 0x26);
    out(0x0b, 0x42);
    int count = 0;
    for (long time = 0; time < SECOND; time += 100_000) {
      advanceTo(time);
      if (line) {
        count++;
        assertEquals(0xc0, in(0x0c) & 0xc0);
      }
    }
    // Rate 6 is 1024 Hz.
    assertEquals(1023, count);
  }

  @Test
  void theAlarmMatchesHoursMinutesAndSeconds() {
    out(5, 0x00);
    out(3, 0x01);
    out(1, 0x30);
    out(0x0b, 0x22);
    advanceTo(91 * SECOND);
    assertFalse(line);
    advanceTo(92 * SECOND);
    assertTrue(line);
    assertEquals(0xa0, in(0x0c) & 0xa0);
  }

  @Test
  void alarmBytesAboveC0MatchEverything() {
    out(5, 0xff);
    out(3, 0xc0);
    out(1, 0x05);
    out(0x0b, 0x22);
    advanceTo(7 * SECOND);
    assertTrue(line);
    int unused = in(0x0c);
    advanceTo(66 * SECOND);
    assertFalse(line);
    advanceTo(67 * SECOND);
    assertTrue(line);
  }

  @Test
  void anAlarmThatCannotMatchNeverComes() {
    out(5, 0x99);
    out(3, 0x99);
    out(1, 0x99);
    out(0x0b, 0x22);
    assertEquals(VirtualClock.NEVER, clock.nextDeadline());
  }

  @Test
  void flagsAreSetWithoutInterruptsToo() {
    advanceTo(SECOND);
    assertEquals(0x50, in(0x0c) & 0xf0);
    assertFalse(line);
  }

  @Test
  void memoryBytesTellTheSizeOfRam() {
    assertEquals(640, in(0x15) | in(0x16) << 8);
    assertEquals(65_535, in(0x30) | in(0x31) << 8);
    assertEquals(((3 << 30) - (16 << 20) >>> 16), in(0x34) | in(0x35) << 8);
    assertEquals(5 << 14, in(0x5b) | in(0x5c) << 8 | in(0x5d) << 16);
  }

  @Test
  void otherBytesAreMemory() {
    out(0x40, 0x5a);
    assertEquals(0x5a, in(0x40));
    assertEquals(0x80, in(0x0d));
    assertEquals(0xff, (int) rtc.read(0, 1));
  }
}
