package dev.ringfence.isolation.cost;

import dev.ringfence.isolation.policy.Vulnerability;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.YamlNode;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Set;

/**
 * What events cost on a model of processor, in cycles. Read from a YAML file that {@code
 * docs/costs.md} describes; figures that a model's file does not give are those of {@code
 * common.yaml}, which are ranges wide enough for all models.
 *
 * @param name of the model whose figures these are
 * @param title for people
 * @param requested name that was asked for
 * @param vulnerabilities of the model, on which flushes may depend
 * @param vulnerabilitySource where they come from
 * @param cyclesPerInstruction of a workload as a whole
 * @param entries at least one for each event that is priced, in the order of {@link Event}
 */
public record CostModel(
    String name,
    String title,
    String requested,
    Set<Vulnerability> vulnerabilities,
    String vulnerabilitySource,
    Figure cyclesPerInstruction,
    List<CostEntry> entries) {
  /** The model that stands in for those without a file of their own. */
  public static final String DEFAULT = "skylake-server";

  private static final List<String> BUILT_IN =
      List.of(
          "haswell-server",
          "broadwell-server",
          "skylake-server",
          "cascadelake-server",
          "icelake-server",
          "sapphirerapids",
          "zen1",
          "zen2",
          "zen3",
          "zen4",
          "ideal");

  public CostModel {
    vulnerabilities = Set.copyOf(vulnerabilities);
    entries = List.copyOf(entries);
  }

  /** Names of the models that come with Ringfence. */
  public static List<String> builtIn() {
    return BUILT_IN;
  }

  /**
   * The costs of a model.
   *
   * @param nameOrFile name of a processor model, or a file, which has a {@code /} or ends in {@code
   *     .yaml} or {@code .yml}; for a name without a file of its own, {@link #DEFAULT} stands in,
   *     and {@link #note} says so
   * @throws BadInputException if a file cannot be read or is not right
   */
  public static CostModel load(String nameOrFile) {
    if (BUILT_IN.contains(nameOrFile)) {
      return builtIn(nameOrFile, nameOrFile);
    }
    if (nameOrFile.indexOf('/') < 0
        && !nameOrFile.endsWith(".yaml")
        && !nameOrFile.endsWith(".yml")) {
      return builtIn(DEFAULT, nameOrFile);
    }
    try {
      String text = YamlNode.decode(Files.readAllBytes(Path.of(nameOrFile)), nameOrFile);
      return parse(text, nameOrFile);
    } catch (IOException | InvalidPathException e) {
      throw new BadInputException(
          nameOrFile + ": expected a readable cost model, found " + BadInputException.reason(e), e);
    }
  }

  private static CostModel builtIn(String name, String requested) {
    return CostModelReader.read(
        resource(name + ".yaml"), name + ".yaml (built in)", common(), requested);
  }

  /**
   * The costs in a text.
   *
   * @param file for messages
   * @throws BadInputException if it is not right
   */
  public static CostModel parse(String text, String file) {
    return CostModelReader.read(text, file, common(), "");
  }

  private static CostModelReader.Costs common() {
    return CostModelReader.common(resource("common.yaml"), "common.yaml (built in)");
  }

  /** The JSON schema of cost models. */
  public static String schema() {
    return resource("cost-model.schema.json");
  }

  private static String resource(String name) {
    try (InputStream in = CostModel.class.getResourceAsStream(name)) {
      return YamlNode.decode(Objects.requireNonNull(in, name).readAllBytes(), name);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** What a reader of results must know: that another model stands in. Empty if none does. */
  public String note() {
    return requested.equals(name)
        ? ""
        : "There are no costs for the processor model "
            + requested
            + "; those of "
            + name
            + " were used.";
  }

  /** The costs that an event causes; none if it is not priced. */
  public List<CostEntry> entries(Event event) {
    return entries.stream().filter(entry -> entry.event() == event).toList();
  }

  /**
   * All that one event costs, as one entry; zero if it is not priced. The sum of several is marked
   * {@code S} only if each is.
   */
  public CostEntry range(Event event) {
    List<CostEntry> parts = entries(event);
    if (parts.size() == 1) {
      return parts.getFirst();
    }
    double low = 0;
    double high = 0;
    boolean read = true;
    List<String> sources = new ArrayList<>();
    for (CostEntry part : parts) {
      low += part.cycles().low();
      high += part.cycles().high();
      read &= part.cycles().mark().equals("S");
      sources.add(part.name() + ": " + part.cycles().source());
    }
    return new CostEntry(
        event.id(),
        event,
        event.meaning(),
        new Figure(low, high, String.join("; ", sources), read ? "S" : "R"));
  }

  /** What counted events cost: a line for each cost of each event that happened. */
  public List<CostLine> price(EventCounts counts) {
    List<CostLine> lines = new ArrayList<>();
    for (CostEntry entry : entries) {
      long count = counts.get(entry.event());
      if (count != 0) {
        lines.add(new CostLine(entry, count));
      }
    }
    return lines;
  }
}
