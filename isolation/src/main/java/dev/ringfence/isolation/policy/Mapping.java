package dev.ringfence.isolation.policy;

import dev.ringfence.linux.provenance.Provenance;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What is mapped in restricted address spaces.
 *
 * @param fallback disposition of pages that no rule matches; YAML key {@code default}
 * @param rules in order, the first that matches decides
 */
public record Mapping(Disposition fallback, List<MappingRule> rules) {
  /** Everything is mapped. */
  public static final Mapping EVERYTHING = new Mapping(Disposition.NONSENSITIVE, List.of());

  public Mapping {
    rules = List.copyOf(rules);
  }

  /** What decides about a page, for people: a rule with its line, or the default. */
  String decides(Provenance page, String symbol) {
    MappingRule rule = rule(page, symbol);
    return rule == null ? "the default: no rule names such pages" : rule.text();
  }

  /** The disposition of a page, without any cache: for single questions. */
  Disposition of(Provenance page, String symbol) {
    MappingRule rule = rule(page, symbol);
    return rule == null ? fallback : rule.disposition();
  }

  private @Nullable MappingRule rule(Provenance page, String symbol) {
    for (MappingRule rule : rules) {
      if (rule.admits(page.kind(), page.user()) && rule.matches(page.name(), symbol)) {
        return rule;
      }
    }
    return null;
  }
}
