package dev.ringfence.machine.operation;

import static dev.ringfence.machine.operation.softfloat.QuickFloat.NOT_QUICK;

import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.operation.softfloat.Binary32;
import dev.ringfence.machine.operation.softfloat.Binary64;
import dev.ringfence.machine.operation.softfloat.QuickFloat;
import dev.ringfence.machine.operation.softfloat.SoftFloat;

/**
 * Helpers of SSE conversions and approximations. Fields: destination, second; immediate = width of
 * the integer in bits where it varies.
 */
final class SseConversions {
  private static final long LOW32 = 0xffff_ffffL;

  private SseConversions() {}

  private static long integerOf(long value, long width) {
    return width == 64 ? value : (int) value;
  }

  static void integerToDouble(ProcessorState state, MicroOperation o) {
    long value = integerOf(state.r[o.second], o.immediate);
    long result = QuickFloat.fromInteger(state.mxcsr, value);
    if (result == NOT_QUICK) {
      SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
      result = Binary64.fromInteger(unit, value);
      SseArithmetic.finish(state, unit);
    }
    state.r[o.destination] = result;
  }

  static void integerToSingle(ProcessorState state, MicroOperation o) {
    long value = integerOf(state.r[o.second], o.immediate);
    long result = QuickFloat.fromIntegerSingle(state.mxcsr, value);
    if (result == NOT_QUICK) {
      SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
      result = Binary32.fromInteger(unit, value) & LOW32;
      SseArithmetic.finish(state, unit);
    }
    state.r[o.destination] = state.r[o.destination] & ~LOW32 | result;
  }

  private static SoftFloat unit(ProcessorState state, boolean truncate) {
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    if (truncate) {
      unit.setRounding(SoftFloat.TOWARD_ZERO);
    }
    return unit;
  }

  static void doubleToInteger(ProcessorState state, MicroOperation o, boolean truncate) {
    int width = (int) o.immediate;
    long source = state.r[o.second];
    long result =
        QuickFloat.toInteger(state.mxcsr, Double.longBitsToDouble(source), width, truncate);
    if (result == NOT_QUICK) {
      SoftFloat unit = unit(state, truncate);
      result = Binary64.toInteger(unit, source, width);
      SseArithmetic.finish(state, unit);
    }
    state.r[o.destination] = width == 64 ? result : result & LOW32;
  }

  static void singleToInteger(ProcessorState state, MicroOperation o, boolean truncate) {
    int width = (int) o.immediate;
    int source = (int) state.r[o.second];
    long result =
        QuickFloat.ordinarySingle(source)
            ? QuickFloat.toInteger(state.mxcsr, Float.intBitsToFloat(source), width, truncate)
            : NOT_QUICK;
    if (result == NOT_QUICK) {
      SoftFloat unit = unit(state, truncate);
      result = Binary32.toInteger(unit, source, width);
      SseArithmetic.finish(state, unit);
    }
    state.r[o.destination] = width == 64 ? result : result & LOW32;
  }

  static void singleToDouble(ProcessorState state, MicroOperation o) {
    int source = (int) state.r[o.second];
    long result = QuickFloat.fromSingle(source);
    if (result == NOT_QUICK) {
      SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
      result = Binary64.fromSingle(unit, source);
      SseArithmetic.finish(state, unit);
    }
    state.r[o.destination] = result;
  }

  static void doubleToSingle(ProcessorState state, MicroOperation o) {
    long source = state.r[o.second];
    long result = QuickFloat.toSingle(state.mxcsr, source);
    if (result == NOT_QUICK) {
      SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
      result = Binary32.fromDouble(unit, source) & LOW32;
      SseArithmetic.finish(state, unit);
    }
    state.r[o.destination] = state.r[o.destination] & ~LOW32 | result;
  }

  static void singlesToDoubles(ProcessorState state, MicroOperation o) {
    long source = state.r[o.second];
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    long low = Binary64.fromSingle(unit, (int) source);
    long high = Binary64.fromSingle(unit, (int) (source >>> 32));
    SseArithmetic.finish(state, unit);
    state.r[o.destination] = low;
    state.r[o.destination + 1] = high;
  }

  static void doublesToSingles(ProcessorState state, MicroOperation o) {
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    long low = Binary32.fromDouble(unit, state.r[o.second]) & LOW32;
    long high = Binary32.fromDouble(unit, state.r[o.second + 1]);
    SseArithmetic.finish(state, unit);
    state.r[o.destination] = low | high << 32;
    state.r[o.destination + 1] = 0;
  }

