package dev.ringfence.machine.operation.softfloat;

import static dev.ringfence.machine.operation.softfloat.Extended.BIAS;
import static dev.ringfence.machine.operation.softfloat.Extended.EXPONENT;
import static dev.ringfence.machine.operation.softfloat.Extended.INTEGER_BIT;
import static dev.ringfence.machine.operation.softfloat.Extended.QUIET_BIT;
import static dev.ringfence.machine.operation.softfloat.Extended.SIGN;

/**
 * A floating-point unit: an environment (rounding, masks, target format), the result of the last
 * operation and the exceptions of all operations since it was made.
 *
 * <p>Operations take numbers in the layout of {@link Extended}. They raise exceptions in the order
 * of SDM volume 1, section 4.9.2: if an unmasked invalid operation, denormal operand or division by
 * zero was found, {@link #trapped} holds, nothing is computed and no other exception is raised.
 *
 * <p>An exact intermediate value is a significand of 128 bits with the top bit set, of which the
 * lowest may stand for all that lie below it; {@link #round} makes the result of it. {@code
 * exponent} is always biased as in the extended format, and may leave its range.
 */
public final class SoftFloat {
  public static final int INVALID = 1;
  public static final int DENORMAL = 1 << 1;
  public static final int ZERO_DIVIDE = 1 << 2;
  public static final int OVERFLOW = 1 << 3;
  public static final int UNDERFLOW = 1 << 4;
  public static final int PRECISION = 1 << 5;

  /** Exceptions found before the result is computed. */
  public static final int BEFORE_COMPUTATION = INVALID | DENORMAL | ZERO_DIVIDE;

  /** Rounding control (RC) as in MXCSR and in the x87 control word. */
  public static final int NEAREST = 0;

  public static final int DOWN = 1;
  public static final int UP = 2;
  public static final int TOWARD_ZERO = 3;

  /** Comparison results. */
  public static final int LESS = -1;

  public static final int EQUAL = 0;
  public static final int GREATER = 1;
  public static final int UNORDERED = 2;

  /** What an unmasked x87 overflow or underflow takes from or adds to the exponent. */
  private static final int EXPONENT_ADJUSTMENT = 24576;

  private final int masks;
  private final boolean sse;
  private final boolean flushToZero;
  private final boolean denormalsAreZero;
  private int rounding;
  private int precision;
  private int minimumExponent;
  private int maximumExponent;

  /** Exceptions raised so far, as in the low bits of MXCSR and of the x87 status word. */
  public int flags;

  /** Whether the last rounding increased the magnitude. */
  public boolean roundedUp;

  /** Sign and exponent of the result. */
  public int signExponent;

  /** Significand of the result; without integer bit the result is a denormal of the target. */
  public long significand;

  /**
   * Whether an operand of the next operation was denormal in its own, narrower format; in the
   * extended format it is normal.
   */
  public boolean narrowDenormal;

  private SoftFloat(
      int rounding, int masks, boolean sse, boolean flushToZero, boolean denormalsAreZero) {
    this.rounding = rounding;
    this.denormalsAreZero = denormalsAreZero;
    this.masks = masks;
    this.sse = sse;
    this.flushToZero = flushToZero;
  }

  /** The environment of SSE instructions; the target is binary64. */
  public static SoftFloat ofMxcsr(int mxcsr) {
    boolean underflowMasked = (mxcsr & UNDERFLOW << 7) != 0;
    SoftFloat unit =
        new SoftFloat(
            mxcsr >>> 13 & 3,
            mxcsr >>> 7 & 0x3f,
            true,
            underflowMasked && (mxcsr & 1 << 15) != 0,
            (mxcsr & 1 << 6) != 0);
    unit.targetDouble();
    return unit;
  }

  /** The environment of x87 instructions; the target has the precision of the control word. */
  public static SoftFloat ofX87(int control) {
    SoftFloat unit = new SoftFloat(control >>> 10 & 3, control & 0x3f, false, false, false);
    unit.targetExtended();
    unit.precision =
        switch (control >>> 8 & 3) {
          case 0 -> 24;
          case 2 -> 53;
          default -> 64;
        };
    return unit;
  }

