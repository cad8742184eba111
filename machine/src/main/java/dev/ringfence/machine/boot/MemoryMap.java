package dev.ringfence.machine.boot;

import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** The memory map that the guest is told: RAM, less what firmware and the PC's layout take. */
final class MemoryMap {
  /** Where conventional memory ends: the extended BIOS data area of every PC begins about here. */
  static final long CONVENTIONAL_END = 0x9fc00;

  /** Where RAM goes on above video memory and BIOS. */
  static final long EXTENDED_START = 0x100000;

  private MemoryMap() {}

  /** Ranges in ascending order without overlap. */
  static List<MemoryRange> of(PhysicalMemory memory, Firmware firmware) {
    List<MemoryRange> taken = new ArrayList<>(firmware.ranges());
    taken.add(
        new MemoryRange(CONVENTIONAL_END, 0xa0000 - CONVENTIONAL_END, MemoryRange.Type.RESERVED));
    if (firmware.ranges().stream().noneMatch(range -> range.overlaps(0xf0000, EXTENDED_START))) {
      taken.add(new MemoryRange(0xf0000, 0x10000, MemoryRange.Type.RESERVED));
    }
    taken.sort(Comparator.comparingLong(MemoryRange::start));
    List<MemoryRange> map = new ArrayList<>(taken);
    addUsable(map, taken, 0, Math.min(memory.sizeBelowHole(), 0xa0000));
    addUsable(map, taken, EXTENDED_START, memory.sizeBelowHole());
    addUsable(
        map, taken, PhysicalMemory.HOLE_END, PhysicalMemory.HOLE_END + memory.sizeAboveHole());
    map.sort(Comparator.comparingLong(MemoryRange::start));
    return List.copyOf(map);
  }

  private static void addUsable(
      List<MemoryRange> map, List<MemoryRange> taken, long start, long end) {
    long at = start;
    for (MemoryRange range : taken) {
      if (range.overlaps(at, end)) {
        if (range.start() > at) {
          map.add(new MemoryRange(at, range.start() - at, MemoryRange.Type.USABLE));
        }
        at = range.end();
      }
    }
    if (at < end) {
      map.add(new MemoryRange(at, end - at, MemoryRange.Type.USABLE));
    }
  }
}
