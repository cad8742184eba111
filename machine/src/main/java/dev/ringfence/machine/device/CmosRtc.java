package dev.ringfence.machine.device;

import dev.ringfence.machine.interrupt.InterruptLine;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import dev.ringfence.machine.time.VirtualClock;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.ZoneOffset;

/**
 * Real-time clock and CMOS memory (Motorola MC146818A data sheet; use of the memory bytes as on the
 * PC/AT).
 *
 * <pre>
 *  00 seconds  02 minutes  04 hours   06 day of week  07 day of month  08 month  09 year  32 century
 *  01, 03, 05  alarm       0A divider, rate; bit 7 update in progress
 *  0B  7 SET  6 PIE  5 AIE  4 UIE  2 binary  1 24 hours       0C flags       0D bit 7 power valid
 *  15,16 base memory  17,18 and 30,31 KiB from 1 MiB  34,35 64 KiB units from 16 MiB
 *  5B-5D 64 KiB units from 4 GiB
 * </pre>
 *
 * <p>The date is a start date plus virtual time, so that runs are reproducible.
 */
final class CmosRtc implements IoRegion, Stateful {
  private static final int SECONDS = 0x00;
  private static final int SECONDS_ALARM = 0x01;
  private static final int MINUTES = 0x02;
  private static final int MINUTES_ALARM = 0x03;
  private static final int HOURS = 0x04;
  private static final int HOURS_ALARM = 0x05;
  private static final int DAY_OF_WEEK = 0x06;
  private static final int DAY_OF_MONTH = 0x07;
  private static final int MONTH = 0x08;
  private static final int YEAR = 0x09;
  private static final int A = 0x0a;
  private static final int B = 0x0b;
  private static final int C = 0x0c;
  private static final int D = 0x0d;
  private static final int CENTURY = 0x32;

  private static final int[] TIME_REGISTERS = {
    SECONDS, MINUTES, HOURS, DAY_OF_WEEK, DAY_OF_MONTH, MONTH, YEAR, CENTURY
  };

  private static final int B_SET = 0x80;
  private static final int B_BINARY = 0x04;
  private static final int B_24_HOURS = 0x02;
  private static final int PERIODIC = 0x40;
  private static final int ALARM = 0x20;
  private static final int UPDATE = 0x10;

  private static final long SECOND = 1_000_000_000L;

  /** Update in progress rises this long before the update: 244 us and the 1984 us that it takes. */
  private static final long UPDATE_LEAD = 2_228_000;

  private static final long DAY = 86_400;

  /** The end of the year 9999, which the registers cannot pass. */
  private static final long LAST_SECOND = 253_402_300_799L;

  private final VirtualClock clock;
  private final InterruptLine interrupt;
  private final VirtualClock.Timer timer;
  private final byte[] memory = new byte[128];
  private int index;

  /** Seconds since 1970 minus seconds of virtual time, while the clock runs. */
  private long epochOffset;

  /** The second that the registers showed when SET stopped the clock. */
  private long stoppedAt;

  private int flags;
  private long observedSecond;
  private long observedPeriod;

  /**
   * Creates the clock.
   *
   * @param start date and time at virtual time 0
   * @param lowMemory bytes of RAM below 4 GiB
   * @param highMemory bytes of RAM from 4 GiB on
   */
  CmosRtc(
      VirtualClock clock, InterruptLine interrupt, Instant start, long lowMemory, long highMemory) {
    this.clock = clock;
    this.interrupt = interrupt;
    this.timer = clock.createTimer("rtc", this::update);
    this.epochOffset = start.getEpochSecond();
    put16(0x15, 640);
    long extended = Math.min(Math.max(0, lowMemory / 1024 - 1024), 65_535);
    put16(0x17, extended);
    put16(0x30, extended);
    put16(0x34, Math.min(Math.max(0, lowMemory - (16 << 20)) >>> 16, 65_535));
    put16(0x5b, highMemory >>> 16);
    memory[0x5d] = (byte) (highMemory >>> 32);
    memory[A] = 0x26;
    memory[B] = B_24_HOURS;
    observe();
  }

  private void put16(int at, long value) {
    memory[at] = (byte) value;
    memory[at + 1] = (byte) (value >>> 8);
  }

  private long second() {
    long second = (memory[B] & B_SET) != 0 ? stoppedAt : epochOffset + clock.now() / SECOND;
    return Math.clamp(second, 0, LAST_SECOND);
  }