  private static long integersToSingles(SoftFloat unit, long source) {
    int low = (int) source;
    int high = (int) (source >>> 32);
    return Binary32.fromInteger(unit, low) & LOW32 | (long) Binary32.fromInteger(unit, high) << 32;
  }

  /** CVTDQ2PS. */
  static void integersToSingles(ProcessorState state, MicroOperation o) {
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    long low = integersToSingles(unit, state.r[o.second]);
    long high = integersToSingles(unit, state.r[o.second + 1]);
    SseArithmetic.finish(state, unit);
    state.r[o.destination] = low;
    state.r[o.destination + 1] = high;
  }

  /** CVTPI2PS, whose result is the low quadword. */
  static void twoIntegersToSingles(ProcessorState state, MicroOperation o) {
    SoftFloat unit = SoftFloat.ofMxcsr(state.mxcsr);
    long result = integersToSingles(unit, state.r[o.second]);
    SseArithmetic.finish(state, unit);
    state.r[o.destination] = result;
  }

  /** CVTDQ2PD and CVTPI2PD, which are exact. */
  static void integersToDoubles(ProcessorState state, MicroOperation o) {
    long source = state.r[o.second];
    double low = (int) source;
    double high = (int) (source >>> 32);
    state.r[o.destination] = Double.doubleToRawLongBits(low);
    state.r[o.destination + 1] = Double.doubleToRawLongBits(high);
  }

  private static long singlesToIntegers(SoftFloat unit, long source) {
    long low = Binary32.toInteger(unit, (int) source, 32) & LOW32;
    return low | Binary32.toInteger(unit, (int) (source >>> 32), 32) << 32;
  }

  /** CVTPS2DQ and CVTTPS2DQ. */
  static void singlesToIntegers(ProcessorState state, MicroOperation o, boolean truncate) {
    SoftFloat unit = unit(state, truncate);
    long low = singlesToIntegers(unit, state.r[o.second]);
    long high = singlesToIntegers(unit, state.r[o.second + 1]);
    SseArithmetic.finish(state, unit);
    state.r[o.destination] = low;
    state.r[o.destination + 1] = high;
  }

  /** CVTPS2PI and CVTTPS2PI. */
  static void twoSinglesToIntegers(ProcessorState state, MicroOperation o, boolean truncate) {
    SoftFloat unit = unit(state, truncate);
    long result = singlesToIntegers(unit, state.r[o.second]);
    SseArithmetic.finish(state, unit);
    state.r[o.destination] = result;
    VectorOperands.mmxWritten(state, o.destination);
  }

  private static long doublesToIntegers(ProcessorState state, MicroOperation o, boolean truncate) {
    SoftFloat unit = unit(state, truncate);
    long low = Binary64.toInteger(unit, state.r[o.second], 32) & LOW32;
    long high = Binary64.toInteger(unit, state.r[o.second + 1], 32);
    SseArithmetic.finish(state, unit);
    return low | high << 32;
  }

  /** CVTPD2DQ and CVTTPD2DQ. */
  static void doublesToVector(ProcessorState state, MicroOperation o, boolean truncate) {
    state.r[o.destination] = doublesToIntegers(state, o, truncate);
    state.r[o.destination + 1] = 0;
  }

  /** CVTPD2PI and CVTTPD2PI. */
  static void doublesToMmx(ProcessorState state, MicroOperation o, boolean truncate) {
    state.r[o.destination] = doublesToIntegers(state, o, truncate);
    VectorOperands.mmxWritten(state, o.destination);
  }

  /**
   * RCPSS: 1 / x to 12 bits. Processors differ in these bits; the SDM asks for a relative error of
   * at most 1.5 * 2^-12. Denormal operands count as zero and denormal results become zero.
   */
  static int reciprocal(int x) {
    return approximation(x, false);
  }

  /** RSQRTSS: 1 / sqrt(x) to 12 bits. */
  static int reciprocalSquareRoot(int x) {
    return approximation(x, true);
  }

  private static int approximation(int x, boolean squareRoot) {
    int sign = x & Integer.MIN_VALUE;
    float value = Float.intBitsToFloat(x);
    if (Float.isNaN(value)) {
      return x | 0x40_0000;
    }
    if ((x & 0x7f80_0000) == 0) {
      return sign | 0x7f80_0000;
    }
    if (squareRoot && sign != 0) {
      return 0xffc0_0000;
    }
    if (Float.isInfinite(value)) {
      return sign;
    }
    double exact = squareRoot ? 1 / Math.sqrt(value) : 1 / (double) value;
    int rounded = Float.floatToRawIntBits((float) exact) + 0x800 & ~0xfff;
    return (rounded & 0x7f80_0000) == 0 ? sign : rounded;
  }
}
