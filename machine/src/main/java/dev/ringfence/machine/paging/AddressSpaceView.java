package dev.ringfence.machine.paging;

/**
 * A second gate behind the guest's page tables, for a layer beneath the guest that keeps tables of
 * its own. Constraint: the guest must not be able to tell whether there is one. So the guest's own
 * tables and its TLB decide first, with their faults, their stale translations and their accessed
 * and dirty bits; only a permitted access of the supervisor to the upper half of the address space
 * is then shown to the view, which walks what tables it likes, fills them, or switches to others.
 */
public interface AddressSpaceView {
  /**
   * An access that the guest's tables permit is about to be made.
   *
   * @param linear address, in the upper half unless {@link #guardsUserHalf}
   * @param access 0 for a load, {@link PageWalker#WRITE}, or {@link PageWalker#FETCH}
   * @param mapping how the guest's tables map the address
   * @return whether the page stays accessible whatever the view does next, until it calls {@link
   *     TranslatedMemory#withdraw}; false if it must be asked again after its next {@link
   *     TranslatedMemory#restrict}
   */
  boolean admit(long linear, int access, Mapping mapping);

  /**
   * Whether the tables on which the processor runs now map a page: those of the view, where it has
   * tables of its own, and otherwise the guest's. For executors that look at what could have been
   * accessed; asking has no effect.
   *
   * @param linear address, of user or supervisor, in either half
   * @param access 0 for a load, {@link PageWalker#WRITE}, or {@link PageWalker#FETCH}
   * @param mapping how the guest's tables map the address
   */
  default boolean reaches(long linear, int access, Mapping mapping) {
    return true;
  }

  /** Whether accesses of the supervisor to the lower half are shown too. Asked once. */
  default boolean guardsUserHalf() {
    return false;
  }

  /** A translation of the guest, as its TLB holds it. The machine reuses the object. */
  final class Mapping {
    /** Physical address of the first byte of the page. */
    public long frame;

    /** Log2 of the page size: 12, 21 or 30. */
    public int pageBits;

    public boolean writable;
    public boolean user;
    public boolean noExecute;

    /** Physical address of the 4-KiB frame that holds a linear address of the page. */
    public long frameOf(long linear) {
      return frame | linear & (1L << pageBits) - 1 & ~0xfffL;
    }
  }
}
