package dev.ringfence.machine.probe;

import dev.ringfence.machine.cpu.Processor;

/**
 * Told what a processor does that changes privilege, address space or translations. Calls come in
 * the order of events, on the thread that runs the machine. A probe must not change the state of
 * the machine, except by the address-space view.
 */
public interface Probe {
  /** How a processor entered the kernel, or what interrupted the kernel. */
  enum Entry {
    /** SYSCALL or SYSENTER. */
    SYSTEM_CALL,
    /** INT n and INT3. */
    SOFTWARE_INTERRUPT,
    /** A fault, trap or abort. */
    EXCEPTION,
    /** A maskable external interrupt. */
    INTERRUPT,
    /** A non-maskable interrupt. */
    NON_MASKABLE
  }

  /** What software can have a processor empty at once. */
  enum Flush {
    /** The first-level data cache: IA32_FLUSH_CMD.L1D_FLUSH. */
    L1_DATA,
    /** Indirect branch predictions: IA32_PRED_CMD.IBPB. */
    BRANCH_PREDICTIONS,
    /** Store buffer, fill buffers and load ports: VERW with an operand in memory. */
    BUFFERS
  }

  /**
   * CPL fell from 3 to a lower one. RIP is at the first instruction of the kernel; the registers
   * are as the entry left them.
   *
   * @param vector of the interrupt or exception; -1 for a system call
   */
  default void kernelEntered(Processor processor, Entry entry, int vector) {}

  /**
   * An event is about to be delivered from CPL 3: the first accesses of the delivery to the
   * kernel's tables and stacks follow. Not called for system calls.
   */
  default void deliveryBegins(Processor processor, Entry entry, int vector) {}

  /** CPL rose to 3. RIP is at the first instruction of the user. */
  default void kernelLeft(Processor processor) {}

  /** An event was delivered while CPL was below 3 already. RIP is at its handler. */
  default void kernelInterrupted(Processor processor, Entry entry, int vector) {}

  /** An IRET returned to a CPL below 3. */
  default void kernelResumed(Processor processor) {}

  /** CR3 was written; the instruction has completed but for its invalidation of translations. */
  default void addressSpaceChanged(Processor processor, long oldCr3, long newCr3) {}

  /** Translations of one page were dropped in the current address space (INVLPG) or one PCID. */
  default void pageInvalidated(Processor processor, long linear) {}

  /**
   * Translations were dropped, of one or of all address spaces.
   *
   * @param global whether translations of global pages were dropped too
   */
  default void translationsInvalidated(Processor processor, boolean global) {}

  /**
   * VMLAUNCH or VMRESUME enters a virtual machine, whose state has been checked; registers and
   * translations are still the host's. Until it is left, nothing that happens in it is told of, but
   * for the memory that it reaches.
   */
  default void machineEntered(Processor processor) {}

  /**
   * A virtual machine was left. RIP is at the host's first instruction.
   *
   * @param reason basic exit reason, of {@link dev.ringfence.machine.virtualization.ExitReason}
   */
  default void machineLeft(Processor processor, int reason) {}

  /**
   * A virtual machine is about to access a page of memory through extended page tables, by a
   * translation that the processor did not have.
   *
   * @param physical address of the page
   * @param bytes its size
   */
  default void machineReached(Processor processor, long physical, long bytes) {}

  /** Software had the processor empty a part of what architecture hides; it is done. */
  default void flushed(Processor processor, Flush flush) {}

  /**
   * A program issued the marker instruction: CPUID with EAX = {@link Probes#MARKER_LEAF}.
   *
   * @param operation what it set ECX to
   * @param argument what it set RBX to
   */
  default void marked(Processor processor, int operation, long argument) {}
}
