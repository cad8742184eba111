package dev.ringfence.machine.interrupt;

import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import java.util.ArrayList;
import java.util.List;

/** Local APICs, I/O APIC and 8259 pair without processors; what those would be told is recorded. */
final class ApicFixture {
  static final int TASK_PRIORITY = 0x080;
  static final int PROCESSOR_PRIORITY = 0x0a0;
  static final int END_OF_INTERRUPT = 0x0b0;
  static final int LOGICAL_DESTINATION = 0x0d0;
  static final int DESTINATION_FORMAT = 0x0e0;
  static final int SPURIOUS_VECTOR = 0x0f0;
  static final int ERROR_STATUS = 0x280;
  static final int COMMAND_LOW = 0x300;
  static final int COMMAND_HIGH = 0x310;
  static final int TIMER = 0x320;
  static final int LINT0 = 0x350;
  static final int LINT1 = 0x360;
  static final int ERROR = 0x370;

  final VirtualClock clock = new VirtualClock();
  final ApicBus bus = new ApicBus();
  final Pic8259 pic = new Pic8259();
  final IoApic ioApic = new IoApic(bus);
  final IoSpace ports = new IoSpace("port");
  final IoSpace memory = new IoSpace("memory");
  final List<LocalApic> apics = new ArrayList<>();
  final List<String> signals = new ArrayList<>();
  final long[] timeStampOffsets;
  int accessing;

  /** A fixture with APICs that are enabled by software, with spurious vector FFH. */
  ApicFixture(int count) {
    timeStampOffsets = new long[count];
    for (int i = 0; i < count; i++) {
      int number = i;
      LocalApic apic =
          new LocalApic(
              i, 46, bus, pic, clock, new Frequency(25_000_000), new Frequency(2_000_000_000));
      apic.connect(new Recorder(number), () -> timeStampOffsets[number]);
      apics.add(apic);
    }
    LocalApicPage unused = new LocalApicPage(memory, apics, bus, () -> apics.get(accessing));
    memory.attach("I/O APIC", IoApic.BASE, IoApic.BYTES, ioApic);
    pic.attachTo(ports);
    pic.connect(asserted -> apics.forEach(apic -> apic.setLint0(asserted)));
    for (int i = 0; i < count; i++) {
      write(i, SPURIOUS_VECTOR, 0x1ff);
    }
    signals.clear();
  }

  private final class Recorder implements ProcessorSignals {
    private final int number;

    Recorder(int number) {
      this.number = number;
    }

    @Override
    public void interruptPending() {
      signals.add(number + " interrupt");
    }

    @Override
    public void nonMaskable() {
      signals.add(number + " NMI");
    }

    @Override
    public void init() {
      signals.add(number + " INIT");
    }

    @Override
    public void startup(int vector) {
      signals.add(number + " SIPI %02x".formatted(vector));
    }
  }

  LocalApic apic(int number) {
    return apics.get(number);
  }

  int read(int processor, int register) {
    accessing = processor;
    return (int) memory.read(LocalApic.DEFAULT_BASE + register, 4);
  }

  void write(int processor, int register, int value) {
    accessing = processor;
    memory.write(LocalApic.DEFAULT_BASE + register, 4, value & 0xffff_ffffL);
  }

  /** Sends a command to one xAPIC destination. */
  void send(int processor, int destination, int command) {
    write(processor, COMMAND_HIGH, destination << 24);
    write(processor, COMMAND_LOW, command);
  }

  /** Sets a redirection entry. */
  void redirect(int pin, long entry) {
    writeIoApic(0x11 + 2 * pin, (int) (entry >>> 32));
    writeIoApic(0x10 + 2 * pin, (int) entry);
  }

  int readIoApic(int register) {
    memory.write(IoApic.BASE, 4, register);
    return (int) memory.read(IoApic.BASE + 0x10, 4);
  }

  void writeIoApic(int register, int value) {
    memory.write(IoApic.BASE, 4, register);
    memory.write(IoApic.BASE + 0x10, 4, value & 0xffff_ffffL);
  }

  void advanceTo(long nanoseconds) {
    while (clock.nextDeadline() <= nanoseconds) {
      clock.setNow(Math.max(clock.now(), clock.nextDeadline()));
      clock.expire();
    }
    clock.setNow(nanoseconds);
  }

  /** Takes all interrupts of a processor, ending each, and returns their vectors. */
  List<Integer> drain(int processor) {
    List<Integer> vectors = new ArrayList<>();
    while (apic(processor).hasInterrupt()) {
      vectors.add(apic(processor).acknowledge());
      write(processor, END_OF_INTERRUPT, 0);
    }
    return vectors;
  }
}
