package dev.ringfence.machine.device;

import dev.ringfence.machine.interrupt.InterruptLine;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import dev.ringfence.machine.time.VirtualClock;
import java.util.List;

/**
 * High precision event timers (IA-PC HPET specification 1.0a): a 64-bit counter at 100 MHz and
 * three comparators, all of which can be periodic; no FSB delivery.
 *
 * <pre>
 *  000 capabilities: 63..32 period in fs  15 legacy replacement  13 64 bits  12..8 timers - 1  7..0 revision
 *  010 configuration: 0 enable  1 legacy replacement     020 interrupt status     0F0 main counter
 *  100 + 20n  configuration: 1 level  2 interrupt enable  3 periodic  4 can be periodic  5 64 bits
 *             6 value set  8 32-bit mode  13..9 route  63..32 possible routes
 *  108 + 20n  comparator
 * </pre>
 *
 * <p>With legacy replacement timer 0 takes the place of the PIT on IRQ0 and timer 1 that of the RTC
 * on IRQ8; otherwise timers can be routed to wires 20 to 23.
 */
final class Hpet implements IoRegion, Stateful {
  /** Physical address of the registers. */
  static final long BASE = 0xfed0_0000L;

  /** Bytes that the registers occupy. */
  static final int BYTES = 0x400;

  /** Low half of the capability register, which the ACPI table repeats. */
  static final int IDENTIFIER = 0x8086_a201;

  /** The first wire to which timers can be routed; there are four. */
  static final int FIRST_ROUTE = 20;

  static final int ROUTES = 4;

  private static final int TIMERS = 3;
  private static final long NANOSECONDS_PER_TICK = 10;
  private static final long FEMTOSECONDS_PER_TICK = NANOSECONDS_PER_TICK * 1_000_000;
  private static final long CAPABILITIES = FEMTOSECONDS_PER_TICK << 32 | IDENTIFIER & 0xffff_ffffL;

  private static final int CONFIGURATION = 0x010;
  private static final int INTERRUPT_STATUS = 0x020;
  private static final int MAIN_COUNTER = 0x0f0;

  private static final int ENABLE = 1;
  private static final int LEGACY_REPLACEMENT = 2;

  private static final int LEVEL = 1 << 1;
  private static final int INTERRUPT_ENABLE = 1 << 2;
  private static final int PERIODIC = 1 << 3;
  private static final int VALUE_SET = 1 << 6;
  private static final int MODE_32 = 1 << 8;
  private static final int TIMER_WRITABLE = 0x3f4e;
  private static final long TIMER_FIXED =
      1 << 4 | 1 << 5 | (long) ((1 << ROUTES) - 1 << FIRST_ROUTE) << 32;

  private final VirtualClock clock;
  private final List<InterruptLine> legacyLines;
  private final List<InterruptLine> routes;
  private final Comparator[] comparators = new Comparator[TIMERS];

  private int configuration;
  private int interruptStatus;

  /** The counter when it is stopped, otherwise what to add to the ticks of the clock. */
  private long counterBase;

  /**
   * Creates the timers.
   *
   * @param legacyLines IRQ0 and IRQ8
   * @param routes wires 20 to 23
   */
  Hpet(VirtualClock clock, List<InterruptLine> legacyLines, List<InterruptLine> routes) {
    this.clock = clock;
    this.legacyLines = List.copyOf(legacyLines);
    this.routes = List.copyOf(routes);
    for (int i = 0; i < TIMERS; i++) {
      comparators[i] = new Comparator(i);
    }
  }

  /** Whether the PIT and the RTC are cut off from their interrupts. */
  boolean replacesLegacy() {
    return (configuration & (ENABLE | LEGACY_REPLACEMENT)) == (ENABLE | LEGACY_REPLACEMENT);
  }

  private long counter() {
    return (configuration & ENABLE) != 0
        ? counterBase + clock.now() / NANOSECONDS_PER_TICK
        : counterBase;
  }

  private void setInterruptStatus(int value) {
    interruptStatus = value;
    for (Comparator comparator : comparators) {
      comparator.updateLevel();
    }
  }

  private final class Comparator {
    private final int number;
    private final VirtualClock.Timer timer;
    private int control;
    private long match = -1;
    private long period;

    Comparator(int number) {
      this.number = number;
      this.timer = clock.createTimer("hpet-" + number, this::matched);
    }

    private long width() {
      return (control & MODE_32) != 0 ? 0xffff_ffffL : -1;
    }

    /** Arms the timer for the next time at which the counter equals the comparator. */
    void arm() {
      long distance = match - counter() & width();
      boolean counts = (configuration & ENABLE) != 0 && distance > 0;
      long now = clock.now();
      long start = now - now % NANOSECONDS_PER_TICK;
      if (!counts || distance > (VirtualClock.NEVER - start) / NANOSECONDS_PER_TICK) {
        timer.cancel();
      } else {
        timer.arm(start + distance * NANOSECONDS_PER_TICK);
      }
    }

    private void matched() {
      if ((control & PERIODIC) != 0 && period != 0) {
        // Matches that are overdue (the clock jumped) are one interrupt.
        long late = Math.max(0, counter() - match & width());
        match = match + (late / period + 1) * period & width();
        arm();
      } else if ((control & MODE_32) != 0) {
        // The counter comes by again after 2^32 ticks.
        arm32();
      }
      if ((control & LEVEL) != 0) {
        interruptStatus |= 1 << number;
        updateLevel();
      } else if ((control & INTERRUPT_ENABLE) != 0) {
        line().set(true);
        line().set(false);
      }
    }

