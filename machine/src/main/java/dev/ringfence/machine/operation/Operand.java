package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.OperandDefinition;
import org.jspecify.annotations.Nullable;

/**
 * A general-purpose operand of an instruction that is being lifted: a register, memory or an
 * immediate.
 *
 * @param width in bits
 * @param register number of the general register, or -1
 * @param memory its address, or null
 * @param immediate its value, where it is neither register nor memory
 */
record Operand(Emitter emitter, int width, int register, @Nullable Memory memory, long immediate) {

  /**
   * A value to be used as the second source of an arithmetic micro-operation: slot plus immediate.
   */
  record Value(int slot, long immediate) {}

  /** Resolves an operand of the instruction; emits the computation of its address. */
  static Operand of(Emitter emitter, Instruction i, int number, boolean written) {
    OperandDefinition definition = i.definition().operands().get(number);
    int width = definition.width(i.operandWidth());
    return switch (definition.method()) {
      case GENERAL -> register(emitter, width, i.reg());
      case GENERAL_BY_RM -> register(emitter, width, i.rm());
      case GENERAL_BY_OPCODE -> register(emitter, width, i.opcodeRegister());
      case FIXED_GENERAL -> register(emitter, width, definition.fixedRegister());
      case GENERAL_OR_MEMORY ->
          i.isMemory()
              ? memory(emitter, width, emitter.memory(i, width / 8, written))
              : register(emitter, width, i.rm());
      case MEMORY -> memory(emitter, width, emitter.memory(i, width / 8, written));
      case OFFSET ->
          memory(
              emitter,
              width,
              emitter.memory(
                  Slot.ZERO,
                  Slot.ZERO,
                  0,
                  i.displacement(),
                  i.addressWidth(),
                  i.segment(),
                  width / 8,
                  written));
      case IMMEDIATE -> new Operand(emitter, width, -1, null, i.immediate());
      case CONSTANT -> new Operand(emitter, width, -1, null, definition.fixedRegister());
      default ->
          throw new IllegalStateException("not a general-purpose operand: " + definition.text());
    };
  }

  static Operand register(Emitter emitter, int width, int register) {
    return new Operand(emitter, width, register, null, 0);
  }

  static Operand memory(Emitter emitter, int width, Memory memory) {
    return new Operand(emitter, width, -1, memory, 0);
  }

  boolean isMemory() {
    return memory != null;
  }

  /** The operand as a source; loads it if it is memory. */
  Value value() {
    if (memory != null) {
      return new Value(emitter.load(memory, width), 0);
    }
    return register < 0
        ? new Value(Slot.ZERO, immediate)
        : new Value(emitter.readGeneral(register, width), 0);
  }

  /** A slot whose low bits hold the operand; loads it if it is memory. */
  int slot() {
    Value value = value();
    if (register >= 0 || memory != null) {
      return value.slot();
    }
    int slot = emitter.temporary();
    emitter.move(slot, 64, Slot.ZERO, immediate);
    return slot;
  }

  /**
   * Like {@link #slot}, for an operand that will be written: memory faults here, as its store
   * would.
   */
  int slotForUpdate() {
    return memory != null ? emitter.loadForUpdate(memory, width) : slot();
  }

  /** The slot to compute a new value into, before {@link #write}. */
  int resultSlot() {
    return memory != null ? emitter.temporary() : emitter.resultSlot(register, width);
  }

  /** Completes a write: what {@link #resultSlot} holds becomes the operand's value. */
  void write(int slot) {
    if (memory != null) {
      emitter.store(memory, width, slot, 0);
    } else if (slot != register) {
      emitter.writeGeneral(register, width, slot);
    }
  }

  /** Sets the operand to a value. */
  void assign(Value value) {
    if (memory != null) {
      emitter.store(memory, width, value.slot(), value.immediate());
      return;
    }
    int slot = emitter.resultSlot(register, width);
    emitter.move(slot, width, value.slot(), value.immediate());
    write(slot);
  }
}
