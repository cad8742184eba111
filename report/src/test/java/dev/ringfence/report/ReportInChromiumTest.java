package dev.ringfence.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.result.LeakMatrix;
import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.PolicyResult.Cause;
import dev.ringfence.lab.result.RunResult;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.openqa.selenium.By;
import org.openqa.selenium.Keys;
import org.openqa.selenium.WebElement;
import org.openqa.selenium.interactions.Actions;

/** The page in a real browser. Pictures of it are left in target/screenshots, for people. */
@Tag("slow")
class ReportInChromiumTest {
  private static final RunResult RUN = ExampleRun.complete();
  private static final PolicyResult DENY_LIST = RUN.policies().get(2);
  private static final Path PICTURES = Path.of("target", "screenshots");

  private static Chromium chromium;

  @TempDir static Path folder;

  @BeforeAll
  static void start() throws IOException {
    chromium = Chromium.start();
    Files.createDirectories(PICTURES);
  }

  @AfterAll
  static void end() throws IOException {
    if (chromium != null) {
      chromium.close();
    }
  }

  @BeforeEach
  void open() {
    chromium.prefer("light");
    chromium.resize(1280, 900);
    open(RUN, "");
  }

  @AfterEach
  void saysAndAsksNothing() {
    assertEquals(List.of(), chromium.console(), "the console is empty");
    assertEquals(List.of(), chromium.networkRequests(), "nothing is requested");
  }

  private static void open(RunResult run, String fragment) {
    Path file = folder.resolve("report.html");
    HtmlReport.write(run, file);
    // Another document first: an address that differs in its fragment only would not be loaded.
    chromium.driver.get("about:blank");
    chromium.driver.get(file.toUri() + fragment);
  }

  @Test
  void everySectionShowsWhatTheRunHas() throws IOException {
    assertEquals(
        7,
        chromium.number("document.querySelectorAll('.chart svg').length")
            + chromium.number("document.querySelectorAll('[id=comparison-chart] .chart').length"));
    for (String section :
        List.of(
            "facts",
            "summary",
            "policy-summary",
            "comparison-table",
            "tiles",
            "changes",
            "causes",
            "phases",
            "cost",
            "metrics",
            "entries",
            "guest",
            "manifest")) {
      assertTrue(
          chromium.number("document.getElementById('" + section + "').textContent.length") > 40,
          section);
    }
    String page = chromium.text("document.body.innerText");
    assertTrue(page.contains("4,812,345,678"), "instructions with separators");
    assertTrue(page.contains("6.1.0-37-cloud-amd64"));
    assertTrue(page.contains("60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"));
    assertFalse(chromium.driver.findElement(By.id("partial")).isDisplayed());
    for (String nonsense : List.of("undefined", "NaN", "[object")) {
      assertFalse(page.contains(nonsense), nonsense);
    }
    picture("light");
  }

  @Test
  void causesAreSortedByTheColumnThatIsChosen() {
    List<Long> exposed =
        DENY_LIST.causes().stream()
            .map(Cause::exposedByMapping)
            .sorted(Comparator.reverseOrder())
            .toList();
    head("exposes").click();
    assertEquals(
        "descending", head("exposes").findElement(By.xpath("..")).getAttribute("aria-sort"));
    assertEquals(Numbers.bytes(exposed.getFirst()), cell(0, "exposes").replace('\u00a0', ' '));
    head("exposes").click();
    assertEquals(Numbers.bytes(exposed.getLast()), cell(0, "exposes").replace('\u00a0', ' '));
    head("function").click();
    assertEquals(
        DENY_LIST.causes().stream()
            .map(Cause::function)
            .min(Comparator.comparing((String f) -> f.replace("_", "")))
            .orElseThrow()
            .replace("_", "")
            .charAt(0),
        cell(0, "function").replace("_", "").charAt(0));
  }