    private void arm32() {
      long late = counter() - match & width();
      timer.arm(clock.now() + ((1L << 32) - late) * NANOSECONDS_PER_TICK);
    }

    /** The wire to which the timer is connected; a route that does not exist leads nowhere. */
    private InterruptLine line() {
      if ((configuration & LEGACY_REPLACEMENT) != 0 && number < legacyLines.size()) {
        return legacyLines.get(number);
      }
      int route = (control >>> 9 & 31) - FIRST_ROUTE;
      return route >= 0 && route < ROUTES ? routes.get(route) : asserted -> {};
    }

    void updateLevel() {
      boolean active = (interruptStatus & 1 << number) != 0;
      line().set(active && (control & INTERRUPT_ENABLE) != 0);
    }

    /** Lets go of the wire, before the timer may be connected to another one. */
    void release() {
      line().set(false);
    }

    void writeControl(int value) {
      release();
      control = value & TIMER_WRITABLE;
      if ((control & LEVEL) == 0) {
        interruptStatus &= ~(1 << number);
      }
      updateLevel();
      match &= width();
      arm();
    }

    void writeMatch(long value) {
      boolean periodic = (control & PERIODIC) != 0;
      if (!periodic || (control & VALUE_SET) != 0) {
        match = value & width();
      }
      if (periodic) {
        // The counter moves by one period per match; half the range keeps sums free of overflow.
        period = value & width() & Long.MAX_VALUE >>> 1;
      }
      control &= ~VALUE_SET;
      arm();
    }

    void save(StateWriter out) {
      out.writeInt(control);
      out.writeLong(match);
      out.writeLong(period);
      out.writeLong(timer.deadline());
    }

    void restore(StateReader in) {
      control = in.readInt("timer configuration", 0, 0xffff);
      match = in.readLong();
      period = in.readLong() & Long.MAX_VALUE >>> 1;
      timer.arm(in.readLong());
    }
  }

  @Override
  public long read(long offset, int bytes) {
    long register = readRegister((int) offset & ~7);
    return register >>> 8 * (offset & 7);
  }

  private long readRegister(int register) {
    if (register >= 0x100) {
      int number = register - 0x100 >>> 5;
      if (number >= TIMERS) {
        return 0;
      }
      return switch (register & 0x1f) {
        case 0x00 -> comparators[number].control | TIMER_FIXED;
        case 0x08 -> comparators[number].match;
        default -> 0;
      };
    }
    return switch (register) {
      case 0 -> CAPABILITIES;
      case CONFIGURATION -> configuration;
      case INTERRUPT_STATUS -> interruptStatus;
      case MAIN_COUNTER -> counter();
      default -> 0;
    };
  }

  @Override
  public void write(long offset, int bytes, long value) {
    // Registers are written in aligned halves or as a whole.
    if (bytes < 4 || (offset & 3) != 0) {
      return;
    }
    int register = (int) offset & ~7;
    if (bytes == 8) {
      writeRegister(register, value);
      return;
    }
    int shift = (int) (offset & 4) * 8;
    long kept = readRegister(register) & ~(0xffff_ffffL << shift);
    if (register == INTERRUPT_STATUS) {
      // Write 1 to clear: what is kept must not clear anything.
      kept = 0;
    }
    writeRegister(register, kept | (value & 0xffff_ffffL) << shift);
  }

  private void writeRegister(int register, long value) {
    if (register >= 0x100) {
      int number = register - 0x100 >>> 5;
      if (number < TIMERS) {
        switch (register & 0x1f) {
          case 0x00 -> comparators[number].writeControl((int) value);
          case 0x08 -> comparators[number].writeMatch(value);
          default -> {
            // FSB route: not supported.
          }
        }
      }
      return;
    }
    switch (register) {
      case CONFIGURATION -> {
        long counter = counter();
        for (Comparator comparator : comparators) {
          comparator.release();
        }
        configuration = (int) value & (ENABLE | LEGACY_REPLACEMENT);
        setCounter(counter);
        setInterruptStatus(interruptStatus);
      }
      case INTERRUPT_STATUS -> setInterruptStatus(interruptStatus & ~(int) value);
      case MAIN_COUNTER -> setCounter(value);
      default -> {
        // Read-only, or no register.
      }
    }
  }

  private void setCounter(long value) {
    counterBase =
        (configuration & ENABLE) != 0 ? value - clock.now() / NANOSECONDS_PER_TICK : value;
    for (Comparator comparator : comparators) {
      comparator.arm();
    }
  }

  @Override
  public String stateName() {
    return "hpet";
  }

  @Override
  public void save(StateWriter out) {
    out.writeInt(configuration);
    out.writeInt(interruptStatus);
    out.writeLong(counterBase);
    for (Comparator comparator : comparators) {
      comparator.save(out);
    }
  }

  @Override
  public void restore(StateReader in) {
    configuration = in.readInt("configuration", 0, 3);
    interruptStatus = in.readInt("interrupt status", 0, (1 << TIMERS) - 1);
    counterBase = in.readLong();
    for (Comparator comparator : comparators) {
      comparator.restore(in);
    }
  }
}
