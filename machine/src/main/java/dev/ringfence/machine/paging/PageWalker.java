package dev.ringfence.machine.paging;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.memory.EntryMemory;

/**
 * Walks page tables (SDM volume 3, chapter 4): 4-level, PAE and 32-bit paging, all permission
 * rules, accessed and dirty bits. The result of a walk is left in the fields.
 */
public final class PageWalker {
  /** Bits of a page fault's error code. */
  public static final int PRESENT = 1;

  public static final int WRITE = 1 << 1;
  public static final int USER = 1 << 2;
  public static final int RESERVED = 1 << 3;
  public static final int FETCH = 1 << 4;

  private static final long PTE_PRESENT = 1;
  private static final long PTE_WRITABLE = 1 << 1;
  private static final long PTE_USER = 1 << 2;
  private static final long PTE_ACCESSED = 1 << 5;
  private static final long PTE_DIRTY = 1 << 6;
  private static final long PTE_LARGE = 1 << 7;
  private static final long PTE_GLOBAL = 1 << 8;
  private static final long PTE_NO_EXECUTE = 1L << 63;

  private final EntryMemory memory;
  private final long physicalLimit;
  private final ExtendedPageTables extended;

  /** Whether the walk has no effect: what extended page tables refuse is then not present. */
  private boolean quiet;

  /** Physical address of the first byte of the page found. */
  long frame;

  /** Log2 of the page size: 12, 21, 22 or 30. */
  int pageBits;

  boolean writable;
  boolean user;
  boolean noExecute;
  boolean global;
  boolean dirty;

  /** Error code of a failed walk. */
  int errorCode;

  /** Entries that the last walk read, whatever it came to. */
  private int entries;

  private final long[] entryAddress = new long[4];
  private final long[] entryValue = new long[4];

  /** Addresses of the entries before extended page tables. */
  private final long[] guestAddress = new long[4];

  /**
   * Physical addresses of the last entries of extended page tables that were read for each entry,
   * and for the page itself.
   */
  private final long[] extendedAddress = new long[5];

  /**
   * Where the entry at which the last walk ended would lead if it were valid; -1 if that is not to
   * a page.
   */
  private long unusedFrame;

  /**
   * @param memory that holds the tables
   * @param physicalAddressBits MAXPHYADDR; higher address bits of entries are reserved
   */
  public PageWalker(EntryMemory memory, int physicalAddressBits) {
    this.memory = memory;
    this.physicalLimit = 1L << physicalAddressBits;
    this.extended = new ExtendedPageTables(memory, physicalAddressBits);
  }

  /**
   * Translates guest-physical addresses from now on, or no more: those of the tables, and what they
   * lead to.
   *
   * @param pointer the EPT pointer, or 0
   */
  void setExtended(long pointer) {
    extended.pointer = pointer;
  }

  /** Whether guest-physical addresses are translated. */
  boolean isExtended() {
    return extended.pointer != 0;
  }

  /**
   * Walks the tables for an access, and sets accessed and dirty bits if it is permitted.
   *
   * @param access 0 for a load, or {@link #WRITE}, or {@link #FETCH}
   * @param asUser user-mode access
   * @param smapEnforced supervisor-mode data access to which SMAP applies: EFLAGS.AC is clear, or
   *     it is implicit
   * @return whether a permitted translation exists; if not, {@link #errorCode} is set
   */
  public boolean walk(
      ProcessorState state,
      long root,
      long linear,
      int access,
      boolean asUser,
      boolean smapEnforced) {
    boolean noExecuteEnabled = (state.efer & ControlBits.EFER_NXE) != 0;
    int error = (access & WRITE) | (asUser ? USER : 0);
    if ((access & FETCH) != 0 && (noExecuteEnabled || (state.cr4 & ControlBits.CR4_SMEP) != 0)) {
      error |= FETCH;
    }
    quiet = false;
    int levels = find(state, root, linear, noExecuteEnabled);
    if (levels <= 0) {
      errorCode = error | (levels < 0 ? RESERVED | PRESENT : 0);
      return false;
    }
    if (!permitted(state, access, asUser, smapEnforced)) {
      errorCode = error | PRESENT;
      return false;
    }
    mark(state, levels, (access & WRITE) != 0, linear);
    if (extended.pointer != 0) {
      extend(linear, access);
    }
    return true;
  }

