package dev.ringfence.oracle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * What both compilers of HotSpot make of translated instructions, against the host's processor.
 * Forms are chosen anew in each run; RINGFENCE_SEED chooses those of another run. All forms: {@code
 * ./ringfence fuzz instructions --cases 20 --translated --steady}.
 */
@Tag("slow")
final class SteadyInstructionsTest {
  /** Of C2, whose compilation of one form takes many milliseconds. */
  private static final int ONE_FORM_OF = 40;

  /** Twenty cases each: HotSpot compiles with C1 alone after 200 invocations. */
  private static final int REPETITIONS_FOR_FIRST_COMPILER = 15;

  @Test
  void theSecondCompilersCodeDoesWhatTheRealProcessorDoes()
      throws IOException, InterruptedException {
    int forms = compare(InstructionFuzz.Options.STEADY, ONE_FORM_OF);
    assertTrue(forms >= 200, "only " + forms + " forms");
  }

  @Test
  void theFirstCompilersCodeDoesWhatTheRealProcessorDoes()
      throws IOException, InterruptedException {
    int forms = compare(REPETITIONS_FOR_FIRST_COMPILER, 2, "-XX:TieredStopAtLevel=1");
    assertTrue(forms >= 2000, "only " + forms + " forms");
  }

  /** Compares in a JVM of its own; returns the number of forms. */
  private static int compare(int repetitions, int oneFormOf, String... flags)
      throws IOException, InterruptedException {
    String missing = InstructionFuzz.missing();
    assumeTrue(missing.isEmpty(), missing);
    String chosen = System.getenv("RINGFENCE_SEED");
    String seed =
        chosen == null ? Integer.toString(ThreadLocalRandom.current().nextInt(1_000_000)) : chosen;
    String root = System.getProperty("ringfence.root");
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.add("@" + Path.of(root, "jvm.options"));
    command.add("-Xbatch");
    command.addAll(List.of(flags));
    command.add("-Dringfence.root=" + root);
    command.add("-cp");
    command.add(
        String.join(
            File.pathSeparator,
            Path.of(root, "oracle", "target", "test-classes").toString(),
            Path.of(root, "oracle", "target", "classes").toString(),
            System.getProperty("jdk.module.path", ""),
            System.getProperty("java.class.path")));
    command.add(SteadyInstructions.class.getName());
    command.addAll(List.of(seed, Integer.toString(repetitions), Integer.toString(oneFormOf)));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    System.out.println(printed);
    assertEquals(0, process.waitFor(), printed);
    Matcher summary = Pattern.compile("(\\d+) forms, \\d+ cases, 0 forms differ").matcher(printed);
    assertTrue(summary.find(), printed);
    return Integer.parseInt(summary.group(1));
  }
}
