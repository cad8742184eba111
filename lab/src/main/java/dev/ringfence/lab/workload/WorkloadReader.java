package dev.ringfence.lab.workload;

import dev.ringfence.lab.workload.Workload.GuestFile;
import dev.ringfence.lab.workload.Workload.Reference;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.MachineConfiguration;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Reads and checks the YAML file of a {@link Workload}. */
final class WorkloadReader {
  private static final Pattern NAME = Pattern.compile("[a-z0-9][a-z0-9-]{0,63}");
  private static final Pattern PROGRAM = Pattern.compile("(?:[^\\p{Cntrl}]*/)?[A-Za-z0-9_-]+\\.c");
  private static final Pattern SIZE = Pattern.compile("([0-9]{1,9})([KMG])");
  private static final Pattern OCTAL = Pattern.compile("0?[0-7]{3}");
  private static final int MOST_PHASES = 1000;
  private static final long MOST_DISK_BYTES = 16L << 30;

  /** The init program mounts file systems there, over whatever the archive has. */
  private static final List<String> MOUNTED = List.of("dev", "proc", "run", "sys", "tmp");

  private static final List<String> KEYS =
      List.of(
          "name",
          "title",
          "description",
          "packages",
          "programs",
          "files",
          "command",
          "phases",
          "append",
          "memory",
          "cpus",
          "disk",
          "maximum-instructions");
  private static final List<String> FILE_KEYS = List.of("path", "mode", "content", "source");

  private final String source;

  private WorkloadReader(String source) {
    this.source = source;
  }

  static Workload read(String text, String source, @Nullable Path folder) {
    return new WorkloadReader(source).read(YamlNode.parse(text, source), folder);
  }

  private Workload read(YamlNode root, @Nullable Path folder) {
    Map<String, YamlNode> map = mapping(root, KEYS);
    YamlNode nameNode = required(root, map, "name");
    String name = line(nameNode);
    if (!NAME.matcher(name).matches()) {
      throw bad(nameNode, "small letters, digits and hyphens, at most 64", nameNode.describe());
    }
    String title = line(required(root, map, "title"));
    String description = text(required(root, map, "description"));
    String command = text(required(root, map, "command"));
    YamlNode cpus = map.get("cpus");
    YamlNode maximum = map.get("maximum-instructions");
    return new Workload(
        source,
        folder,
        name,
        title,
        description.strip(),
        references(map.get("packages")),
        programs(map.get("programs")),
        files(map.get("files")),
        command.stripTrailing(),
        phases(map.get("phases")),
        map.containsKey("append") ? line(map.get("append")) : "",
        size(
            map.get("memory"),
            MachineConfiguration.MINIMUM_MEMORY,
            MachineConfiguration.MAXIMUM_MEMORY),
        cpus == null ? 1 : (int) number(cpus, 1, MachineConfiguration.MAXIMUM_PROCESSORS),
        size(map.get("disk"), 1 << 20, MOST_DISK_BYTES),
        maximum == null
            ? Workload.DEFAULT_MAXIMUM_INSTRUCTIONS
            : number(maximum, 1, Long.MAX_VALUE));
  }

  private List<Reference> references(@Nullable YamlNode node) {
    List<Reference> references = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (YamlNode item : sequence(node)) {
      String name = line(item);
      if (!names.add(name)) {
        throw bad(item, "each name once", "'" + name + "' again");
      }
      references.add(new Reference(name, item.line()));
    }
    return references;
  }

  private List<Reference> programs(@Nullable YamlNode node) {
    List<Reference> programs = references(node);
    for (Reference program : programs) {
      if (!PROGRAM.matcher(program.name()).matches()) {
        throw YamlNode.bad(
            source,
            program.line(),
            "the name of a C source, such as syscalls.c",
            "'" + program.name() + "'");
      }
    }
    return programs;
  }

  private List<GuestFile> files(@Nullable YamlNode node) {
    List<GuestFile> files = new ArrayList<>();
    Set<String> paths = new HashSet<>();
    for (YamlNode item : sequence(node)) {
      Map<String, YamlNode> map = mapping(item, FILE_KEYS);
      YamlNode pathNode = required(item, map, "path");
      String path = guestPath(pathNode);
      if (!paths.add(path)) {
        throw bad(pathNode, "each path once", "'" + path + "' again");
      }
      YamlNode content = map.get("content");
      YamlNode from = map.get("source");
      if ((content == null) == (from == null)) {
        throw bad(item, "either content or source", content == null ? "neither" : "both");
      }
      files.add(
          new GuestFile(
              path,
              mode(map.get("mode")),
              content == null ? null : scalar(content),
              from == null ? null : line(from),
              item.line()));
    }
    return files;
  }

