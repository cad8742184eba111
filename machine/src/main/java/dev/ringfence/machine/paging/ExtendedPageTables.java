package dev.ringfence.machine.paging;

import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.memory.EntryMemory;
import dev.ringfence.machine.virtualization.ExitReason;
import dev.ringfence.machine.virtualization.VmExit;

/**
 * Walks extended page tables, from guest-physical to physical addresses (SDM volume 3, section
 * 29.3). The result of a walk is left in the fields.
 */
final class ExtendedPageTables {
  /** Kinds of access, and bits 2:0 of entries, which permit them. */
  static final int READ = 1;

  static final int WRITE = 1 << 1;
  static final int FETCH = 1 << 2;

  private static final long PERMISSIONS = READ | WRITE | FETCH;
  private static final long LARGE = 1 << 7;
  private static final long ACCESSED = 1 << 8;
  private static final long DIRTY = 1 << 9;
  private static final long ADDRESS = 0x000ffffffffff000L;

  /** EPT pointer: accessed and dirty bits are set. */
  private static final long MARKS = 1 << 6;

  /** Exit qualification: the guest-linear address is valid. */
  private static final long LINEAR_VALID = 1 << 7;

  /** Exit qualification: the access was to the page itself, not to a guest's table. */
  private static final long FINAL_ACCESS = 1 << 8;

  private final EntryMemory memory;
  private final long physicalLimit;
  private final long[] entryAddress = new long[4];
  private final long[] entryValue = new long[4];

  /** Physical address of the entry that the last walk read last. */
  long lastEntry;

  /**
   * Where the entry at which the last walk ended would lead if it were valid; -1 if that is not to
   * a page.
   */
  long unusedFrame;

  /** The EPT pointer, or 0 if guest-physical addresses are physical ones. */
  long pointer;

  /** Physical address that the last walk found. */
  long physical;

  /** Log2 of the size of the page that it found. */
  int pageBits;

  /** What all levels permit. */
  private long permissions;

  private boolean dirty;
  private boolean misconfigured;

  ExtendedPageTables(EntryMemory memory, int physicalAddressBits) {
    this.memory = memory;
    this.physicalLimit = 1L << physicalAddressBits;
  }

  /** Whether accessed and dirty bits are set; then accesses to a guest's tables count as writes. */
  boolean marks() {
    return (pointer & MARKS) != 0;
  }

  boolean executable() {
    return (permissions & FETCH) != 0;
  }

  /** Whether a store to the page needs no further walk. */
  boolean storable() {
    return (permissions & WRITE) != 0 && dirty;
  }

  /**
   * Walks the tables for an access, and sets accessed and dirty bits if it is permitted.
   *
   * @param access of {@link #READ}, {@link #WRITE}, {@link #FETCH}
   * @return whether it is permitted
   */
  boolean walk(long guestPhysical, int access) {
    int levels = find(guestPhysical);
    if (levels == 0 || (permissions & access) != access) {
      return false;
    }
    if (marks()) {
      mark(levels, (access & WRITE) != 0);
    }
    return true;
  }

  /** Like {@link #walk}, but without effect. */
  boolean examine(long guestPhysical, int access) {
    return find(guestPhysical) != 0 && (permissions & access) == access;
  }

  /** Reads the entries. Returns how many, or 0 if one is not present or malformed. */
  private int find(long guestPhysical) {
    misconfigured = false;
    unusedFrame = -1;
    permissions = PERMISSIONS;
    long table = pointer & ADDRESS;
    for (int level = 4; level >= 1; level--) {
      int shift = 12 + 9 * (level - 1);
      long address = table + ((guestPhysical >>> shift & 511) << 3);
      long entry = memory.readLong(address);
      entryAddress[4 - level] = address;
      entryValue[4 - level] = entry;
      lastEntry = address;
      permissions &= entry;
      boolean leaf = level == 1 || level < 4 && (entry & LARGE) != 0;
      long target = entry & ADDRESS & -(1L << shift) | guestPhysical & (1L << shift) - 1;
      boolean present = (entry & PERMISSIONS) != 0;
      if (!present || malformed(entry, level, leaf, shift)) {
        unusedFrame = leaf ? target : -1;
        misconfigured = present;
        permissions = present ? permissions : 0;
        return 0;
      }
      if (leaf) {
        pageBits = shift;
        physical = target;
        dirty = !marks() || (entry & DIRTY) != 0;
        return 5 - level;
      }
      table = entry & ADDRESS;
    }
    throw new AssertionError("a walk ends at level 1");
  }

  /** EPT misconfigurations (SDM section 29.3.3.1). Pages that can only be executed do not exist. */
  private boolean malformed(long entry, int level, boolean leaf, int shift) {
    if ((entry & READ) == 0 || (entry & ADDRESS & -physicalLimit) != 0) {
      return true;
    }
    if (!leaf) {
      return (entry & (level == 4 ? 0xf8 : 0x78)) != 0;
    }
    long type = entry >>> 3 & 7;
    boolean reservedType = type == 2 || type == 3 || type == 7;
    return reservedType || (entry & (1L << shift) - 1 & ~0xfffL) != 0;
  }

  private void mark(int levels, boolean write) {
    for (int i = 0; i < levels; i++) {
      long bits = ACCESSED | (write && i == levels - 1 ? DIRTY : 0);
      if ((entryValue[i] & bits) != bits) {
        memory.writeLong(entryAddress[i], entryValue[i] | bits);
      }
    }
    dirty |= write;
  }

  /**
   * The exit for the walk that failed last (SDM table 28-7).
   *
   * @param finalAccess whether the access was to what the linear address names, and not to a table
   */
  ProcessorException exit(long guestPhysical, int access, long linear, boolean finalAccess) {
    if (misconfigured) {
      return ProcessorException.of(
          VmExit.ofAccess(ExitReason.EPT_MISCONFIGURATION, 0, 0, guestPhysical));
    }
    long qualification =
        access | permissions << 3 | LINEAR_VALID | (finalAccess ? FINAL_ACCESS : 0);
    return ProcessorException.of(
        VmExit.ofAccess(ExitReason.EPT_VIOLATION, qualification, linear, guestPhysical));
  }

  /** The exit for a walk that failed in an access that has no linear address: to PDPTEs. */
  ProcessorException exitWithoutLinear(long guestPhysical) {
    if (misconfigured) {
      return exit(guestPhysical, READ, 0, false);
    }
    return ProcessorException.of(
        VmExit.ofAccess(ExitReason.EPT_VIOLATION, READ | permissions << 3, 0, guestPhysical));
  }
}
