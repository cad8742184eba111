package dev.ringfence.lab.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class AptAnswersTest {
  @TempDir private Path folder;
  private int asked;

  private List<String> ask(Path lists, String question) throws IOException {
    Path answers = Files.createDirectories(folder.resolve("answers"));
    return new AptAnswers(answers, List.of(lists))
        .get(
            "apt-cache",
            List.of(question),
            () -> {
              asked++;
              return List.of("answer " + asked, "");
            });
  }

  @Test
  void aptIsAskedOnceForEachQuestionUntilItsListsChange() throws IOException {
    Path lists = Files.createDirectories(folder.resolve("lists"));
    Files.writeString(lists.resolve("one"), "x");

    assertEquals(List.of("answer 1", ""), ask(lists, "a"));
    assertEquals(List.of("answer 1", ""), ask(lists, "a"));
    assertEquals(List.of("answer 2", ""), ask(lists, "b"));
    Files.writeString(lists.resolve("two"), "x");
    assertEquals(List.of("answer 3", ""), ask(lists, "a"));
  }

  @Test
  void withoutItsListsAptIsAlwaysAsked() throws IOException {
    assertEquals("answer 1", ask(folder.resolve("none"), "a").getFirst());
    assertEquals("answer 2", ask(folder.resolve("none"), "a").getFirst());
  }
}
