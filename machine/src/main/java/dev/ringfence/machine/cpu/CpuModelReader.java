package dev.ringfence.machine.cpu;

import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import dev.ringfence.machine.BadInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Reads and checks the YAML file of a CPU model. The file may come from anywhere: everything that
 * is not exactly as expected is a {@link BadInputException} that names file and line.
 */
final class CpuModelReader {
  /** A value of the file with the line on which it stands. */
  private record Node(Object value, int line) {}

  private static final int MAXIMUM_DEPTH = 4;

  private final String file;

  private CpuModelReader(String file) {
    this.file = file;
  }

  static CpuModel read(String text, String file) {
    return new CpuModelReader(file).read(text);
  }

  private CpuModel read(String text) {
    Node root;
    try (JsonParser parser = new YAMLFactory().createParser(text)) {
      if (parser.nextToken() == null) {
        throw bad(1, "a CPU model", "an empty file");
      }
      root = parse(parser, 0);
      if (parser.nextToken() != null) {
        throw bad(parser.currentTokenLocation().getLineNr(), "one document", "a second one");
      }
    } catch (JsonProcessingException e) {
      JsonLocation location = e.getLocation();
      throw bad(
          location == null ? 1 : location.getLineNr(), "YAML", firstLine(e.getOriginalMessage()));
    } catch (IOException e) {
      throw new BadInputException(file + ": cannot be read: " + e.getMessage(), e);
    }
    return new CpuModel(model(mapping(root, "a CPU model")));
  }

  private static String firstLine(String message) {
    return message.lines().findFirst().orElse("something else");
  }