  @Test
  void causesAreFilteredByTextKindAndKernelEntry() {
    WebElement search = chromium.driver.findElement(By.cssSelector("#causes input[type=search]"));
    search.sendKeys("XA_NODE pread64");
    long expected =
        DENY_LIST.causes().stream()
            .filter(cause -> cause.type().equals("xa_node") && cause.entry().contains("pread64"))
            .count();
    assertTrue(expected > 0);
    assertEquals(expected, rows());
    assertTrue(status().startsWith(expected + " of 200 causes"), status());
    search.clear();
    search.sendKeys(Keys.SPACE, Keys.BACK_SPACE);
    List<WebElement> choices = chromium.driver.findElements(By.cssSelector("#causes select"));
    choose(choices.get(0), "pipe");
    long pipes = DENY_LIST.causes().stream().filter(cause -> cause.kind().equals("pipe")).count();
    assertTrue(status().startsWith(pipes + " of 200 causes"), status());
    choose(choices.get(1), "system call execve");
    assertEquals(
        DENY_LIST.causes().stream()
            .filter(cause -> cause.kind().equals("pipe") && cause.entry().endsWith("execve"))
            .count(),
        rows());
    search.sendKeys("nothing is called so");
    assertTrue(chromium.driver.findElement(By.id("causes")).getText().contains("None matches"));
  }

  @Test
  void virtualMachinesAreShownWithWhatOneExitCosts() {
    String machines = chromium.driver.findElement(By.id("machines")).getText();
    assertTrue(machines.contains("tenant-a (41)"), machines);
    assertTrue(machines.contains("kernel itself"), machines);
    String reasons = chromium.driver.findElement(By.id("machine-exits")).getText();
    assertTrue(reasons.contains("I/O instruction"), reasons);
    assertTrue(reasons.contains("700 to 9,000"), reasons);
    chromium.driver.findElement(By.cssSelector("label[for=choice-0]")).click();
    assertShown("none");
    assertFalse(chromium.driver.findElement(By.id("machine-exits-section")).isDisplayed());
    assertTrue(chromium.driver.findElement(By.id("machines-section")).isDisplayed());
  }

  @Test
  void theRestOfTheCausesIsShownOnDemand() {
    assertEquals(25, rows());
    chromium.driver.findElement(By.cssSelector("#causes .more")).click();
    assertEquals(200, rows());
  }

  @Test
  void aRowOpensWithStackTypeAndWhatMarkingWouldDo() throws IOException {
    Cause cause = DENY_LIST.causes().get(3);
    WebElement opener = chromium.driver.findElements(By.cssSelector("#causes .open")).get(3);
    assertEquals("false", opener.getAttribute("aria-expanded"));
    opener.sendKeys(Keys.ENTER);
    assertEquals("true", opener.getAttribute("aria-expanded"));
    WebElement detail = chromium.driver.findElement(By.cssSelector("#causes .detail"));
    assertEquals(
        cause.example(),
        detail.findElements(By.cssSelector(".stack li")).stream()
            .map(WebElement::getText)
            .toList());
    assertTrue(detail.getText().contains("sk_buff.data"), detail.getText());
    assertTrue(
        detail.getText().contains("15.0 MiB, pages of slab-kmalloc not exposed yet"),
        detail.getText());
    chromium.driver.executeScript("document.getElementById('causes').scrollIntoView()");
    picture("cause");
    opener.click();
    assertEquals(0, chromium.driver.findElements(By.cssSelector("#causes .detail")).size());
  }

  @Test
  void anotherPolicyIsChosenByPointerKeyboardAndAddress() {
    chromium.driver.findElement(By.cssSelector("label[for=choice-3]")).click();
    assertShown("google-2025-mermap");
    chromium.driver.findElement(By.id("choice-3")).sendKeys(Keys.ARROW_RIGHT);
    assertShown("oracle-kvm");
    assertTrue(chromium.driver.getCurrentUrl().endsWith("#policy=oracle-kvm"));
    chromium.driver.findElements(By.cssSelector("#comparison-table .link")).getLast().click();
    assertShown("kpti");
    assertTrue(
        chromium.driver.findElement(By.id("causes")).getText().contains("No exits were recorded"));
    open(RUN, "#policy=google-2022");
    assertShown("google-2022");
    open(RUN, "#policy=nonsense%");
    assertShown("google-2025");
  }

  private static void assertShown(String policy) {
    assertEquals(policy, chromium.driver.findElement(By.id("policy-name")).getText());
    assertEquals("Under " + policy, chromium.driver.findElement(By.id("summary-policy")).getText());
    assertEquals(
        policy,
        chromium.text("document.querySelector('#comparison-table tr.selected th').textContent"));
    assertEquals(
        policy, chromium.text("document.querySelector('input[name=policy]:checked').value"));
  }

