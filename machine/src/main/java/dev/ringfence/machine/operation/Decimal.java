package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;

/** Decimal adjust instructions (SDM volume 2, AAA to DAS), which exist outside 64-bit mode only. */
final class Decimal {
  private Decimal() {}

  private static int al(ProcessorState state) {
    return (int) state.r[Slot.RAX] & 0xff;
  }

  private static void setAx(ProcessorState state, int value) {
    state.r[Slot.RAX] = state.r[Slot.RAX] & ~0xffffL | value & 0xffff;
  }

  private static void setAl(ProcessorState state, int value) {
    state.r[Slot.RAX] = state.r[Slot.RAX] & ~0xffL | value & 0xff;
  }

  private static void setFlags(ProcessorState state, int result, boolean carry, boolean adjust) {
    state.flagResult = (byte) result;
    state.flagAuxiliary = Flags.carryAndOverflow(carry ? 1 : 0, 0) | (adjust ? 8 : 0);
  }

  static void adjustAfterAddition(ProcessorState state, MicroOperation operation) {
    decimalAdjust(state, 1);
  }

  static void adjustAfterSubtraction(ProcessorState state, MicroOperation operation) {
    decimalAdjust(state, -1);
  }

  private static void decimalAdjust(ProcessorState state, int sign) {
    int old = al(state);
    boolean oldCarry = Flags.carry(state.flagAuxiliary) != 0;
    int value = old;
    boolean carry = false;
    boolean adjust = (old & 0xf) > 9 || Flags.adjust(state.flagAuxiliary) != 0;
    if (adjust) {
      value += 6 * sign;
      carry = oldCarry || (value & ~0xff) != 0;
    }
    if (old > 0x99 || oldCarry) {
      value += 0x60 * sign;
      carry = true;
    }
    setAl(state, value);
    setFlags(state, value, carry, adjust);
  }

  static void asciiAdjustAfterAddition(ProcessorState state, MicroOperation operation) {
    asciiAdjust(state, 1);
  }

  static void asciiAdjustAfterSubtraction(ProcessorState state, MicroOperation operation) {
    asciiAdjust(state, -1);
  }

  private static void asciiAdjust(ProcessorState state, int sign) {
    boolean adjust = (al(state) & 0xf) > 9 || Flags.adjust(state.flagAuxiliary) != 0;
    int ax = (int) state.r[Slot.RAX] & 0xffff;
    if (adjust) {
      ax += sign * 0x106;
    }
    setAx(state, ax & 0xff0f);
    setFlags(state, al(state), adjust, adjust);
  }

  static void asciiAdjustAfterMultiplication(ProcessorState state, MicroOperation operation) {
    int base = (int) operation.immediate & 0xff;
    if (base == 0) {
      throw ProcessorException.of(ProcessorException.DIVIDE_ERROR);
    }
    int value = al(state);
    setAx(state, value / base << 8 | value % base);
    setFlags(state, value % base, false, false);
  }

  static void asciiAdjustBeforeDivision(ProcessorState state, MicroOperation operation) {
    int base = (int) operation.immediate & 0xff;
    int ah = (int) state.r[Slot.RAX] >>> 8 & 0xff;
    int value = al(state) + ah * base & 0xff;
    setAx(state, value);
    setFlags(state, value, false, false);
  }
}
