package dev.ringfence.machine.translate;

/** Line numbers that tell, in a compiled region, what an instruction of bytecode is for. */
final class LineNumbers {
  /** Registers into locals, and the switch over entries. */
  static final int ENTRIES = 1;

  /** Ways out of blocks, and flags and RIP into the processor's state. */
  static final int EXITS = 2;

  private static final int FIRST = 3;

  private final int[] blocks;

  LineNumbers(Region region) {
    blocks = new int[region.blocks().size()];
    int line = FIRST;
    for (int b = 0; b < blocks.length; b++) {
      blocks[b] = line;
      line += 1 + region.blocks().get(b).operations().length;
    }
  }

  /** Of what is done before the first operation of a block. */
  int ofBlock(int block) {
    return blocks[block];
  }

  int ofOperation(int block, int operation) {
    return blocks[block] + 1 + operation;
  }
}
