package dev.ringfence.report;

import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.PolicyResult.Cause;
import dev.ringfence.lab.result.Range;
import dev.ringfence.lab.result.RunResult;
import dev.ringfence.machine.BadInputException;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/** Tables for the terminal, at most {@link #WIDTH} columns wide. */
public final class TextReport {
  /** Columns of a line at most; long names are cut to keep it. */
  public static final int WIDTH = 120;

  private static final int CAUSES = 5;
  private static final int NAME_WIDTH = 24;

  /** How large counts are written; the first that fits is taken. */
  private enum Style {
    FULL,
    COMPACT,
    SPLIT
  }

  private TextReport() {}

  /** The comparison of policies, the costliest causes of each, and which attacks leaked. */
  public static List<String> lines(RunResult run) {
    List<String> lines = new ArrayList<>();
    if (Summary.isPartial(run)) {
      lines.addAll(Texts.wrap("PARTIAL: " + run.reason(), WIDTH, ""));
      lines.add("");
    }
    lines.addAll(comparison(run));
    lines.addAll(causes(run));
    lines.add("");
    lines.addAll(LeakText.lines(run.leaks()));
    return lines;
  }

  /** One row for each policy. */
  public static List<String> comparison(RunResult run) {
    List<PolicyFigures> figures = PolicyFigures.of(run);
    SortedSet<String> flushes = new TreeSet<>();
    figures.forEach(policy -> flushes.addAll(policy.flushes().keySet()));
    for (Style style : Style.values()) {
      TextTable table =
          comparison(figures, style == Style.SPLIT ? new TreeSet<>() : flushes, style);
      if (table.width() <= WIDTH) {
        List<String> lines = new ArrayList<>(table.lines());
        if (style == Style.SPLIT) {
          lines.add("");
          lines.addAll(flushes(figures, flushes));
        }
        lines.addAll(legend());
        lines.addAll(ownFlushes(run));
        lines.addAll(MachineText.comparison(run));
        return lines;
      }
    }
    throw new AssertionError("names are cut, so the table without flushes fits");
  }

  /** What the kernel flushed of its own accord; nothing if it did not. */
  private static List<String> ownFlushes(RunResult run) {
    List<String> kinds =
        run.ownFlushes().counts().stream()
            .map(flushes -> Numbers.count(flushes.count()) + " " + flushes.event())
            .toList();
    return kinds.isEmpty()
        ? List.of()
        : Texts.wrap(
            "The kernel itself flushed, under all policies and in none of their costs: %s; %s of the workload's own cycles."
                .formatted(String.join(", ", kinds), Numbers.percent(run.ownFlushes().share())),
            WIDTH,
            "  ");
  }

  private static List<String> legend() {
    return Texts.wrap(
        "cost: of the workload's own cycles, low to high. exposed: sensitive memory of the kernel or of other processes that could be reached, at most.",
        WIDTH,
        "  ");
  }

  private static TextTable comparison(
      List<PolicyFigures> figures, SortedSet<String> flushes, Style style) {
    List<String> titles =
        new ArrayList<>(List.of("policy", "exits", "/entry", "maps", "shootdowns"));
    titles.addAll(flushes);
    titles.addAll(List.of("cost %", "exposed"));
    List<Boolean> numeric = new ArrayList<>();
    titles.forEach(title -> numeric.add(!title.equals("policy")));
    TextTable table = new TextTable(titles, numeric);
    for (PolicyFigures policy : figures) {
      List<String> cells = new ArrayList<>();
      cells.add(Texts.fit(Texts.plain(policy.name()), NAME_WIDTH));
      cells.add(count(policy.exits(), style));
      cells.add(policy.exitsPerEntry() == null ? "-" : Numbers.significant(policy.exitsPerEntry()));
      cells.add(count(policy.mapped(), style));
      cells.add(count(policy.shootdowns(), style));
      flushes.forEach(kind -> cells.add(count(policy.flushes().get(kind), style)));
      cells.add(percent(policy.share()));
      cells.add(Numbers.bytes(policy.exposedMaximum()));
      table.add(cells);
    }
    return table;
  }

  private static List<String> flushes(List<PolicyFigures> figures, SortedSet<String> kinds) {
    TextTable table =
        new TextTable(List.of("policy", "flush", "count"), List.of(false, false, true));
    for (PolicyFigures policy : figures) {
      for (String kind : kinds) {
        Long count = policy.flushes().get(kind);
        if (count != null && count > 0) {
          table.add(
              List.of(
                  Texts.fit(Texts.plain(policy.name()), NAME_WIDTH),
                  Texts.fit(Texts.plain(kind), NAME_WIDTH),
                  Numbers.count(count)));
        }
      }
    }
    return table.lines();
  }

  private static String count(@Nullable Long value, Style style) {
    if (value == null) {
      return "-";
    }
    return style == Style.FULL ? Numbers.count(value) : Numbers.compact(value);
  }

  private static String percent(Range share) {
    return Numbers.range(
        Numbers.significant(share.low() * 100), Numbers.significant(share.high() * 100), "");
  }

  /** The costliest causes of each policy that has any. */
  public static List<String> causes(RunResult run) {
    List<String> lines = new ArrayList<>();
    for (PolicyResult policy : run.policies()) {
      if (policy.causes().isEmpty()) {
        continue;
      }
      lines.add("");
      int shown = Math.min(CAUSES, policy.causes().size());
      lines.add(
          Texts.fit(Texts.plain(policy.name()), NAME_WIDTH)
              + ": "
              + (shown == 1 ? "the one cause" : "the " + shown + " costliest causes")
              + " of "
              + Numbers.count(policy.causes().size()));
      lines.addAll(causes(policy).lines());
    }
    return lines;
  }

