package dev.ringfence.silicon.model;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.machine.cpu.CpuModel.CacheType;
import dev.ringfence.machine.input.YamlNode;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Reads and checks the section {@code silicon} of a CPU model's file. */
final class SiliconModelReader {
  private static final int LONGEST_SOURCE = 400;

  /** A millisecond or so; no single operation takes longer. */
  private static final int MOST_CYCLES = 1_000_000;

  /** What {@link ReplacementPolicy#LRU} can choose among. */
  private static final int MOST_TRANSLATION_WAYS = 16;

  private static final int MOST_TARGET_WAYS = 64;

  private static final Map<String, String> MARKS = Map.of("S", "S", "R", "R");
  private static final List<String> SECTIONS =
      List.of(
          "sources", "caches", "translation", "buffers", "pipeline", "predictors", "forwarding");
  private static final List<String> VALUE_KEYS = List.of("value", "source", "mark");

  private final CpuModel model;
  private final YamlNode node;
  private final YamlNode.Entries root;
  private final Map<String, String> sources;

  private SiliconModelReader(CpuModel model, YamlNode node) {
    this.model = model;
    this.node = node;
    this.root = node.entries("silicon", SECTIONS);
    this.sources = sources(root.require("sources"));
  }

  static SiliconModel read(CpuModel model) {
    YamlNode node =
        model
            .silicon()
            .orElseThrow(() ->
                new BadInputException(
                    "CPU model "
                        + model.name()
                        + ": expected a section silicon, which caches, predictors and attacks"
                        + " need, found none"));
    return new SiliconModelReader(model, node).read();
  }

  private SiliconModel read() {
    return new SiliconModel(
        model.name(),
        model.vendor(),
        caches(),
        translation(),
        buffers(),
        pipeline(),
        predictors(),
        forwarding());
  }

  private static Map<String, String> sources(YamlNode section) {
    Map<String, String> sources = new LinkedHashMap<>();
    section.mapping("sources").forEach((id, text) -> sources.put(id, text.text(LONGEST_SOURCE)));
    return sources;
  }

  private Caches caches() {
    Section section =
        new Section(
            "caches",
            "l1-instruction-latency",
            "l1-instruction-replacement",
            "l1-data-latency",
            "l1-data-replacement",
            "l2-latency",
            "l2-replacement",
            "l3-latency",
            "l3-replacement",
            "memory-latency",
            "next-line-prefetch",
            "stride-prefetch");
    int l1Instruction = section.number("l1-instruction-latency", 1, MOST_CYCLES);
    int l1Data = section.number("l1-data-latency", 1, MOST_CYCLES);
    int l2 = section.number("l2-latency", Math.max(l1Data, l1Instruction) + 1, MOST_CYCLES);
    int l3 = section.number("l3-latency", l2 + 1, MOST_CYCLES);
    int memory = section.number("memory-latency", l3 + 1, MOST_CYCLES);
    return new Caches(
        lineBytes(),
        level(1, CacheType.INSTRUCTION, l1Instruction, section, "l1-instruction-replacement"),
        level(1, CacheType.DATA, l1Data, section, "l1-data-replacement"),
        level(2, CacheType.UNIFIED, l2, section, "l2-replacement"),
        level(3, CacheType.UNIFIED, l3, section, "l3-replacement"),
        memory,
        section.flag("next-line-prefetch"),
        section.flag("stride-prefetch"));
  }

  private int lineBytes() {
    List<Integer> sizes =
        model.caches().stream().map(CpuModel.Cache::lineBytes).distinct().toList();
    if (sizes.size() != 1) {
      throw node.bad("caches with lines of one size", sizes.size() + " sizes");
    }
    return sizes.getFirst();
  }

  private CacheLevel level(
      int level, CacheType type, int latency, Section section, String replacementKey) {
    List<CpuModel.Cache> found = new ArrayList<>();
    for (CpuModel.Cache cache : model.caches()) {
      if (cache.level() == level && cache.type() == type) {
        found.add(cache);
      }
    }
    if (found.size() != 1) {
      throw node.bad(
          "a model with one cache of level " + level + " for " + type.id() + " contents",
          Integer.toString(found.size()));
    }
    CpuModel.Cache cache = found.getFirst();
    return new CacheLevel(
        cache.bytes(),
        cache.ways(),
        latency,
        cache.inclusive(),
        section.replacement(replacementKey, cache.ways()));
  }

  private Translation translation() {
    Section section =
        new Section(
            "translation",
            "l1-entries",
            "l1-ways",
            "l2-entries",
            "l2-ways",
            "l2-latency",
            "walk-step-latency");
    return new Translation(
        section.entries("l1-entries", "l1-ways", MOST_TRANSLATION_WAYS),
        section.number("l1-ways", 1, MOST_TRANSLATION_WAYS),
        section.entries("l2-entries", "l2-ways", MOST_TRANSLATION_WAYS),
        section.number("l2-ways", 1, MOST_TRANSLATION_WAYS),
        section.number("l2-latency", 1, MOST_CYCLES),
        section.number("walk-step-latency", 0, MOST_CYCLES));
  }

  private Buffers buffers() {
    Section section = new Section("buffers", "fill-buffers", "store-buffer", "load-ports");
    return new Buffers(
        section.number("fill-buffers", 1, 256),
        section.number("store-buffer", 1, 1024),
        section.number("load-ports", 1, 16));
  }