  @Test
  void aChangeLeadsToItsCauses() {
    chromium
        .driver
        .findElement(By.cssSelector("#changes tbody tr:nth-child(2) td:last-child .link"))
        .click();
    long causes =
        DENY_LIST.causes().stream().filter(cause -> cause.kind().equals("anonymous")).count();
    assertTrue(status().startsWith(causes + " of 200 causes"), status());
  }

  @Test
  void theFlameGraphIsSearchedAndZoomed() throws IOException {
    WebElement flame = chromium.driver.findElement(By.id("flame"));
    chromium.driver.executeScript("document.getElementById('flame').scrollIntoView()");
    long whole = flameFrames();
    assertTrue(whole > 100, "frames: " + whole);
    flame.findElement(By.cssSelector("input")).sendKeys("clear_page");
    assertTrue(flame.getText().contains("Frames that match: "), flame.getText());
    picture("flame");
    WebElement graph = flame.findElement(By.cssSelector(".keyed"));
    // The second row holds the reasons of kernel entry; the widest is at the left.
    new Actions(chromium.driver)
        .moveToElement(graph, 20 - graph.getSize().width / 2, 30 - graph.getSize().height / 2)
        .click()
        .perform();
    assertTrue(flame.getText().contains("system call pread64: "), flame.getText());
    assertTrue(flameFrames() < whole);
    graph.sendKeys(Keys.ARROW_DOWN, Keys.ENTER);
    assertTrue(flame.getText().contains("entry_SYSCALL_64_after_hwframe: "), flame.getText());
    graph.sendKeys(Keys.ESCAPE);
    assertTrue(flame.getText().contains("all exits: "), flame.getText());
    assertEquals(whole, flameFrames());
  }

  private static long flameFrames() {
    return chromium.number("document.querySelectorAll('#flame svg path').length");
  }

  @Test
  void chartsTellTheirFiguresUnderThePointer() throws IOException {
    WebElement chart = chromium.driver.findElement(By.cssSelector("#comparison-chart .chart"));
    chromium.driver.executeScript("arguments[0].scrollIntoView({block: 'center'})", chart);
    new Actions(chromium.driver).moveToElement(chart, -100, -60).perform();
    assertTrue(chart.getText().contains("ibpb"), chart.getText());
    assertTrue(chart.findElement(By.cssSelector(".tip")).getText().contains(" to "));
    picture("tooltip");
  }

  @Test
  void coloursFollowTheSystemAndCanBeRead() throws IOException {
    String light = chromium.text("getComputedStyle(document.body).backgroundColor");
    String lightChart = chromium.text("document.querySelector('#comparison-chart svg').outerHTML");
    assertReadable();
    chromium.prefer("dark");
    assertNotEquals(light, chromium.text("getComputedStyle(document.body).backgroundColor"));
    assertNotEquals(
        lightChart,
        chromium.text("document.querySelector('#comparison-chart svg').outerHTML"),
        "charts follow");
    assertReadable();
    picture("dark");
  }

  /** Contrast of text against its background by WCAG 2.1: at least 4.5 to 1. */
  private static void assertReadable() {
    Object worst =
        chromium.evaluate(
            """
            (() => {
              const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
              const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
              const parse = (text) => text.match(/[\\d.]+/g).map(Number);
              let worst = "";
              for (const node of document.querySelectorAll('p, li, dt, dd, th, td, h1, h2, h3, label, button, summary, code, span.type, pre')) {
                if (node.closest('.chart') || node.offsetParent === null || node.textContent.trim() === "" || node.matches(':disabled')) continue;
                let behind = node;
                while (behind && (parse(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
                const a = light(parse(getComputedStyle(node).color));
                const b = light(parse(getComputedStyle(behind ?? document.body).backgroundColor));
                const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                if (ratio < 4.5) worst = ratio.toFixed(2) + " " + node.tagName + " " + node.className + " " + node.textContent.slice(0, 40);
              }
              return worst;
            })()\
            """);
    assertEquals("", worst);
  }

