package dev.ringfence.silicon.buffer;

import java.util.Arrays;

/**
 * The store buffer of a core: stores wait there from their execution until they have retired and
 * written the cache, in program order, and younger loads of the same logical processor receive
 * their data from there.
 *
 * <p>Two logical processors that both run have half of the entries each; one alone has all of them
 * (Intel, "Microarchitectural Data Sampling": the store buffer is re-partitioned when a thread goes
 * to sleep or wakes). An entry that has drained keeps its bytes until it is allocated again, and
 * some processors give them to a faulting or assisted load whose page offset matches (Fallout:
 * microarchitectural store buffer data sampling).
 *
 * <p>Memory of the machine holds a store's bytes from its execution on. An entry therefore also
 * keeps what was there before, which is what a load receives that overtakes the store (speculative
 * store bypass).
 *
 * <p>Times are cycles of the core. Entries are numbered from 0; up to 16 bytes an entry.
 */
public final class StoreBuffer {
  /** No entry. */
  public static final int NONE = -1;

  /** Source of an entry that holds nothing. */
  public static final long NO_SOURCE = -1;

  /** What older stores mean for a load. */
  public enum Outcome {
    /** No older store concerns it: it reads the cache. */
    CACHE,
    /** One older store has all its bytes. */
    FORWARD,
    /** An older store has some of its bytes: it waits until the store has drained. */
    BLOCKED,
    /**
     * An older store to another address has the same bits 11:0: the load is held until the whole
     * addresses have been compared, and reads the cache then (Intel optimization manual, "4-KByte
     * aliasing").
     */
    ALIAS,
    /**
     * An older store has some of its bytes, but its address is not known yet: a load that does not
     * wait receives what was there before.
     */
    OVERTAKES
  }

  private static final int PAGE_OFFSET = 0xfff;

  private final int entries;
  private final long[] linear;
  private final long[] physical;
  private final int[] sizes;
  private final long[] low;
  private final long[] high;
  private final long[] beforeLow;
  private final long[] beforeHigh;
  private final long[] addressKnown;
  private final long[] dataKnown;
  private final long[] drained;

  /** By logical processor: first entry, number of entries, next to allocate, last times. */
  private final int[] first;

  private final int[] size;
  private final int[] next;
  private final long[] lastDrain;

  private final long[] lastAddress;
  private int found;

  /**
   * @param entries of the core
   * @param threads logical processors of the core, 1 or 2; at first all run
   */
  public StoreBuffer(int entries, int threads) {
    if (threads < 1 || entries < threads) {
      throw new IllegalArgumentException(
          "expected a store buffer entry for each thread, got %d for %d"
              .formatted(entries, threads));
    }
    this.entries = entries;
    linear = new long[entries];
    physical = new long[entries];
    sizes = new int[entries];
    low = new long[entries];
    high = new long[entries];
    beforeLow = new long[entries];
    beforeHigh = new long[entries];
    addressKnown = new long[entries];
    dataKnown = new long[entries];
    drained = new long[entries];
    first = new int[threads];
    size = new int[threads];
    next = new int[threads];
    lastDrain = new long[threads];
    lastAddress = new long[threads];
    Arrays.fill(physical, NO_SOURCE);
    partition((1 << threads) - 1);
  }

  public int entries() {
    return entries;
  }

  /** The first of the entries that a logical processor has now. */
  public int firstEntry(int thread) {
    return first[thread];
  }

  /** Entries that a logical processor has now. */
  public int entries(int thread) {
    return size[thread];
  }

  /**
   * Divides the entries among the logical processors that run; what has drained stays in the
   * entries and may so come to belong to the sibling. Stores of all have drained.
   *
   * @param running bit by logical processor; those that do not run have no entry
   */
  public void partition(int running) {
    int parts = Math.max(1, Integer.bitCount(running));
    int start = 0;
    for (int thread = 0; thread < first.length; thread++) {
      boolean runs = (running >>> thread & 1) != 0;
      first[thread] = start;
      size[thread] = runs ? entries / parts : 0;
      next[thread] = start;
      start += size[thread];
    }
    Arrays.fill(drained, 0);
    Arrays.fill(lastDrain, 0);
    Arrays.fill(lastAddress, 0);
  }

