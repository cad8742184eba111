package dev.ringfence.machine.device;

import dev.ringfence.machine.interrupt.InterruptLine;
import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import java.util.List;

/**
 * The device of bare test guests that QEMU documents as pc-testdev.
 *
 * <pre>
 *  E0-E3      latch: reads give back what was written, in any access size
 *  E4-E7      writes ask for a flush of a page's translations; nothing needs one here
 *  E8-EB      latch, one byte at a time
 *  2000-2017  writing drives wire 0 to 23 high (non-zero) or low
 *  FF000000H  64 KiB of memory behind device accesses
 * </pre>
 */
final class TestDevice implements Stateful {
  private static final int LATCH = 0xe0;
  private static final int FLUSH = 0xe4;
  private static final int BYTE_LATCH = 0xe8;
  private static final int WIRES = 0x2000;
  private static final long MEMORY = 0xff00_0000L;

  private final List<InterruptLine> wires;
  private final Bytes latch = new Bytes(4);
  private final Bytes memory = new Bytes(0x1_0000);

  TestDevice(List<InterruptLine> wires) {
    this.wires = List.copyOf(wires);
  }

  /** Attaches the device to ports and memory. */
  void attachTo(IoSpace ports, IoSpace devices) {
    ports.attach("test device latch", LATCH, 4, latch);
    ports.attach("test device flush", FLUSH, 4, new Flush());
    ports.attach("test device byte latch", BYTE_LATCH, 4, latch);
    ports.attach("test device wires", WIRES, wires.size(), new Wires());
    devices.attach("test device memory", MEMORY, memory.content.length, memory);
  }

  private static final class Bytes implements IoRegion {
    private final byte[] content;

    Bytes(int size) {
      content = new byte[size];
    }

    @Override
    public long read(long offset, int bytes) {
      long value = 0;
      for (int i = bytes - 1; i >= 0; i--) {
        value = value << 8 | content[(int) offset + i] & 0xff;
      }
      return value;
    }

    @Override
    public void write(long offset, int bytes, long value) {
      for (int i = 0; i < bytes; i++) {
        content[(int) offset + i] = (byte) (value >>> 8 * i);
      }
    }
  }

  private static final class Flush implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      return 0;
    }

    @Override
    public void write(long offset, int bytes, long value) {
      // The translation buffers follow the guest's page tables by the rules of the architecture
      // alone.
    }
  }

  private final class Wires implements IoRegion {
    @Override
    public long read(long offset, int bytes) {
      return -1;
    }

    @Override
    public void write(long offset, int bytes, long value) {
      wires.get((int) offset).set(value != 0);
    }
  }

  @Override
  public String stateName() {
    return "test-device";
  }

  @Override
  public void save(StateWriter out) {
    out.writeBytes(latch.content);
    out.writeBytes(memory.content);
  }

  @Override
  public void restore(StateReader in) {
    System.arraycopy(in.readBytes(latch.content.length), 0, latch.content, 0, latch.content.length);
    System.arraycopy(
        in.readBytes(memory.content.length), 0, memory.content, 0, memory.content.length);
  }
}
