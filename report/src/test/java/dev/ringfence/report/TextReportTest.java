package dev.ringfence.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.result.Metric;
import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.PolicyResult.Cause;
import dev.ringfence.lab.result.Range;
import dev.ringfence.lab.result.RunResult;
import dev.ringfence.machine.BadInputException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class TextReportTest {
  private static final RunResult RUN = ExampleRun.complete();

  @Test
  void linesFitTheTerminal() {
    for (RunResult run : List.of(RUN, ExampleRun.partial(), Hostile.run())) {
      for (String line : TextReport.lines(run)) {
        assertTrue(line.length() <= TextReport.WIDTH, line);
      }
    }
  }

  @Test
  void everyPolicyHasARowWhoseFiguresAreThoseOfTheRun() {
    List<String> table = TextReport.comparison(RUN);
    for (PolicyResult policy : RUN.policies()) {
      String row =
          table.stream()
              .filter(line -> line.startsWith(policy.name() + " "))
              .findFirst()
              .orElseThrow();
      assertEquals(
          value(policy, "exits"), Long.parseLong(row.split(" {2,}")[1].replace(",", "")), row);
    }
  }

  @Test
  void columnsAreAligned() {
    List<String> table = TextReport.comparison(RUN);
    int end = table.getFirst().indexOf("exits") + "exits".length();
    for (String row : table.subList(1, 1 + RUN.policies().size())) {
      assertTrue(Character.isDigit(row.charAt(end - 1)), row);
      assertEquals(' ', row.charAt(end), row);
    }
  }

  @Test
  void eachPolicyWithCausesShowsItsFiveCostliest() {
    List<String> lines = TextReport.causes(RUN);
    long tables = lines.stream().filter(line -> line.contains("costliest causes of")).count();
    assertEquals(
        RUN.policies().stream().filter(policy -> !policy.causes().isEmpty()).count(), tables);
    assertEquals(tables * 5, lines.stream().filter(line -> line.matches(" *[1-5]  .*")).count());
    assertTrue(
        lines.stream()
            .anyMatch(line -> line.contains("clear_page_erms") && line.contains("page fault")));
  }

  @Test
  void countsThatAreTooWideAreShortened() {
    List<String> table = TextReport.comparison(wide(6));
    assertTrue(table.stream().allMatch(line -> line.length() <= TextReport.WIDTH));
    assertTrue(table.stream().anyMatch(line -> line.contains("9.22E")), table.toString());
  }

  @Test
  void flushesThatDoNotFitAtAllFollowInATableOfTheirOwn() {
    List<String> table = TextReport.comparison(wide(20));
    assertTrue(table.stream().allMatch(line -> line.length() <= TextReport.WIDTH));
    assertTrue(
        table.stream().anyMatch(line -> line.matches("policy +flush +count")), table.toString());
    assertTrue(table.stream().anyMatch(line -> line.contains("kind-19")));
  }

  @Test
  void aPartialRunSaysSoFirst() {
    assertTrue(
        TextReport.lines(ExampleRun.partial()).getFirst().startsWith("PARTIAL: interrupted"));
  }

  @Test
  void theTerminalObeysNothingThatAKernelNames() {
    List<String> lines = new ArrayList<>(TextReport.lines(Hostile.run()));
    lines.addAll(TextReport.explain(Hostile.run(), Hostile.NAME, 1));
    lines.addAll(TextReport.explainMachines(Hostile.run(), Hostile.NAME));
    for (String line : lines) {
      assertTrue(line.chars().noneMatch(c -> Character.isISOControl(c) || c == '\u2028'), line);
    }
  }

  @Test
  void explainTellsAllAboutACause() {
    Cause cause = RUN.policies().get(2).causes().get(3);
    String text = String.join("\n", TextReport.explain(RUN, "google-2025", 4));
    for (String frame : cause.example()) {
      assertTrue(text.contains("\n  " + frame), frame);
    }
    for (String part :
        List.of(cause.type(), cause.field(), cause.entry(), cause.data(), cause.address())) {
      assertTrue(text.contains(part), part);
    }
    assertTrue(text.contains("offset     byte 24 of objects of 256 bytes"), text);
    assertTrue(text.contains("%,d exits".formatted(cause.count())), text);
    assertTrue(text.contains("15.0 MiB"), text);
  }

  @Test
  void explainTellsWhereInAFileACauseReads() {
    Cause first = RUN.policies().get(2).causes().getFirst();
    assertEquals("page-cache", first.kind());
    String text = String.join("\n", TextReport.explain(RUN, "google-2025", 1));
    assertTrue(text.contains("offset     bytes 0 to 20,479 of the file"), text);
  }

  @Test
  void eachVirtualMachineHasATableOfWhatAnExitCosts() {
    List<String> lines = TextReport.lines(RUN);
    int title =
        lines.indexOf(
            "Virtual machine of tenant-a (process 41): 4,508 VM exits, 500 handed to the process");
    assertTrue(title > 0, lines.toString());
    assertEquals(
        List.of("policy", "restricted", "cycles", "in l1d-never", "in l1d-always"),
        cells(lines, title + 1));
    assertEquals(
        List.of("kernel itself", "512 to 14.0k", "0", "512 to 14.0k"), cells(lines, title + 2));
    // 12 and 80 cycles each, and 700 and 9,000 for each of 500 of 4,508.
    assertEquals(
        List.of("google-2022", "98.0 %", "90 to 1,078", "90 to 1,078", "90 to 1,078"),
        cells(lines, title + 3));
    assertTrue(lines.stream().anyMatch(line -> line.startsWith("Virtual machine of tenant-b")));
    assertTrue(lines.stream().anyMatch(line -> line.contains("3,000 l1d-flush")), lines.toString());
  }

  private static List<String> cells(List<String> lines, int index) {
    return List.of(lines.get(index).split(" {2,}"));
  }

  @Test
  void explainTellsWhatAPolicyDidAboutEachKindOfExit() {
    List<String> lines = TextReport.explainMachines(RUN, "google-2025");
    assertTrue(lines.getFirst().startsWith("Virtual machine of tenant-a (process 41)"));
    assertEquals(
        List.of("CPUID", "4,000", "0", "98.0 %", "80", "12 to 80", "0", "0"), cells(lines, 2));
    assertEquals(
        List.of("I/O instruction", "500", "500", "98.0 %", "10", "12 to 80", "500", "700 to 9,000"),
        cells(lines, 3));
    assertEquals("all", cells(lines, 5).getFirst());
    BadInputException e =
        assertThrows(BadInputException.class, () -> TextReport.explainMachines(RUN, "none"));
    assertTrue(e.getMessage().startsWith("policy none: expected one of the run that isolates"));
  }

  @Test
  void anUnknownPolicyNamesTheNearest() {
    String message = message("google-2052", 1);
    assertTrue(message.startsWith("policy google-2052: expected one of the run"), message);
    assertTrue(
        message.contains("nearest: google-2025") || message.contains("google-2022"), message);
    assertFalse(message.contains("\n"));
  }

  @Test
  void aCauseThatIsNotThereNamesTheRange() {
    assertEquals(
        "cause 201: expected a number from 1 to 200, the causes of policy google-2025",
        message("google-2025", 201));
    assertEquals(
        "cause 0: expected a number from 1 to 200, the causes of policy google-2025",
        message("google-2025", 0));
    assertEquals(
        "cause 1: policy kpti has no exits, so there are no causes to explain", message("kpti", 1));
  }

  private static String message(String policy, int cause) {
    return assertThrows(BadInputException.class, () -> TextReport.explain(RUN, policy, cause))
        .getMessage();
  }

  private static RunResult wide(int kinds) {
    List<Metric> metrics = new ArrayList<>();
    for (String name : List.of("exits", "pages.mapped", "shootdowns")) {
      metrics.add(new Metric(name, "events", "", Long.MAX_VALUE));
    }
    for (int i = 0; i < kinds; i++) {
      metrics.add(new Metric("flushes.kind-" + i, "events", "", Long.MAX_VALUE));
    }
    PolicyResult policy =
        new PolicyResult(
            "a-policy-whose-name-is-much-longer-than-any-that-we-ship",
            "",
            "",
            "",
            metrics,
            Range.NOTHING,
            new Range(123.456, 234.567),
            List.of(),
            List.of(),
            List.of(),
            List.of(),
            List.of(),
            List.of(),
            List.of());
    return ExampleRun.with(List.of(policy));
  }

  private static long value(PolicyResult policy, String name) {
    return policy.metrics().stream()
        .filter(metric -> metric.name().equals(name))
        .mapToLong(metric -> ((Number) metric.value()).longValue())
        .findFirst()
        .orElseThrow();
  }
}
