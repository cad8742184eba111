package dev.ringfence.isolation.policy;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** The prepared rules answer as the rules themselves do. */
final class CompiledMappingTest {
  private static final String[] NAMES = {"", "filp", "kmalloc-64", "kmalloc-512", "task_struct"};
  private static final String[] SYMBOLS = {"", "runqueues", "tk_core", "cpu_tss_rw", "x"};
  private static final String[] GLOBS = {"*", "k*", "kmalloc-?4", "filp", "*_*", "tk_*", "x"};

  @Test
  void randomRulesCompiledAnswerLikeTheFirstRuleThatMatches() {
    Random random = new Random(20260701);
    for (int round = 0; round < 300; round++) {
      Mapping mapping = mapping(random);
      CompiledMapping compiled = new CompiledMapping(mapping);
      for (int question = 0; question < 200; question++) {
        Provenance page =
            new Provenance(
                pick(random, PageKind.values()), pick(random, NAMES), 0, random.nextBoolean());
        String symbol = pick(random, SYMBOLS);
        assertEquals(
            mapping.of(page, symbol),
            compiled.disposition(page, symbol),
            () -> mapping + " " + page + " " + symbol);
      }
    }
  }

  private static Mapping mapping(Random random) {
    List<MappingRule> rules = new ArrayList<>();
    int count = random.nextInt(6);
    for (int i = 0; i < count; i++) {
      List<PageKind> kinds = new ArrayList<>();
      for (PageKind kind : PageKind.values()) {
        if (random.nextInt(3) == 0) {
          kinds.add(kind);
        }
      }
      rules.add(
          new MappingRule(
              i,
              random.nextInt(4) == 0 ? Set.of() : Set.copyOf(kinds),
              random.nextBoolean() ? List.of() : List.of(new Glob(pick(random, GLOBS))),
              random.nextInt(3) > 0 ? List.of() : List.of(new Glob(pick(random, GLOBS))),
              pick(random, MappingRule.UserAllocation.values()),
              false,
              pick(random, Disposition.values()),
              ""));
    }
    return new Mapping(pick(random, Disposition.values()), rules);
  }

  private static <T> T pick(Random random, T[] values) {
    return values[random.nextInt(values.length)];
  }

  @Test
  void moreNamesThanTheCacheHoldsAreAnsweredRightly() {
    CompiledMapping compiled =
        new CompiledMapping(
            new Mapping(
                Disposition.NONSENSITIVE,
                List.of(
                    new MappingRule(
                        1,
                        Set.of(),
                        List.of(new Glob("*7")),
                        List.of(),
                        MappingRule.UserAllocation.ANY,
                        false,
                        Disposition.SENSITIVE,
                        ""))));
    for (int i = 0; i < 200_000; i++) {
      String file = "/data/file" + i;
      assertEquals(
          i % 10 == 7 ? Disposition.SENSITIVE : Disposition.NONSENSITIVE,
          compiled.disposition(new Provenance(PageKind.PAGE_CACHE, file, 0, true), ""));
    }
  }
}
