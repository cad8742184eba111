package dev.ringfence.machine.operation;

import static dev.ringfence.machine.operation.Packed.HIGH16;
import static dev.ringfence.machine.operation.Packed.HIGH32;
import static dev.ringfence.machine.operation.Packed.HIGH8;
import static dev.ringfence.machine.operation.VectorOperands.generalSource;
import static dev.ringfence.machine.operation.VectorOperands.isMmx;
import static dev.ringfence.machine.operation.VectorOperands.mmx;
import static dev.ringfence.machine.operation.VectorOperands.mmxSource;
import static dev.ringfence.machine.operation.VectorOperands.scalarSource;
import static dev.ringfence.machine.operation.VectorOperands.source;
import static dev.ringfence.machine.operation.VectorOperands.vector;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.OperandDefinition.Method;
import java.util.Map;
import java.util.function.LongBinaryOperator;

/**
 * Packed integers and shuffles. One function on quadwords serves the MMX and the XMM form of an
 * instruction; what differs is how quadwords are paired up.
 */
final class PackedLifters {
  /** What the two halves of an XMM destination are made of; a is the destination, b the source. */
  private enum Pairing {
    /** op(a.low, b.low), op(a.high, b.high). */
    EACH,
    /** op(a.low, a.high), op(b.low, b.high): horizontal operations and packs. */
    NEIGHBOURS,
    /** The low halves of a and b; op makes the low, the second op the high quadword. */
    LOW,
    /** The high halves of a and b. */
    HIGH
  }

  private PackedLifters() {}

  static void register(Map<String, Lifter> lifters) {
    registerArithmetic(lifters);
    registerComparisons(lifters);
    registerRearrangements(lifters);
    registerShifts(lifters);
    registerHot(lifters);
    registerElements(lifters);
  }

  private static void registerArithmetic(Map<String, Lifter> lifters) {
    each(lifters, "PADDB", (a, b) -> Packed.add(a, b, HIGH8));
    each(lifters, "PADDW", (a, b) -> Packed.add(a, b, HIGH16));
    each(lifters, "PADDD", (a, b) -> Packed.add(a, b, HIGH32));
    each(lifters, "PADDQ", Long::sum);
    each(lifters, "PSUBB", (a, b) -> Packed.subtract(a, b, HIGH8));
    each(lifters, "PSUBW", (a, b) -> Packed.subtract(a, b, HIGH16));
    each(lifters, "PSUBD", (a, b) -> Packed.subtract(a, b, HIGH32));
    each(lifters, "PSUBQ", (a, b) -> a - b);
    each(lifters, "PADDSB", (a, b) -> Packed.addSignedSaturated(a, b, HIGH8));
    each(lifters, "PADDSW", (a, b) -> Packed.addSignedSaturated(a, b, HIGH16));
    each(lifters, "PADDUSB", (a, b) -> Packed.addUnsignedSaturated(a, b, HIGH8));
    each(lifters, "PADDUSW", (a, b) -> Packed.addUnsignedSaturated(a, b, HIGH16));
    each(lifters, "PSUBSB", (a, b) -> Packed.subtractSignedSaturated(a, b, HIGH8));
    each(lifters, "PSUBSW", (a, b) -> Packed.subtractSignedSaturated(a, b, HIGH16));
    each(lifters, "PSUBUSB", (a, b) -> Packed.subtractUnsignedSaturated(a, b, HIGH8));
    each(lifters, "PSUBUSW", (a, b) -> Packed.subtractUnsignedSaturated(a, b, HIGH16));
    each(lifters, "PAVGB", Packed::averageBytes);
    each(lifters, "PAVGW", Packed::averageWords);
    each(lifters, "PMULLW", Packed::multiplyLow16);
    each(lifters, "PMULHW", Packed::multiplyHigh16);
    each(lifters, "PMULHUW", Packed::multiplyHighUnsigned16);
    each(lifters, "PMULHRSW", Packed::multiplyHighRounded16);
    each(lifters, "PMULLD", Packed::multiplyLow32);
    each(lifters, "PMULUDQ", Packed::multiplyEvenUnsigned32);
    each(lifters, "PMULDQ", Packed::multiplyEvenSigned32);
    each(lifters, "PMADDWD", Packed::multiplyAddWords);
    each(lifters, "PMADDUBSW", Packed::multiplyAddBytes);
    each(lifters, "PSADBW", Packed::sumOfAbsoluteDifferences);
    each(lifters, "PABSB", (a, b) -> Packed.absolute(b, HIGH8));
    each(lifters, "PABSW", (a, b) -> Packed.absolute(b, HIGH16));
    each(lifters, "PABSD", (a, b) -> Packed.absolute(b, HIGH32));
    each(lifters, "PSIGNB", (a, b) -> Packed.sign(a, b, HIGH8));
    each(lifters, "PSIGNW", (a, b) -> Packed.sign(a, b, HIGH16));
    each(lifters, "PSIGND", (a, b) -> Packed.sign(a, b, HIGH32));
    neighbours(lifters, "PHADDW", Packed::horizontalAddWords);
    neighbours(lifters, "PHADDD", Packed::horizontalAddDoublewords);
    neighbours(lifters, "PHADDSW", Packed::horizontalAddSaturated);
    neighbours(lifters, "PHSUBW", Packed::horizontalSubtractWords);
    neighbours(lifters, "PHSUBD", Packed::horizontalSubtractDoublewords);
    neighbours(lifters, "PHSUBSW", Packed::horizontalSubtractSaturated);
    vectorOnly(lifters, "MPSADBW", ShuffleHelpers::multipleSums);
    vectorOnly(lifters, "PHMINPOSUW", ShuffleHelpers::minimumPosition);
  }

