package dev.ringfence.lab.workload;

import dev.ringfence.lab.workload.Workload.GuestFile;
import dev.ringfence.lab.workload.Workload.Reference;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.input.YamlNode;
import java.math.BigInteger;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/** Reads and checks the YAML file of a {@link Workload}. */
final class WorkloadReader {
  private static final Pattern NAME = Pattern.compile("[a-z0-9][a-z0-9-]*");
  private static final Pattern PROGRAM = Pattern.compile("([^\\p{Cntrl}]*/)?[A-Za-z0-9_-]+\\.c");
  private static final Pattern MODULE = Pattern.compile("(kvm|virtio)[a-z0-9_-]*");
  private static final Pattern GUEST_PATH = Pattern.compile("(/[A-Za-z0-9_.,:@%+=-]+)+");
  private static final Pattern SIZE = Pattern.compile("([0-9]{1,6})([MG])");
  private static final Pattern MODE = Pattern.compile("0?[0-7]{3}");
  private static final Pattern NUMBER = Pattern.compile("[0-9][0-9_]{0,22}");

  private static final int LONGEST_NAME = 64;
  private static final int LONGEST_LINE = 1000;
  private static final int LONGEST_TEXT = 100_000;
  private static final int MOST_PHASES = 1000;
  private static final long MOST_DISK_BYTES = 16L << 30;

  /** The init program mounts file systems there, over whatever the archive has. */
  private static final List<String> MOUNTED = List.of("dev", "proc", "run", "sys", "tmp");

  private static final String WHAT = "a workload";
  private static final List<String> KEYS =
      List.of(
          "name",
          "title",
          "description",
          "packages",
          "modules",
          "programs",
          "files",
          "inner-guest",
          "command",
          "phases",
          "append",
          "memory",
          "cpus",
          "disk",
          "maximum-instructions");

  private static final String INNER_GUEST = "a guest within the guest";
  private static final List<String> INNER_GUEST_KEYS =
      List.of("packages", "programs", "files", "command", "append");

  private static final String FILE = "a file";
  private static final List<String> FILE_KEYS = List.of("path", "mode", "content", "source");

  private WorkloadReader() {}

  static Workload read(String text, String source, @Nullable Path folder) {
    YamlNode.Entries map = YamlNode.read(text, source, WHAT).entries(WHAT, KEYS);
    return new Workload(
        source,
        folder,
        name(map.require("name")),
        line(map.require("title")),
        map.require("description").text(LONGEST_TEXT),
        references(map.find("packages"), "packages"),
        modules(map.find("modules")),
        programs(map.find("programs")),
        files(map.find("files")),
        map.find("inner-guest").map(WorkloadReader::innerGuest).orElse(null),
        withoutZeros(map.require("command"), map.require("command").text(LONGEST_TEXT)),
        phases(map.find("phases")),
        map.find("append").map(WorkloadReader::line).orElse(""),
        map.find("memory")
            .map(node ->
                size(
                    node, MachineConfiguration.MINIMUM_MEMORY, MachineConfiguration.MAXIMUM_MEMORY))
            .orElse(0L),
        map.find("cpus")
            .map(node -> (int) number(node, 1, MachineConfiguration.MAXIMUM_PROCESSORS))
            .orElse(1),
        map.find("disk").map(node -> size(node, 1 << 20, MOST_DISK_BYTES)).orElse(0L),
        map.find("maximum-instructions")
            .map(node -> number(node, 1, Long.MAX_VALUE))
            .orElse(Workload.DEFAULT_MAXIMUM_INSTRUCTIONS));
  }

  private static Workload.InnerGuest innerGuest(YamlNode node) {
    YamlNode.Entries map = node.entries(INNER_GUEST, INNER_GUEST_KEYS);
    YamlNode command = map.require("command");
    return new Workload.InnerGuest(
        references(map.find("packages"), "packages"),
        programs(map.find("programs")),
        files(map.find("files")),
        withoutZeros(command, command.text(LONGEST_TEXT)),
        map.find("append").map(WorkloadReader::line).orElse(""));
  }

  private static String name(YamlNode node) {
    String name = node.text(LONGEST_NAME);
    if (!NAME.matcher(name).matches()) {
      throw node.bad("a name of small letters, digits and hyphens");
    }
    return name;
  }

  private static List<YamlNode> list(Optional<YamlNode> node, String what) {
    return node.map(present -> present.list(what)).orElse(List.of());
  }