  private Node parse(JsonParser parser, int depth) throws IOException {
    int line = parser.currentTokenLocation().getLineNr();
    if (depth > MAXIMUM_DEPTH) {
      throw bad(line, "at most " + MAXIMUM_DEPTH + " levels", "more");
    }
    switch (parser.currentToken()) {
      case START_OBJECT -> {
        Map<String, Node> map = new LinkedHashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
          String key = parser.currentName();
          int keyLine = parser.currentTokenLocation().getLineNr();
          parser.nextToken();
          if (map.put(key, parse(parser, depth + 1)) != null) {
            throw bad(keyLine, "each key once", key + " again");
          }
        }
        return new Node(map, line);
      }
      case START_ARRAY -> {
        List<Node> list = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
          list.add(parse(parser, depth + 1));
        }
        return new Node(list, line);
      }
      default -> {
        String text = parser.getText();
        return new Node(text == null ? "" : text, line);
      }
    }
  }

  private CpuModel.Data model(Map<String, Node> map) {
    Map<String, Node> rest = new LinkedHashMap<>(map);
    String name = text(take(rest, "name"), 64);
    String vendor = text(take(rest, "vendor"), 12);
    if (vendor.length() != 12) {
      throw bad(map.get("vendor"), "12 characters", vendor);
    }
    int family = (int) number(take(rest, "family"), 0, 0xff + 15);
    int modelNumber = (int) number(take(rest, "model"), 0, 0xff);
    int stepping = (int) number(take(rest, "stepping"), 0, 15);
    String brand = text(take(rest, "brand"), 47);
    int physical = (int) number(take(rest, "physical-address-bits"), 36, 52);
    long tsc = number(take(rest, "tsc-hertz"), 1_000_000, 10_000_000_000L);
    long crystal = number(take(rest, "crystal-hertz"), 1_000_000, 1_000_000_000L);
    if (tsc * 2 % crystal != 0) {
      throw bad(map.get("tsc-hertz"), "a multiple of half the crystal's frequency", "" + tsc);
    }
    long bus = number(take(rest, "bus-hertz"), 1_000_000, 1_000_000_000L);
    long maximum = number(take(rest, "maximum-hertz"), tsc, 10_000_000_000L);
    Set<String> features = features(take(rest, "features"));
    List<CpuModel.Cache> caches = caches(take(rest, "caches"));
    byte[] descriptors = descriptors(take(rest, "cache-descriptors"));
    Map<String, Long> registers = registers(take(rest, "registers"));
    noMore(rest);
    return new CpuModel.Data(
        name,
        vendor,
        family,
        modelNumber,
        stepping,
        brand,
        physical,
        tsc,
        crystal,
        bus,
        maximum,
        features,
        caches,
        descriptors,
        registers);
  }

  private Set<String> features(Node node) {
    Set<String> features = new LinkedHashSet<>();
    for (Node item : sequence(node)) {
      String name = text(item, 64);
      if (Feature.of(name).isEmpty()) {
        throw bad(
            item,
            "a feature that the machine implements ("
                + String.join(", ", Feature.all().stream().map(Feature::name).toList())
                + ")",
            name);
      }
      if (!features.add(name)) {
        throw bad(item, "each feature once", name + " again");
      }
    }
    for (String required : REQUIRED) {
      if (!features.contains(required)) {
        throw bad(node, "the feature " + required + ", which every model has", "none");
      }
    }
    return features;
  }

  /** Features that the machine always has and cannot leave out. */
  private static final List<String> REQUIRED =
      List.of("FPU", "TSC", "MSR", "PAE", "CX8", "APIC", "CMOV", "FXSR", "SSE", "SSE2", "Intel-64");

  private List<CpuModel.Cache> caches(Node node) {
    List<CpuModel.Cache> caches = new ArrayList<>();
    for (Node item : sequence(node)) {
      Map<String, Node> rest = new LinkedHashMap<>(mapping(item, "a cache"));
      int level = (int) number(take(rest, "level"), 1, 4);
      Node typeNode = take(rest, "type");
      int type =
          switch (text(typeNode, 16)) {
            case "data" -> 1;
            case "instruction" -> 2;
            case "unified" -> 3;
            default -> throw bad(typeNode, "data, instruction or unified", text(typeNode, 16));
          };
      int line = (int) number(take(rest, "line-bytes"), 16, 4096);
      int ways = (int) number(take(rest, "ways"), 1, 1024);
      int sets = (int) number(take(rest, "sets"), 1, 1 << 20);
      Node inclusive = take(rest, "inclusive");
      String flag = text(inclusive, 5);
      if (!flag.equals("true") && !flag.equals("false")) {
        throw bad(inclusive, "true or false", flag);
      }
      noMore(rest);
      caches.add(new CpuModel.Cache(level, type, line, ways, sets, flag.equals("true")));
    }
    caches.sort(Comparator.comparingInt(CpuModel.Cache::level));
    return caches;
  }

  private byte[] descriptors(Node node) {
    List<Node> items = sequence(node);
    if (items.size() > 15) {
      throw bad(node, "at most 15 cache descriptors", "" + items.size());
    }
    byte[] descriptors = new byte[items.size()];
    for (int i = 0; i < descriptors.length; i++) {
      // A register with bit 31 set holds no descriptors (SDM volume 2, CPUID, leaf 2).
      descriptors[i] = (byte) number(items.get(i), 0, i % 4 == 2 ? 0x7f : 0xff);
    }
    return descriptors;
  }

  private Map<String, Long> registers(Node node) {
    Map<String, Long> registers = new LinkedHashMap<>();
    mapping(node, "a mapping of register names to values")
        .forEach((name, value) -> {
          if (!ModelSpecificRegisters.resettable().contains(name)) {
            throw bad(
                value,
                "a register with a reset value ("
                    + String.join(", ", ModelSpecificRegisters.resettable())
                    + ")",
                name);
          }
          registers.put(name, number(value, Long.MIN_VALUE, Long.MAX_VALUE));
        });
    return registers;
  }

  private Node take(Map<String, Node> map, String key) {
    Node node = map.remove(key);
    if (node == null) {
      throw new BadInputException(file + ": expected a value for " + key + ", found none");
    }
    return node;
  }

  private void noMore(Map<String, Node> rest) {
    for (Map.Entry<String, Node> entry : rest.entrySet()) {
      throw bad(entry.getValue(), "no other key", entry.getKey());
    }
  }

  @SuppressWarnings("unchecked") // only parse() makes maps, with these types
  private Map<String, Node> mapping(Node node, String what) {
    if (node.value() instanceof Map<?, ?> map) {
      return (Map<String, Node>) map;
    }
    throw bad(node, what, describe(node));
  }

  @SuppressWarnings("unchecked") // only parse() makes lists, with these types
  private List<Node> sequence(Node node) {
    if (node.value() instanceof List<?> list) {
      return (List<Node>) list;
    }
    throw bad(node, "a list", describe(node));
  }

  private String text(Node node, int maximum) {
    if (!(node.value() instanceof String text) || text.isEmpty() || text.length() > maximum) {
      throw bad(node, "a text of 1 to " + maximum + " characters", describe(node));
    }
    if (!StandardCharsets.US_ASCII.newEncoder().canEncode(text)) {
      throw bad(node, "ASCII characters", text);
    }
    return text;
  }

  private long number(Node node, long low, long high) {
    if (node.value() instanceof String text) {
      String digits = text.replace("_", "");
      try {
        boolean hexadecimal = digits.startsWith("0x");
        long value =
            hexadecimal ? Long.parseUnsignedLong(digits.substring(2), 16) : Long.parseLong(digits);
        if (value >= low && value <= high) {
          return value;
        }
      } catch (NumberFormatException e) {
        // Reported below, like a number out of range.
      }
    }
    throw bad(node, "a number from " + low + " to " + high, describe(node));
  }

  private static String describe(Node node) {
    return switch (node.value()) {
      case Map<?, ?> map -> "a mapping";
      case List<?> list -> "a list";
      default -> "'" + node.value() + "'";
    };
  }

  private BadInputException bad(Node node, String expected, String found) {
    return bad(node.line(), expected, found);
  }

  private BadInputException bad(int line, String expected, String found) {
    return new BadInputException(
        file + ": line " + line + ": expected " + expected + ", found " + found);
  }
}
