package dev.ringfence.machine.paging;

/** Told of accesses by the methods of {@link LinearMemory}, before they are made. */
public interface AccessListener {
  /**
   * An access is about to be made. It may raise an exception yet.
   *
   * @param bytes at most 4096; they may run over the end of the page
   */
  void accessing(long linear, int bytes, boolean write);
}
