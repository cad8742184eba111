package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.OperandDefinition;

/** Operands of MMX and SSE instructions as slots. */
final class VectorOperands {
  private VectorOperands() {}

  /** Whether the form works on MMX registers. */
  static boolean isMmx(Instruction i) {
    for (OperandDefinition operand : i.definition().operands()) {
      switch (operand.method()) {
        case MMX, MMX_OR_MEMORY, MMX_BY_RM -> {
          return true;
        }
        default -> {}
      }
    }
    return false;
  }

  /** Slot of the XMM register that ModRM.reg names. */
  static int vector(Instruction i) {
    return Slot.vector(i.reg());
  }

  /** Slot of the MMX register that ModRM.reg names; REX.R is ignored. */
  static int mmx(Instruction i) {
    return Slot.X87 + (i.reg() & 7);
  }

  /** Slots of a 128-bit source: an XMM register, or memory that must be aligned. */
  static int source(Emitter emitter, Instruction i) {
    return source(emitter, i, true);
  }

  static int source(Emitter emitter, Instruction i, boolean aligned) {
    if (!i.isMemory()) {
      return Slot.vector(i.rm());
    }
    int slot = emitter.vectorTemporary();
    emitter.loadVector(slot, emitter.memory(i, 16, false), aligned);
    return slot;
  }

  /** Slot whose low bits hold a source narrower than the register: XMM register or memory. */
  static int scalarSource(Emitter emitter, Instruction i, int width) {
    if (!i.isMemory()) {
      return Slot.vector(i.rm());
    }
    return emitter.load(emitter.memory(i, width / 8, false), width);
  }

  /** Slot of a source in an MMX register or memory. */
  static int mmxSource(Emitter emitter, Instruction i, int width) {
    if (!i.isMemory()) {
      return Slot.X87 + (i.rm() & 7);
    }
    return emitter.load(emitter.memory(i, width / 8, false), width);
  }

  /** Slot whose low bits hold a source in a general register or memory. */
  static int generalSource(Emitter emitter, Instruction i, int width) {
    if (!i.isMemory()) {
      return emitter.readGeneral(i.rm(), width);
    }
    return emitter.load(emitter.memory(i, width / 8, false), width);
  }

  /**
   * What every MMX instruction but EMMS does to the x87 state: TOP = 0 and all registers valid (SDM
   * volume 3, table 12-3).
   */
  static void enterMmx(ProcessorState state) {
    state.x87Top = 0;
    state.x87Empty = 0;
  }

  /** The same for an instruction that has written the MMX register in a slot. */
  static void mmxWritten(ProcessorState state, int slot) {
    enterMmx(state);
    state.x87Exponents[slot - Slot.X87] = -1;
  }

  /** Appends the transition to MMX as a micro-operation of its own. */
  static void appendEnterMmx(Emitter emitter) {
    emitter.stateHelper((state, operation) -> enterMmx(state));
  }

  static void appendMmxWritten(Emitter emitter, int slot) {
    emitter.stateHelper((state, operation) -> mmxWritten(state, operation.destination))
            .destination =
        slot;
  }
}
