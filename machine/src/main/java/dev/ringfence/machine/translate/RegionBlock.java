package dev.ringfence.machine.translate;

import dev.ringfence.machine.operation.MicroOperation;

/**
 * One decoded block of a region.
 *
 * @param offset of its first byte in the page of code
 * @param operations in order; not changed by anyone
 * @param instructions how many
 * @param length in bytes
 */
public record RegionBlock(int offset, MicroOperation[] operations, int instructions, int length) {
  MicroOperation last() {
    return operations[operations.length - 1];
  }
}
