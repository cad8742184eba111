package dev.ringfence.machine.interrupt;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import java.util.function.LongSupplier;

/**
 * Timer of a local APIC (SDM volume 3, section 11.5.4): a count-down from the initial count, once
 * or periodically, or an interrupt when the time-stamp counter reaches a deadline.
 *
 * <p>The current count is computed from the time at which the count-down began and never stored.
 */
final class LocalApicTimer {
  enum Mode {
    ONE_SHOT(0),
    PERIODIC(1),
    TSC_DEADLINE(2),
    RESERVED(3);

    private final int code;

    Mode(int code) {
      this.code = code;
    }
  }

  private static final Mode[] MODES = Mode.values();

  private final VirtualClock clock;
  private final Frequency frequency;
  private final Frequency timeStampCounter;
  private LongSupplier timeStampOffset = () -> 0;
  private final Runnable interrupt;
  private final VirtualClock.Timer timer;

  private Mode mode = Mode.ONE_SHOT;
  private int divideConfiguration;
  private int initialCount;
  private long startTicks;
  private boolean counting;
  private long tscDeadline;

  /**
   * @param frequency rate of the input clock, before the divider
   * @param interrupt told when the timer expires, whether or not its local vector is masked
   */
  LocalApicTimer(
      String name,
      VirtualClock clock,
      Frequency frequency,
      Frequency timeStampCounter,
      Runnable interrupt) {
    this.clock = clock;
    this.frequency = frequency;
    this.timeStampCounter = timeStampCounter;
    this.interrupt = interrupt;
    this.timer = clock.createTimer(name, this::expired);
  }

  /** Connects the offset that the processor adds to the time-stamp counter. */
  void setTimeStampOffset(LongSupplier offset) {
    this.timeStampOffset = offset;
  }

  void reset() {
    mode = Mode.ONE_SHOT;
    divideConfiguration = 0;
    initialCount = 0;
    stop();
  }

  private void stop() {
    counting = false;
    startTicks = 0;
    tscDeadline = 0;
    timer.cancel();
  }

  /** Takes the mode from bits 18 and 17 of the local vector table entry. */
  void setMode(int localVector) {
    Mode next = MODES[localVector >>> 17 & 3];
    if (next == mode) {
      return;
    }
    // "A transition to or from TSC-deadline mode disarms the timer"; between the other two modes it
    // counts on.
    if (next == Mode.TSC_DEADLINE || mode == Mode.TSC_DEADLINE) {
      initialCount = 0;
      stop();
    }
    mode = next;
  }

  int initialCount() {
    return initialCount;
  }

  void setInitialCount(int count) {
    if (mode == Mode.TSC_DEADLINE) {
      return;
    }
    initialCount = count;
    if (count == 0) {
      stop();
      return;
    }
    startTicks = frequency.ticksAt(clock.now());
    counting = true;
    armCountDown();
  }

  int divideConfiguration() {
    return divideConfiguration;
  }

  void setDivideConfiguration(int value) {
    if (counting) {
      // The count goes on from where it is, at the new rate.
      long remaining = currentCount() & 0xffff_ffffL;
      divideConfiguration = value & 0b1011;
      long done = (initialCount & 0xffff_ffffL) - remaining;
      startTicks = frequency.ticksAt(clock.now()) - done * divider();
      armCountDown();
    } else {
      divideConfiguration = value & 0b1011;
    }
  }

  private int divider() {
    int code = (divideConfiguration & 8) >>> 1 | divideConfiguration & 3;
    return code == 7 ? 1 : 2 << code;
  }

  int currentCount() {
    if (!counting) {
      return 0;
    }
    long initial = initialCount & 0xffff_ffffL;
    long elapsed = Math.max(0, frequency.ticksAt(clock.now()) - startTicks) / divider();
    if (mode == Mode.PERIODIC) {
      return (int) (initial - elapsed % initial);
    }
    return (int) Math.max(0, initial - elapsed);
  }

  private void armCountDown() {
    long period = (initialCount & 0xffff_ffffL) * divider();
    long expiries = 1;
    if (mode == Mode.PERIODIC) {
      // Expiries that are overdue (the clock jumped) are one interrupt, as the request register has
      // one bit.
      expiries += Math.max(0, frequency.ticksAt(clock.now()) - startTicks) / period;
    }
    timer.arm(frequency.nanosecondsAt(startTicks + expiries * period));
  }

  long tscDeadline() {
    return mode == Mode.TSC_DEADLINE ? tscDeadline : 0;
  }

  void setTscDeadline(long ticks) {
    if (mode != Mode.TSC_DEADLINE) {
      return;
    }
    tscDeadline = ticks;
    rearmDeadline();
  }

  /** Computes the time of the deadline anew, after a change of the time-stamp counter too. */
  void rearmDeadline() {
    if (tscDeadline == 0) {
      timer.cancel();
      return;
    }
    long now = clock.now();
    long offset = timeStampOffset.getAsLong();
    if (Long.compareUnsigned(timeStampCounter.ticksAt(now) + offset, tscDeadline) >= 0) {
      timer.arm(now);
      return;
    }
    // Ticks of the counter without its offset; what does not fit in 63 bits lies beyond all time.
    long ticks = tscDeadline - offset;
    timer.arm(ticks < 0 ? VirtualClock.NEVER : timeStampCounter.nanosecondsAt(ticks));
  }

  boolean isTscDeadlineArmed() {
    return mode == Mode.TSC_DEADLINE && tscDeadline != 0;
  }

  private void expired() {
    if (mode == Mode.PERIODIC) {
      armCountDown();
    } else {
      counting = false;
      tscDeadline = 0;
    }
    interrupt.run();
  }

  void save(StateWriter out) {
    out.writeInt(mode.code);
    out.writeInt(divideConfiguration);
    out.writeInt(initialCount);
    out.writeLong(startTicks);
    out.writeBoolean(counting);
    out.writeLong(tscDeadline);
    out.writeLong(timer.deadline());
  }

  void restore(StateReader in) {
    mode = MODES[in.readInt("timer mode", 0, 3)];
    divideConfiguration = in.readInt() & 0b1011;
    initialCount = in.readInt();
    startTicks = in.readLong();
    counting = in.readBoolean() && initialCount != 0;
    tscDeadline = in.readLong();
    timer.arm(in.readLong());
  }
}
