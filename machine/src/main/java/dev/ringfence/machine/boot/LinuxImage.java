package dev.ringfence.machine.boot;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.boot.InitialState.Mode;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * A Linux bzImage, entered by the 64-bit boot protocol (Linux, Documentation/arch/x86/boot.rst).
 * The kernel decompresses, relocates and randomizes itself, so nothing here depends on how it is
 * compressed.
 */
final class LinuxImage implements BootImage {
  // Offsets in the file, which are offsets in the boot parameters too.
  private static final int SETUP_SECTS = 0x1f1;
  private static final int BOOT_FLAG = 0x1fe;
  private static final int JUMP = 0x200;
  private static final int HEADER = 0x202;
  private static final int VERSION = 0x206;
  private static final int TYPE_OF_LOADER = 0x210;
  private static final int LOADFLAGS = 0x211;
  private static final int RAMDISK_IMAGE = 0x218;
  private static final int RAMDISK_SIZE = 0x21c;
  private static final int CMD_LINE_PTR = 0x228;
  private static final int INITRD_ADDR_MAX = 0x22c;
  private static final int KERNEL_ALIGNMENT = 0x230;
  private static final int RELOCATABLE_KERNEL = 0x234;
  private static final int XLOADFLAGS = 0x236;
  private static final int CMDLINE_SIZE = 0x238;
  private static final int PREF_ADDRESS = 0x258;
  private static final int INIT_SIZE = 0x260;

  private static final int SYSSIZE = 0x1f4;

  // Offsets in the boot parameters only (Linux, Documentation/arch/x86/zero-page.rst).
  private static final int ACPI_RSDP_ADDR = 0x070;
  private static final int E820_ENTRIES = 0x1e8;
  private static final int E820_TABLE = 0x2d0;
  private static final int E820_ENTRY_BYTES = 20;
  private static final int E820_ENTRIES_MAX = 128;

  private static final int BOOT_PARAMS_BYTES = 4096;
  private static final int SECTOR = 512;
  private static final int SIGNATURE = 0x53726448;
  private static final int LOADED_HIGH = 1;
  private static final int XLF_KERNEL_64 = 1;
  private static final int UNKNOWN_LOADER = 0xff;

  /** Version 2.12 brought xloadflags, which say whether there is a 64-bit entry. */
  private static final int FIRST_VERSION_64 = 0x20c;

  private static final long ENTRY_64 = 0x200;

  private final BootFile file;
  private final long setupBytes;
  private final long kernelBytes;

  LinuxImage(BootFile file) {
    this.file = file;
    int version = file.u16(VERSION, "protocol version");
    if (version < FIRST_VERSION_64) {
      throw BadInputException.at(
          file.name(),
          VERSION,
          "boot protocol 2.12 or newer (Linux 3.8)",
          "%d.%02d".formatted(version >> 8, version & 0xff));
    }
    file.require(0, INIT_SIZE + 4, "setup header");
    if ((file.u8(LOADFLAGS, "loadflags") & LOADED_HIGH) == 0) {
      throw BadInputException.at(
          file.name(), LOADFLAGS, "a bzImage, which is loaded high", "a zImage");
    }
    if ((file.u16(XLOADFLAGS, "xloadflags") & XLF_KERNEL_64) == 0) {
      throw BadInputException.at(
          file.name(),
          XLOADFLAGS,
          "a kernel with a 64-bit entry (x86-64)",
          "one without (built for 32-bit x86?)");
    }
    long sectors = file.u8(SETUP_SECTS, "setup_sects");
    setupBytes = ((sectors == 0 ? 4 : sectors) + 1) * SECTOR;
    kernelBytes = file.u32(SYSSIZE, "syssize") * 16;
    // The build pads the kernel to a multiple of 16 bytes in the count, not always in the file.
    file.require(setupBytes, Math.max(kernelBytes - 15, ENTRY_64 + 1), "64-bit kernel");
    long alignment = file.u32(KERNEL_ALIGNMENT, "kernel_alignment");
    if (Long.bitCount(alignment) != 1 || alignment < 4096 || alignment > 1 << 30) {
      throw BadInputException.at(
          file.name(),
          KERNEL_ALIGNMENT,
          "a power of two from 0x1000 to 0x40000000",
          "0x%x".formatted(alignment));
    }
    if (file.u32(INIT_SIZE, "init_size") < kernelBytes) {
      throw BadInputException.at(
          file.name(),
          INIT_SIZE,
          "at least the 0x%x bytes of the kernel".formatted(kernelBytes),
          "0x%x".formatted(file.u32(INIT_SIZE, "init_size")));
    }
  }

  static boolean recognizes(BootFile file) {
    return file.size() >= VERSION + 2
        && file.u32(HEADER, "signature") == SIGNATURE
        && file.u16(BOOT_FLAG, "boot flag") == 0xaa55;
  }