  /** The first cycle at which the next store of a logical processor finds a free entry. */
  public long freeAt(int thread) {
    return drained[next[thread]];
  }

  /**
   * Takes the next entry for a store.
   *
   * @param physicalAddress of its first byte, or {@link #NO_SOURCE} if it is not known
   * @param bytes 1 to 16
   * @param addressAt the cycle from which its address is known
   * @return the entry, which {@link #data}, {@link #before} and {@link #drain} complete
   */
  public int allocate(
      int thread, long linearAddress, long physicalAddress, int bytes, long addressAt) {
    int entry = next[thread];
    next[thread] = entry + 1 == first[thread] + size[thread] ? first[thread] : entry + 1;
    linear[entry] = linearAddress;
    physical[entry] = physicalAddress;
    sizes[entry] = bytes;
    addressKnown[entry] = addressAt;
    lastAddress[thread] = Math.max(lastAddress[thread], addressAt);
    return entry;
  }

  /** The bytes stored, and the cycle from which they are known. */
  public void data(int entry, long lowBytes, long highBytes, long dataAt) {
    low[entry] = lowBytes;
    high[entry] = highBytes;
    dataKnown[entry] = dataAt;
  }

  /** The bytes that the store overwrote in memory. */
  public void before(int entry, long lowBytes, long highBytes) {
    beforeLow[entry] = lowBytes;
    beforeHigh[entry] = highBytes;
  }

  /**
   * Sets when the entry has written the cache: one store a cycle and in program order, so it may be
   * later than asked for.
   *
   * @return the cycle
   */
  public long drain(int thread, int entry, long earliest) {
    long at = Math.max(earliest, lastDrain[thread] + 1);
    lastDrain[thread] = at;
    drained[entry] = at;
    return at;
  }

  /** The cycle at which all stores of a logical processor so far have written the cache. */
  public long drainedAt(int thread) {
    return lastDrain[thread];
  }

  /**
   * The cycle from which the addresses of all stores of a logical processor so far are known: what
   * a load waits for that may not overtake any.
   */
  public long addressesKnownAt(int thread) {
    return lastAddress[thread];
  }

  /**
   * Compares a load with the stores before it that have not drained; the youngest that matters
   * decides, {@link #found}.
   */
  public Outcome compare(
      int thread, long linearAddress, long physicalAddress, int bytes, long now) {
    found = NONE;
    if (now >= lastDrain[thread]) {
      return Outcome.CACHE;
    }
    int alias = NONE;
    int entry = next[thread];
    for (int i = 0; i < size[thread]; i++) {
      entry = entry == first[thread] ? first[thread] + size[thread] - 1 : entry - 1;
      if (drained[entry] <= now) {
        break;
      }
      long distance = physicalAddress - physical[entry];
      if (distance < sizes[entry] && distance > -bytes) {
        found = entry;
        if (addressKnown[entry] > now) {
          return Outcome.OVERTAKES;
        }
        return distance >= 0 && distance + bytes <= sizes[entry]
            ? Outcome.FORWARD
            : Outcome.BLOCKED;
      }
      int offsets = (int) (linearAddress & PAGE_OFFSET) - (int) (linear[entry] & PAGE_OFFSET);
      if (alias == NONE
          && addressKnown[entry] <= now
          && offsets < sizes[entry]
          && offsets > -bytes) {
        alias = entry;
      }
    }
    found = alias;
    return alias == NONE ? Outcome.CACHE : Outcome.ALIAS;
  }

  /** The entry that decided the last {@link #compare}, or {@link #NONE}. */
  public int found() {
    return found;
  }

