package dev.ringfence.isolation.policy;

import dev.ringfence.isolation.policy.Behaviour.Fill;
import dev.ringfence.isolation.policy.Behaviour.FreePages;
import dev.ringfence.isolation.policy.Behaviour.OnContextSwitch;
import dev.ringfence.isolation.policy.Behaviour.OnInterrupt;
import dev.ringfence.isolation.policy.Behaviour.OnKernelEntry;
import dev.ringfence.isolation.policy.Behaviour.OwnUserMemory;
import dev.ringfence.isolation.policy.MappingRule.UserAllocation;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.machine.input.YamlNode;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/** Reads and checks the YAML file of a policy. Each key is described in docs/policies.md. */
final class PolicyReader {
  private static final int LONGEST_NAME = 64;
  private static final int LONGEST_LINE = 200;
  private static final int LONGEST_TEXT = 20_000;
  private static final int MOST_SLOTS = 1024;

  private static final List<String> KEYS =
      List.of(
          "name",
          "title",
          "description",
          "sources",
          "isolation",
          "mapping",
          "own-user-memory",
          "fill",
          "free-pages",
          "on-kernel-entry",
          "on-interrupt",
          "on-context-switch",
          "pcid",
          "ephemeral",
          "flush",
          "classes");

  private static final List<String> MAPPING_KEYS = List.of("default", "rules");
  private static final List<String> RULE_KEYS =
      List.of("kind", "name", "symbol", "user-allocation", "if-present", "disposition", "reason");
  private static final List<String> FLUSH_KEYS = List.of("control", "data", "at-enter", "at-exit");
  private static final List<String> TAINT_KEYS = List.of("prevent-control", "protect-data", "set");

  private static final Map<String, Disposition> DISPOSITIONS =
      words(Disposition.values(), Disposition::id);
  private static final Map<String, PageKind> KINDS = words(PageKind.values(), PageKind::id);
  private static final Map<String, Taint> TAINTS = words(Taint.values(), Taint::id);
  private static final Map<String, Vulnerability> VULNERABILITIES =
      words(Vulnerability.values(), Vulnerability::id);
  private static final Map<String, DomainClass> CLASSES =
      words(DomainClass.values(), DomainClass::id);

  /** A write of CR3 is part of every transition, not of a flush. */
  private static final Map<String, HardwareOperation> OPERATIONS =
      words(
          new HardwareOperation[] {
            HardwareOperation.IBPB,
            HardwareOperation.RSB_FILL,
            HardwareOperation.L1D_FLUSH,
            HardwareOperation.VERW
          },
          HardwareOperation::name);

  private PolicyReader() {}

  private static <T> Map<String, T> words(T[] values, Function<T, String> word) {
    Map<String, T> words = new LinkedHashMap<>();
    for (T value : values) {
      words.put(word.apply(value), value);
    }
    return words;
  }

  private static <T extends Enum<T>> Map<String, T> hyphenated(Class<T> type) {
    return words(
        type.getEnumConstants(), value -> value.name().toLowerCase(Locale.ROOT).replace('_', '-'));
  }

  static Policy read(String text, String file) {
    YamlNode.Entries root = YamlNode.read(text, file, "a policy").entries("a policy", KEYS);
    String name = root.require("name").text(LONGEST_NAME);
    if (!name.matches("[a-z0-9]([a-z0-9.-]*[a-z0-9])?")) {
      throw root.require("name")
          .bad("a name of lower-case letters, digits, dots and hyphens", "'" + name + "'");
    }
    boolean isolates = root.find("isolation").map(YamlNode::flag).orElse(true);
    if (!isolates) {
      for (String key : root.keys()) {
        if (!List.of("name", "title", "description", "sources", "isolation").contains(key)) {
          throw root.require(key).bad("no key " + key + ", as isolation is false", key);
        }
      }
    }
    List<String> sources = new ArrayList<>();
    if (root.find("sources").isPresent()) {
      for (YamlNode source : root.require("sources").list("sources")) {
        sources.add(source.text(LONGEST_TEXT));
      }
    }
    return new Policy(
        file,
        name,
        root.require("title").text(LONGEST_LINE),
        root.find("description").map(node -> node.text(LONGEST_TEXT)).orElse(""),
        sources,
        isolates,
        isolates ? mapping(root.require("mapping")) : Mapping.EVERYTHING,
        isolates ? behaviour(root) : Behaviour.NONE,
        root.find("flush").map(PolicyReader::flushes).orElse(FlushOperations.NONE),
        root.find("classes").map(PolicyReader::classes).orElse(Map.of()));
  }

  private static Mapping mapping(YamlNode node) {
    YamlNode.Entries entries = node.entries("a mapping policy", MAPPING_KEYS);
    List<MappingRule> rules = new ArrayList<>();
    if (entries.find("rules").isPresent()) {
      for (YamlNode rule : entries.require("rules").list("rules")) {
        rules.add(rule(rule));
      }
    }
    return new Mapping(entries.require("default").oneOf(DISPOSITIONS), rules);
  }

  private static MappingRule rule(YamlNode node) {
    YamlNode.Entries entries = node.entries("a rule", RULE_KEYS);
    Set<PageKind> kinds = EnumSet.noneOf(PageKind.class);
    if (entries.find("kind").isPresent()) {
      for (YamlNode kind : entries.require("kind").list("page kinds")) {
        kinds.add(kind.oneOf(KINDS));
      }
      if (kinds.isEmpty()) {
        throw entries.require("kind").bad("at least one page kind", "none");
      }
    }
    List<Glob> names = globs(entries, "name");
    List<Glob> symbols = globs(entries, "symbol");
    UserAllocation user =
        entries
            .find("user-allocation")
            .map(flag -> flag.flag() ? UserAllocation.YES : UserAllocation.NO)
            .orElse(UserAllocation.ANY);
    if (kinds.isEmpty() && names.isEmpty() && symbols.isEmpty() && user == UserAllocation.ANY) {
      throw node.bad(
          "a rule with a condition (kind, name, symbol or user-allocation)",
          "none; what holds for all pages is the default");
    }
    return new MappingRule(
        node.line(),
        kinds,
        names,
        symbols,
        user,
        entries.find("if-present").map(YamlNode::flag).orElse(false),
        entries.require("disposition").oneOf(DISPOSITIONS),
        entries.find("reason").map(reason -> reason.text(LONGEST_TEXT)).orElse(""));
  }

