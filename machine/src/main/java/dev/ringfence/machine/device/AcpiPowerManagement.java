package dev.ringfence.machine.device;

import dev.ringfence.machine.device.host.MachineControl;
import dev.ringfence.machine.interrupt.InterruptLine;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;

/**
 * Fixed hardware of ACPI (ACPI 6.5, section 4.8.3): PM1a event and control registers and the power
 * management timer.
 *
 * <pre>
 *  +0 PM1_STS  0 TMR  4 BM  5 GBL  8 PWRBTN  9 SLPBTN  10 RTC  15 WAK     write 1 to clear
 *  +2 PM1_EN   0 TMR        5 GBL  8 PWRBTN  9 SLPBTN  10 RTC
 *  +4 PM1_CNT  0 SCI_EN  1 BM_RLD  2 GBL_RLS  10..12 SLP_TYP  13 SLP_EN
 *  +8 PM_TMR   3.579545 MHz, 32 bits
 * </pre>
 *
 * <p>There is no SMI command port, so SCI_EN is always set. S5 is the only sleeping state.
 */
final class AcpiPowerManagement implements Stateful {
  /** First port of the registers. */
  static final int BASE = 0x600;

  /** Offset of the control register. */
  static final int CONTROL = 4;

  /** Offset of the timer. */
  static final int TIMER = 8;

  /** Value of SLP_TYP that means S5, as the \_S5 object says. */
  static final int SLEEP_TYPE_S5 = 5;

  private static final Frequency FREQUENCY = new Frequency(3_579_545);

  private static final int TIMER_EVENT = 1;
  private static final int POWER_BUTTON = 1 << 8;
  private static final int STATUS_BITS = 0x8731;
  private static final int ENABLE_BITS = 0x0721;
  private static final int SCI_ENABLE = 1;
  private static final int SLEEP_ENABLE = 1 << 13;

  private final VirtualClock clock;
  private final InterruptLine interrupt;
  private final MachineControl machine;
  private final VirtualClock.Timer timer;
  private int status;
  private int enable;
  private int control;

  /** Number of changes of the timer's highest bit that have been seen. */
  private long observedHalves;

  /**
   * Creates the registers.
   *
   * @param interrupt the system control interrupt
   */
  AcpiPowerManagement(VirtualClock clock, InterruptLine interrupt, MachineControl machine) {
    this.clock = clock;
    this.interrupt = interrupt;
    this.machine = machine;
    this.timer = clock.createTimer("acpi-pm-timer", this::update);
    this.control = SCI_ENABLE;
  }

  /** Attaches the registers to the port space. */
  void attachTo(IoSpace ports) {
    ports.attach("ACPI PM1a event", BASE, 4, new Event());
    ports.attach("ACPI PM1a control", BASE + CONTROL, 2, new Control());
    ports.attach("ACPI PM timer", BASE + TIMER, 4, new PowerTimer());
  }

  /** The power button was pressed. */
  void pressPowerButton() {
    status |= POWER_BUTTON;
    update();
  }

  private long ticks() {
    return FREQUENCY.ticksAt(clock.now());
  }

  private void update() {
    long halves = ticks() >>> 31;
    if (halves > observedHalves) {
      observedHalves = halves;
      status |= TIMER_EVENT;
    }
    interrupt.set((status & enable & ENABLE_BITS) != 0);
    boolean awaited = (enable & ~status & TIMER_EVENT) != 0;
    timer.arm(awaited ? FREQUENCY.nanosecondsAt(observedHalves + 1 << 31) : VirtualClock.NEVER);
  }

  private final class Event implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      update();
      return (long) (enable << 16 | status) >>> (8 * offset);
    }

    @Override
    public void write(long offset, int bytes, long value) {
      update();
      long shifted = value << 8 * offset;
      status &= ~(int) (shifted & STATUS_BITS);
      if (offset + bytes > 2) {
        int mask = (int) ((1L << 8 * bytes) - 1 << 8 * offset >>> 16);
        enable = enable & ~mask | (int) (shifted >>> 16) & mask & ENABLE_BITS;
      }
      update();
    }
  }

  private final class Control implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      return (long) control >>> (8 * offset);
    }

    @Override
    public void write(long offset, int bytes, long value) {
      int mask = (1 << 8 * bytes) - 1 << 8 * offset;
      int written = control & ~mask | (int) value << 8 * offset & mask;
      // GBL_RLS and SLP_EN are write-only and read as 0.
      control = written & 0x1c02 | SCI_ENABLE;
      if ((written & SLEEP_ENABLE) != 0 && (written >>> 10 & 7) == SLEEP_TYPE_S5) {
        machine.powerOff();
      }
    }
  }

  private final class PowerTimer implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      return (ticks() & 0xffff_ffffL) >>> 8 * offset;
    }

    @Override
    public void write(long offset, int bytes, long value) {
      // Read-only.
    }
  }

  @Override
  public String stateName() {
    return "acpi-pm";
  }

  @Override
  public void save(StateWriter out) {
    out.writeInt(status);
    out.writeInt(enable);
    out.writeInt(control);
    out.writeLong(observedHalves);
    out.writeLong(timer.deadline());
  }

  @Override
  public void restore(StateReader in) {
    status = in.readInt("status", 0, 0xffff);
    enable = in.readInt("enable", 0, 0xffff);
    control = in.readInt("control", 0, 0xffff);
    observedHalves = in.readLong();
    timer.arm(in.readLong());
  }
}
