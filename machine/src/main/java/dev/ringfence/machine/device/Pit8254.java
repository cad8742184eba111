package dev.ringfence.machine.device;

import dev.ringfence.machine.interrupt.InterruptLine;
import dev.ringfence.machine.memory.ByteWideRegion;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import dev.ringfence.machine.time.VirtualClock;

/**
 * Programmable interval timer (Intel 8254 data sheet) with port 61H of a PC, which gates channel 2
 * and shows its output.
 *
 * <pre>
 *  40, 41, 42  counters          43  control word, read-back command
 *  61          bit 0 gate of channel 2, 1 speaker, 4 refresh toggle, 5 output of channel 2
 * </pre>
 *
 * <p>Channel 0 drives IRQ0; channel 1 refreshed memory once and is a plain counter.
 */
final class Pit8254 implements Stateful {
  private static final int CHANNELS = 3;
  private static final int SPEAKER_CHANNEL = 2;

  /** Half of the period of the refresh toggle in nanoseconds: one refresh request every 15 us. */
  private static final long REFRESH_TOGGLE = 15_085;

  private final VirtualClock clock;
  private final InterruptLine interrupt;
  private final PitChannel[] channels = new PitChannel[CHANNELS];
  private final VirtualClock.Timer timer;
  private boolean speaker;
  private boolean line;

  /**
   * Creates the timer.
   *
   * @param interrupt output of channel 0
   */
  Pit8254(VirtualClock clock, InterruptLine interrupt) {
    this.clock = clock;
    this.interrupt = interrupt;
    for (int i = 0; i < CHANNELS; i++) {
      channels[i] = new PitChannel(i != SPEAKER_CHANNEL);
    }
    this.timer = clock.createTimer("pit", this::outputChanged);
  }

  /** Attaches the registers to the port space. */
  void attachTo(IoSpace ports) {
    ports.attach("PIT", 0x40, 4, new ByteWideRegion(new Registers()));
    ports.attach("system control port B", 0x61, 1, new SystemControlPortB());
  }

  private void outputChanged() {
    // When the timer is served late the pulse may be over: its edge must not be lost.
    if (channels[0].output(clock.now()) == line) {
      interrupt.set(!line);
    }
    update();
  }

  private void update() {
    long now = clock.now();
    line = channels[0].output(now);
    interrupt.set(line);
    timer.arm(channels[0].nextOutputChange(now));
  }

  private final class Registers implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      return offset == 3 ? 0xff : channels[(int) offset].read(clock.now());
    }

    @Override
    public void write(long offset, int bytes, long value) {
      int data = (int) value & 0xff;
      if (offset < 3) {
        channels[(int) offset].write(data, clock.now());
      } else if (data >>> 6 < 3) {
        channels[data >>> 6].control(data, clock.now());
      } else {
        for (int i = 0; i < CHANNELS; i++) {
          if ((data & 2 << i) != 0) {
            channels[i].readBack((data & 0x20) == 0, (data & 0x10) == 0, clock.now());
          }
        }
      }
      update();
    }
  }

  private final class SystemControlPortB implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      PitChannel channel = channels[SPEAKER_CHANNEL];
      return (channel.gate() ? 1 : 0)
          | (speaker ? 2 : 0)
          | (clock.now() / REFRESH_TOGGLE & 1) << 4
          | (channel.output(clock.now()) ? 0x20 : 0);
    }

    @Override
    public void write(long offset, int bytes, long value) {
      channels[SPEAKER_CHANNEL].setGate((value & 1) != 0, clock.now());
      speaker = (value & 2) != 0;
    }
  }

  @Override
  public String stateName() {
    return "pit";
  }

  @Override
  public void save(StateWriter out) {
    for (PitChannel channel : channels) {
      channel.save(out);
    }
    out.writeBoolean(speaker);
    out.writeBoolean(line);
    out.writeLong(timer.deadline());
  }

  @Override
  public void restore(StateReader in) {
    for (PitChannel channel : channels) {
      channel.restore(in);
    }
    speaker = in.readBoolean();
    line = in.readBoolean();
    timer.arm(in.readLong());
  }
}
