package dev.ringfence.machine.boot;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.boot.InitialState.Mode;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Hands out RAM while an image is placed: first the image takes the addresses that it insists on,
 * then the loader's own tables and modules go where room is left.
 */
final class BootArea {
  /** Real-mode interrupt vectors and BIOS data: guests look there. */
  private static final long FIRST_FREE = 0x1000;

  private static final int PAGE = 4096;
  private static final long LARGE_PAGE = 2 << 20;
  private static final long PRESENT_WRITABLE = 3;
  private static final long PAGE_SIZE_BIT = 1 << 7;

  private record Piece(String what, long start, long end) {}

  private final String input;
  private final PhysicalMemory memory;
  private final List<MemoryRange> map;
  private final List<Piece> pieces = new ArrayList<>();

  BootArea(String input, PhysicalMemory memory, Firmware firmware) {
    this.input = input;
    this.memory = memory;
    this.map = MemoryMap.of(memory, firmware);
  }

  List<MemoryRange> map() {
    return map;
  }

  PhysicalMemory memory() {
    return memory;
  }

  /** Takes a range at an address that the image prescribes. */
  void take(String what, long start, long length) {
    if (length == 0) {
      return;
    }
    long end = start + length;
    boolean usable =
        length > 0
            && start >= 0
            && end > start
            && map.stream()
                .anyMatch(range ->
                    range.type() == MemoryRange.Type.USABLE
                        && range.start() <= start
                        && end <= range.end());
    if (!usable) {
      throw new BadInputException(
          "%s: %s wants memory 0x%x to 0x%x; expected usable RAM there, found none or only a part (the machine has %d MiB; --memory gives it more)"
              .formatted(input, what, start, end, memory.size() >> 20));
    }
    for (Piece piece : pieces) {
      if (start < piece.end && piece.start < end) {
        throw new BadInputException(
            "%s: %s at 0x%x to 0x%x overlaps %s at 0x%x to 0x%x"
                .formatted(input, what, start, end, piece.what, piece.start, piece.end));
      }
    }
    pieces.add(new Piece(what, start, end));
  }

  /** Takes the lowest free range of at least {@code minimum}, or returns -1. */
  long lowest(String what, long length, long alignment, long minimum, long limit) {
    for (MemoryRange range : map) {
      if (range.type() != MemoryRange.Type.USABLE) {
        continue;
      }
      long at = align(Math.max(Math.max(range.start(), FIRST_FREE), minimum), alignment);
      Piece obstacle = obstacle(at, length);
      while (obstacle != null) {
        at = align(obstacle.end, alignment);
        obstacle = obstacle(at, length);
      }
      if (at + length <= Math.min(range.end(), limit)) {
        pieces.add(new Piece(what, at, at + length));
        return at;
      }
    }
    return -1;
  }

  /** Takes the highest free range that ends at or below {@code limit}, or returns -1. */
  long highest(String what, long length, long alignment, long limit) {
    for (int i = map.size() - 1; i >= 0; i--) {
      MemoryRange range = map.get(i);
      if (range.type() != MemoryRange.Type.USABLE) {
        continue;
      }
      long at = Math.floorDiv(Math.min(range.end(), limit) - length, alignment) * alignment;
      Piece obstacle = obstacle(at, length);
      while (obstacle != null) {
        at = Math.floorDiv(obstacle.start - length, alignment) * alignment;
        obstacle = obstacle(at, length);
      }
      if (at >= Math.max(range.start(), FIRST_FREE)) {
        pieces.add(new Piece(what, at, at + length));
        return at;
      }
    }
    return -1;
  }

  /**
   * Takes room for a table of the loader and fills it; below 4 GiB, because pointers have 32 bits.
   */
  long place(String what, byte[] content) {
    long at = lowest(what, Math.max(content.length, 1), 16, 0, PhysicalMemory.HOLE_START);
    if (at < 0) {
      throw tooLittleMemory(what, content.length);
    }
    memory.write(at, content, 0, content.length);
    return at;
  }

  /** Places a string with a terminating zero. */
  long placeString(String what, String text) {
    return place(what, (text + "\0").getBytes(StandardCharsets.UTF_8));
  }

  /** A file that was placed, below 4 GiB. */
  record Module(long start, long length, String name) {
    long end() {
      return start + length;
    }
  }

  /** Places files, each from a page of its own, as high as the limit allows. */
  List<Module> placeModules(List<BootFile> modules, long limit) {
    List<Module> placed = new ArrayList<>();
    for (BootFile module : modules) {
      long at = highest(module.name(), Math.max(module.size(), 1), PAGE, limit);
      if (at < 0) {
        throw tooLittleMemory(module.name(), module.size());
      }
      module.copyTo(memory, 0, at, module.size());
      placed.add(new Module(at, module.size(), module.name()));
    }
    return placed;
  }

  BadInputException tooLittleMemory(String what, long length) {
    long free =
        map.stream()
                .filter(range -> range.type() == MemoryRange.Type.USABLE)
                .mapToLong(MemoryRange::length)
                .sum()
            - pieces.stream().mapToLong(piece -> piece.end - piece.start).sum();
    return new BadInputException(
        "%s: no room for %s: expected %d contiguous KiB of free RAM in reach, found %d KiB in all of %d MiB (--memory gives the machine more)"
            .formatted(input, what, (length + 1023) >> 10, free >> 10, memory.size() >> 20));
  }

  /** Writes the descriptor table, and in long mode the page tables, and completes the state. */
  InitialState enter(Mode mode, long rip, long rax, long rbx, long rsi) {
    long cr3 = mode == Mode.LONG ? identityTables() : 0;
    long gdt = place("descriptor table", new byte[InitialState.GDT_BYTES]);
    InitialState state = new InitialState(mode, rip, rax, rbx, rsi, cr3, gdt);
    long[] descriptors = state.descriptors();
    for (int i = 0; i < descriptors.length; i++) {
      memory.writeLong(gdt + 8L * i, descriptors[i]);
    }
    return state;
  }

  /** Maps the first 4 GiB and all RAM above to itself, with 2 MiB pages. */
  private long identityTables() {
    long end = PhysicalMemory.HOLE_END + memory.sizeAboveHole();
    int directories = (int) ((end + (1L << 30) - 1) >> 30);
    long tables = lowest("page tables", (2L + directories) * PAGE, PAGE, 0, Long.MAX_VALUE);
    if (tables < 0) {
      throw tooLittleMemory("page tables", (2L + directories) * PAGE);
    }
    memory.fill(tables, (2L + directories) * PAGE, (byte) 0);
    long pointers = tables + PAGE;
    memory.writeLong(tables, pointers | PRESENT_WRITABLE);
    for (int i = 0; i < directories; i++) {
      long directory = pointers + PAGE + (long) i * PAGE;
      memory.writeLong(pointers + 8L * i, directory | PRESENT_WRITABLE);
      for (int j = 0; j < 512; j++) {
        long page = ((long) i << 30) + j * LARGE_PAGE;
        memory.writeLong(directory + 8L * j, page | PRESENT_WRITABLE | PAGE_SIZE_BIT);
      }
    }
    return tables;
  }

  private Piece obstacle(long start, long length) {
    for (Piece piece : pieces) {
      if (start < piece.end && piece.start < start + length) {
        return piece;
      }
    }
    return null;
  }

  private static long align(long address, long alignment) {
    return Math.floorDiv(address + alignment - 1, alignment) * alignment;
  }
}
