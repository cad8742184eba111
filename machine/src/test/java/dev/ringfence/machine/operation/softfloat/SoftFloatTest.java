package dev.ringfence.machine.operation.softfloat;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Arithmetic against the JVM's own, and in the extended format against BigDecimal. */
class SoftFloatTest {
  private static final long SEED = Long.getLong("ringfence.seed", 20250101);
  private static final int CASES = 300_000;
  private static final int MASKED = 0x1f80;

  @Test
  void binary64EqualsTheOperatorsOfJava() {
    Random random = new Random(SEED);
    for (int n = 0; n < CASES; n++) {
      long a = random.nextLong();
      long b = n % 2 == 0 ? random.nextLong() : a + (random.nextLong() >> 12 + random.nextInt(50));
      double x = Double.longBitsToDouble(a);
      double y = Double.longBitsToDouble(b);
      check(Arithmetic.ADD, a, b, x + y);
      check(Arithmetic.SUBTRACT, a, b, x - y);
      check(Arithmetic.MULTIPLY, a, b, x * y);
      check(Arithmetic.DIVIDE, a, b, x / y);
      check(Arithmetic.SQUARE_ROOT, a, b, Math.sqrt(y));
    }
  }

  private static void check(Arithmetic operation, long a, long b, double expected) {
    long result = Binary64.compute(SoftFloat.ofMxcsr(MASKED), operation, a, b);
    assertEquals(
        Double.doubleToLongBits(expected),
        Double.doubleToLongBits(Double.longBitsToDouble(result)),
        () -> "seed %d: %s %x, %x".formatted(SEED, operation, a, b));
  }

  @Test
  void binary32EqualsTheOperatorsOfJava() {
    Random random = new Random(SEED);
    for (int n = 0; n < CASES; n++) {
      int a = random.nextInt();
      int b = n % 2 == 0 ? random.nextInt() : a + (random.nextInt() >> 8 + random.nextInt(20));
      float x = Float.intBitsToFloat(a);
      float y = Float.intBitsToFloat(b);
      check(Arithmetic.ADD, a, b, x + y);
      check(Arithmetic.SUBTRACT, a, b, x - y);
      check(Arithmetic.MULTIPLY, a, b, x * y);
      check(Arithmetic.DIVIDE, a, b, x / y);
      check(Arithmetic.SQUARE_ROOT, a, b, (float) Math.sqrt(y));
    }
  }

  private static void check(Arithmetic operation, int a, int b, float expected) {
    int result = Binary32.compute(SoftFloat.ofMxcsr(MASKED), operation, a, b);
    assertEquals(
        Float.floatToIntBits(expected),
        Float.floatToIntBits(Float.intBitsToFloat(result)),
        () -> "seed %d: %s %x, %x".formatted(SEED, operation, a, b));
  }

  /** The exact value of a normal number. */
  private static BigDecimal valueOf(int se, long m) {
    BigDecimal magnitude =
        new BigDecimal(new java.math.BigInteger(Long.toUnsignedString(m)))
            .multiply(power((se & Extended.EXPONENT) - Extended.BIAS - 63));
    return (se & Extended.SIGN) != 0 ? magnitude.negate() : magnitude;
  }

  private static BigDecimal power(int exponent) {
    BigDecimal two = BigDecimal.TWO;
    return exponent >= 0 ? two.pow(exponent) : BigDecimal.ONE.divide(two.pow(-exponent));
  }

  @Test
  void extendedResultsAreTheNearestNumbers() {
    Random random = new Random(SEED);
    for (int n = 0; n < 5_000; n++) {
      int seA = Extended.BIAS - 30 + random.nextInt(60) | random.nextInt(2) << 15;
      int seB = Extended.BIAS - 30 + random.nextInt(60) | random.nextInt(2) << 15;
      long mA = random.nextLong() << random.nextInt(40) | Extended.INTEGER_BIT;
      long mB = random.nextLong() << random.nextInt(40) | Extended.INTEGER_BIT;
      BigDecimal a = valueOf(seA, mA);
      BigDecimal b = valueOf(seB, mB);
      SoftFloat unit = SoftFloat.ofX87(0x37f);
      unit.add(seA, mA, seB, mB);
      nearest(unit, a.add(b));
      unit.multiply(seA, mA, seB, mB);
      nearest(unit, a.multiply(b));
      unit.divide(seA, mA, seB, mB);
      nearest(unit, a.divide(b, new MathContext(60, RoundingMode.DOWN)));
      unit.squareRoot(seA & Extended.EXPONENT, mA);
      nearest(unit, a.abs().sqrt(new MathContext(60, RoundingMode.DOWN)));
    }
  }

  /** The result is within half a unit in the last place of the exact value. */
  private static void nearest(SoftFloat unit, BigDecimal exact) {
    if (exact.signum() == 0) {
      assertEquals(0, unit.significand, "seed " + SEED);
      return;
    }
    BigDecimal error = valueOf(unit.signExponent, unit.significand).subtract(exact).abs();
    int lastPlace = (unit.signExponent & Extended.EXPONENT) - Extended.BIAS - 63;
    assertTrue(
        error.compareTo(power(lastPlace - 1)) <= 0,
        () -> "seed %d: %x:%x for %s".formatted(SEED, unit.signExponent, unit.significand, exact));
  }
}
