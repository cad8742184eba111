package dev.ringfence.oracle;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.time.Duration;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Every form of every instruction that user programs can execute, against the host's processor.
 * {@code -Dringfence.seed=N} or RINGFENCE_SEED chooses other cases.
 */
@Tag("slow")
final class InstructionFuzzTest {
  private static final int STATES = 500;

  static long seed() {
    String environment = System.getenv("RINGFENCE_SEED");
    return Long.getLong("ringfence.seed", environment == null ? 1 : Long.parseLong(environment));
  }

  /** Fewer states, because each form costs a class and is executed by the JVM's interpreter. */
  private static final int TRANSLATED_STATES = 60;

  @Test
  void theMachineDoesWhatTheRealProcessorDoes() {
    compare(false, STATES);
  }

  @Test
  void translatedCodeDoesWhatTheRealProcessorDoes() {
    compare(true, TRANSLATED_STATES);
  }

  private static void compare(boolean translated, int states) {
    String missing = InstructionFuzz.missing();
    assumeTrue(missing.isEmpty(), missing);
    InstructionFuzz.Summary summary;
    try (InstructionFuzz fuzz = InstructionFuzz.start(translated)) {
      summary =
          fuzz.run(
              new InstructionFuzz.Options(seed(), states, "", 0, Duration.ZERO),
              (form, forms, cases, failures) -> {});
    }
    System.out.printf(
        "%s: %d forms, %d cases, %d exceptions, %d ms; skipped %s%n",
        InstructionFuzz.hostDescription(),
        summary.forms(),
        summary.cases(),
        summary.exceptions(),
        summary.elapsed().toMillis(),
        summary.skippedForms());
    assertTrue(summary.forms() >= 2000, "expected at least 2,000 forms, got " + summary.forms());
    assertTrue(
        summary.failures().isEmpty(),
        () ->
            summary.failures().stream()
                .map(failure ->
                    "%s case %d: %s%n  %s%n  again: ./ringfence fuzz instructions --seed %d --form '%s' --case %d --cases 1%s"
                        .formatted(
                            failure.form(),
                            failure.number(),
                            failure.code(),
                            String.join("\n  ", failure.differences()),
                            seed(),
                            failure.form(),
                            failure.number(),
                            translated ? " --translated" : ""))
                .limit(20)
                .collect(
                    Collectors.joining(
                        "\n", summary.failures().size() + " forms differ:\n", "\n")));
  }
}