  private static void registerComparisons(Map<String, Lifter> lifters) {
    each(lifters, "PCMPEQB", (a, b) -> Packed.equal(a, b, HIGH8));
    each(lifters, "PCMPEQW", (a, b) -> Packed.equal(a, b, HIGH16));
    each(lifters, "PCMPEQD", (a, b) -> Packed.equal(a, b, HIGH32));
    each(lifters, "PCMPEQQ", (a, b) -> a == b ? -1 : 0);
    each(lifters, "PCMPGTB", (a, b) -> Packed.greater(a, b, HIGH8));
    each(lifters, "PCMPGTW", (a, b) -> Packed.greater(a, b, HIGH16));
    each(lifters, "PCMPGTD", (a, b) -> Packed.greater(a, b, HIGH32));
    each(lifters, "PCMPGTQ", (a, b) -> a > b ? -1 : 0);
    each(lifters, "PMINUB", (a, b) -> Packed.minimumUnsigned(a, b, HIGH8));
    each(lifters, "PMINUW", (a, b) -> Packed.minimumUnsigned(a, b, HIGH16));
    each(lifters, "PMINUD", (a, b) -> Packed.minimumUnsigned(a, b, HIGH32));
    each(lifters, "PMINSB", (a, b) -> Packed.minimumSigned(a, b, HIGH8));
    each(lifters, "PMINSW", (a, b) -> Packed.minimumSigned(a, b, HIGH16));
    each(lifters, "PMINSD", (a, b) -> Packed.minimumSigned(a, b, HIGH32));
    each(lifters, "PMAXUB", (a, b) -> Packed.maximumUnsigned(a, b, HIGH8));
    each(lifters, "PMAXUW", (a, b) -> Packed.maximumUnsigned(a, b, HIGH16));
    each(lifters, "PMAXUD", (a, b) -> Packed.maximumUnsigned(a, b, HIGH32));
    each(lifters, "PMAXSB", (a, b) -> Packed.maximumSigned(a, b, HIGH8));
    each(lifters, "PMAXSW", (a, b) -> Packed.maximumSigned(a, b, HIGH16));
    each(lifters, "PMAXSD", (a, b) -> Packed.maximumSigned(a, b, HIGH32));
    for (String type : new String[] {"PS", "PD"}) {
      each(lifters, "AND" + type, (a, b) -> a & b);
      each(lifters, "ANDN" + type, (a, b) -> ~a & b);
      each(lifters, "OR" + type, (a, b) -> a | b);
      each(lifters, "XOR" + type, (a, b) -> a ^ b);
    }
    lifters.put("PTEST", (emitter, i) -> binary(emitter, i, PackedLifters::test));
  }

