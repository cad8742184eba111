package dev.ringfence.machine.paging;

/**
 * Memory as one processor sees it, by linear address. Every access is translated and checked; what
 * is not allowed raises a {@link dev.ringfence.machine.cpu.ProcessorException}. Loads return
 * zero-extended values.
 */
public interface LinearMemory {
  long load8(long linear);

  long load16(long linear);

  long load32(long linear);

  long load64(long linear);

  void store8(long linear, long value);

  void store16(long linear, long value);

  void store32(long linear, long value);

  void store64(long linear, long value);

  /**
   * Raises what a store of {@code bytes} bytes (up to 4096) would raise, and sets accessed and
   * dirty bits.
   */
  void checkStore(long linear, int bytes);

  /** Raises what a load of {@code bytes} bytes (up to 4096) would raise. */
  void checkLoad(long linear, int bytes);

  /**
   * Copies bytes upwards, if both ranges lie in one page each of plain RAM and the copy needs no
   * care byte by byte. Raises what accesses to the first bytes would raise.
   *
   * @return whether the bytes were copied; otherwise nothing was
   */
  boolean copy(long from, long to, int bytes);

  /** Fills with the low {@code size} bytes of a value, under the conditions of {@link #copy}. */
  boolean fill(long to, int bytes, long value, int size);

  /** Loads as a supervisor whatever the CPL: descriptor tables, TSS, interrupt stacks. */
  long loadSystem(long linear, int bytes);

  /** Stores as a supervisor whatever the CPL. */
  void storeSystem(long linear, int bytes, long value);

  /** Like {@link #checkStore}, as a supervisor. */
  void checkStoreSystem(long linear, int bytes);

  /**
   * Takes over a change of CPL, EFLAGS.AC, CR0, CR4, EFER or PCID: later accesses are checked by
   * the new rules. Translations stay as they are.
   */
  void contextChanged();

  /** INVLPG: drops translations of one page in the current PCID, and global ones. */
  void invalidatePage(long linear);

  /** INVPCID type 0: drops translations of one page in one PCID, but not global ones. */
  void invalidatePage(long linear, int pcid);

  /** Drops the translations of one PCID except global ones: MOV to CR3, INVPCID type 1. */
  void invalidatePcid(int pcid);

  /** Drops all translations of all PCIDs. */
  void invalidateAll();

  /** Drops all translations except global ones. */
  void invalidateAllButGlobal();

  /** Debug registers changed: pages with enabled data breakpoints must leave the fast path. */
  void breakpointsChanged();

  /**
   * Physical address of a linear one, by the current tables, with no check and no trace; -1 if not
   * mapped.
   */
  long probe(long linear);
}
