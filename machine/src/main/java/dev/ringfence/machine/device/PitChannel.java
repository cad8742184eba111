package dev.ringfence.machine.device;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;

/**
 * One counter of the 8254 (data sheet, section "Mode definitions"). Count and output are functions
 * of the ticks since the counter was loaded; nothing happens between accesses.
 */
final class PitChannel {
  /** The 14.31818 MHz crystal of the PC, divided by 12. */
  static final Frequency FREQUENCY = new Frequency(1_193_182);

  private int mode;
  private boolean decimal;

  /** Bytes of a count that are read and written: 1 the low one, 2 the high one, 3 both. */
  private int access = 3;

  private int count;
  private boolean loaded;
  private boolean gate;

  /** Tick at which the count was loaded or the gate triggered it. */
  private long startTick;

  /** Ticks counted before the gate stopped the counter, or -1 while it counts. */
  private long stoppedAt = -1;

  /** In modes 1 and 5: whether the gate has triggered since the mode was set. */
  private boolean triggered;

  private int writeLow;
  private boolean writeHighNext;
  private boolean readHighNext;
  private int latch;
  private int latchedBytes;
  private int status;
  private boolean statusLatched;

  /**
   * Creates a counter that does not count yet.
   *
   * @param gate level of the gate
   */
  PitChannel(boolean gate) {
    this.gate = gate;
  }

  boolean gate() {
    return gate;
  }

  void setGate(boolean high, long now) {
    boolean rising = high && !gate;
    boolean falling = !high && gate;
    if (mode == 0 || mode == 4) {
      // The level of the gate lets the counter count.
      if (falling && loaded) {
        stoppedAt = elapsed(now);
      } else if (rising && stoppedAt >= 0) {
        startTick = FREQUENCY.ticksAt(now) - stoppedAt;
        stoppedAt = -1;
      }
    } else if (rising) {
      // In modes 1, 2, 3 and 5 the rising edge starts from the full count.
      startTick = FREQUENCY.ticksAt(now);
      triggered = true;
    } else if (falling && (mode == 2 || mode == 3)) {
      stoppedAt = 0;
    }
    if (rising && (mode == 2 || mode == 3)) {
      stoppedAt = -1;
    }
    gate = high;
  }

  /** A control word for this counter. */
  void control(int word, long now) {
    if ((word & 0x30) == 0) {
      latchCount(now);
      return;
    }
    access = word >>> 4 & 3;
    int code = word >>> 1 & 7;
    mode = code >= 6 ? code - 4 : code;
    decimal = (word & 1) != 0;
    loaded = false;
    triggered = false;
    stoppedAt = -1;
    writeHighNext = false;
    readHighNext = false;
    latchedBytes = 0;
    statusLatched = false;
  }

  private void latchCount(long now) {
    if (latchedBytes == 0) {
      latch = currentCount(now);
      latchedBytes = access == 3 ? 2 : 1;
    }
  }

  void readBack(boolean wantsCount, boolean wantsStatus, long now) {
    if (wantsCount) {
      latchCount(now);
    }
    if (wantsStatus && !statusLatched) {
      status =
          (output(now) ? 0x80 : 0)
              | (loaded ? 0 : 0x40)
              | access << 4
              | mode << 1
              | (decimal ? 1 : 0);
      statusLatched = true;
    }
  }

  int read(long now) {
    if (statusLatched) {
      statusLatched = false;
      return status;
    }
    if (latchedBytes > 0) {
      boolean high = access == 2 || access == 3 && latchedBytes == 1;
      latchedBytes--;
      return high ? latch >>> 8 : latch & 0xff;
    }
    boolean high = access == 2 || access == 3 && readHighNext;
    readHighNext = access == 3 && !readHighNext;
    int value = currentCount(now);
    return high ? value >>> 8 : value & 0xff;
  }

  void write(int data, long now) {
    switch (access) {
      case 1 -> load(data, now);
      case 2 -> load(data << 8, now);
      default -> {
        if (writeHighNext) {
          load(data << 8 | writeLow, now);
        } else {
          writeLow = data;
          if (mode == 0 && loaded && stoppedAt < 0) {
            // "Writing the first byte disables counting."
            stoppedAt = elapsed(now);
          }
        }
        writeHighNext = !writeHighNext;
      }
    }
  }

