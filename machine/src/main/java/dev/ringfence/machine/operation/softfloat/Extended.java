package dev.ringfence.machine.operation.softfloat;

/**
 * The 80-bit double extended-precision format (SDM volume 1, section 4.2.2), and how the narrower
 * formats are written in it. A number is a pair: {@code signExponent} with the sign in bit 15 and
 * the biased exponent in bits 14:0, and a significand with an explicit integer bit.
 */
public final class Extended {
  public static final int BIAS = 16383;
  public static final int EXPONENT = 0x7fff;
  public static final int SIGN = 0x8000;
  public static final long INTEGER_BIT = 1L << 63;
  public static final long QUIET_BIT = 1L << 62;

  /** The QNaN floating-point indefinite (SDM volume 1, section 4.8.3.7). */
  public static final int INDEFINITE_EXPONENT = 0xffff;

  public static final long INDEFINITE_SIGNIFICAND = INTEGER_BIT | QUIET_BIT;

  private static final int SINGLE_BIAS = 127;
  private static final int DOUBLE_BIAS = 1023;

  private Extended() {}

  public static boolean isZero(int signExponent, long significand) {
    return (signExponent & EXPONENT) == 0 && significand == 0;
  }

  /** Denormal or pseudo-denormal. */
  public static boolean isDenormal(int signExponent, long significand) {
    return (signExponent & EXPONENT) == 0 && significand != 0;
  }

  public static boolean isInfinity(int signExponent, long significand) {
    return (signExponent & EXPONENT) == EXPONENT && significand == INTEGER_BIT;
  }

  public static boolean isNan(int signExponent, long significand) {
    return (signExponent & EXPONENT) == EXPONENT && significand < 0 && significand << 1 != 0;
  }

  public static boolean isSignalingNan(int signExponent, long significand) {
    return isNan(signExponent, significand) && (significand & QUIET_BIT) == 0;
  }

  /** Unnormals, pseudo-NaNs and pseudo-infinities (SDM volume 1, table 8-3): invalid operands. */
  public static boolean isUnsupported(int signExponent, long significand) {
    return (signExponent & EXPONENT) != 0 && significand >= 0;
  }

  public static boolean isDenormalSingle(int bits) {
    return (bits & 0x7f80_0000) == 0 && bits << 1 != 0;
  }

  public static boolean isDenormalDouble(long bits) {
    return (bits & 0x7ff0_0000_0000_0000L) == 0 && bits << 1 != 0;
  }

  /** Sign and exponent of a binary32 number; denormals become normal. */
  public static int exponentOfSingle(int bits) {
    int sign = bits >>> 16 & SIGN;
    int exponent = bits >>> 23 & 0xff;
    if (exponent == 0xff) {
      return sign | EXPONENT;
    }
    int fraction = bits & 0x7f_ffff;
    if (exponent == 0) {
      return fraction == 0
          ? sign
          : sign | BIAS - SINGLE_BIAS + 9 - Integer.numberOfLeadingZeros(fraction);
    }
    return sign | exponent + BIAS - SINGLE_BIAS;
  }

  public static long significandOfSingle(int bits) {
    long fraction = bits & 0x7f_ffff;
    if ((bits & 0x7f80_0000) == 0) {
      return fraction << Long.numberOfLeadingZeros(fraction);
    }
    return INTEGER_BIT | fraction << 40;
  }

  /** Sign and exponent of a binary64 number; denormals become normal. */
  public static int exponentOfDouble(long bits) {
    int sign = (int) (bits >>> 48) & SIGN;
    int exponent = (int) (bits >>> 52) & 0x7ff;
    if (exponent == 0x7ff) {
      return sign | EXPONENT;
    }
    long fraction = bits & 0xf_ffff_ffff_ffffL;
    if (exponent == 0) {
      return fraction == 0
          ? sign
          : sign | BIAS - DOUBLE_BIAS + 12 - Long.numberOfLeadingZeros(fraction);
    }
    return sign | exponent + BIAS - DOUBLE_BIAS;
  }

  public static long significandOfDouble(long bits) {
    long fraction = bits & 0xf_ffff_ffff_ffffL;
    if ((bits & 0x7ff0_0000_0000_0000L) == 0) {
      return fraction << Long.numberOfLeadingZeros(fraction);
    }
    return INTEGER_BIT | fraction << 11;
  }

  /**
   * A number that was rounded to binary32, in its encoding. A significand without integer bit
   * stands for a denormal number.
   */
  public static int toSingle(int signExponent, long significand) {
    int sign = (signExponent & SIGN) << 16;
    int exponent = signExponent & EXPONENT;
    int fraction = (int) (significand >>> 40) & 0x7f_ffff;
    if (exponent == EXPONENT) {
      return sign | 0x7f80_0000 | fraction;
    }
    return sign | (significand < 0 ? exponent - BIAS + SINGLE_BIAS << 23 : 0) | fraction;
  }

  /** The same for binary64. */
  public static long toDouble(int signExponent, long significand) {
    long sign = (long) (signExponent & SIGN) << 48;
    long exponent = signExponent & EXPONENT;
    long fraction = significand >>> 11 & 0xf_ffff_ffff_ffffL;
    if (exponent == EXPONENT) {
      return sign | 0x7ff0_0000_0000_0000L | fraction;
    }
    return sign | (significand < 0 ? exponent - BIAS + DOUBLE_BIAS << 52 : 0) | fraction;
  }
}