  /** Nanoseconds between periodic interrupts, or 0 for none. */
  private long period() {
    int rate = memory[A] & 15;
    if (rate == 0) {
      return 0;
    }
    // Rates 1 and 2 are those of 8 and 9 with a 32,768 Hz crystal.
    int shift = rate < 3 ? rate + 6 : rate - 1;
    return (SECOND << shift) / 32_768;
  }

  private long periodNumber() {
    long period = period();
    return period == 0 ? 0 : clock.now() / period;
  }

  /** Forgets events before now. */
  private void observe() {
    observedSecond = second();
    observedPeriod = periodNumber();
  }

  /** Sets the flags of events since the last observation. */
  private void collect() {
    long period = periodNumber();
    if (period > observedPeriod) {
      flags |= PERIODIC;
      observedPeriod = period;
    }
    long second = second();
    if (second > observedSecond) {
      flags |= UPDATE;
      long alarm = nextAlarm(observedSecond);
      if (alarm >= 0 && alarm <= second) {
        flags |= ALARM;
      }
      observedSecond = second;
    }
  }

  private void update() {
    collect();
    int enabled = memory[B] & (PERIODIC | ALARM | UPDATE);
    interrupt.set((flags & enabled) != 0);
    long next = VirtualClock.NEVER;
    long period = period();
    if ((enabled & ~flags & PERIODIC) != 0 && period != 0) {
      next = (observedPeriod + 1) * period;
    }
    if ((memory[B] & B_SET) == 0) {
      if ((enabled & ~flags & UPDATE) != 0) {
        next = Math.min(next, (observedSecond + 1 - epochOffset) * SECOND);
      }
      if ((enabled & ~flags & ALARM) != 0) {
        long alarm = nextAlarm(observedSecond);
        if (alarm >= 0) {
          next = Math.min(next, (alarm - epochOffset) * SECOND);
        }
      }
    }
    timer.arm(next);
  }

  /** The first second after {@code after} at which the alarm matches, or -1 if it never does. */
  private long nextAlarm(long after) {
    if (!canMatch(SECONDS_ALARM, 60)
        || !canMatch(MINUTES_ALARM, 60)
        || !canMatch(HOURS_ALARM, 24)) {
      return -1;
    }
    for (long second = after + 1; second <= after + DAY; second++) {
      int secondOfDay = (int) Math.floorMod(second, DAY);
      if (!matches(SECONDS_ALARM, secondOfDay % 60)) {
        continue;
      }
      if (!matches(MINUTES_ALARM, secondOfDay / 60 % 60)) {
        second += 59 - secondOfDay % 60;
      } else if (!matches(HOURS_ALARM, secondOfDay / 3600)) {
        second += 3599 - secondOfDay % 3600;
      } else {
        return second;
      }
    }
    return -1;
  }

  private boolean canMatch(int register, int values) {
    for (int value = 0; value < values; value++) {
      if (matches(register, value)) {
        return true;
      }
    }
    return false;
  }

  private boolean matches(int register, int value) {
    int alarm = memory[register] & 0xff;
    // C0H and above: don't care.
    return alarm >= 0xc0 || alarm == (register == HOURS_ALARM ? encodeHour(value) : encode(value));
  }

  private int encode(int value) {
    return (memory[B] & B_BINARY) != 0 ? value : value / 10 << 4 | value % 10;
  }

  private int decode(int value) {
    return (memory[B] & B_BINARY) != 0 ? value : (value >>> 4) * 10 + (value & 15);
  }

  private int encodeHour(int hour) {
    if ((memory[B] & B_24_HOURS) != 0) {
      return encode(hour);
    }
    int twelve = hour % 12 == 0 ? 12 : hour % 12;
    return encode(twelve) | (hour >= 12 ? 0x80 : 0);
  }

  private int decodeHour(int value) {
    if ((memory[B] & B_24_HOURS) != 0) {
      return decode(value);
    }
    return decode(value & 0x7f) % 12 + ((value & 0x80) != 0 ? 12 : 0);
  }

  private boolean updateInProgress() {
    return (memory[B] & B_SET) == 0 && clock.now() % SECOND >= SECOND - UPDATE_LEAD;
  }

