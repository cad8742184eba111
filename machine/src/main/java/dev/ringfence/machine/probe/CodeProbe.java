package dev.ringfence.machine.probe;

import dev.ringfence.machine.cpu.Processor;

/** Called each time a processor is about to execute the instruction at an address. */
@FunctionalInterface
public interface CodeProbe {
  /**
   * The instruction is about to be executed. Registers, RIP and the counts of instructions are
   * exact. The probe must not change the state of the machine.
   */
  void reached(Processor processor);
}
