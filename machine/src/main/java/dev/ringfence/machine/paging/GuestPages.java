package dev.ringfence.machine.paging;

/** Told of memory that virtual machines reach through extended page tables. */
@FunctionalInterface
public interface GuestPages {
  /**
   * A translation of a virtual machine was made: an access to the page follows.
   *
   * @param physical address of the page
   * @param bytes its size
   */
  void reached(long physical, long bytes);
}
