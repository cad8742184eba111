package dev.ringfence.machine.operation.softfloat;

/**
 * SSE arithmetic by Java's own operators, which are IEEE 754 arithmetic in round-to-nearest. It
 * applies when all exceptions are masked, operands and result are zero or normal, and the precision
 * exception either is recorded already (which is so in most programs after a few operations) or can
 * be excluded. Where it does not apply the answer is {@link #NOT_QUICK} and the caller turns to
 * {@link SoftFloat}. Results in binary32 are zero-extended.
 */
public final class QuickFloat {
  /** A signaling NaN, which no operation returns. */
  public static final long NOT_QUICK = 0x7ff0_0000_0000_0001L;

  private static final int MASKS_AND_ROUNDING = 0x7f80;
  private static final int ALL_MASKED_TO_NEAREST = 0x1f80;

  private QuickFloat() {}

  /** Whether rounding is to nearest and all exceptions are masked. */
  public static boolean applies(int mxcsr) {
    return (mxcsr & MASKS_AND_ROUNDING) == ALL_MASKED_TO_NEAREST;
  }

  private static boolean sticky(int mxcsr) {
    return (mxcsr & SoftFloat.PRECISION) != 0;
  }

  private static boolean normal(long x) {
    return ((x >>> 52 & 0x7ff) + 0x7ff & 0x7ff) < 0x7fe;
  }

  /**
   * Whether a rounded result is normal beyond doubt: the smallest normal number may have been
   * rounded from a value which counts as tiny.
   */
  private static boolean safe(long z) {
    return ((z >>> 52 & 0x7ff) + 0x7fe & 0x7ff) < 0x7fd;
  }

  private static boolean safeSingle(float value) {
    int z = Float.floatToRawIntBits(value);
    return ((z >>> 23 & 0xff) + 0xfe & 0xff) < 0xfd;
  }

  private static boolean zero(long x) {
    return x << 1 == 0;
  }

  /** Whether a binary64 number is normal or zero. */
  public static boolean ordinary(long x) {
    return normal(x) || zero(x);
  }

  private static boolean normalSingle(int x) {
    return ((x >>> 23 & 0xff) + 0xff & 0xff) < 0xfe;
  }

  private static boolean zeroSingle(int x) {
    return x << 1 == 0;
  }

  /** Whether a binary32 number is normal or zero. */
  public static boolean ordinarySingle(int x) {
    return normalSingle(x) || zeroSingle(x);
  }

  private static boolean exactSum(double a, double b, double sum) {
    // Knuth's error-free transformation: what is left of a and b after the sum.
    double partOfB = sum - a;
    return a - (sum - partOfB) + (b - partOfB) == 0;
  }

  private static boolean exactSum(float a, float b, float sum) {
    float partOfB = sum - a;
    return a - (sum - partOfB) + (b - partOfB) == 0;
  }

  /** Whether the product of two normal numbers has no more than 53 significant bits. */
  private static boolean exactProduct(long x, long y) {
    return significantBits(x) + significantBits(y) <= 53;
  }

  private static int significantBits(long x) {
    return 53 - Long.numberOfTrailingZeros(x | 1L << 52);
  }

  public static long add(int mxcsr, long x, long y) {
    double a = Double.longBitsToDouble(x);
    double b = Double.longBitsToDouble(y);
    double c = a + b;
    long z = Double.doubleToRawLongBits(c);
    return applies(mxcsr)
            && ordinary(x)
            && ordinary(y)
            && ordinary(z)
            && (sticky(mxcsr) || exactSum(a, b, c))
        ? z
        : NOT_QUICK;
  }

  public static long subtract(int mxcsr, long x, long y) {
    // A NaN's sign does not matter here: it is not quick.
    return add(mxcsr, x, y ^ Long.MIN_VALUE);
  }

  public static long multiply(int mxcsr, long x, long y) {
    double c = Double.longBitsToDouble(x) * Double.longBitsToDouble(y);
    long z = Double.doubleToRawLongBits(c);
    return applies(mxcsr)
            && (safe(z) && normal(x) && normal(y) && (sticky(mxcsr) || exactProduct(x, y))
                || zero(x) && ordinary(y)
                || zero(y) && ordinary(x))
        ? z
        : NOT_QUICK;
  }

  public static long divide(int mxcsr, long x, long y) {
    double c = Double.longBitsToDouble(x) / Double.longBitsToDouble(y);
    long z = Double.doubleToRawLongBits(c);
    return applies(mxcsr)
            && normal(y)
            && (safe(z)
                    && normal(x)
                    && (sticky(mxcsr)
                        || exactProduct(z, y)
                            && c * Double.longBitsToDouble(y) == Double.longBitsToDouble(x))
                || zero(x))
        ? z
        : NOT_QUICK;
  }

  public static long squareRoot(int mxcsr, long y) {
    double b = Double.longBitsToDouble(y);
    double c = Math.sqrt(b);
    long z = Double.doubleToRawLongBits(c);
    return applies(mxcsr)
            && (zero(y)
                || normal(y) && y > 0 && (sticky(mxcsr) || exactProduct(z, z) && c * c == b))
        ? z
        : NOT_QUICK;
  }

