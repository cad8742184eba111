package dev.ringfence.lab.attack;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.MathContext;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

final class JudgeTest {
  private static final MathContext PRECISION = new MathContext(40);

  private static AttackOutput output(int bytes, String text) {
    AttackOutput output = new AttackOutput(bytes);
    for (byte value : text.getBytes(StandardCharsets.ISO_8859_1)) {
      output.write(value & 0xff);
    }
    return output;
  }

  /** The tail of the binomial distribution in exact arithmetic. */
  private static double exactTail(int right, int of) {
    BigInteger ways = BigInteger.ZERO;
    BigInteger choose = BigInteger.ONE;
    for (int k = 0; k <= of; k++) {
      if (k >= right) {
        ways = ways.add(choose.multiply(BigInteger.valueOf(255).pow(of - k)));
      }
      choose = choose.multiply(BigInteger.valueOf(of - k)).divide(BigInteger.valueOf(k + 1));
    }
    return new BigDecimal(ways)
        .divide(new BigDecimal(BigInteger.valueOf(256).pow(of)), PRECISION)
        .doubleValue();
  }

  @Test
  void theChanceOfAGuessIsTheExactTail() {
    for (int of : new int[] {1, 2, 8, 16, 64, 300}) {
      for (int right = 0; right <= of; right++) {
        double exact = exactTail(right, of);
        // The smallest numbers have few digits.
        double tolerance = exact * 1e-9 + Double.MIN_NORMAL;
        assertEquals(exact, Judge.tail(right, of), tolerance, right + " of " + of);
      }
    }
    assertEquals(1.0 / 256, Judge.tail(1, 1), 1e-15);
  }

  @Test
  void fiveOfEightBytesAreALeakAndFourMayBeAGuess() {
    Secret secret =
        Secret.ofBytes(
            (byte) 1, (byte) 2, (byte) 3, (byte) 4, (byte) 5, (byte) 6, (byte) 7, (byte) 8);
    StringBuilder lines = new StringBuilder();
    for (int i = 0; i < 5; i++) {
      assertFalse(
          Judge.score(secret, output(8, lines.toString()), 1000).leaked(), lines.toString());
      lines.append("byte %d %02x 99.5\n".formatted(i, i + 1));
    }
    Judge.Score score = Judge.score(secret, output(8, lines.toString()), 2_000_000);
    assertTrue(score.leaked());
    assertEquals(5, score.right());
    assertEquals(8, score.of());
    // 40 bits in 2 ms.
    assertEquals(20_000, score.bitsPerSecond(), 1e-6);
  }

  @Test
  void whoKnowsNothingScoresAsChance() {
    SplittableRandom random = new SplittableRandom(7);
    int runs = 2_000;
    int right = 0;
    int leaks = 0;
    double chances = 0;
    for (int run = 0; run < runs; run++) {
      StringBuilder lines = new StringBuilder();
      for (int i = 0; i < 16; i++) {
        lines.append("byte %d %02x 100\n".formatted(i, random.nextInt(256)));
      }
      Judge.Score score = Judge.score(Secret.of(run, "guess", 16), output(16, lines.toString()), 1);
      right += score.right();
      leaks += score.leaked() ? 1 : 0;
      chances += score.chance();
    }
    assertEquals(0, leaks);
    // 32,000 guesses: 125 right on average, standard deviation 11.2; five of these to either side.
    assertTrue(right > 69 && right < 181, right + " right");
    // Few guesses are right at all, so the chance of as many is mostly 1.
    assertTrue(chances / runs > 0.9, "mean chance " + chances / runs);
  }

  @Test
  void oneAnswerToEverythingScoresAsChance() {
    for (int answer = 0; answer < 256; answer++) {
      StringBuilder lines = new StringBuilder();
      for (int i = 0; i < 16; i++) {
        lines.append("byte %d %02x 100\n".formatted(i, answer));
      }
      assertFalse(
          Judge.score(Secret.of(answer, "constant", 16), output(16, lines.toString()), 1).leaked());
    }
  }

  @Test
  void nothingPrintedIsNothingRight() {
    Judge.Score score = Judge.score(Secret.of(1, "nothing", 8), output(8, ""), 0);
    assertEquals(0, score.right());
    assertEquals(1, score.chance());
    assertEquals(0, score.bitsPerSecond());
  }

  @Test
  void secretsFollowFromSeedAndPurpose() {
    Secret secret = Secret.of(5, "meltdown", 40);
    assertEquals(secret.hexadecimal(), Secret.of(5, "meltdown", 40).hexadecimal());
    assertNotEquals(secret.hexadecimal(), Secret.of(6, "meltdown", 40).hexadecimal());
    assertNotEquals(secret.hexadecimal(), Secret.of(5, "ridl", 40).hexadecimal());
    assertEquals(40, secret.bytes().length);
    // The second block differs from the first.
    assertNotEquals(secret.hexadecimal().substring(0, 16), secret.hexadecimal().substring(64, 80));
    int[] counts = new int[256];
    byte[] many = Secret.of(9, "many", 25_600).bytes();
    for (byte value : many) {
      counts[value & 0xff]++;
    }
    for (int count : counts) {
      // Poisson of 100: six standard deviations to either side.
      assertTrue(count > 40 && count < 160, "a value " + count + " times");
    }
  }

  @Test
  void linesOfTheProtocolAreReadAndOthersAreNotes() {
    AttackOutput output =
        output(
            3,
            """
            # calibrating
            byte 0 A7 87.25
            byte 0 b1 99
            byte 1 ?? 0
            byte 3 00 100
            byte -1 00 100
            byte 2 100 100
            done
            ended 0
            """);
    assertEquals("b1????", output.hexadecimal());
    assertEquals(List.of(99.0, 0.0, 0.0), output.confidences());
    assertTrue(output.done());
    assertTrue(output.ended());
    assertEquals(0, output.status());
    assertEquals(
        List.of("# calibrating", "byte 3 00 100", "byte -1 00 100", "byte 2 100 100"),
        output.notes());
  }

  @Test
  void whatAnAttackMayPrintIsBounded() {
    AttackOutput output = new AttackOutput(4);
    SplittableRandom random = new SplittableRandom(3);
    for (int i = 0; i < 1_000_000; i++) {
      output.write(random.nextInt(256));
    }
    for (int i = 0; i < 1_000_000; i++) {
      output.write('x');
    }
    output.write('\n');
    assertTrue(output.notes().size() <= 40);
    assertTrue(output.notes().stream().allMatch(note -> note.length() <= 240));
    for (char c : "byte 3 ff 1\n".toCharArray()) {
      output.write(c);
    }
    assertEquals(HexFormat.fromHexDigits("ff"), output.value(3));
  }

  @Test
  void aReasonWhyAnAttackCannotRunIsKept() {
    AttackOutput output = output(1, "unsupported the processor has no RTM\nended 77\n");
    assertEquals("the processor has no RTM", output.unsupported());
    assertTrue(output(1, "failed set-up 2\n").ended());
  }
}
