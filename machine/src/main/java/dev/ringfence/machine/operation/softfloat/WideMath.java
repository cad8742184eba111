package dev.ringfence.machine.operation.softfloat;

/** Division and square root of 128-bit integers, given as two words. */
final class WideMath {
  private static final long LOW32 = 0xffff_ffffL;

  private WideMath() {}

  /**
   * The quotient of an unsigned 128-bit number by a divisor with its top bit set; high must be less
   * than the divisor. Schoolbook division with digits of 32 bits (Knuth, The Art of Computer
   * Programming, volume 2, algorithm 4.3.1 D).
   */
  static long divide(long high, long low, long divisor) {
    long q1 = digit(high, low >>> 32, divisor);
    long rest = (high << 32 | low >>> 32) - q1 * divisor;
    long q0 = digit(rest, low & LOW32, divisor);
    return q1 << 32 | q0;
  }

  /** The digit of (rest : next) / divisor, where next has 32 bits and rest is below the divisor. */
  private static long digit(long rest, long next, long divisor) {
    long top = divisor >>> 32;
    long bottom = divisor & LOW32;
    long q = Long.divideUnsigned(rest, top);
    long r = rest - q * top;
    while (q > LOW32 || Long.compareUnsigned(q * bottom, r << 32 | next) > 0) {
      q--;
      r += top;
      if (r > LOW32) {
        break;
      }
    }
    return q;
  }

  /** The integer square root of an unsigned 128-bit number of at least 2^126. */
  static long squareRoot(long high, long low) {
    // 53 bits from the floating-point unit, which Java defines exactly.
    double estimate = Math.sqrt((high >>> 1) * 2.0) * 0x1p32;
    long root = estimate >= 0x1p64 ? -1 : (long) (estimate * 0.5) << 1;
    // One Newton step on the remainder brings the rest, up to the last bit or two.
    long remainderLow = low - root * root;
    long remainderHigh =
        high
            - Math.unsignedMultiplyHigh(root, root)
            - (Long.compareUnsigned(low, root * root) < 0 ? 1 : 0);
    double remainder = remainderHigh * 0x1p64 + ((remainderLow >>> 1) * 2.0);
    long step = (long) (remainder / ((root >>> 1) * 4.0));
    long next = root + step;
    // Near 2^64 the step may carry out of the top.
    root = step > 0 && Long.compareUnsigned(next, root) < 0 ? -1 : next;
    while (aboveRoot(root, high, low)) {
      root--;
    }
    while (root != -1 && !aboveRoot(root + 1, high, low)) {
      root++;
    }
    return root;
  }

  /** Whether candidate * candidate exceeds the number. */
  private static boolean aboveRoot(long candidate, long high, long low) {
    int order = Long.compareUnsigned(Math.unsignedMultiplyHigh(candidate, candidate), high);
    return order > 0 || order == 0 && Long.compareUnsigned(candidate * candidate, low) > 0;
  }
}
