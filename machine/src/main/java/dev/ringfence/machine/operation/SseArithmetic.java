package dev.ringfence.machine.operation;

import static dev.ringfence.machine.operation.softfloat.QuickFloat.NOT_QUICK;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.operation.softfloat.Arithmetic;
import dev.ringfence.machine.operation.softfloat.Binary32;
import dev.ringfence.machine.operation.softfloat.Binary64;
import dev.ringfence.machine.operation.softfloat.QuickFloat;
import dev.ringfence.machine.operation.softfloat.SoftFloat;

/**
 * Helpers of SSE floating-point instructions on XMM registers. Fields: destination = first operand
 * and result, second = source, immediate.
 *
 * <p>Each tries {@link QuickFloat} for all elements first. If one is not quick, all are computed
 * with {@link SoftFloat}, so that the exceptions of all elements are known before anything is
 * written (SDM volume 1, section 11.5.2).
 */
final class SseArithmetic {
  private static final long LOW32 = 0xffff_ffffL;

  private SseArithmetic() {}

  /**
   * Records the exceptions of an instruction in MXCSR and raises #XM if one is unmasked (#UD unless
   * CR4.OSXMMEXCPT). An unmasked exception that is found before the computation of any element
   * keeps those that computations would raise from being reported.
   */
  static void finish(ProcessorState state, SoftFloat unit) {
    int flags = unit.flags;
    int unmasked = flags & ~(state.mxcsr >>> 7) & 0x3f;
    if ((unmasked & SoftFloat.BEFORE_COMPUTATION) != 0) {
      flags &= SoftFloat.BEFORE_COMPUTATION;
    }
    state.mxcsr |= flags;
    if (unmasked != 0) {
      throw (state.cr4 & ControlBits.CR4_OSXMMEXCPT) != 0
          ? ProcessorException.of(ProcessorException.SIMD_FLOATING_POINT)
          : ProcessorException.invalidOpcode();
    }
  }

  private static long quickDouble(Arithmetic operation, int mxcsr, long a, long b) {
    return switch (operation) {
      case ADD -> QuickFloat.add(mxcsr, a, b);
      case SUBTRACT -> QuickFloat.subtract(mxcsr, a, b);
      case MULTIPLY -> QuickFloat.multiply(mxcsr, a, b);
      case DIVIDE -> QuickFloat.divide(mxcsr, a, b);
      case MINIMUM -> QuickFloat.minimum(a, b);
      case MAXIMUM -> QuickFloat.maximum(a, b);
      case SQUARE_ROOT -> QuickFloat.squareRoot(mxcsr, b);
    };
  }

  private static long quickSingle(Arithmetic operation, int mxcsr, int a, int b) {
    return switch (operation) {
      case ADD -> QuickFloat.addSingle(mxcsr, a, b);
      case SUBTRACT -> QuickFloat.subtractSingle(mxcsr, a, b);
      case MULTIPLY -> QuickFloat.multiplySingle(mxcsr, a, b);
      case DIVIDE -> QuickFloat.divideSingle(mxcsr, a, b);
      case MINIMUM -> QuickFloat.minimumSingle(a, b);
      case MAXIMUM -> QuickFloat.maximumSingle(a, b);
      case SQUARE_ROOT -> QuickFloat.squareRootSingle(mxcsr, b);
    };
  }

  /** Writes a quick result of a scalar instruction, or computes it slowly. */
  static void scalarDouble(
      ProcessorState state, MicroOperation o, Arithmetic operation, long quick) {
    long[] r = state.r;
    long result = quick;
    if (quick == NOT_QUICK) {
      SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
      result = Binary64.compute(unit, operation, r[o.destination], r[o.second]);
      finish(state, unit);
    }
    r[o.destination] = result;
  }

  static void scalarDouble(ProcessorState state, MicroOperation o, Arithmetic operation) {
    long[] r = state.r;
    scalarDouble(
        state, o, operation, quickDouble(operation, state.mxcsr, r[o.destination], r[o.second]));
  }

  static void scalarSingle(ProcessorState state, MicroOperation o, Arithmetic operation) {
    long[] r = state.r;
    int a = (int) r[o.destination];
    int b = (int) r[o.second];
    long result = quickSingle(operation, state.mxcsr, a, b);
    if (result == NOT_QUICK) {
      SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
      result = Binary32.compute(unit, operation, a, b) & LOW32;
      finish(state, unit);
    }
    r[o.destination] = r[o.destination] & ~LOW32 | result;
  }