  public void targetSingle() {
    precision = 24;
    minimumExponent = BIAS - 126;
    maximumExponent = BIAS + 127;
  }

  public void targetDouble() {
    precision = 53;
    minimumExponent = BIAS - 1022;
    maximumExponent = BIAS + 1023;
  }

  /** The extended format with its full precision. */
  public void targetExtended() {
    precision = 64;
    minimumExponent = 1;
    maximumExponent = EXPONENT - 1;
  }

  /** Overrides the rounding control of the environment. */
  public void setRounding(int value) {
    rounding = value;
  }

  public int rounding() {
    return rounding;
  }

  /** Whether an unmasked exception has kept the result from being computed. */
  public boolean trapped() {
    return (flags & ~masks & BEFORE_COMPUTATION) != 0;
  }

  /** Raises invalid operation; the result is the indefinite. */
  public void invalid() {
    flags |= INVALID;
    set(Extended.INDEFINITE_EXPONENT, Extended.INDEFINITE_SIGNIFICAND);
  }

  /** Sets the result without rounding. */
  public void set(int newSignExponent, long newSignificand) {
    signExponent = newSignExponent & 0xffff;
    significand = newSignificand;
    roundedUp = false;
  }

  /** MXCSR.DAZ. */
  public boolean denormalsAreZero() {
    return denormalsAreZero;
  }

  private void denormalOperand(int se, long m) {
    if (narrowDenormal || m != 0 && (se & EXPONENT) == 0) {
      flags |= DENORMAL;
    }
  }

  /** Handles operands that are no numbers. Returns whether it did, the result is then set. */
  private boolean notNumbers(int seA, long mA, int seB, long mB) {
    boolean special =
        (seA & EXPONENT) == EXPONENT
            || (seB & EXPONENT) == EXPONENT
            || Extended.isUnsupported(seA, mA)
            || Extended.isUnsupported(seB, mB);
    if (!special) {
      return false;
    }
    if (Extended.isUnsupported(seA, mA) || Extended.isUnsupported(seB, mB)) {
      invalid();
      return true;
    }
    boolean nanA = Extended.isNan(seA, mA);
    boolean nanB = Extended.isNan(seB, mB);
    if (!nanA && !nanB) {
      return false;
    }
    if (Extended.isSignalingNan(seA, mA) || Extended.isSignalingNan(seB, mB)) {
      flags |= INVALID;
    }
    if (nanA && (!nanB || (sse ? nanA : firstNan(seA, mA, seB, mB)))) {
      set(seA, mA | QUIET_BIT);
    } else {
      set(seB, mB | QUIET_BIT);
    }
    return true;
  }

  /** Which of two NaNs an x87 instruction returns (SDM volume 1, table 4-7). */
  private static boolean firstNan(int seA, long mA, int seB, long mB) {
    boolean quietA = (mA & QUIET_BIT) != 0;
    boolean quietB = (mB & QUIET_BIT) != 0;
    if (quietA != quietB) {
      return quietA;
    }
    int order = Long.compareUnsigned(mA, mB);
    return order > 0 || order == 0 && (seA & SIGN) <= (seB & SIGN);
  }

  /** Handles an operand that is no number. Returns whether it did, the result is then set. */
  private boolean notNumber(int se, long m) {
    return notNumbers(se, m, se, m);
  }

  /** Biased exponent once the significand is normalized. */
  static int normalExponent(int se, long m) {
    int exponent = se & EXPONENT;
    return exponent == 0 ? 1 - Long.numberOfLeadingZeros(m) : exponent;
  }

  static long normalSignificand(long m) {
    return m << Long.numberOfLeadingZeros(m);
  }

