package dev.ringfence.machine.translate;

import java.util.List;

/**
 * Blocks of one page of code that are translated together; each is an entry.
 *
 * @param blocks at least one
 * @param linked whether jumps among them stay inside, which takes 64-bit code that lies in one page
 * @param code64 whether it is 64-bit code, else RIP is cut to 32 bits
 */
public record Region(List<RegionBlock> blocks, boolean linked, boolean code64) {
  public Region {
    blocks = List.copyOf(blocks);
  }

  /** Number of micro-operations. */
  int operations() {
    int sum = 0;
    for (RegionBlock block : blocks) {
      sum += block.operations().length;
    }
    return sum;
  }

  /** Index of the block that starts at an offset in the page, or -1. */
  int indexOf(long offset) {
    for (int i = 0; i < blocks.size(); i++) {
      if (blocks.get(i).offset() == offset) {
        return i;
      }
    }
    return -1;
  }
}