  @Test
  void theLeakMatrixShowsOutcomesAndItsCellsOpenToTheirEvidence() throws IOException {
    LeakMatrix matrix = RUN.leaks();
    WebElement leaks = chromium.driver.findElement(By.id("leaks"));
    List<WebElement> cells = leaks.findElements(By.cssSelector("table.leaks tbody button"));
    assertEquals(matrix.cells().size(), cells.size());
    for (int i = 0; i < cells.size(); i++) {
      LeakMatrix.Cell cell = matrix.cells().get(i);
      String name = cells.get(i).getAttribute("aria-label");
      assertTrue(
          name.startsWith(
              "%s, %s, under %s: %s"
                  .formatted(cell.attack(), cell.target(), cell.column(), cell.outcome())),
          name);
      assertEquals(!cell.agrees(), name.endsWith("not as published"), name);
    }
    for (LeakMatrix.Column column : matrix.columns()) {
      long leaked =
          matrix.cells().stream()
              .filter(
                  cell -> cell.column().equals(column.name()) && cell.outcome().equals("leaked"))
              .count();
      int index = matrix.columns().indexOf(column);
      assertEquals(
          String.valueOf(leaked),
          leaks.findElements(By.cssSelector("tfoot td")).get(index).getText());
    }
    // Row by row: the first cell of each row is that of no mitigation.
    cells.getFirst().sendKeys(Keys.ENTER);
    assertEquals("true", cells.getFirst().getAttribute("aria-pressed"));
    String evidence = leaks.findElement(By.cssSelector(".evidence")).getText();
    assertTrue(evidence.contains("meltdown, process, under none: leaked"), evidence);
    assertTrue(evidence.contains("8 of 8 bytes"), evidence);
    assertTrue(evidence.contains("A kernel document (S)"), evidence);
    assertEquals(8, leaks.findElements(By.cssSelector(".bytes .right")).size());
    int unexpected =
        matrix
            .cells()
            .indexOf(
                matrix.cells().stream().filter(cell -> !cell.agrees()).findFirst().orElseThrow());
    cells.get(unexpected).click();
    assertEquals("false", cells.getFirst().getAttribute("aria-pressed"));
    assertTrue(
        leaks.findElement(By.cssSelector(".evidence")).getText().contains("Not as published"));
    chromium.driver.executeScript("document.getElementById('leaks-head').scrollIntoView()");
    assertReadable();
    picture("leaks");
    chromium.prefer("dark");
    assertReadable();
    picture("leaks-dark");
  }

  @Test
  void aRunWithoutAttacksSaysWhy() {
    open(RUN.with(LeakMatrix.leftOut("skylake-server", "left out by --no-attacks")), "");
    assertEquals(
        "No attacks were run: left out by --no-attacks.",
        chromium.driver.findElement(By.id("leaks")).getText());
  }

  @Test
  void aNarrowScreenNeedsNoSidewaysScrolling() throws IOException {
    chromium.resize(390, 844);
    open(RUN, "");
    assertEquals(390, chromium.number("document.documentElement.scrollWidth"));
    picture("narrow");
  }