  /** a + b. */
  public void add(int seA, long mA, int seB, long mB) {
    if (notNumbers(seA, mA, seB, mB)) {
      return;
    }
    boolean infinityA = (seA & EXPONENT) == EXPONENT;
    boolean infinityB = (seB & EXPONENT) == EXPONENT;
    if (infinityA && infinityB && ((seA ^ seB) & SIGN) != 0) {
      invalid();
      return;
    }
    denormalOperand(seA, mA);
    denormalOperand(seB, mB);
    if (trapped()) {
      return;
    }
    if (infinityA || infinityB) {
      set(infinityA ? seA : seB, INTEGER_BIT);
    } else if (mA == 0 && mB == 0) {
      set(((seA ^ seB) & SIGN) == 0 ? seA : rounding == DOWN ? SIGN : 0, 0);
    } else if (mA == 0) {
      round(seB & SIGN, normalExponent(seB, mB), normalSignificand(mB), 0);
    } else if (mB == 0) {
      round(seA & SIGN, normalExponent(seA, mA), normalSignificand(mA), 0);
    } else {
      addNumbers(
          seA & SIGN,
          normalExponent(seA, mA),
          normalSignificand(mA),
          seB & SIGN,
          normalExponent(seB, mB),
          normalSignificand(mB));
    }
  }

  /** a - b. */
  public void subtract(int seA, long mA, int seB, long mB) {
    // The sign of a NaN stays.
    add(seA, mA, Extended.isNan(seB, mB) ? seB : seB ^ SIGN, mB);
  }

  private void addNumbers(int signA, int eA, long mA, int signB, int eB, long mB) {
    int distance = eA - eB;
    if (distance < 0 || distance == 0 && Long.compareUnsigned(mA, mB) < 0) {
      addNumbers(signB, eB, mB, signA, eA, mA);
      return;
    }
    long highB;
    long lowB;
    if (distance < 64) {
      highB = mB >>> distance;
      lowB = distance == 0 ? 0 : mB << 64 - distance;
    } else {
      highB = 0;
      lowB = distance >= 128 ? 1 : shiftRightSticky(mB, distance - 64);
    }
    if (signA == signB) {
      long high = mA + highB;
      if (Long.compareUnsigned(high, mA) < 0) {
        round(signA, eA + 1, high >>> 1 | INTEGER_BIT, high << 63 | lowB >>> 1 | lowB & 1);
      } else {
        round(signA, eA, high, lowB);
      }
      return;
    }
    long low = -lowB;
    long high = mA - highB - (lowB != 0 ? 1 : 0);
    if (high == 0) {
      if (low == 0) {
        set(rounding == DOWN ? SIGN : 0, 0);
        return;
      }
      high = low;
      low = 0;
      eA -= 64;
    }
    int shift = Long.numberOfLeadingZeros(high);
    if (shift > 0) {
      high = high << shift | low >>> 64 - shift;
      low <<= shift;
    }
    round(signA, eA - shift, high, low);
  }

  /** Shifts right; the lowest bit of the result also stands for all bits that fell off. */
  private static long shiftRightSticky(long value, int count) {
    if (count == 0) {
      return value;
    }
    if (count > 63) {
      return value != 0 ? 1 : 0;
    }
    return value >>> count | (value << 64 - count != 0 ? 1 : 0);
  }

  /** a * b. */
  public void multiply(int seA, long mA, int seB, long mB) {
    if (notNumbers(seA, mA, seB, mB)) {
      return;
    }
    int sign = (seA ^ seB) & SIGN;
    boolean infinite = (seA & EXPONENT) == EXPONENT || (seB & EXPONENT) == EXPONENT;
    if (infinite && (mA == 0 || mB == 0)) {
      invalid();
      return;
    }
    denormalOperand(seA, mA);
    denormalOperand(seB, mB);
    if (trapped()) {
      return;
    }
    if (infinite) {
      set(sign | EXPONENT, INTEGER_BIT);
      return;
    }
    if (mA == 0 || mB == 0) {
      set(sign, 0);
      return;
    }
    int exponent = normalExponent(seA, mA) + normalExponent(seB, mB) - BIAS + 1;
    long a = normalSignificand(mA);
    long b = normalSignificand(mB);
    long high = Math.unsignedMultiplyHigh(a, b);
    long low = a * b;
    if (high >= 0) {
      high = high << 1 | low >>> 63;
      low <<= 1;
      exponent--;
    }
    round(sign, exponent, high, low);
  }

