package dev.ringfence.machine.device.pci;

import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Host bridge with configuration mechanism 1 and bus 0 (PCI Local Bus Specification 3.0, section
 * 3.2.2.3.2).
 *
 * <pre>
 *  CF8  address, 32-bit accesses only: 31 enable  23..16 bus  15..11 device  10..8 function  7..2 register
 *  CFC  data
 *  CF9  8-bit accesses are the reset control register
 * </pre>
 *
 * <p>Where ranges of devices lie is a pure function of all base address and command registers:
 * after any change all are detached and attached again in the order of devices; a range over
 * another one is not reachable.
 */
public final class PciHost implements Stateful {
  /** First address that firmware gives to devices. */
  public static final long MEMORY_START = 0xe000_0000L;

  /** First port that firmware gives to devices. */
  public static final int PORT_START = 0xc000;

  private static final int DEVICES = 32;

  private final IoSpace ports;
  private final IoSpace memory;
  private final IoRegion resetControl;
  private final @Nullable PciFunction[] functions = new PciFunction[DEVICES];
  private final List<Long> mappedMemory = new ArrayList<>();
  private final List<Long> mappedPorts = new ArrayList<>();
  private int address;

  /**
   * Creates the bridge, which is device 0.
   *
   * @param resetControl the register that shares its port with the address
   */
  public PciHost(IoSpace ports, IoSpace memory, IoRegion resetControl) {
    this.ports = ports;
    this.memory = memory;
    this.resetControl = resetControl;
    ports.attach("PCI configuration", 0xcf8, 8, new Configuration());
    // The identity of the generic host bridge of Red Hat: one for which no system has workarounds.
    functions[0] =
        new PciFunction(
            "pci-00", new PciFunction.Identity(0x1b36, 0x0008, 0, 0x06_0000, 0x1af4, 0x1100));
  }

  /** Attaches a device. */
  public void attach(int device, PciFunction function) {
    if (functions[device] != null) {
      throw new IllegalArgumentException("PCI device " + device + " exists already");
    }
    functions[device] = function;
    function.setMappingListener(this::map);
  }

  /** Interrupt wire of a pin of a device: pins rotate by device, as the ACPI routing table says. */
  public static int wireOf(int device, int pin) {
    return 16 + (device + pin - 1 & 3);
  }

  /** All functions in the order of devices. */
  public List<PciFunction> functions() {
    List<PciFunction> present = new ArrayList<>();
    for (PciFunction function : functions) {
      if (function != null) {
        present.add(function);
      }
    }
    return present;
  }

  /** Gives addresses to all ranges, as firmware does before a system starts. */
  public void assignAddresses() {
    long nextMemory = MEMORY_START;
    long nextPort = PORT_START;
    for (PciFunction function : functions()) {
      for (PciFunction.BaseAddress base : function.baseAddresses()) {
        int bytes = base.bytes();
        if (base.memory()) {
          // Whole pages, so that no two devices share one.
          long at = nextMemory + bytes - 1 & -(long) bytes;
          function.place(base, at);
          nextMemory = at + Math.max(bytes, 4096);
        } else {
          long at = nextPort + bytes - 1 & -(long) bytes;
          function.place(base, at);
          nextPort = at + bytes;
        }
      }
    }
    map();
  }

  private void map() {
    mappedMemory.forEach(memory::detach);
    mappedPorts.forEach(ports::detach);
    mappedMemory.clear();
    mappedPorts.clear();
    for (PciFunction function : functions()) {
      for (PciFunction.BaseAddress base : function.baseAddresses()) {
        long at = function.addressOf(base);
        IoSpace space = base.memory() ? memory : ports;
        // Address 0 means "not placed yet".
        if (at > 0 && space.isFree(at, base.bytes())) {
          space.attach(function.name() + " range " + base.index(), at, base.bytes(), base.region());
          (base.memory() ? mappedMemory : mappedPorts).add(at);
        }
      }
    }
  }

  private @Nullable PciFunction selected() {
    boolean enabled = address < 0;
    boolean firstBusAndFunction = (address & 0xff_0700) == 0;
    return enabled && firstBusAndFunction ? functions[address >>> 11 & 31] : null;
  }

  private final class Configuration implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      if (offset >= 4) {
        PciFunction function = selected();
        if (function == null || offset + bytes > 8) {
          // Nobody answers: master abort.
          return -1;
        }
        return function.readConfiguration((address & 0xfc) + (int) offset - 4, bytes);
      }
      if (offset == 0 && bytes == 4) {
        return address;
      }
      return offset == 1 && bytes == 1 ? resetControl.read(0, 1) : -1;
    }

    @Override
    public void write(long offset, int bytes, long value) {
      if (offset >= 4) {
        PciFunction function = selected();
        if (function != null && offset + bytes <= 8) {
          function.writeConfiguration((address & 0xfc) + (int) offset - 4, bytes, (int) value);
        }
      } else if (offset == 0 && bytes == 4) {
        address = (int) value & 0x80ff_fffc;
      } else if (offset == 1 && bytes == 1) {
        resetControl.write(0, 1, value);
      }
    }
  }

  @Override
  public String stateName() {
    return "pci-host";
  }

  @Override
  public void save(StateWriter out) {
    out.writeInt(address);
  }

  @Override
  public void restore(StateReader in) {
    address = in.readInt();
  }
}
