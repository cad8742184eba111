package dev.ringfence.linux.image;

import dev.ringfence.machine.input.Bytes;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Sections and segments of an ELF64 executable for x86-64 (System V ABI, chapter 4). */
final class ElfFile {
  private static final int MAGIC = 0x464c457f;
  private static final int HEADER_SIZE = 64;
  private static final int CLASS_64 = 2;
  private static final int LITTLE_ENDIAN = 1;
  private static final int EM_X86_64 = 62;
  private static final int PROGRAM_HEADER_SIZE = 56;
  private static final int SECTION_HEADER_SIZE = 64;
  private static final int PT_LOAD = 1;
  private static final int SHT_NOBITS = 8;

  /** A loaded part of the file: {@code content} is at {@code address}, followed by zeroes. */
  record Segment(long address, long memorySize, Bytes content) {
    boolean holds(long linear, long size) {
      return Long.compareUnsigned(linear, address) >= 0 && content.holds(linear - address, size);
    }
  }

  private record Place(Section section, Bytes content) {}

  private final List<Segment> segments = new ArrayList<>();
  private final List<Place> places = new ArrayList<>();

  ElfFile(Bytes file) {
    file.require(0, HEADER_SIZE, "ELF header");
    if (file.s32(0) != MAGIC) {
      throw file.broken(
          0, "an ELF file", "first bytes %08x".formatted(Integer.reverseBytes(file.s32(0))));
    }
    if (file.u8(4) != CLASS_64 || file.u8(5) != LITTLE_ENDIAN || file.u16(18) != EM_X86_64) {
      throw file.broken(
          4,
          "a 64-bit ELF file for x86-64",
          "class %d, byte order %d, machine %d".formatted(file.u8(4), file.u8(5), file.u16(18)));
    }
    readSegments(file);
    readSections(file);
  }

  private void readSegments(Bytes file) {
    long table = file.s64(32);
    int size = file.u16(54);
    int count = file.u16(56);
    if (count > 0 && size < PROGRAM_HEADER_SIZE) {
      throw file.broken(54, "program headers of 56 bytes", Integer.toString(size));
    }
    file.require(table, (long) count * size, "program headers");
    for (int i = 0; i < count; i++) {
      long at = table + (long) i * size;
      if (file.s32(at) == PT_LOAD) {
        segments.add(
            new Segment(
                file.s64(at + 16),
                file.s64(at + 40),
                file.slice(file.s64(at + 8), file.s64(at + 32), "segment")));
      }
    }
  }

  private void readSections(Bytes file) {
    long table = file.s64(40);
    int size = file.u16(58);
    int count = file.u16(60);
    if (table == 0 || count == 0) {
      return;
    }
    if (size < SECTION_HEADER_SIZE) {
      throw file.broken(58, "section headers of 64 bytes", Integer.toString(size));
    }
    file.require(table, (long) count * size, "section headers");
    int nameSection = file.u16(62);
    if (nameSection >= count) {
      throw file.broken(62, "the number of a section below " + count, "" + nameSection);
    }
    long nameHeader = table + (long) nameSection * size;
    Bytes names =
        file.slice(file.s64(nameHeader + 24), file.s64(nameHeader + 32), "names of sections");
    for (int i = 1; i < count; i++) {
      long at = table + (long) i * size;
      boolean hasContent = file.s32(at + 4) != SHT_NOBITS;
      Section section =
          new Section(names.string(file.u32(at)), file.s64(at + 16), file.s64(at + 32), hasContent);
      Bytes content =
          file.slice(
              hasContent ? file.s64(at + 24) : 0,
              hasContent ? section.size() : 0,
              "section " + Bytes.printable(section.name()));
      places.add(new Place(section, content));
    }
  }

  List<Segment> segments() {
    return segments;
  }

  List<Section> sections() {
    return places.stream().map(Place::section).toList();
  }

  @Nullable Section section(String name) {
    Place place = place(name);
    return place == null ? null : place.section();
  }

  /** The bytes of a section, null if there is no such section or the file has not its bytes. */
  @Nullable Bytes content(String name) {
    Place place = place(name);
    return place == null || !place.section().hasContent() ? null : place.content();
  }

  private @Nullable Place place(String name) {
    for (Place place : places) {
      if (place.section().name().equals(name)) {
        return place;
      }
    }
    return null;
  }

  /** The bytes at a link address, null if the file has them not all. */
  @Nullable Bytes at(long address, long size) {
    for (Segment segment : segments) {
      if (segment.holds(address, size)) {
        return segment.content().slice(address - segment.address(), size, "part of a segment");
      }
    }
    return null;
  }
}
