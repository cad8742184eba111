package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentAccess;

/** Checks that precede the effect of an instruction: feature enables and segment limits. */
final class Availability {
  private Availability() {}

  /**
   * SSE instructions: #UD if CR0.EM or not CR4.OSFXSR, #NM if CR0.TS (SDM volume 3, table 13-1).
   */
  static void requireVector(ProcessorState state, MicroOperation operation) {
    if ((state.cr0 & ControlBits.CR0_EM) != 0 || (state.cr4 & ControlBits.CR4_OSFXSR) == 0) {
      throw ProcessorException.invalidOpcode();
    }
    if ((state.cr0 & ControlBits.CR0_TS) != 0) {
      throw ProcessorException.of(ProcessorException.DEVICE_NOT_AVAILABLE);
    }
  }

  /**
   * x87 instructions that wait: #NM if CR0.EM or CR0.TS, then #MF if an unmasked exception is
   * pending (SDM volume 1, section 8.3.12; volume 3, table 2-2). Without CR0.NE the exception would
   * go by the external interrupt IRQ13, which no guest of ours uses; the instruction executes.
   */
  static void requireX87(ProcessorState state, MicroOperation operation) {
    requireX87Control(state, operation);
    requireNoPendingX87Exception(state);
  }

  /** x87 instructions that do not wait for pending exceptions (FNxxx): #NM if CR0.EM or CR0.TS. */
  static void requireX87Control(ProcessorState state, MicroOperation operation) {
    if ((state.cr0 & (ControlBits.CR0_EM | ControlBits.CR0_TS)) != 0) {
      throw ProcessorException.of(ProcessorException.DEVICE_NOT_AVAILABLE);
    }
  }

  /**
   * MMX instructions: #UD if CR0.EM, #NM if CR0.TS, #MF if an x87 exception is pending (SDM volume
   * 3, table 12-1 and section 12.5).
   */
  static void requireMmx(ProcessorState state, MicroOperation operation) {
    requireStateSave(state, operation);
    requireNoPendingX87Exception(state);
  }

  /** FXSAVE and FXRSTOR: #UD if CR0.EM, #NM if CR0.TS. */
  static void requireStateSave(ProcessorState state, MicroOperation operation) {
    if ((state.cr0 & ControlBits.CR0_EM) != 0) {
      throw ProcessorException.invalidOpcode();
    }
    if ((state.cr0 & ControlBits.CR0_TS) != 0) {
      throw ProcessorException.of(ProcessorException.DEVICE_NOT_AVAILABLE);
    }
  }

  /** XSAVE and its relatives: #UD unless CR4.OSXSAVE, #NM if CR0.TS. */
  static void requireExtendedSave(ProcessorState state, MicroOperation operation) {
    if ((state.cr4 & ControlBits.CR4_OSXSAVE) == 0) {
      throw ProcessorException.invalidOpcode();
    }
    if ((state.cr0 & ControlBits.CR0_TS) != 0) {
      throw ProcessorException.of(ProcessorException.DEVICE_NOT_AVAILABLE);
    }
  }

  static void requireNoPendingX87Exception(ProcessorState state) {
    if ((state.x87Status & X87Status.ERROR_SUMMARY) != 0 && (state.cr0 & ControlBits.CR0_NE) != 0) {
      throw ProcessorException.of(ProcessorException.FLOATING_POINT);
    }
  }

  /** 64-bit mode: first = linear address of an access relative to SS; immediate = its bytes. */
  static void requireCanonicalStack(ProcessorState state, MicroOperation operation) {
    long first = state.r[operation.first];
    if (!ProcessorState.canonical(first)
        || !ProcessorState.canonical(first + operation.immediate - 1)) {
      throw ProcessorException.of(ProcessorException.STACK_FAULT, 0);
    }
  }

  /**
   * Linear address of an access outside 64-bit mode (SDM volume 3, section 5.3 to 5.5): destination
   * = linear address; first = offset; index = segment register; immediate = bytes; condition = 1
   * for a store.
   */
  static void segmentLinear(ProcessorState state, MicroOperation operation) {
    state.r[operation.destination] =
        SegmentAccess.linear(
            state,
            operation.index,
            state.r[operation.first],
            (int) operation.immediate,
            operation.condition != 0);
  }
}
