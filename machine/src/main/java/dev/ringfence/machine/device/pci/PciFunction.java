package dev.ringfence.machine.device.pci;

import dev.ringfence.machine.interrupt.InterruptLine;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import java.util.ArrayList;
import java.util.List;

/**
 * Configuration space of a device with one function (PCI Local Bus Specification 3.0, chapter 6).
 *
 * <pre>
 *  00 vendor   02 device    04 command   06 status   08 revision   09 class
 *  0C line size, latency, header type 0     10-27 base addresses   2C subsystem
 *  34 first capability      3C interrupt line        3D interrupt pin
 * </pre>
 *
 * <p>A device composes a function: it adds its base addresses and capabilities, then attaches it to
 * the {@link PciHost}.
 */
public final class PciFunction implements Stateful {
  /** Bytes of configuration space. */
  public static final int SIZE = 256;

  static final int COMMAND = 0x04;
  static final int STATUS = 0x06;
  private static final int FIRST_BASE_ADDRESS = 0x10;
  private static final int CAPABILITIES = 0x34;
  private static final int INTERRUPT_LINE = 0x3c;
  private static final int INTERRUPT_PIN = 0x3d;

  static final int COMMAND_IO = 1;
  static final int COMMAND_MEMORY = 2;
  private static final int COMMAND_MASTER = 4;
  private static final int COMMAND_INTERRUPT_DISABLE = 1 << 10;
  private static final int STATUS_INTERRUPT = 1 << 3;
  private static final int STATUS_CAPABILITIES = 1 << 4;

  /**
   * Identity of a device.
   *
   * @param classCode base class, subclass and interface in 24 bits
   */
  public record Identity(
      int vendor, int device, int revision, int classCode, int subsystemVendor, int subsystem) {}

  /** A range of registers whose address the guest chooses. */
  record BaseAddress(int index, boolean memory, int bytes, IoRegion region) {}

  private record Window(int first, int length, IoRegion region) {}

  private final String name;
  private final byte[] configuration = new byte[SIZE];
  private final byte[] writable = new byte[SIZE];
  private final List<BaseAddress> baseAddresses = new ArrayList<>();
  private final List<Window> windows = new ArrayList<>();
  private Runnable mappingListener = () -> {};
  private Runnable writeListener = () -> {};
  private InterruptLine interrupt = asserted -> {};
  private boolean interruptAsserted;
  private int lastCapability;
  private int freeCapability = 0x40;

  /**
   * Creates the function.
   *
   * @param name of the section in a snapshot
   */
  public PciFunction(String name, Identity identity) {
    this.name = name;
    put(0x00, 2, identity.vendor());
    put(0x02, 2, identity.device());
    put(0x08, 1, identity.revision());
    put(0x09, 3, identity.classCode());
    put(0x2c, 2, identity.subsystemVendor());
    put(0x2e, 2, identity.subsystem());
    allow(COMMAND, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_INTERRUPT_DISABLE);
    allow(0x0c, 1, 0xff);
    allow(INTERRUPT_LINE, 1, 0xff);
  }

  String name() {
    return name;
  }

  // --- building ---

  /** Adds a range of memory; its size is a power of two of at least 16. */
  public void addMemory(int index, int bytes, IoRegion region) {
    addBaseAddress(new BaseAddress(index, true, bytes, region));
  }

  /** Adds a range of ports; its size is a power of two from 4 to 256. */
  public void addPorts(int index, int bytes, IoRegion region) {
    addBaseAddress(new BaseAddress(index, false, bytes, region));
  }

  private void addBaseAddress(BaseAddress added) {
    int least = added.memory() ? 16 : 4;
    if (Integer.bitCount(added.bytes()) != 1 || added.bytes() < least) {
      throw new IllegalArgumentException(
          "size of a base address must be a power of two from " + least + ", got " + added.bytes());
    }
    int at = FIRST_BASE_ADDRESS + 4 * added.index();
    baseAddresses.add(added);
    put(at, 4, added.memory() ? 0 : 1);
    allow(at, 4, -added.bytes());
  }

  /**
   * Adds a capability and returns its offset.
   *
   * @param length bytes with the two of the header
   */
  public int addCapability(int identifier, int length) {
    int at = freeCapability;
    freeCapability += length + 3 & ~3;
    if (freeCapability > SIZE) {
      throw new IllegalStateException(name + " has no room for a capability of " + length);
    }
    put(at, 1, identifier);
    put(lastCapability == 0 ? CAPABILITIES : lastCapability + 1, 1, at);
    put(STATUS, 2, get(STATUS, 2) | STATUS_CAPABILITIES);
    lastCapability = at;
    return at;
  }

