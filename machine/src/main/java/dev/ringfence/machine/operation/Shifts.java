package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorState;

/**
 * Shifts and rotates (SDM volume 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD).
 *
 * <p>Operands are slots whose low {@code 64 - shift} bits count. Results come back cut to the
 * operand width. A count of zero, after masking, leaves all flags alone. OF is written for every
 * count by the rule for one-bit shifts; the SDM leaves it undefined for others.
 */
public final class Shifts {
  private Shifts() {}

  private static int count(long count, int shift) {
    return (int) count & (shift == 0 ? 63 : 31);
  }

  /** SHL. */
  public static long left(ProcessorState state, long operand, long by, int shift) {
    int count = count(by, shift);
    long top = operand << shift;
    if (count == 0) {
      return top >>> shift;
    }
    long result = top << count;
    long carry = top << count - 1 >>> 63;
    state.flagResult = result >> shift;
    state.flagAuxiliary = Flags.carryAndOverflow(carry, carry ^ result >>> 63);
    return result >>> shift;
  }

  /** SHR. */
  public static long right(ProcessorState state, long operand, long by, int shift) {
    int count = count(by, shift);
    long value = operand << shift >>> shift;
    if (count == 0) {
      return value;
    }
    long result = value >>> count;
    state.flagResult = result << shift >> shift;
    state.flagAuxiliary = Flags.carryAndOverflow(value >>> count - 1 & 1, operand << shift >>> 63);
    return result;
  }

  /** SAR. */
  public static long rightArithmetic(ProcessorState state, long operand, long by, int shift) {
    int count = count(by, shift);
    long value = operand << shift >> shift;
    if (count == 0) {
      return value << shift >>> shift;
    }
    long result = value >> count;
    state.flagResult = result;
    state.flagAuxiliary = Flags.carryAndOverflow(value >> count - 1 & 1, 0);
    return result << shift >>> shift;
  }

  /** ROL: changes CF and OF only. */
  public static long rotateLeft(ProcessorState state, long operand, long by, int shift) {
    int masked = count(by, shift);
    int width = 64 - shift;
    long value = operand << shift >>> shift;
    if (masked == 0) {
      return value;
    }
    int count = masked & width - 1;
    long result =
        width == 64
            ? Long.rotateLeft(value, count)
            : (value << count | value >>> width - count) << shift >>> shift;
    long carry = result & 1;
    rotateFlags(state, carry, carry ^ result >>> width - 1 & 1);
    return result;
  }

  /** ROR: changes CF and OF only. */
  public static long rotateRight(ProcessorState state, long operand, long by, int shift) {
    int masked = count(by, shift);
    int width = 64 - shift;
    long value = operand << shift >>> shift;
    if (masked == 0) {
      return value;
    }
    int count = masked & width - 1;
    long result =
        width == 64
            ? Long.rotateRight(value, count)
            : (value >>> count | value << width - count) << shift >>> shift;
    rotateFlags(state, result >>> width - 1 & 1, (result >>> width - 1 ^ result >>> width - 2) & 1);
    return result;
  }

  private static void rotateFlags(ProcessorState state, long carry, long overflow) {
    state.flagAuxiliary =
        state.flagAuxiliary & ~Flags.CARRY_AND_OVERFLOW | Flags.carryAndOverflow(carry, overflow);
  }

  /** RCL: destination = first rotated through CF by second + immediate. */
  static void rotateLeftThroughCarry(ProcessorState state, MicroOperation operation) {
    int width = 64 - operation.shift;
    int masked = count(state.r[operation.second] + operation.immediate, operation.shift);
    int count = width < 32 ? masked % (width + 1) : masked;
    long value = state.r[operation.first] << operation.shift >>> operation.shift;
    long carry = Flags.carry(state.flagAuxiliary);
    for (int i = 0; i < count; i++) {
      long out = value >>> width - 1 & 1;
      value = (value << 1 | carry) << operation.shift >>> operation.shift;
      carry = out;
    }
    if (masked != 0) {
      rotateFlags(state, carry, carry ^ value >>> width - 1 & 1);
    }
    write(state, operation, value);
  }

  /** RCR: destination = first rotated through CF by second + immediate. */
  static void rotateRightThroughCarry(ProcessorState state, MicroOperation operation) {
    int width = 64 - operation.shift;
    int masked = count(state.r[operation.second] + operation.immediate, operation.shift);
    int count = width < 32 ? masked % (width + 1) : masked;
    long value = state.r[operation.first] << operation.shift >>> operation.shift;
    long carry = Flags.carry(state.flagAuxiliary);
    for (int i = 0; i < count; i++) {
      long out = value & 1;
      value = value >>> 1 | carry << width - 1;
      carry = out;
    }
    if (masked != 0) {
      rotateFlags(state, carry, (value >>> width - 1 ^ value >>> width - 2) & 1);
    }
    write(state, operation, value);
  }

  /** SHLD: destination = first shifted left, filled from r[index], by second + immediate. */
  static void doubleLeft(ProcessorState state, MicroOperation operation) {
    int width = 64 - operation.shift;
    int count = count(state.r[operation.second] + operation.immediate, operation.shift);
    long value = state.r[operation.first] << operation.shift >>> operation.shift;
    if (count != 0) {
      long fill = state.r[operation.index] << operation.shift >>> operation.shift;
      long original = value;
      long carry;
      if (width == 16) {
        // Counts above 16 are undefined; processors shift through destination:source:destination.
        long wide = value << 32 | fill << 16 | value;
        value = wide << count >>> 32 & 0xffff;
        carry = wide >>> 48 - count & 1;
      } else {
        value = (value << count | fill >>> width - count) << operation.shift >>> operation.shift;
        carry = original >>> width - count & 1;
      }
      doubleFlags(state, original, value, carry, operation.shift);
    }
    write(state, operation, value);
  }

  /** SHRD: destination = first shifted right, filled from r[index], by second + immediate. */
  static void doubleRight(ProcessorState state, MicroOperation operation) {
    int width = 64 - operation.shift;
    int count = count(state.r[operation.second] + operation.immediate, operation.shift);
    long value = state.r[operation.first] << operation.shift >>> operation.shift;
    if (count != 0) {
      long fill = state.r[operation.index] << operation.shift >>> operation.shift;
      long original = value;
      long carry;
      if (width == 16) {
        long wide = value << 32 | fill << 16 | value;
        value = wide >>> count & 0xffff;
        carry = wide >>> count - 1 & 1;
      } else {
        value = (value >>> count | fill << width - count) << operation.shift >>> operation.shift;
        carry = original >>> count - 1 & 1;
      }
      doubleFlags(state, original, value, carry, operation.shift);
    }
    write(state, operation, value);
  }

  private static void doubleFlags(
      ProcessorState state, long original, long value, long carry, int shift) {
    state.flagResult = value << shift >> shift;
    state.flagAuxiliary = Flags.carryAndOverflow(carry, (original ^ value) << shift >>> 63);
  }

  private static void write(ProcessorState state, MicroOperation operation, long value) {
    state.r[operation.destination] = state.r[operation.destination] & operation.keep | value;
  }
}
