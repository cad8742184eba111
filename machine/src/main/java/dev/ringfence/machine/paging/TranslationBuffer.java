package dev.ringfence.machine.paging;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import java.util.Arrays;

/**
 * An architectural translation lookaside buffer: translations of all page sizes by address-space
 * slot, kept until they are invalidated or displaced, whatever the page tables say meanwhile (SDM
 * volume 3, section 4.10).
 *
 * <p>It sits behind the fast tables of {@link TranslatedMemory} and outlives them: a change of
 * PCID, CPL or of EFLAGS.AC empties nothing here. Direct-mapped, one table for each page size;
 * global translations have a slot of their own.
 *
 * <p>Constraint: the fast tables hold copies of what {@link #find} returns, so a {@link
 * DropListener} is told of every address for which that may change. Smaller pages are found before
 * larger ones, so that an insertion hides nothing from its own slot: it comes after a search that
 * found nothing, and a larger page around the new one would have been found. Only a global
 * translation can hide something, a larger page in another slot.
 */
final class TranslationBuffer {
  /** Told of addresses for which another translation, or none, is found from now on. */
  interface DropListener {
    /**
     * A translation is gone.
     *
     * @param linear an address in the page
     * @param large whether the page may be larger than 4 KiB
     */
    void dropped(long linear, boolean large);
  }

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
  private final DropListener listener;

  /** The table of the largest pages that were inserted for a slot, and not as global ones. */
  private int largestNotGlobal;

  /** Slot of the global translations that are found now: {@link #GLOBAL}, or a guest's. */
  private int global = GLOBAL;

  /** Where the last successful {@link #find} found it. */
  private int foundTable;

  private int foundEntry;

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

  TranslationBuffer(DropListener listener) {
    this.listener = listener;
    for (int i = 0; i < PAGE_BITS.length; i++) {
      keys[i] = new long[ENTRIES[i]];
      values[i] = new long[ENTRIES[i]];
    }
    clear();
  }

  /** Sets where global translations are looked for, and kept, from now on. */
  void setGlobal(int slot) {
    global = slot;
  }

  private static long key(long linear, int pageBits, int slot) {
    return linear >>> pageBits << 10 | slot;
  }

  private int entry(int table, long linear, int slot) {
    // The slot is mixed in so that equal addresses of different processes do not displace each
    // other.
    return (int) (linear >>> PAGE_BITS[table]) + slot * 193 & ENTRIES[table] - 1;
  }

  /** Finds the translation of the smallest page, in the slot or among the global ones. */
  boolean find(long linear, int slot) {
    for (int table = 0; table < PAGE_BITS.length; table++) {
      if (used[table] && (findIn(table, linear, slot) || findIn(table, linear, global))) {
        return true;
      }
    }
    return false;
  }

  private boolean findIn(int table, long linear, int slot) {
    int entry = entry(table, linear, slot);
    if (keys[table][entry] != key(linear, PAGE_BITS[table], slot)) {
      return false;
    }
    foundTable = table;
    foundEntry = entry;
    long value = values[table][entry];
    frame = value & ~0xfffL;
    pageBits = PAGE_BITS[table];
    writable = (value & WRITABLE) != 0;
    user = (value & USER) != 0;
    noExecute = (value & NO_EXECUTE) != 0;
    dirty = (value & DIRTY) != 0;
    return true;
  }

  /**
   * Whether what was found last permits an access. A store to a page whose dirty bit is not set yet
   * needs a walk.
   */
  boolean permits(ProcessorState state, int access, boolean asUser, boolean smapEnforced) {
    if ((access & PageWalker.FETCH) != 0) {
      return !noExecute && (asUser ? user : !(user && (state.cr4 & ControlBits.CR4_SMEP) != 0));
    }
    boolean write = (access & PageWalker.WRITE) != 0;
    if (write && !dirty) {
      return false;
    }
    if (asUser) {
      return user && (!write || writable);
    }
    if (user && smapEnforced && (state.cr4 & ControlBits.CR4_SMAP) != 0) {
      return false;
    }
    return !write || writable || (state.cr0 & ControlBits.CR0_WP) == 0;
  }

  /**
   * Keeps the translation that the walker found for an access that no translation permitted. Those
   * that did not permit it go, unless the dirty bit is all that was gained.
   */
  void insert(long linear, int slot, PageWalker walk) {
    int table = Arrays.binarySearch(PAGE_BITS, walk.pageBits);
    int where = walk.global ? global : slot;
    int entry = entry(table, linear, where);
    long key = key(linear, walk.pageBits, where);
    long value =
        walk.frame
            | (walk.writable ? WRITABLE : 0)
            | (walk.user ? USER : 0)
            | (walk.noExecute ? NO_EXECUTE : 0)
            | (walk.dirty ? DIRTY : 0);
    if (find(linear, slot)) {
      boolean same = foundTable == table && keys[table][foundEntry] == key;
      if (same && (values[table][entry] | DIRTY) == value) {
        values[table][entry] = value;
        return;
      }
      remove(linear, slot);
    }
    long displaced = keys[table][entry];
    if (displaced != -1) {
      listener.dropped(displaced >> 10 << PAGE_BITS[table], table > 0);
    }
    if (!walk.global) {
      largestNotGlobal = Math.max(largestNotGlobal, table);
    } else if (table < largestNotGlobal) {
      listener.dropped(linear, table > 0);
    }
    used[table] = true;
    keys[table][entry] = key;
    values[table][entry] = value;
  }

  /** Drops the translations of an address in a slot, and the global ones. */
  void remove(long linear, int slot) {
    removeFrom(linear, global);
    removeFrom(linear, slot);
  }

  /** Drops the translations of an address in a slot alone, which may be {@link #GLOBAL}. */
  void removeFrom(long linear, int slot) {
    for (int table = 0; table < PAGE_BITS.length; table++) {
      int entry = entry(table, linear, slot);
      if (keys[table][entry] == key(linear, PAGE_BITS[table], slot)) {
        keys[table][entry] = -1;
        listener.dropped(linear, table > 0);
      }
    }
  }

  /** Drops everything. The listener is not told; the fast tables are to be emptied too. */
  void clear() {
    for (long[] table : keys) {
      Arrays.fill(table, -1);
    }
    Arrays.fill(used, false);
    largestNotGlobal = 0;
  }

  /** Like {@link #clear}, but global translations stay. */
  void clearButGlobal() {
    for (long[] table : keys) {
      for (int i = 0; i < table.length; i++) {
        if ((table[i] & 1023) != GLOBAL) {
          table[i] = -1;
        }
      }
    }
    largestNotGlobal = 0;
  }

  void save(StateWriter out) {
    out.writeInt(largestNotGlobal);
    for (int table = 0; table < PAGE_BITS.length; table++) {
      out.writeBoolean(used[table]);
      out.writeLongs(keys[table]);
      out.writeLongs(values[table]);
    }
  }

  void restore(StateReader in) {
    largestNotGlobal = in.readInt("table of translations", 0, PAGE_BITS.length - 1);
    for (int table = 0; table < PAGE_BITS.length; table++) {
      used[table] = in.readBoolean();
      in.readLongs(keys[table]);
      in.readLongs(values[table]);
    }
  }
}
