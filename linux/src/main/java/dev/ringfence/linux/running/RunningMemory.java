package dev.ringfence.linux.running;

import dev.ringfence.linux.KernelMemory;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.nio.charset.StandardCharsets;

/**
 * Memory of the kernel by its own page tables, those of {@code init_mm}, whatever a processor's CR3
 * holds. The direct map and the kernel image are linear, so that reads there need no walk; a page
 * that the kernel took out of its direct map still reads as its content. User addresses are not
 * mapped.
 */
final class RunningMemory implements KernelMemory {
  private final PhysicalMemory memory;
  private final PageTables tables;
  private final long root;
  private final KernelLayout layout;
  private final long imageBytes;

  /** Physical address of the first byte of the image. */
  private final long imagePhysical;

  RunningMemory(PhysicalMemory memory, PageTables tables, long root, KernelLayout layout) {
    this.memory = memory;
    this.tables = tables;
    this.root = root;
    this.layout = layout;
    this.imageBytes = layout.imageEnd() - layout.imageStart();
    this.imagePhysical = tables.translate(root, layout.imageStart());
  }

  /** The physical address that a read of this address goes to, or -1. */
  private long find(long linear) {
    long physical = linear - layout.directMap();
    if (Long.compareUnsigned(physical, layout.directMapBytes()) >= 0) {
      long offset = linear - layout.imageStart();
      physical =
          Long.compareUnsigned(offset, imageBytes) < 0
              ? imagePhysical + offset
              : linear < 0 ? tables.translate(root, linear) : -1;
    }
    return physical;
  }

  @Override
  public long readLong(long linear) {
    if ((linear & 4095) > 4096 - 8) {
      return readInt(linear) & 0xffff_ffffL | (long) readInt(linear + 4) << 32;
    }
    long physical = find(linear);
    return memory.isRam(physical, 8) ? memory.readLong(physical) : 0;
  }

  @Override
  public int readInt(long linear) {
    if ((linear & 4095) > 4096 - 4) {
      return readShort(linear) & 0xffff | readShort(linear + 2) << 16;
    }
    long physical = find(linear);
    return memory.isRam(physical, 4) ? memory.readInt(physical) : 0;
  }

  @Override
  public short readShort(long linear) {
    if ((linear & 4095) > 4096 - 2) {
      return (short) (readByte(linear) & 0xff | readByte(linear + 1) << 8);
    }
    long physical = find(linear);
    return memory.isRam(physical, 2) ? memory.readShort(physical) : 0;
  }

  @Override
  public byte readByte(long linear) {
    long physical = find(linear);
    return memory.isRam(physical, 1) ? memory.readByte(physical) : 0;
  }

  @Override
  public boolean isMapped(long linear) {
    return linear < 0 && tables.translate(root, linear) >= 0;
  }

  /** A string up to its terminating zero, at most that many bytes. */
  String string(long linear, int most) {
    byte[] bytes = new byte[most];
    int length = 0;
    while (length < most) {
      byte b = readByte(linear + length);
      if (b == 0) {
        break;
      }
      bytes[length++] = b;
    }
    return new String(bytes, 0, length, StandardCharsets.UTF_8);
  }
}
