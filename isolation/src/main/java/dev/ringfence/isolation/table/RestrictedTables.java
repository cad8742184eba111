package dev.ringfence.isolation.table;

import dev.ringfence.machine.memory.MonitorMemory;
import java.util.ArrayList;
import java.util.List;

/**
 * The restricted page tables of one policy: one root for each domain, in the format of 4-level
 * paging (SDM volume 3, section 4.5), in memory that the guest cannot see.
 *
 * <pre>
 * root of a domain   lower half: the guest's own entries of level 4, so user memory is shared
 *                    upper half: entries of the global tree, or of the domain's own
 * global tree        what is nonsensitive for everybody; its tables are shared by all domains
 * own tables         copies of shared tables on the path to pages that are mapped for one domain only;
 *                    the entry that points at one has bit 52 set, which hardware ignores
 * </pre>
 *
 * <p>Leaves map 4 KiB each, since a page can change hands without its neighbours. A domain's own
 * table takes over later additions to the global one when they are touched ({@link #synchronize}),
 * as the kernel once did for vmalloc areas; removals go through all of them at once.
 */
public final class RestrictedTables {
  /** Present. */
  public static final long PRESENT = 1;

  /** Writable. */
  public static final long WRITABLE = 1 << 1;

  /** Accessed and dirty, which no walk needs to set then. */
  public static final long ACCESSED_DIRTY = 1 << 5 | 1 << 6;

  /** Execute-disable. */
  public static final long NO_EXECUTE = 1L << 63;

  /** Physical address in an entry. */
  public static final long ADDRESS = 0x000f_ffff_ffff_f000L;

  /** Set in entries that point at a table of one domain alone. */
  private static final long OWN = 1L << 52;

  /** Permissive: the leaf alone decides, as in Linux's kernel tables. */
  private static final long TABLE = PRESENT | WRITABLE | 1 << 2 | 1 << 5;

  private static final int UPPER_HALF = 256;
  private static final int ENTRIES = 512;

  private final MonitorMemory memory;
  private final long globalRoot;
  private final List<Long> roots = new ArrayList<>();
  private long tables;
  private long peakTables;

  /** Called with the leaves of a tree. */
  @FunctionalInterface
  public interface Visitor {
    /**
     * A leaf.
     *
     * @param linear address of the page
     * @param entry that maps it
     */
    void leaf(long linear, long entry);
  }

  public RestrictedTables(MonitorMemory memory) {
    this.memory = memory;
    this.globalRoot = newTable();
  }

  /** Creates the root of a domain. */
  public long createRoot() {
    long root = newTable();
    roots.add(root);
    return root;
  }

  /** Gives back the root of a domain and the tables of its own. */
  public void destroyRoot(long root) {
    if (!roots.remove(root)) {
      throw new IllegalArgumentException("%x is no root".formatted(root));
    }
    freeOwn(root, 4);
  }

  private void freeOwn(long table, int level) {
    if (level > 1) {
      for (int i = level == 4 ? UPPER_HALF : 0; i < ENTRIES; i++) {
        long entry = memory.readLong(table + 8L * i);
        if ((entry & OWN) != 0) {
          freeOwn(entry & ADDRESS, level - 1);
        }
      }
    }
    memory.freePage(table);
    tables--;
  }

  /** Makes the lower half of a root equal to that of the guest's tables. */
  public void shareLowerHalf(long root, long guestRoot) {
    if (!memory.sameAsGuest(root, guestRoot, UPPER_HALF * 8)) {
      for (int i = 0; i < UPPER_HALF; i++) {
        memory.writeLong(root + 8L * i, memory.readLong(guestRoot + 8L * i));
      }
    }
  }

  /** Maps a page for all domains. Replaces what was mapped there. */
  public void mapGlobal(long linear, long entry) {
    memory.writeLong(slotIn(globalRoot, linear, true, false), entry);
    for (long root : roots) {
      long own = ownSlot(root, linear);
      if (own != 0 && memory.readLong(own) != 0) {
        memory.writeLong(own, entry);
      }
    }
  }

  /** Maps a page for one domain. */
  public void mapLocal(long root, long linear, long entry) {
    memory.writeLong(slotIn(root, linear, true, true), entry);
  }

  /**
   * Brings into a domain's tables what the global tree maps at an address and they lack.
   *
   * @return whether anything changed
   */
  public boolean synchronize(long root, long linear) {
    long global = slotIn(globalRoot, linear, false, false);
    if (global == 0) {
      return false;
    }
    long entry = memory.readLong(global);
    if (entry == 0) {
      return false;
    }
    long own = ownSlot(root, linear);
    if (own != 0) {
      if (memory.readLong(own) != 0) {
        return false;
      }
      memory.writeLong(own, entry);
      return true;
    }
    return shareBranch(root, globalRoot, linear, 4);
  }

  /** Points a domain's tables at the first shared table that they lack on the way to an address. */
  private boolean shareBranch(long table, long global, long linear, int level) {
    long at = index(linear, level) * 8;
    long entry = memory.readLong(table + at);
    long shared = memory.readLong(global + at);
    if (entry == 0) {
      memory.writeLong(table + at, shared);
      return shared != 0;
    }
    return (entry & OWN) != 0 && level > 2
        ? shareBranch(entry & ADDRESS, shared & ADDRESS, linear, level - 1)
        : false;
  }

