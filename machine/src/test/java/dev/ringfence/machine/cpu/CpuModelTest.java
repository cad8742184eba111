package dev.ringfence.machine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.decode.InstructionTable;
import dev.ringfence.machine.operation.Lifters;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CpuModelTest {
  /** Features that rows name so that listings can tell the instruction, and no model can have. */
  private static final Set<String> NOT_IMPLEMENTED =
      Set.of("MONITOR", "RDPID", "WBNOINVD", "SMM", "PKU");

  private static String skylake() throws IOException {
    try (InputStream in = CpuModel.class.getResourceAsStream("models/skylake-server.yaml")) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  private static String refusal(String text) {
    return assertThrows(BadInputException.class, () -> CpuModelReader.read(text, "my.yaml"))
        .getMessage();
  }

  @Test
  void allModelsThatComeWithRingfenceAreValid() {
    for (String name : CpuModel.available()) {
      assertEquals(name, CpuModel.load(name).name());
    }
  }

  @Test
  void skylakeReportsItsSignature() {
    assertEquals(0x50654, CpuModel.load("skylake-server").signature());
  }

  @Test
  void everyFeatureThatAnInstructionNeedsIsKnown() {
    Set<String> unknown = new TreeSet<>();
    for (var row : InstructionTable.standard().rows()) {
      String feature = row.feature();
      if (!feature.isEmpty()
          && Feature.of(feature).isEmpty()
          && !NOT_IMPLEMENTED.contains(feature)) {
        unknown.add(feature);
      }
    }
    assertEquals(Set.of(), unknown);
  }

  @Test
  void everyInstructionHasALifter() {
    for (var row : InstructionTable.standard().rows()) {
      assertTrue(Lifters.of(row.mnemonic()) != null, row.source());
    }
  }

  @Test
  void aModelThatDoesNotExistIsRefused() {
    String message =
        assertThrows(BadInputException.class, () -> CpuModel.load("pentium-9")).getMessage();
    assertTrue(message.contains("pentium-9") && message.contains("skylake-server"), message);
  }

  @Test
  void aFileOfTheUsersIsRead(@TempDir Path folder) throws IOException {
    Path file = folder.resolve("mine.yaml");
    Files.writeString(file, skylake().replace("name: skylake-server", "name: mine"));
    assertEquals("mine", CpuModel.load(file.toString()).name());
  }

  @Test
  void anUnknownKeyIsRefusedWithItsLine() throws IOException {
    String message = refusal("color: blue\n" + skylake());
    assertTrue(
        message.startsWith("my.yaml: line 1: expected a key of a CPU model (name,"), message);
    assertTrue(message.endsWith("found color"), message);
  }

  @Test
  void aMissingValueIsRefused() throws IOException {
    String message = refusal(skylake().replaceFirst("(?m)^family: 6$", ""));
    assertTrue(message.startsWith("my.yaml: line "), message);
    assertTrue(
        message.endsWith(": expected a CPU model with a value for family, found none"), message);
  }

  @Test
  void aFeatureThatTheMachineDoesNotHaveIsRefused() throws IOException {
    String message = refusal(skylake().replace("[FPU,", "[FPU, AVX512F,"));
    assertTrue(message.contains("expected one of FPU, DE, "), message);
    assertTrue(message.contains("found 'AVX512F'"), message);
    assertTrue(message.startsWith("my.yaml: line "), message);
  }

  @Test
  void aFeatureThatEveryProcessorHasCannotBeLeftOut() throws IOException {
    String message = refusal(skylake().replace(" SSE2,", ""));
    assertTrue(message.contains("expected the feature SSE2"), message);
  }

  @Test
  void valuesOfTheWrongTypeAreRefused() throws IOException {
    assertTrue(refusal(skylake().replace("family: 6", "family: six")).contains("a number from 0"));
    assertTrue(refusal(skylake().replace("family: 6", "family: [6]")).contains("found a list"));
    assertTrue(refusal(skylake().replace("stepping: 4", "stepping: 16")).contains("from 0 to 15"));
    assertTrue(
        refusal("[1, 2]")
            .contains("expected a CPU model, a mapping of keys to values, found a list"));
    assertTrue(refusal("name: [").contains("expected YAML"));
    assertTrue(refusal("").contains("an empty file"));
  }

  @Test
  void namesAreNoPaths() throws IOException {
    for (String name : new String[] {"../x", "a.yaml", "-", "a b"}) {
      String message = refusal(skylake().replace("name: skylake-server", "name: '" + name + "'"));
      assertTrue(
          message.endsWith("a name of letters, digits and hyphens, found '" + name + "'"), message);
    }
  }

  @Test
  void aCacheThatCannotBeIsRefused() throws IOException {
    String cache = "{level: 3, type: unified, line-bytes: 64, ways: 11, sets: 36864,";
    assertTrue(
        refusal(skylake().replace(cache, cache.replace("ways: 11", "ways: 1024")))
            .endsWith("expected a cache of at most 1024 MiB, found '36864'"));
    assertTrue(
        refusal(skylake().replace(cache, cache.replace("unified", "united")))
            .contains("expected one of data, instruction, unified, found 'united'; nearest"));
  }

  @Test
  void anUnknownRegisterIsRefused() throws IOException {
    String message = refusal(skylake().replace("  IA32_MTRRCAP: 0x50a", "  IA32_MTRRCAPS: 0x50a"));
    assertTrue(message.contains("found IA32_MTRRCAPS"), message);
  }

  @Test
  void nestingIsLimited() {
    assertTrue(refusal("[".repeat(2000)).startsWith("my.yaml: line 1: expected "));
  }
}
