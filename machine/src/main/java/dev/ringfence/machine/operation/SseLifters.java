package dev.ringfence.machine.operation;

import static dev.ringfence.machine.operation.VectorOperands.generalSource;
import static dev.ringfence.machine.operation.VectorOperands.mmx;
import static dev.ringfence.machine.operation.VectorOperands.mmxSource;
import static dev.ringfence.machine.operation.VectorOperands.scalarSource;
import static dev.ringfence.machine.operation.VectorOperands.source;
import static dev.ringfence.machine.operation.VectorOperands.vector;

import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.operation.softfloat.Arithmetic;
import dev.ringfence.machine.operation.softfloat.QuickFloat;
import java.util.Map;
import java.util.function.IntUnaryOperator;

/** Floating-point instructions of SSE to SSE4.1. */
final class SseLifters {
  private static final long LOW32 = 0xffff_ffffL;

  private SseLifters() {}

  static void register(Map<String, Lifter> lifters) {
    registerArithmetic(lifters);
    registerComparisons(lifters);
    registerConversions(lifters);
    registerMmxConversions(lifters);
  }

  private static void registerArithmetic(Map<String, Lifter> lifters) {
    arithmetic(lifters, "ADD", Arithmetic.ADD);
    arithmetic(lifters, "SUB", Arithmetic.SUBTRACT);
    arithmetic(lifters, "MUL", Arithmetic.MULTIPLY);
    arithmetic(lifters, "DIV", Arithmetic.DIVIDE);
    arithmetic(lifters, "MIN", Arithmetic.MINIMUM);
    arithmetic(lifters, "MAX", Arithmetic.MAXIMUM);
    arithmetic(lifters, "SQRT", Arithmetic.SQUARE_ROOT);
    // The most frequent ones reach the fast path without a choice of operation.
    scalar(
        lifters,
        "ADDSD",
        64,
        (s, o) ->
            SseArithmetic.scalarDouble(
                s, o, Arithmetic.ADD, QuickFloat.add(s.mxcsr, s.r[o.destination], s.r[o.second])));
    scalar(
        lifters,
        "SUBSD",
        64,
        (s, o) ->
            SseArithmetic.scalarDouble(
                s,
                o,
                Arithmetic.SUBTRACT,
                QuickFloat.subtract(s.mxcsr, s.r[o.destination], s.r[o.second])));
    scalar(
        lifters,
        "MULSD",
        64,
        (s, o) ->
            SseArithmetic.scalarDouble(
                s,
                o,
                Arithmetic.MULTIPLY,
                QuickFloat.multiply(s.mxcsr, s.r[o.destination], s.r[o.second])));
    packed(
        lifters,
        "ADDSUBPD",
        (s, o) -> SseArithmetic.packedDouble(s, o, Arithmetic.SUBTRACT, Arithmetic.ADD));
    packed(
        lifters,
        "ADDSUBPS",
        (s, o) -> SseArithmetic.packedSingle(s, o, Arithmetic.SUBTRACT, Arithmetic.ADD));
    packed(lifters, "HADDPD", (s, o) -> SseArithmetic.horizontalDouble(s, o, Arithmetic.ADD));
    packed(lifters, "HADDPS", (s, o) -> SseArithmetic.horizontalSingle(s, o, Arithmetic.ADD));
    packed(lifters, "HSUBPD", (s, o) -> SseArithmetic.horizontalDouble(s, o, Arithmetic.SUBTRACT));
    packed(lifters, "HSUBPS", (s, o) -> SseArithmetic.horizontalSingle(s, o, Arithmetic.SUBTRACT));
    packed(lifters, "DPPD", SseArithmetic::dotProductDouble);
    packed(lifters, "DPPS", SseArithmetic::dotProductSingle);
    approximation(lifters, "RCP", SseConversions::reciprocal);
    approximation(lifters, "RSQRT", SseConversions::reciprocalSquareRoot);
    packed(lifters, "ROUNDPD", SseArithmetic::roundPackedDouble);
    packed(lifters, "ROUNDPS", SseArithmetic::roundPackedSingle);
    scalar(lifters, "ROUNDSD", 64, SseArithmetic::roundScalarDouble);
    scalar(lifters, "ROUNDSS", 32, SseArithmetic::roundScalarSingle);
  }

