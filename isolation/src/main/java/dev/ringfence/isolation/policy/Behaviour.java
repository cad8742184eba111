package dev.ringfence.isolation.policy;

import dev.ringfence.linux.provenance.PageKind;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;

/**
 * What a policy does at the events of a kernel's life, apart from mappings and flushes.
 *
 * @param ownUserMemory for each class, the process's own lower half while the kernel runs
 *     restricted in a domain of that class
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
    Map<DomainClass, OwnUserMemory> ownUserMemory,
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
    UNMAPPED,
    /** Mapped is what the process's virtual machine has of it, and nothing else. */
    GUEST_MEMORY;

    /** Whether a page of the process's own is mapped at its user addresses. */
    public boolean maps(PageKind kind) {
      return this == MAPPED || this == GUEST_MEMORY && kind == PageKind.GUEST_MEMORY;
    }
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
          inAllClasses(OwnUserMemory.MAPPED),
          Fill.EAGER,
          FreePages.KEEP,
          OnKernelEntry.STAY,
          OnInterrupt.STAY,
          OnContextSwitch.STAY,
          true,
          0);

  public Behaviour {
    ownUserMemory = Map.copyOf(ownUserMemory);
  }

  /** The same for all classes of domains. */
  static Map<DomainClass, OwnUserMemory> inAllClasses(OwnUserMemory memory) {
    Map<DomainClass, OwnUserMemory> all = new EnumMap<>(DomainClass.class);
    for (DomainClass domainClass : DomainClass.values()) {
      all.put(domainClass, memory);
    }
    return all;
  }

  /** The process's own lower half while the kernel runs restricted in a domain of a class. */
  public OwnUserMemory ownUserMemory(DomainClass domainClass) {
    return Objects.requireNonNull(ownUserMemory.get(domainClass));
  }
}