  /** MINSD: the second operand where both are equal. */
  public static long minimum(long x, long y) {
    if (!ordinary(x) || !ordinary(y)) {
      return NOT_QUICK;
    }
    return Double.longBitsToDouble(x) < Double.longBitsToDouble(y) ? x : y;
  }

  public static long maximum(long x, long y) {
    if (!ordinary(x) || !ordinary(y)) {
      return NOT_QUICK;
    }
    return Double.longBitsToDouble(x) > Double.longBitsToDouble(y) ? x : y;
  }

  private static long bits(float value) {
    return Float.floatToRawIntBits(value) & 0xffff_ffffL;
  }

  public static long addSingle(int mxcsr, int x, int y) {
    float a = Float.intBitsToFloat(x);
    float b = Float.intBitsToFloat(y);
    float c = a + b;
    return applies(mxcsr)
            && ordinarySingle(x)
            && ordinarySingle(y)
            && ordinarySingle(Float.floatToRawIntBits(c))
            && (sticky(mxcsr) || exactSum(a, b, c))
        ? bits(c)
        : NOT_QUICK;
  }

  public static long subtractSingle(int mxcsr, int x, int y) {
    return addSingle(mxcsr, x, y ^ Integer.MIN_VALUE);
  }

  public static long multiplySingle(int mxcsr, int x, int y) {
    float a = Float.intBitsToFloat(x);
    float b = Float.intBitsToFloat(y);
    float c = a * b;
    return applies(mxcsr)
            && (safeSingle(c)
                    && normalSingle(x)
                    && normalSingle(y)
                    && (sticky(mxcsr) || (double) a * b == c)
                || zeroSingle(x) && ordinarySingle(y)
                || zeroSingle(y) && ordinarySingle(x))
        ? bits(c)
        : NOT_QUICK;
  }

  public static long divideSingle(int mxcsr, int x, int y) {
    float a = Float.intBitsToFloat(x);
    float b = Float.intBitsToFloat(y);
    float c = a / b;
    return applies(mxcsr)
            && normalSingle(y)
            && (safeSingle(c) && normalSingle(x) && (sticky(mxcsr) || (double) c * b == a)
                || zeroSingle(x))
        ? bits(c)
        : NOT_QUICK;
  }

  public static long squareRootSingle(int mxcsr, int y) {
    float b = Float.intBitsToFloat(y);
    // The square root in binary64, rounded again, is the correctly rounded one of binary32.
    float c = (float) Math.sqrt(b);
    return applies(mxcsr)
            && (zeroSingle(y) || normalSingle(y) && y > 0 && (sticky(mxcsr) || (double) c * c == b))
        ? bits(c)
        : NOT_QUICK;
  }

  public static long minimumSingle(int x, int y) {
    if (!ordinarySingle(x) || !ordinarySingle(y)) {
      return NOT_QUICK;
    }
    return (Float.intBitsToFloat(x) < Float.intBitsToFloat(y) ? x : y) & 0xffff_ffffL;
  }

  public static long maximumSingle(int x, int y) {
    if (!ordinarySingle(x) || !ordinarySingle(y)) {
      return NOT_QUICK;
    }
    return (Float.intBitsToFloat(x) > Float.intBitsToFloat(y) ? x : y) & 0xffff_ffffL;
  }

  /** CVTSI2SD of 64 bits. */
  public static long fromInteger(int mxcsr, long value) {
    double c = value;
    return value == (long) c && value != Long.MAX_VALUE || applies(mxcsr) && sticky(mxcsr)
        ? Double.doubleToRawLongBits(c)
        : NOT_QUICK;
  }

  /** CVTSI2SS. */
  public static long fromIntegerSingle(int mxcsr, long value) {
    float c = value;
    return value == (long) c && value != Long.MAX_VALUE || applies(mxcsr) && sticky(mxcsr)
        ? bits(c)
        : NOT_QUICK;
  }

  /** CVTTSD2SI, and with rounding CVTSD2SI, when the number is clearly in range. */
  public static long toInteger(int mxcsr, double value, int width, boolean truncate) {
    double limit = width == 64 ? 0x1p62 : 0x1p30;
    double whole = truncate ? value : Math.rint(value);
    long integer = (long) whole;
    return applies(mxcsr)
            && Math.abs(value) < limit
            && (integer == value || sticky(mxcsr) && ordinary(Double.doubleToRawLongBits(value)))
        ? integer
        : NOT_QUICK;
  }

  /** CVTSS2SD, which is exact. */
  public static long fromSingle(int x) {
    return ordinarySingle(x) ? Double.doubleToRawLongBits(Float.intBitsToFloat(x)) : NOT_QUICK;
  }

  /** CVTSD2SS. */
  public static long toSingle(int mxcsr, long x) {
    double a = Double.longBitsToDouble(x);
    float c = (float) a;
    return applies(mxcsr) && (zero(x) || normal(x) && safeSingle(c) && (sticky(mxcsr) || c == a))
        ? bits(c)
        : NOT_QUICK;
  }
}
