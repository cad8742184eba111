package dev.ringfence.isolation.policy;

import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

/**
 * A rule about pages. All conditions that it states must hold; a condition that it does not state
 * holds for every page.
 *
 * @param line of the policy file
 * @param kinds of pages; empty if not stated
 * @param names globs for {@link Provenance#name}: slab caches, callers of vmalloc, modules, files;
 *     empty if not stated
 * @param symbols globs for symbols and sections of the kernel image and for per-CPU variables;
 *     empty if not stated
 * @param userAllocation required {@link Provenance#user}
 * @param ifPresent whether a kernel may lack the names and symbols
 * @param disposition of pages for which the conditions hold
 * @param reason for people, or empty
 */
public record MappingRule(
    int line,
    Set<PageKind> kinds,
    List<Glob> names,
    List<Glob> symbols,
    UserAllocation userAllocation,
    boolean ifPresent,
    Disposition disposition,
    String reason) {

  /** Words of a condition that {@link #text} names. */
  private static final int MOST_SHOWN = 5;

  /** What a rule requires of {@link Provenance#user}. */
  public enum UserAllocation {
    ANY,
    YES,
    NO
  }

  public MappingRule {
    kinds = kinds.isEmpty() ? Set.of() : Collections.unmodifiableSet(EnumSet.copyOf(kinds));
    names = List.copyOf(names);
    symbols = List.copyOf(symbols);
  }

  /** Whether the conditions on kind and allocation flags hold. */
  boolean admits(PageKind kind, boolean user) {
    boolean allocation =
        switch (userAllocation) {
          case ANY -> true;
          case YES -> user;
          case NO -> !user;
        };
    return allocation && (kinds.isEmpty() || kinds.contains(kind));
  }

  /** Whether the conditions on name and symbol hold. */
  boolean matches(String name, String symbol) {
    return holds(names, name) && holds(symbols, symbol);
  }

  /** The rule's conditions and reason, for people: one line. */
  String text() {
    List<String> conditions = new ArrayList<>();
    if (!kinds.isEmpty()) {
      conditions.add("kind " + some(kinds.stream().map(PageKind::id).toList()));
    }
    if (!names.isEmpty()) {
      conditions.add("name " + some(names.stream().map(Glob::text).toList()));
    }
    if (!symbols.isEmpty()) {
      conditions.add("symbol " + some(symbols.stream().map(Glob::text).toList()));
    }
    if (userAllocation != UserAllocation.ANY) {
      conditions.add("user-allocation " + (userAllocation == UserAllocation.YES));
    }
    String why = reason.strip().replaceAll("\\s+", " ");
    return "line %d: %s%s"
        .formatted(line, String.join(", ", conditions), why.isEmpty() ? "" : ". " + why);
  }

  private static String some(List<String> words) {
    return words.size() <= MOST_SHOWN
        ? String.join(" | ", words)
        : "%s | … (%d in all)"
            .formatted(String.join(" | ", words.subList(0, MOST_SHOWN)), words.size());
  }

  private static boolean holds(List<Glob> globs, String text) {
    if (globs.isEmpty()) {
      return true;
    }
    if (text.isEmpty()) {
      return false;
    }
    for (Glob glob : globs) {
      if (glob.matches(text)) {
        return true;
      }
    }
    return false;
  }
}
