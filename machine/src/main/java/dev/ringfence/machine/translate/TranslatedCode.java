package dev.ringfence.machine.translate;

/** A translated region, for one processor. */
public abstract class TranslatedCode {
  /** An entry of no block: {@link #run} returns at once. */
  static final int NO_ENTRY = -1;

  /**
   * Executes from a block on until execution leaves the region or {@code remaining} does not
   * suffice for the next block. RIP, flags and registers are then in the processor's state.
   *
   * @param entry index of the block
   * @param base RIP of the page's first byte
   * @param remaining instructions that may be executed, not less than the first block has
   * @return what is left of them
   */
  public abstract int run(int entry, long base, int remaining);
}