  private static List<Reference> references(Optional<YamlNode> node, String what) {
    List<Reference> references = new ArrayList<>();
    Set<String> names = new HashSet<>();
    for (YamlNode item : list(node, what)) {
      String name = line(item);
      if (!names.add(name)) {
        throw item.bad("each name once", "'" + name + "' again");
      }
      references.add(new Reference(name, item.line()));
    }
    return references;
  }

  private static List<Reference> modules(Optional<YamlNode> node) {
    for (YamlNode item : list(node, "modules")) {
      if (!MODULE.matcher(line(item)).matches()) {
        throw item.bad("a kernel module of KVM or virtio, such as kvm_intel");
      }
    }
    return references(node, "modules");
  }

  private static List<Reference> programs(Optional<YamlNode> node) {
    for (YamlNode item : list(node, "C sources")) {
      if (!PROGRAM.matcher(line(item)).matches()) {
        throw item.bad("the name of a C source, such as syscalls.c");
      }
    }
    return references(node, "C sources");
  }

  private static List<String> phases(Optional<YamlNode> node) {
    List<YamlNode> items = list(node, "names");
    if (items.size() > MOST_PHASES) {
      throw items.get(MOST_PHASES).bad("at most " + MOST_PHASES + " phases", "more");
    }
    items.forEach(WorkloadReader::name);
    return references(node, "names").stream().map(Reference::name).toList();
  }

  private static List<GuestFile> files(Optional<YamlNode> node) {
    List<GuestFile> files = new ArrayList<>();
    for (YamlNode item : list(node, "files")) {
      YamlNode.Entries map = item.entries(FILE, FILE_KEYS);
      Optional<YamlNode> content = map.find("content");
      Optional<YamlNode> from = map.find("source");
      if (content.isPresent() == from.isPresent()) {
        throw item.bad("either content or source", content.isPresent() ? "both" : "neither");
      }
      files.add(
          new GuestFile(
              guestPath(map.require("path")),
              map.find("mode").map(WorkloadReader::mode).orElse(0644),
              content.map(YamlNode::exactText).orElse(null),
              from.map(WorkloadReader::line).orElse(null),
              map.require("path").line()));
    }
    return files;
  }

  private static String guestPath(YamlNode node) {
    String path = line(node);
    if (!GUEST_PATH.matcher(path).matches()) {
      throw node.bad("an absolute path of a file in the guest, in letters, digits and _.,:@%+=-");
    }
    List<String> parts = List.of(path.substring(1).split("/"));
    if (parts.contains(".") || parts.contains("..")) {
      throw node.bad("a path without . and ..");
    }
    if (MOUNTED.contains(parts.getFirst())) {
      throw node.bad(
          "a path outside /" + String.join(", /", MOUNTED) + ", where file systems are mounted");
    }
    return path;
  }

  private static int mode(YamlNode node) {
    String text = line(node);
    if (!MODE.matcher(text).matches()) {
      throw node.bad("permissions of three octal digits, such as 0755");
    }
    return Integer.parseInt(text, 8);
  }

  /** Bytes of a size in whole MiB. */
  private static long size(YamlNode node, long low, long high) {
    Matcher matcher = SIZE.matcher(line(node));
    if (matcher.matches()) {
      int shift = matcher.group(2).equals("M") ? 20 : 30;
      long bytes = Long.parseLong(matcher.group(1)) << shift;
      if (bytes >= low && bytes <= high) {
        return bytes;
      }
    }
    throw node.bad(
        "a size in MiB or GiB from %dM to %dG, such as 512M".formatted(low >> 20, high >> 30));
  }

  private static long number(YamlNode node, long low, long high) {
    String text = line(node);
    if (NUMBER.matcher(text).matches()) {
      BigInteger value = new BigInteger(text.replace("_", ""));
      if (value.compareTo(BigInteger.valueOf(low)) >= 0
          && value.compareTo(BigInteger.valueOf(high)) <= 0) {
        return value.longValueExact();
      }
    }
    throw node.bad("a whole number from " + low + " to " + high);
  }

  /** Text of one line, not empty. */
  private static String line(YamlNode node) {
    String text = node.text(LONGEST_LINE);
    if (text.chars().anyMatch(Character::isISOControl)) {
      throw node.bad("a text of one line");
    }
    return text;
  }

  private static String withoutZeros(YamlNode node, String text) {
    if (text.indexOf('\0') >= 0) {
      throw node.bad("a text without NUL characters");
    }
    return text;
  }
}
