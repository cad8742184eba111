package dev.ringfence.oracle;

import java.time.Duration;

/**
 * A program that has translations of instructions executed so often that the JVM's compilers have
 * made machine code of them, and compares the last outcomes with those of the real processor. It
 * wants a JVM with {@code -Xbatch}, which waits for its compilers.
 */
final class SteadyInstructions {
  /** Cases of a form: those of one encoding, so of one translation. */
  private static final int CASES = 20;

  private SteadyInstructions() {}

  /**
   * Prints a summary, and the first differences.
   *
   * @param arguments seed, repetitions, and N to choose one form of N
   */
  public static void main(String[] arguments) {
    long seed = Long.parseLong(arguments[0]);
    try (InstructionFuzz fuzz = InstructionFuzz.start(true)) {
      InstructionFuzz.Summary summary =
          fuzz.run(
              new InstructionFuzz.Options(
                  seed,
                  CASES,
                  "",
                  0,
                  Duration.ZERO,
                  Integer.parseInt(arguments[1]),
                  Integer.parseInt(arguments[2])),
              (form, forms, cases, failures) -> {});
      summary.failures().stream()
          .limit(20)
          .forEach(failure -> {
            System.out.printf(
                "%s, case %d: %s%n", failure.form(), failure.number(), failure.code());
            failure.differences().forEach(line -> System.out.println("  " + line));
            System.out.printf(
                "  again: ./ringfence fuzz instructions --seed %d --form '%s' --case %d --cases 1"
                    + " --translated --steady%n",
                seed, failure.form(), failure.number());
          });
      System.out.printf(
          "seed %d: %d forms, %d cases, %d forms differ, %d ms%n",
          seed,
          summary.forms(),
          summary.cases(),
          summary.failures().size(),
          summary.elapsed().toMillis());
    }
  }
}