  /** The leaf that a domain's tables hold for an address, 0 if they do not map it. */
  public long entry(long root, long linear) {
    long slot = slotIn(root, linear, false, false);
    return slot == 0 ? 0 : memory.readLong(slot);
  }

  /** The leaf of the global tree for an address, 0 if it does not map it. */
  public long globalEntry(long linear) {
    return entry(globalRoot, linear);
  }

  /**
   * A leaf for an address: the global tree's or, if it has none, that of a domain alone; 0 if none
   * maps it. All lead to the same frame, for the kernel has one mapping of its half for all.
   */
  public long anyEntry(long linear) {
    long entry = globalEntry(linear);
    for (int i = 0; i < roots.size() && entry == 0; i++) {
      long own = ownSlot(roots.get(i), linear);
      entry = own == 0 ? 0 : memory.readLong(own);
    }
    return entry;
  }

  /**
   * Takes a page out of all tables.
   *
   * @return whether any mapped it
   */
  public boolean unmap(long linear) {
    boolean mapped = clear(slotIn(globalRoot, linear, false, false));
    for (long root : roots) {
      mapped |= clear(ownSlot(root, linear));
    }
    return mapped;
  }

  private boolean clear(long slot) {
    if (slot == 0 || memory.readLong(slot) == 0) {
      return false;
    }
    memory.writeLong(slot, 0);
    return true;
  }

  /** Visits the leaves of the upper half of a domain's tables. */
  public void forEach(long root, Visitor visitor) {
    visit(root, 4, 0, visitor);
  }

  /** Visits the leaves of the global tree. */
  public void forEachGlobal(Visitor visitor) {
    visit(globalRoot, 4, 0, visitor);
  }

  /** Visits the leaves of the global tree and, beside them, those of all domains' own tables. */
  public void forEachOfAll(Visitor visitor) {
    forEachGlobal(visitor);
    for (long root : roots) {
      visitOwn(root, 4, 0, visitor);
    }
  }

  private void visit(long table, int level, long base, Visitor visitor) {
    for (int i = level == 4 ? UPPER_HALF : 0; i < ENTRIES; i++) {
      long entry = memory.readLong(table + 8L * i);
      if (entry != 0) {
        long linear = level == 4 ? (long) i << 39 | -1L << 48 : base | (long) i << shift(level);
        if (level == 1) {
          visitor.leaf(linear, entry);
        } else {
          visit(entry & ADDRESS, level - 1, linear, visitor);
        }
      }
    }
  }

  private void visitOwn(long table, int level, long base, Visitor visitor) {
    for (int i = level == 4 ? UPPER_HALF : 0; i < ENTRIES; i++) {
      long entry = memory.readLong(table + 8L * i);
      if (entry != 0) {
        long linear = level == 4 ? (long) i << 39 | -1L << 48 : base | (long) i << shift(level);
        if (level == 1) {
          if (globalEntry(linear) == 0) {
            visitor.leaf(linear, entry);
          }
        } else if ((entry & OWN) != 0) {
          visitOwn(entry & ADDRESS, level - 1, linear, visitor);
        }
      }
    }
  }

  /** Bytes of tables. */
  public long tableBytes() {
    return tables << 12;
  }

  /** Most bytes of tables that there ever were. */
  public long peakTableBytes() {
    return peakTables << 12;
  }

  /** Roots of all domains. */
  public List<Long> roots() {
    return List.copyOf(roots);
  }

  private static int shift(int level) {
    return 12 + 9 * (level - 1);
  }

  private static long index(long linear, int level) {
    return linear >>> shift(level) & ENTRIES - 1;
  }

  /**
   * Address of the leaf for a linear address, 0 if a table on the way is missing.
   *
   * @param create whether missing tables are made
   * @param own whether tables on the way are to be the domain's own: shared ones are copied
   */
  private long slotIn(long root, long linear, boolean create, boolean own) {
    long table = root;
    for (int level = 4; level > 1; level--) {
      long slot = table + 8 * index(linear, level);
      long entry = memory.readLong(slot);
      if (own && (entry & OWN) == 0) {
        long copy = newTable();
        if (entry != 0) {
          for (long at = 0; at < ENTRIES * 8; at += 8) {
            memory.writeLong(copy + at, memory.readLong((entry & ADDRESS) + at));
          }
        }
        entry = copy | TABLE | OWN;
        memory.writeLong(slot, entry);
      } else if (entry == 0) {
        if (!create) {
          return 0;
        }
        entry = newTable() | TABLE;
        memory.writeLong(slot, entry);
      }
      table = entry & ADDRESS;
    }
    return table + 8 * index(linear, 1);
  }

  /** Address of the leaf in a table of the domain's own, 0 if it has none there. */
  private long ownSlot(long root, long linear) {
    long table = root;
    for (int level = 4; level > 1; level--) {
      long entry = memory.readLong(table + 8 * index(linear, level));
      if ((entry & OWN) == 0) {
        return 0;
      }
      table = entry & ADDRESS;
    }
    return table + 8 * index(linear, 1);
  }

  private long newTable() {
    long page = memory.allocatePage();
    if (page < 0) {
      throw new OutOfTablesException();
    }
    tables++;
    peakTables = Math.max(peakTables, tables);
    return page;
  }

  /** The memory for tables is used up. */
  public static final class OutOfTablesException extends IllegalStateException {
    private static final long serialVersionUID = 1;

    OutOfTablesException() {
      super("the memory for restricted page tables is used up");
    }
  }
}
