package dev.ringfence.machine.translate;

/**
 * Translated regions, for one processor: one class for those that were translated together, so that
 * calls of different regions find the same class and its table of methods in the cache. (With a
 * class for each region, the three loads of a virtual call missed: 25 ns a call.)
 */
public abstract class TranslatedCode {
  private static final int REGION = 8;

  /** Bytes of bytecode; set when it has been made. */
  private int bytes;

  /** Most blocks of a region, as numbers of blocks have eight bits and one means none. */
  static final int MOST_BLOCKS = (1 << REGION) - 1;

  /**
   * Executes from a block on until execution leaves the region or {@code remaining} does not
   * suffice for the next block. RIP, flags and registers are then in the processor's state.
   *
   * @param entry what {@link #entry(int, int)} gives
   * @param base RIP of the page's first byte
   * @param remaining instructions that may be executed, not less than the first block has
   * @return what is left of them
   */
  public abstract int run(int entry, long base, int remaining);

  /** The entry of a block of a region, both by index. */
  public static int entry(int region, int block) {
    return region << REGION | block;
  }

  /** The index of an entry's region. */
  public static int region(int entry) {
    return entry >> REGION;
  }

  /** Bytes of bytecode of all regions. */
  public int bytes() {
    return bytes;
  }

  void setBytes(int count) {
    bytes = count;
  }

  /** An entry of a region that is none of its blocks: {@link #run} returns at once. */
  static int noEntry(int region) {
    return entry(region, MOST_BLOCKS);
  }
}
