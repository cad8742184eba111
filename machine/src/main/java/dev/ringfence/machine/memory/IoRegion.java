package dev.ringfence.machine.memory;

/**
 * Registers of a device, reached by memory access or by port I/O.
 *
 * <p>Offsets are relative to where the region was attached. A region is asked only for accesses
 * that lie inside it and have a size of 1, 2, 4 or 8 bytes (port I/O: 1, 2 or 4).
 */
public interface IoRegion {
  /**
   * Returns the value read, zero-extended; a register that does not exist reads as all ones or
   * zero, as hardware does.
   */
  long read(long offset, int bytes);

  /** Writes the low {@code bytes} bytes of {@code value}; the bits above them are zero. */
  void write(long offset, int bytes, long value);
}