  static void packedDouble(ProcessorState state, MicroOperation o, Arithmetic operation) {
    packedDouble(state, o, operation, operation);
  }

  /** An operation for the low and one for the high element (ADDSUBPD needs two). */
  static void packedDouble(
      ProcessorState state, MicroOperation o, Arithmetic even, Arithmetic odd) {
    long[] r = state.r;
    int d = o.destination;
    doubles(state, d, even, r[d], r[o.second], odd, r[d + 1], r[o.second + 1]);
  }

  /** Two operations whose results go to the register at d. */
  private static void doubles(
      ProcessorState state,
      int d,
      Arithmetic even,
      long a0,
      long b0,
      Arithmetic odd,
      long a1,
      long b1) {
    long low = quickDouble(even, state.mxcsr, a0, b0);
    long high = quickDouble(odd, state.mxcsr, a1, b1);
    if (low == NOT_QUICK || high == NOT_QUICK) {
      SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
      low = Binary64.compute(unit, even, a0, b0);
      high = Binary64.compute(unit, odd, a1, b1);
      finish(state, unit);
    }
    state.r[d] = low;
    state.r[d + 1] = high;
  }

  static void packedSingle(ProcessorState state, MicroOperation o, Arithmetic operation) {
    packedSingle(state, o, operation, operation);
  }

  static void packedSingle(
      ProcessorState state, MicroOperation o, Arithmetic even, Arithmetic odd) {
    long[] r = state.r;
    int d = o.destination;
    singles(state, d, even, odd, r[d], r[d + 1], r[o.second], r[o.second + 1]);
  }

  /** Four operations on the elements of a and b, alternating, to the register at d. */
  private static void singles(
      ProcessorState state,
      int d,
      Arithmetic even,
      Arithmetic odd,
      long a01,
      long a23,
      long b01,
      long b23) {
    int mxcsr = state.mxcsr;
    long low = quickPair(even, odd, mxcsr, a01, b01);
    long high = low == NOT_QUICK ? NOT_QUICK : quickPair(even, odd, mxcsr, a23, b23);
    if (high == NOT_QUICK) {
      SoftFloat unit = SoftFloat.ofMxcsr(mxcsr);
      low = pair(unit, even, odd, a01, b01);
      high = pair(unit, even, odd, a23, b23);
      finish(state, unit);
    }
    state.r[d] = low;
    state.r[d + 1] = high;
  }

  /**
   * Two elements. A pair may happen to look like {@link QuickFloat#NOT_QUICK}; then it is computed
   * again, slowly and equally.
   */
  private static long quickPair(Arithmetic even, Arithmetic odd, int mxcsr, long a, long b) {
    long low = quickSingle(even, mxcsr, (int) a, (int) b);
    long high = quickSingle(odd, mxcsr, (int) (a >>> 32), (int) (b >>> 32));
    return low == NOT_QUICK || high == NOT_QUICK ? NOT_QUICK : low | high << 32;
  }

  private static long pair(SoftFloat unit, Arithmetic even, Arithmetic odd, long a, long b) {
    long low = Binary32.compute(unit, even, (int) a, (int) b) & LOW32;
    return low | (long) Binary32.compute(unit, odd, (int) (a >>> 32), (int) (b >>> 32)) << 32;
  }

  static void horizontalDouble(ProcessorState state, MicroOperation o, Arithmetic operation) {
    long[] r = state.r;
    int d = o.destination;
    int s = o.second;
    doubles(state, d, operation, r[d], r[d + 1], operation, r[s], r[s + 1]);
  }

  static void horizontalSingle(ProcessorState state, MicroOperation o, Arithmetic operation) {
    long[] r = state.r;
    int d = o.destination;
    int s = o.second;
    singles(
        state,
        d,
        operation,
        operation,
        Packed.unpackLowDoublewords(r[d], r[d + 1]),
        Packed.unpackLowDoublewords(r[s], r[s + 1]),
        Packed.unpackHighDoublewords(r[d], r[d + 1]),
        Packed.unpackHighDoublewords(r[s], r[s + 1]));
  }

  /** DPPD: bits 5:4 of the immediate choose products, bits 1:0 where the sum goes. */
  static void dotProductDouble(ProcessorState state, MicroOperation o) {
    long[] r = state.r;
    int d = o.destination;
    int control = (int) o.immediate;
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    long low = 0;
    long high = 0;
    if ((control & 0x10) != 0) {
      low = Binary64.compute(unit, Arithmetic.MULTIPLY, r[d], r[o.second]);
    }
    if ((control & 0x20) != 0) {
      high = Binary64.compute(unit, Arithmetic.MULTIPLY, r[d + 1], r[o.second + 1]);
    }
    finish(state, unit);
    long sum = Binary64.compute(unit, Arithmetic.ADD, low, high);
    finish(state, unit);
    r[d] = (control & 1) != 0 ? sum : 0;
    r[d + 1] = (control & 2) != 0 ? sum : 0;
  }

