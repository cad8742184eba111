package dev.ringfence.linux.provenance;

import dev.ringfence.linux.image.KernelImage;
import java.util.OptionalLong;
import java.util.function.Function;

/**
 * Marks of pages that are in no address space, in the field {@code page_type} that they share with
 * the count of mappings (Linux, include/linux/page-flags.h). The encoding has changed:
 *
 * <ul>
 *   <li>up to 6.10: a mark is a bit that is clear under 0xf0000000; slabs have a flag of their own
 *       up to 6.9;
 *   <li>6.11: the same under 0x80000000, with other bits, which are enumerators;
 *   <li>since 6.12: the mark is a number in the top byte.
 * </ul>
 */
final class PageTypes {
  /** Enumerators of page flags are numbers of bits in a word; those of 6.11's marks are masks. */
  private static final int BITS = 64;

  private final boolean numbered;
  private final int base;
  private final int buddy;
  private final int table;
  private final int slab;
  private final int largeKmalloc;
  private final long slabFlag;

  private PageTypes(
      boolean numbered, int base, int buddy, int table, int slab, int largeKmalloc, long slabFlag) {
    this.numbered = numbered;
    this.base = base;
    this.buddy = buddy;
    this.table = table;
    this.slab = slab;
    this.largeKmalloc = largeKmalloc;
    this.slabFlag = slabFlag;
  }

  /** The encoding of a kernel. */
  static PageTypes of(KernelImage image) {
    return of(image.types()::enumValue, image.isAtLeast(5, 11));
  }

  /**
   * The encoding of a kernel.
   *
   * @param enumerators values of the kernel's enumerators by name
   * @param sinceLinux511 whether it is at least Linux 5.11
   */
  static PageTypes of(Function<String, OptionalLong> enumerators, boolean sinceLinux511) {
    if (enumerators.apply("PGTY_buddy").isPresent()) {
      return new PageTypes(
          true,
          0,
          (int) enumerators.apply("PGTY_buddy").getAsLong(),
          (int) enumerators.apply("PGTY_table").orElse(0),
          (int) enumerators.apply("PGTY_slab").orElse(0),
          (int) enumerators.apply("PGTY_large_kmalloc").orElse(0),
          0);
    }
    OptionalLong slab = enumerators.apply("PG_slab");
    if (enumerators.apply("PG_buddy").isPresent()) {
      return new PageTypes(
          false,
          (int) enumerators.apply("PAGE_TYPE_BASE").orElse(0x8000_0000L),
          (int) enumerators.apply("PG_buddy").getAsLong(),
          (int) enumerators.apply("PG_table").orElse(0),
          (int) slab.orElse(0),
          0,
          0);
    }
    // Macros until here, which BTF does not have. 5.10 still had a mark before that of tables.
    int table = sinceLinux511 ? 0x200 : 0x400;
    boolean slabIsFlag = slab.isPresent() && slab.getAsLong() < BITS;
    return new PageTypes(
        false,
        0xf000_0000,
        0x80,
        table,
        slabIsFlag ? 0 : 0x1000,
        0,
        slabIsFlag ? 1L << slab.getAsLong() : 0);
  }

  private boolean is(int pageType, int mark) {
    return mark != 0 && (numbered ? pageType >>> 24 == mark : (pageType & (base | mark)) == base);
  }

  /** First page of a block that is free in the page allocator. */
  boolean isBuddy(int pageType) {
    return is(pageType, buddy);
  }

  boolean isTable(int pageType) {
    return is(pageType, table);
  }

  boolean isSlab(long flags, int pageType) {
    return slabFlag != 0 ? (flags & slabFlag) != 0 : is(pageType, slab);
  }

  /** Only newer kernels mark these. */
  boolean isLargeKmalloc(int pageType) {
    return is(pageType, largeKmalloc);
  }
}