  @Override
  public long read(long offset, int bytes) {
    if (offset == 0) {
      // The index register is write-only.
      return 0xff;
    }
    return switch (index) {
      case SECONDS, MINUTES, HOURS, DAY_OF_WEEK, DAY_OF_MONTH, MONTH, YEAR, CENTURY ->
          timeRegister(index);
      case A -> memory[A] & 0x7f | (updateInProgress() ? 0x80 : 0);
      case C -> {
        collect();
        int value = flags;
        if ((flags & memory[B] & (PERIODIC | ALARM | UPDATE)) != 0) {
          value |= 0x80;
        }
        flags = 0;
        update();
        yield value;
      }
      case D -> 0x80;
      default -> memory[index] & 0xff;
    };
  }

  private int timeRegister(int register) {
    if ((memory[B] & B_SET) != 0) {
      return memory[register] & 0xff;
    }
    LocalDateTime time = LocalDateTime.ofEpochSecond(second(), 0, ZoneOffset.UTC);
    return switch (register) {
      case SECONDS -> encode(time.getSecond());
      case MINUTES -> encode(time.getMinute());
      case HOURS -> encodeHour(time.getHour());
      // Sunday is 1.
      case DAY_OF_WEEK -> encode(time.getDayOfWeek().getValue() % 7 + 1);
      case DAY_OF_MONTH -> encode(time.getDayOfMonth());
      case MONTH -> encode(time.getMonthValue());
      case YEAR -> encode(Math.floorMod(time.getYear(), 100));
      default -> encode(Math.floorMod(time.getYear() / 100, 100));
    };
  }

  /** Copies the running time to the registers that show it. */
  private void freeze() {
    for (int register : TIME_REGISTERS) {
      memory[register] = (byte) timeRegister(register);
    }
  }

  /**
   * Runs on from what the registers show. Values that are no date carry over, as in "32 January".
   */
  private void thaw() {
    int year = decode(memory[CENTURY] & 0xff) % 100 * 100 + decode(memory[YEAR] & 0xff) % 100;
    int month = Math.clamp(decode(memory[MONTH] & 0xff), 1, 12);
    long day = LocalDate.of(year, month, 1).toEpochDay() + decode(memory[DAY_OF_MONTH] & 0xff) - 1;
    long second =
        day * DAY
            + decodeHour(memory[HOURS] & 0xff) * 3600L
            + decode(memory[MINUTES] & 0xff) * 60L
            + decode(memory[SECONDS] & 0xff);
    epochOffset = second - clock.now() / SECOND;
  }

  @Override
  public void write(long offset, int bytes, long value) {
    if (offset == 0) {
      // Bit 7 masks NMI on the PC/AT; nothing here raises one that could be masked.
      index = (int) value & 0x7f;
      return;
    }
    int data = (int) value & 0xff;
    collect();
    switch (index) {
      case SECONDS, MINUTES, HOURS, DAY_OF_WEEK, DAY_OF_MONTH, MONTH, YEAR, CENTURY -> {
        boolean running = (memory[B] & B_SET) == 0;
        if (running) {
          freeze();
        }
        memory[index] = (byte) data;
        if (running) {
          thaw();
          observe();
        }
      }
      case C, D -> {}
      case A -> {
        memory[A] = (byte) (data & 0x7f);
        observe();
      }
      case B -> {
        boolean wasSet = (memory[B] & B_SET) != 0;
        boolean set = (data & B_SET) != 0;
        if (set && !wasSet) {
          stoppedAt = second();
          freeze();
        }
        // "SET clears UIE."
        memory[B] = (byte) (set ? data & ~UPDATE : data);
        if (!set && wasSet) {
          thaw();
        }
        observe();
      }
      default -> memory[index] = (byte) data;
    }
    update();
  }

  @Override
  public String stateName() {
    return "rtc";
  }

  @Override
  public void save(StateWriter out) {
    out.writeBytes(memory);
    out.writeInt(index);
    out.writeLong(epochOffset);
    out.writeLong(stoppedAt);
    out.writeInt(flags);
    out.writeLong(observedSecond);
    out.writeLong(observedPeriod);
    out.writeLong(timer.deadline());
  }

  @Override
  public void restore(StateReader in) {
    System.arraycopy(in.readBytes(memory.length), 0, memory, 0, memory.length);
    index = in.readInt("index", 0, 127);
    epochOffset = in.readLong();
    stoppedAt = in.readLong();
    flags = in.readInt("flags", 0, 255);
    observedSecond = in.readLong();
    observedPeriod = in.readLong();
    timer.arm(in.readLong());
  }
}
