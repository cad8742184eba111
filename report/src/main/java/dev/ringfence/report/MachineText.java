package dev.ringfence.report;

import dev.ringfence.lab.result.Range;
import dev.ringfence.lab.result.RunResult;
import dev.ringfence.lab.result.VirtualMachine;
import dev.ringfence.lab.result.VirtualMachine.Exits;
import dev.ringfence.lab.result.VirtualMachine.UnderPolicy;
import dev.ringfence.machine.BadInputException;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** Tables for the terminal about the exits of virtual machines. */
final class MachineText {
  private static final int WIDTH = TextReport.WIDTH;
  private static final int NAME_WIDTH = 24;

  /** What stands in the place of a policy for the kernel's own flushes. */
  private static final String KERNEL = "kernel itself";

  private MachineText() {}

  /** What one VM exit costs under each policy, for each machine; nothing if there was none. */
  static List<String> comparison(RunResult run) {
    List<String> lines = new ArrayList<>();
    for (VirtualMachine machine : run.machines()) {
      if (machine.phase().isEmpty() && machine.all().count() > 0) {
        lines.add("");
        lines.addAll(comparison(run, machine));
      }
    }
    if (!lines.isEmpty()) {
      lines.addAll(
          Texts.wrap(
              "cycles: added to one VM exit, up to the next entry of the machine, low to high."
                  + " restricted: VM exits that the kernel handled without leaving the restricted"
                  + " address space. "
                  + KERNEL
                  + ": the L1 data cache, buffers and predictors that it flushed of its own accord.",
              WIDTH,
              "  "));
    }
    return lines;
  }

  private static List<String> comparison(RunResult run, VirtualMachine machine) {
    List<VirtualMachine> stretches = new ArrayList<>(List.of(machine));
    for (VirtualMachine other : run.machines()) {
      if (!other.phase().isEmpty() && isSame(machine, other)) {
        stretches.add(other);
      }
    }
    List<String> lines = new ArrayList<>();
    lines.add(title(machine));
    TextTable table = comparison(stretches);
    // Without the parts if there are too many.
    lines.addAll((table.width() <= WIDTH ? table : comparison(stretches.subList(0, 1))).lines());
    return lines;
  }

  private static TextTable comparison(List<VirtualMachine> stretches) {
    List<String> titles = new ArrayList<>(List.of("policy", "restricted", "cycles"));
    List<Boolean> numeric = new ArrayList<>(List.of(false, true, true));
    for (VirtualMachine part : stretches.subList(1, stretches.size())) {
      titles.add("in " + Texts.fit(Texts.plain(part.phase()), NAME_WIDTH));
      numeric.add(true);
    }
    TextTable table = new TextTable(titles, numeric);
    addRow(table, KERNEL, "", stretches, Exits::own);
    for (UnderPolicy policy : stretches.getFirst().all().policies()) {
      addRow(
          table,
          policy.policy(),
          restricted(stretches.getFirst().all(), policy),
          stretches,
          exits -> under(exits, policy.policy()).total());
    }
    return table;
  }

  /** What a policy did; nothing if a result does not have it. */
  private static UnderPolicy under(Exits exits, String policy) {
    return exits.policies().stream()
        .filter(candidate -> candidate.policy().equals(policy))
        .findFirst()
        .orElse(new UnderPolicy(policy, 0, 0, 0, Range.NOTHING, Range.NOTHING));
  }

  private static void addRow(
      TextTable table,
      String name,
      String restricted,
      List<VirtualMachine> stretches,
      Function<Exits, Range> cost) {
    List<String> cells = new ArrayList<>();
    cells.add(Texts.fit(Texts.plain(name), NAME_WIDTH));
    cells.add(restricted);
    for (VirtualMachine part : stretches) {
      cells.add(ofOne(cost.apply(part.all()), part.all().count()));
    }
    table.add(cells);
  }

  /** Cycles of one of several VM exits. */
  private static String ofOne(Range all, long count) {
    Range one = count == 0 ? Range.NOTHING : all.times(1.0 / count);
    return Numbers.range(Numbers.compact(one.low()), Numbers.compact(one.high()), "");
  }

  /** A policy that does not isolate virtual machines handles none restricted. */
  private static String restricted(Exits exits, UnderPolicy policy) {
    return policy.restricted() == 0 || exits.count() == 0
        ? "-"
        : Numbers.percent((double) policy.restricted() / exits.count());
  }

  private static boolean isSame(VirtualMachine one, VirtualMachine other) {
    return one.number() == other.number() && one.process().equals(other.process());
  }

  private static String title(VirtualMachine machine) {
    return "Virtual machine of %s: %s, %s handed to the process"
        .formatted(
            name(machine),
            Numbers.events(machine.all().count(), "VM exit", "VM exits"),
            Numbers.count(machine.all().handedOver()));
  }

  private static String name(VirtualMachine machine) {
    return machine.process().isEmpty()
        ? "a process"
        : "%s (process %d)"
            .formatted(Texts.fit(Texts.plain(machine.process()), NAME_WIDTH), machine.number());
  }

  /**
   * VM exits under one policy, by machine and reason.
   *
   * @throws BadInputException if no virtual machine ran, or the run has no such policy that
   *     isolates; names those that it has
   */
  static List<String> explain(RunResult run, String policy) {
    if (run.machines().isEmpty()) {
      throw new BadInputException("no virtual machine ran in this run's region of interest");
    }
    List<String> names =
        run.machines().getFirst().all().policies().stream().map(UnderPolicy::policy).toList();
    if (!names.contains(policy)) {
      throw new BadInputException(
          "policy %s: expected one of the run that isolates, %s"
              .formatted(Texts.plain(policy), Texts.plain(String.join(", ", names))));
    }
    List<String> lines = new ArrayList<>();
    for (VirtualMachine machine : run.machines()) {
      if (machine.phase().isEmpty()) {
        lines.addAll(Texts.wrap(title(machine) + ", under " + policy, WIDTH, ""));
        lines.addAll(byReason(machine, policy).lines());
        lines.add("");
      }
    }
    lines.addAll(
        Texts.wrap(
            "exits: of the restricted address space, in the kernel's part and after it, while the"
                + " process was at it. cycles: that they and the enters add to one VM exit, low to"
                + " high, in both parts.",
            WIDTH,
            "  "));
    return lines;
  }

  private static TextTable byReason(VirtualMachine machine, String policy) {
    TextTable table =
        new TextTable(
            List.of(
                "VM exit",
                "count",
                "handed over",
                "restricted",
                "exits",
                "cycles",
                "exits after",
                "cycles after"),
            List.of(false, true, true, true, true, true, true, true));
    List<Exits> rows = new ArrayList<>(machine.reasons());
    rows.add(machine.all());
    for (Exits exits : rows) {
      UnderPolicy under = under(exits, policy);
      table.add(
          List.of(
              exits.reason().isEmpty() ? "all" : Texts.fit(Texts.plain(exits.reason()), NAME_WIDTH),
              Numbers.compact(exits.count()),
              Numbers.compact(exits.handedOver()),
              restricted(exits, under),
              Numbers.compact(under.exits()),
              ofOne(under.cost(), exits.count()),
              Numbers.compact(under.exitsInUserMode()),
              ofOne(under.costInUserMode(), exits.count())));
    }
    return table;
  }
}
