package dev.ringfence.lab.attack;

import dev.ringfence.isolation.policy.FlushOperations;
import dev.ringfence.isolation.policy.HardwareOperation;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.Vulnerability;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.NearestNames;
import dev.ringfence.machine.input.YamlNode;
import java.util.ArrayList;
import java.util.Collection;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/**
 * All columns of the leak matrix: the kernel's own mitigations from {@code mitigations.yaml}, then
 * each policy of isolation, then each policy with each of its flushes left out.
 */
public final class MitigationCatalog {
  /** The kernel as it is without any mitigation. */
  public static final String NONE = "none";

  /** What the kernel chooses for the processor. */
  public static final String LINUX_DEFAULT = "linux-default";

  /** Between a policy's name and the flush that is left out. */
  private static final String WITHOUT = "-without-";

  private static final String FILE = "mitigations.yaml";
  private static final List<String> KEYS = List.of("settings", "mitigations");
  private static final String SETTING = "a setting";
  private static final List<String> SETTING_KEYS = List.of("name", "off", "source");
  private static final String MITIGATION = "a mitigation";
  private static final List<String> MITIGATION_KEYS =
      List.of("name", "title", "kernel-default", "set", "not-applicable");
  private static final String EXEMPTION = "an exemption";
  private static final List<String> EXEMPTION_KEYS = List.of("models", "from", "reason");
  private static final int LONGEST = 400;

  private final Map<String, String> off;
  private final List<Mitigation> kernel;
  private final List<Mitigation> policies;

  private MitigationCatalog(Map<String, String> off, List<Mitigation> kernel) {
    this.off = off;
    this.kernel = kernel;
    List<Mitigation> isolating = new ArrayList<>();
    List<Mitigation> incomplete = new ArrayList<>();
    Policy.builtIn().stream()
        .map(Policy::load)
        .filter(Policy::isolates)
        .forEach(policy -> {
          isolating.add(ofPolicy(policy.name(), policy));
          incomplete.addAll(variants(policy));
        });
    isolating.addAll(incomplete);
    this.policies = List.copyOf(isolating);
  }

  /** The mitigations that are shipped. */
  public static MitigationCatalog shipped() {
    return parse(AttackResources.text(FILE), FILE + " (built in)");
  }

  /**
   * Reads the kernel's own mitigations.
   *
   * @param file name for messages
   * @throws BadInputException if something in it is not as it should be
   */
  static MitigationCatalog parse(String text, String file) {
    YamlNode.Entries root = YamlNode.read(text, file, "mitigations").entries("mitigations", KEYS);
    Map<String, String> off = new LinkedHashMap<>();
    for (YamlNode node : root.require("settings").list("settings")) {
      YamlNode.Entries map = node.entries(SETTING, SETTING_KEYS);
      map.require("source").text(LONGEST);
      if (off.put(map.require("name").text(LONGEST), map.require("off").text(LONGEST)) != null) {
        throw node.bad("each setting once", map.require("name").text(LONGEST) + " again");
      }
    }
    List<Mitigation> mitigations = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (YamlNode node : root.require("mitigations").list("mitigations")) {
      Mitigation mitigation = mitigation(node, off);
      if (!names.add(mitigation.name())) {
        throw node.bad("each mitigation once", mitigation.name() + " again");
      }
      mitigations.add(mitigation);
    }
    return new MitigationCatalog(off, List.copyOf(mitigations));
  }