  /** DPPS: bits 7:4 choose products, bits 3:0 where the sum goes. */
  static void dotProductSingle(ProcessorState state, MicroOperation o) {
    long[] r = state.r;
    int d = o.destination;
    int control = (int) o.immediate;
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    int[] products = new int[4];
    for (int n = 0; n < 4; n++) {
      if ((control >>> 4 + n & 1) != 0) {
        int shift = 32 * (n & 1);
        products[n] =
            Binary32.compute(
                unit,
                Arithmetic.MULTIPLY,
                (int) (r[d + (n >>> 1)] >>> shift),
                (int) (r[o.second + (n >>> 1)] >>> shift));
      }
    }
    finish(state, unit);
    int low = Binary32.compute(unit, Arithmetic.ADD, products[0], products[1]);
    int high = Binary32.compute(unit, Arithmetic.ADD, products[2], products[3]);
    finish(state, unit);
    long sum = Binary32.compute(unit, Arithmetic.ADD, low, high) & LOW32;
    finish(state, unit);
    r[d] = ((control & 1) != 0 ? sum : 0) | ((control & 2) != 0 ? sum << 32 : 0);
    r[d + 1] = ((control & 4) != 0 ? sum : 0) | ((control & 8) != 0 ? sum << 32 : 0);
  }

  /** Whether a comparison result satisfies a predicate of CMPxx (SDM volume 2, table 3-1). */
  private static boolean satisfies(int predicate, int order) {
    boolean value =
        switch (predicate & 3) {
          case 0 -> order == SoftFloat.EQUAL;
          case 1 -> order == SoftFloat.LESS;
          case 2 -> order == SoftFloat.LESS || order == SoftFloat.EQUAL;
          default -> order == SoftFloat.UNORDERED;
        };
    return value ^ (predicate & 4) != 0;
  }

  /** EQ, UNORD, NEQ and ORD accept quiet NaNs. */
  private static boolean quietPredicate(int predicate) {
    return (predicate & 3) == 0 || (predicate & 3) == 3;
  }

  private static int compareDouble(SoftFloat unit, long a, long b, boolean quiet) {
    if (QuickFloat.ordinary(a) && QuickFloat.ordinary(b)) {
      double x = Double.longBitsToDouble(a);
      double y = Double.longBitsToDouble(b);
      return x < y ? SoftFloat.LESS : x > y ? SoftFloat.GREATER : SoftFloat.EQUAL;
    }
    return Binary64.compare(unit, a, b, quiet);
  }

  private static int compareSingle(SoftFloat unit, int a, int b, boolean quiet) {
    if (QuickFloat.ordinarySingle(a) && QuickFloat.ordinarySingle(b)) {
      float x = Float.intBitsToFloat(a);
      float y = Float.intBitsToFloat(b);
      return x < y ? SoftFloat.LESS : x > y ? SoftFloat.GREATER : SoftFloat.EQUAL;
    }
    return Binary32.compare(unit, a, b, quiet);
  }

  private static long maskDouble(SoftFloat unit, int predicate, long a, long b) {
    return satisfies(predicate, compareDouble(unit, a, b, quietPredicate(predicate))) ? -1 : 0;
  }

  private static long maskSingle(SoftFloat unit, int predicate, long a, long b) {
    int order = compareSingle(unit, (int) a, (int) b, quietPredicate(predicate));
    return satisfies(predicate, order) ? LOW32 : 0;
  }

  static void comparePackedDouble(ProcessorState state, MicroOperation o) {
    long[] r = state.r;
    int d = o.destination;
    int predicate = (int) o.immediate & 7;
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    long low = maskDouble(unit, predicate, r[d], r[o.second]);
    long high = maskDouble(unit, predicate, r[d + 1], r[o.second + 1]);
    finish(state, unit);
    r[d] = low;
    r[d + 1] = high;
  }

  static void comparePackedSingle(ProcessorState state, MicroOperation o) {
    long[] r = state.r;
    int d = o.destination;
    int predicate = (int) o.immediate & 7;
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    long low =
        maskSingle(unit, predicate, r[d], r[o.second])
            | maskSingle(unit, predicate, r[d] >>> 32, r[o.second] >>> 32) << 32;
    long high =
        maskSingle(unit, predicate, r[d + 1], r[o.second + 1])
            | maskSingle(unit, predicate, r[d + 1] >>> 32, r[o.second + 1] >>> 32) << 32;
    finish(state, unit);
    r[d] = low;
    r[d + 1] = high;
  }

