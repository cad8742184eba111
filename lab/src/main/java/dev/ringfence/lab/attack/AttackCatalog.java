package dev.ringfence.lab.attack;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.NearestNames;
import dev.ringfence.machine.input.YamlNode;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * The attacks that are shipped, from {@code catalog.yaml}.
 *
 * @param targets in the order of the file
 * @param attacks in the order of the file, which is that of the matrix
 * @param programs C sources in {@code guest/attacks} of programs that set-up commands use
 * @param ofRun attacks of the smaller matrix that stands beside the costs of a run
 */
public record AttackCatalog(
    List<Target> targets, List<Attack> attacks, List<String> programs, List<Attack> ofRun) {
  private static final String FILE = "catalog.yaml";
  private static final Pattern NAME = Pattern.compile("[a-z0-9][a-z0-9-]*");
  private static final Pattern PROGRAM = Pattern.compile("[A-Za-z0-9_-]+\\.c");
  private static final int LONGEST_NAME = 64;
  private static final int LONGEST_LINE = 200;
  private static final int LONGEST_TEXT = 10_000;

  /** Shortest secret: with fewer bytes, copies in memory could not be told from coincidences. */
  private static final int LEAST_BYTES = 8;

  /** Longest secret: the tail of a binomial distribution of more trials would lose precision. */
  private static final int MOST_BYTES = 4096;

  private static final double MOST_MILLISECONDS = 100_000;

  /** What an attack can come from, by the words of files and options. */
  static final Map<String, Attack.From> FROM =
      Map.of("user", Attack.From.USER, "guest", Attack.From.GUEST);

  private static final List<String> KEYS = List.of("programs", "targets", "attacks", "run");

  /** Linux does not do this by itself on machines with less than 512 MiB. */
  private static final String ALLOW_LARGE_PAGES =
      "echo madvise >/sys/kernel/mm/transparent_hugepage/enabled\n";

  private static final String TARGET = "a target";
  private static final List<String> TARGET_KEYS = List.of("name", "title", "setup");
  private static final String ATTACK = "an attack";
  private static final List<String> ATTACK_KEYS =
      List.of(
          "name",
          "from",
          "title",
          "description",
          "vulnerability",
          "program",
          "large-pages",
          "setup",
          "targets",
          "bytes",
          "budget-milliseconds",
          "sources");

  public AttackCatalog {
    targets = List.copyOf(targets);
    attacks = List.copyOf(attacks);
    programs = List.copyOf(programs);
    ofRun = List.copyOf(ofRun);
  }

  /** The attacks that are shipped. */
  public static AttackCatalog shipped() {
    return parse(AttackResources.text(FILE), FILE + " (built in)");
  }

  /**
   * Reads a catalog.
   *
   * @param file name for messages
   * @throws BadInputException if something in it is not as it should be
   */
  public static AttackCatalog parse(String text, String file) {
    YamlNode.Entries root =
        YamlNode.read(text, file, "a catalog of attacks").entries("a catalog of attacks", KEYS);
    Map<String, Target> targets = new LinkedHashMap<>();
    for (YamlNode node : root.require("targets").list("targets")) {
      Target target = target(node);
      if (targets.put(target.name(), target) != null) {
        throw node.bad("each target once", target.name() + " again");
      }
    }
    List<Attack> attacks = new ArrayList<>();
    Map<String, Attack> byName = new LinkedHashMap<>();
    for (YamlNode node : root.require("attacks").list("attacks")) {
      Attack attack = attack(node, targets);
      if (byName.put(attack.name(), attack) != null) {
        throw node.bad("each attack once", attack.name() + " again");
      }
      attacks.add(attack);
    }
    List<Attack> ofRun =
        root.find("run")
            .map(node ->
                node.list("names of attacks").stream().map(name -> name.oneOf(byName)).toList())
            .orElse(attacks);
    List<String> programs =
        root.find("programs")
            .map(node -> node.list("C sources").stream().map(AttackCatalog::program).toList())
            .orElse(List.of());
    return new AttackCatalog(List.copyOf(targets.values()), attacks, programs, ofRun);
  }

  private static Target target(YamlNode node) {
    YamlNode.Entries map = node.entries(TARGET, TARGET_KEYS);
    return new Target(
        name(map.require("name")),
        map.require("title").text(LONGEST_LINE),
        map.require("setup").text(LONGEST_TEXT));
  }

  private static Attack attack(YamlNode node, Map<String, Target> targets) {
    YamlNode.Entries map = node.entries(ATTACK, ATTACK_KEYS);
    List<Target> chosen = new ArrayList<>();
    for (YamlNode name : map.require("targets").list("names of targets")) {
      Target target = name.oneOf(targets);
      if (chosen.contains(target)) {
        throw name.bad("each target once", target.name() + " again");
      }
      chosen.add(target);
    }
    return new Attack(
        name(map.require("name")),
        map.find("from").map(place -> place.oneOf(FROM)).orElse(Attack.From.USER),
        map.require("title").text(LONGEST_LINE),
        map.require("description").text(LONGEST_TEXT),
        map.require("vulnerability").text(LONGEST_LINE),
        program(map.require("program")),
        setup(map),
        chosen,
        (int) map.require("bytes").number(LEAST_BYTES, MOST_BYTES),
        (long) (map.require("budget-milliseconds").number(0.001, MOST_MILLISECONDS) * 1e6),
        map.require("sources").list("sources").stream()
            .map(source -> source.text(LONGEST_TEXT))
            .toList());
  }

  /** The set-up of an attack, from the first command on. */
  private static String setup(YamlNode.Entries map) {
    boolean largePages = map.find("large-pages").map(YamlNode::flag).orElse(false);
    String commands = map.find("setup").map(setup -> setup.text(LONGEST_TEXT)).orElse("");
    return largePages ? ALLOW_LARGE_PAGES + commands : commands;
  }

  private static String name(YamlNode node) {
    String name = node.text(LONGEST_NAME);
    if (!NAME.matcher(name).matches()) {
      throw node.bad("a name of small letters, digits and hyphens");
    }
    return name;
  }

  private static String program(YamlNode node) {
    String program = node.text(LONGEST_LINE);
    if (!PROGRAM.matcher(program).matches()) {
      throw node.bad("the name of a C source in guest/attacks, such as meltdown.c");
    }
    return program;
  }

  public List<String> names() {
    return attacks.stream().map(Attack::name).toList();
  }

  /** Attacks from somewhere, in the order of the catalog. */
  public List<Attack> from(Attack.From from) {
    return attacks.stream().filter(attack -> attack.from() == from).toList();
  }

  /**
   * Attacks by name, in the order of the catalog.
   *
   * @param wanted names; none for all that come from there
   * @param from where they are to come from
   * @throws BadInputException if there is none of a name; names the nearest
   */
  public List<Attack> choose(Collection<String> wanted, Attack.From from) {
    List<Attack> candidates = from(from);
    List<String> known = candidates.stream().map(Attack::name).toList();
    for (String name : wanted) {
      if (!known.contains(name)) {
        throw new BadInputException(
            "attack %s: expected one of %s, found %s"
                .formatted(
                    name,
                    String.join(", ", known),
                    names().contains(name)
                        ? "one that comes from elsewhere; see --from"
                        : "none of that name" + NearestNames.hint(name, known)));
      }
    }
    return candidates.stream()
        .filter(attack -> wanted.isEmpty() || wanted.contains(attack.name()))
        .toList();
  }
}