  /** Like {@link #walk} while paging is off, when linear addresses are guest-physical ones. */
  void walkUnpaged(long linear, int access, boolean asUser) {
    quiet = false;
    unpaged(linear, asUser);
    extend(linear, access);
  }

  private void unpaged(long linear, boolean asUser) {
    entries = 0;
    writable = true;
    user = asUser;
    noExecute = false;
    global = false;
    dirty = true;
    frame = linear & ~0x3fffffffL;
    pageBits = 30;
  }

  /** Like {@link #walkUnpaged}, but without effect. */
  Finding examineUnpaged(long linear, int access, boolean asUser) {
    quiet = true;
    unpaged(linear, asUser);
    return reached(linear, access) ? Finding.PERMITTED : Finding.NOT_PRESENT;
  }

  /** Takes the page that was found through the extended page tables, which may make it smaller. */
  private void extend(long linear, int access) {
    long guestPhysical = frame | linear & (1L << pageBits) - 1;
    int kind = ExtendedPageTables.READ;
    if ((access & WRITE) != 0) {
      kind = ExtendedPageTables.READ | ExtendedPageTables.WRITE;
    } else if ((access & FETCH) != 0) {
      kind = ExtendedPageTables.FETCH;
    }
    boolean reaches =
        quiet ? extended.examine(guestPhysical, kind) : extended.walk(guestPhysical, kind);
    extendedAddress[entries] = extended.lastEntry;
    if (!reaches) {
      unusedFrame = extended.unusedFrame;
      int accessed = (access & WRITE) != 0 ? ExtendedPageTables.WRITE : kind;
      throw extended.exit(guestPhysical, accessed, linear, true);
    }
    pageBits = Math.min(pageBits, extended.pageBits);
    frame = extended.physical & -(1L << pageBits);
    noExecute |= !extended.executable();
    // A store needs a walk until it has set the dirty bits of both tables, or if it is forbidden.
    dirty &= extended.storable();
  }

  /**
   * Physical address of an entry of the guest's tables, or -1 if a quiet walk does not reach it.
   * Then {@link #entries} is how many entries have been read before.
   */
  private long entryAt(long guestPhysical, long linear) {
    if (extended.pointer == 0) {
      return guestPhysical;
    }
    long address = extendedEntryAt(guestPhysical, linear);
    extendedAddress[entries] = extended.lastEntry;
    return address;
  }

  private long extendedEntryAt(long guestPhysical, long linear) {
    int access =
        extended.marks()
            ? ExtendedPageTables.READ | ExtendedPageTables.WRITE
            : ExtendedPageTables.READ;
    if (quiet) {
      return extended.examine(guestPhysical, access) ? extended.physical : -1;
    }
    if (!extended.walk(guestPhysical, access)) {
      throw extended.exit(guestPhysical, access, linear, false);
    }
    return extended.physical;
  }

  /** Reads a PDPTE, which is loaded by its guest-physical address. */
  long readPointer(long guestPhysical) {
    if (extended.pointer == 0) {
      return memory.readLong(guestPhysical);
    }
    if (!extended.walk(guestPhysical, ExtendedPageTables.READ)) {
      throw extended.exitWithoutLinear(guestPhysical);
    }
    return memory.readLong(extended.physical);
  }

  /**
   * Like {@link #walk} with neither permission checks nor marks: whether the address is mapped at
   * all.
   */
  public boolean probe(ProcessorState state, long root, long linear) {
    quiet = true;
    return find(state, root, linear, (state.efer & ControlBits.EFER_NXE) != 0) > 0
        && reached(linear, 0);
  }

  /** Whether the extended page tables, if there are any, permit what the guest's tables do. */
  private boolean reached(long linear, int access) {
    if (extended.pointer == 0) {
      return true;
    }
    try {
      extend(linear, access);
      return true;
    } catch (ProcessorException e) {
      return false;
    }
  }

  /** What {@link #examine} finds. */
  enum Finding {
    PERMITTED,
    NOT_PRESENT,
    RESERVED,
    DENIED
  }

  /**
   * Like {@link #walk}, but without effect: no bit is set, and the tables' entries that it read are
   * in {@link #entries}, whatever it came to.
   */
  Finding examine(
      ProcessorState state,
      long root,
      long linear,
      int access,
      boolean asUser,
      boolean smapEnforced) {
    quiet = true;
    int levels = find(state, root, linear, (state.efer & ControlBits.EFER_NXE) != 0);
    if (levels <= 0) {
      return levels == 0 ? Finding.NOT_PRESENT : Finding.RESERVED;
    }
    if (!reached(linear, access)) {
      return Finding.NOT_PRESENT;
    }
    return permitted(state, access, asUser, smapEnforced) ? Finding.PERMITTED : Finding.DENIED;
  }

