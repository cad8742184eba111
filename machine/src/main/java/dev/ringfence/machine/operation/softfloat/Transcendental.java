package dev.ringfence.machine.operation.softfloat;

import static dev.ringfence.machine.operation.softfloat.Extended.BIAS;
import static dev.ringfence.machine.operation.softfloat.Extended.EXPONENT;
import static dev.ringfence.machine.operation.softfloat.Extended.INTEGER_BIT;
import static dev.ringfence.machine.operation.softfloat.Extended.SIGN;

import java.math.BigInteger;

/**
 * The transcendental instructions of the x87 (SDM volume 1, section 8.3.10), correctly rounded by
 * the rounding control. Processors promise an error below one unit in the last place only, so
 * results may differ from theirs in the last bit.
 *
 * <p>They are computed in fixed point with hundreds of bits, by series after argument reduction:
 * few programs use them, so that an exact result is worth more than a quick one. Arguments of
 * trigonometric functions are reduced by the processor's own value of pi, which has 66 bits.
 */
public final class Transcendental {
  /** Fraction bits of fixed-point numbers near one. */
  private static final int BITS = 256;

  /**
   * Below two to the minus this, functions are their first term for all purposes but the sticky
   * bit.
   */
  private static final int TINY = 140;

  /** Fraction bits that still leave {@link #BITS} of them to a number of size 2^-TINY. */
  private static final int FINE_BITS = BITS + TINY;

  /** pi * 2^64 cut to 66 bits. */
  private static final BigInteger PI_66 = new BigInteger("3243f6a8885a308d3", 16);

  private static final BigInteger ONE = BigInteger.ONE.shiftLeft(FINE_BITS);
  private static final BigInteger LN_2 =
      logarithm(BigInteger.ONE.shiftLeft(FINE_BITS + 1), ONE, FINE_BITS);
  private static final BigInteger PI = pi();

  private Transcendental() {}

  /** pi by Machin's formula: 16 atan(1/5) - 4 atan(1/239). */
  private static BigInteger pi() {
    return arcTangentOfInverse(5).shiftLeft(4).subtract(arcTangentOfInverse(239).shiftLeft(2));
  }

  private static BigInteger arcTangentOfInverse(int n) {
    BigInteger power = ONE.divide(BigInteger.valueOf(n));
    BigInteger square = BigInteger.valueOf((long) n * n);
    BigInteger sum = power;
    for (int k = 3; power.signum() != 0; k += 2) {
      power = power.divide(square).negate();
      sum = sum.add(power.divide(BigInteger.valueOf(k)));
    }
    return sum;
  }

  private static BigInteger unsigned(long value) {
    return new BigInteger(Long.toUnsignedString(value));
  }

  /** A number as a multiple of 2^-bits, cut; sign left out. */
  private static BigInteger fixed(int se, long m, int bits) {
    int exponent = SoftFloat.normalExponent(se, m) - BIAS - 63 + bits;
    return unsigned(SoftFloat.normalSignificand(m)).shiftLeft(exponent);
  }

  private static int exponentOf(int se, long m) {
    return SoftFloat.normalExponent(se, m) - BIAS;
  }

  private static BigInteger multiply(BigInteger a, BigInteger b, int bits) {
    return a.multiply(b).shiftRight(bits);
  }

  /** Rounds {@code magnitude * 2^-scale}, which is not exact. */
  private static void deliver(SoftFloat unit, int sign, BigInteger magnitude, int scale) {
    int length = magnitude.bitLength();
    BigInteger wide = magnitude.shiftLeft(Math.max(0, 128 - length));
    wide = wide.shiftRight(Math.max(0, length - 128));
    unit.round(
        sign, BIAS + length - 1 - scale, wide.shiftRight(64).longValue(), wide.longValue() | 1);
  }

  /** The result of a function that is its argument but for a term too small to see. */
  private static void deliverNear(SoftFloat unit, int se, long m, boolean above) {
    int exponent = SoftFloat.normalExponent(se, m);
    long significand = SoftFloat.normalSignificand(m);
    if (above) {
      unit.round(se & SIGN, exponent, significand, 1);
    } else if (significand != INTEGER_BIT) {
      unit.round(se & SIGN, exponent, significand - 1, -1);
    } else {
      unit.round(se & SIGN, exponent - 1, -1, -1);
    }
  }

  /**
   * Whether FSIN, FCOS, FSINCOS and FPTAN compute with the operand or raise invalid operation: it
   * is less than 2^63, or no number.
   */
  public static boolean inRange(int se, long m) {
    int exponent = se & EXPONENT;
    return exponent < BIAS + 63 || exponent == EXPONENT || Extended.isUnsupported(se, m);
  }

