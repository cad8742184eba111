package dev.ringfence.silicon.taint;

import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;

/**
 * A planted secret: ranges of physical memory, with the bytes that they had when they were planted.
 * A byte that memory or a buffer has from such a range counts as secret only as long as its value
 * is that one, so what a guest has overwritten is no secret any more, and a stale copy of it still
 * is.
 */
final class Secret {
  private final PhysicalMemory memory;

  /** By physical address of the first byte; ranges do not overlap. */
  private final NavigableMap<Long, byte[]> ranges = new TreeMap<>();

  // Bounds of all ranges: most accesses are outside of them.
  private long first = Long.MAX_VALUE;
  private long end;

  Secret(PhysicalMemory memory) {
    this.memory = memory;
  }

  /** Plants the bytes that RAM has there now; what is planted already stays as it was. */
  void plant(long physical, int bytes) {
    byte[] value = new byte[bytes];
    memory.read(physical, value, 0, bytes);
    for (int i = 0; i < bytes; ) {
      long at = physical + i;
      Map.Entry<Long, byte[]> before = ranges.floorEntry(at);
      if (before != null && at < before.getKey() + before.getValue().length) {
        i += (int) (before.getKey() + before.getValue().length - at);
        continue;
      }
      Long after = ranges.higherKey(at);
      int length = (int) Math.min(bytes - i, after == null ? Long.MAX_VALUE : after - at);
      byte[] part = new byte[length];
      System.arraycopy(value, i, part, 0, length);
      ranges.put(at, part);
      i += length;
    }
    first = Math.min(first, physical);
    end = Math.max(end, physical + bytes);
  }

  NavigableMap<Long, byte[]> ranges() {
    return ranges;
  }

  boolean isEmpty() {
    return ranges.isEmpty();
  }

  /** Whether bytes of a range are planted; their values do not matter. */
  boolean touches(long physical, int bytes) {
    if (physical >= end || physical + bytes <= first) {
      return false;
    }
    Map.Entry<Long, byte[]> before = ranges.lowerEntry(physical + bytes);
    return before != null && physical < before.getKey() + before.getValue().length;
  }

  /** The planted value of a byte, or -1 if it is not planted. */
  int valueAt(long physical) {
    if (physical < first || physical >= end) {
      return -1;
    }
    Map.Entry<Long, byte[]> range = ranges.floorEntry(physical);
    if (range == null) {
      return -1;
    }
    long index = physical - range.getKey();
    return index < range.getValue().length ? range.getValue()[(int) index] & 0xff : -1;
  }
}