  private Pipeline pipeline() {
    Section section =
        new Section(
            "pipeline",
            "width",
            "reorder-buffer",
            "front-end-refill",
            "fault-delay",
            "store-forward-latency",
            "transient-execution",
            "latencies");
    int width = section.number("width", 1, 32);
    return new Pipeline(
        width,
        section.number("reorder-buffer", width, 1 << 16),
        section.number("front-end-refill", 1, MOST_CYCLES),
        section.number("fault-delay", 0, MOST_CYCLES),
        section.number("store-forward-latency", 1, MOST_CYCLES),
        section.flag("transient-execution"),
        latencies(section));
  }

  private Map<String, Integer> latencies(Section pipeline) {
    Section section =
        new Section(pipeline.entries.require("latencies"), "latencies", Pipeline.CLASSES);
    Map<String, Integer> latencies = new LinkedHashMap<>();
    for (String name : Pipeline.CLASSES) {
      latencies.put(name, section.number(name, 1, MOST_CYCLES));
    }
    return Collections.unmodifiableMap(latencies);
  }

  private Predictors predictors() {
    Section section =
        new Section(
            "predictors",
            "direction-entries",
            "history-length",
            "target-entries",
            "target-ways",
            "target-address-bits",
            "target-uses-history",
            "history-crosses-modes",
            "return-stack",
            "return-underflow",
            "returns-from-target-predictor",
            "predicts-non-branches",
            "phantom-calls",
            "mode-isolation",
            "indirect-target-selection");
    return new Predictors(
        section.powerOfTwo("direction-entries", 1 << 24),
        section.number("history-length", 1, 1024),
        section.entries("target-entries", "target-ways", MOST_TARGET_WAYS),
        section.number("target-ways", 1, MOST_TARGET_WAYS),
        section.number("target-address-bits", 4, 64),
        section.flag("target-uses-history"),
        section.flag("history-crosses-modes"),
        section.number("return-stack", 1, 1024),
        section.word("return-underflow", ReturnUnderflow.values()),
        section.flag("returns-from-target-predictor"),
        section.flag("predicts-non-branches"),
        section.word("phantom-calls", PhantomCalls.values()),
        section.word("mode-isolation", ModeIsolation.values()),
        section.word("indirect-target-selection", IndirectTargetSelection.values()));
  }

  private Forwarding forwarding() {
    Section section =
        new Section(
            "forwarding",
            "supervisor-from-l1",
            "terminal-fault-uses-frame",
            "store-buffer",
            "fill-buffers",
            "load-ports",
            "transaction-abort",
            "zero-on-fault",
            "store-bypass");
    return new Forwarding(
        section.flag("supervisor-from-l1"),
        section.flag("terminal-fault-uses-frame"),
        section.flag("store-buffer"),
        section.flag("fill-buffers"),
        section.flag("load-ports"),
        section.flag("transaction-abort"),
        section.flag("zero-on-fault"),
        section.flag("store-bypass"));
  }

  /** A mapping of keys to values, each of which names its source and how sure it is. */
  private final class Section {
    private final YamlNode.Entries entries;
    private final String name;

    Section(String name, String... keys) {
      this(root.require(name), name, List.of(keys));
    }

    Section(YamlNode section, String name, List<String> keys) {
      this.name = name;
      this.entries = section.entries(name, keys);
    }

    private YamlNode value(String key) {
      YamlNode.Entries value = entries.require(key).entries(key + " of " + name, VALUE_KEYS);
      value.require("source").oneOf(sources);
      value.require("mark").oneOf(MARKS);
      return value.require("value");
    }

    int number(String key, int low, int high) {
      return value(key).integer(low, high);
    }

    int powerOfTwo(String key, int high) {
      YamlNode value = value(key);
      int number = value.integer(1, high);
      if (Integer.bitCount(number) != 1) {
        throw value.bad("a power of two");
      }
      return number;
    }

    /** Entries of a table with sets of so many ways. */
    int entries(String key, String waysKey, int mostWays) {
      int ways = number(waysKey, 1, mostWays);
      YamlNode value = value(key);
      int number = value.integer(ways, 1 << 24);
      if (number % ways != 0) {
        throw value.bad("a multiple of the ways, " + ways);
      }
      return number;
    }

    boolean flag(String key) {
      return value(key).flag();
    }

    <E extends Enum<E>> E word(String key, E[] constants) {
      return value(key).oneOf(words(constants));
    }

    ReplacementPolicy replacement(String key, int ways) {
      Map<String, ReplacementPolicy> policies = new LinkedHashMap<>();
      for (ReplacementPolicy policy : ReplacementPolicy.values()) {
        policies.put(policy.id(), policy);
      }
      YamlNode value = value(key);
      ReplacementPolicy policy = value.oneOf(policies);
      if (!policy.canChooseAmong(ways)) {
        throw value.bad("a policy that can choose among " + ways + " ways");
      }
      return policy;
    }
  }

  private static <E extends Enum<E>> Map<String, E> words(E[] constants) {
    Map<String, E> words = new LinkedHashMap<>();
    for (E constant : constants) {
      words.put(constant.name().toLowerCase(Locale.ROOT).replace('_', '-'), constant);
    }
    return words;
  }
}
