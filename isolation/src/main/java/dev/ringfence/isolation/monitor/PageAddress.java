package dev.ringfence.isolation.monitor;

/** Parts of addresses, in pages of 4 KiB: leaves of restricted tables have no other size. */
final class PageAddress {
  /** Bytes of a page. */
  static final int BYTES = 4096;

  private static final int BITS = 12;
  private static final long OFFSET = BYTES - 1;

  private PageAddress() {}

  /** The first address of the page. */
  static long of(long address) {
    return address & ~OFFSET;
  }

  /** Bytes from there to the address. */
  static int offset(long address) {
    return (int) (address & OFFSET);
  }

  /** Number of the page frame at a physical address. */
  static long frame(long physical) {
    return physical >>> BITS;
  }
}
