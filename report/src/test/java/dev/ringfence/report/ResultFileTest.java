package dev.ringfence.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.ringfence.lab.result.ResultFile;
import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ResultFileTest {
  private static final JsonMapper JSON = new JsonMapper();

  @TempDir Path folder;
  private Path file = Path.of(ResultFile.NAME);

  @BeforeEach
  void place() {
    file = folder.resolve(ResultFile.NAME);
  }

  @Test
  void whatIsWrittenIsReadAgain() {
    for (var run : List.of(ExampleRun.complete(), ExampleRun.partial(), Hostile.run())) {
      ResultFile.write(run, file);
      assertEquals(run, ResultFile.read(file));
      assertEquals(run, ResultFile.read(folder), "the folder stands for the file in it");
    }
  }

  @Test
  void onlyTheResultIsLeftInTheFolder() throws IOException {
    ResultFile.write(ExampleRun.complete(), file);
    ResultFile.write(ExampleRun.partial(), file);
    try (var files = Files.list(folder)) {
      assertEquals(List.of(file), files.toList());
    }
  }

  @Test
  void aFileThatIsNotThereSaysWhatWritesIt() {
    assertEquals(
        file + ": no such file; a run writes its result there, see ringfence run --out", failure());
  }

  @Test
  void aFolderThatIsNotThereCannotBeWrittenTo() {
    Path absent = folder.resolve("absent").resolve("run.json");
    String message =
        assertThrows(BadInputException.class, () -> ResultFile.write(ExampleRun.complete(), absent))
            .getMessage();
    assertTrue(message.startsWith(absent + ": result cannot be written"), message);
  }

  @Test
  void brokenJsonNamesLineAndColumn() throws IOException {
    Files.writeString(file, "{\n  \"format\": 1,\n  \"policies\": [}\n");
    assertTrue(failure().contains("line 3, column 16: expected JSON"), failure());
  }

  @Test
  void anotherKindOfFileIsNamedForWhatItIs() throws IOException {
    Files.writeString(file, "{\"versions\": 1, \"machine\": 2}");
    assertTrue(failure().endsWith("found an object with versions, machine"), failure());
    Files.writeString(file, "[]");
    assertTrue(failure().endsWith("found no object"), failure());
    Files.writeString(file, "");
    assertTrue(failure().endsWith("found an empty file"), failure());
  }

  @Test
  void anotherFormatIsRefused() {
    change(run -> run.put("format", 1));
    assertEquals(
        file + ": format: expected 5, found 1; use the version of Ringfence that wrote it",
        failure());
  }

  @Test
  void aFieldThatIsMissingIsNamedByItsPath() {
    change(run -> cause(run).remove("function"));
    assertEquals(
        file + ": policies[2].causes[4].function: expected String, found nothing", failure());
  }

  @Test
  void aFieldOfAnotherTypeIsNamedByItsPath() {
    change(run -> cause(run).put("count", "many"));
    assertEquals(file + ": policies[2].causes[4].count: expected long, found many", failure());
    change(run -> cause(run).putNull("count"));
    assertTrue(failure().contains("policies[2].causes[4].count: expected long"), failure());
  }

  @Test
  void aMetricIsANumberOrText() {
    change(run -> ((ObjectNode) run.at("/metrics/0")).putArray("value"));
    assertEquals(file + ": metrics[0].value: expected a number or text, found []", failure());
  }

  @Test
  void fieldsOfLaterVersionsAreLeftOut() {
    change(run -> cause(run).put("colour", "green"));
    assertEquals(ExampleRun.complete(), ResultFile.read(file));
  }

  @Test
  void damagedFilesNeverFailOtherwise() throws IOException {
    ResultFile.write(ExampleRun.with(List.of(ExampleRun.complete().policies().getLast())), file);
    byte[] good = Files.readAllBytes(file);
    SplittableRandom random = new SplittableRandom(7);
    for (int i = 0; i < 300; i++) {
      byte[] bad = good.clone();
      for (int damage = 0; damage < 3; damage++) {
        bad[random.nextInt(bad.length)] = (byte) random.nextInt(256);
      }
      Files.write(
          file,
          random.nextBoolean() ? bad : java.util.Arrays.copyOf(bad, random.nextInt(bad.length)));
      try {
        ResultFile.read(file);
      } catch (BadInputException e) {
        assertFalse(e.getMessage().contains("\n"), e.getMessage());
      }
    }
  }

  private static ObjectNode cause(ObjectNode run) {
    return (ObjectNode) run.at("/policies/2/causes/4");
  }

  private void change(Consumer<ObjectNode> change) {
    try {
      ResultFile.write(ExampleRun.complete(), file);
      JsonNode run = JSON.readTree(file.toFile());
      change.accept((ObjectNode) run);
      Files.write(file, JSON.writeValueAsBytes(run));
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  private String failure() {
    return assertThrows(BadInputException.class, () -> ResultFile.read(file)).getMessage();
  }
}