  /** Entries of tables that the last walk read, from the root on. */
  int entries() {
    return entries;
  }

  /** Physical address of one of {@link #entries}. */
  long entryAddress(int index) {
    return entryAddress[index];
  }

  /**
   * Physical address of the last entry of extended page tables that was read for one of {@link
   * #entries}, or, behind these, for the page.
   */
  long extendedAddress(int index) {
    return extendedAddress[index];
  }

  /**
   * Where the entry at which the last walk ended without a translation would lead if it were valid:
   * an entry of the tables that names a page, or, if these are complete, of the extended ones. -1
   * if the walk ended elsewhere.
   */
  long unusedFrame() {
    return unusedFrame;
  }

  /** Whether a permitted access sets an accessed or dirty bit after the last walk. */
  boolean marks(boolean write) {
    for (int i = 0; i < entries; i++) {
      long bits = PTE_ACCESSED | (write && i == entries - 1 ? PTE_DIRTY : 0);
      if ((entryValue[i] & bits) != bits) {
        return true;
      }
    }
    return false;
  }

  private boolean permitted(
      ProcessorState state, int access, boolean asUser, boolean smapEnforced) {
    if ((access & FETCH) != 0) {
      if (noExecute) {
        return false;
      }
      return asUser ? user : !(user && (state.cr4 & ControlBits.CR4_SMEP) != 0);
    }
    if (asUser) {
      return user && ((access & WRITE) == 0 || writable);
    }
    if (user && smapEnforced && (state.cr4 & ControlBits.CR4_SMAP) != 0) {
      return false;
    }
    return (access & WRITE) == 0 || writable || (state.cr0 & ControlBits.CR0_WP) == 0;
  }

  /**
   * Reads the entries. Returns how many, 0 if one is not present, -1 if one has reserved bits set.
   */
  private int find(ProcessorState state, long root, long linear, boolean noExecuteEnabled) {
    entries = 0;
    unusedFrame = -1;
    if (state.longMode()) {
      return find64(state, root & 0x000ffffffffff000L, linear, 4, noExecuteEnabled);
    }
    if ((state.cr4 & ControlBits.CR4_PAE) != 0) {
      long pointer = state.pageDirectoryPointers[(int) (linear >>> 30) & 3];
      if ((pointer & PTE_PRESENT) == 0) {
        return 0;
      }
      return find64(state, pointer & 0x000ffffffffff000L, linear, 2, noExecuteEnabled);
    }
    return find32(state, root & 0xfffff000L, linear);
  }

  private int find64(
      ProcessorState state, long table, long linear, int top, boolean noExecuteEnabled) {
    writable = true;
    user = true;
    noExecute = false;
    long reservedAddress = ~(physicalLimit - 1) & 0x000fffffffffffffL;
    if (!noExecuteEnabled) {
      reservedAddress |= PTE_NO_EXECUTE;
    }
    if (top == 2) {
      reservedAddress |= 0x7ff0000000000000L; // PAE entries reserve bits 62:52 (SDM table 4-9)
    }
    long at = table;
    for (int level = top; level >= 1; level--) {
      int shift = 12 + 9 * (level - 1);
      guestAddress[top - level] = at + ((linear >>> shift & 511) << 3);
      long address = entryAt(guestAddress[top - level], linear);
      if (address < 0) {
        return 0;
      }
      long entry = memory.readLong(address);
      entryAddress[top - level] = address;
      entryValue[top - level] = entry;
      entries = top - level + 1;
      boolean large = (entry & PTE_LARGE) != 0 && level > 1;
      boolean leaf = large || level == 1;
      unusedFrame = leaf ? unusedFrame(entry & 0x000ffffffffff000L, shift, linear) : -1;
      if ((entry & PTE_PRESENT) == 0) {
        return 0;
      }
      long reserved = reservedAddress;
      if (large) {
        if (level > (state.longMode() ? 3 : 2)) {
          reserved |= PTE_LARGE;
        } else {
          reserved |= (1L << shift) - 1 & ~0x1fffL;
        }
      }
      if ((entry & reserved) != 0) {
        return -1;
      }
      writable &= (entry & PTE_WRITABLE) != 0;
      user &= (entry & PTE_USER) != 0;
      noExecute |= (entry & PTE_NO_EXECUTE) != 0;
      if (leaf) {
        leaf(state, entry, shift, entry & 0x000ffffffffff000L & -(1L << shift));
        return top - level + 1;
      }
      at = entry & 0x000ffffffffff000L;
    }
    throw new AssertionError("a walk ends at level 1");
  }

