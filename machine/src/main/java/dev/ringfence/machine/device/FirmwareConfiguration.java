package dev.ringfence.machine.device;

import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * The configuration ports that QEMU documents as fw_cfg ("QEMU Firmware Configuration Device"),
 * from which bare test guests learn the number of processors and the memory size. Items only; no
 * files, no DMA. ACPI does not mention it, so Linux does not look.
 *
 * <pre>
 *  510  selector, 16 bits, write        511  next byte of the selected item, read
 *  item 00 signature "QEMU"  01 interface version 1  03 RAM size  05 processors  0F maximum of processors
 * </pre>
 */
final class FirmwareConfiguration implements Stateful {
  private final Map<Integer, byte[]> items;
  private int selected;
  private int offset;

  FirmwareConfiguration(int processors, long memoryBytes) {
    this.items =
        Map.of(
            0x00, "QEMU".getBytes(StandardCharsets.US_ASCII),
            0x01, little(4, 1),
            0x03, little(8, memoryBytes),
            0x05, little(2, processors),
            0x0f, little(2, processors));
  }

  private static byte[] little(int bytes, long value) {
    byte[] all = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(value).array();
    return java.util.Arrays.copyOf(all, bytes);
  }

  /** Attaches the registers to the port space. */
  void attachTo(IoSpace ports) {
    ports.attach("firmware configuration", 0x510, 2, new Registers());
  }

  private final class Registers implements IoRegion {
    @Override
    public long read(long port, int bytes) {
      byte[] item = items.get(selected);
      // Past the end, and for items that do not exist, zeros.
      return port == 1 && item != null && offset < item.length ? item[offset++] & 0xff : 0;
    }

    @Override
    public void write(long port, int bytes, long value) {
      if (port == 0) {
        selected = (int) value & 0xffff;
        offset = 0;
      }
    }
  }

  @Override
  public String stateName() {
    return "firmware-configuration";
  }

  @Override
  public void save(StateWriter out) {
    out.writeInt(selected);
    out.writeInt(offset);
  }

  @Override
  public void restore(StateReader in) {
    selected = in.readInt("selected item", 0, 0xffff);
    offset = in.readInt("offset", 0, 8);
  }
}