  private static void registerRearrangements(Map<String, Lifter> lifters) {
    neighbours(lifters, "PACKSSWB", Packed::packSignedWords);
    neighbours(lifters, "PACKUSWB", Packed::packUnsignedWords);
    neighbours(lifters, "PACKSSDW", Packed::packSignedDoublewords);
    neighbours(lifters, "PACKUSDW", Packed::packUnsignedDoublewords);
    unpack(lifters, "BW", Packed::unpackLowBytes, Packed::unpackHighBytes);
    unpack(lifters, "WD", Packed::unpackLowWords, Packed::unpackHighWords);
    unpack(lifters, "DQ", Packed::unpackLowDoublewords, Packed::unpackHighDoublewords);
    unpack(lifters, "QDQ", (a, b) -> a, (a, b) -> b);
    lifters.put("UNPCKLPS", lifters.get("PUNPCKLDQ"));
    lifters.put("UNPCKHPS", lifters.get("PUNPCKHDQ"));
    lifters.put("UNPCKLPD", lifters.get("PUNPCKLQDQ"));
    lifters.put("UNPCKHPD", lifters.get("PUNPCKHQDQ"));
    hot(lifters, "PSHUFB", Packed::shuffleBytes, PackedLifters::shuffleBytes);
    lifters.put(
        "PSHUFW",
        (emitter, i) -> {
          int order = (int) i.immediate();
          StateHelper helper = ofMmx((a, b) -> Packed.shuffleWords(b, order));
          binary(emitter, i, helper, helper);
        });
    vectorOnly(lifters, "PSHUFD", ShuffleHelpers::shuffleDoublewords);
    vectorOnly(lifters, "PSHUFHW", ShuffleHelpers::shuffleHighWords);
    vectorOnly(lifters, "PSHUFLW", ShuffleHelpers::shuffleLowWords);
    vectorOnly(lifters, "SHUFPS", ShuffleHelpers::shuffleSingles);
    vectorOnly(lifters, "SHUFPD", ShuffleHelpers::shuffleDoubles);
    vectorOnly(lifters, "MOVSLDUP", ShuffleHelpers::duplicateEvenSingles);
    vectorOnly(lifters, "MOVSHDUP", ShuffleHelpers::duplicateOddSingles);
    vectorOnly(lifters, "BLENDPS", ShuffleHelpers::blendSingles);
    vectorOnly(lifters, "BLENDPD", ShuffleHelpers::blendDoubles);
    vectorOnly(lifters, "PBLENDW", ShuffleHelpers::blendWords);
    blendVariable(lifters, "PBLENDVB", HIGH8);
    blendVariable(lifters, "BLENDVPS", HIGH32);
    blendVariable(lifters, "BLENDVPD", Long.MIN_VALUE);
    lifters.put(
        "PALIGNR",
        (emitter, i) ->
            binary(emitter, i, ShuffleHelpers::alignRight, ShuffleHelpers::alignRightMmx));
    String[] suffixes = {"BW", "BD", "BQ", "WD", "WQ", "DQ"};
    int[][] widths = {{8, 16}, {8, 32}, {8, 64}, {16, 32}, {16, 64}, {32, 64}};
    for (int n = 0; n < suffixes.length; n++) {
      extend(lifters, "PMOVSX" + suffixes[n], widths[n][0], widths[n][1], true);
      extend(lifters, "PMOVZX" + suffixes[n], widths[n][0], widths[n][1], false);
    }
  }

  private static void registerShifts(Map<String, Lifter> lifters) {
    shift(lifters, "PSLLW", Packed::shiftLeftWords);
    shift(lifters, "PSRLW", Packed::shiftRightWords);
    shift(lifters, "PSRAW", Packed::shiftRightArithmeticWords);
    shift(lifters, "PSLLD", Packed::shiftLeftDoublewords);
    shift(lifters, "PSRLD", Packed::shiftRightDoublewords);
    shift(lifters, "PSRAD", Packed::shiftRightArithmeticDoublewords);
    shift(lifters, "PSLLQ", Packed::shiftLeftQuadword);
    shift(lifters, "PSRLQ", Packed::shiftRightQuadword);
    lifters.put("PSLLDQ", (emitter, i) -> shiftBytes(emitter, i, ShuffleHelpers::shiftLeftBytes));
    lifters.put("PSRLDQ", (emitter, i) -> shiftBytes(emitter, i, ShuffleHelpers::shiftRightBytes));
  }

