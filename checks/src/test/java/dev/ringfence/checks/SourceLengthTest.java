package dev.ringfence.checks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** A file holds one concept; one that grows past this limit holds more than one. */
final class SourceLengthTest {
  private static final int LIMIT = 1200;

  @Test
  void noSourceFileIsTooLong() throws IOException {
    List<Path> sources = SourceTree.javaSources();
    assertTrue(sources.size() > 10, "expected the sources of all modules, found " + sources);
    List<String> tooLong = new ArrayList<>();
    for (Path file : sources) {
      int lines = Files.readAllLines(file).size();
      if (lines > LIMIT) {
        tooLong.add(
            "%s has %d lines, expected at most %d"
                .formatted(SourceTree.relative(file), lines, LIMIT));
      }
    }
    assertEquals("", String.join("\n", tooLong), "files of more than " + LIMIT + " lines");
  }
}
