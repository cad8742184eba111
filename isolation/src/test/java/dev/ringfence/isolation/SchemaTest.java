package dev.ringfence.isolation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.dataformat.yaml.YAMLMapper;
import com.networknt.schema.JsonSchema;
import com.networknt.schema.JsonSchemaFactory;
import com.networknt.schema.SpecVersion;
import com.networknt.schema.ValidationMessage;
import dev.ringfence.isolation.cost.CostModel;
import dev.ringfence.isolation.cost.Event;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.Taint;
import dev.ringfence.isolation.policy.Vulnerability;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/** The JSON schemas and the readers agree, by the judgement of a schema validator. */
final class SchemaTest {
  private static final Path RESOURCES =
      Path.of(
          System.getProperty("ringfence.root"),
          "isolation/src/main/resources/dev/ringfence/isolation");

  private static JsonSchema schema(String text) {
    return JsonSchemaFactory.getInstance(SpecVersion.VersionFlag.V202012).getSchema(text);
  }

  private static Set<ValidationMessage> complaints(JsonSchema schema, String yaml)
      throws IOException {
    JsonNode tree =
        YAMLMapper.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .build()
            .readTree(yaml);
    return schema.validate(tree);
  }

  private static void allValid(JsonSchema schema, String folder, List<String> names)
      throws IOException {
    for (String name : names) {
      String yaml = Files.readString(RESOURCES.resolve(folder).resolve(name + ".yaml"));
      assertEquals(Set.of(), complaints(schema, yaml), name);
    }
  }

  @Test
  void allBuiltInPoliciesFitTheSchema() throws IOException {
    allValid(schema(Policy.schema()), "policy", Policy.builtIn());
  }

  @Test
  void allBuiltInCostModelsFitTheSchema() throws IOException {
    List<String> names = new ArrayList<>(CostModel.builtIn());
    names.add("common");
    allValid(schema(CostModel.schema()), "cost", names);
  }

  @Test
  void theExamplesInTheManualAreRight() throws IOException {
    String policy = example("policies.md");
    assertEquals(Set.of(), complaints(schema(Policy.schema()), policy));
    assertEquals("mine", Policy.parse(policy, "policies.md").name());
    String costs = example("costs.md");
    assertEquals(Set.of(), complaints(schema(CostModel.schema()), costs));
    assertEquals("my-server", CostModel.parse(costs, "costs.md").name());
  }

  /** The first block of YAML in a file of the manual. */
  private static String example(String file) throws IOException {
    String text =
        Files.readString(Path.of(System.getProperty("ringfence.root"), "docs").resolve(file));
    int start = text.indexOf("```yaml\n") + 8;
    return text.substring(start, text.indexOf("```", start));
  }

  @Test
  void theManualNamesAllWordsOfPoliciesAndCosts() throws IOException {
    Path docs = Path.of(System.getProperty("ringfence.root"), "docs");
    String policies = Files.readString(docs.resolve("policies.md"));
    String costs = Files.readString(docs.resolve("costs.md"));
    List<String> missing = new ArrayList<>();
    for (PageKind kind : PageKind.values()) {
      require(policies, kind.id(), missing);
    }
    for (Taint taint : Taint.values()) {
      require(policies, taint.id(), missing);
    }
    for (Vulnerability vulnerability : Vulnerability.values()) {
      require(policies, vulnerability.id(), missing);
    }
    Policy.builtIn().forEach(name -> require(policies, name, missing));
    for (Event event : Event.values()) {
      require(costs, event.id(), missing);
    }
    assertEquals(List.of(), missing);
  }

  private static void require(String text, String word, List<String> missing) {
    if (!text.contains("`" + word + "`")) {
      missing.add(word);
    }
  }

  @Test
  void randomlySpoiledPoliciesAreRefusedByBothOrByNeither() throws IOException {
    spoil("policy/google-2025.yaml", schema(Policy.schema()), text -> Policy.parse(text, "f"));
    spoil("policy/oracle-kvm.yaml", schema(Policy.schema()), text -> Policy.parse(text, "f"));
    spoil("policy/none.yaml", schema(Policy.schema()), text -> Policy.parse(text, "f"));
  }

  @Test
  void randomlySpoiledCostModelsAreRefusedByBothOrByNeither() throws IOException {
    spoil(
        "cost/skylake-server.yaml", schema(CostModel.schema()), text -> CostModel.parse(text, "f"));
  }

  /** What a schema cannot say may be refused. */
  private static void accept(Consumer<String> reader, String text) {
    try {
      reader.accept(text);
    } catch (BadInputException e) {
      assertTrue(
          e.getMessage().contains("high bound")
              || e.getMessage().contains("each cost once")
              || e.getMessage().contains("expected another name"),
          e.getMessage() + "\n" + text);
    }
  }

  /** Replaces words by other words of the file, and drops lines. */
  private static void spoil(String file, JsonSchema schema, Consumer<String> reader)
      throws IOException {
    String good = Files.readString(RESOURCES.resolve(file)).replaceAll("(?m)^ *#.*\n", "");
    List<String> words = new ArrayList<>(List.of(good.split("[^A-Za-z0-9_-]+")));
    // YAML types that the readers do not care about: a name may be 191, a reason true, a flag not
    // "on".
    words.removeIf(word -> word.matches("[0-9_-]*|(?i)on|off|yes|no|y|n|null|true|false"));
    Random random = new Random(file.hashCode());
    int refused = 0;
    for (int i = 0; i < 500; i++) {
      List<String> lines = new ArrayList<>(good.lines().toList());
      int at = random.nextInt(lines.size());
      String line = lines.get(at);
      if (line.startsWith("  \"") || line.contains("description: |")) {
        continue;
      }
      switch (random.nextInt(3)) {
        case 0 -> lines.remove(at);
        case 1 -> {
          String from = words.get(random.nextInt(words.size()));
          lines.set(at, line.replace(from, words.get(random.nextInt(words.size()))));
        }
        default -> {
          int colon = line.indexOf(':');
          if (colon > 0) {
            lines.set(
                at,
                line.substring(0, colon + 2 > line.length() ? line.length() : colon + 2)
                    + words.get(random.nextInt(words.size())));
          }
        }
      }
      String spoiled = String.join("\n", lines) + "\n";
      boolean fits;
      try {
        fits = complaints(schema, spoiled).isEmpty();
      } catch (IOException e) {
        fits = false; // not even YAML
      }
      if (fits) {
        accept(reader, spoiled);
      } else {
        refused++;
        assertThrows(BadInputException.class, () -> reader.accept(spoiled), spoiled);
      }
    }
    assertTrue(refused > 50, file + ": only " + refused + " were refused");
  }
}
