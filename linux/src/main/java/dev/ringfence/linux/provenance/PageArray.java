package dev.ringfence.linux.provenance;

import dev.ringfence.linux.running.RunningKernel;
import dev.ringfence.linux.type.TypeTable;
import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.Arrays;
import java.util.OptionalLong;

/**
 * The fields of {@code struct page}, by page frame number. Scans read them for every page of RAM,
 * so the physical pages that hold the array are looked up once; they stay what they are.
 */
final class PageArray {
  private static final int NOT_KNOWN = 0;
  private static final int NOT_MAPPED = -1;

  /**
   * Masks of compound_info are above all pointers: CONFIG_HUGETLB_PAGE_OPTIMIZE_VMEMMAP of newer
   * kernels keeps the mask that leads from a tail page's struct page to the head's.
   */
  private static final long LOWEST_MASK = 0xffff_ff80_0000_0000L;

  private final RunningKernel kernel;
  private final PhysicalMemory memory;
  private final PageTypes types;
  private final long base;
  private final int bytes;
  private final long pages;
  private final int flags;
  private final int head;
  private final int mapping;
  private final int index;
  private final int privateField;
  private final int pageType;
  private final int references;
  private final int slabCache;
  private final long reserved;
  private final long swapBacked;

  /** Physical pages of the array, shifted right by 12, plus one; or one of the constants above. */
  private final int[] frames;

  PageArray(RunningKernel kernel) {
    this.kernel = kernel;
    memory = kernel.machine().memory();
    TypeTable fields = kernel.types();
    types = PageTypes.of(kernel.image());
    base = kernel.layout().vmemmap();
    bytes = fields.sizeOf("page");
    pages = kernel.layout().directMapBytes() >>> 12;
    flags = fields.offsetOf("page", "flags");
    head =
        fields.has("page", "compound_head")
            ? fields.offsetOf("page", "compound_head")
            : fields.offsetOf("page", "compound_info");
    mapping = fields.offsetOf("page", "mapping");
    index =
        fields.has("page", "index")
            ? fields.offsetOf("page", "index")
            : fields.offsetOf("page", "__folio_index");
    privateField = fields.offsetOf("page", "private");
    pageType = fields.offsetOf("page", "page_type");
    references = fields.offsetOf("page", "_refcount");
    slabCache =
        fields.hasStruct("slab")
            ? fields.offsetOf("slab", "slab_cache")
            : fields.offsetOf("page", "slab_cache");
    reserved = flag(fields, "PG_reserved");
    swapBacked = flag(fields, "PG_swapbacked");
    frames = new int[Math.toIntExact(pages * bytes + 4095 >>> 12)];
    Arrays.fill(frames, NOT_KNOWN);
  }

  private static long flag(TypeTable types, String name) {
    OptionalLong bit = types.enumValue(name);
    return bit.isPresent() ? 1L << bit.getAsLong() : 0;
  }

  /** Number of page frames up to the end of RAM, holes included. */
  long pages() {
    return pages;
  }

  PageTypes types() {
    return types;
  }

  /** The physical address of a field, or -1 if the array has no such page. */
  private long find(long pfn, int field) {
    if (pfn < 0 || pfn >= pages) {
      return -1;
    }
    long at = pfn * bytes + field;
    int frame = frames[(int) (at >>> 12)];
    if (frame == NOT_KNOWN) {
      long physical = kernel.physicalOf(base + at);
      frame = physical < 0 || !memory.isRam(physical, 1) ? NOT_MAPPED : (int) (physical >>> 12) + 1;
      frames[(int) (at >>> 12)] = frame;
    }
    return frame == NOT_MAPPED ? -1 : (long) (frame - 1) << 12 | at & 4095;
  }

  /** Whether the page has a struct page. */
  boolean exists(long pfn) {
    return find(pfn, 0) >= 0;
  }

  /** Reads a field of 8 bytes; 0 if there is no such page. */
  long readLong(long pfn, int field) {
    long at = find(pfn, field);
    return at < 0 ? 0 : memory.readLong(at);
  }

  private int readInt(long pfn, int field) {
    long at = find(pfn, field);
    return at < 0 ? 0 : memory.readInt(at);
  }

  /** The frame number of the page whose struct page is at an address, or -1. */
  long frameOf(long structPage) {
    long offset = structPage - base;
    return Long.compareUnsigned(offset, pages * bytes) < 0 ? offset / bytes : -1;
  }

  /** The first page of a compound page; a page that is not a tail page itself. */
  long head(long pfn) {
    long word = readLong(pfn, head);
    if ((word & 1) == 0) {
      return pfn;
    }
    long structPage = word - 1;
    if (Long.compareUnsigned(word, LOWEST_MASK) >= 0) {
      structPage &= base + pfn * bytes;
    }
    long first = frameOf(structPage);
    return first < 0 ? pfn : first;
  }

  long flags(long pfn) {
    return readLong(pfn, flags);
  }

  boolean isReserved(long pageFlags) {
    return (pageFlags & reserved) != 0;
  }

  boolean isSwapBacked(long pageFlags) {
    return (pageFlags & swapBacked) != 0;
  }

  long mapping(long pfn) {
    return readLong(pfn, mapping);
  }

  long index(long pfn) {
    return readLong(pfn, index);
  }

  int pageType(long pfn) {
    return readInt(pfn, pageType);
  }

  int references(long pfn) {
    return readInt(pfn, references);
  }

  /** Order of a block that is free, by its first page; something else for other pages. */
  long privateValue(long pfn) {
    return readLong(pfn, privateField);
  }

  /** Address of the struct kmem_cache of a slab, by its first page. */
  long slabCache(long pfn) {
    return readLong(pfn, slabCache);
  }
}