  /** Which function {@link #trigonometric} computes. */
  public enum Function {
    SINE,
    COSINE,
    TANGENT
  }

  /** Sine, cosine or tangent of an operand in range. */
  public static void trigonometric(SoftFloat unit, Function function, int se, long m) {
    if (!unit.functionOperand(se, m)) {
      return;
    }
    if ((se & EXPONENT) == EXPONENT) {
      unit.invalid();
      return;
    }
    boolean cosine = function == Function.COSINE;
    if (m == 0) {
      unit.set(cosine ? BIAS : se, cosine ? INTEGER_BIT : 0);
      return;
    }
    if (exponentOf(se, m) < -TINY / 2) {
      if (cosine) {
        deliverNear(unit, BIAS, INTEGER_BIT, false);
      } else {
        deliverNear(unit, se, m, function == Function.TANGENT);
      }
      return;
    }
    BigInteger x = fixed(se, m, FINE_BITS);
    BigInteger halfPi = PI_66.shiftLeft(FINE_BITS - 65);
    BigInteger[] parts = x.add(halfPi.shiftRight(1)).divideAndRemainder(halfPi);
    int quadrant = parts[0].intValue() & 3;
    BigInteger rest = parts[1].subtract(halfPi.shiftRight(1));
    BigInteger sine = sine(rest);
    BigInteger cosineOfRest = cosine(rest);
    int sign = se & SIGN;
    if (function == Function.TANGENT) {
      BigInteger numerator = (quadrant & 1) == 0 ? sine : cosineOfRest.negate();
      BigInteger denominator = (quadrant & 1) == 0 ? cosineOfRest : sine;
      BigInteger value = numerator.shiftLeft(FINE_BITS).divide(denominator);
      deliver(unit, value.signum() < 0 ? sign ^ SIGN : sign, value.abs(), FINE_BITS);
      return;
    }
    int turns = cosine ? quadrant + 1 & 3 : quadrant;
    BigInteger value = (turns & 1) == 0 ? sine : cosineOfRest;
    boolean negative = value.signum() < 0 ^ turns >= 2;
    int result = cosine ? 0 : sign;
    deliver(unit, negative ? result ^ SIGN : result, value.abs(), FINE_BITS);
  }

  private static BigInteger sine(BigInteger x) {
    return alternating(x, multiply(x, x, FINE_BITS), 1);
  }

  private static BigInteger cosine(BigInteger x) {
    return alternating(ONE, multiply(x, x, FINE_BITS), 0);
  }

  /** The Taylor series of sine and cosine from a first term of the given degree. */
  private static BigInteger alternating(BigInteger first, BigInteger square, int degree) {
    BigInteger term = first;
    BigInteger sum = first;
    for (int k = degree + 1; term.bitLength() > 1; k += 2) {
      term =
          multiply(term, square, FINE_BITS).divide(BigInteger.valueOf((long) k * (k + 1))).negate();
      sum = sum.add(term);
    }
    return sum;
  }

  /** 2^x - 1 (F2XM1). What lies outside -1 to 1 is undefined, and returned as it is. */
  public static void exponential(SoftFloat unit, int se, long m) {
    if (!unit.functionOperand(se, m)) {
      return;
    }
    int sign = se & SIGN;
    if (m == 0) {
      unit.set(se, 0);
      return;
    }
    if ((se & EXPONENT) == EXPONENT) {
      unit.set(sign != 0 ? SIGN | BIAS : EXPONENT, INTEGER_BIT);
      return;
    }
    int exponent = exponentOf(se, m);
    if (exponent >= 0) {
      boolean one = exponent == 0 && m == INTEGER_BIT;
      unit.flags |= one ? 0 : SoftFloat.PRECISION;
      unit.set(one && sign != 0 ? SIGN | BIAS - 1 : se, m);
      return;
    }
    if (exponent < -TINY) {
      BigInteger product = unsigned(SoftFloat.normalSignificand(m)).multiply(LN_2);
      deliver(unit, sign, product, FINE_BITS + 63 - exponent);
      return;
    }
    int bits = BITS - exponent;
    BigInteger x = fixed(se, m, bits);
    BigInteger y = multiply(x, LN_2, FINE_BITS);
    y = sign != 0 ? y.negate() : y;
    BigInteger term = y;
    BigInteger sum = y;
    for (int k = 2; term.abs().bitLength() > 1; k++) {
      term = multiply(term, y, bits).divide(BigInteger.valueOf(k));
      sum = sum.add(term);
    }
    deliver(unit, sign, sum.abs(), bits);
  }

