package dev.ringfence.silicon.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.cpu.CpuModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SiliconModelTest {
  @TempDir private Path folder;

  private static String skylake() throws IOException {
    return Files.readString(
        Path.of(
            System.getProperty("ringfence.root"),
            "machine/src/main/resources/dev/ringfence/machine/cpu/models/skylake-server.yaml"));
  }

  private SiliconModel load(String text) throws IOException {
    Path file = folder.resolve("my.yaml");
    Files.writeString(file, text);
    return SiliconModel.load(file.toString());
  }

  /** The message for a changed model, from the line of the file on. */
  private String refusal(String from, String to) throws IOException {
    String text = skylake();
    assertTrue(text.contains(from), from);
    int line = 1 + (int) text.chars().limit(text.indexOf(from)).filter(c -> c == '\n').count();
    String message =
        assertThrows(BadInputException.class, () -> load(text.replace(from, to))).getMessage();
    String start = folder.resolve("my.yaml") + ": line ";
    assertTrue(message.startsWith(start), message);
    String rest = message.substring(start.length());
    int colon = rest.indexOf(':');
    assertEquals(line, Integer.parseInt(rest.substring(0, colon)), message);
    return rest.substring(colon + 2);
  }

  @Test
  void theCachesAreThoseThatCpuidReports() {
    SiliconModel model = SiliconModel.load("skylake-server");
    assertEquals("skylake-server", model.name());
    assertEquals("GenuineIntel", model.vendor());
    Caches caches = model.caches();
    assertEquals(64, caches.lineBytes());
    assertEquals(new CacheLevel(32 << 10, 8, 4, false, ReplacementPolicy.PLRU), caches.l1Data());
    assertEquals(1 << 20, caches.l2().bytes());
    assertEquals(11, caches.l3().ways());
    assertTrue(caches.memoryLatency() > caches.l3().latency());
  }

  /** Westmere is there for programs that need an old processor; nothing is said of its silicon. */
  @Test
  void allModelsButOneSayWhatArchitectureHides() {
    for (String name : CpuModel.available()) {
      if (!name.equals("westmere-server")) {
        SiliconModel model = SiliconModel.load(name);
        assertEquals(name, model.name());
        assertEquals(Pipeline.CLASSES.size(), model.pipeline().latencies().size());
      }
    }
  }

  @Test
  void skylakeForwardsWhatMeltdownAndItsKindRead() {
    Forwarding forwarding = SiliconModel.load("skylake-server").forwarding();
    assertTrue(forwarding.supervisorFromL1() && forwarding.terminalFaultUsesFrame());
    assertTrue(forwarding.storeBuffer() && forwarding.fillBuffers() && forwarding.loadPorts());
    assertFalse(SiliconModel.load("skylake-server").predictors().returnsFromTargetPredictor());
  }

  @Test
  void aModelWithoutSiliconIsRefused() throws IOException {
    String text = skylake();
    String message =
        assertThrows(
                BadInputException.class, () -> load(text.substring(0, text.indexOf("\nsilicon:"))))
            .getMessage();
    assertTrue(message.startsWith("CPU model skylake-server: expected a section silicon"), message);
  }

  @Test
  void aMissingValueIsRefused() throws IOException {
    String line = "    width: {value: 4, source: manual, mark: R}\n";
    String text = skylake();
    assertTrue(text.contains(line));
    String message =
        assertThrows(BadInputException.class, () -> load(text.replace(line, ""))).getMessage();
    assertTrue(message.endsWith("expected pipeline with a value for width, found none"), message);
  }

  @Test
  void aValueNeedsASourceOfTheListAndAMark() throws IOException {
    assertTrue(
        refusal("width: {value: 4, source: manual, mark: R}", "width: 4")
            .startsWith("expected width of pipeline, a mapping of keys to values, found '4'"));
    assertTrue(
        refusal(
                "width: {value: 4, source: manual, mark: R}",
                "width: {value: 4, source: manuel, mark: R}")
            .endsWith("found 'manuel'; nearest: manual"));
    assertEquals(
        "expected width of pipeline with a value for mark, found none",
        refusal("width: {value: 4, source: manual, mark: R}", "width: {value: 4, source: manual}"));
  }

  @Test
  void impossibleValuesAreRefused() throws IOException {
    assertEquals(
        "expected a number from 1 to 32, found '0'",
        refusal("width: {value: 4,", "width: {value: 0,"));
    assertEquals(
        "expected a number from 14 to 1000000, found '13'",
        refusal("l3-latency: {value: 77,", "l3-latency: {value: 13,"));
    assertEquals(
        "expected a multiple of the ways, 12, found '1501'",
        refusal("l2-entries: {value: 1536,", "l2-entries: {value: 1501,"));
    assertEquals(
        "expected a policy that can choose among 11 ways, found 'plru'",
        refusal("l3-replacement: {value: qlru_h11_m1_r0_u0,", "l3-replacement: {value: plru,"));
    assertEquals(
        "expected a power of two, found '8000'",
        refusal("direction-entries: {value: 8192,", "direction-entries: {value: 8000,"));
    assertEquals(
        "expected one of none, ibrs, enhanced-ibrs, found 'irbs'; nearest: ibrs",
        refusal("mode-isolation: {value: ibrs,", "mode-isolation: {value: irbs,"));
    assertEquals(
        "expected true or false, found 'maybe'",
        refusal("store-bypass: {value: true,", "store-bypass: {value: maybe,"));
  }

  @Test
  void anUnknownKeyIsRefused() throws IOException {
    assertTrue(
        refusal("    reorder-buffer: {", "    reorder-bufer: {")
            .endsWith("found reorder-bufer; nearest: reorder-buffer"));
  }

  @Test
  void aHierarchyThatDetailedExecutionCannotHaveIsRefused() throws IOException {
    String level = "  - {level: 2, type: unified, line-bytes: 64, ways: 16, sets: 1024,";
    String text = skylake();
    assertTrue(text.contains(level));
    String message =
        assertThrows(
                BadInputException.class,
                () -> load(text.replace(level, level.replace("level: 2", "level: 4"))))
            .getMessage();
    assertTrue(
        message.endsWith(
            "expected a model with one cache of level 2 for unified contents, found 0"),
        message);
  }
}