  /** a / b. */
  public void divide(int seA, long mA, int seB, long mB) {
    if (notNumbers(seA, mA, seB, mB)) {
      return;
    }
    int sign = (seA ^ seB) & SIGN;
    boolean infinityA = (seA & EXPONENT) == EXPONENT;
    boolean infinityB = (seB & EXPONENT) == EXPONENT;
    if (infinityA && infinityB || mA == 0 && mB == 0) {
      invalid();
      return;
    }
    if (mB == 0 && !infinityA) {
      flags |= ZERO_DIVIDE;
      set(sign | EXPONENT, INTEGER_BIT);
      return;
    }
    denormalOperand(seA, mA);
    denormalOperand(seB, mB);
    if (trapped()) {
      return;
    }
    if (infinityA) {
      set(sign | EXPONENT, INTEGER_BIT);
      return;
    }
    if (infinityB || mA == 0) {
      set(sign, 0);
      return;
    }
    int exponent = normalExponent(seA, mA) - normalExponent(seB, mB) + BIAS;
    long a = normalSignificand(mA);
    long b = normalSignificand(mB);
    long quotient;
    long remainder;
    if (Long.compareUnsigned(a, b) < 0) {
      exponent--;
      quotient = WideMath.divide(a, 0, b);
      remainder = -quotient * b;
    } else {
      quotient = WideMath.divide(a >>> 1, a << 63, b);
      remainder = (a << 63) - quotient * b;
    }
    round(sign, exponent, quotient, remainderBits(remainder, b));
  }

  /** The bits after a quotient: zero, below a half, a half, or above. */
  private static long remainderBits(long remainder, long divisor) {
    if (remainder == 0) {
      return 0;
    }
    int order = Long.compareUnsigned(remainder, divisor - remainder);
    return order < 0 ? 1 : order == 0 ? INTEGER_BIT : INTEGER_BIT | 1;
  }

  /** The square root. */
  public void squareRoot(int se, long m) {
    if (notNumber(se, m)) {
      return;
    }
    if (Extended.isZero(se, m)) {
      set(se, 0);
      return;
    }
    if ((se & SIGN) != 0) {
      invalid();
      return;
    }
    denormalOperand(se, m);
    if (trapped()) {
      return;
    }
    if ((se & EXPONENT) == EXPONENT) {
      set(EXPONENT, INTEGER_BIT);
      return;
    }
    int exponent = normalExponent(se, m) - BIAS;
    long a = normalSignificand(m);
    boolean odd = (exponent & 1) != 0;
    long high = odd ? a : a >>> 1;
    long low = odd ? 0 : a << 63;
    long root = WideMath.squareRoot(high, low);
    // The remainder is at most twice the root, so one bit of its high word says enough.
    long squareLow = root * root;
    long remainder = low - squareLow;
    long remainderHigh =
        high
            - Math.unsignedMultiplyHigh(root, root)
            - (Long.compareUnsigned(low, squareLow) < 0 ? 1 : 0);
    long bits;
    if (remainder == 0 && remainderHigh == 0) {
      bits = 0;
    } else {
      // The square of root + 1/2 is no integer, so exactly half never happens.
      boolean above = remainderHigh != 0 || Long.compareUnsigned(remainder, root) > 0;
      bits = above ? INTEGER_BIT | 1 : 1;
    }
    round(0, BIAS + (exponent >> 1), root, bits);
  }

  /**
   * Checks the operands of a remainder. Returns whether both are numbers to compute with; otherwise
   * the result is set or an exception has trapped.
   */
  boolean remainderOperands(int seA, long mA, int seB, long mB) {
    if (notNumbers(seA, mA, seB, mB)) {
      return false;
    }
    if ((seA & EXPONENT) == EXPONENT || mB == 0) {
      invalid();
      return false;
    }
    denormalOperand(seA, mA);
    denormalOperand(seB, mB);
    if (trapped()) {
      return false;
    }
    if (mA == 0) {
      set(seA, 0);
      return false;
    }
    return true;
  }