  private String guestPath(YamlNode node) {
    String path = line(node);
    if (!path.startsWith("/") || path.endsWith("/")) {
      throw bad(node, "an absolute path of a file in the guest", node.describe());
    }
    List<String> parts = List.of(path.substring(1).split("/", -1));
    if (parts.contains("") || parts.contains(".") || parts.contains("..")) {
      throw bad(node, "a path without empty parts and dots", node.describe());
    }
    if (MOUNTED.contains(parts.getFirst())) {
      throw bad(
          node,
          "a path outside /" + String.join(", /", MOUNTED) + ", where file systems are mounted",
          node.describe());
    }
    return path;
  }

  private int mode(@Nullable YamlNode node) {
    if (node == null) {
      return 0644;
    }
    String text = line(node);
    if (!OCTAL.matcher(text).matches()) {
      throw bad(node, "permissions of three octal digits, such as 0755", node.describe());
    }
    return Integer.parseInt(text, 8);
  }

  private List<String> phases(@Nullable YamlNode node) {
    List<String> phases = references(node).stream().map(Reference::name).toList();
    if (node != null && phases.size() > MOST_PHASES) {
      throw bad(node, "at most " + MOST_PHASES + " phases", "" + phases.size());
    }
    for (YamlNode item : sequence(node)) {
      if (!NAME.matcher(line(item)).matches()) {
        throw bad(item, "small letters, digits and hyphens, at most 64", item.describe());
      }
    }
    return phases;
  }

  /** Bytes of a size in whole MiB, such as 512M; 0 without a node. */
  private long size(@Nullable YamlNode node, long low, long high) {
    if (node == null) {
      return 0;
    }
    Matcher matcher = SIZE.matcher(scalar(node));
    if (matcher.matches()) {
      int shift =
          switch (matcher.group(2)) {
            case "K" -> 10;
            case "M" -> 20;
            default -> 30;
          };
      long bytes = Long.parseLong(matcher.group(1)) << shift;
      if (bytes >= low && bytes <= high && (bytes & 0xfffff) == 0) {
        return bytes;
      }
    }
    throw bad(
        node,
        "a size of whole MiB from %dM to %dG, such as 512M".formatted(low >> 20, high >> 30),
        node.describe());
  }

  private long number(YamlNode node, long low, long high) {
    try {
      long value = Long.parseLong(scalar(node).replace("_", ""));
      if (value >= low && value <= high) {
        return value;
      }
    } catch (NumberFormatException e) {
      // Reported below, like a number out of range.
    }
    throw bad(node, "a number from " + low + " to " + high, node.describe());
  }

  private YamlNode required(YamlNode parent, Map<String, YamlNode> map, String key) {
    YamlNode node = map.get(key);
    if (node == null) {
      throw bad(parent, "a value for '" + key + "'", "none");
    }
    return node;
  }

  private Map<String, YamlNode> mapping(YamlNode node, List<String> keys) {
    if (!(node instanceof YamlNode.Mapping mapping)) {
      throw bad(node, "a mapping with keys of " + String.join(", ", keys), node.describe());
    }
    mapping
        .keyLines()
        .forEach((key, line) -> {
          if (!keys.contains(key)) {
            throw YamlNode.bad(
                source,
                line,
                "one of the keys " + String.join(", ", keys),
                "'" + key + "'" + NearestNames.hint(key, keys));
          }
        });
    return new LinkedHashMap<>(mapping.entries());
  }

  private List<YamlNode> sequence(@Nullable YamlNode node) {
    if (node == null) {
      return List.of();
    }
    if (node instanceof YamlNode.Sequence(List<YamlNode> items, int line)) {
      return items;
    }
    throw bad(node, "a list", node.describe());
  }

  private String scalar(YamlNode node) {
    if (node instanceof YamlNode.Scalar(String text, int line)) {
      return text;
    }
    throw bad(node, "a text", node.describe());
  }

  /** Text that is not blank. */
  private String text(YamlNode node) {
    String text = scalar(node);
    if (text.isBlank() || text.indexOf('\0') >= 0) {
      throw bad(node, "a text", node.describe());
    }
    return text;
  }

  /** Text of one line. */
  private String line(YamlNode node) {
    String text = text(node).strip();
    if (text.chars().anyMatch(Character::isISOControl)) {
      throw bad(node, "a text of one line", node.describe());
    }
    return text;
  }

  private BadInputException bad(YamlNode node, String expected, String found) {
    return YamlNode.bad(source, node.line(), expected, found);
  }
}
