package dev.ringfence.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.ringfence.lab.result.RunResult;
import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HtmlReportTest {
  private static final Pattern SCRIPT =
      Pattern.compile("(?is)<script([^>]*)>(.*?)</script", Pattern.DOTALL);

  @Test
  void dataComeOutAsTheyWentIn() throws IOException {
    RunResult run = Hostile.run();
    JsonNode data = new JsonMapper().readTree(block(HtmlReport.page(run)));
    assertEquals(
        new JsonMapper().readTree(new JsonMapper().writeValueAsBytes(run)), data.get("run"));
    assertEquals(Hostile.NAME, data.at("/run/policies/1/causes/0/function").asText());
  }

  @Test
  void namesOfAKernelEndNoElementAndStartNone() {
    String page = HtmlReport.page(Hostile.run());
    List<MatchResult> scripts = SCRIPT.matcher(page).results().toList();
    assertEquals(3, scripts.size(), "data, library, own scripts");
    String data = block(page);
    for (String forbidden : List.of("<", ">", "&", "\u2028", "\u2029")) {
      assertFalse(data.contains(forbidden), forbidden);
    }
    String markup = SCRIPT.matcher(page).replaceAll("");
    assertFalse(markup.contains("<img"), "the title is text");
  }

  @Test
  void scriptsNeverTurnTextIntoMarkup() {
    String page = HtmlReport.page(ExampleRun.complete());
    String own = SCRIPT.matcher(page).results().toList().getLast().group(2);
    for (String way :
        List.of("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(")) {
      assertFalse(own.contains(way), way);
    }
  }

  @Test
  void thePageNamesNothingOutsideItself() {
    String page = HtmlReport.page(ExampleRun.complete());
    String markup = SCRIPT.matcher(page).replaceAll("");
    Pattern reference = Pattern.compile("(?i)(src|href|url)\\s*[=(]\\s*[\"']?(?!data:|#)[a-z/.]");
    assertFalse(reference.matcher(markup).find());
    assertTrue(markup.contains("default-src 'none'"));
  }

  @Test
  void equalRunsGiveEqualPages() {
    assertEquals(HtmlReport.page(ExampleRun.complete()), HtmlReport.page(ExampleRun.complete()));
  }

  @Test
  void halfOfASurrogatePairDoesNotStopTheReport(@TempDir Path folder) throws IOException {
    RunResult run = ExampleRun.complete();
    RunResult broken =
        new RunResult(
            run.format(),
            run.state(),
            run.reason(),
            new RunResult.Workload("half \ud800", "", ""),
            run.kernel(),
            run.cpuModel(),
            run.costModel(),
            run.metrics(),
            run.entries(),
            run.cycles(),
            run.cyclesPerInstruction(),
            run.cyclesSource(),
            run.ownFlushes(),
            run.policies(),
            run.machines(),
            run.leaks(),
            run.notes(),
            run.manifest());
    Path file = folder.resolve("report.html");
    HtmlReport.write(broken, file);
    assertTrue(Files.readString(file).contains("half "));
  }

  @Test
  void aFolderThatIsNotThereIsBadInput(@TempDir Path folder) {
    Path file = folder.resolve("absent").resolve("report.html");
    BadInputException e =
        assertThrows(BadInputException.class, () -> HtmlReport.write(ExampleRun.complete(), file));
    assertTrue(e.getMessage().startsWith(file + ": report cannot be written"), e.getMessage());
  }

  @Test
  void onlyTheReportIsLeftInTheFolder(@TempDir Path folder) throws IOException {
    HtmlReport.write(ExampleRun.complete(), folder.resolve("report.html"));
    HtmlReport.write(ExampleRun.partial(), folder.resolve("report.html"));
    try (var files = Files.list(folder)) {
      assertEquals(List.of(folder.resolve("report.html")), files.toList());
    }
  }

  private static String block(String page) {
    return SCRIPT
        .matcher(page)
        .results()
        .filter(script -> script.group(1).contains("application/json"))
        .findFirst()
        .orElseThrow()
        .group(2);
  }
}