  /**
   * Checks the operand of a function. Returns whether it is a number (or an infinity) to compute
   * with; otherwise the result is set or an exception has trapped.
   */
  boolean functionOperand(int se, long m) {
    if (notNumber(se, m)) {
      return false;
    }
    denormalOperand(se, m);
    return !trapped();
  }

  /** Whether both operands are numbers or infinities; otherwise the result is set. */
  boolean functionOperands(int seA, long mA, int seB, long mB) {
    return !notNumbers(seA, mA, seB, mB);
  }

  /** Raises the denormal exception if one of two operands is denormal. */
  void denormals(int seA, long mA, int seB, long mB) {
    denormalOperand(seA, mA);
    denormalOperand(seB, mB);
  }

  /** a * 2^b, with b rounded toward zero (FSCALE). */
  public void scale(int seA, long mA, int seB, long mB) {
    if (notNumbers(seA, mA, seB, mB)) {
      return;
    }
    boolean infinityA = (seA & EXPONENT) == EXPONENT;
    boolean infinityB = (seB & EXPONENT) == EXPONENT;
    boolean down = (seB & SIGN) != 0;
    if (infinityB && (down ? infinityA : mA == 0)) {
      invalid();
      return;
    }
    denormalOperand(seA, mA);
    denormalOperand(seB, mB);
    if (trapped()) {
      return;
    }
    if (infinityB) {
      set(seA & SIGN | (down ? 0 : EXPONENT), down ? 0 : INTEGER_BIT);
      return;
    }
    if (infinityA || mA == 0) {
      set(seA, mA);
      return;
    }
    int exponentB = (seB & EXPONENT) - BIAS;
    int shift;
    if (mB == 0 || exponentB < 0) {
      shift = 0;
    } else {
      // Beyond 2^17 every result overflows or underflows alike.
      shift = exponentB > 16 ? 1 << 17 : (int) (mB >>> 63 - exponentB);
    }
    round(seA & SIGN, normalExponent(seA, mA) + (down ? -shift : shift), normalSignificand(mA), 0);
  }

  /**
   * Rounds an exact value to the target format and sets the result.
   *
   * @param sign {@link Extended#SIGN} or 0
   * @param exponent biased exponent, of any size
   * @param high significand, with the top bit set
   * @param low bits after it; the lowest stands for all that follow
   */
  public void round(int sign, int exponent, long high, long low) {
    if (exponent < minimumExponent) {
      roundTiny(sign, exponent, high, low);
      return;
    }
    boolean inexact = roundSignificand(sign, high, low);
    long rounded = significand;
    if (rounded == 0) { // carried out of the top
      rounded = INTEGER_BIT;
      exponent++;
    }
    if (exponent > maximumExponent) {
      overflow(sign, exponent, rounded, inexact);
      return;
    }
    if (inexact) {
      flags |= PRECISION;
    }
    signExponent = sign | exponent;
    significand = rounded;
  }

  /**
   * Rounds a significand to the precision, into {@link #significand}, where a carry out of the top
   * leaves zero, and sets {@link #roundedUp}. Returns whether bits were lost.
   */
  private boolean roundSignificand(int sign, long high, long low) {
    int dropped = 64 - precision;
    long tail;
    boolean sticky;
    if (dropped == 0) {
      tail = low;
      sticky = false;
    } else {
      tail = high << precision;
      sticky = low != 0;
      high = high >>> dropped << dropped;
    }
    boolean inexact = tail != 0 || sticky;
    boolean up =
        switch (rounding) {
          case NEAREST -> tail < 0 && (tail << 1 != 0 || sticky || (high >>> dropped & 1) != 0);
          case DOWN -> inexact && sign != 0;
          case UP -> inexact && sign == 0;
          default -> false;
        };
    significand = up ? high + (1L << dropped) : high;
    roundedUp = up;
    return inexact;
  }

