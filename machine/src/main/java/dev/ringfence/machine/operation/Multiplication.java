package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;

/** MUL, IMUL, DIV and IDIV with the double-width operand in rDX:rAX, or in AX for bytes. */
public final class Multiplication {
  private Multiplication() {}

  /**
   * The auxiliary word of IMUL with a truncated product: CF and OF are set if it does not fit.
   *
   * @param a sign-extended factor; likewise b
   * @param shift 64 minus the operand width in bits
   */
  public static long truncationAuxiliary(long a, long b, int shift) {
    long product = a * b;
    boolean fits = product << shift >> shift == product && Math.multiplyHigh(a, b) == product >> 63;
    return fits ? 0 : 1L << 63;
  }

  private static void writePair(ProcessorState state, int shift, long low, long high) {
    long[] r = state.r;
    switch (shift) {
      case 56 -> r[Slot.RAX] = r[Slot.RAX] & ~0xffffL | (high & 0xff) << 8 | low & 0xff;
      case 48 -> {
        r[Slot.RAX] = r[Slot.RAX] & ~0xffffL | low & 0xffff;
        r[Slot.RDX] = r[Slot.RDX] & ~0xffffL | high & 0xffff;
      }
      default -> {
        r[Slot.RAX] = low << shift >>> shift;
        r[Slot.RDX] = high << shift >>> shift;
      }
    }
  }

  static void multiplyUnsigned(ProcessorState state, MicroOperation operation) {
    int shift = operation.shift;
    long a = state.r[Slot.RAX] << shift >>> shift;
    long b = state.r[operation.first] << shift >>> shift;
    long product = a * b;
    long high = shift == 0 ? Math.unsignedMultiplyHigh(a, b) : product >>> 64 - shift;
    writePair(state, shift, product, high);
    flags(state, product, high != 0, shift);
  }

  static void multiplySigned(ProcessorState state, MicroOperation operation) {
    int shift = operation.shift;
    long a = state.r[Slot.RAX] << shift >> shift;
    long b = state.r[operation.first] << shift >> shift;
    long product = a * b;
    long high = shift == 0 ? Math.multiplyHigh(a, b) : product >> 64 - shift;
    boolean overflow = high != product << shift >> 63;
    writePair(state, shift, product, high);
    flags(state, product, overflow, shift);
  }

  private static void flags(ProcessorState state, long product, boolean overflow, int shift) {
    state.flagResult = product << shift >> shift;
    state.flagAuxiliary = Flags.carryAndOverflow(overflow ? 1 : 0, overflow ? 1 : 0);
  }

  private static long dividendHigh(ProcessorState state, int shift) {
    return shift == 56 ? state.r[Slot.RAX] >>> 8 : state.r[Slot.RDX];
  }

  static void divideUnsigned(ProcessorState state, MicroOperation operation) {
    int shift = operation.shift;
    long divisor = state.r[operation.first] << shift >>> shift;
    long low = state.r[Slot.RAX] << shift >>> shift;
    long high = dividendHigh(state, shift) << shift >>> shift;
    if (Long.compareUnsigned(high, divisor) >= 0) {
      throw ProcessorException.of(ProcessorException.DIVIDE_ERROR); // also for divisor 0
    }
    long quotient;
    long remainder;
    if (shift == 0 && high != 0) {
      quotient = divide128(high, low, divisor);
      remainder = low - quotient * divisor;
    } else {
      long dividend = shift == 0 ? low : high << 64 - shift | low;
      quotient = Long.divideUnsigned(dividend, divisor);
      remainder = dividend - quotient * divisor;
    }
    writePair(state, shift, quotient, remainder);
  }

  static void divideSigned(ProcessorState state, MicroOperation operation) {
    int shift = operation.shift;
    long divisor = state.r[operation.first] << shift >> shift;
    if (divisor == 0) {
      throw ProcessorException.of(ProcessorException.DIVIDE_ERROR);
    }
    long low = state.r[Slot.RAX];
    long high = dividendHigh(state, shift) << shift >> shift;
    long quotient;
    long remainder;
    if (shift == 0 && high != low >> 63) {
      boolean negative = high < 0;
      long magnitudeLow = negative ? -low : low;
      long magnitudeHigh = negative ? ~high + (low == 0 ? 1 : 0) : high;
      long magnitudeDivisor = Math.abs(divisor);
      if (Long.compareUnsigned(magnitudeHigh, magnitudeDivisor) >= 0) {
        throw ProcessorException.of(ProcessorException.DIVIDE_ERROR);
      }
      long magnitude = divide128(magnitudeHigh, magnitudeLow, magnitudeDivisor);
      boolean negativeQuotient = negative != divisor < 0;
      // The magnitude must be at most 2^63 - 1, or 2^63 for a negative quotient.
      if (magnitude < 0 && !(negativeQuotient && magnitude == Long.MIN_VALUE)) {
        throw ProcessorException.of(ProcessorException.DIVIDE_ERROR);
      }
      quotient = negativeQuotient ? -magnitude : magnitude;
      remainder = low - quotient * divisor;
    } else {
      long dividend = shift == 0 ? low : high << 64 - shift | low << shift >>> shift;
      if (dividend == Long.MIN_VALUE && divisor == -1) {
        throw ProcessorException.of(ProcessorException.DIVIDE_ERROR);
      }
      quotient = dividend / divisor;
      remainder = dividend % divisor;
      if (quotient << shift >> shift != quotient) {
        throw ProcessorException.of(ProcessorException.DIVIDE_ERROR);
      }
    }
    writePair(state, shift, quotient, remainder);
  }

  /**
   * Divides {@code high:low} by a divisor that is larger than {@code high}, all unsigned: long
   * division with 32-bit digits (Knuth, The Art of Computer Programming, volume 2, algorithm 4.3.1
   * D).
   */
  static long divide128(long high, long low, long divisor) {
    int normalize = Long.numberOfLeadingZeros(divisor);
    long d = divisor << normalize;
    long top = normalize == 0 ? high : high << normalize | low >>> 64 - normalize;
    long rest = low << normalize;
    long first = digit(top, rest >>> 32, d);
    long middle = (top << 32 | rest >>> 32) - first * d;
    long second = digit(middle, rest & 0xffffffffL, d);
    return first << 32 | second;
  }

  /**
   * One 32-bit digit of the quotient {@code (part << 32 | next) / d}, with {@code part < d} and d
   * normalized.
   */
  private static long digit(long part, long next, long d) {
    long dHigh = d >>> 32;
    long dLow = d & 0xffffffffL;
    long estimate = Long.divideUnsigned(part, dHigh);
    long remainder = part - estimate * dHigh;
    while (estimate >>> 32 != 0
        || Long.compareUnsigned(estimate * dLow, remainder << 32 | next) > 0) {
      estimate--;
      remainder += dHigh;
      if (remainder >>> 32 != 0) {
        break;
      }
    }
    return estimate;
  }
}
