package dev.ringfence.machine.operation;

import static dev.ringfence.machine.operation.softfloat.Extended.BIAS;
import static dev.ringfence.machine.operation.softfloat.Extended.EXPONENT;
import static dev.ringfence.machine.operation.softfloat.Extended.INTEGER_BIT;
import static dev.ringfence.machine.operation.softfloat.Extended.SIGN;

import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.operation.softfloat.Extended;
import dev.ringfence.machine.operation.softfloat.Remainder;
import dev.ringfence.machine.operation.softfloat.SoftFloat;
import dev.ringfence.machine.operation.softfloat.Transcendental;
import dev.ringfence.machine.operation.softfloat.Transcendental.Function;

/** FSCALE, FXTRACT, FPREM, the transcendental functions and the constants. */
final class X87Functions {
  /** What FLDxx loads: exponent, significand cut to 64 bits, and the bits that follow. */
  enum Constant {
    ONE(BIAS, INTEGER_BIT, 0),
    LOG2_10(BIAS + 1, 0xd49a_784b_cd1b_8afeL, 0x492b_f6ff_4daf_db4cL),
    LOG2_E(BIAS, 0xb8aa_3b29_5c17_f0bbL, 0xbe87_fed0_691d_3e88L),
    PI(BIAS + 1, 0xc90f_daa2_2168_c234L, 0xc4c6_628b_80dc_1cd1L),
    LOG10_2(BIAS - 2, 0x9a20_9a84_fbcf_f798L, 0x8f89_59ac_0b7c_9178L),
    LN_2(BIAS - 1, 0xb172_17f7_d1cf_79abL, 0xc9e3_b398_03f2_f6afL);

    private final int exponent;
    private final long significand;
    private final long rest;

    Constant(int exponent, long significand, long rest) {
      this.exponent = exponent;
      this.significand = significand;
      this.rest = rest;
    }
  }

  private X87Functions() {}

  /** Pushes a constant, rounded by RC; that it is inexact raises no exception. */
  static void load(ProcessorState state, MicroOperation o, Constant constant) {
    SoftFloat unit = X87.unit(state);
    unit.targetExtended();
    unit.round(0, constant.exponent, constant.significand, constant.rest);
    X87.load(state, o, unit.signExponent, unit.significand);
  }

  private static boolean missing(ProcessorState state) {
    return X87.isEmpty(state, 0) || X87.isEmpty(state, 1);
  }

  /** FSCALE: ST(0) * 2^ST(1), ST(1) rounded toward zero. */
  static void scale(ProcessorState state, MicroOperation o) {
    X87.begin(state, o);
    if (missing(state)) {
      X87.underflow(state, o, 0, 0);
      return;
    }
    SoftFloat unit = X87.unit(state);
    unit.targetExtended();
    unit.scale(
        X87.signExponent(state, 0),
        X87.significand(state, 0),
        X87.signExponent(state, 1),
        X87.significand(state, 1));
    X87.finish(state, o, unit, 0, 0);
  }

  /** FXTRACT: ST(0) = exponent, then the significand is pushed. */
  static void extract(ProcessorState state, MicroOperation o) {
    X87.begin(state, o);
    if (noRoom(state, o)) {
      return;
    }
    int se = X87.signExponent(state, 0);
    long m = X87.significand(state, 0);
    SoftFloat unit = X87.unit(state);
    unit.targetExtended();
    if (Extended.isZero(se, m)) {
      unit.flags |= SoftFloat.ZERO_DIVIDE;
      unit.set(SIGN | EXPONENT, INTEGER_BIT);
      endExtract(state, o, unit, se, 0);
      return;
    }
    if (Extended.isInfinity(se, m)) {
      unit.set(EXPONENT, INTEGER_BIT);
      endExtract(state, o, unit, se, m);
      return;
    }
    if ((se & EXPONENT) == EXPONENT || Extended.isUnsupported(se, m)) {
      unit.convert(se, m);
      endExtract(state, o, unit, unit.signExponent, unit.significand);
      return;
    }
    int exponent = se & EXPONENT;
    if (exponent == 0) {
      unit.flags |= SoftFloat.DENORMAL;
      exponent = 1 - Long.numberOfLeadingZeros(m);
    }
    unit.fromInteger(exponent - BIAS);
    endExtract(state, o, unit, se & SIGN | BIAS, m << Long.numberOfLeadingZeros(m));
  }

  private static void endExtract(
      ProcessorState state, MicroOperation o, SoftFloat unit, int se, long m) {
    X87.finish(state, o, unit, 0, 0);
    if (!unit.trapped()) {
      X87.push(state, se, m);
    }
  }

