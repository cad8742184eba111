package dev.ringfence.lab.attack;

import dev.ringfence.isolation.policy.HardwareOperation;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.YamlNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * What must come out of each attack, by what is published: {@code expected.yaml}.
 *
 * <p>For each attack the file says on which processor models it cannot run, on which it finds
 * nothing, and on which it leaks; and, for the latter, what stops it. A cell that nothing stops
 * leaks, and its source is the one that says that the processor is affected.
 */
public final class ExpectedMatrix {
  /** What comes out of an attack. */
  public enum Outcome {
    LEAKED,
    NOT_LEAKED,
    NOT_APPLICABLE
  }

  /**
   * What must come out in one cell.
   *
   * @param reason why, for people
   * @param source who says so
   */
  public record Expectation(Outcome outcome, String reason, String source) {}

  private static final String FILE = "expected.yaml";
  private static final String NOT_APPLICABLE = "cannot-run";
  private static final String SAFE = "finds-nothing";
  private static final String LEAKS = "leaks";
  private static final String STOPPED = "stopped-by";
  private static final String NOT_STOPPED = "not-stopped-by";
  private static final List<String> KEYS = List.of("models", "attacks");
  private static final String ATTACK = "expectations of an attack";
  private static final List<String> ATTACK_KEYS =
      List.of(NOT_APPLICABLE, SAFE, LEAKS, STOPPED, NOT_STOPPED);
  private static final String GROUP = "processor models";
  private static final List<String> GROUP_KEYS = List.of("models", "reason", "source");
  private static final String STOP = "what stops an attack, or does not";
  private static final List<String> STOP_KEYS =
      List.of("mitigations", "targets", "models", "needs", "reason", "source");
  private static final int LONGEST = 2_000;

  private record Group(Outcome outcome, Set<String> models, String reason, String source) {}

  private record Stop(
      Set<String> mitigations,
      Set<String> targets,
      Set<String> models,
      Set<HardwareOperation> needs,
      String reason,
      String source) {
    boolean stops(String target, Mitigation mitigation, String model) {
      HardwareOperation leftOut = mitigation.leftOut();
      boolean named =
          mitigations.contains(mitigation.name())
              || mitigations.contains(mitigation.policyName())
                  && !(leftOut != null && needs.contains(leftOut));
      return named
          && (targets.isEmpty() || targets.contains(target))
          && (models.isEmpty() || models.contains(model));
    }
  }

  /**
   * @param notStopped what could be thought to stop the attack, with the reason why it does not
   */
  private record OfAttack(List<Group> groups, List<Stop> stops, List<Stop> notStopped) {}

  private final Set<String> models;
  private final Set<String> mitigations;
  private final Map<String, OfAttack> attacks;

  private ExpectedMatrix(
      Set<String> models, Set<String> mitigations, Map<String, OfAttack> attacks) {
    this.models = models;
    this.mitigations = mitigations;
    this.attacks = attacks;
  }

  /** The expectations of the attacks that are shipped. */
  public static ExpectedMatrix shipped() {
    return parse(
        AttackResources.text(FILE),
        FILE + " (built in)",
        AttackCatalog.shipped(),
        MitigationCatalog.shipped());
  }

  /**
   * Reads expectations.
   *
   * @param file name for messages
   * @throws BadInputException if something in it is not as it should be, or it names what is in
   *     neither catalog
   */
  static ExpectedMatrix parse(
      String text, String file, AttackCatalog catalog, MitigationCatalog mitigations) {
    YamlNode.Entries root = YamlNode.read(text, file, "expectations").entries("expectations", KEYS);
    Set<String> models = new LinkedHashSet<>();
    root.require("models").list("processor models").forEach(node -> models.add(node.text(LONGEST)));
    Set<String> columns =
        mitigations.all().stream().map(Mitigation::name).collect(Collectors.toSet());
    Reader reader =
        new Reader(
            words(models),
            words(columns),
            words(catalog.targets().stream().map(Target::name).collect(Collectors.toSet())));
    Map<String, OfAttack> attacks = new LinkedHashMap<>();
    YamlNode.Entries entries = root.require("attacks").entries("attacks", catalog.names());
    for (String name : entries.keys()) {
      attacks.put(name, reader.attack(entries.require(name)));
    }
    return new ExpectedMatrix(models, columns, attacks);
  }

  private static Map<String, String> words(Set<String> names) {
    return names.stream()
        .sorted()
        .collect(Collectors.toMap(name -> name, name -> name, (a, b) -> a, LinkedHashMap::new));
  }