  private static List<Glob> globs(YamlNode.Entries entries, String key) {
    List<Glob> globs = new ArrayList<>();
    if (entries.find(key).isPresent()) {
      YamlNode node = entries.require(key);
      for (YamlNode glob : node.list("names")) {
        globs.add(new Glob(glob.text(LONGEST_LINE)));
      }
      if (globs.isEmpty()) {
        throw node.bad("at least one name", "none");
      }
    }
    return globs;
  }

  private static Behaviour behaviour(YamlNode.Entries root) {
    int slots = 1;
    if (root.find("ephemeral").isPresent()) {
      YamlNode.Entries ephemeral =
          root.require("ephemeral").entries("ephemeral mappings", List.of("slots-per-processor"));
      slots = (int) ephemeral.require("slots-per-processor").number(1, MOST_SLOTS);
    }
    return new Behaviour(
        ownUserMemory(root.require("own-user-memory")),
        root.require("fill").oneOf(hyphenated(Fill.class)),
        root.require("free-pages").oneOf(hyphenated(FreePages.class)),
        root.require("on-kernel-entry").oneOf(hyphenated(OnKernelEntry.class)),
        root.require("on-interrupt").oneOf(hyphenated(OnInterrupt.class)),
        root.require("on-context-switch").oneOf(hyphenated(OnContextSwitch.class)),
        root.require("pcid").flag(),
        slots);
  }

  /** A word for all classes of domains, or one for each. */
  private static Map<DomainClass, OwnUserMemory> ownUserMemory(YamlNode node) {
    Map<String, OwnUserMemory> ofMachines = hyphenated(OwnUserMemory.class);
    Map<String, OwnUserMemory> ofAll = new LinkedHashMap<>(ofMachines);
    ofAll.values().remove(OwnUserMemory.GUEST_MEMORY);
    if (!node.isMapping()) {
      return Behaviour.inAllClasses(node.oneOf(ofAll));
    }
    YamlNode.Entries entries = node.entries("classes of domains", CLASSES.keySet());
    Map<DomainClass, OwnUserMemory> memory = new EnumMap<>(DomainClass.class);
    CLASSES.forEach((id, domainClass) ->
        memory.put(
            domainClass,
            entries.require(id).oneOf(domainClass == DomainClass.KVM ? ofMachines : ofAll)));
    return memory;
  }

  private static FlushOperations flushes(YamlNode node) {
    YamlNode.Entries entries = node.entries("flushes", FLUSH_KEYS);
    return new FlushOperations(
        operations(entries, "control"),
        operations(entries, "data"),
        operations(entries, "at-enter"),
        operations(entries, "at-exit"));
  }

  private static List<FlushOperations.Operation> operations(YamlNode.Entries entries, String key) {
    List<FlushOperations.Operation> operations = new ArrayList<>();
    if (entries.find(key).isPresent()) {
      for (YamlNode node : entries.require(key).list("operations")) {
        operations.add(operation(node));
      }
    }
    return operations;
  }

  private static FlushOperations.Operation operation(YamlNode node) {
    if (!node.isMapping()) {
      return new FlushOperations.Operation(node.oneOf(OPERATIONS), Set.of());
    }
    YamlNode.Entries entries = node.entries("an operation", List.of("operation", "only-on"));
    Set<Vulnerability> onlyOn = EnumSet.noneOf(Vulnerability.class);
    for (YamlNode vulnerability : entries.require("only-on").list("vulnerabilities")) {
      onlyOn.add(vulnerability.oneOf(VULNERABILITIES));
    }
    if (onlyOn.isEmpty()) {
      throw entries.require("only-on").bad("at least one vulnerability", "none");
    }
    return new FlushOperations.Operation(entries.require("operation").oneOf(OPERATIONS), onlyOn);
  }

  private static Map<DomainClass, TaintRules> classes(YamlNode node) {
    YamlNode.Entries entries = node.entries("classes of domains", CLASSES.keySet());
    Map<DomainClass, TaintRules> classes = new EnumMap<>(DomainClass.class);
    CLASSES.forEach((id, domainClass) ->
        entries.find(id).ifPresent(taints -> classes.put(domainClass, taints(taints))));
    return classes;
  }

  private static TaintRules taints(YamlNode node) {
    YamlNode.Entries entries = node.entries("a class of domains", TAINT_KEYS);
    return new TaintRules(
        mask(entries, "prevent-control", Taint.CONTROL, "a control taint"),
        mask(entries, "protect-data", Taint.DATA, "a data taint"),
        mask(entries, "set", Taint.CONTROL | Taint.DATA, "a taint"));
  }

  private static int mask(YamlNode.Entries entries, String key, int allowed, String what) {
    int mask = 0;
    if (entries.find(key).isPresent()) {
      for (YamlNode node : entries.require(key).list("taints")) {
        Taint taint = node.oneOf(TAINTS);
        if ((taint.bit() & allowed) == 0) {
          throw node.bad(what + " (" + Taint.text(allowed) + ")");
        }
        mask |= taint.bit();
      }
    }
    return mask;
  }
}