  /**
   * XMM forms that string functions and compilers use most, as one call each instead of a call that
   * calls the function of a quadword.
   */
  private static void registerHot(Map<String, Lifter> lifters) {
    hot(
        lifters,
        "PAND",
        (a, b) -> a & b,
        (state, operation) -> {
          long[] r = state.r;
          r[operation.destination] &= r[operation.second];
          r[operation.destination + 1] &= r[operation.second + 1];
        });
    hot(
        lifters,
        "PANDN",
        (a, b) -> ~a & b,
        (state, operation) -> {
          long[] r = state.r;
          r[operation.destination] = ~r[operation.destination] & r[operation.second];
          r[operation.destination + 1] = ~r[operation.destination + 1] & r[operation.second + 1];
        });
    hot(
        lifters,
        "POR",
        (a, b) -> a | b,
        (state, operation) -> {
          long[] r = state.r;
          r[operation.destination] |= r[operation.second];
          r[operation.destination + 1] |= r[operation.second + 1];
        });
    hot(
        lifters,
        "PXOR",
        (a, b) -> a ^ b,
        (state, operation) -> {
          long[] r = state.r;
          r[operation.destination] ^= r[operation.second];
          r[operation.destination + 1] ^= r[operation.second + 1];
        });
    hot(
        lifters,
        "PCMPEQB",
        (a, b) -> Packed.equal(a, b, HIGH8),
        (state, operation) -> {
          long[] r = state.r;
          int d = operation.destination;
          r[d] = Packed.equal(r[d], r[operation.second], HIGH8);
          r[d + 1] = Packed.equal(r[d + 1], r[operation.second + 1], HIGH8);
        });
    hot(
        lifters,
        "PMINUB",
        (a, b) -> Packed.minimumUnsigned(a, b, HIGH8),
        (state, operation) -> {
          long[] r = state.r;
          int d = operation.destination;
          r[d] = Packed.minimumUnsigned(r[d], r[operation.second], HIGH8);
          r[d + 1] = Packed.minimumUnsigned(r[d + 1], r[operation.second + 1], HIGH8);
        });
    hot(
        lifters,
        "PADDD",
        (a, b) -> Packed.add(a, b, HIGH32),
        (state, operation) -> {
          long[] r = state.r;
          int d = operation.destination;
          r[d] = Packed.add(r[d], r[operation.second], HIGH32);
          r[d + 1] = Packed.add(r[d + 1], r[operation.second + 1], HIGH32);
        });
    hot(
        lifters,
        "PADDQ",
        Long::sum,
        (state, operation) -> {
          long[] r = state.r;
          r[operation.destination] += r[operation.second];
          r[operation.destination + 1] += r[operation.second + 1];
        });
    lifters.put("XORPS", lifters.get("PXOR"));
    lifters.put("XORPD", lifters.get("PXOR"));
    lifters.put("ANDPS", lifters.get("PAND"));
    lifters.put("ANDPD", lifters.get("PAND"));
  }

  private static void registerElements(Map<String, Lifter> lifters) {
    lifters.put("PMOVMSKB", PackedLifters::moveByteMask);
    lifters.put("MOVMSKPS", (emitter, i) -> toGeneral(emitter, i, PackedLifters::signsOfSingles));
    lifters.put("MOVMSKPD", (emitter, i) -> toGeneral(emitter, i, PackedLifters::signsOfDoubles));
    lifters.put("PEXTRB", (emitter, i) -> extract(emitter, i, 8));
    lifters.put("PEXTRW", (emitter, i) -> extract(emitter, i, 16));
    lifters.put("PEXTRD", (emitter, i) -> extract(emitter, i, 32));
    lifters.put("EXTRACTPS", (emitter, i) -> extract(emitter, i, 32));
    lifters.put("PEXTRQ", (emitter, i) -> extract(emitter, i, 64));
    lifters.put("PINSRB", (emitter, i) -> insert(emitter, i, 8));
    lifters.put("PINSRW", (emitter, i) -> insert(emitter, i, 16));
    lifters.put("PINSRD", (emitter, i) -> insert(emitter, i, 32));
    lifters.put("PINSRQ", (emitter, i) -> insert(emitter, i, 64));
    lifters.put("INSERTPS", PackedLifters::insertSingle);
  }

