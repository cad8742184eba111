package dev.ringfence.machine.interrupt;

/**
 * What a local APIC tells its processor (SDM volume 3, chapter 11). Calls come at any point of any
 * processor's execution; the processor acts on them at its next instruction boundary.
 */
public interface ProcessorSignals {
  /**
   * The APIC, or the PIC through LINT0, may have an interrupt to deliver: ask {@link
   * InterruptSource}.
   */
  void interruptPending();

  void nonMaskable();

  /**
   * INIT: the processor resets and, unless it is the bootstrap processor, waits for a start-up
   * message.
   */
  void init();

  /** Start-up message: a waiting processor begins in real mode at {@code vector << 12}. */
  void startup(int vector);
}
