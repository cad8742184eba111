package dev.ringfence.linux.running;

import dev.ringfence.machine.memory.PhysicalMemory;

/**
 * Page tables in the memory of the machine, walked without a processor: no access is made in the
 * guest, no accessed bit is set and no register of a device is read. Four levels (Intel SDM volume
 * 3, section 4.5); entries outside RAM count as not present.
 */
public final class PageTables {
  /** Bit of an entry: present. */
  public static final long PRESENT = 1;

  /** Bit of an entry of the second and third level: maps a page of 2 MiB or 1 GiB. */
  public static final long LARGE = 0x80;

  private static final long FRAME = 0x000f_ffff_ffff_f000L;

  private static final int TOP_SHIFT = 39;
  private static final int PAGE_SHIFT = 12;
  private static final int BITS_OF_LEVEL = 9;

  /** Told of what a range of linear addresses is mapped to. */
  public interface Visitor {
    /** A table of any level, once for each entry that refers to it. */
    default void table(long physical) {}

    /**
     * A page.
     *
     * @param bytes 4 KiB, 2 MiB or 1 GiB; the page may begin before or end behind the range asked
     *     for
     */
    void page(long linear, long physical, long bytes);
  }

  private final PhysicalMemory memory;

  /** Tables after which a visit ends. */
  private final int mostTables;

  /** Tables in the memory of a machine. */
  public PageTables(PhysicalMemory memory) {
    this.memory = memory;
    mostTables = (int) Math.min(4096 + 4L * memory.ramPages(), Integer.MAX_VALUE - 1);
  }

  /** Reads 8 bytes of RAM; 0 elsewhere. */
  private long entry(long physical) {
    return memory.isRam(physical, 8) ? memory.readLong(physical) : 0;
  }

  /**
   * Translates an address.
   *
   * @param root physical address of the top table
   * @return the physical address, or -1 if the tables do not map it
   */
  public long translate(long root, long linear) {
    long table = root;
    for (int shift = TOP_SHIFT; ; shift -= BITS_OF_LEVEL) {
      long entry = entry(table + ((linear >>> shift & 0x1ff) << 3));
      if ((entry & PRESENT) == 0) {
        return -1;
      }
      if (shift == PAGE_SHIFT || shift < TOP_SHIFT && (entry & LARGE) != 0) {
        long offsetMask = (1L << shift) - 1;
        return entry & FRAME & ~offsetMask | linear & offsetMask;
      }
      table = entry & FRAME;
    }
  }

  /**
   * Visits tables and pages of a range, by rising address. Tables of a broken guest may refer to
   * each other in circles; the visit ends when it has seen several times more tables than RAM has
   * pages.
   *
   * @param root physical address of the top table
   * @param start first linear address
   * @param last last linear address, inclusive, so that a range can end at the top
   * @return how many tables below the top one were visited
   */
  public int visit(long root, long start, long last, Visitor visitor) {
    return visit(root, TOP_SHIFT, start, last, visitor, 0);
  }

  private int visit(
      long table, int shift, long start, long last, Visitor visitor, int visitedBefore) {
    int visited = visitedBefore;
    long bytes = 1L << shift;
    long at = start & -bytes;
    while (visited <= mostTables) {
      long entry = entry(table + ((at >>> shift & 0x1ff) << 3));
      if ((entry & PRESENT) != 0) {
        if (shift == PAGE_SHIFT || shift < TOP_SHIFT && (entry & LARGE) != 0) {
          visitor.page(at, entry & FRAME & -bytes, bytes);
        } else {
          long lower = entry & FRAME;
          visitor.table(lower);
          long from = Long.compareUnsigned(at, start) < 0 ? start : at;
          long end = at + bytes - 1;
          long to = Long.compareUnsigned(end, last) > 0 ? last : end;
          visited = visit(lower, shift - BITS_OF_LEVEL, from, to, visitor, visited + 1);
        }
      }
      if (Long.compareUnsigned(last - at, bytes) < 0) {
        break;
      }
      at += bytes;
    }
    return visited;
  }
}
