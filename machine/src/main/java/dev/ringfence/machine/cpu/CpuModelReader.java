package dev.ringfence.machine.cpu;

import dev.ringfence.machine.input.YamlNode;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Reads and checks the YAML file of a CPU model. */
final class CpuModelReader {
  private static final int LONGEST_NAME = 64;

  /** 48 bytes of CPUID leaves 80000002H to 80000004H, the last of them zero. */
  private static final int LONGEST_BRAND = 47;

  private static final int VENDOR_LENGTH = 12;

  private static final int MOST_SETS = 1 << 20;

  /** No cache is larger. */
  private static final long MOST_CACHE_BYTES = 1 << 30;

  private static final List<String> KEYS =
      List.of(
          "name",
          "vendor",
          "family",
          "model",
          "stepping",
          "brand",
          "physical-address-bits",
          "tsc-hertz",
          "crystal-hertz",
          "bus-hertz",
          "maximum-hertz",
          "features",
          "caches",
          "cache-descriptors",
          "registers",
          "silicon");
  private static final List<String> CACHE_KEYS =
      List.of("level", "type", "line-bytes", "ways", "sets", "inclusive");

  /** Features that the machine always has and cannot leave out. */
  private static final List<String> REQUIRED =
      List.of("FPU", "TSC", "MSR", "PAE", "CX8", "APIC", "CMOV", "FXSR", "SSE", "SSE2", "Intel-64");

  private static final Map<String, CpuModel.CacheType> CACHE_TYPES = new LinkedHashMap<>();
  private static final Map<String, Feature> FEATURES = new LinkedHashMap<>();

  static {
    for (CpuModel.CacheType type : CpuModel.CacheType.values()) {
      CACHE_TYPES.put(type.id(), type);
    }
    for (Feature feature : Feature.all()) {
      FEATURES.put(feature.name(), feature);
    }
  }

  private CpuModelReader() {}

  static CpuModel read(String text, String file) {
    YamlNode.Entries root = YamlNode.read(text, file, "a CPU model").entries("a CPU model", KEYS);
    YamlNode tscNode = root.require("tsc-hertz");
    long tsc = tscNode.integer(1_000_000, 10_000_000_000L);
    long crystal = root.require("crystal-hertz").integer(1_000_000, 1_000_000_000L);
    if (tsc * 2 % crystal != 0) {
      throw tscNode.bad("a multiple of half the crystal's frequency");
    }
    return new CpuModel(
        new CpuModel.Data(
            name(root.require("name")),
            vendor(root.require("vendor")),
            root.require("family").integer(0, 0xff + 15),
            root.require("model").integer(0, 0xff),
            root.require("stepping").integer(0, 15),
            ascii(root.require("brand"), LONGEST_BRAND),
            root.require("physical-address-bits").integer(36, 52),
            tsc,
            crystal,
            root.require("bus-hertz").integer(1_000_000, 1_000_000_000L),
            root.require("maximum-hertz").integer(tsc, 10_000_000_000L),
            features(root.require("features")),
            caches(root.require("caches")),
            descriptors(root.require("cache-descriptors")),
            registers(root.require("registers")),
            root.find("silicon")));
  }

  /** Files of results and of costs are found by the name, so it is not a path. */
  private static String name(YamlNode node) {
    String name = node.text(LONGEST_NAME);
    if (!name.matches("[A-Za-z0-9][A-Za-z0-9-]*")) {
      throw node.bad("a name of letters, digits and hyphens");
    }
    return name;
  }

  private static String ascii(YamlNode node, int longest) {
    String text = node.text(longest);
    if (!StandardCharsets.US_ASCII.newEncoder().canEncode(text)) {
      throw node.bad("ASCII characters");
    }
    return text;
  }

  private static String vendor(YamlNode node) {
    String vendor = ascii(node, VENDOR_LENGTH);
    if (vendor.length() != VENDOR_LENGTH) {
      throw node.bad(VENDOR_LENGTH + " characters");
    }
    return vendor;
  }

  private static Set<String> features(YamlNode node) {
    Set<String> features = new LinkedHashSet<>();
    for (YamlNode item : node.list("features that the machine implements")) {
      String name = item.oneOf(FEATURES).name();
      if (!features.add(name)) {
        throw item.bad("each feature once", name + " again");
      }
    }
    for (String required : REQUIRED) {
      if (!features.contains(required)) {
        throw node.bad("the feature " + required + ", which every model has", "none");
      }
    }
    return features;
  }

  private static List<CpuModel.Cache> caches(YamlNode node) {
    List<CpuModel.Cache> caches = new ArrayList<>();
    for (YamlNode item : node.list("caches")) {
      YamlNode.Entries entries = item.entries("a cache", CACHE_KEYS);
      int level = entries.require("level").integer(1, 4);
      CpuModel.CacheType type = entries.require("type").oneOf(CACHE_TYPES);
      int line = entries.require("line-bytes").integer(16, 4096);
      int ways = entries.require("ways").integer(1, 1024);
      YamlNode setsNode = entries.require("sets");
      int sets = setsNode.integer(1, MOST_SETS);
      if ((long) line * ways * sets > MOST_CACHE_BYTES) {
        throw setsNode.bad("a cache of at most " + (MOST_CACHE_BYTES >> 20) + " MiB");
      }
      boolean inclusive = entries.require("inclusive").flag();
      caches.add(new CpuModel.Cache(level, type, line, ways, sets, inclusive));
    }
    caches.sort(Comparator.comparingInt(CpuModel.Cache::level));
    return List.copyOf(caches);
  }

  private static byte[] descriptors(YamlNode node) {
    List<YamlNode> items = node.list("cache descriptors");
    if (items.size() > 15) {
      throw node.bad("at most 15 cache descriptors", "" + items.size());
    }
    byte[] descriptors = new byte[items.size()];
    for (int i = 0; i < descriptors.length; i++) {
      // A register with bit 31 set holds no descriptors (SDM volume 2, CPUID, leaf 2).
      descriptors[i] = (byte) items.get(i).integer(0, i % 4 == 2 ? 0x7f : 0xff);
    }
    return descriptors;
  }

  private static Map<String, Long> registers(YamlNode node) {
    YamlNode.Entries entries =
        node.entries("registers with a reset value", ModelSpecificRegisters.resettable());
    Map<String, Long> registers = new LinkedHashMap<>();
    for (String name : entries.keys()) {
      registers.put(name, entries.require(name).integer(Long.MIN_VALUE, Long.MAX_VALUE));
    }
    return registers;
  }
}