  /**
   * The bytes that a load receives which does not wait for stores whose address is not known yet,
   * as {@link Outcome#OVERTAKES} says.
   *
   * @param offset of the eight bytes wanted in the load, 0 or 8
   * @param current the bytes that memory holds now
   */
  public long overtaking(int thread, long physicalAddress, int offset, long current, long now) {
    long value = 0;
    for (int i = 0; i < 8; i++) {
      long at = physicalAddress + offset + i;
      long octet = current >>> 8 * i & 0xff;
      int entry = next[thread];
      for (int n = 0; n < size[thread]; n++) {
        entry = entry == first[thread] ? first[thread] + size[thread] - 1 : entry - 1;
        if (drained[entry] <= now) {
          break;
        }
        long distance = at - physical[entry];
        if (distance >= 0 && distance < sizes[entry]) {
          if (addressKnown[entry] <= now) {
            break;
          }
          octet = octet(beforeLow[entry], beforeHigh[entry], (int) distance);
        }
      }
      value |= octet << 8 * i;
    }
    return value;
  }

  private static long octet(long lowBytes, long highBytes, int index) {
    return (index < 8 ? lowBytes >>> 8 * index : highBytes >>> 8 * index - 64) & 0xff;
  }

  /**
   * The youngest entry, drained or not, that a faulting or assisted load of a page offset matches,
   * or {@link #NONE}. Only bits 11:0 of addresses are compared (Canella et al., "Fallout": the
   * write transient forwarding optimization).
   */
  public int sample(int thread, long linearAddress) {
    int offset = (int) (linearAddress & PAGE_OFFSET);
    int entry = next[thread];
    for (int i = 0; i < size[thread]; i++) {
      entry = entry == first[thread] ? first[thread] + size[thread] - 1 : entry - 1;
      int distance = offset - (int) (linear[entry] & PAGE_OFFSET);
      if (physical[entry] != NO_SOURCE && distance >= 0 && distance < sizes[entry]) {
        return entry;
      }
    }
    return NONE;
  }

  /** Eight bytes of an entry from one of its bytes on; zero behind its end. */
  public long read(int entry, int from) {
    if (from >= 8) {
      return high[entry] >>> 8 * (from - 8);
    }
    return from == 0 ? low[entry] : low[entry] >>> 8 * from | high[entry] << 64 - 8 * from;
  }

  /** The cycle from which the data of an entry is known. */
  public long dataAt(int entry) {
    return dataKnown[entry];
  }

  /** The cycle from which the address of an entry is known. */
  public long addressAt(int entry) {
    return addressKnown[entry];
  }

  /** The cycle at which an entry has written the cache. */
  public long drainedEntryAt(int entry) {
    return drained[entry];
  }

  public long linear(int entry) {
    return linear[entry];
  }

  /** Physical address of the first byte of an entry, or {@link #NO_SOURCE} if it holds none. */
  public long source(int entry) {
    return physical[entry];
  }

  public int bytes(int entry) {
    return sizes[entry];
  }

  /**
   * Overwrites the entries of a logical processor, as VERW on a processor with MD_CLEAR does. Its
   * stores have drained.
   */
  public void clear(int thread) {
    int end = first[thread] + size[thread];
    Arrays.fill(linear, first[thread], end, 0);
    Arrays.fill(physical, first[thread], end, NO_SOURCE);
    Arrays.fill(sizes, first[thread], end, 0);
    Arrays.fill(low, first[thread], end, 0);
    Arrays.fill(high, first[thread], end, 0);
    Arrays.fill(beforeLow, first[thread], end, 0);
    Arrays.fill(beforeHigh, first[thread], end, 0);
    Arrays.fill(drained, first[thread], end, 0);
  }

  /** Lets all stores have drained, for a time that begins anew. */
  public void settle() {
    Arrays.fill(addressKnown, 0);
    Arrays.fill(dataKnown, 0);
    Arrays.fill(drained, 0);
    Arrays.fill(lastDrain, 0);
    Arrays.fill(lastAddress, 0);
  }
}
