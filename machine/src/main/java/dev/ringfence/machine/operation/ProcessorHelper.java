package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Processor;

/**
 * Shared meaning of an operation that needs memory, ports, time or control over execution. RIP is
 * already that of the next instruction; on an exception the executor restores it.
 */
@FunctionalInterface
public interface ProcessorHelper {
  void execute(Processor processor, MicroOperation operation);
}
