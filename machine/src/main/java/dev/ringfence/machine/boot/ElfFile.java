package dev.ringfence.machine.boot;

import dev.ringfence.machine.BadInputException;
import java.util.ArrayList;
import java.util.List;

/** Headers of an ELF file for x86 (System V ABI, chapters 4 and 5; AMD64 supplement). */
final class ElfFile {
  private static final int MAGIC = 0x464c457f;
  private static final int CLASS = 4;
  private static final int DATA = 5;
  private static final int TYPE = 16;
  private static final int MACHINE = 18;
  private static final int EM_386 = 3;
  private static final int EM_X86_64 = 62;
  private static final int ET_EXEC = 2;
  private static final int ET_DYN = 3;
  private static final int PT_LOAD = 1;
  private static final int PT_NOTE = 4;

  /** More than any image has; keeps a broken count from costing time. */
  private static final int MOST_SEGMENTS = 4096;

  /** XEN_ELFNOTE_GUEST_OS (Xen, public/elfnote.h). */
  private static final int NOTE_GUEST_OS = 6;

  /** XEN_ELFNOTE_PHYS32_ENTRY. */
  private static final int NOTE_PVH_ENTRY = 18;

  /** A program header. */
  record Segment(
      long header,
      long type,
      long offset,
      long virtualAddress,
      long physicalAddress,
      long fileBytes,
      long memoryBytes) {}

  private final BootFile file;
  private final boolean wide;
  private final long entry;
  private final List<Segment> segments = new ArrayList<>();

  ElfFile(BootFile file) {
    this.file = file;
    int fileClass = file.u8(CLASS, "ELF class");
    if (fileClass != 1 && fileClass != 2) {
      throw BadInputException.at(
          file.name(), CLASS, "ELF class 1 (32-bit) or 2 (64-bit)", Integer.toString(fileClass));
    }
    this.wide = fileClass == 2;
    int machine = file.u16(MACHINE, "ELF machine");
    if (file.u8(DATA, "ELF data encoding") != 1) {
      throw BadInputException.at(
          file.name(), DATA, "ELF data encoding 1 (little-endian)", "another one");
    }
    if (machine != EM_386 && machine != EM_X86_64) {
      throw BadInputException.at(
          file.name(),
          MACHINE,
          "ELF machine 3 (i386) or 62 (x86-64)",
          machine + " (another architecture)");
    }
    int type = file.u16(TYPE, "ELF type");
    if (type != ET_EXEC && type != ET_DYN) {
      throw BadInputException.at(
          file.name(), TYPE, "ELF type 2 (executable) or 3 (shared object)", type + "");
    }
    this.entry = wide ? file.u64(24, "ELF entry") : file.u32(24, "ELF entry");
    readSegments();
    if (segments.stream().noneMatch(ElfFile::isLoaded)) {
      throw new BadInputException(
          file.name() + ": expected a segment to load, found none in the ELF program headers");
    }
  }

  private void readSegments() {
    long table = wide ? file.u64(32, "e_phoff") : file.u32(28, "e_phoff");
    int size = file.u16(wide ? 54 : 42, "e_phentsize");
    int count = file.u16(wide ? 56 : 44, "e_phnum");
    if (size < (wide ? 56 : 32) || count > MOST_SEGMENTS) {
      throw BadInputException.at(
          file.name(),
          wide ? 54 : 42,
          "program headers of at least %d bytes, at most %d"
              .formatted(wide ? 56 : 32, MOST_SEGMENTS),
          "%d of %d bytes".formatted(count, size));
    }
    file.require(table, (long) size * count, "ELF program headers");
    for (int i = 0; i < count; i++) {
      long at = table + (long) i * size;
      String what = "ELF program header " + i;
      segments.add(
          wide
              ? new Segment(
                  at,
                  file.u32(at, what),
                  file.u64(at + 8, what),
                  file.u64(at + 16, what),
                  file.u64(at + 24, what),
                  file.u64(at + 32, what),
                  file.u64(at + 40, what))
              : new Segment(
                  at,
                  file.u32(at, what),
                  file.u32(at + 4, what),
                  file.u32(at + 8, what),
                  file.u32(at + 12, what),
                  file.u32(at + 16, what),
                  file.u32(at + 20, what)));
    }
  }

  static boolean recognizes(BootFile file) {
    return file.size() >= 20 && file.u32(0, "magic") == MAGIC;
  }

  BootFile file() {
    return file;
  }

