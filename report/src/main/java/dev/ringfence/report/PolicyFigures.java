package dev.ringfence.report;

import dev.ringfence.lab.result.Metric;
import dev.ringfence.lab.result.MetricNames;
import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.PolicyResult.Exposure;
import dev.ringfence.lab.result.Range;
import dev.ringfence.lab.result.RunResult;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * The figures of a policy that stand beside those of others. Null where the result has none.
 *
 * @param name of the policy
 * @param exitsPerEntry exits for each kernel entry
 * @param flushes by kind
 * @param tableBytes of restricted page tables, at most
 * @param exposedMaximum bytes of sensitive memory that is not the running process's own, the sum of
 *     the most that each kind had
 * @param exposedAverage the same on average
 * @param reachableMaximum bytes of all memory that could be reached
 * @param parts what the cost consists of, as fractions of the workload's own cycles
 */
record PolicyFigures(
    String name,
    Range share,
    @Nullable Long exits,
    @Nullable Long enters,
    @Nullable Double exitsPerEntry,
    @Nullable Long mapped,
    @Nullable Long unmapped,
    @Nullable Long shootdowns,
    Map<String, Long> flushes,
    @Nullable Long tableBytes,
    long exposedMaximum,
    double exposedAverage,
    long reachableMaximum,
    List<Part> parts) {

  /**
   * What one kind of event adds.
   *
   * @param share of the workload's own cycles
   */
  record Part(String event, Range share) {}

  static List<PolicyFigures> of(RunResult run) {
    long entries = run.entries().stream().mapToLong(RunResult.EntryCount::count).sum();
    return run.policies().stream().map(policy -> of(policy, entries)).toList();
  }

  static PolicyFigures of(PolicyResult policy, long entries) {
    Long exits = whole(policy, MetricNames.EXITS);
    Double perEntry = number(policy, MetricNames.EXITS_PER_ENTRY);
    if (perEntry == null && exits != null && entries > 0) {
      perEntry = (double) exits / entries;
    }
    Map<String, Long> flushes = new TreeMap<>();
    for (Metric metric : policy.metrics()) {
      if (metric.name().startsWith(MetricNames.FLUSHES) && metric.value() instanceof Number n) {
        flushes.put(metric.name().substring(MetricNames.FLUSHES.length()), n.longValue());
      }
    }
    List<Exposure> foreign = policy.exposure().stream().filter(PolicyFigures::isForeign).toList();
    return new PolicyFigures(
        policy.name(),
        policy.share(),
        exits,
        whole(policy, MetricNames.ENTERS),
        perEntry,
        whole(policy, MetricNames.MAPPED_PAGES),
        whole(policy, MetricNames.UNMAPPED_PAGES),
        whole(policy, MetricNames.SHOOTDOWNS),
        flushes,
        whole(policy, MetricNames.TABLE_BYTES),
        foreign.stream().mapToLong(Exposure::maximum).sum(),
        foreign.stream().mapToDouble(Exposure::average).sum(),
        policy.exposure().stream().mapToLong(Exposure::maximum).sum(),
        parts(policy));
  }

  /** Whether leaking it would tell a process something that is not its own. */
  static boolean isForeign(Exposure exposure) {
    return exposure.sensitive() && !exposure.owner().equals("own process");
  }

  /** The items' cycles, brought to the share of the whole, so that their sum is that share. */
  private static List<Part> parts(PolicyResult policy) {
    double low = policy.costItems().stream().mapToDouble(item -> item.total().low()).sum();
    double high = policy.costItems().stream().mapToDouble(item -> item.total().high()).sum();
    List<Part> parts = new ArrayList<>();
    for (PolicyResult.CostItem item : policy.costItems()) {
      parts.add(
          new Part(
              item.event(),
              new Range(
                  fraction(item.total().low(), low, policy.share().low()),
                  fraction(item.total().high(), high, policy.share().high()))));
    }
    return parts;
  }

  private static double fraction(double part, double whole, double of) {
    return whole > 0 ? part / whole * of : 0;
  }

  static @Nullable Long whole(PolicyResult policy, String name) {
    Double value = number(policy, name);
    return value == null ? null : Math.round(value);
  }

  private static @Nullable Double number(PolicyResult policy, String name) {
    return policy.metrics().stream()
        .filter(metric -> metric.name().equals(name) && metric.value() instanceof Number)
        .map(metric -> ((Number) metric.value()).doubleValue())
        .findFirst()
        .orElse(null);
  }
}