  /** A value below the smallest normal number, unless rounding lifts it there. */
  private void roundTiny(int sign, int exponent, long high, long low) {
    // Tininess is detected after rounding as if the exponent had no limits.
    boolean inexact = roundSignificand(sign, high, low);
    boolean carried = significand == 0;
    boolean tiny = exponent + (carried ? 1 : 0) < minimumExponent;
    if (tiny && (masks & UNDERFLOW) == 0) {
      flags |= UNDERFLOW | (inexact ? PRECISION : 0);
      int adjusted = exponent + EXPONENT_ADJUSTMENT + (carried ? 1 : 0);
      if (adjusted < 1) { // FSCALE can go so far
        flags |= PRECISION;
        set(sign, 0);
        return;
      }
      signExponent = sign | adjusted & EXPONENT;
      significand = carried ? INTEGER_BIT : significand;
      return;
    }
    if (tiny && flushToZero) {
      flags |= UNDERFLOW | PRECISION;
      set(sign, 0);
      return;
    }
    int shift = minimumExponent - exponent;
    long shiftedHigh;
    long shiftedLow;
    if (shift < 64) {
      shiftedHigh = high >>> shift;
      shiftedLow = high << 64 - shift | low >>> shift | (low << 64 - shift != 0 ? 1 : 0);
    } else {
      shiftedHigh = 0;
      shiftedLow = shiftRightSticky(high, shift - 64) | (low != 0 ? 1 : 0);
    }
    if (roundSignificand(sign, shiftedHigh, shiftedLow)) {
      flags |= PRECISION | (tiny ? UNDERFLOW : 0);
    }
    signExponent = sign | (significand < 0 ? minimumExponent : 0);
  }

  private void overflow(int sign, int exponent, long rounded, boolean inexact) {
    flags |= OVERFLOW;
    if ((masks & OVERFLOW) == 0) {
      int adjusted = exponent - EXPONENT_ADJUSTMENT;
      if (adjusted >= EXPONENT) { // FSCALE can go so far
        flags |= PRECISION;
        set(sign | EXPONENT, INTEGER_BIT);
        roundedUp = true;
        return;
      }
      flags |= inexact ? PRECISION : 0;
      signExponent = sign | adjusted & EXPONENT;
      significand = rounded;
      return;
    }
    flags |= PRECISION;
    boolean infinity =
        switch (rounding) {
          case NEAREST -> true;
          case DOWN -> sign != 0;
          case UP -> sign == 0;
          default -> false;
        };
    roundedUp = infinity;
    signExponent = sign | (infinity ? EXPONENT : maximumExponent);
    significand = infinity ? INTEGER_BIT : -1L << 64 - precision;
  }

  /**
   * Converts to the target format. A denormal operand in the extended format is no exception here
   * (SDM volume 2, FST), one in a narrower format is.
   */
  public void convert(int se, long m) {
    if (notNumber(se, m)) {
      return;
    }
    if (narrowDenormal) {
      flags |= DENORMAL;
      if (trapped()) {
        return;
      }
    }
    if (m == 0 || (se & EXPONENT) == EXPONENT) {
      set(se, m);
    } else {
      round(se & SIGN, normalExponent(se, m), normalSignificand(m), 0);
    }
  }

  /** Converts an integer to the target format. */
  public void fromInteger(long value) {
    if (value == 0) {
      set(0, 0);
      return;
    }
    int sign = value < 0 ? SIGN : 0;
    long magnitude = Math.abs(value);
    int shift = Long.numberOfLeadingZeros(magnitude);
    round(sign, BIAS + 63 - shift, magnitude << shift, 0);
  }