  @Test
  void noTextIsLeftWhereTheFlameGraphBecameNarrower() {
    long texts = chromium.number("document.querySelectorAll('#flame svg text').length");
    chromium.resize(500, 900);
    chromium.evaluate(
        "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
    long narrow = chromium.number("document.querySelectorAll('#flame svg text').length");
    assertTrue(narrow < texts, narrow + " of " + texts);
    open(RUN, "");
    assertEquals(chromium.number("document.querySelectorAll('#flame svg text').length"), narrow);
  }

  @Test
  void headingsDescendAndControlsHaveNames() {
    assertEquals(1, chromium.number("document.querySelectorAll('h1').length"));
    assertEquals(
        "",
        chromium.text(
            """
            [...document.querySelectorAll('input, select, button, [role=img], section, .scroller')].filter((node) =>
              !(node.labels?.length > 0 || node.getAttribute('aria-label') || node.getAttribute('aria-labelledby') || node.textContent.trim() !== ''))
              .map((node) => node.outerHTML.slice(0, 80)).join()\
            """));
    assertEquals(
        "",
        chromium.text(
            """
            (() => { let last = 0, bad = ''; for (const h of document.querySelectorAll('h1, h2, h3, h4')) {
              const level = Number(h.tagName[1]); if (level > last + 1) bad += h.textContent; last = level; } return bad; })()\
            """));
  }

  @Test
  void namesOfAKernelStayText() {
    open(Hostile.run(), "");
    assertEquals("undefined", chromium.text("typeof window.broken"));
    assertEquals(0, chromium.number("document.querySelectorAll('img').length"));
    chromium.driver.findElement(By.cssSelector("label[for=choice-1]")).click();
    chromium.driver.findElements(By.cssSelector("#causes .open")).getFirst().click();
    chromium.driver.findElement(By.cssSelector("#leaks tbody button")).click();
    assertEquals(Hostile.NAME, chromium.text("document.getElementById('policy-name').textContent"));
    for (String id : List.of("comparison-chart", "flame", "timeline", "exposure", "map")) {
      WebElement chart = chromium.driver.findElement(By.cssSelector("#" + id + " .chart"));
      chromium.driver.executeScript("arguments[0].scrollIntoView({block: 'center'})", chart);
      new Actions(chromium.driver).moveToElement(chart).perform();
    }
    assertEquals("undefined", chromium.text("typeof window.broken"));
    assertEquals(0, chromium.number("document.querySelectorAll('img').length"));
    assertTrue(chromium.driver.findElement(By.id("partial")).isDisplayed());
  }

  @Test
  void aRunWithNothingInItIsShown() {
    open(ExampleRun.with(List.of()), "");
    assertTrue(chromium.driver.findElement(By.id("summary")).getText().contains("fio-read ran"));
    open(ExampleRun.with(List.of(RUN.policies().getFirst())), "");
    assertEquals("none", chromium.driver.findElement(By.id("policy-name")).getText());
    assertTrue(
        chromium
            .driver
            .findElement(By.id("comparison-chart"))
            .getText()
            .contains("No policy of this run costs anything"));
  }

  @Test
  void paperHasLightColoursAllChartsAndTheManifest() throws IOException {
    chromium.prefer("dark");
    Map<String, Object> pdf =
        chromium.driver.executeCdpCommand(
            "Page.printToPDF", Map.of("printBackground", true, "preferCSSPageSize", true));
    byte[] bytes = Base64.getDecoder().decode((String) pdf.get("data"));
    Files.write(PICTURES.resolve("paper.pdf"), bytes);
    assertTrue(bytes.length > 50_000, "bytes: " + bytes.length);
    // What the browser's own event does before it prints.
    chromium.driver.executeScript("window.dispatchEvent(new Event('beforeprint'))");
    assertEquals(
        "rgb(246, 247, 249)", chromium.text("getComputedStyle(document.body).backgroundColor"));
    assertEquals(
        true, chromium.evaluate("document.getElementById('manifest').closest('details').open"));
    assertTrue(
        chromium.number("document.querySelector('#comparison-chart svg').clientWidth")
            <= 186 * 96 / 25.4 + 1);
    chromium.driver.executeScript("window.dispatchEvent(new Event('afterprint'))");
    assertEquals(
        false, chromium.evaluate("document.getElementById('manifest').closest('details').open"));
  }

  private static void choose(WebElement select, String value) {
    select.findElement(By.cssSelector("option[value='" + value + "']")).click();
  }

  private static WebElement head(String column) {
    return chromium.driver.findElement(
        By.xpath("//*[@id='causes']//thead//button[starts-with(., '" + column + "')]"));
  }

  private static String cell(int row, String column) {
    long index =
        chromium.number(
            "[...document.querySelectorAll('#causes thead th')].findIndex((th) => th.textContent.startsWith('"
                + column
                + "'))");
    return chromium.text(
        "document.querySelectorAll('#causes tbody tr')["
            + row
            + "].children["
            + index
            + "].textContent");
  }

  private static long rows() {
    return chromium.number("document.querySelectorAll('#causes tbody tr.opens').length");
  }

  private static String status() {
    return chromium.driver.findElement(By.cssSelector("#causes .status")).getText();
  }

  private static void picture(String name) throws IOException {
    Files.write(
        PICTURES.resolve(name + ".png"),
        chromium.driver.getScreenshotAs(org.openqa.selenium.OutputType.BYTES));
  }
}
