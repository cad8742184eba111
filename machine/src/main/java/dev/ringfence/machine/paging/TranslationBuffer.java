package dev.ringfence.machine.paging;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import java.util.Arrays;

/**
 * The architectural translation lookaside buffer: translations of all page sizes by address-space
 * slot, kept until they are invalidated or displaced, whatever the page tables say meanwhile (SDM
 * volume 3, section 4.10).
 *
 * <p>It sits behind the fast tables of {@link TranslatedMemory} and outlives them: a change of
 * PCID, CPL or of EFLAGS.AC empties nothing here. Direct-mapped, one table for each page size;
 * global translations have a slot of their own.
 */
final class TranslationBuffer {
  /** Slot of global translations. */
  static final int GLOBAL = 1023;

  private static final int WRITABLE = 1;
  private static final int USER = 2;
  private static final int NO_EXECUTE = 4;
  private static final int DIRTY = 8;

  /** Bits of page offset of each table, smallest first; 22 is the large page of 32-bit paging. */
  private static final int[] PAGE_BITS = {12, 21, 22, 30};

  private static final int[] ENTRIES = {16384, 1024, 64, 64};

  private final long[][] keys = new long[PAGE_BITS.length][];
  private final long[][] values = new long[PAGE_BITS.length][];
  private final boolean[] used = new boolean[PAGE_BITS.length];

  /**
   * Result of the last successful {@link #find}: physical address of the page, its size and
   * permissions.
   */
  long frame;

  int pageBits;
  boolean writable;
  boolean user;
  boolean noExecute;
  boolean dirty;

  TranslationBuffer() {
    for (int i = 0; i < PAGE_BITS.length; i++) {
      keys[i] = new long[ENTRIES[i]];
      values[i] = new long[ENTRIES[i]];
    }
    clear();
  }

  private static long key(long linear, int pageBits, int slot) {
    return linear >>> pageBits << 10 | slot;
  }

  private int entry(int table, long linear, int slot) {
    // The slot is mixed in so that equal addresses of different processes do not displace each
    // other.
    return (int) (linear >>> PAGE_BITS[table]) + slot * 193 & ENTRIES[table] - 1;
  }

  /** Finds a translation in the slot or among the global ones. */
  boolean find(long linear, int slot) {
    return findIn(linear, GLOBAL) || findIn(linear, slot);
  }

  private boolean findIn(long linear, int slot) {
    for (int table = 0; table < PAGE_BITS.length; table++) {
      if (!used[table]) {
        continue;
      }
      int entry = entry(table, linear, slot);
      if (keys[table][entry] == key(linear, PAGE_BITS[table], slot)) {
        long value = values[table][entry];
        frame = value & ~0xfffL;
        pageBits = PAGE_BITS[table];
        writable = (value & WRITABLE) != 0;
        user = (value & USER) != 0;
        noExecute = (value & NO_EXECUTE) != 0;
        dirty = (value & DIRTY) != 0;
        return true;
      }
    }
    return false;
  }

  /** In place of a page, when {@link #insert} displaced none. */
  static final long NOTHING_DISPLACED = 1;

  /** Whether the page that {@link #insert} displaced was a large one. */
  boolean displacedLarge;

  /**
   * Keeps the translation that the walker found. Returns the linear address of the page whose
   * translation it displaced, or {@link #NOTHING_DISPLACED}.
   */
  long insert(long linear, int slot, PageWalker walk) {
    int table = Arrays.binarySearch(PAGE_BITS, walk.pageBits);
    int where = walk.global ? GLOBAL : slot;
    int entry = entry(table, linear, where);
    used[table] = true;
    long before = keys[table][entry];
    long key = key(linear, walk.pageBits, where);
    keys[table][entry] = key;
    values[table][entry] =
        walk.frame
            | (walk.writable ? WRITABLE : 0)
            | (walk.user ? USER : 0)
            | (walk.noExecute ? NO_EXECUTE : 0)
            | (walk.dirty ? DIRTY : 0);
    if (before == -1 || before == key) {
      return NOTHING_DISPLACED;
    }
    displacedLarge = table > 0;
    return before >> 10 << PAGE_BITS[table];
  }

  /** Drops the translation of an address in a slot. Returns whether it was one of a large page. */
  boolean remove(long linear, int slot) {
    boolean large = false;
    for (int table = 0; table < PAGE_BITS.length; table++) {
      int entry = entry(table, linear, slot);
      if (keys[table][entry] == key(linear, PAGE_BITS[table], slot)) {
        keys[table][entry] = -1;
        large |= table > 0;
      }
    }
    return large;
  }

  /** Drops everything. */
  void clear() {
    for (long[] table : keys) {
      Arrays.fill(table, -1);
    }
    Arrays.fill(used, false);
  }

  /** Drops everything but global translations. */
  void clearButGlobal() {
    for (long[] table : keys) {
      for (int i = 0; i < table.length; i++) {
        if ((table[i] & 1023) != GLOBAL) {
          table[i] = -1;
        }
      }
    }
  }

  void save(StateWriter out) {
    for (int table = 0; table < PAGE_BITS.length; table++) {
      out.writeBoolean(used[table]);
      out.writeLongs(keys[table]);
      out.writeLongs(values[table]);
    }
  }

  void restore(StateReader in) {
    for (int table = 0; table < PAGE_BITS.length; table++) {
      used[table] = in.readBoolean();
      in.readLongs(keys[table]);
      in.readLongs(values[table]);
    }
  }
}
