package dev.ringfence.machine.boot;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.boot.InitialState.Mode;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.List;

/**
 * An image with a Multiboot 1 header (Multiboot Specification 0.6.96): an ELF file, or a flat one
 * whose header has the addresses.
 */
final class MultibootImage implements BootImage {
  private static final long HEADER_MAGIC = 0x1badb002L;
  private static final int SEARCH_BYTES = 8192;

  /** Header flags: bit 0 pages modules, 1 wants memory information, 2 wants a video mode. */
  private static final long FLAGS_KNOWN = 0x7;

  private static final long FLAG_VIDEO = 1 << 2;
  private static final long FLAG_ADDRESSES = 1 << 16;

  private final BootFile file;
  private final long header;
  private final boolean hasAddresses;

  MultibootImage(BootFile file, long header) {
    this.file = file;
    this.header = header;
    long flags = file.u32(header + 4, "Multiboot flags");
    // Bits 0 to 15 are requirements: a loader that does not know one must give up (section 3.1.2).
    long unknown = flags & 0xffff & ~FLAGS_KNOWN;
    if (unknown != 0 || (flags & FLAG_VIDEO) != 0) {
      throw BadInputException.at(
          file.name(),
          header + 4,
          "Multiboot requirements 0 and 1 at most (there is no video)",
          "flags 0x%x".formatted(flags));
    }
    hasAddresses = (flags & FLAG_ADDRESSES) != 0;
    if (!hasAddresses && !ElfFile.recognizes(file)) {
      throw BadInputException.at(
          file.name(),
          header + 4,
          "an ELF file, or flag 16 (addresses in the header)",
          "flags 0x%x in a file that is not ELF".formatted(flags));
    }
  }

  /** Offset of the header, or -1 if there is none. */
  static long findHeader(BootFile file) {
    long end = Math.min(SEARCH_BYTES, file.size()) - 12;
    for (long at = 0; at <= end; at += 4) {
      if (file.u32(at, "magic") == HEADER_MAGIC) {
        long sum = HEADER_MAGIC + file.u32(at + 4, "flags") + file.u32(at + 8, "checksum");
        if ((sum & 0xffffffffL) == 0) {
          return at;
        }
      }
    }
    return -1;
  }

  @Override
  public BootFile file() {
    return file;
  }

  @Override
  public boolean isLinux() {
    return false;
  }

  @Override
  public InitialState load(
      PhysicalMemory memory, Firmware firmware, String commandLine, List<BootFile> initrds) {
    BootArea area = new BootArea(file.name(), memory, firmware);
    long entry = hasAddresses ? loadFlat(area) : new ElfFile(file).load(area, true);
    if (entry >>> 32 != 0) {
      throw new BadInputException(
          "%s: expected an entry below 4 GiB, found 0x%x".formatted(file.name(), entry));
    }
    long information = MultibootInformation.write(area, file, commandLine, initrds);
    return area.enter(Mode.PROTECTED, entry, MultibootInformation.MAGIC, information, 0);
  }

  /** Loads by the addresses of the header (section 3.1.3). */
  private long loadFlat(BootArea area) {
    file.require(header, 32, "Multiboot header with addresses");
    long headerAddress = file.u32(header + 12, "header_addr");
    long loadAddress = file.u32(header + 16, "load_addr");
    long loadEnd = file.u32(header + 20, "load_end_addr");
    long bssEnd = file.u32(header + 24, "bss_end_addr");
    long entry = file.u32(header + 28, "entry_addr");
    long offset = header - (headerAddress - loadAddress);
    if (loadAddress > headerAddress || offset < 0) {
      throw BadInputException.at(
          file.name(),
          header + 16,
          "load_addr from 0x%x to header_addr 0x%x"
              .formatted(Math.max(0, headerAddress - header), headerAddress),
          "0x%x".formatted(loadAddress));
    }
    long length = loadEnd == 0 ? file.size() - offset : loadEnd - loadAddress;
    if (length <= 0) {
      throw BadInputException.at(
          file.name(),
          header + 20,
          "load_end_addr after load_addr 0x%x".formatted(loadAddress),
          "0x%x".formatted(loadEnd));
    }
    file.require(offset, length, "text and data by the Multiboot header");
    long end = Math.max(loadAddress + length, bssEnd);
    area.take("the Multiboot image", loadAddress, end - loadAddress);
    if (entry < loadAddress || entry >= loadAddress + length) {
      throw BadInputException.at(
          file.name(),
          header + 28,
          "entry_addr inside the image, 0x%x to 0x%x".formatted(loadAddress, loadAddress + length),
          "0x%x".formatted(entry));
    }
    file.copyTo(area.memory(), offset, loadAddress, length);
    return entry;
  }
}
