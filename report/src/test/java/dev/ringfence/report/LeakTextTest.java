package dev.ringfence.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.result.LeakMatrix.Column;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

final class LeakTextTest {
  private static LeakMatrix withColumns(int count) {
    LeakMatrix matrix = ExampleLeaks.matrix();
    return new LeakMatrix(
        matrix.cpuModel(),
        matrix.seed(),
        matrix.state(),
        matrix.reason(),
        IntStream.range(0, count)
            .mapToObj(
                i -> i < 5 ? matrix.columns().get(i) : new Column("column-" + i, "", "", "", ""))
            .toList(),
        matrix.rows(),
        matrix.cells());
  }

  @Test
  void aSmallMatrixNamesItsColumnsAndOutcomes() {
    LeakMatrix whole = ExampleLeaks.matrix();
    LeakMatrix matrix = withColumns(4);
    List<String> lines = LeakText.lines(matrix);
    assertEquals("Secrets that came out on skylake-server, seed 4711", lines.getFirst());
    assertEquals(
        List.of("attack", "target", "none", "linux-default", "linux-l1d-flush", "google-2025"),
        List.of(lines.get(1).split(" +")));
    assertEquals(
        List.of("meltdown", "process", "leaked", "-", "n/a", "-"),
        List.of(lines.get(2).split(" +")));
    assertEquals(
        List.of("", "kernel-key", "leaked", "-", "n/a", "leaked"),
        List.of(lines.get(3).split(" +")));
    assertTrue(
        lines.contains("  n/a linux-l1d-flush: No virtual machine runs here."), lines.toString());
    long unexpected = whole.cells().stream().filter(cell -> !cell.agrees()).count();
    assertEquals(
        unexpected, lines.stream().filter(line -> line.startsWith("NOT AS PUBLISHED")).count());
  }

  @Test
  void aWideMatrixHasLettersAndALegend() {
    List<String> lines = LeakText.lines(withColumns(28));
    assertTrue(lines.stream().allMatch(line -> line.length() <= TextReport.WIDTH));
    assertTrue(lines.get(1).endsWith(" Y Z AA AB"), lines.get(1));
    assertTrue(lines.get(2).matches("meltdown +process +X +- +[.] +- +-"), lines.get(2));
    // A secret came out that should not have, and an attack could not be tried.
    assertTrue(lines.get(6).matches("spectre-v2 +process +X +- +[.] +- +X!"), lines.get(6));
    assertTrue(lines.get(4).matches("l1tf +process +X +- +[.] +- +[?]!"), lines.get(4));
    assertTrue(
        lines.stream()
            .anyMatch(line -> line.matches(" *E +google-2025-without-ibpb +What google.* is")),
        lines.toString());
  }

  @Test
  void aMatrixThatWasLeftOutIsALine() {
    assertEquals(
        List.of("No attacks: left out by --no-attacks"),
        LeakText.lines(LeakMatrix.leftOut("skylake-server", "left out by --no-attacks")));
  }
}