  private void load(int value, long now) {
    int initial = decimal ? fromDecimal(value) : value;
    // 0 stands for the largest count.
    int next = initial == 0 ? modulus() : initial;
    boolean reload = loaded && (mode == 1 || mode == 5);
    if (loaded && (mode == 2 || mode == 3) && stoppedAt < 0) {
      // The new count takes effect at the end of the current period; the phase within it is kept.
      long position = elapsed(now) % count;
      startTick = FREQUENCY.ticksAt(now) - Math.min(position, next - 1L);
      count = next;
      return;
    }
    count = next;
    loaded = true;
    if (!reload) {
      startTick = FREQUENCY.ticksAt(now);
      stoppedAt = gate || mode == 1 || mode == 5 ? -1 : 0;
    }
  }

  private int modulus() {
    return decimal ? 10_000 : 0x1_0000;
  }

  private static int fromDecimal(int bcd) {
    return (bcd >>> 12 & 15) * 1000 + (bcd >>> 8 & 15) * 100 + (bcd >>> 4 & 15) * 10 + (bcd & 15);
  }

  private static int toDecimal(int value) {
    return value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10;
  }

  private long elapsed(long now) {
    // Time may step back a little between processors; the counter then stands still.
    return stoppedAt >= 0 ? stoppedAt : Math.max(0, FREQUENCY.ticksAt(now) - startTick);
  }

  private boolean counts() {
    return loaded && (triggered || mode != 1 && mode != 5);
  }

  private int currentCount(long now) {
    long value;
    if (!counts()) {
      value = count;
    } else {
      long elapsed = elapsed(now);
      value =
          switch (mode) {
            case 2 -> count - elapsed % count;
            // Counts by two, twice per period; odd counts lose one at the reload.
            case 3 -> {
              long position = elapsed % count;
              long high = (count + 1L) / 2;
              long half = position < high ? position : position - high;
              yield (count & ~1L) - 2 * half;
            }
            default -> count - elapsed;
          };
    }
    int wrapped = (int) Math.floorMod(value, (long) modulus());
    return decimal ? toDecimal(wrapped) : wrapped;
  }

  boolean output(long now) {
    if (!counts()) {
      // After a control word the output is low in mode 0 and high in the others.
      return mode != 0;
    }
    long elapsed = elapsed(now);
    return switch (mode) {
      case 0, 1 -> elapsed >= count;
      case 2 -> !gate || elapsed % count != count - 1L;
      case 3 -> !gate || elapsed % count < (count + 1L) / 2;
      default -> elapsed != count;
    };
  }

  /** The next time after {@code now} at which the output changes, or {@link VirtualClock#NEVER}. */
  long nextOutputChange(long now) {
    if (!counts() || stoppedAt >= 0) {
      return VirtualClock.NEVER;
    }
    long elapsed = elapsed(now);
    long next =
        switch (mode) {
          case 0, 1 -> elapsed < count ? count : -1;
          case 2, 3 -> {
            long position = elapsed % count;
            long edge = mode == 2 ? count - 1L : (count + 1L) / 2;
            yield elapsed - position + (position < edge ? edge : count);
          }
          default -> elapsed < count ? count : elapsed == count ? count + 1L : -1;
        };
    return next < 0
        ? VirtualClock.NEVER
        : Math.max(now + 1, FREQUENCY.nanosecondsAt(startTick + next));
  }

  void save(StateWriter out) {
    out.writeInt(mode);
    out.writeBoolean(decimal);
    out.writeInt(access);
    out.writeInt(count);
    out.writeBoolean(loaded);
    out.writeBoolean(gate);
    out.writeLong(startTick);
    out.writeLong(stoppedAt);
    out.writeBoolean(triggered);
    out.writeInt(writeLow);
    out.writeBoolean(writeHighNext);
    out.writeBoolean(readHighNext);
    out.writeInt(latch);
    out.writeInt(latchedBytes);
    out.writeInt(status);
    out.writeBoolean(statusLatched);
  }

  void restore(StateReader in) {
    mode = in.readInt("mode", 0, 5);
    decimal = in.readBoolean();
    access = in.readInt("access", 1, 3);
    count = in.readInt("count", 0, 0x1_0000);
    loaded = in.readBoolean() && count > 0;
    gate = in.readBoolean();
    startTick = in.readLong();
    stoppedAt = in.readLong();
    triggered = in.readBoolean();
    writeLow = in.readInt("low byte", 0, 255);
    writeHighNext = in.readBoolean();
    readHighNext = in.readBoolean();
    latch = in.readInt("latch", 0, 0xffff);
    latchedBytes = in.readInt("latched bytes", 0, 2);
    status = in.readInt("status", 0, 255);
    statusLatched = in.readBoolean();
  }
}
