package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorState;

/**
 * Executes micro-operations that touch registers and flags alone: for executors whose time goes
 * elsewhere. The interpreter has the same cases in its loop, which is all the speed that cold code
 * has.
 */
public final class RegisterOperations {
  private RegisterOperations() {}

  /**
   * Executes one.
   *
   * @param o of a code from {@link MicroCode#MOVE} to {@link MicroCode#BIT_TEST}
   */
  public static void execute(ProcessorState s, MicroOperation o) {
    long[] r = s.r;
    switch (o.code) {
      case MicroCode.MOVE ->
          r[o.destination] =
              r[o.destination] & o.keep | (r[o.second] + o.immediate) << o.shift >>> o.shift;
      case MicroCode.MOVE64 -> r[o.destination] = r[o.second] + o.immediate;
      case MicroCode.SIGN_EXTEND ->
          r[o.destination] =
              r[o.destination] & o.keep
                  | (r[o.second] + o.immediate)
                      << o.shift
                      >> o.shift
                      << o.targetShift
                      >>> o.targetShift;
      case MicroCode.EXTRACT_HIGH -> r[o.destination] = r[o.second] >>> 8 & 0xff;
      case MicroCode.INSERT_HIGH ->
          r[o.destination] = r[o.destination] & ~0xff00L | (r[o.second] & 0xff) << 8;
      case MicroCode.ADDRESS ->
          r[o.destination] =
              r[o.destination] & o.keep
                  | r[o.base] + (r[o.index] << o.scale) + o.displacement + r[o.segmentBase]
                      << o.shift
                      >>> o.shift;
      case MicroCode.ADD -> {
        int shift = o.shift;
        long a = r[o.first] << shift;
        long b = r[o.second] + o.immediate << shift;
        long sum = a + b;
        s.flagResult = sum >> shift;
        s.flagAuxiliary = Flags.auxiliaryOfAddition(a, b, sum, shift);
        r[o.destination] = r[o.destination] & o.keep | sum >>> shift;
      }
      case MicroCode.ADD_CARRY -> {
        int shift = o.shift;
        long a = r[o.first] << shift;
        long b = r[o.second] + o.immediate << shift;
        long sum = a + b + ((long) Flags.carry(s.flagAuxiliary) << shift);
        s.flagResult = sum >> shift;
        s.flagAuxiliary = Flags.auxiliaryOfAddition(a, b, sum, shift);
        r[o.destination] = r[o.destination] & o.keep | sum >>> shift;
      }
      case MicroCode.SUBTRACT -> {
        int shift = o.shift;
        long a = r[o.first] << shift;
        long b = r[o.second] + o.immediate << shift;
        long difference = a - b;
        s.flagResult = difference >> shift;
        s.flagAuxiliary = Flags.auxiliaryOfSubtraction(a, b, difference, shift);
        r[o.destination] = r[o.destination] & o.keep | difference >>> shift;
      }
      case MicroCode.SUBTRACT_BORROW -> {
        int shift = o.shift;
        long a = r[o.first] << shift;
        long b = r[o.second] + o.immediate << shift;
        long difference = a - b - ((long) Flags.carry(s.flagAuxiliary) << shift);
        s.flagResult = difference >> shift;
        s.flagAuxiliary = Flags.auxiliaryOfSubtraction(a, b, difference, shift);
        r[o.destination] = r[o.destination] & o.keep | difference >>> shift;
      }
      case MicroCode.COMPARE -> {
        int shift = o.shift;
        long a = r[o.first] << shift;
        long b = r[o.second] + o.immediate << shift;
        long difference = a - b;
        s.flagResult = difference >> shift;
        s.flagAuxiliary = Flags.auxiliaryOfSubtraction(a, b, difference, shift);
      }
      case MicroCode.AND -> {
        long result = (r[o.first] & r[o.second] + o.immediate) << o.shift;
        s.flagResult = result >> o.shift;
        s.flagAuxiliary = 0;
        r[o.destination] = r[o.destination] & o.keep | result >>> o.shift;
      }
      case MicroCode.OR -> {
        long result = (r[o.first] | r[o.second] + o.immediate) << o.shift;
        s.flagResult = result >> o.shift;
        s.flagAuxiliary = 0;
        r[o.destination] = r[o.destination] & o.keep | result >>> o.shift;
      }
      case MicroCode.XOR -> {
        long result = (r[o.first] ^ r[o.second] + o.immediate) << o.shift;
        s.flagResult = result >> o.shift;
        s.flagAuxiliary = 0;
        r[o.destination] = r[o.destination] & o.keep | result >>> o.shift;
      }
      case MicroCode.TEST -> {
        s.flagResult = (r[o.first] & r[o.second] + o.immediate) << o.shift >> o.shift;
        s.flagAuxiliary = 0;
      }
      case MicroCode.INCREMENT -> {
        int shift = o.shift;
        long a = r[o.first] << shift;
        long sum = a + (1L << shift);
        long fresh = Flags.auxiliaryOfAddition(a, 1L << shift, sum, shift);
        s.flagResult = sum >> shift;
        s.flagAuxiliary = Flags.withCarry(fresh, Flags.carry(s.flagAuxiliary));
        r[o.destination] = r[o.destination] & o.keep | sum >>> shift;
      }
      case MicroCode.DECREMENT -> {
        int shift = o.shift;
        long a = r[o.first] << shift;
        long difference = a - (1L << shift);
        long fresh = Flags.auxiliaryOfSubtraction(a, 1L << shift, difference, shift);
        s.flagResult = difference >> shift;
        s.flagAuxiliary = Flags.withCarry(fresh, Flags.carry(s.flagAuxiliary));
        r[o.destination] = r[o.destination] & o.keep | difference >>> shift;
      }
      case MicroCode.NEGATE -> {
        int shift = o.shift;
        long b = r[o.first] << shift;
        s.flagResult = -b >> shift;
        s.flagAuxiliary = Flags.auxiliaryOfSubtraction(0, b, -b, shift);
        r[o.destination] = r[o.destination] & o.keep | -b >>> shift;
      }
      case MicroCode.NOT ->
          r[o.destination] = r[o.destination] & o.keep | ~r[o.first] << o.shift >>> o.shift;
      case MicroCode.SHIFT_LEFT ->
          r[o.destination] =
              r[o.destination] & o.keep
                  | Shifts.left(s, r[o.first], r[o.second] + o.immediate, o.shift);
      case MicroCode.SHIFT_RIGHT ->
          r[o.destination] =
              r[o.destination] & o.keep
                  | Shifts.right(s, r[o.first], r[o.second] + o.immediate, o.shift);
      case MicroCode.SHIFT_RIGHT_ARITHMETIC ->
          r[o.destination] =
              r[o.destination] & o.keep
                  | Shifts.rightArithmetic(s, r[o.first], r[o.second] + o.immediate, o.shift);
      case MicroCode.ROTATE_LEFT ->
          r[o.destination] =
              r[o.destination] & o.keep
                  | Shifts.rotateLeft(s, r[o.first], r[o.second] + o.immediate, o.shift);
      case MicroCode.ROTATE_RIGHT ->
          r[o.destination] =
              r[o.destination] & o.keep
                  | Shifts.rotateRight(s, r[o.first], r[o.second] + o.immediate, o.shift);
      case MicroCode.MULTIPLY -> {
        int shift = o.shift;
        long a = r[o.first] << shift >> shift;
        long b = r[o.second] + o.immediate << shift >> shift;
        long product = a * b;
        s.flagResult = product << shift >> shift;
        s.flagAuxiliary = Multiplication.truncationAuxiliary(a, b, shift);
        r[o.destination] = r[o.destination] & o.keep | product << shift >>> shift;
      }
      case MicroCode.SET_IF ->
          r[o.destination] =
              r[o.destination] & o.keep
                  | (Flags.test(o.condition, s.flagResult, s.flagAuxiliary) ? 1 : 0);
      case MicroCode.MOVE_IF -> {
        long value =
            Flags.test(o.condition, s.flagResult, s.flagAuxiliary) ? r[o.second] : r[o.destination];
        r[o.destination] = r[o.destination] & o.keep | value << o.shift >>> o.shift;
      }
      case MicroCode.BIT_TEST ->
          s.flagAuxiliary =
              Flags.withCarry(
                  s.flagAuxiliary, r[o.first] >>> ((r[o.second] + o.immediate) & 63 - o.shift) & 1);
      default -> throw new IllegalArgumentException("touches more than registers: " + o);
    }
  }
}