  private static void registerComparisons(Map<String, Lifter> lifters) {
    packed(lifters, "CMPPD", SseArithmetic::comparePackedDouble);
    packed(lifters, "CMPPS", SseArithmetic::comparePackedSingle);
    scalar(lifters, "CMPSD", 64, SseArithmetic::compareScalarDouble);
    scalar(lifters, "CMPSS", 32, SseArithmetic::compareScalarSingle);
    scalar(lifters, "UCOMISD", 64, (s, o) -> SseArithmetic.compareToFlagsDouble(s, o, true));
    scalar(lifters, "COMISD", 64, (s, o) -> SseArithmetic.compareToFlagsDouble(s, o, false));
    scalar(lifters, "UCOMISS", 32, (s, o) -> SseArithmetic.compareToFlagsSingle(s, o, true));
    scalar(lifters, "COMISS", 32, (s, o) -> SseArithmetic.compareToFlagsSingle(s, o, false));
  }

  private static void registerConversions(Map<String, Lifter> lifters) {
    lifters.put("CVTSI2SD", (e, i) -> fromGeneral(e, i, SseConversions::integerToDouble));
    lifters.put("CVTSI2SS", (e, i) -> fromGeneral(e, i, SseConversions::integerToSingle));
    toGeneral(lifters, "SD", 64, SseConversions::doubleToInteger);
    toGeneral(lifters, "SS", 32, SseConversions::singleToInteger);
    scalar(lifters, "CVTSS2SD", 32, SseConversions::singleToDouble);
    scalar(lifters, "CVTSD2SS", 64, SseConversions::doubleToSingle);
    scalar(lifters, "CVTPS2PD", 64, SseConversions::singlesToDoubles);
    packed(lifters, "CVTPD2PS", SseConversions::doublesToSingles);
    packed(lifters, "CVTDQ2PS", SseConversions::integersToSingles);
    scalar(lifters, "CVTDQ2PD", 64, SseConversions::integersToDoubles);
    packed(lifters, "CVTPS2DQ", (s, o) -> SseConversions.singlesToIntegers(s, o, false));
    packed(lifters, "CVTTPS2DQ", (s, o) -> SseConversions.singlesToIntegers(s, o, true));
    packed(lifters, "CVTPD2DQ", (s, o) -> SseConversions.doublesToVector(s, o, false));
    packed(lifters, "CVTTPD2DQ", (s, o) -> SseConversions.doublesToVector(s, o, true));
  }

  /** Conversions between MMX and XMM registers. */
  private static void registerMmxConversions(Map<String, Lifter> lifters) {
    lifters.put("CVTPI2PS", (e, i) -> fromMmx(e, i, SseConversions::twoIntegersToSingles));
    lifters.put("CVTPI2PD", (e, i) -> fromMmx(e, i, SseConversions::integersToDoubles));
    toMmx(lifters, "CVTPS2PI", 64, (s, o) -> SseConversions.twoSinglesToIntegers(s, o, false));
    toMmx(lifters, "CVTTPS2PI", 64, (s, o) -> SseConversions.twoSinglesToIntegers(s, o, true));
    toMmx(lifters, "CVTPD2PI", 128, (s, o) -> SseConversions.doublesToMmx(s, o, false));
    toMmx(lifters, "CVTTPD2PI", 128, (s, o) -> SseConversions.doublesToMmx(s, o, true));
  }

  /** The four forms PS, PD, SS, SD of an operation. */
  private static void arithmetic(Map<String, Lifter> lifters, String name, Arithmetic operation) {
    packed(lifters, name + "PD", (s, o) -> SseArithmetic.packedDouble(s, o, operation));
    packed(lifters, name + "PS", (s, o) -> SseArithmetic.packedSingle(s, o, operation));
    scalar(lifters, name + "SD", 64, (s, o) -> SseArithmetic.scalarDouble(s, o, operation));
    scalar(lifters, name + "SS", 32, (s, o) -> SseArithmetic.scalarSingle(s, o, operation));
  }

