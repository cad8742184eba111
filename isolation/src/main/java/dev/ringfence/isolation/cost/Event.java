package dev.ringfence.isolation.cost;

import java.util.Locale;

/** Kinds of events that are counted for each policy, declared once. */
public enum Event {
  /** The kernel is entered from user mode. */
  KERNEL_ENTRY("entries of the kernel from user mode", false),
  /** A virtual machine is left. */
  VM_EXIT("exits of virtual machines", false),
  /** A virtual machine is left, and all that follows happens in the restricted address space. */
  VM_EXIT_RESTRICTED("exits of virtual machines that were handled restricted to the end", false),
  /** User mode is about to run: every request to enter, whether or not anything changes. */
  ENTER_REQUEST("requests to enter a domain, at every return to user mode", true),
  /** A request that changes the address space, by a policy that stays restricted in the kernel. */
  ENTER("enters that changed the address space, resumed ones included", true),
  /** A request that changes the address space, by a policy that leaves at every kernel entry. */
  ENTER_AT_RETURN("enters at the return to user mode, where every entry exits", true),
  /** An enter from one domain directly to another. */
  DOMAIN_SWITCH("enters from one domain directly to another (they are among the enters)", false),
  /** Untrusted code has ended, the address space stays. */
  RELAX("ends of untrusted code that kept the address space", false),
  /** An access to memory that only the unrestricted address space maps. */
  EXIT_FAULT("exits because of a fault", true),
  /** The policy leaves at every kernel entry. */
  EXIT_ENTRY("exits because the kernel was entered", true),
  /** The policy runs interrupt handlers unrestricted. */
  EXIT_INTERRUPT("exits because of an interrupt, exception or NMI", true),
  /** Another task or process. */
  EXIT_CONTEXT_SWITCH("exits because of a context switch", true),
  /** All other exits. */
  EXIT_OTHER("exits for other reasons, such as code that reads CR3", true),
  /** Another process's address space is loaded. */
  MM_SWITCH("switches to the address space of another process", false),
  /** CR3 is written, translations survive. */
  CR3_WRITE_KEEPING("writes of CR3 that kept translations", true),
  /** CR3 is written, translations are gone. */
  CR3_WRITE_FLUSHING("writes of CR3 that flushed translations", true),
  /** Predictor barrier. */
  IBPB("indirect branch predictor barriers", true),
  /** Return stack buffer. */
  RSB_FILL("fills of the return stack buffer", true),
  /** L1 data cache. */
  L1D_FLUSH("flushes of the L1 data cache", true),
  /** Buffers. */
  VERW("buffer clears with VERW", true),
  /** A mapping that counts as having been there. */
  FILL_AHEAD("mappings filled in that the policy has ahead of any use", false),
  /** A mapping made by the fault of its first use. */
  FILL_ON_DEMAND("mappings filled in at a fault", true),
  /** A mapping copied by an explicit call. */
  FILL_EXPLICIT("mappings copied by explicit calls", true),
  /** A restricted mapping is removed. */
  UNMAP("restricted mappings removed", true),
  /** Translations are invalidated, on this and on other processors. */
  SHOOTDOWN("invalidations of translations because of a removed mapping", true),
  /** A page is mapped for a moment, and unmapped. */
  EPHEMERAL_MAP("ephemeral mappings, made and removed", true);

  private final String meaning;
  private final boolean priced;

  Event(String meaning, boolean priced) {
    this.meaning = meaning;
    this.priced = priced;
  }

  /** Name in results and cost models: {@code exit-fault}. */
  public String id() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  /** What is counted, for people; the unit is events. */
  public String meaning() {
    return meaning;
  }

  /** Whether an event of this kind costs anything, so that every cost model has a figure for it. */
  public boolean isPriced() {
    return priced;
  }

  /** Whether it is one of the exits. */
  public boolean isExit() {
    return switch (this) {
      case EXIT_FAULT, EXIT_ENTRY, EXIT_INTERRUPT, EXIT_CONTEXT_SWITCH, EXIT_OTHER -> true;
      default -> false;
    };
  }

  /** Position in {@link EventCounts}, which is nowhere stored. */
  @SuppressWarnings(
      "EnumOrdinal") // an array is the fastest map, and events are counted on hot paths
  int index() {
    return ordinal();
  }
}
