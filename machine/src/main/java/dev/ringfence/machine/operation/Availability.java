package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;

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
   * Linear address of an access outside 64-bit mode (SDM volume 3, section 5.3 to 5.5): destination
   * = linear address; first = offset; index = segment register; immediate = bytes; condition = 1
   * for a store.
   */
  static void segmentLinear(ProcessorState state, MicroOperation operation) {
    state.r[operation.destination] =
        linear(
            state,
            operation.index,
            state.r[operation.first],
            (int) operation.immediate,
            operation.condition != 0);
  }

  static long linear(ProcessorState state, int segment, long offset, int bytes, boolean write) {
    int access = state.access[segment];
    long limit = state.limit[segment];
    long last = offset + bytes - 1;
    if ((access & SegmentRegister.UNUSABLE) != 0
        || (access & SegmentRegister.PRESENT) == 0
        || !permitted(state, access, write)) {
      throw violation(segment);
    }
    boolean expandDown = (access & 0xc) == 4;
    if (expandDown) {
      long top = (access & SegmentRegister.DEFAULT_BIG) != 0 ? 0xffffffffL : 0xffff;
      if (offset <= limit || last > top) {
        throw violation(segment);
      }
    } else if (last > limit) {
      throw violation(segment);
    }
    return state.segmentBase(segment) + offset & 0xffffffffL;
  }

  private static boolean permitted(ProcessorState state, int access, boolean write) {
    if (!state.protectedMode() || (state.systemFlags & Flags.VM) != 0) {
      return true;
    }
    boolean code = (access & 8) != 0;
    if (write) {
      return !code && (access & 2) != 0;
    }
    return !code || (access & 2) != 0;
  }

  private static ProcessorException violation(int segment) {
    return segment == SegmentRegister.SS
        ? ProcessorException.of(ProcessorException.STACK_FAULT, 0)
        : ProcessorException.generalProtection();
  }
}