  /** Whether this is an ELFCLASS64 file. */
  boolean wide() {
    return wide;
  }

  private static boolean isLoaded(Segment segment) {
    return segment.type == PT_LOAD && segment.memoryBytes != 0;
  }

  /**
   * Copies the segments to their physical addresses.
   *
   * @param below4 whether the image starts in 32-bit mode and must be reachable from there
   * @return the physical address of the entry
   */
  long load(BootArea area, boolean below4) {
    for (Segment segment : segments) {
      if (!isLoaded(segment)) {
        continue;
      }
      if (segment.memoryBytes < 0
          || segment.fileBytes < 0
          || segment.fileBytes > segment.memoryBytes) {
        throw BadInputException.at(
            file.name(),
            segment.header,
            "a segment of at most 0x%x bytes in memory".formatted(segment.memoryBytes),
            "0x%x bytes in the file".formatted(segment.fileBytes));
      }
      file.require(segment.offset, segment.fileBytes, "ELF segment");
      area.take("the ELF segment", segment.physicalAddress, segment.memoryBytes);
      if (below4 && segment.physicalAddress >>> 32 != 0) {
        throw BadInputException.at(
            file.name(),
            segment.header,
            "a segment below 4 GiB, since the image starts in 32-bit mode",
            "0x%x".formatted(segment.physicalAddress));
      }
    }
    for (Segment segment : segments) {
      if (isLoaded(segment)) {
        file.copyTo(area.memory(), segment.offset, segment.physicalAddress, segment.fileBytes);
        long rest = segment.memoryBytes - segment.fileBytes;
        if (rest > 0) {
          area.memory().fill(segment.physicalAddress + segment.fileBytes, rest, (byte) 0);
        }
      }
    }
    return physicalEntry();
  }

  /** The entry is a virtual address by the letter of the ABI, a physical one in many kernels. */
  private long physicalEntry() {
    for (Segment segment : segments) {
      if (isLoaded(segment) && contains(segment.physicalAddress, segment, entry)) {
        return entry;
      }
    }
    for (Segment segment : segments) {
      if (isLoaded(segment) && contains(segment.virtualAddress, segment, entry)) {
        return entry - segment.virtualAddress + segment.physicalAddress;
      }
    }
    throw BadInputException.at(
        file.name(), 24, "an ELF entry inside a loaded segment", "0x%x".formatted(entry));
  }

  private static boolean contains(long start, Segment segment, long address) {
    return Long.compareUnsigned(address - start, segment.fileBytes) < 0;
  }

  /** The entry in 32-bit mode that a PVH note names, or -1 if there is no such note. */
  long pvhEntry() {
    long note = findXenNote(NOTE_PVH_ENTRY);
    if (note < 0) {
      return -1;
    }
    long address = file.u32(note, "PVH entry");
    for (Segment segment : segments) {
      if (isLoaded(segment) && contains(segment.physicalAddress, segment, address)) {
        return address;
      }
    }
    throw BadInputException.at(
        file.name(), note, "a PVH entry inside a loaded segment", "0x%x".formatted(address));
  }

  /** Whether a note says that this is a Linux kernel. */
  boolean isLinux() {
    long note = findXenNote(NOTE_GUEST_OS);
    // "linu" as a number; the rest of the name adds nothing.
    return note >= 0 && file.u32(note, "guest OS") == 0x756e696cL;
  }

  /** Offset of the content, at least four bytes, of a note of vendor Xen, or -1. */
  private long findXenNote(int wanted) {
    for (Segment segment : segments) {
      if (segment.type == PT_NOTE) {
        long found = findXenNote(segment, wanted);
        if (found >= 0) {
          return found;
        }
      }
    }
    return -1;
  }

  private long findXenNote(Segment notes, int wanted) {
    file.require(notes.offset, notes.fileBytes, "ELF notes");
    long at = notes.offset;
    long end = notes.offset + notes.fileBytes;
    while (at + 12 <= end) {
      long nameBytes = file.u32(at, "note");
      long bytes = file.u32(at + 4, "note");
      long type = file.u32(at + 8, "note");
      long name = at + 12;
      long content = name + (nameBytes + 3 & -4);
      at = content + (bytes + 3 & -4);
      if (at > end) {
        break;
      }
      // "Xen" and its terminating zero.
      if (nameBytes == 4
          && file.u32(name, "note name") == 0x006e6558
          && type == wanted
          && bytes >= 4) {
        return content;
      }
    }
    return -1;
  }
}
