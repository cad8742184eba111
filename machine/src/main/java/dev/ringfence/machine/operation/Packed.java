package dev.ringfence.machine.operation;

/**
 * Arithmetic on the packed integers of one quadword, used for MMX registers and for each half of
 * XMM registers. Additions, comparisons and the like work on all elements of the word at once: the
 * top bit of each element is handled apart, so that no carry crosses elements. {@code high} is
 * always the mask of the top bits of the elements.
 */
final class Packed {
  static final long HIGH8 = 0x8080_8080_8080_8080L;
  static final long HIGH16 = 0x8000_8000_8000_8000L;
  static final long HIGH32 = 0x8000_0000_8000_0000L;

  private static final long LOW32 = 0xffff_ffffL;

  private Packed() {}

  static long add(long a, long b, long high) {
    return ((a & ~high) + (b & ~high)) ^ ((a ^ b) & high);
  }

  static long subtract(long a, long b, long high) {
    return ((a | high) - (b & ~high)) ^ ((a ^ ~b) & high);
  }

  /** Spreads the top bit of each element over the element; the other bits must be clear. */
  private static long spread(long tops, int width) {
    return (tops << 1) - (tops >>> (width - 1));
  }

  private static int width(long high) {
    return high == HIGH8 ? 8 : high == HIGH16 ? 16 : 32;
  }

  private static long select(long mask, long a, long b) {
    return a & mask | b & ~mask;
  }

  /** All ones in the elements where a = b. */
  static long equal(long a, long b, long high) {
    long difference = a ^ b;
    long nonzero = ((difference & ~high) + ~high) | difference;
    return spread(~nonzero & high, width(high));
  }

  /** All ones in the elements where a &lt; b, unsigned. */
  static long below(long a, long b, long high) {
    long difference = subtract(a, b, high);
    long borrow = (~a & b) | ((~a | b) & difference);
    return spread(borrow & high, width(high));
  }

  /** All ones in the elements where a &gt; b, signed. */
  static long greater(long a, long b, long high) {
    return below(b ^ high, a ^ high, high);
  }

  static long minimumUnsigned(long a, long b, long high) {
    return select(below(a, b, high), a, b);
  }

  static long maximumUnsigned(long a, long b, long high) {
    return select(below(a, b, high), b, a);
  }

  static long minimumSigned(long a, long b, long high) {
    return select(greater(a, b, high), b, a);
  }

  static long maximumSigned(long a, long b, long high) {
    return select(greater(a, b, high), a, b);
  }

  static long addUnsignedSaturated(long a, long b, long high) {
    long sum = add(a, b, high);
    long carry = (a & b) | ((a | b) & ~sum);
    return sum | spread(carry & high, width(high));
  }

  static long subtractUnsignedSaturated(long a, long b, long high) {
    return subtract(a, b, high) & ~below(a, b, high);
  }

  /** The largest (a positive) or smallest (a negative) value of each element. */
  private static long limit(long a, long high) {
    return ~high + ((a & high) >>> (width(high) - 1));
  }

  static long addSignedSaturated(long a, long b, long high) {
    long sum = add(a, b, high);
    long overflow = spread((a ^ sum) & (b ^ sum) & high, width(high));
    return select(overflow, limit(a, high), sum);
  }

  static long subtractSignedSaturated(long a, long b, long high) {
    long difference = subtract(a, b, high);
    long overflow = spread((a ^ b) & (a ^ difference) & high, width(high));
    return select(overflow, limit(a, high), difference);
  }

  static long averageBytes(long a, long b) {
    return (a | b) - (((a ^ b) & 0xfefe_fefe_fefe_fefeL) >>> 1);
  }

  static long averageWords(long a, long b) {
    return (a | b) - (((a ^ b) & 0xfffe_fffe_fffe_fffeL) >>> 1);
  }