  private static Mitigation mitigation(YamlNode node, Map<String, String> off) {
    YamlNode.Entries map = node.entries(MITIGATION, MITIGATION_KEYS);
    boolean kernelDefault = map.find("kernel-default").map(YamlNode::flag).orElse(false);
    Map<String, String> settings = new LinkedHashMap<>(kernelDefault ? Map.of() : off);
    if (map.find("set").isPresent()) {
      YamlNode.Entries set = map.require("set").entries("settings", off.keySet());
      for (String key : set.keys()) {
        settings.put(key, set.require(key).text(LONGEST));
      }
    }
    List<Mitigation.Exemption> exemptions = new ArrayList<>();
    if (map.find("not-applicable").isPresent()) {
      for (YamlNode exemption : map.require("not-applicable").list(EXEMPTION)) {
        YamlNode.Entries entries = exemption.entries(EXEMPTION, EXEMPTION_KEYS);
        Set<String> models = new HashSet<>();
        if (entries.find("models").isPresent()) {
          for (YamlNode model : entries.require("models").list("processor models")) {
            models.add(model.text(LONGEST));
          }
        }
        Set<Attack.From> from =
            entries
                .find("from")
                .map(place -> Set.of(place.oneOf(AttackCatalog.FROM)))
                .orElse(Set.of());
        exemptions.add(
            new Mitigation.Exemption(models, from, entries.require("reason").text(LONGEST)));
      }
    }
    return new Mitigation(
        map.require("name").text(LONGEST),
        map.require("title").text(LONGEST),
        settings,
        null,
        null,
        Set.of(),
        exemptions);
  }

  private Mitigation ofPolicy(String name, Policy policy) {
    return new Mitigation(name, policy.title(), off, policy, null, Set.of(), List.of());
  }

  /** Columns of a policy with each of its flushes left out. */
  private List<Mitigation> variants(Policy policy) {
    Map<HardwareOperation, Set<Vulnerability>> operations = new EnumMap<>(HardwareOperation.class);
    Set<HardwareOperation> everywhere = EnumSet.noneOf(HardwareOperation.class);
    FlushOperations flushes = policy.flushes();
    Stream.of(flushes.control(), flushes.data(), flushes.atEnter(), flushes.atExit())
        .flatMap(List::stream)
        .forEach(operation -> {
          operations
              .computeIfAbsent(operation.operation(), unused -> new HashSet<>())
              .addAll(operation.onlyOn());
          if (operation.onlyOn().isEmpty()) {
            everywhere.add(operation.operation());
          }
        });
    return operations.entrySet().stream()
        .map(entry ->
            variant(
                policy,
                entry.getKey(),
                everywhere.contains(entry.getKey()) ? Set.of() : entry.getValue()))
        .toList();
  }

  private Mitigation variant(
      Policy policy, HardwareOperation leftOut, Set<Vulnerability> leftOutOn) {
    return new Mitigation(
        policy.name() + WITHOUT + id(leftOut),
        "%s that never does %s".formatted(policy.name(), leftOut.name().replace('_', ' ')),
        off,
        without(policy, leftOut),
        leftOut,
        leftOutOn,
        List.of());
  }