  private static void each(Map<String, Lifter> lifters, String mnemonic, LongBinaryOperator op) {
    put(lifters, mnemonic, op, op, Pairing.EACH);
  }

  private static void neighbours(
      Map<String, Lifter> lifters, String mnemonic, LongBinaryOperator op) {
    put(lifters, mnemonic, op, op, Pairing.NEIGHBOURS);
  }

  private static void unpack(
      Map<String, Lifter> lifters, String suffix, LongBinaryOperator low, LongBinaryOperator high) {
    put(lifters, "PUNPCKL" + suffix, low, high, Pairing.LOW);
    put(lifters, "PUNPCKH" + suffix, low, high, Pairing.HIGH);
  }

  private static void put(
      Map<String, Lifter> lifters,
      String mnemonic,
      LongBinaryOperator low,
      LongBinaryOperator high,
      Pairing pairing) {
    LongBinaryOperator ofMmx = pairing == Pairing.HIGH ? high : low;
    StateHelper vector =
        switch (pairing) {
          case EACH ->
              (state, operation) -> {
                long[] r = state.r;
                int d = operation.destination;
                int s = operation.second;
                long result = low.applyAsLong(r[d], r[s]);
                r[d + 1] = low.applyAsLong(r[d + 1], r[s + 1]);
                r[d] = result;
              };
          case NEIGHBOURS ->
              (state, operation) -> {
                long[] r = state.r;
                int d = operation.destination;
                int s = operation.second;
                long result = low.applyAsLong(r[d], r[d + 1]);
                r[d + 1] = low.applyAsLong(r[s], r[s + 1]);
                r[d] = result;
              };
          case LOW, HIGH -> {
            int half = pairing == Pairing.LOW ? 0 : 1;
            yield (state, operation) -> {
              long[] r = state.r;
              int d = operation.destination;
              long a = r[d + half];
              long b = r[operation.second + half];
              r[d] = low.applyAsLong(a, b);
              r[d + 1] = high.applyAsLong(a, b);
            };
          }
        };
    // The MMX forms of PUNPCKLxx read no more than 32 bits of memory.
    int mmxWidth = pairing == Pairing.LOW ? 32 : 64;
    StateHelper mmx = ofMmx(ofMmx);
    lifters.put(mnemonic, (emitter, i) -> binary(emitter, i, vector, mmx, mmxWidth));
  }

  private static void hot(
      Map<String, Lifter> lifters, String mnemonic, LongBinaryOperator op, StateHelper vector) {
    StateHelper mmx = ofMmx(op);
    lifters.put(mnemonic, (emitter, i) -> binary(emitter, i, vector, mmx));
  }

  private static void vectorOnly(Map<String, Lifter> lifters, String mnemonic, StateHelper helper) {
    lifters.put(mnemonic, (emitter, i) -> binary(emitter, i, helper));
  }

  private static StateHelper ofMmx(LongBinaryOperator op) {
    return (state, operation) -> {
      long[] r = state.r;
      int d = operation.destination;
      r[d] = op.applyAsLong(r[d], r[operation.second]);
      VectorOperands.mmxWritten(state, d);
    };
  }

  private static void binary(Emitter emitter, Instruction i, StateHelper vector, StateHelper mmx) {
    binary(emitter, i, vector, mmx, 64);
  }

  private static void binary(
      Emitter emitter, Instruction i, StateHelper vector, StateHelper mmx, int mmxWidth) {
    if (!isMmx(i)) {
      binary(emitter, i, vector);
      return;
    }
    emitter.stateHelper(Availability::requireMmx);
    int second = mmxSource(emitter, i, mmxWidth);
    MicroOperation operation = emitter.stateHelper(mmx);
    operation.destination = mmx(i);
    operation.second = second;
    operation.immediate = i.immediate();
  }

  /** destination = ModRM.reg, second = ModRM.rm, of 128 bits. */
  private static void binary(Emitter emitter, Instruction i, StateHelper helper) {
    emitter.requireVector();
    int second = source(emitter, i);
    MicroOperation operation = emitter.stateHelper(helper);
    operation.destination = vector(i);
    operation.second = second;
    operation.immediate = i.immediate();
  }

