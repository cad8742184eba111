package dev.ringfence.linux;

/**
 * Memory of a running kernel, by linear address. Reading observes: it changes neither the guest nor
 * its time. Memory that no page table maps reads as zero, so that a walk over broken or changing
 * data ends instead of failing; {@link #isMapped} tells the difference.
 */
public interface KernelMemory {
  /** Returns 8 bytes, little-endian; 0 where nothing is mapped. */
  long readLong(long linear);

  /** Returns 4 bytes, little-endian; 0 where nothing is mapped. */
  int readInt(long linear);

  /** Returns 2 bytes, little-endian; 0 where nothing is mapped. */
  short readShort(long linear);

  /** Returns one byte; 0 where nothing is mapped. */
  byte readByte(long linear);

  /** Whether a page table maps the byte at this address. */
  boolean isMapped(long linear);
}
