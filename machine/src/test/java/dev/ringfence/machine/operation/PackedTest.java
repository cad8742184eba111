package dev.ringfence.machine.operation;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Random;
import java.util.function.LongBinaryOperator;
import java.util.function.LongUnaryOperator;
import org.junit.jupiter.api.Test;

/** Whole-word arithmetic on packed integers against the plain definition, element by element. */
class PackedTest {
  private static final long SEED = 20250101;
  private static final long[] HIGH = {Packed.HIGH8, Packed.HIGH16, Packed.HIGH32};

  /** An operation on one element; arguments and result are sign-extended, the result is cut. */
  private interface WholeWord {
    long apply(long a, long b, long high);
  }

  private static long reference(
      long a, long b, int width, boolean signed, LongBinaryOperator element) {
    LongUnaryOperator low =
        x -> signed ? x << 64 - width >> 64 - width : x << 64 - width >>> 64 - width;
    long result = 0;
    for (int i = 0; i < 64; i += width) {
      long value = element.applyAsLong(low.applyAsLong(a >>> i), low.applyAsLong(b >>> i));
      result |= value << 64 - width >>> 64 - width << i;
    }
    return result;
  }

  /** Random words with many equal and extreme elements. */
  private static long word(Random random) {
    long value = random.nextLong();
    return switch (random.nextInt(4)) {
      case 0 -> value & 0x8080_8080_8080_8080L;
      case 1 -> value | 0x7f7f_7f7f_7f7f_7f7fL;
      case 2 -> value & 0x0101_ffff_0000_80ffL;
      default -> value;
    };
  }

  private static void check(String name, boolean signed, WholeWord word, LongBinaryOperator each) {
    Random random = new Random(SEED);
    for (int n = 0; n < 20_000; n++) {
      long a = word(random);
      long b = n % 5 == 0 ? a ^ 0xffL << random.nextInt(64) : word(random);
      for (int k = 0; k < 3; k++) {
        int width = 8 << k;
        long expected = reference(a, b, width, signed, each);
        assertEquals(
            Long.toHexString(expected),
            Long.toHexString(word.apply(a, b, HIGH[k])),
            () -> name + width + " of " + Long.toHexString(a) + ", " + Long.toHexString(b));
      }
    }
  }

  @Test
  void sumsAndComparisonsStayInsideTheirElements() {
    check("add", true, Packed::add, Long::sum);
    check("subtract", true, Packed::subtract, (a, b) -> a - b);
    check("equal", true, Packed::equal, (a, b) -> a == b ? -1 : 0);
    check("below", false, Packed::below, (a, b) -> a < b ? -1 : 0);
    check("greater", true, Packed::greater, (a, b) -> a > b ? -1 : 0);
    check("minimumUnsigned", false, Packed::minimumUnsigned, Math::min);
    check("maximumUnsigned", false, Packed::maximumUnsigned, Math::max);
    check("minimumSigned", true, Packed::minimumSigned, Math::min);
    check("maximumSigned", true, Packed::maximumSigned, Math::max);
    check("absolute", true, (a, b, high) -> Packed.absolute(a, high), (a, b) -> Math.abs(a));
    check("sign", true, Packed::sign, (a, b) -> a * Long.signum(b));
  }

  @Test
  void saturationStopsAtTheLimitsOfTheElement() {
    for (int k = 0; k < 2; k++) {
      long high = HIGH[k];
      long top = 1L << (8 << k) - 1;
      saturated(
          "addSigned",
          high,
          k,
          true,
          Packed::addSignedSaturated,
          (a, b) -> Math.clamp(a + b, -top, top - 1));
      saturated(
          "subtractSigned",
          high,
          k,
          true,
          Packed::subtractSignedSaturated,
          (a, b) -> Math.clamp(a - b, -top, top - 1));
      saturated(
          "addUnsigned",
          high,
          k,
          false,
          Packed::addUnsignedSaturated,
          (a, b) -> Math.min(a + b, 2 * top - 1));
      saturated(
          "subtractUnsigned",
          high,
          k,
          false,
          Packed::subtractUnsignedSaturated,
          (a, b) -> Math.max(a - b, 0));
    }
  }

  private static void saturated(
      String name, long high, int k, boolean signed, WholeWord word, LongBinaryOperator each) {
    Random random = new Random(SEED);
    for (int n = 0; n < 20_000; n++) {
      long a = word(random);
      long b = word(random);
      assertEquals(reference(a, b, 8 << k, signed, each), word.apply(a, b, high), name);
    }
  }

  @Test
  void averagesRoundUp() {
    Random random = new Random(SEED);
    for (int n = 0; n < 20_000; n++) {
      long a = word(random);
      long b = word(random);
      assertEquals(reference(a, b, 8, false, (x, y) -> x + y + 1 >> 1), Packed.averageBytes(a, b));
      assertEquals(reference(a, b, 16, false, (x, y) -> x + y + 1 >> 1), Packed.averageWords(a, b));
    }
  }

  @Test
  void moveMaskCollectsTopBits() {
    Random random = new Random(SEED);
    for (int n = 0; n < 20_000; n++) {
      long a = random.nextLong();
      long expected = 0;
      for (int i = 0; i < 8; i++) {
        expected |= (a >>> 8 * i + 7 & 1) << i;
      }
      assertEquals(expected, Packed.moveMask(a));
    }
  }
}