  private static TextTable causes(PolicyResult policy) {
    TextTable table =
        new TextTable(
            List.of("  #", "function", "data", "kernel entry", "exits", "cost %"),
            List.of(true, false, false, false, true, true));
    for (Cause cause : policy.causes().subList(0, Math.min(CAUSES, policy.causes().size()))) {
      table.add(
          List.of(
              String.valueOf(cause.number()),
              Texts.fit(Texts.plain(cause.function()), 28),
              Texts.fit(Texts.plain(Summary.data(cause)), 36),
              Texts.fit(Texts.plain(cause.entry()), 24),
              Numbers.compact(cause.count()),
              percent(Change.costShare(policy, cause))));
    }
    return table;
  }

  /**
   * All about one cause of exits.
   *
   * @param number of the cause, from 1
   * @throws BadInputException if the run has no such policy or cause; names those that it has
   */
  public static List<String> explain(RunResult run, String policyName, int number) {
    PolicyResult policy = policy(run, policyName);
    Cause cause =
        policy.causes().stream()
            .filter(candidate -> candidate.number() == number)
            .findFirst()
            .orElseThrow(() -> noCause(policy, number));
    List<String> lines = new ArrayList<>();
    lines.addAll(
        Texts.wrap(
            "Cause %d of %d under %s, by cost"
                .formatted(number, policy.causes().size(), policy.name()),
            WIDTH,
            ""));
    lines.add("");
    field(lines, "function", cause.function());
    field(lines, "call site", String.join(" < ", cause.callSite()));
    if (!cause.rule().isEmpty()) {
      field(lines, "access", (cause.write() ? "write" : "read") + " at " + cause.address());
    }
    field(lines, "data", cause.data() + " (" + cause.kind() + ")");
    if (!cause.rule().isEmpty()) {
      field(lines, "sensitive", "by the policy's " + cause.rule());
    }
    field(lines, "type", cause.type().isEmpty() ? "not known" : cause.type());
    field(lines, "field", cause.field().isEmpty() ? "not known" : cause.field());
    String where = Summary.where(cause);
    if (!where.isEmpty()) {
      field(lines, "offset", where);
    }
    field(lines, "entry", cause.entry());
    field(
        lines,
        "how often",
        "%s, %s of all exits of the policy"
            .formatted(
                Numbers.events(cause.count(), "exit", "exits"), Numbers.percent(cause.share())));
    field(
        lines,
        "cost",
        "%s, %s of the workload's own cycles"
            .formatted(
                Numbers.cycles(cause.cost()), Numbers.percent(Change.costShare(policy, cause))));
    lines.add("");
    lines.add("If " + Texts.plain(cause.kind()) + " were nonsensitive");
    field(
        lines,
        "saved",
        "%s of this cause, %s of the workload's own cycles"
            .formatted(
                Numbers.events(cause.savedByMapping(), "exit", "exits"),
                Numbers.percent(Change.savedCost(policy, cause))));
    Change.of(policy).stream()
        .filter(change -> change.kind().equals(cause.kind()) && change.causes().size() > 1)
        .findFirst()
        .ifPresent(change -> field(lines, "", together(change)));
    field(
        lines,
        "exposed",
        Numbers.bytes(cause.exposedByMapping())
            + ", pages of "
            + cause.kind()
            + " not exposed yet");
    lines.add("");
    lines.add("Stack of one such exit, most recent frame first");
    for (String frame : cause.example()) {
      lines.add("  " + Texts.plain(frame));
    }
    return lines;
  }

  /**
   * All about exits of virtual machines under one policy.
   *
   * @throws BadInputException if no virtual machine ran, or the run has no such policy that
   *     isolates; names those that it has
   */
  public static List<String> explainMachines(RunResult run, String policyName) {
    return MachineText.explain(run, policyName);
  }

  private static String together(Change change) {
    return "%s (%s of all) with the other %s of the same kind"
        .formatted(
            Numbers.events(change.saved(), "exit", "exits"),
            Numbers.percent(change.savedShare()),
            Numbers.events(change.causes().size() - 1, "cause", "causes"));
  }

  private static void field(List<String> lines, String name, String value) {
    List<String> wrapped = Texts.wrap(value, WIDTH, "             ");
    lines.add("  %-10s %s".formatted(name, wrapped.getFirst().strip()).stripTrailing());
    lines.addAll(wrapped.subList(1, wrapped.size()));
  }

  private static PolicyResult policy(RunResult run, String name) {
    List<String> names = run.policies().stream().map(PolicyResult::name).toList();
    int index = names.indexOf(name);
    if (index < 0) {
      throw new BadInputException(
          names.isEmpty()
              ? "policy %s: expected one of the run, but it has none".formatted(Texts.plain(name))
              : "policy %s: expected one of the run, found none of that name; nearest: %s"
                  .formatted(
                      Texts.plain(name),
                      Texts.plain(String.join(", ", Texts.nearest(name, names)))));
    }
    return run.policies().get(index);
  }

  private static BadInputException noCause(PolicyResult policy, int number) {
    return new BadInputException(
        policy.causes().isEmpty()
            ? "cause %d: policy %s has no exits, so there are no causes to explain"
                .formatted(number, Texts.plain(policy.name()))
            : "cause %d: expected a number from 1 to %d, the causes of policy %s"
                .formatted(
                    number,
                    policy.causes().stream().mapToInt(Cause::number).max().orElseThrow(),
                    Texts.plain(policy.name())));
  }
}
