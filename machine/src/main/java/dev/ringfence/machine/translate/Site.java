package dev.ringfence.machine.translate;

/**
 * Where in a region an operation is, packed into the constant that slow paths are given.
 *
 * <pre>
 * bits 11:0   offset of the instruction in the page of code
 * bits 19:12  instructions of the block before it
 * bits 27:20  instructions of the block
 * bit  28     a non-canonical address raises #SS
 * </pre>
 */
final class Site {
  private static final int ORDINAL = 12;
  private static final int COUNT = 20;
  private static final int STACK = 1 << 28;

  private Site() {}

  static int of(int offset, int ordinal, int count, boolean stack) {
    return offset | ordinal << ORDINAL | count << COUNT | (stack ? STACK : 0);
  }

  static int offset(int site) {
    return site & 0xfff;
  }

  static int ordinal(int site) {
    return site >>> ORDINAL & 0xff;
  }

  static int count(int site) {
    return site >>> COUNT & 0xff;
  }

  static boolean stack(int site) {
    return (site & STACK) != 0;
  }
}