  /** Where an entry that names a page leads, valid or not. */
  private static long unusedFrame(long physical, int bits, long linear) {
    return physical & -(1L << bits) | linear & (1L << bits) - 1;
  }

  private int find32(ProcessorState state, long table, long linear) {
    noExecute = false;
    guestAddress[0] = table + ((linear >>> 22 & 1023) << 2);
    long address = entryAt(guestAddress[0], linear);
    if (address < 0) {
      return 0;
    }
    long entry = memory.readInt(address) & 0xffffffffL;
    entryAddress[0] = address;
    entryValue[0] = entry;
    entries = 1;
    boolean large = (entry & PTE_LARGE) != 0 && (state.cr4 & ControlBits.CR4_PSE) != 0;
    long largePage = entry & 0xffc00000L | (entry >>> 13 & 0xff) << 32;
    unusedFrame = large ? unusedFrame(largePage, 22, linear) : -1;
    if ((entry & PTE_PRESENT) == 0) {
      return 0;
    }
    writable = (entry & PTE_WRITABLE) != 0;
    user = (entry & PTE_USER) != 0;
    if (large) {
      if ((entry & 1 << 21) != 0) {
        // PSE-36 uses bits 20:13 for address bits 39:32; bit 21 is reserved (SDM table 4-4).
        return -1;
      }
      leaf(state, entry, 22, largePage);
      return 1;
    }
    guestAddress[1] = (entry & 0xfffff000L) + ((linear >>> 12 & 1023) << 2);
    address = entryAt(guestAddress[1], linear);
    if (address < 0) {
      return 0;
    }
    entry = memory.readInt(address) & 0xffffffffL;
    entryAddress[1] = address;
    entryValue[1] = entry;
    entries = 2;
    unusedFrame = unusedFrame(entry & 0xfffff000L, 12, linear);
    if ((entry & PTE_PRESENT) == 0) {
      return 0;
    }
    writable &= (entry & PTE_WRITABLE) != 0;
    user &= (entry & PTE_USER) != 0;
    leaf(state, entry, 12, entry & 0xfffff000L);
    return 2;
  }

  private void leaf(ProcessorState state, long entry, int bits, long physical) {
    frame = physical;
    pageBits = bits;
    global = (entry & PTE_GLOBAL) != 0 && (state.cr4 & ControlBits.CR4_PGE) != 0;
    dirty = (entry & PTE_DIRTY) != 0;
  }

  private void mark(ProcessorState state, int levels, boolean write, long linear) {
    boolean wide = state.longMode() || (state.cr4 & ControlBits.CR4_PAE) != 0;
    for (int i = 0; i < levels; i++) {
      long bits = PTE_ACCESSED | (write && i == levels - 1 ? PTE_DIRTY : 0);
      if ((entryValue[i] & bits) != bits) {
        requireWritable(i, linear);
        if (wide) {
          memory.writeLong(entryAddress[i], entryValue[i] | bits);
        } else {
          memory.writeInt(entryAddress[i], (int) (entryValue[i] | bits));
        }
      }
    }
    dirty |= write;
  }

  /** Exits if extended page tables forbid a store to an entry of the guest's tables. */
  private void requireWritable(int entry, long linear) {
    if (extended.pointer != 0 && !extended.marks()) {
      int access = ExtendedPageTables.READ | ExtendedPageTables.WRITE;
      if (!extended.walk(guestAddress[entry], access)) {
        throw extended.exit(guestAddress[entry], access, linear, false);
      }
    }
  }

  /** Physical address of the first byte of the page that was found last. */
  public long frame() {
    return frame;
  }

  /** Log2 of the size of the page that was found last. */
  public int pageBits() {
    return pageBits;
  }

  /** Whether all levels of the last walk permit writes. */
  public boolean writable() {
    return writable;
  }

  /** Whether any level of the last walk forbids instruction fetches. */
  public boolean noExecute() {
    return noExecute;
  }

  /** The page fault of the walk that failed last. */
  ProcessorException fault(long linear) {
    return ProcessorException.pageFault(linear, errorCode);
  }
}
