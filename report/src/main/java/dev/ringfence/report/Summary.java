package dev.ringfence.report;

import dev.ringfence.lab.result.Metric;
import dev.ringfence.lab.result.MetricNames;
import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.PolicyResult.Cause;
import dev.ringfence.lab.result.RunResult;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** What a result says, in plain sentences made from its figures. */
final class Summary {
  /** The policy that a reader most likely asks about, if the run has it. */
  private static final String FAMILIAR = "google-2025";

  private Summary() {}

  /** About the run and all policies. */
  static List<String> ofRun(RunResult run) {
    List<String> sentences = new ArrayList<>();
    if (isPartial(run)) {
      sentences.add(
          "This run is partial: %s. The figures are those up to that point."
              .formatted(run.reason().isEmpty() ? "it did not reach its end" : run.reason()));
    }
    sentences.add(subject(run));
    List<PolicyResult> byCost =
        run.policies().stream()
            .sorted(Comparator.comparingDouble(policy -> policy.share().middle()))
            .toList();
    for (PolicyResult policy : byCost) {
      sentences.add(cost(run, policy));
    }
    sentences.addAll(comparisons(byCost));
    return sentences;
  }

  static boolean isPartial(RunResult run) {
    return !run.state().equals("complete");
  }

  /** The policy that a report shows first. */
  static @Nullable PolicyResult first(RunResult run) {
    List<PolicyResult> policies = run.policies();
    return policies.stream()
        .filter(policy -> policy.name().equals(FAMILIAR))
        .findFirst()
        .or(() -> policies.stream().filter(policy -> !policy.causes().isEmpty()).findFirst())
        .or(() -> policies.stream().findFirst())
        .orElse(null);
  }

  private static String subject(RunResult run) {
    long entries = run.entries().stream().mapToLong(RunResult.EntryCount::count).sum();
    String instructions =
        run.metrics().stream()
            .filter(metric -> metric.name().equals(MetricNames.INSTRUCTIONS))
            .map(Metric::value)
            .filter(Number.class::isInstance)
            .map(value -> Numbers.count(((Number) value).longValue()) + " instructions and ")
            .findFirst()
            .orElse("");
    return "%s ran %s%s on Linux %s, processor model %s."
        .formatted(
            run.workload().name(),
            instructions,
            Numbers.events(entries, "kernel entry", "kernel entries"),
            run.kernel().release(),
            run.cpuModel());
  }

  private static String cost(RunResult run, PolicyResult policy) {
    long entries = run.entries().stream().mapToLong(RunResult.EntryCount::count).sum();
    PolicyFigures figures = PolicyFigures.of(policy, entries);
    if (policy.share().high() <= 0) {
      return "%s adds nothing to the workload's cycles.".formatted(policy.name());
    }
    StringBuilder text = new StringBuilder();
    text.append(
        "%s adds %s to the workload's cycles"
            .formatted(policy.name(), Numbers.percent(policy.share())));
    Long exits = figures.exits();
    if (exits != null && exits > 0) {
      text.append(", with ").append(Numbers.events(exits, "exit", "exits"));
      if (figures.exitsPerEntry() != null) {
        text.append(
            ", %s for each 100 kernel entries"
                .formatted(Numbers.significant(figures.exitsPerEntry() * 100)));
      }
    }
    figures.parts().stream()
        .max(Comparator.comparingDouble(part -> part.share().high()))
        .filter(part -> part.share().high() > 0)
        .ifPresent(part ->
            text.append(
                "; the largest part is %s (up to %s)"
                    .formatted(part.event(), Numbers.percent(part.share().high()))));
    return text.append('.').toString();
  }

  /** Which policies are cheaper whatever the true costs within their ranges are. */
  private static List<String> comparisons(List<PolicyResult> byCost) {
    List<PolicyResult> costly =
        byCost.stream().filter(policy -> policy.share().high() > 0).toList();
    List<String> sentences = new ArrayList<>();
    for (PolicyResult cheap : costly) {
      List<PolicyResult> dearer =
          costly.stream().filter(other -> other.share().low() > cheap.share().high()).toList();
      if (!dearer.isEmpty()) {
        sentences.add(
            "%s costs less than %s wherever the true costs lie within their ranges."
                .formatted(
                    cheap.name(), enumerate(dearer.stream().map(PolicyResult::name).toList())));
      }
    }
    return sentences;
  }

