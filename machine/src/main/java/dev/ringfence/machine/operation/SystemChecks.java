package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;

/** Checks of mode and privilege that come before anything else in a system instruction. */
final class SystemChecks {
  private SystemChecks() {}

  /** #GP(0) unless CPL is 0. */
  static void privileged(ProcessorState state, MicroOperation operation) {
    if (state.cpl != 0) {
      throw ProcessorException.generalProtection();
    }
  }

  /** #UD in real-address and virtual-8086 mode. */
  static void protectedMode(ProcessorState state, MicroOperation operation) {
    if (!state.protectedMode() || state.virtual8086()) {
      throw ProcessorException.invalidOpcode();
    }
  }

  /** #GP(0) outside CPL 0 while CR4.UMIP is set: SGDT, SIDT, SLDT, SMSW, STR. */
  static void userModePrevention(ProcessorState state, MicroOperation operation) {
    if (state.cpl != 0 && (state.cr4 & ControlBits.CR4_UMIP) != 0) {
      throw ProcessorException.generalProtection();
    }
  }

  /** #GP(0) in virtual-8086 mode with IOPL below 3: PUSHF, POPF. */
  static void virtual8086Flags(ProcessorState state, MicroOperation operation) {
    if (state.virtual8086() && state.iopl() < 3) {
      throw ProcessorException.generalProtection();
    }
  }

  /** CLI and STI: #GP(0) if CPL is above IOPL (SDM volume 2, table 3-7, without VME and PVI). */
  static void interruptFlag(ProcessorState state) {
    if (state.protectedMode() && state.cpl > state.iopl()) {
      throw ProcessorException.generalProtection();
    }
  }

  /** #UD unless CR4.FSGSBASE. */
  static void segmentBases(ProcessorState state) {
    if ((state.cr4 & ControlBits.CR4_FSGSBASE) == 0) {
      throw ProcessorException.invalidOpcode();
    }
  }

  /** #UD unless CR4.OSXSAVE. */
  static void extendedState(ProcessorState state) {
    if ((state.cr4 & ControlBits.CR4_OSXSAVE) == 0) {
      throw ProcessorException.invalidOpcode();
    }
  }

  /** RDTSC and RDTSCP: #GP(0) outside CPL 0 while CR4.TSD is set. */
  static void timeStamp(ProcessorState state) {
    if (state.cpl != 0 && (state.cr4 & ControlBits.CR4_TSD) != 0) {
      throw ProcessorException.generalProtection();
    }
  }
}
