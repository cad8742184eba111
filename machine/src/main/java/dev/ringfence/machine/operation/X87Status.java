package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.ProcessorState;

/** Bits of the x87 status and control words (SDM volume 1, sections 8.1.3 and 8.1.5). */
final class X87Status {
  /** IE, DE, ZE, OE, UE and PE, at the same places as their masks in the control word. */
  static final int EXCEPTIONS = 0x3f;

  static final int INVALID = 1;
  static final int DENORMAL = 1 << 1;
  static final int ZERO_DIVIDE = 1 << 2;
  static final int OVERFLOW = 1 << 3;
  static final int UNDERFLOW = 1 << 4;
  static final int PRECISION = 1 << 5;

  /** SF: the invalid operation was an overflow (C1 = 1) or underflow (C1 = 0) of the stack. */
  static final int STACK_FAULT = 1 << 6;

  /** ES: an unmasked exception is pending. */
  static final int ERROR_SUMMARY = 1 << 7;

  static final int C0 = 1 << 8;
  static final int C1 = 1 << 9;
  static final int C2 = 1 << 10;
  static final int C3 = 1 << 14;

  /** B: equal to ES. */
  static final int BUSY = 1 << 15;

  static final int TOP_SHIFT = 11;
  static final int TOP = 7 << TOP_SHIFT;

  /** Control word after FNINIT: all exceptions masked, 64-bit precision, round to nearest. */
  static final int INITIAL_CONTROL = 0x37f;

  /** Bits of the control word that can be written; bit 6 always reads as 1. */
  static final int CONTROL_WRITABLE = 0x1f3f;

  static final int CONTROL_ALWAYS_SET = 1 << 6;

  private X87Status() {}

  /** The status word with TOP in its place. */
  static int word(ProcessorState state) {
    return state.x87Status | state.x87Top << TOP_SHIFT;
  }

  /** Sets the status word and TOP; ES and B follow from flags and masks. */
  static void setWord(ProcessorState state, int value) {
    state.x87Top = value >>> TOP_SHIFT & 7;
    state.x87Status = value & 0xffff & ~TOP;
    summarize(state);
  }

  static void setControl(ProcessorState state, int value) {
    state.x87Control = value & CONTROL_WRITABLE | CONTROL_ALWAYS_SET;
    summarize(state);
  }

  /** Recomputes ES and B after flags or masks have changed. */
  static void summarize(ProcessorState state) {
    if ((state.x87Status & ~state.x87Control & EXCEPTIONS) != 0) {
      state.x87Status |= ERROR_SUMMARY | BUSY;
    } else {
      state.x87Status &= ~(ERROR_SUMMARY | BUSY);
    }
  }
}
