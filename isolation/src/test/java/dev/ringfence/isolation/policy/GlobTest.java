package dev.ringfence.isolation.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.time.Duration;
import java.util.Random;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;

final class GlobTest {
  @Test
  void randomPatternsMatchLikeTheEqualRegularExpression() {
    Random random = new Random(7);
    for (int i = 0; i < 50_000; i++) {
      String glob = text(random, "ab*?", 7);
      String name = text(random, "ab", 9);
      String expression = glob.replace("*", ".*").replace('?', '.');
      assertEquals(
          Pattern.matches(expression, name), new Glob(glob).matches(name), glob + " on " + name);
    }
  }

  private static String text(Random random, String alphabet, int longest) {
    StringBuilder text = new StringBuilder();
    int length = random.nextInt(longest + 1);
    for (int i = 0; i < length; i++) {
      text.append(alphabet.charAt(random.nextInt(alphabet.length())));
    }
    return text.toString();
  }

  @Test
  void manyWildcardsOnALongNameDoNotHang() {
    Glob glob = new Glob("a*".repeat(90) + "b");
    String name = "a".repeat(10_000);
    Assertions.assertTimeout(Duration.ofSeconds(2), () -> assertFalse(glob.matches(name)));
  }
}