  /**
   * Rounds to an integer in floating-point format.
   *
   * @param exact whether a change of the value raises the precision exception
   */
  public void roundToInteger(int se, long m, boolean exact) {
    if (notNumber(se, m)) {
      return;
    }
    if (narrowDenormal) {
      flags |= DENORMAL;
      if (trapped()) {
        return;
      }
    }
    int exponent = se & EXPONENT;
    if (exponent == EXPONENT || exponent >= BIAS + 63 || m == 0) {
      set(se, m);
      return;
    }
    int sign = se & SIGN;
    long whole = integerPart(sign, normalExponent(se, m), normalSignificand(m));
    boolean changed = inexactInteger;
    boolean up = roundedUp;
    if (whole == 0) {
      set(sign, 0);
    } else {
      int shift = Long.numberOfLeadingZeros(whole);
      set(sign | BIAS + 63 - shift, whole << shift);
    }
    roundedUp = up;
    if (changed && exact) {
      flags |= PRECISION;
    }
  }

  private boolean inexactInteger;

  /** The magnitude of a number below 2^64, rounded to an integer; the carry out of 2^64 is lost. */
  private long integerPart(int sign, int exponent, long m) {
    int shift = BIAS + 63 - exponent;
    long whole;
    long tail;
    if (shift == 0) {
      whole = m;
      tail = 0;
    } else if (shift < 64) {
      whole = m >>> shift;
      tail = m << 64 - shift;
    } else {
      whole = 0;
      tail = shiftRightSticky(m, shift - 64);
    }
    inexactInteger = tail != 0;
    roundedUp =
        switch (rounding) {
          case NEAREST -> tail < 0 && (tail << 1 != 0 || (whole & 1) != 0);
          case DOWN -> tail != 0 && sign != 0;
          case UP -> tail != 0 && sign == 0;
          default -> false;
        };
    return roundedUp ? whole + 1 : whole;
  }

  /**
   * Converts to a signed integer of 16, 32 or 64 bits. What does not fit raises invalid operation
   * and gives the integer indefinite, the smallest number.
   */
  public long toInteger(int se, long m, int width) {
    roundedUp = false;
    long indefinite = -1L << width - 1;
    int exponent = se & EXPONENT;
    if (exponent >= BIAS + 64 || Extended.isUnsupported(se, m)) {
      flags |= INVALID;
      return indefinite;
    }
    if (m == 0) {
      return 0;
    }
    int sign = se & SIGN;
    long whole = integerPart(sign, normalExponent(se, m), normalSignificand(m));
    long limit = 1L << width - 1;
    if (Long.compareUnsigned(whole, limit) >= (sign != 0 ? 1 : 0)) {
      roundedUp = false;
      flags |= INVALID;
      return indefinite;
    }
    if (inexactInteger) {
      flags |= PRECISION;
    }
    return sign != 0 ? -whole : whole;
  }

  /**
   * Compares a with b.
   *
   * @param quiet whether quiet NaNs compare without invalid operation
   */
  public int compare(int seA, long mA, int seB, long mB, boolean quiet) {
    if (Extended.isUnsupported(seA, mA) || Extended.isUnsupported(seB, mB)) {
      flags |= INVALID;
      return UNORDERED;
    }
    if (Extended.isNan(seA, mA) || Extended.isNan(seB, mB)) {
      if (!quiet || Extended.isSignalingNan(seA, mA) || Extended.isSignalingNan(seB, mB)) {
        flags |= INVALID;
      }
      return UNORDERED;
    }
    denormalOperand(seA, mA);
    denormalOperand(seB, mB);
    return order(seA, mA, seB, mB);
  }

  private static int order(int seA, long mA, int seB, long mB) {
    if (mA == 0 && mB == 0) {
      return EQUAL;
    }
    boolean negativeA = (seA & SIGN) != 0;
    boolean negativeB = (seB & SIGN) != 0;
    if (negativeA != negativeB) {
      return negativeA ? LESS : GREATER;
    }
    int magnitude;
    if (mA == 0 || mB == 0) {
      magnitude = mA == 0 ? LESS : GREATER;
    } else {
      magnitude = Integer.compare(normalExponent(seA, mA), normalExponent(seB, mB));
      if (magnitude == 0) {
        magnitude = Long.compareUnsigned(normalSignificand(mA), normalSignificand(mB));
      }
    }
    return Integer.signum(negativeA ? -magnitude : magnitude);
  }
}