  /** Sets a field of configuration space. */
  public void put(int at, int bytes, int value) {
    for (int i = 0; i < bytes; i++) {
      configuration[at + i] = (byte) (value >>> 8 * i);
    }
  }

  /** Reads a field of configuration space. */
  public int get(int at, int bytes) {
    int value = 0;
    for (int i = bytes - 1; i >= 0; i--) {
      value = value << 8 | configuration[at + i] & 0xff;
    }
    return value;
  }

  /** Lets the guest change the bits of a field that are set in {@code mask}. */
  public void allow(int at, int bytes, int mask) {
    for (int i = 0; i < bytes; i++) {
      writable[at + i] = (byte) (mask >>> 8 * i);
    }
  }

  /** Gives accesses to a few bytes of configuration space to a region of the device. */
  public void addWindow(int first, int length, IoRegion region) {
    windows.add(new Window(first, length, region));
  }

  /** Gives the function an interrupt pin. */
  public void setInterrupt(int pin, int picInput, InterruptLine line) {
    put(INTERRUPT_PIN, 1, pin);
    put(INTERRUPT_LINE, 1, picInput);
    this.interrupt = line;
  }

  /** Told after every write to configuration space. */
  public void setWriteListener(Runnable listener) {
    this.writeListener = listener;
  }

  // --- running ---

  /** Whether the guest lets the device access memory by itself. */
  public boolean isMaster() {
    return (get(COMMAND, 2) & COMMAND_MASTER) != 0;
  }

  /** Drives the interrupt pin. */
  public void assertInterrupt(boolean asserted) {
    interruptAsserted = asserted;
    updateInterrupt();
  }

  private void updateInterrupt() {
    int status = get(STATUS, 2);
    put(STATUS, 2, interruptAsserted ? status | STATUS_INTERRUPT : status & ~STATUS_INTERRUPT);
    interrupt.set(interruptAsserted && (get(COMMAND, 2) & COMMAND_INTERRUPT_DISABLE) == 0);
  }

  void setMappingListener(Runnable listener) {
    this.mappingListener = listener;
  }

  List<BaseAddress> baseAddresses() {
    return baseAddresses;
  }

  /** Where the guest put a range, or -1 while the command register disables it. */
  long addressOf(BaseAddress base) {
    int enable = base.memory() ? COMMAND_MEMORY : COMMAND_IO;
    if ((get(COMMAND, 2) & enable) == 0) {
      return -1;
    }
    int register = get(FIRST_BASE_ADDRESS + 4 * base.index(), 4);
    return base.memory() ? register & 0xffff_fff0L : register & 0xfffc;
  }

  /** Places a range, as firmware does. */
  void place(BaseAddress base, long address) {
    int at = FIRST_BASE_ADDRESS + 4 * base.index();
    put(at, 4, (int) address | (base.memory() ? 0 : 1));
    put(COMMAND, 2, get(COMMAND, 2) | (base.memory() ? COMMAND_MEMORY : COMMAND_IO));
  }

  int readConfiguration(int offset, int bytes) {
    for (Window window : windows) {
      if (offset >= window.first && offset + bytes <= window.first + window.length) {
        return (int) window.region.read(offset - window.first, bytes);
      }
    }
    return get(offset, bytes);
  }

  void writeConfiguration(int offset, int bytes, int value) {
    for (Window window : windows) {
      if (offset >= window.first && offset + bytes <= window.first + window.length) {
        window.region.write(offset - window.first, bytes, value);
        return;
      }
    }
    for (int i = 0; i < bytes; i++) {
      int mask = writable[offset + i];
      configuration[offset + i] =
          (byte) (configuration[offset + i] & ~mask | value >>> 8 * i & mask);
    }
    if (offset < STATUS && offset + bytes > COMMAND) {
      updateInterrupt();
      mappingListener.run();
    } else if (offset >= FIRST_BASE_ADDRESS && offset < FIRST_BASE_ADDRESS + 24) {
      mappingListener.run();
    }
    writeListener.run();
  }

  @Override
  public String stateName() {
    return name;
  }

  @Override
  public void save(StateWriter out) {
    out.writeBytes(configuration);
    out.writeBoolean(interruptAsserted);
  }

  @Override
  public void restore(StateReader in) {
    System.arraycopy(in.readBytes(SIZE), 0, configuration, 0, SIZE);
    interruptAsserted = in.readBoolean();
    mappingListener.run();
  }
}
