package dev.ringfence.machine.operation;

/**
 * An address that micro-operations can use: segmentation is done, what remains is a sum of slots.
 * Made by {@link Emitter}.
 */
public record Memory(
    int base, int index, int scale, long displacement, int segmentBase, boolean stack) {

  /** The same address plus a constant; valid inside the checked range of the reference only. */
  public Memory plus(long bytes) {
    return new Memory(base, index, scale, displacement + bytes, segmentBase, stack);
  }
}