  /** |a - b| of unsigned bytes, summed (PSADBW). */
  static long sumOfAbsoluteDifferences(long a, long b) {
    long d = maximumUnsigned(a, b, HIGH8) - minimumUnsigned(a, b, HIGH8);
    long pairs = (d & 0x00ff_00ff_00ff_00ffL) + (d >>> 8 & 0x00ff_00ff_00ff_00ffL);
    return (pairs * 0x0001_0001_0001_0001L) >>> 48;
  }

  static long multiplyLow16(long a, long b) {
    long result = 0;
    for (int i = 0; i < 64; i += 16) {
      result |= ((a >>> i) * (b >>> i) & 0xffff) << i;
    }
    return result;
  }

  static long multiplyHigh16(long a, long b) {
    long result = 0;
    for (int i = 0; i < 64; i += 16) {
      result |= ((short) (a >>> i) * (short) (b >>> i) >> 16 & 0xffffL) << i;
    }
    return result;
  }

  static long multiplyHighUnsigned16(long a, long b) {
    long result = 0;
    for (int i = 0; i < 64; i += 16) {
      result |= ((a >>> i & 0xffff) * (b >>> i & 0xffff) >>> 16) << i;
    }
    return result;
  }

  /** Rounded bits 30:15 of the products of signed words (PMULHRSW). */
  static long multiplyHighRounded16(long a, long b) {
    long result = 0;
    for (int i = 0; i < 64; i += 16) {
      int product = (short) (a >>> i) * (short) (b >>> i);
      result |= (((product >> 14) + 1) >> 1 & 0xffffL) << i;
    }
    return result;
  }

  static long multiplyLow32(long a, long b) {
    return (a * b & LOW32) | ((a >>> 32) * (b >>> 32)) << 32;
  }

  static long multiplyEvenUnsigned32(long a, long b) {
    return (a & LOW32) * (b & LOW32);
  }

  static long multiplyEvenSigned32(long a, long b) {
    return (long) (int) a * (int) b;
  }

  /** Sums of pairs of products of signed words (PMADDWD). */
  static long multiplyAddWords(long a, long b) {
    int low = (short) a * (short) b + (short) (a >>> 16) * (short) (b >>> 16);
    int high = (short) (a >>> 32) * (short) (b >>> 32) + (short) (a >>> 48) * (short) (b >>> 48);
    return pair(low, high);
  }

  /** Saturated sums of pairs of products of unsigned bytes a and signed bytes b (PMADDUBSW). */
  static long multiplyAddBytes(long a, long b) {
    long result = 0;
    for (int i = 0; i < 64; i += 16) {
      int sum =
          (int) (a >>> i & 0xff) * (byte) (b >>> i)
              + (int) (a >>> i + 8 & 0xff) * (byte) (b >>> i + 8);
      result |= (saturate16(sum) & 0xffffL) << i;
    }
    return result;
  }

  private static long pair(int low, int high) {
    return low & LOW32 | (long) high << 32;
  }

  private static int clamp(int value, int minimum, int maximum) {
    return Math.min(Math.max(value, minimum), maximum);
  }

  private static int saturate16(int value) {
    return clamp(value, -0x8000, 0x7fff);
  }

  /** Four signed words of a, then of b, to signed bytes. */
  static long packSignedWords(long a, long b) {
    long result = 0;
    for (int i = 0; i < 4; i++) {
      result |= (clamp((short) (a >>> 16 * i), -0x80, 0x7f) & 0xffL) << 8 * i;
      result |= (clamp((short) (b >>> 16 * i), -0x80, 0x7f) & 0xffL) << 8 * i + 32;
    }
    return result;
  }

  /** Four signed words of a, then of b, to unsigned bytes. */
  static long packUnsignedWords(long a, long b) {
    long result = 0;
    for (int i = 0; i < 4; i++) {
      result |= (long) clamp((short) (a >>> 16 * i), 0, 0xff) << 8 * i;
      result |= (long) clamp((short) (b >>> 16 * i), 0, 0xff) << 8 * i + 32;
    }
    return result;
  }

