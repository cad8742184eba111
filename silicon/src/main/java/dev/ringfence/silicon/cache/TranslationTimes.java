package dev.ringfence.silicon.cache;

import dev.ringfence.silicon.model.ReplacementPolicy;
import dev.ringfence.silicon.model.Translation;

/**
 * How long translations of data addresses take: a first-level TLB, a second-level one, and a cache
 * of the upper levels of page tables (SDM volume 3, 4.10.3). It holds no translations: what an
 * address means is decided by the machine's architectural TLB, this one only says how much of a
 * walk the processor would have made.
 *
 * <p>All pages count as 4 KiB, so large pages need more entries than in a real TLB. Constraint:
 * asked at each access of memory.
 */
public final class TranslationTimes {
  /** The first level has the translation: no time is lost. */
  public static final int FIRST_LEVEL = 0;

  /** The second level has it. */
  public static final int SECOND_LEVEL = -1;

  private static final int PAGE_BITS = 12;
  private static final int TABLE_BITS = 9;
  private static final int LEVELS = 4;

  /**
   * Entries of the paging-structure cache that name a page table: "PDE cache", 32 since Nehalem.
   */
  private static final int TABLES = 32;

  private static final int TABLE_WAYS = 4;

  private static final int SPACE_SHIFT = 52;

  private final Cache firstLevel;
  private final Cache secondLevel;
  private final Cache tables;
  private long lastKey = Cache.NONE;

  public TranslationTimes(Translation model) {
    firstLevel = cache(model.l1Entries(), model.l1Ways());
    secondLevel = cache(model.l2Entries(), model.l2Ways());
    tables = cache(TABLES, TABLE_WAYS);
  }

  private static Cache cache(int entries, int ways) {
    return new Cache(entries / ways, ways, ReplacementPolicy.LRU);
  }

  /**
   * A data access needs a translation, which is in both levels afterwards.
   *
   * @param linear address
   * @param space number of the address space, 0 to 1023
   * @return {@link #FIRST_LEVEL}, {@link #SECOND_LEVEL}, or how many entries of page tables the
   *     walk reads, 1 to 4, the last levels of them
   */
  public int translate(long linear, int space) {
    long key = key(linear, PAGE_BITS, space);
    if (key == lastKey) {
      return FIRST_LEVEL;
    }
    lastKey = key;
    if (firstLevel.use(key)) {
      return FIRST_LEVEL;
    }
    firstLevel.fill(key);
    if (secondLevel.use(key)) {
      return SECOND_LEVEL;
    }
    secondLevel.fill(key);
    long table = key(linear, PAGE_BITS + TABLE_BITS, space);
    if (tables.use(table)) {
      return 1;
    }
    tables.fill(table);
    return LEVELS;
  }

  /** Canonical addresses have 48 bits, so a page's number has 36. */
  private static long key(long linear, int bits, int space) {
    return linear << 16 >>> 16 + bits | (long) space << SPACE_SHIFT;
  }

  /**
   * Forgets a page's translation in a space, and the upper levels of all spaces (SDM volume 3,
   * 4.10.4.1, INVLPG).
   */
  public void forget(long linear, int space) {
    long key = key(linear, PAGE_BITS, space);
    firstLevel.remove(key);
    secondLevel.remove(key);
    tables.clear();
    lastKey = Cache.NONE;
  }

  /** Forgets everything. */
  public void clear() {
    firstLevel.clear();
    secondLevel.clear();
    tables.clear();
    lastKey = Cache.NONE;
  }

  /** Whether the first level has the translation of an address; nothing changes by asking. */
  public boolean inFirstLevel(long linear, int space) {
    return firstLevel.contains(key(linear, PAGE_BITS, space));
  }
}
