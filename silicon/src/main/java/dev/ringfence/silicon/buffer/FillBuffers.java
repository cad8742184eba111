package dev.ringfence.silicon.buffer;

import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.Arrays;

/**
 * The line fill buffers between the first-level data cache and the rest: each line that misses
 * comes in through one, and so do device reads, lines that page walks read, and non-temporal
 * stores. A core has one set of them, which its logical processors share.
 *
 * <p>An entry keeps its 64 bytes after the fill has ended, until it is allocated again. That is
 * what a faulting or assisted load may receive (RIDL, ZombieLoad: microarchitectural fill buffer
 * data sampling). The contents are those of RAM at the time of the fill: later stores reach the
 * cache, not the buffer.
 *
 * <p>Which of the free buffers a line takes is not published, but it is no fixed order: Intel's
 * sequence that overwrites the 12 buffers of Skylake by ordinary accesses (Intel,
 * "Microarchitectural Data Sampling", software sequences) brings in 96 lines, and what RIDL reads
 * across a switch of processes comes in a small part of attempts. Here it is a pseudo-random one,
 * from a generator that begins the same at each start, so that runs repeat. A line is left after n
 * others with probability (1 - 1/buffers)<sup>n</sup>.
 *
 * <p>Times are cycles of the core.
 */
public final class FillBuffers {
  /** Source of an entry that holds nothing. */
  public static final long NO_SOURCE = -1;

  /** No entry. */
  public static final int NONE = -1;

  private static final int LINE_BITS = 6;
  private static final int LINE_LONGS = 8;

  private final PhysicalMemory memory;
  private final int entries;
  private final long[] lines;
  private final long[] ready;
  private final long[] contents;
  private int random = 1;
  private int nextSample;
  private long lastReady;

  /**
   * @param entries number of buffers: 10 up to Broadwell, 12 since Skylake
   */
  public FillBuffers(int entries, PhysicalMemory memory) {
    if (entries < 1) {
      throw new IllegalArgumentException("expected at least one fill buffer, got " + entries);
    }
    this.memory = memory;
    this.entries = entries;
    this.lines = new long[entries];
    this.ready = new long[entries];
    this.contents = new long[entries * LINE_LONGS];
    clear();
  }

  public int entries() {
    return entries;
  }

  /** The first cycle, {@code now} or later, at which a buffer is free. */
  public long freeAt(long now) {
    long first = Long.MAX_VALUE;
    for (int i = 0; i < entries; i++) {
      if (ready[i] <= now) {
        return now;
      }
      first = Math.min(first, ready[i]);
    }
    return first;
  }

  /**
   * The cycle at which a fill of the line that is under way ends, or 0 if there is none: an access
   * to the line waits until then.
   */
  public long pendingUntil(long line, long now) {
    if (now >= lastReady) {
      return 0;
    }
    for (int i = 0; i < entries; i++) {
      if (lines[i] == line && ready[i] > now) {
        return ready[i];
      }
    }
    return 0;
  }

  /**
   * Brings a line through a buffer: copies its bytes from RAM. Of a line that is not RAM, the bytes
   * are zero until {@link #put} says what was read.
   *
   * @param line number of the line: physical address divided by 64
   * @param now a cycle at which a buffer is free ({@link #freeAt})
   * @param until the cycle at which the fill ends
   * @return the buffer
   */
  public int allocate(long line, long now, long until) {
    // Marsaglia, "Xorshift RNGs", 2003: 13, 17, 5.
    random ^= random << 13;
    random ^= random >>> 17;
    random ^= random << 5;
    int entry = (int) ((random & 0xffffffffL) * entries >>> 32);
    for (int i = 0; i < entries && ready[entry] > now; i++) {
      entry = entry + 1 == entries ? 0 : entry + 1;
    }
    lines[entry] = line;
    ready[entry] = until;
    lastReady = Math.max(lastReady, until);
    if (!memory.readLongs(line << LINE_BITS, contents, entry * LINE_LONGS, LINE_LONGS)) {
      Arrays.fill(contents, entry * LINE_LONGS, (entry + 1) * LINE_LONGS, 0);
    }
    return entry;
  }

  /**
   * Puts bytes into a buffer: what a device answered, or what a store combined with the line.
   *
   * @param offset of the first byte in the line
   * @param bytes 1 to 8, all in the line
   */
  public void put(int entry, int offset, int bytes, long value) {
    for (int i = 0; i < bytes; i++) {
      int at = entry * LINE_LONGS + (offset + i >> 3);
      int shift = 8 * (offset + i & 7);
      contents[at] = contents[at] & ~(0xffL << shift) | (value >>> 8 * i & 0xff) << shift;
    }
  }

  /**
   * Eight bytes of a buffer, little-endian. Bytes past the end of the line are those from its begin
   * on.
   */
  public long read(int entry, int offset) {
    int first = entry * LINE_LONGS;
    int at = offset >> 3 & LINE_LONGS - 1;
    int shift = 8 * (offset & 7);
    long low = contents[first + at] >>> shift;
    return shift == 0 ? low : low | contents[first + (at + 1 & LINE_LONGS - 1)] << 64 - shift;
  }

  /** Number of the line whose bytes a buffer holds, or {@link #NO_SOURCE}. */
  public long source(int entry) {
    return lines[entry];
  }

  /**
   * The buffer whose content the next faulting or assisted load receives, or {@link #NONE} if none
   * holds any. The papers found no way to choose: "any value that happens to be in flight". Here
   * the choice goes round, so that no content is out of reach and runs repeat.
   */
  public int sample() {
    for (int tried = 0; tried < entries; tried++) {
      int entry = nextSample;
      nextSample = nextSample + 1 == entries ? 0 : nextSample + 1;
      if (lines[entry] != NO_SOURCE) {
        return entry;
      }
    }
    return NONE;
  }

  /**
   * Overwrites the contents of all buffers, as VERW on a processor with MD_CLEAR does. Fills that
   * are under way end when they would have ended.
   */
  public void clear() {
    Arrays.fill(lines, NO_SOURCE);
    Arrays.fill(contents, 0);
  }

  /** Ends fills that are under way, for a time that begins anew. */
  public void settle() {
    Arrays.fill(ready, 0);
    lastReady = 0;
  }
}
