package dev.ringfence.isolation.policy;

/**
 * What a policy does at the events of a kernel's life, apart from mappings and flushes.
 *
 * @param ownUserMemory the process's own lower half while the kernel runs restricted
 * @param fill how mappings get into restricted page tables
 * @param freePages what happens to the mapping of a page that is freed
 * @param onKernelEntry entry from user mode, whatever the reason
 * @param onInterrupt interrupt, exception or NMI, from user mode or from the kernel
 * @param onContextSwitch another task gets the processor
 * @param keepTranslations whether both address spaces have PCIDs of their own and writes of CR3
 *     keep the translations of both
 * @param ephemeralSlots mappings of {@link Disposition#EPHEMERAL} pages that a processor can have
 *     at a time
 */
public record Behaviour(
    OwnUserMemory ownUserMemory,
    Fill fill,
    FreePages freePages,
    OnKernelEntry onKernelEntry,
    OnInterrupt onInterrupt,
    OnContextSwitch onContextSwitch,
    boolean keepTranslations,
    int ephemeralSlots) {

  /** The process's own lower half while the kernel runs restricted. */
  public enum OwnUserMemory {
    /** Reachable, as SMAP permits. */
    MAPPED,
    /** Not mapped: the kernel's access to it leaves the restricted address space. */
    UNMAPPED
  }

  /** How mappings get into restricted page tables. */
  public enum Fill {
    /**
     * All that is nonsensitive counts as mapped ahead. That Ringfence fills its tables when they
     * are first used is its own affair: such a fill costs nothing.
     */
    EAGER,
    /** The first access faults, and each fill costs a fault. */
    ON_DEMAND,
    /** The kernel copies mappings by explicit calls, and each fill costs such a copy. */
    EXPLICIT
  }

  /** What happens to the mapping of a page that is freed. */
  public enum FreePages {
    /** It is removed, with a shootdown of translations. */
    SENSITIVE,
    /** It stays until the page is used for something sensitive. */
    KEEP
  }

  /** Entry from user mode, whatever the reason. */
  public enum OnKernelEntry {
    /** The kernel runs restricted until something faults. */
    STAY,
    /** It leaves the restricted address space at once. */
    EXIT
  }

  /** Interrupt, exception or NMI. */
  public enum OnInterrupt {
    /** The handler runs restricted, too, until something faults. */
    STAY,
    /** The handler runs unrestricted, and the restricted address space is resumed on return. */
    EXIT_AND_RESUME
  }

  /** Another task gets the processor. */
  public enum OnContextSwitch {
    /** Nothing, but from one process to another the restricted address space changes directly. */
    STAY,
    /** Every switch leaves the restricted address space. */
    EXIT,
    /** Switches to another process do, switches between threads or to a kernel thread do not. */
    EXIT_IF_MM_CHANGES
  }

  /** No isolation. */
  public static final Behaviour NONE =
      new Behaviour(
          OwnUserMemory.MAPPED,
          Fill.EAGER,
          FreePages.KEEP,
          OnKernelEntry.STAY,
          OnInterrupt.STAY,
          OnContextSwitch.STAY,
          true,
          0);
}