  /** About one policy: what causes its exits, what would remove them, what it exposes. */
  static List<String> ofPolicy(RunResult run, PolicyResult policy) {
    List<String> sentences = new ArrayList<>();
    sentences.add(cost(run, policy));
    List<Cause> top = policy.causes().stream().limit(3).toList();
    if (top.isEmpty()) {
      sentences.add("It has no exits that a cause could be given for.");
    } else {
      sentences.add(
          top.size() == 1
              ? "One cause makes %s of its exits.".formatted(together(top))
              : "Its %d costliest causes make %s of its exits."
                  .formatted(top.size(), together(top)));
    }
    for (Cause cause : top) {
      sentences.add(cause(policy, cause));
    }
    List<Change> changes = Change.of(policy).stream().limit(3).toList();
    for (int i = 0; i < changes.size(); i++) {
      sentences.add(change(changes.get(i), i));
    }
    sentences.add(exposure(policy));
    return sentences;
  }

  private static String together(List<Cause> causes) {
    return Numbers.percent(causes.stream().mapToDouble(Cause::share).sum());
  }

  private static String cause(PolicyResult policy, Cause cause) {
    // A context switch or an entry touches nothing.
    String verb = cause.rule().isEmpty() ? " at a" : cause.write() ? " writes" : " reads";
    return "Cause %d: %s%s %s in %s, %s (%s), %s of the workload's cycles."
        .formatted(
            cause.number(),
            cause.function(),
            verb,
            data(cause),
            cause.entry(),
            Numbers.events(cause.count(), "exit", "exits"),
            Numbers.percent(cause.share()),
            Numbers.percent(Change.costShare(policy, cause)));
  }

  /** Where in its file or slab object the data lies; empty if in neither. */
  static String where(Cause cause) {
    PolicyResult.Offsets offsets = cause.offsets();
    if (offsets.lowest() < 0) {
      return "";
    }
    String which =
        offsets.lowest() == offsets.highest()
            ? "byte " + Numbers.count(offsets.lowest())
            : "bytes %s to %s"
                .formatted(Numbers.count(offsets.lowest()), Numbers.count(offsets.highest()));
    return offsets.objectSize() == 0
        ? which + " of the file"
        : "%s of objects of %s bytes".formatted(which, Numbers.count(offsets.objectSize()));
  }

  /** What was touched, with type and field if they are known. */
  static String data(Cause cause) {
    if (cause.type().isEmpty()) {
      return cause.data();
    }
    String member = cause.field().isEmpty() ? cause.type() : cause.type() + "." + cause.field();
    return cause.data().isEmpty() ? member : cause.data() + " (" + member + ")";
  }

  private static String change(Change change, int rank) {
    String which = rank == 0 ? "saves most" : rank == 1 ? "is second" : "is third";
    return "Of all changes, marking %s nonsensitive %s: %s (%s), %s of the workload's cycles; it would expose %s."
        .formatted(
            change.kind(),
            which,
            Numbers.events(change.saved(), "exit", "exits"),
            Numbers.percent(change.savedShare()),
            Numbers.percent(change.savedCost()),
            Numbers.bytes(change.exposed()));
  }

  private static String exposure(PolicyResult policy) {
    if (policy.exposure().isEmpty()) {
      return "What can be reached under it was not measured.";
    }
    PolicyFigures figures = PolicyFigures.of(policy, 0);
    if (figures.exposedMaximum() == 0) {
      return "None of the sensitive memory of the kernel or of other processes can be reached in its restricted address space.";
    }
    String largest =
        policy.exposure().stream()
            .filter(PolicyFigures::isForeign)
            .filter(exposure -> exposure.maximum() > 0)
            .sorted(Comparator.comparingLong(PolicyResult.Exposure::maximum).reversed())
            .limit(2)
            .map(e -> "%s of %s".formatted(e.kind(), e.owner()))
            .collect(Collectors.joining(", "));
    return "Up to %s of sensitive memory of the kernel or of other processes can be reached (%s on average), most of all %s."
        .formatted(
            Numbers.bytes(figures.exposedMaximum()),
            Numbers.bytes(figures.exposedAverage()),
            largest);
  }

  private static String enumerate(List<String> names) {
    return names.size() == 1
        ? names.getFirst()
        : String.join(", ", names.subList(0, names.size() - 1)) + " and " + names.getLast();
  }
}