  /** Two signed doublewords of a, then of b, to signed words. */
  static long packSignedDoublewords(long a, long b) {
    return (saturate16((int) a) & 0xffffL)
        | (saturate16((int) (a >>> 32)) & 0xffffL) << 16
        | (saturate16((int) b) & 0xffffL) << 32
        | (long) saturate16((int) (b >>> 32)) << 48;
  }

  /** Two signed doublewords of a, then of b, to unsigned words. */
  static long packUnsignedDoublewords(long a, long b) {
    return (long) clamp((int) a, 0, 0xffff)
        | (long) clamp((int) (a >>> 32), 0, 0xffff) << 16
        | (long) clamp((int) b, 0, 0xffff) << 32
        | (long) clamp((int) (b >>> 32), 0, 0xffff) << 48;
  }

  /** Moves the four bytes of the low half to the even bytes. */
  private static long expandBytes(long a) {
    long x = a & LOW32;
    x = (x | x << 16) & 0x0000_ffff_0000_ffffL;
    return (x | x << 8) & 0x00ff_00ff_00ff_00ffL;
  }

  private static long expandWords(long a) {
    return (a & 0xffff) | (a & 0xffff_0000L) << 16;
  }

  static long unpackLowBytes(long a, long b) {
    return expandBytes(a) | expandBytes(b) << 8;
  }

  static long unpackHighBytes(long a, long b) {
    return unpackLowBytes(a >>> 32, b >>> 32);
  }

  static long unpackLowWords(long a, long b) {
    return expandWords(a) | expandWords(b) << 16;
  }

  static long unpackHighWords(long a, long b) {
    return unpackLowWords(a >>> 32, b >>> 32);
  }

  static long unpackLowDoublewords(long a, long b) {
    return a & LOW32 | b << 32;
  }

  static long unpackHighDoublewords(long a, long b) {
    return a >>> 32 | b & ~LOW32;
  }

  /** Bits 7 of the bytes (PMOVMSKB). */
  static long moveMask(long a) {
    return ((a & HIGH8) >>> 7) * 0x0102_0408_1020_4080L >>> 56;
  }

  static long absolute(long a, long high) {
    long negative = spread(a & high, width(high));
    return subtract(a ^ negative, negative, high);
  }

  /** a, negated where b is negative, zero where b is zero (PSIGNx). */
  static long sign(long a, long b, long high) {
    long negative = spread(b & high, width(high));
    return subtract(a ^ negative, negative, high) & ~equal(b, 0, high);
  }

  /** Bytes of a chosen by the bytes of the selector; zero where bit 7 of those is set (PSHUFB). */
  static long shuffleBytes(long a, long selector) {
    long result = 0;
    for (int i = 0; i < 64; i += 8) {
      int choice = (int) (selector >>> i);
      if ((choice & 0x80) == 0) {
        result |= (a >>> 8 * (choice & 7) & 0xff) << i;
      }
    }
    return result;
  }

  /** The same for a table of 16 bytes. */
  static long shuffleBytes(long low, long high, long selector) {
    long result = 0;
    for (int i = 0; i < 64; i += 8) {
      int choice = (int) (selector >>> i);
      if ((choice & 0x80) == 0) {
        result |= (((choice & 8) == 0 ? low : high) >>> 8 * (choice & 7) & 0xff) << i;
      }
    }
    return result;
  }

  /** Words of a chosen by the four bit pairs of the order. */
  static long shuffleWords(long a, int order) {
    return (a >>> 16 * (order & 3) & 0xffff)
        | (a >>> 16 * (order >>> 2 & 3) & 0xffff) << 16
        | (a >>> 16 * (order >>> 4 & 3) & 0xffff) << 32
        | a >>> 16 * (order >>> 6 & 3) << 48;
  }

  /** Sums of neighbours: those of a, then those of b. */
  static long horizontalAddWords(long a, long b) {
    return add(evenWords(a, b), evenWords(a >>> 16, b >>> 16), HIGH16);
  }