  private record Reader(
      Map<String, String> models, Map<String, String> mitigations, Map<String, String> targets) {
    OfAttack attack(YamlNode node) {
      YamlNode.Entries map = node.entries(ATTACK, ATTACK_KEYS);
      List<Group> groups = new ArrayList<>();
      groups(map, NOT_APPLICABLE, Outcome.NOT_APPLICABLE, groups);
      groups(map, SAFE, Outcome.NOT_LEAKED, groups);
      groups(map, LEAKS, Outcome.LEAKED, groups);
      Set<String> seen = new LinkedHashSet<>();
      for (Group group : groups) {
        for (String model : group.models) {
          if (!seen.add(model)) {
            throw node.bad("each processor model once", model + " again");
          }
        }
      }
      if (!seen.containsAll(models.keySet())) {
        Set<String> missing = new LinkedHashSet<>(models.keySet());
        missing.removeAll(seen);
        throw node.bad("all processor models", "none of " + String.join(", ", missing));
      }
      return new OfAttack(groups, stops(map.find(STOPPED)), stops(map.find(NOT_STOPPED)));
    }

    private void groups(YamlNode.Entries map, String key, Outcome outcome, List<Group> groups) {
      for (YamlNode node : list(map.find(key), GROUP)) {
        YamlNode.Entries entries = node.entries(GROUP, GROUP_KEYS);
        groups.add(
            new Group(
                outcome,
                names(entries.find("models"), models),
                entries.require("reason").text(LONGEST),
                entries.require("source").text(LONGEST)));
      }
    }

    private List<Stop> stops(Optional<YamlNode> nodes) {
      List<Stop> stops = new ArrayList<>();
      for (YamlNode node : list(nodes, STOP)) {
        stops.add(stop(node));
      }
      return stops;
    }

    private Stop stop(YamlNode node) {
      YamlNode.Entries map = node.entries(STOP, STOP_KEYS);
      Map<String, HardwareOperation> operations = new LinkedHashMap<>();
      for (HardwareOperation operation : HardwareOperation.values()) {
        operations.put(MitigationCatalog.id(operation), operation);
      }
      Set<HardwareOperation> needs =
          list(map.find("needs"), "operations").stream()
              .map(need -> need.oneOf(operations))
              .collect(Collectors.toSet());
      return new Stop(
          names(Optional.of(map.require("mitigations")), mitigations),
          names(map.find("targets"), targets),
          names(map.find("models"), models),
          needs,
          map.require("reason").text(LONGEST),
          map.require("source").text(LONGEST));
    }

    private static Set<String> names(Optional<YamlNode> list, Map<String, String> words) {
      Set<String> names = new LinkedHashSet<>();
      list(list, "names").forEach(node -> names.add(node.oneOf(words)));
      return names;
    }

    private static List<YamlNode> list(Optional<YamlNode> node, String what) {
      return node.map(present -> present.list(what)).orElse(List.of());
    }
  }

  /** Processor models for which there are expectations. */
  public List<String> models() {
    return List.copyOf(models);
  }

  /**
   * Those of some attacks that leak when nothing is mitigated; all if nothing is known of the
   * processor model.
   */
  public List<Attack> leakingWithoutMitigation(
      List<Attack> candidates, AttackedProcessor processor) {
    Mitigation none =
        MitigationCatalog.shipped().choose(List.of(MitigationCatalog.NONE)).getFirst();
    return candidates.stream()
        .filter(attack ->
            of(attack, attack.targets().getFirst(), none, processor)
                .map(expectation -> expectation.outcome() == Outcome.LEAKED)
                .orElse(true))
        .toList();
  }

  /**
   * What must come out, or empty if nothing is known: a processor model or a policy of the user's
   * own, or several mitigations at once.
   */
  public Optional<Expectation> of(
      Attack attack, Target target, Mitigation mitigation, AttackedProcessor processor) {
    String model = processor.model();
    OfAttack expected = attacks.get(attack.name());
    if (expected == null || !mitigations.contains(mitigation.name())) {
      return Optional.empty();
    }
    Group group =
        expected.groups.stream()
            .filter(candidate -> candidate.models.contains(model))
            .findFirst()
            .orElse(null);
    if (group == null) {
      return Optional.empty();
    }
    String exempt = mitigation.notApplicable(processor, attack.from());
    if (!exempt.isEmpty()) {
      return Optional.of(
          new Expectation(
              Outcome.NOT_APPLICABLE, exempt, "mitigations.yaml, " + mitigation.name()));
    }
    if (group.outcome == Outcome.LEAKED) {
      for (Stop stop : expected.stops) {
        if (stop.stops(target.name(), mitigation, model)) {
          return Optional.of(new Expectation(Outcome.NOT_LEAKED, stop.reason, stop.source));
        }
      }
      for (Stop none : expected.notStopped) {
        if (none.stops(target.name(), mitigation, model)) {
          return Optional.of(new Expectation(Outcome.LEAKED, none.reason, none.source));
        }
      }
    }
    return Optional.of(new Expectation(group.outcome, group.reason, group.source));
  }
}
