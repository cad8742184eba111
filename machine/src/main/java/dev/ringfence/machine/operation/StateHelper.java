package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.ProcessorState;

/**
 * Shared meaning of an operation that reads and writes registers only. It may raise a {@link
 * dev.ringfence.machine.cpu.ProcessorException} before it has changed anything. Because it touches
 * nothing but the state passed in, a speculative executor can run it on a copy.
 */
@FunctionalInterface
public interface StateHelper {
  void execute(ProcessorState state, MicroOperation operation);
}
