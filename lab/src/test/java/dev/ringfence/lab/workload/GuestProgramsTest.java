package dev.ringfence.lab.workload;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.guest.Compiler;
import dev.ringfence.lab.guest.GuestCache;
import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The programs in guest/workloads, and how they are compiled. */
final class GuestProgramsTest {
  private static final Path SOURCES =
      Path.of(System.getProperty("ringfence.root"), "guest", "workloads");

  @TempDir private Path folder;

  private Compiler compiler(String cache, List<String> progress) {
    return new Compiler(new GuestCache(folder.resolve(cache)), progress::add);
  }

  private static List<MatchResult> matches(String file, String pattern) throws IOException {
    return Pattern.compile(pattern)
        .matcher(Files.readString(SOURCES.resolve(file)))
        .results()
        .toList();
  }

  @Test
  void theHeaderHasTheNumbersOfTheMarkers() throws IOException {
    List<MatchResult> numbers = matches("marker.h", "RINGFENCE_([A-Z_]+) = ([0-9]+)");
    assertEquals(Marker.values().length, numbers.size());
    for (MatchResult number : numbers) {
      Marker marker = Marker.valueOf(number.group(1));
      assertEquals(marker.operation(), Integer.parseInt(number.group(2)));
      assertEquals(marker, Marker.of(marker.operation()).orElseThrow());
    }
    assertTrue(Marker.of(0).isEmpty());
    String leaf = matches("marker.h", "RINGFENCE_LEAF 0x([0-9a-f]+)").getFirst().group(1);
    assertEquals(Marker.LEAF, Integer.parseInt(leaf, 16));
  }

  @Test
  void phasesOfSyscallsAreThoseOfItsProgramInTheSameOrder() throws IOException {
    assertEquals(
        matches("syscalls.c", "\\{ \"([a-z0-9-]+)\", [0-9]+, bench_").stream()
            .map(match -> match.group(1))
            .toList(),
        Workload.load("syscalls").phases());
  }

  @Test
  void equalSourcesGiveEqualProgramsAndAreCompiledOnce() throws IOException {
    List<String> progress = new ArrayList<>();
    Compiler first = compiler("one", progress);
    Path program = first.compile(SOURCES.resolve("ringfence-mark.c"));
    assertEquals(program, first.compile(SOURCES.resolve("ringfence-mark.c")));
    assertEquals(List.of("compiling ringfence-mark.c"), progress);
    Path other = folder.resolve("other");
    Files.createDirectories(other);
    for (String name : List.of("marker.h", "real-mode-machine.h", "ringfence-mark.c")) {
      Files.copy(SOURCES.resolve(name), other.resolve(name));
    }
    Path again = compiler("two", progress).compile(other.resolve("ringfence-mark.c"));
    assertArrayEquals(Files.readAllBytes(program), Files.readAllBytes(again));
    assertEquals(program.getFileName(), again.getFileName());
    Files.writeString(other.resolve("marker.h"), "\n#define OTHER 1\n");
    assertThrows(
        BadInputException.class,
        () -> compiler("two", progress).compile(other.resolve("ringfence-mark.c")));
  }

  @Test
  void programsOfAnyFolderMayIncludeTheCommonHeaders() throws IOException {
    Path source =
        Files.writeString(
            folder.resolve("own.c"),
            """
            #include "virtual-machine.h"

            int main(void)
            {
            	return DONE_PORT;
            }
            """);
    Path program = compiler("one", new ArrayList<>()).compile(source);
    String content = Files.readString(program, StandardCharsets.ISO_8859_1);
    assertFalse(content.contains(System.getProperty("ringfence.root")));
  }

  @Test
  void aMistakeInASourceIsTheCompilersMessage() throws IOException {
    Path source =
        Files.writeString(folder.resolve("broken.c"), "int main(void)\n{\n\treturn x;\n}\n");
    BadInputException refused =
        assertThrows(
            BadInputException.class, () -> compiler("one", new ArrayList<>()).compile(source));
    assertTrue(refused.getMessage().contains("broken.c:3:"), refused.getMessage());
    assertTrue(refused.getMessage().contains("undeclared"), refused.getMessage());
  }

  @Test
  void marksAreHarmlessOnAnyProcessorAndWrongOnesAreRefused()
      throws IOException, InterruptedException {
    String program =
        compiler("one", new ArrayList<>()).compile(SOURCES.resolve("ringfence-mark.c")).toString();
    for (List<String> arguments : List.of(List.of("begin"), List.of("phase-end", "3"))) {
      assertEquals(0, status(program, arguments), arguments::toString);
    }
    for (List<String> arguments :
        List.of(
            List.<String>of(),
            List.of("start"),
            List.of("phase-begin"),
            List.of("phase-begin", "-1"))) {
      assertNotEquals(0, status(program, arguments), arguments::toString);
    }
  }

  private static int status(String program, List<String> arguments)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of(program));
    command.addAll(arguments);
    return new ProcessBuilder(command).redirectErrorStream(true).start().waitFor();
  }
}
