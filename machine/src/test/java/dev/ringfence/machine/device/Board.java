package dev.ringfence.machine.device;

import dev.ringfence.machine.device.host.BlockBackend;
import dev.ringfence.machine.device.host.MachineControl;
import dev.ringfence.machine.interrupt.ProcessorSignals;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;

/** A whole platform with 16 MiB of RAM and no processors; what they would be told is recorded. */
final class Board implements AutoCloseable {
  static final Instant START = Instant.parse("2026-03-04T05:06:07Z");

  final VirtualClock clock = new VirtualClock();
  final PhysicalMemory memory = new PhysicalMemory(16 << 20);
  final IoSpace ports = new IoSpace("port");
  final ByteArrayOutputStream serial = new ByteArrayOutputStream();
  final ByteArrayOutputStream console = new ByteArrayOutputStream();

  /** What the guest asked of the machine and what processors were told, in order. */
  final List<String> events = new ArrayList<>();

  final Platform platform;

  /** The processor that accesses registers. */
  int accessing;

  Board(BlockBackend... disks) {
    platform =
        new Platform(
            new PlatformConfiguration(
                2,
                46,
                new Frequency(25_000_000),
                START,
                1,
                List.of(disks),
                serial::write,
                value -> {},
                console::write,
                0xf4),
            memory,
            ports,
            clock,
            new Frequency(2_100_000_000),
            () -> accessing,
            new MachineControl() {
              @Override
              public void powerOff() {
                events.add("power off");
              }

              @Override
              public void reset() {
                events.add("reset");
              }

              @Override
              public void exit(int status) {
                events.add("exit " + status);
              }
            });
    for (int i = 0; i < 2; i++) {
      int processor = i;
      platform
          .localApics()
          .get(i)
          .connect(
              new ProcessorSignals() {
                @Override
                public void interruptPending() {}

                @Override
                public void nonMaskable() {
                  events.add(processor + " NMI");
                }

                @Override
                public void init() {
                  events.add(processor + " INIT");
                }

                @Override
                public void startup(int vector) {
                  events.add(processor + " SIPI " + vector);
                }
              },
              () -> 0);
    }
  }

  /** Lets time pass, timer by timer. */
  void advanceTo(long nanoseconds) {
    while (clock.nextDeadline() <= nanoseconds) {
      clock.setNow(Math.max(clock.now(), clock.nextDeadline()));
      clock.expire();
    }
    clock.setNow(nanoseconds);
  }

  int in(int port) {
    return (int) ports.read(port, 1);
  }

  void out(int port, int value) {
    ports.write(port, 1, value);
  }

  byte[] save() {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    StateWriter out = new StateWriter(bytes);
    out.writeLong(clock.now());
    for (Stateful part : platform.parts()) {
      part.save(out);
    }
    memory.save(out);
    return bytes.toByteArray();
  }

  void restore(byte[] state) {
    StateReader in = new StateReader(new ByteArrayInputStream(state), "board");
    clock.setNow(in.readLong());
    for (Stateful part : platform.parts()) {
      part.restore(in);
    }
    memory.restore(in);
  }

  @Override
  public void close() {
    memory.close();
  }
}
