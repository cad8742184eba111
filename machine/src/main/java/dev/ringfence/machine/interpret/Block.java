package dev.ringfence.machine.interpret;

import dev.ringfence.machine.operation.MicroOperation;

/**
 * A run of instructions, decoded: straight-line code from its start to the first instruction that
 * may go elsewhere. Blocks are position-independent, so all linear aliases of a physical page share
 * them.
 */
final class Block {
  final MicroOperation[] operations;

  /** Number of instructions. */
  final int instructions;

  /** Offset in bytes of each instruction from the start of the block, and of the end. */
  final int[] offsets;

  /** Index of the first micro-operation of each instruction, and their number. */
  final int[] firstOperation;

  /** RAM page that holds the last bytes if the block runs over the end of its page, else -1. */
  final int secondPage;

  /** False once any of its bytes has been overwritten. */
  boolean valid = true;

  Block(MicroOperation[] operations, int[] offsets, int[] firstOperation, int secondPage) {
    this.operations = operations;
    this.instructions = offsets.length - 1;
    this.offsets = offsets;
    this.firstOperation = firstOperation;
    this.secondPage = secondPage;
  }

  /** Length in bytes. */
  int length() {
    return offsets[instructions];
  }
}
