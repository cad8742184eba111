package dev.ringfence.machine.paging;

/** Told of translations that the guest drops. */
public interface Invalidations {
  /** Translations of one page. */
  void page(long linear);

  /** Translations of one or of all address spaces; {@code global} if those of global pages too. */
  void all(boolean global);
}
