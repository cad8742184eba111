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

  /** The number of bits to shift by: a count masked as the processor masks it. */
  public static int count(long count, int shift) {
    return (int) count & (shift == 0 ? 63 : 31);
  }

  /** SHL. */
  public static long left(ProcessorState state, long operand, long by, int shift) {
    int count = count(by, shift);
    long value = leftValue(operand, count, shift);
    if (count != 0) {
      state.flagResult = value << shift >> shift;
      state.flagAuxiliary = leftAuxiliary(operand, count, shift);
    }
    return value;
  }

  /** What SHL by a masked count gives. */
  public static long leftValue(long operand, int count, int shift) {
    return operand << shift << count >>> shift;
  }

  /** The auxiliary word after SHL by a masked count that is not zero. */
  public static long leftAuxiliary(long operand, int count, int shift) {
    long before = operand << shift << count - 1;
    return Flags.carryAndOverflow(before >>> 63, before >>> 63 ^ before << 1 >>> 63);
  }

  /** SHR. */
  public static long right(ProcessorState state, long operand, long by, int shift) {
    int count = count(by, shift);
    long value = rightValue(operand, count, shift);
    if (count != 0) {
      state.flagResult = value << shift >> shift;
      state.flagAuxiliary = rightAuxiliary(operand, count, shift);
    }
    return value;
  }

  /** What SHR by a masked count gives. */
  public static long rightValue(long operand, int count, int shift) {
    return operand << shift >>> shift >>> count;
  }

  /** The auxiliary word after SHR by a masked count that is not zero. */
  public static long rightAuxiliary(long operand, int count, int shift) {
    return Flags.carryAndOverflow(
        operand << shift >>> shift >>> count - 1 & 1, operand << shift >>> 63);
  }

  /** SAR. */
  public static long rightArithmetic(ProcessorState state, long operand, long by, int shift) {
    int count = count(by, shift);
    long value = rightArithmeticValue(operand, count, shift);
    if (count != 0) {
      state.flagResult = value << shift >> shift;
      state.flagAuxiliary = rightArithmeticAuxiliary(operand, count, shift);
    }
    return value;
  }

  /** What SAR by a masked count gives. */
  public static long rightArithmeticValue(long operand, int count, int shift) {
    return operand << shift >> shift >> count << shift >>> shift;
  }

  /** The auxiliary word after SAR by a masked count that is not zero. */
  public static long rightArithmeticAuxiliary(long operand, int count, int shift) {
    return Flags.carryAndOverflow(operand << shift >> shift >> count - 1 & 1, 0);
  }

  /** ROL: changes CF and OF only. */
  public static long rotateLeft(ProcessorState state, long operand, long by, int shift) {
    int count = count(by, shift);
    long value = rotateLeftValue(operand, count, shift);
    if (count != 0) {
      state.flagAuxiliary = rotateLeftAuxiliary(state.flagAuxiliary, value, shift);
    }
    return value;
  }

  /** What ROL by a masked count gives. */
  public static long rotateLeftValue(long operand, int masked, int shift) {
    int width = 64 - shift;
    int count = masked & width - 1;
    long value = operand << shift >>> shift;
    return width == 64
        ? Long.rotateLeft(value, count)
        : (value << count | value >>> width - count) << shift >>> shift;
  }

  /** The auxiliary word after ROL by a masked count that is not zero, which gave a value. */
  public static long rotateLeftAuxiliary(long auxiliary, long value, int shift) {
    long carry = value & 1;
    return rotated(auxiliary, carry, carry ^ value >>> 63 - shift & 1);
  }

  /** ROR: changes CF and OF only. */
  public static long rotateRight(ProcessorState state, long operand, long by, int shift) {
    int count = count(by, shift);
    long value = rotateRightValue(operand, count, shift);
    if (count != 0) {
      state.flagAuxiliary = rotateRightAuxiliary(state.flagAuxiliary, value, shift);
    }
    return value;
  }

  /** What ROR by a masked count gives. */
  public static long rotateRightValue(long operand, int masked, int shift) {
    int width = 64 - shift;
    int count = masked & width - 1;
    long value = operand << shift >>> shift;
    return width == 64
        ? Long.rotateRight(value, count)
        : (value >>> count | value << width - count) << shift >>> shift;
  }

  /** The auxiliary word after ROR by a masked count that is not zero, which gave a value. */
  public static long rotateRightAuxiliary(long auxiliary, long value, int shift) {
    long carry = value >>> 63 - shift & 1;
    return rotated(auxiliary, carry, carry ^ value >>> 62 - shift & 1);
  }

  private static long rotated(long auxiliary, long carry, long overflow) {
    return auxiliary & ~Flags.CARRY_AND_OVERFLOW | Flags.carryAndOverflow(carry, overflow);
  }

  private static void rotateFlags(ProcessorState state, long carry, long overflow) {
    state.flagAuxiliary = rotated(state.flagAuxiliary, carry, overflow);
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
