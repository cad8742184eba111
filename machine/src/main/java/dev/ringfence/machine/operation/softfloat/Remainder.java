package dev.ringfence.machine.operation.softfloat;

import static dev.ringfence.machine.operation.softfloat.Extended.EXPONENT;
import static dev.ringfence.machine.operation.softfloat.Extended.SIGN;

/** The partial remainder of FPREM and FPREM1 (SDM volume 2). */
public final class Remainder {
  /** The exponents differ too much for one step. */
  public static final int INCOMPLETE = -1;

  /** An operand was no number, and neither is the result. */
  public static final int NO_QUOTIENT = -2;

  private Remainder() {}

  /**
   * Sets the unit's result to a - b * quotient, which is exact.
   *
   * @return the three lowest bits of the quotient, or one of the other codes
   */
  public static int compute(SoftFloat unit, int seA, long mA, int seB, long mB, boolean nearest) {
    if (!unit.remainderOperands(seA, mA, seB, mB)) {
      return unit.signExponent << 17 == EXPONENT << 17 ? NO_QUOTIENT : 0;
    }
    int sign = seA & SIGN;
    int eA = SoftFloat.normalExponent(seA, mA);
    int eB = SoftFloat.normalExponent(seB, mB);
    long rest = SoftFloat.normalSignificand(mA);
    long divisor = SoftFloat.normalSignificand(mB);
    int distance = eA - eB;
    if ((seB & EXPONENT) == EXPONENT || distance < (nearest ? -1 : 0)) {
      unit.round(sign, eA, rest, 0);
      return 0;
    }
    if (distance < 0) {
      // Between a quarter and one of b: the quotient to nearest is 0 or 1.
      if (Long.compareUnsigned(rest, divisor) <= 0) {
        unit.round(sign, eA, rest, 0);
        return 0;
      }
      // b - a, in units of a's last place; both fit because a < b < 2a.
      long difference = (divisor << 1) - rest;
      finish(unit, sign ^ SIGN, eA, difference);
      return 1;
    }
    boolean complete = distance < 64;
    int steps = complete ? distance : distance & 31 | 32;
    int exponent = eB + distance - steps;
    long quotient = 0;
    boolean carry = false;
    for (int n = steps; ; n--) {
      quotient <<= 1;
      if (carry || Long.compareUnsigned(rest, divisor) >= 0) {
        rest -= divisor;
        quotient |= 1;
      }
      if (n == 0) {
        break;
      }
      carry = rest < 0;
      rest <<= 1;
    }
    if (!complete) {
      finish(unit, sign, exponent, rest);
      return INCOMPLETE;
    }
    if (nearest) {
      int half = Long.compareUnsigned(rest, divisor - rest);
      if (half > 0 || half == 0 && (quotient & 1) != 0) {
        rest = divisor - rest;
        sign ^= SIGN;
        quotient++;
      }
    }
    finish(unit, sign, exponent, rest);
    return (int) quotient & 7;
  }

  private static void finish(SoftFloat unit, int sign, int exponent, long significand) {
    if (significand == 0) {
      unit.set(sign, 0);
    } else {
      int shift = Long.numberOfLeadingZeros(significand);
      unit.round(sign, exponent - shift, significand << shift, 0);
    }
  }
}