  @Override
  public BootFile file() {
    return file;
  }

  @Override
  public boolean isLinux() {
    return true;
  }

  @Override
  public InitialState load(
      PhysicalMemory memory, Firmware firmware, String commandLine, List<BootFile> initrds) {
    BootArea area = new BootArea(file.name(), memory, firmware);
    long kernel = placeKernel(area);
    byte[] text = (commandLine + "\0").getBytes(StandardCharsets.UTF_8);
    long maximum = file.u32(CMDLINE_SIZE, "cmdline_size");
    if (text.length - 1 > maximum) {
      throw new BadInputException(
          "--append: the kernel takes a command line of at most %d bytes, found %d"
              .formatted(maximum, text.length - 1));
    }
    long commandLineAddress = area.place("command line", text);
    long parameters = area.place("boot parameters", new byte[BOOT_PARAMS_BYTES]);
    copySetupHeader(memory, parameters);
    memory.writeByte(parameters + TYPE_OF_LOADER, (byte) UNKNOWN_LOADER);
    memory.writeInt(parameters + CMD_LINE_PTR, (int) commandLineAddress);
    memory.writeLong(parameters + ACPI_RSDP_ADDR, firmware.rsdpAddress());
    writeInitrd(area, parameters, initrds);
    writeMemoryMap(memory, parameters, area.map());
    return area.enter(Mode.LONG, kernel + ENTRY_64, 0, 0, parameters);
  }

  private long placeKernel(BootArea area) {
    long preferred = file.u64(PREF_ADDRESS, "pref_address");
    long alignment = file.u32(KERNEL_ALIGNMENT, "kernel_alignment");
    boolean relocatable = file.u8(RELOCATABLE_KERNEL, "relocatable_kernel") != 0;
    long needed = file.u32(INIT_SIZE, "init_size");
    long at;
    if (relocatable) {
      long minimum = Math.clamp(preferred, MemoryMap.EXTENDED_START, PhysicalMemory.HOLE_START);
      at = area.lowest("kernel", needed, alignment, minimum, PhysicalMemory.HOLE_START);
      if (at < 0) {
        minimum = MemoryMap.EXTENDED_START;
        at = area.lowest("kernel", needed, alignment, minimum, PhysicalMemory.HOLE_START);
      }
      if (at < 0) {
        throw area.tooLittleMemory("the kernel, which decompresses itself", needed);
      }
    } else {
      at = preferred;
      area.take("the kernel, which cannot be relocated,", at, needed);
    }
    file.copyTo(area.memory(), setupBytes, at, Math.min(kernelBytes, file.size() - setupBytes));
    return at;
  }

  private void copySetupHeader(PhysicalMemory memory, long parameters) {
    // The byte of the jump at 0x201 is the header's length after 0x202.
    int end = HEADER + file.u8(JUMP + 1, "setup header length");
    int length = Math.min(end, E820_TABLE) - SETUP_SECTS;
    byte[] header = file.bytes(SETUP_SECTS, length, "setup header");
    memory.write(parameters + SETUP_SECTS, header, 0, length);
  }

  private void writeInitrd(BootArea area, long parameters, List<BootFile> initrds) {
    // Linux unpacks archives that follow each other, each at a multiple of four bytes.
    long length = 0;
    for (BootFile part : initrds) {
      length = align4(length) + part.size();
    }
    if (length == 0) {
      return;
    }
    PhysicalMemory memory = area.memory();
    String names = String.join(" + ", initrds.stream().map(BootFile::name).toList());
    long limit =
        Math.min(file.u32(INITRD_ADDR_MAX, "initrd_addr_max") + 1, PhysicalMemory.HOLE_START);
    long at = area.highest(names, length, 4096, limit);
    if (at < 0) {
      throw area.tooLittleMemory("the initramfs " + names, length);
    }
    long next = at;
    for (BootFile part : initrds) {
      next = align4(next);
      part.copyTo(memory, 0, next, part.size());
      next += part.size();
    }
    memory.writeInt(parameters + RAMDISK_IMAGE, (int) at);
    memory.writeInt(parameters + RAMDISK_SIZE, (int) length);
  }

  private static long align4(long value) {
    return value + 3 & -4;
  }

  private static void writeMemoryMap(
      PhysicalMemory memory, long parameters, List<MemoryRange> map) {
    if (map.size() > E820_ENTRIES_MAX) {
      throw new IllegalStateException("memory map of " + map.size() + " entries");
    }
    memory.writeByte(parameters + E820_ENTRIES, (byte) map.size());
    long at = parameters + E820_TABLE;
    for (MemoryRange range : map) {
      memory.writeLong(at, range.start());
      memory.writeLong(at + 8, range.length());
      memory.writeInt(at + 16, range.type().number());
      at += E820_ENTRY_BYTES;
    }
  }
}
