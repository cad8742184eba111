package dev.ringfence.oracle;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Cases that once failed. Each file holds a state, an instruction, and what a real processor made
 * of it, so that replaying needs no such processor. {@code ./ringfence fuzz instructions --keep
 * FOLDER} writes such files.
 */
final class KeptCasesTest {
  private static final Forms FORMS = Forms.all();
  private static final Path FOLDER =
      Path.of(
          System.getProperty("ringfence.root"),
          "oracle/src/test/resources/dev/ringfence/oracle/kept");

  /** Executions after which HotSpot has compiled what is translated. */
  private static final int STEADY = 20_000;

  static Stream<Path> cases() throws IOException {
    try (Stream<Path> files = Files.list(FOLDER)) {
      return files.sorted().toList().stream();
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void aCaseThatOnceFailedPasses(Path file) throws IOException {
    CaseRecord input = new CaseRecord();
    CaseRecord wanted = new CaseRecord();
    String name = CaseText.parse(file.toString(), Files.readAllLines(file), input, wanted);
    Form form = FORMS.find(name);
    assertNotNull(form, () -> file + ": no form is named " + name);

    for (boolean translated : new boolean[] {false, true}) {
      CaseRecord got = new CaseRecord();
      MachineExecutor machine = new MachineExecutor(translated);

      machine.execute(input, got);

      assertEquals(List.of(), new Comparison(form).differences(input, wanted, got));

      for (int i = 0; i < STEADY; i++) {
        machine.execute(input, got);
      }

      assertEquals(List.of(), new Comparison(form).differences(input, wanted, got));
    }
  }

  @Test
  void aCaseIsTheSameAfterItWasWrittenAndRead() {
    Form form = FORMS.list().getFirst();
    CaseRecord input = new CaseRecord();
    new CaseGenerator(form, 1).generate(3, input);
    String text = CaseText.format(form.name(), input);

    CaseRecord read = new CaseRecord();
    String name = CaseText.parse("a test", text.lines().toList(), read, new CaseRecord());

    assertEquals(form.name(), name);
    assertFalse(text.isEmpty());
    assertEquals(-1, input.segment().mismatch(read.segment()));
  }
}
