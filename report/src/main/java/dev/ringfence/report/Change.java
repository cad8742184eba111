package dev.ringfence.report;

import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.PolicyResult.Cause;
import dev.ringfence.lab.result.Range;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What marking one kind of data nonsensitive would do: all causes that touch it go away together.
 *
 * @param kind id of the page kind
 * @param data what is touched most often
 * @param rule what of the policy makes that sensitive
 * @param causes their numbers
 * @param saved exits that would go away
 * @param savedShare of all exits of the policy
 * @param savedCost what these exits add, as a fraction of the workload's own cycles
 * @param exposed bytes that would become reachable
 */
record Change(
    String kind,
    String data,
    String rule,
    List<Integer> causes,
    long saved,
    double savedShare,
    Range savedCost,
    long exposed) {

  /**
   * Changes of one kind of data that would save exits, that which saves most first. Kinds that are
   * touched only where something else calls for an exit, too, are not among them.
   */
  static List<Change> of(PolicyResult policy) {
    Map<String, List<Cause>> kinds = new LinkedHashMap<>();
    for (Cause cause : policy.causes()) {
      kinds.computeIfAbsent(cause.kind(), kind -> new ArrayList<>()).add(cause);
    }
    return kinds.values().stream()
        .map(causes -> of(policy, causes))
        .filter(change -> change.saved() > 0)
        .sorted(Comparator.comparingLong(Change::saved).reversed().thenComparing(Change::kind))
        .toList();
  }

  private static Change of(PolicyResult policy, List<Cause> causes) {
    Cause most = causes.stream().max(Comparator.comparingLong(Cause::count)).orElseThrow();
    long all = policy.causes().stream().mapToLong(Cause::count).sum();
    long saved = causes.stream().mapToLong(Cause::savedByMapping).sum();
    Range cost =
        causes.stream().map(cause -> savedCost(policy, cause)).reduce(Range.NOTHING, Range::plus);
    return new Change(
        most.kind(),
        most.data(),
        most.rule(),
        causes.stream().map(Cause::number).toList(),
        saved,
        all > 0 ? (double) saved / all : 0,
        cost,
        causes.stream().mapToLong(Cause::exposedByMapping).max().orElse(0));
  }

  /** What the exits of a cause that marking its data would save add to the workload's cycles. */
  static Range savedCost(PolicyResult policy, Cause cause) {
    return cause.count() > 0
        ? costShare(policy, cause).times((double) cause.savedByMapping() / cause.count())
        : Range.NOTHING;
  }

  /** A cause's cost as a fraction of the workload's own cycles. */
  static Range costShare(PolicyResult policy, Cause cause) {
    return new Range(
        fraction(cause.cost().low(), policy.cost().low(), policy.share().low()),
        fraction(cause.cost().high(), policy.cost().high(), policy.share().high()));
  }

  private static double fraction(double part, double whole, double of) {
    return whole > 0 ? part / whole * of : 0;
  }
}
