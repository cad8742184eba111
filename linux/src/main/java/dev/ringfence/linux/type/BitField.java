package dev.ringfence.linux.type;

/**
 * Where a member is, to the bit.
 *
 * @param byteOffset offset in bytes of the 64-bit little-endian number that holds it, from the
 *     start of the struct
 * @param shift position of its lowest bit in that number
 * @param width in bits, 64 at most
 */
public record BitField(int byteOffset, int shift, int width) {
  /** Its value, unsigned, in the number that was read at {@link #byteOffset}. */
  public long extract(long number) {
    return width == Long.SIZE ? number : number >>> shift & (1L << width) - 1;
  }
}