  private static void blendVariable(Map<String, Lifter> lifters, String mnemonic, long high) {
    lifters.put(
        mnemonic,
        (emitter, i) -> {
          emitter.requireVector();
          int second = source(emitter, i);
          MicroOperation operation =
              emitter.stateHelper((s, o) -> ShuffleHelpers.blendVariable(s, o, high));
          operation.destination = vector(i);
          operation.first = Slot.vector(0);
          operation.second = second;
        });
  }

  private static void extend(
      Map<String, Lifter> lifters, String mnemonic, int from, int to, boolean signed) {
    int sourceBits = 128 / to * from;
    StateHelper helper =
        (state, operation) -> {
          long[] r = state.r;
          long value = r[operation.second];
          r[operation.destination] = Packed.extend(value, from, to, signed);
          r[operation.destination + 1] = Packed.extend(value >>> sourceBits / 2, from, to, signed);
        };
    lifters.put(
        mnemonic,
        (emitter, i) -> {
          emitter.requireVector();
          int second = scalarSource(emitter, i, sourceBits);
          MicroOperation operation = emitter.stateHelper(helper);
          operation.destination = vector(i);
          operation.second = second;
        });
  }

  /** Shifts by an immediate, or by the low quadword of a register or of memory. */
  private static void shift(Map<String, Lifter> lifters, String mnemonic, LongBinaryOperator op) {
    StateHelper vector =
        (state, operation) -> {
          long[] r = state.r;
          int d = operation.destination;
          long count = r[operation.second] + operation.immediate;
          r[d] = op.applyAsLong(r[d], count);
          r[d + 1] = op.applyAsLong(r[d + 1], count);
        };
    StateHelper mmx =
        (state, operation) -> {
          long[] r = state.r;
          int d = operation.destination;
          r[d] = op.applyAsLong(r[d], r[operation.second] + operation.immediate);
          VectorOperands.mmxWritten(state, d);
        };
    lifters.put(
        mnemonic,
        (emitter, i) -> {
          if (i.definition().operands().getLast().method() != Method.IMMEDIATE) {
            binary(emitter, i, vector, mmx);
            return;
          }
          boolean isMmx = isMmx(i);
          if (isMmx) {
            emitter.stateHelper(Availability::requireMmx);
          } else {
            emitter.requireVector();
          }
          MicroOperation operation = emitter.stateHelper(isMmx ? mmx : vector);
          operation.destination = isMmx ? Slot.X87 + (i.rm() & 7) : Slot.vector(i.rm());
          operation.immediate = i.immediate() & 0xff;
        });
  }

  private static void shiftBytes(Emitter emitter, Instruction i, StateHelper helper) {
    emitter.requireVector();
    MicroOperation operation = emitter.stateHelper(helper);
    operation.destination = Slot.vector(i.rm());
    operation.immediate = i.immediate();
  }

  private static void shuffleBytes(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    int d = operation.destination;
    long low = r[d];
    long high = r[d + 1];
    long selectorHigh = r[operation.second + 1];
    r[d] = Packed.shuffleBytes(low, high, r[operation.second]);
    r[d + 1] = Packed.shuffleBytes(low, high, selectorHigh);
  }

  /** PTEST: ZF = no bit in common, CF = no bit of the source outside the destination. */
  private static void test(ProcessorState state, MicroOperation operation) {
    long[] r = state.r;
    int d = operation.destination;
    int s = operation.second;
    boolean zero = (r[d] & r[s] | r[d + 1] & r[s + 1]) == 0;
    boolean carry = (~r[d] & r[s] | ~r[d + 1] & r[s + 1]) == 0;
    state.setStatusFlags((zero ? Flags.ZF : 0) | (carry ? Flags.CF : 0));
  }

