package dev.ringfence.machine.interrupt;

/**
 * An interrupt controller outside the APIC system, asked for the vector during an acknowledge
 * cycle: the 8259 pair.
 */
public interface ExternalInterrupts {
  /** Whether the INTR output is asserted. */
  boolean isRequesting();

  /** The acknowledge cycle: returns the vector that the controller puts on the bus. */
  int acknowledge();
}