  private static void approximation(
      Map<String, Lifter> lifters, String name, IntUnaryOperator operator) {
    packed(
        lifters,
        name + "PS",
        (s, o) -> {
          s.r[o.destination] = approximatePair(s.r[o.second], operator);
          s.r[o.destination + 1] = approximatePair(s.r[o.second + 1], operator);
        });
    scalar(
        lifters,
        name + "SS",
        32,
        (s, o) -> {
          long result = operator.applyAsInt((int) s.r[o.second]) & LOW32;
          s.r[o.destination] = s.r[o.destination] & ~LOW32 | result;
        });
  }

  private static long approximatePair(long source, IntUnaryOperator operator) {
    long low = operator.applyAsInt((int) source) & LOW32;
    return low | (long) operator.applyAsInt((int) (source >>> 32)) << 32;
  }

  private static void packed(Map<String, Lifter> lifters, String mnemonic, StateHelper helper) {
    lifters.put(
        mnemonic,
        (emitter, i) -> {
          emitter.requireVector();
          operate(emitter, i, helper, vector(i), source(emitter, i));
        });
  }

  /** An operation whose source has {@code width} bits, in an XMM register or memory. */
  private static void scalar(
      Map<String, Lifter> lifters, String mnemonic, int width, StateHelper helper) {
    lifters.put(
        mnemonic,
        (emitter, i) -> {
          emitter.requireVector();
          operate(emitter, i, helper, vector(i), scalarSource(emitter, i, width));
        });
  }

  private static void operate(
      Emitter emitter, Instruction i, StateHelper helper, int destination, int second) {
    MicroOperation operation = emitter.stateHelper(helper);
    operation.destination = destination;
    operation.second = second;
    operation.immediate = i.immediate();
  }

  private static void fromGeneral(Emitter emitter, Instruction i, StateHelper helper) {
    emitter.requireVector();
    int width = Math.max(i.operandWidth(), 32);
    int second = generalSource(emitter, i, width);
    MicroOperation operation = emitter.stateHelper(helper);
    operation.destination = vector(i);
    operation.second = second;
    operation.immediate = width;
  }

  /** A conversion that truncates or rounds by MXCSR. */
  private interface Conversion {
    void convert(ProcessorState state, MicroOperation operation, boolean truncate);
  }

  private static void toGeneral(
      Map<String, Lifter> lifters, String type, int width, Conversion conversion) {
    for (boolean truncate : new boolean[] {false, true}) {
      StateHelper helper = (s, o) -> conversion.convert(s, o, truncate);
      lifters.put(
          (truncate ? "CVTT" : "CVT") + type + "2SI",
          (emitter, i) -> {
            emitter.requireVector();
            int second = scalarSource(emitter, i, width);
            MicroOperation operation = emitter.stateHelper(helper);
            operation.destination = i.reg();
            operation.second = second;
            operation.immediate = Math.max(i.operandWidth(), 32);
          });
    }
  }

  /**
   * CVTPI2PS and CVTPI2PD. The transition to MMX happens even if the conversion raises #XM; a
   * memory source makes none (SDM volume 2, CVTPI2PD).
   */
  private static void fromMmx(Emitter emitter, Instruction i, StateHelper helper) {
    emitter.requireVector();
    if (!i.isMemory()) {
      emitter.stateHelper(Availability::requireMmx);
      VectorOperands.appendEnterMmx(emitter);
    }
    operate(emitter, i, helper, vector(i), mmxSource(emitter, i, 64));
  }

  private static void toMmx(
      Map<String, Lifter> lifters, String mnemonic, int width, StateHelper helper) {
    lifters.put(
        mnemonic,
        (emitter, i) -> {
          emitter.requireVector();
          emitter.stateHelper(Availability::requireMmx);
          int second = width == 128 ? source(emitter, i) : scalarSource(emitter, i, width);
          VectorOperands.appendEnterMmx(emitter);
          operate(emitter, i, helper, mmx(i), second);
        });
  }
}