  /** How an operation is written in names: {@code l1d-flush}. */
  static String id(HardwareOperation operation) {
    return operation.name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  private static Policy without(Policy policy, HardwareOperation operation) {
    FlushOperations flushes = policy.flushes();
    return new Policy(
        policy.file(),
        policy.name(),
        policy.title(),
        policy.description(),
        policy.sources(),
        policy.isolates(),
        policy.mapping(),
        policy.behaviour(),
        new FlushOperations(
            without(flushes.control(), operation),
            without(flushes.data(), operation),
            without(flushes.atEnter(), operation),
            without(flushes.atExit(), operation)),
        policy.classes());
  }

  private static List<FlushOperations.Operation> without(
      List<FlushOperations.Operation> operations, HardwareOperation operation) {
    return operations.stream().filter(candidate -> candidate.operation() != operation).toList();
  }

  /** All columns, in the order of the matrix. */
  public List<Mitigation> all() {
    return Stream.concat(kernel.stream(), policies.stream()).toList();
  }

  /**
   * Columns by name.
   *
   * @param wanted names, names joined by {@code +}, or YAML files of policies; none for all columns
   * @throws BadInputException if there is none of a name, or if settings contradict each other
   */
  public List<Mitigation> choose(Collection<String> wanted) {
    if (wanted.isEmpty()) {
      return all();
    }
    List<Mitigation> chosen = new ArrayList<>();
    for (String name : wanted) {
      Mitigation mitigation = find(name);
      if (chosen.stream().noneMatch(other -> other.name().equals(mitigation.name()))) {
        chosen.add(mitigation);
      }
    }
    return chosen;
  }

  /** The columns for a run under some policies: no mitigation, the kernel's choice, and those. */
  public List<Mitigation> ofRun(Collection<Policy> chosen) {
    List<Mitigation> columns = new ArrayList<>(List.of(find(NONE), find(LINUX_DEFAULT)));
    chosen.stream()
        .filter(Policy::isolates)
        .forEach(policy -> columns.add(ofPolicy(policy.name(), policy)));
    return columns;
  }

  private Mitigation find(String name) {
    if (name.endsWith(".yaml") || name.endsWith(".yml") || name.indexOf('/') >= 0) {
      return ofPolicy(name, Policy.load(name));
    }
    List<String> parts = List.of(name.split("\\+", -1));
    if (parts.size() > 1) {
      return combined(name, parts.stream().map(this::single).toList());
    }
    return single(name);
  }

  private Mitigation single(String name) {
    List<String> names = all().stream().map(Mitigation::name).toList();
    return all().stream()
        .filter(mitigation -> mitigation.name().equals(name))
        .findFirst()
        .orElseThrow(() ->
            new BadInputException(
                "mitigation %s: expected one of %s, some of them joined by +, or the YAML file of a policy, found none of that name%s"
                    .formatted(name, String.join(", ", names), NearestNames.hint(name, names))));
  }

  /** Several mitigations at once, if none undoes what another one does. */
  private Mitigation combined(String name, List<Mitigation> parts) {
    Map<String, String> settings = new LinkedHashMap<>(off);
    Map<String, Mitigation> decidedBy = new LinkedHashMap<>();
    Mitigation isolating = null;
    List<Mitigation.Exemption> exemptions = new ArrayList<>();
    for (Mitigation part : parts) {
      if (part.policy() == null && changes(part).isEmpty() || part.settings().isEmpty()) {
        throw new BadInputException(
            "mitigation %s: expected mitigations that can be combined, found %s, which decides every setting of the kernel by itself"
                .formatted(name, part.name()));
      }
      if (part.policy() != null) {
        if (isolating != null) {
          throw new BadInputException(
              "mitigation %s: expected at most one policy of isolation, found %s and %s"
                  .formatted(name, isolating.name(), part.name()));
        }
        isolating = part;
      }
      for (Map.Entry<String, String> change : changes(part).entrySet()) {
        Mitigation other = decidedBy.put(change.getKey(), part);
        if (other != null && !change.getValue().equals(settings.get(change.getKey()))) {
          throw new BadInputException(
              "mitigation %s: expected settings that agree, found %s of %s against %s of %s"
                  .formatted(
                      name,
                      settings.get(change.getKey()),
                      other.name(),
                      change.getValue(),
                      part.name()));
        }
        settings.put(change.getKey(), change.getValue());
      }
      exemptions.addAll(part.exemptions());
    }
    return new Mitigation(
        name,
        String.join("; ", parts.stream().map(Mitigation::title).toList()),
        settings,
        isolating == null ? null : isolating.policy(),
        isolating == null ? null : isolating.leftOut(),
        isolating == null ? Set.of() : isolating.leftOutOn(),
        exemptions);
  }

  /** Settings that are not off. */
  private Map<String, String> changes(Mitigation mitigation) {
    Map<String, String> changes = new LinkedHashMap<>(mitigation.settings());
    changes.entrySet().removeIf(entry -> entry.getValue().equals(off.get(entry.getKey())));
    return changes;
  }
}