  static long horizontalSubtractWords(long a, long b) {
    return subtract(evenWords(a, b), evenWords(a >>> 16, b >>> 16), HIGH16);
  }

  static long horizontalAddSaturated(long a, long b) {
    return addSignedSaturated(evenWords(a, b), evenWords(a >>> 16, b >>> 16), HIGH16);
  }

  static long horizontalSubtractSaturated(long a, long b) {
    return subtractSignedSaturated(evenWords(a, b), evenWords(a >>> 16, b >>> 16), HIGH16);
  }

  static long horizontalAddDoublewords(long a, long b) {
    return pair((int) a + (int) (a >>> 32), (int) b + (int) (b >>> 32));
  }

  static long horizontalSubtractDoublewords(long a, long b) {
    return pair((int) a - (int) (a >>> 32), (int) b - (int) (b >>> 32));
  }

  private static long evenWords(long a, long b) {
    return (a & 0xffff)
        | (a >>> 16 & 0xffff_0000L)
        | (b & 0xffff) << 32
        | (b >>> 32 & 0xffff) << 48;
  }

  static long shiftLeftWords(long a, long count) {
    return Long.compareUnsigned(count, 15) > 0
        ? 0
        : a << count & (0xffffL << count & 0xffff) * 0x0001_0001_0001_0001L;
  }

  static long shiftRightWords(long a, long count) {
    return Long.compareUnsigned(count, 15) > 0
        ? 0
        : a >>> count & (0xffffL >>> count) * 0x0001_0001_0001_0001L;
  }

  static long shiftRightArithmeticWords(long a, long count) {
    int n = Long.compareUnsigned(count, 15) > 0 ? 15 : (int) count;
    long result = 0;
    for (int i = 0; i < 64; i += 16) {
      result |= ((short) (a >>> i) >> n & 0xffffL) << i;
    }
    return result;
  }

  static long shiftLeftDoublewords(long a, long count) {
    return Long.compareUnsigned(count, 31) > 0
        ? 0
        : pair((int) a << (int) count, (int) (a >>> 32) << (int) count);
  }

  static long shiftRightDoublewords(long a, long count) {
    return Long.compareUnsigned(count, 31) > 0
        ? 0
        : pair((int) a >>> (int) count, (int) (a >>> 32) >>> (int) count);
  }

  static long shiftRightArithmeticDoublewords(long a, long count) {
    int n = Long.compareUnsigned(count, 31) > 0 ? 31 : (int) count;
    return pair((int) a >> n, (int) (a >>> 32) >> n);
  }

  static long shiftLeftQuadword(long a, long count) {
    return Long.compareUnsigned(count, 63) > 0 ? 0 : a << count;
  }

  static long shiftRightQuadword(long a, long count) {
    return Long.compareUnsigned(count, 63) > 0 ? 0 : a >>> count;
  }

  /**
   * Extends the elements of {@code from} bits in the low part of a word to {@code to} bits, as many
   * as fill a quadword (PMOVSXxx, PMOVZXxx).
   */
  static long extend(long a, int from, int to, boolean signed) {
    long result = 0;
    for (int i = 0; i < 64 / to; i++) {
      long element = a >>> from * i << 64 - from;
      element = signed ? element >> 64 - from : element >>> 64 - from;
      result |= element << 64 - to >>> 64 - to << to * i;
    }
    return result;
  }

  /** Sum of |a byte - b byte| over the four low bytes (MPSADBW). */
  static int sumOfAbsoluteDifferences4(long a, int b) {
    int sum = 0;
    for (int i = 0; i < 4; i++) {
      sum += Math.abs((int) (a >>> 8 * i & 0xff) - (b >>> 8 * i & 0xff));
    }
    return sum;
  }

  /** Bytes of {@code high:low} from a byte offset up to 15, as one quadword. */
  static long bytesAt(long low, long high, int offset) {
    if (offset >= 8) {
      return high >>> 8 * (offset - 8);
    }
    return offset == 0 ? low : low >>> 8 * offset | high << 64 - 8 * offset;
  }
}