  private static void moveByteMask(Emitter emitter, Instruction i) {
    if (isMmx(i)) {
      emitter.stateHelper(Availability::requireMmx);
      MicroOperation operation =
          emitter.stateHelper((state, o) -> {
            state.r[o.destination] = Packed.moveMask(state.r[o.second]);
            VectorOperands.enterMmx(state);
          });
      operation.destination = i.reg();
      operation.second = Slot.X87 + (i.rm() & 7);
      return;
    }
    toGeneral(
        emitter,
        i,
        (state, o) -> {
          long[] r = state.r;
          r[o.destination] = Packed.moveMask(r[o.second]) | Packed.moveMask(r[o.second + 1]) << 8;
        });
  }

  /** destination = general register of ModRM.reg, second = XMM register of ModRM.rm. */
  private static void toGeneral(Emitter emitter, Instruction i, StateHelper helper) {
    emitter.requireVector();
    MicroOperation operation = emitter.stateHelper(helper);
    operation.destination = i.reg();
    operation.second = Slot.vector(i.rm());
  }

  private static void signsOfSingles(ProcessorState state, MicroOperation operation) {
    long low = state.r[operation.second];
    long high = state.r[operation.second + 1];
    state.r[operation.destination] =
        low >>> 31 & 1 | low >>> 62 & 2 | high >>> 29 & 4 | high >>> 60 & 8;
  }

  private static void signsOfDoubles(ProcessorState state, MicroOperation operation) {
    state.r[operation.destination] =
        state.r[operation.second] >>> 63 | state.r[operation.second + 1] >>> 62 & 2;
  }

  /** Slot of the quadword and, in the element's number, its place there. */
  private static int elementShift(Instruction i, int width) {
    return (int) i.immediate() * width & 63;
  }

  /** Which quadword of an XMM register holds the element that the immediate chooses. */
  private static int elementHalf(Instruction i, int width) {
    return (int) i.immediate() * width >>> 6 & 1;
  }

  private static void extract(Emitter emitter, Instruction i, int width) {
    boolean mmx = isMmx(i);
    boolean oldForm = i.definition().operands().getFirst().method() == Method.GENERAL;
    int register = oldForm ? i.rm() : i.reg();
    int from;
    if (mmx) {
      emitter.stateHelper(Availability::requireMmx);
      from = Slot.X87 + (register & 7);
    } else {
      emitter.requireVector();
      from = Slot.vector(register) + elementHalf(i, width);
    }
    MicroOperation operation =
        emitter.stateHelper((state, o) ->
            state.r[o.destination] = state.r[o.second] >>> o.immediate << o.shift >>> o.shift);
    operation.second = from;
    operation.immediate = elementShift(i, width);
    operation.shift = 64 - width;
    if (i.isMemory()) {
      operation.destination = emitter.temporary();
      emitter.store(emitter.memory(i, width / 8, true), width, operation.destination, 0);
    } else {
      operation.destination = oldForm ? i.reg() : i.rm();
    }
    if (mmx) {
      VectorOperands.appendEnterMmx(emitter);
    }
  }

  private static void insert(Emitter emitter, Instruction i, int width) {
    boolean mmx = isMmx(i);
    int to;
    if (mmx) {
      emitter.stateHelper(Availability::requireMmx);
      to = mmx(i);
    } else {
      emitter.requireVector();
      to = vector(i) + elementHalf(i, width);
    }
    // A register source is named as a whole, so that byte forms never mean AH to BH.
    int value = i.isMemory() ? generalSource(emitter, i, width) : i.rm();
    MicroOperation operation =
        emitter.stateHelper((state, o) -> {
          long mask = -1L >>> o.shift << o.immediate;
          long[] r = state.r;
          r[o.destination] = r[o.destination] & ~mask | r[o.second] << o.immediate & mask;
        });
    operation.destination = to;
    operation.second = value;
    operation.immediate = elementShift(i, width);
    operation.shift = 64 - width;
    if (mmx) {
      VectorOperands.appendMmxWritten(emitter, to);
    }
  }

  private static void insertSingle(Emitter emitter, Instruction i) {
    emitter.requireVector();
    long control = i.immediate();
    int second = Slot.vector(i.rm());
    if (i.isMemory()) {
      second = emitter.vectorTemporary();
      emitter.load(second, emitter.memory(i, 4, false), 32);
      control &= 0x3f;
    }
    MicroOperation operation = emitter.stateHelper(ShuffleHelpers::insertSingle);
    operation.destination = vector(i);
    operation.second = second;
    operation.immediate = control;
  }
}
