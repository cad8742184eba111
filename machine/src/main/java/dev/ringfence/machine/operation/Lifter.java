package dev.ringfence.machine.operation;

import dev.ringfence.machine.decode.Instruction;

/** Turns one decoded instruction into micro-operations. */
@FunctionalInterface
public interface Lifter {
  void lift(Emitter emitter, Instruction instruction);
}
