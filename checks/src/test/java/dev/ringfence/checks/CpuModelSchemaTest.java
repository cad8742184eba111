package dev.ringfence.checks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import com.networknt.schema.JsonSchema;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SpecVersion;
import com.networknt.schema.ValidationMessage;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.silicon.model.SiliconModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * The JSON schema of CPU models and their two readers agree, by the judgement of a schema
 * validator.
 */
final class CpuModelSchemaTest {
  /**
   * Complaints that no schema can make: about several values at once, and names that are listed
   * elsewhere.
   */
  private static final List<String> BEYOND_SCHEMA =
      List.of(
          "a multiple of",
          "a power of two",
          "a number from",
          "can choose among",
          "a cache of at most",
          "a model with one cache of level",
          "lines of one size",
          "expected one of",
          "a key of registers");

  private static final JsonSchema SCHEMA =
      JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012).getSchema(CpuModel.schema());
  private static final YAMLMapper YAML =
      YAMLMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

  @TempDir private Path folder;

  private static String model(String name) throws IOException {
    return Files.readString(
        Path.of(System.getProperty("ringfence.root"))
            .resolve("machine/src/main/resources/dev/ringfence/machine/cpu/models")
            .resolve(name + ".yaml"));
  }

  private static Set<ValidationMessage> complaints(String yaml) throws IOException {
    return SCHEMA.validate(YAML.readTree(yaml));
  }

  @Test
  void allModelsFitTheSchema() throws IOException {
    for (String name : CpuModel.available()) {
      assertEquals(Set.of(), complaints(model(name)), name);
    }
  }

  @Test
  void noLineOfAModelCanBeLeftOutForOneOfBothAlone() throws IOException {
    for (String name : List.of("skylake-server", "zen2")) {
      List<String> lines = model(name).lines().toList();
      for (int i = 0; i < lines.size(); i++) {
        List<String> rest = new ArrayList<>(lines);
        rest.remove(i);
        compare(String.join("\n", rest) + "\n", "without " + lines.get(i));
      }
    }
  }

  @Test
  void noWrongValueIsRefusedByOneOfBothAlone() throws IOException {
    String text = model("cascadelake-server");
    int refused = 0;
    for (String line : text.lines().filter(line -> line.contains("{value: ")).toList()) {
      for (String wrong : List.of("0", "-1", "10000000", "maybe", "true", "[1]", "1.5")) {
        String spoiled = line.replaceFirst("value: [^,]+", "value: " + wrong);
        refused += compare(text.replace(line, spoiled), spoiled) ? 0 : 1;
      }
    }
    assertTrue(refused > 300, "only " + refused + " were refused");
  }

  /** Whether the schema accepts a file; the readers must do so, too. */
  private boolean compare(String text, String what) throws IOException {
    boolean fits;
    try {
      fits = complaints(text).isEmpty();
    } catch (IOException e) {
      fits = false; // not even YAML
    }
    Path file = folder.resolve("my.yaml");
    Files.writeString(file, text);
    if (!fits) {
      assertThrows(BadInputException.class, () -> SiliconModel.load(file.toString()), what);
      return false;
    }
    try {
      SiliconModel.load(file.toString());
    } catch (BadInputException e) {
      assertTrue(
          BEYOND_SCHEMA.stream().anyMatch(e.getMessage()::contains), what + ": " + e.getMessage());
    }
    return true;
  }
}