  /** FPREM (quotient toward zero) and FPREM1 (quotient to nearest). */
  static void remainder(ProcessorState state, MicroOperation o, boolean nearest) {
    X87.begin(state, o);
    state.x87Status &= ~X87Status.C2;
    if (missing(state)) {
      X87.underflow(state, o, 0, 0);
      return;
    }
    SoftFloat unit = X87.unit(state);
    unit.targetExtended();
    int codes =
        Remainder.compute(
            unit,
            X87.signExponent(state, 0),
            X87.significand(state, 0),
            X87.signExponent(state, 1),
            X87.significand(state, 1),
            nearest);
    X87.end(state, o, unit.flags, false);
    if (unit.trapped()) {
      return;
    }
    X87.writeResult(state, 0, unit);
    if (codes == Remainder.INCOMPLETE) {
      state.x87Status = state.x87Status & ~(X87Status.C0 | X87Status.C3) | X87Status.C2;
    } else if (codes != Remainder.NO_QUOTIENT) {
      state.x87Status &= ~(X87Status.C0 | X87Status.C3);
      state.x87Status |=
          ((codes & 4) != 0 ? X87Status.C0 : 0)
              | ((codes & 2) != 0 ? X87Status.C3 : 0)
              | ((codes & 1) != 0 ? X87Status.C1 : 0);
    }
  }

  /** Computes a function of ST(0) and ST(1) into the unit. */
  @FunctionalInterface
  interface BinaryFunction {
    void apply(SoftFloat unit, int se0, long m0, int se1, long m1);
  }

  /** FYL2X, FYL2XP1, FPATAN: ST(1) = f(ST(0), ST(1)), then pops. */
  static void binary(ProcessorState state, MicroOperation o, BinaryFunction function) {
    X87.begin(state, o);
    if (missing(state)) {
      X87.underflow(state, o, 1, 1);
      return;
    }
    SoftFloat unit = X87.unit(state);
    unit.targetExtended();
    function.apply(
        unit,
        X87.signExponent(state, 0),
        X87.significand(state, 0),
        X87.signExponent(state, 1),
        X87.significand(state, 1));
    X87.finish(state, o, unit, 1, 1);
  }

  private static void beginTrigonometric(ProcessorState state, MicroOperation o) {
    X87.begin(state, o);
    state.x87Status &= ~X87Status.C2;
  }

  /** Whether the operand of a trigonometric function is too large, which C2 then says. */
  private static boolean outOfRange(ProcessorState state, MicroOperation o) {
    if (X87.isEmpty(state, 0)
        || Transcendental.inRange(X87.signExponent(state, 0), X87.significand(state, 0))) {
      return false;
    }
    X87.end(state, o);
    state.x87Status |= X87Status.C2;
    return true;
  }

  /** FSIN and FCOS. */
  static void trigonometric(ProcessorState state, MicroOperation o, Function function) {
    beginTrigonometric(state, o);
    if (!outOfRange(state, o)) {
      X87.unary(
          state, o, false, (unit, se, m) -> Transcendental.trigonometric(unit, function, se, m));
    }
  }

  /** Whether ST(0) is missing or there is no room for a second result; ends the instruction. */
  private static boolean noRoom(ProcessorState state, MicroOperation o) {
    boolean empty = X87.isEmpty(state, 0);
    boolean full = !X87.isEmpty(state, 7);
    if (!empty && !full) {
      return false;
    }
    if (X87.stackFault(state, o, !empty)) {
      X87.write(state, 0, Extended.INDEFINITE_EXPONENT, Extended.INDEFINITE_SIGNIFICAND);
      X87.push(state, Extended.INDEFINITE_EXPONENT, Extended.INDEFINITE_SIGNIFICAND);
    }
    return true;
  }

  /** FSINCOS: ST(0) = sine, then the cosine is pushed. */
  static void sineAndCosine(ProcessorState state, MicroOperation o) {
    beginTrigonometric(state, o);
    if (noRoom(state, o) || outOfRange(state, o)) {
      return;
    }
    int se = X87.signExponent(state, 0);
    long m = X87.significand(state, 0);
    SoftFloat cosine = X87.unit(state);
    cosine.targetExtended();
    Transcendental.trigonometric(cosine, Function.COSINE, se, m);
    SoftFloat sine = X87.unit(state);
    sine.targetExtended();
    Transcendental.trigonometric(sine, Function.SINE, se, m);
    sine.flags |= cosine.flags;
    X87.finish(state, o, sine, 0, 0);
    if (!sine.trapped()) {
      X87.push(state, cosine.signExponent, cosine.significand);
    }
  }

  /** FPTAN: ST(0) = tangent, then 1 is pushed, or the NaN again. */
  static void tangent(ProcessorState state, MicroOperation o) {
    beginTrigonometric(state, o);
    if (noRoom(state, o) || outOfRange(state, o)) {
      return;
    }
    SoftFloat unit = X87.unit(state);
    unit.targetExtended();
    Transcendental.trigonometric(
        unit, Function.TANGENT, X87.signExponent(state, 0), X87.significand(state, 0));
    X87.finish(state, o, unit, 0, 0);
    if (unit.trapped()) {
      return;
    }
    if (Extended.isNan(unit.signExponent, unit.significand)) {
      X87.push(state, unit.signExponent, unit.significand);
    } else {
      X87.push(state, BIAS, INTEGER_BIT);
    }
  }
}
