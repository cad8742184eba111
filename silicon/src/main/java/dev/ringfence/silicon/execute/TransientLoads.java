package dev.ringfence.silicon.execute;

/** Told of each load on a wrong path that has somewhere to take bytes from, or is refused them. */
public interface TransientLoads {
  /** Where a transient load found its bytes. */
  enum Way {
    /** The translation is there and permits the load. */
    MAPPED,
    /** The translation does not permit it, and the first level of caches gave the line. */
    FORBIDDEN,
    /** The entry is not present or malformed, and the first level gave the line at its frame. */
    FRAME,
    /** A stale entry of the store buffer. */
    STORE_BUFFER,
    /** A stale entry of the fill buffers. */
    FILL_BUFFER,
    /** A stale value of a load port. */
    LOAD_PORT,
    /** Memory as it was before a store that the load overtook. */
    OVERTAKEN,
    /** None: the translation does not permit it. */
    DENIED,
    /** None: the address space that is active beneath the guest does not map the page. */
    UNMAPPED;

    /** Whether the load received the bytes. */
    public boolean reached() {
      return this != DENIED && this != UNMAPPED;
    }
  }

  /**
   * A transient load.
   *
   * @param instruction its linear address
   * @param physical address of the first byte that it received or was refused
   */
  void load(long instruction, Way way, long physical, int bytes);
}