  static void compareScalarDouble(ProcessorState state, MicroOperation o) {
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    long mask = maskDouble(unit, (int) o.immediate & 7, state.r[o.destination], state.r[o.second]);
    finish(state, unit);
    state.r[o.destination] = mask;
  }

  static void compareScalarSingle(ProcessorState state, MicroOperation o) {
    long[] r = state.r;
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    long mask = maskSingle(unit, (int) o.immediate & 7, r[o.destination], r[o.second]);
    finish(state, unit);
    r[o.destination] = r[o.destination] & ~LOW32 | mask;
  }

  /** UCOMISD (quiet) and COMISD. */
  static void compareToFlagsDouble(ProcessorState state, MicroOperation o, boolean quiet) {
    long a = state.r[o.destination];
    long b = state.r[o.second];
    if (QuickFloat.ordinary(a) && QuickFloat.ordinary(b)) {
      double x = Double.longBitsToDouble(a);
      double y = Double.longBitsToDouble(b);
      state.setStatusFlags(x < y ? Flags.CF : x > y ? 0 : Flags.ZF);
      return;
    }
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    int order = Binary64.compare(unit, a, b, quiet);
    finish(state, unit);
    state.setStatusFlags(flagsOf(order));
  }

  /** UCOMISS and COMISS. */
  static void compareToFlagsSingle(ProcessorState state, MicroOperation o, boolean quiet) {
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    int order = compareSingle(unit, (int) state.r[o.destination], (int) state.r[o.second], quiet);
    finish(state, unit);
    state.setStatusFlags(flagsOf(order));
  }

  /** The status flags by which comparisons answer (SDM volume 2, COMISD); OF, SF and AF are 0. */
  static int flagsOf(int order) {
    return switch (order) {
      case SoftFloat.LESS -> Flags.CF;
      case SoftFloat.GREATER -> 0;
      case SoftFloat.EQUAL -> Flags.ZF;
      default -> Flags.ZF | Flags.PF | Flags.CF;
    };
  }

  /** Rounding unit of ROUNDxx: bit 2 of the immediate takes MXCSR.RC, else bits 1:0 say. */
  private static SoftFloat roundingUnit(ProcessorState state, int control) {
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    if ((control & 4) == 0) {
      unit.setRounding(control & 3);
    }
    return unit;
  }

  static void roundPackedDouble(ProcessorState state, MicroOperation o) {
    long[] r = state.r;
    int control = (int) o.immediate;
    boolean exact = (control & 8) == 0;
    SoftFloat unit = roundingUnit(state, control);
    long low = Binary64.roundToInteger(unit, r[o.second], exact);
    long high = Binary64.roundToInteger(unit, r[o.second + 1], exact);
    finish(state, unit);
    r[o.destination] = low;
    r[o.destination + 1] = high;
  }

  static void roundPackedSingle(ProcessorState state, MicroOperation o) {
    long[] r = state.r;
    int control = (int) o.immediate;
    SoftFloat unit = roundingUnit(state, control);
    long low = roundPair(unit, r[o.second], (control & 8) == 0);
    long high = roundPair(unit, r[o.second + 1], (control & 8) == 0);
    finish(state, unit);
    r[o.destination] = low;
    r[o.destination + 1] = high;
  }

  private static long roundPair(SoftFloat unit, long value, boolean exact) {
    long low = Binary32.roundToInteger(unit, (int) value, exact) & LOW32;
    return low | (long) Binary32.roundToInteger(unit, (int) (value >>> 32), exact) << 32;
  }

  static void roundScalarDouble(ProcessorState state, MicroOperation o) {
    int control = (int) o.immediate;
    SoftFloat unit = roundingUnit(state, control);
    long result = Binary64.roundToInteger(unit, state.r[o.second], (control & 8) == 0);
    finish(state, unit);
    state.r[o.destination] = result;
  }

  static void roundScalarSingle(ProcessorState state, MicroOperation o) {
    long[] r = state.r;
    int control = (int) o.immediate;
    SoftFloat unit = roundingUnit(state, control);
    long result = Binary32.roundToInteger(unit, (int) r[o.second], (control & 8) == 0) & LOW32;
    finish(state, unit);
    r[o.destination] = r[o.destination] & ~LOW32 | result;
  }
}