  /** ln(a / b) of two fixed-point numbers less than a factor of about two apart. */
  private static BigInteger logarithm(BigInteger a, BigInteger b, int bits) {
    // ln(a / b) = 2 artanh((a - b) / (a + b)).
    BigInteger z = a.subtract(b).shiftLeft(bits).divide(a.add(b));
    BigInteger square = multiply(z, z, bits);
    BigInteger power = z;
    BigInteger sum = z;
    for (int k = 3; power.abs().bitLength() > 1; k += 2) {
      power = multiply(power, square, bits);
      sum = sum.add(power.divide(BigInteger.valueOf(k)));
    }
    return sum.shiftLeft(1);
  }

  /** y * log2(x) (FYL2X). */
  public static void multipliedLogarithm(SoftFloat unit, int seX, long mX, int seY, long mY) {
    if (!unit.functionOperands(seX, mX, seY, mY)) {
      return;
    }
    int signY = seY & SIGN;
    boolean infiniteX = (seX & EXPONENT) == EXPONENT;
    boolean infiniteY = (seY & EXPONENT) == EXPONENT;
    if (mX == 0) {
      if (mY == 0) {
        unit.invalid();
      } else {
        if (!infiniteY) {
          unit.flags |= SoftFloat.ZERO_DIVIDE;
        }
        unit.set(signY ^ SIGN | EXPONENT, INTEGER_BIT);
      }
      return;
    }
    boolean one = (seX & EXPONENT) == BIAS && mX == INTEGER_BIT;
    if ((seX & SIGN) != 0 || infiniteX && mY == 0 || infiniteY && one) {
      unit.invalid();
      return;
    }
    unit.denormals(seX, mX, seY, mY);
    if (unit.trapped()) {
      return;
    }
    int exponent = exponentOf(seX, mX);
    int sign = exponent < 0 && !infiniteX ? signY ^ SIGN : signY;
    if (infiniteX || infiniteY) {
      unit.set(sign | EXPONENT, INTEGER_BIT);
      return;
    }
    if (mY == 0) {
      unit.set(sign, 0);
      return;
    }
    long significand = SoftFloat.normalSignificand(mX);
    if (significand == INTEGER_BIT) {
      // The logarithm of a power of two is exact; processors call it inexact all the same.
      unit.fromInteger(exponent);
      unit.multiply(unit.signExponent, unit.significand, seY, mY);
      if (exponent != 0) {
        boolean tiny = unit.significand >= 0;
        unit.flags |= SoftFloat.PRECISION | (tiny ? SoftFloat.UNDERFLOW : 0);
      }
      return;
    }
    // Between the square roots of 1/2 and 2, where the series is short.
    int power = exponent;
    BigInteger fraction = unsigned(significand).shiftLeft(FINE_BITS - 63);
    if (Long.compareUnsigned(significand, 0xb504_f333_f9de_6484L) > 0) {
      power++;
      fraction = fraction.shiftRight(1);
    }
    BigInteger log2 =
        logarithm(fraction, ONE, FINE_BITS)
            .shiftLeft(FINE_BITS)
            .divide(LN_2)
            .add(BigInteger.valueOf(power).shiftLeft(FINE_BITS));
    deliverProduct(unit, sign, log2, FINE_BITS, seY, mY);
  }

  private static void deliverProduct(
      SoftFloat unit, int sign, BigInteger factor, int bits, int seY, long mY) {
    BigInteger product = factor.abs().multiply(unsigned(SoftFloat.normalSignificand(mY)));
    deliver(unit, sign, product, bits + 63 - exponentOf(seY, mY));
  }

  /** y * log2(x + 1) (FYL2XP1). */
  public static void multipliedLogarithmPlusOne(
      SoftFloat unit, int seX, long mX, int seY, long mY) {
    if (!unit.functionOperands(seX, mX, seY, mY)) {
      return;
    }
    int sign = (seX ^ seY) & SIGN;
    boolean infiniteX = (seX & EXPONENT) == EXPONENT;
    boolean infiniteY = (seY & EXPONENT) == EXPONENT;
    int exponent = mX == 0 ? -EXPONENT : exponentOf(seX, mX);
    boolean belowMinusOne = (seX & SIGN) != 0 && exponent >= 0;
    if (belowMinusOne || infiniteX && mY == 0 || infiniteY && mX == 0) {
      unit.invalid();
      return;
    }
    unit.denormals(seX, mX, seY, mY);
    if (unit.trapped()) {
      return;
    }
    if (infiniteX || infiniteY) {
      unit.set(sign | EXPONENT, INTEGER_BIT);
      return;
    }
    if (mX == 0 || mY == 0) {
      unit.set(sign, 0);
      return;
    }
    if (exponent < -TINY) {
      BigInteger factor =
          unsigned(SoftFloat.normalSignificand(mX)).shiftLeft(2 * FINE_BITS).divide(LN_2);
      deliverProduct(unit, sign, factor, FINE_BITS + 63 - exponent, seY, mY);
      return;
    }
    if (exponent > 63) {
      // What the one adds is too small to see; the operand is outside the documented range.
      multipliedLogarithm(unit, seX, mX, seY, mY);
      return;
    }
    BigInteger x = fixed(seX, mX, FINE_BITS);
    BigInteger sum = (seX & SIGN) != 0 ? ONE.subtract(x) : ONE.add(x);
    // The series needs a sum near one; one that is near already stays, to keep its precision.
    int power = exponent < -1 ? 0 : sum.bitLength() - 1 - FINE_BITS;
    BigInteger base = power < 0 ? ONE.shiftRight(-power) : ONE.shiftLeft(power);
    BigInteger log2 =
        logarithm(sum, base, FINE_BITS)
            .shiftLeft(FINE_BITS)
            .divide(LN_2)
            .add(BigInteger.valueOf(power).shiftLeft(FINE_BITS));
    deliverProduct(unit, sign, log2, FINE_BITS, seY, mY);
  }

