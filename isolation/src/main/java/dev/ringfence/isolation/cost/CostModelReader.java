package dev.ringfence.isolation.cost;

import dev.ringfence.isolation.policy.Vulnerability;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.YamlNode;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** Reads and checks the YAML file of a cost model. */
final class CostModelReader {
  private static final int LONGEST_LINE = 200;
  private static final int LONGEST_TEXT = 20_000;

  /** A second on any processor; no event takes longer. */
  private static final double MOST_CYCLES = 1e10;

  private static final double MOST_CYCLES_PER_INSTRUCTION = 1000;

  private static final List<String> KEYS =
      List.of("name", "title", "vulnerabilities", "cycles-per-instruction", "costs");
  private static final List<String> FIGURE_KEYS = List.of("low", "high", "source", "mark");
  private static final List<String> COST_KEYS =
      List.of("event", "name", "meaning", "low", "high", "source", "mark");

  private static final Map<String, Event> EVENTS = new LinkedHashMap<>();
  private static final Map<String, Vulnerability> VULNERABILITIES = new LinkedHashMap<>();
  private static final Map<String, String> MARKS = Map.of("S", "S", "R", "R");

  static {
    for (Event event : Event.values()) {
      if (event.isPriced()) {
        EVENTS.put(event.id(), event);
      }
    }
    for (Vulnerability vulnerability : Vulnerability.values()) {
      VULNERABILITIES.put(vulnerability.id(), vulnerability);
    }
  }

  /**
   * What a file says.
   *
   * @param cyclesPerInstruction null if it does not say
   * @param entries by name
   */
  record Costs(
      String name,
      String title,
      Set<Vulnerability> vulnerabilities,
      String vulnerabilitySource,
      @Nullable Figure cyclesPerInstruction,
      Map<String, CostEntry> entries) {}

  private CostModelReader() {}

  /** Reads the file on which all models rest. */
  static Costs common(String text, String file) {
    return costs(text, file, Map.of());
  }

  /**
   * Reads a model.
   *
   * @param requested name under which it was asked for, empty for its own
   */
  static CostModel read(String text, String file, Costs common, String requested) {
    Costs own = costs(text, file, common.entries);
    Map<String, CostEntry> merged = new LinkedHashMap<>(common.entries);
    merged.putAll(own.entries);
    List<CostEntry> entries = new ArrayList<>();
    for (Event event : EVENTS.values()) {
      int before = entries.size();
      merged.values().stream().filter(entry -> entry.event() == event).forEach(entries::add);
      if (entries.size() == before) {
        throw new BadInputException(
            file + ": expected a cost of the event " + event.id() + ", found none");
      }
    }
    Figure cycles =
        own.cyclesPerInstruction == null ? common.cyclesPerInstruction : own.cyclesPerInstruction;
    if (cycles == null) {
      throw new BadInputException(file + ": expected cycles-per-instruction, found none");
    }
    return new CostModel(
        own.name,
        own.title,
        requested.isEmpty() ? own.name : requested,
        own.vulnerabilities,
        own.vulnerabilitySource,
        cycles,
        entries);
  }

  private static Costs costs(String text, String file, Map<String, CostEntry> inherited) {
    YamlNode.Entries root = YamlNode.read(text, file, "a cost model").entries("a cost model", KEYS);
    Set<Vulnerability> vulnerabilities = EnumSet.noneOf(Vulnerability.class);
    String source = "";
    if (root.find("vulnerabilities").isPresent()) {
      YamlNode.Entries section =
          root.require("vulnerabilities").entries("vulnerabilities", List.of("names", "source"));
      for (YamlNode node : section.require("names").list("vulnerabilities")) {
        vulnerabilities.add(node.oneOf(VULNERABILITIES));
      }
      source = section.require("source").text(LONGEST_TEXT);
    }
    Map<String, CostEntry> entries = new LinkedHashMap<>();
    for (YamlNode node : root.require("costs").list("costs")) {
      CostEntry entry = entry(node, inherited);
      if (entries.put(entry.name(), entry) != null) {
        throw node.bad("each cost once", entry.name() + " again");
      }
    }
    return new Costs(
        root.require("name").text(LONGEST_LINE),
        root.require("title").text(LONGEST_LINE),
        vulnerabilities,
        source,
        root.find("cycles-per-instruction").map(CostModelReader::cyclesPerInstruction).orElse(null),
        entries);
  }

  private static Figure cyclesPerInstruction(YamlNode node) {
    YamlNode.Entries entries = node.entries("cycles per instruction", FIGURE_KEYS);
    return figure(entries, MOST_CYCLES_PER_INSTRUCTION);
  }

  private static CostEntry entry(YamlNode node, Map<String, CostEntry> inherited) {
    YamlNode.Entries entries = node.entries("a cost", COST_KEYS);
    Event event = entries.require("event").oneOf(EVENTS);
    String name = entries.find("name").map(text -> text.text(LONGEST_LINE)).orElse(event.id());
    CostEntry general = inherited.get(name);
    if (general != null && general.event() != event) {
      throw node.bad("another name, as " + name + " is a cost of " + general.event().id(), name);
    }
    String meaning =
        entries
            .find("meaning")
            .map(text -> text.text(LONGEST_TEXT))
            .orElse(general == null ? event.meaning() : general.meaning());
    return new CostEntry(name, event, meaning, figure(entries, MOST_CYCLES));
  }

  private static Figure figure(YamlNode.Entries entries, double most) {
    double low = entries.require("low").number(0, most);
    YamlNode highNode = entries.require("high");
    double high = highNode.number(0, most);
    if (high < low) {
      throw highNode.bad("a high bound that is not below the low one");
    }
    return new Figure(
        low,
        high,
        entries.require("source").text(LONGEST_TEXT),
        entries.require("mark").oneOf(MARKS));
  }
}
