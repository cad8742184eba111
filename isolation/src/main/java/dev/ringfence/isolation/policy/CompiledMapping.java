package dev.ringfence.isolation.policy;

import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The rules of a policy, prepared for being asked for every page. For most kinds the answer is one
 * array access; where names or symbols matter, one look-up in a cache. Not for several threads.
 */
public final class CompiledMapping {
  /**
   * File names are without bound, so a cache that has become this large starts anew. Asking the
   * rules again is slow, not wrong.
   */
  private static final int LARGEST_CACHE = 1 << 16;

  /** What is known of pages of one kind and one kind of allocation flags. */
  private static final class Row {
    /** The answer if neither name nor symbol matters, else null. */
    final @Nullable Disposition always;

    final boolean symbolMatters;
    final List<MappingRule> rules;
    final Map<String, Disposition> byName = new HashMap<>();
    final Map<String, Map<String, Disposition>> bySymbol = new HashMap<>();

    Row(@Nullable Disposition always, boolean symbolMatters, List<MappingRule> rules) {
      this.always = always;
      this.symbolMatters = symbolMatters;
      this.rules = rules;
    }
  }

  private final Disposition fallback;
  private final Map<PageKind, Row> user = new EnumMap<>(PageKind.class);
  private final Map<PageKind, Row> kernel = new EnumMap<>(PageKind.class);

  CompiledMapping(Mapping mapping) {
    fallback = mapping.fallback();
    for (PageKind kind : PageKind.values()) {
      user.put(kind, row(mapping, kind, true));
      kernel.put(kind, row(mapping, kind, false));
    }
  }

  /** The row of pages of this kind that were, or were not, allocated with GFP_USER flags. */
  private Row row(PageKind kind, boolean ofUser) {
    return Objects.requireNonNull((ofUser ? user : kernel).get(kind));
  }

  private static Row row(Mapping mapping, PageKind kind, boolean user) {
    List<MappingRule> rules = new ArrayList<>();
    boolean symbolMatters = false;
    for (MappingRule rule : mapping.rules()) {
      if (rule.admits(kind, user)) {
        rules.add(rule);
        symbolMatters |= !rule.symbols().isEmpty();
        if (rule.names().isEmpty() && rule.symbols().isEmpty()) {
          break; // it matches every page that comes here; no later rule can
        }
      }
    }
    if (rules.isEmpty()) {
      return new Row(mapping.fallback(), false, rules);
    }
    MappingRule first = rules.getFirst();
    boolean always = first.names().isEmpty() && first.symbols().isEmpty();
    return new Row(always ? first.disposition() : null, symbolMatters, rules);
  }

  /**
   * Whether the disposition of pages of this kind depends on symbols, so that it is worth finding
   * out which are on a page.
   */
  public boolean dependsOnSymbols(PageKind kind) {
    return row(kind, false).symbolMatters || row(kind, true).symbolMatters;
  }

  /**
   * The disposition of a page.
   *
   * @param symbol of the kernel image or per-CPU variable that is meant, empty if there is none
   */
  public Disposition disposition(Provenance page, String symbol) {
    Row row = row(page.kind(), page.user());
    if (row.always != null) {
      return row.always;
    }
    Map<String, Disposition> cache = row.byName;
    if (row.symbolMatters && !symbol.isEmpty()) {
      if (row.bySymbol.size() >= LARGEST_CACHE) {
        row.bySymbol.clear();
      }
      cache = row.bySymbol.computeIfAbsent(symbol, unused -> new HashMap<>());
    }
    Disposition known = cache.get(page.name());
    if (known == null) {
      known = ask(row, page.name(), symbol);
      if (cache.size() >= LARGEST_CACHE) {
        cache.clear();
      }
      cache.put(page.name(), known);
    }
    return known;
  }

  private Disposition ask(Row row, String name, String symbol) {
    for (MappingRule rule : row.rules) {
      if (rule.matches(name, symbol)) {
        return rule.disposition();
      }
    }
    return fallback;
  }

  /**
   * The disposition of a page that holds several symbols: that of the symbol that is mapped most
   * widely. A kernel made for such a policy would place variables of different dispositions on
   * pages of their own; an unmodified one does not, and a page is mapped as a whole or not at all.
   * So exits at the page's other symbols are missing, and its exposure is too high.
   */
  public Disposition page(Provenance page, Iterable<String> symbols) {
    Disposition widest = disposition(page, "");
    if (dependsOnSymbols(page.kind())) {
      for (String symbol : symbols) {
        Disposition found = disposition(page, symbol);
        if (found.compareTo(widest) < 0) {
          widest = found;
        }
      }
    }
    return widest;
  }
}