  /** The angle of the point (x, y) (FPATAN; SDM volume 2, table 3-31). */
  public static void arcTangent(SoftFloat unit, int seY, long mY, int seX, long mX) {
    if (!unit.functionOperands(seX, mX, seY, mY)) {
      return;
    }
    unit.denormals(seX, mX, seY, mY);
    if (unit.trapped()) {
      return;
    }
    int sign = seY & SIGN;
    boolean left = (seX & SIGN) != 0;
    boolean infiniteX = (seX & EXPONENT) == EXPONENT;
    boolean infiniteY = (seY & EXPONENT) == EXPONENT;
    if (infiniteX && infiniteY) {
      BigInteger quarter = PI.shiftRight(2);
      deliver(unit, sign, left ? PI.subtract(quarter) : quarter, FINE_BITS);
    } else if (mY == 0 || infiniteX) {
      if (left) {
        deliver(unit, sign, PI, FINE_BITS);
      } else {
        unit.set(sign, 0);
      }
    } else if (mX == 0 || infiniteY) {
      deliver(unit, sign, PI.shiftRight(1), FINE_BITS);
    } else {
      arcTangentOfNumbers(unit, sign, seY, mY, seX, mX);
    }
  }

  private static void arcTangentOfNumbers(
      SoftFloat unit, int sign, int seY, long mY, int seX, long mX) {
    boolean left = (seX & SIGN) != 0;
    BigInteger y = unsigned(SoftFloat.normalSignificand(mY));
    BigInteger x = unsigned(SoftFloat.normalSignificand(mX));
    int distance = SoftFloat.normalExponent(seY, mY) - SoftFloat.normalExponent(seX, mX);
    if (distance < -TINY && !left) {
      if (mY << Long.numberOfLeadingZeros(mY) == mX << Long.numberOfLeadingZeros(mX)) {
        // The quotient is a power of two, and the angle a little less.
        unit.round(sign, BIAS + distance - 1, -1, -1);
        return;
      }
      deliver(unit, sign, y.shiftLeft(BITS).divide(x), BITS - distance);
      return;
    }
    if (distance < -TINY || distance > TINY) {
      BigInteger angle = distance < 0 ? PI : PI.shiftRight(1);
      deliver(unit, sign, angle.subtract(BigInteger.ONE), FINE_BITS);
      return;
    }
    y = distance > 0 ? y.shiftLeft(distance) : y;
    x = distance < 0 ? x.shiftLeft(-distance) : x;
    boolean steep = y.compareTo(x) > 0;
    BigInteger ratio = steep ? x.shiftLeft(FINE_BITS).divide(y) : y.shiftLeft(FINE_BITS).divide(x);
    BigInteger angle = arcTangent(ratio);
    angle = steep ? PI.shiftRight(1).subtract(angle) : angle;
    deliver(unit, sign, left ? PI.subtract(angle) : angle, FINE_BITS);
  }

  /** The angle whose tangent is t, from 0 to 1. */
  private static BigInteger arcTangent(BigInteger t) {
    BigInteger x = t;
    int halvings = 3;
    BigInteger oneSquared = ONE.shiftLeft(FINE_BITS);
    for (int n = 0; n < halvings; n++) {
      BigInteger root = oneSquared.add(x.multiply(x)).sqrt();
      x = x.shiftLeft(FINE_BITS).divide(ONE.add(root));
    }
    BigInteger square = multiply(x, x, FINE_BITS).negate();
    BigInteger power = x;
    BigInteger sum = x;
    for (int k = 3; power.abs().bitLength() > 1; k += 2) {
      power = multiply(power, square, FINE_BITS);
      sum = sum.add(power.divide(BigInteger.valueOf(k)));
    }
    return sum.shiftLeft(halvings);
  }
}
