package dev.ringfence.isolation.policy;

import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.NearestNames;
import dev.ringfence.machine.input.YamlNode;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/**
 * A policy of address space isolation.
 *
 * @param file it was read from, or the name of the built-in one, for messages
 * @param name of lower-case letters, digits, dots and hyphens
 * @param title one line
 * @param description for the reader of a report
 * @param sources what it restates: patches with Message-ID, papers, kernel files
 * @param isolates whether there are restricted address spaces at all; if not, all else is without
 *     effect
 * @param mapping what is mapped in restricted address spaces
 * @param behaviour at kernel entries, interrupts, context switches, frees
 * @param flushes which operations flushes consist of
 * @param classes taints of the classes of domains that are isolated
 */
public record Policy(
    String file,
    String name,
    String title,
    String description,
    List<String> sources,
    boolean isolates,
    Mapping mapping,
    Behaviour behaviour,
    FlushOperations flushes,
    Map<DomainClass, TaintRules> classes) {

  private static final List<String> BUILT_IN =
      List.of(
          "none",
          "google-2022",
          "google-2025",
          "google-2025-mermap",
          "oracle-kvm",
          "hyperclear",
          "secret-hiding",
          "kpti");

  public Policy {
    sources = List.copyOf(sources);
    Map<DomainClass, TaintRules> ordered = new EnumMap<>(DomainClass.class);
    ordered.putAll(classes);
    classes = Collections.unmodifiableMap(ordered);
  }

  /** Names of the policies that come with Ringfence. */
  public static List<String> builtIn() {
    return BUILT_IN;
  }

  /**
   * Reads a policy.
   *
   * @param nameOrFile name of a built-in one, or a file, which has a {@code /} or ends in {@code
   *     .yaml} or {@code .yml}
   * @throws BadInputException if there is none, or if it is not right
   */
  public static Policy load(String nameOrFile) {
    if (BUILT_IN.contains(nameOrFile)) {
      return parse(resource(nameOrFile + ".yaml"), nameOrFile + ".yaml (built in)");
    }
    boolean file =
        nameOrFile.indexOf('/') >= 0 || nameOrFile.endsWith(".yaml") || nameOrFile.endsWith(".yml");
    if (!file) {
      throw new BadInputException(
          "policy: expected a file, or one of "
              + String.join(", ", BUILT_IN)
              + ", found "
              + nameOrFile
              + NearestNames.hint(nameOrFile, BUILT_IN));
    }
    try {
      return parse(
          YamlNode.decode(Files.readAllBytes(Path.of(nameOrFile)), nameOrFile), nameOrFile);
    } catch (IOException | InvalidPathException e) {
      throw new BadInputException(
          nameOrFile + ": expected a readable policy file, found " + BadInputException.reason(e),
          e);
    }
  }

  /**
   * Reads the text of a policy.
   *
   * @param file for messages
   * @throws BadInputException if it is not right
   */
  public static Policy parse(String text, String file) {
    return PolicyReader.read(text, file);
  }

  /** The JSON schema of policy files. */
  public static String schema() {
    return resource("policy.schema.json");
  }

  private static String resource(String name) {
    try (InputStream in = Policy.class.getResourceAsStream(name)) {
      return YamlNode.decode(Objects.requireNonNull(in, name).readAllBytes(), name);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * The disposition of a page. For many questions, {@link #compile} first.
   *
   * @param symbol of the kernel image or per-CPU variable that is meant, empty if there is none
   */
  public Disposition disposition(Provenance page, String symbol) {
    return mapping.of(page, symbol);
  }

  /**
   * What decides about a page, for people: {@code line 21: kind slab, name dentry. File names.} or
   * that it is the default.
   *
   * @param symbol of the kernel image or per-CPU variable that is meant, empty if there is none
   */
  public String decides(Provenance page, String symbol) {
    return mapping.decides(page, symbol);
  }

  /** The rules, prepared for being asked for every page. */
  public CompiledMapping compile() {
    return new CompiledMapping(mapping);
  }

  /** Whether domains of a class run restricted: the policy says something of it. */
  public boolean isolates(DomainClass domainClass) {
    return isolates && classes.containsKey(domainClass);
  }

  /** The taints of a class of domains. */
  public TaintRules taints(DomainClass domainClass) {
    return classes.getOrDefault(domainClass, TaintRules.NONE);
  }

  /**
   * Looks for names that the running kernel does not have. Names of slab caches are those in rules
   * for the kind {@code slab} alone. Rules that say {@code if-present} are left out.
   */
  public List<UnknownName> checkNames(KernelNames kernel) {
    List<UnknownName> unknown = new ArrayList<>();
    for (MappingRule rule : mapping.rules()) {
      if (rule.ifPresent()) {
        continue;
      }
      if (rule.kinds().equals(Set.of(PageKind.SLAB))) {
        check(rule, "slab cache", rule.names(), kernel.slabCaches(), unknown);
      }
      check(rule, "symbol", rule.symbols(), kernel.symbols(), unknown);
    }
    return unknown;
  }

  private void check(
      MappingRule rule,
      String what,
      List<Glob> globs,
      Set<String> valid,
      List<UnknownName> unknown) {
    if (valid.isEmpty()) {
      return;
    }
    for (Glob glob : globs) {
      boolean found =
          glob.isPattern() ? valid.stream().anyMatch(glob::matches) : valid.contains(glob.text());
      if (!found) {
        unknown.add(
            new UnknownName(
                file, rule.line(), what, glob.text(), NearestNames.of(glob.literal(), valid)));
      }
    }
  }
}
