package dev.ringfence.silicon.cache;

/**
 * The two prefetchers of the first level for data (Intel optimization manual, "Data Prefetching"):
 * the next line, after a load that misses the line after the last one that missed; and, by
 * instruction, the address one stride ahead once the same stride was seen often enough. Neither
 * leaves the 4 KiB page of the load.
 *
 * <p>Sizes are those that Chen et al. found ("AfterImage", 2023), except that an instruction's
 * entry is never displaced by one of other low address bits: real ones have 24 entries.
 */
final class Prefetchers {
  /** Entries of the stride prefetcher, chosen by the low bits of the instruction's address. */
  private static final int ENTRIES = 256;

  /** How often a stride must be confirmed. */
  private static final int CONFIDENT = 2;

  private static final int MAXIMAL_STRIDE = 2048;
  private static final int PAGE_BITS = 12;

  private final boolean nextLine;
  private final boolean stride;
  private long lastMissed = Cache.NONE;
  private final long[] lastAddress = new long[ENTRIES];
  private final int[] lastStride = new int[ENTRIES];
  private final byte[] confidence = new byte[ENTRIES];

  Prefetchers(boolean nextLine, boolean stride) {
    this.nextLine = nextLine;
    this.stride = stride;
  }

  /**
   * Learns from a load.
   *
   * @param address physical
   * @param instruction linear address of the instruction
   * @return a line to prefetch, or {@link Cache#NONE}
   */
  long afterLoad(long address, long instruction, boolean missed) {
    long line = Cache.NONE;
    if (nextLine && missed) {
      long number = address >>> CoreCaches.LINE_BITS;
      if (number == lastMissed + 1) {
        line = inPageOf(address, number + 1 << CoreCaches.LINE_BITS);
      }
      lastMissed = number;
    }
    if (stride) {
      long ahead = strideAhead(address, (int) instruction & ENTRIES - 1);
      line = ahead == Cache.NONE ? line : ahead;
    }
    return line;
  }

  private long strideAhead(long address, int entry) {
    long distance = address - lastAddress[entry];
    lastAddress[entry] = address;
    if (distance == 0 || distance != lastStride[entry]) {
      boolean usable = distance >= -MAXIMAL_STRIDE && distance <= MAXIMAL_STRIDE;
      lastStride[entry] = usable ? (int) distance : 0;
      confidence[entry] = 0;
      return Cache.NONE;
    }
    confidence[entry] = (byte) Math.min(confidence[entry] + 1, CONFIDENT);
    return confidence[entry] < CONFIDENT ? Cache.NONE : inPageOf(address, address + distance);
  }

  private static long inPageOf(long address, long wanted) {
    return wanted >>> PAGE_BITS == address >>> PAGE_BITS
        ? wanted >>> CoreCaches.LINE_BITS
        : Cache.NONE;
  }
}
