package dev.ringfence.report;

import dev.ringfence.lab.result.FlushCount;
import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.PolicyResult.CostItem;
import dev.ringfence.lab.result.Range;
import dev.ringfence.lab.result.RunResult;
import dev.ringfence.lab.result.VirtualMachine;
import dev.ringfence.lab.result.VirtualMachine.Exits;
import dev.ringfence.lab.result.VirtualMachine.UnderPolicy;
import java.util.ArrayList;
import java.util.List;

/** Made-up exits of two virtual machines, in two parts of a workload; equal at every call. */
final class ExampleMachines {
  private ExampleMachines() {}

  static RunResult.OwnFlushes flushes() {
    return new RunResult.OwnFlushes(
        List.of(new FlushCount("l1d-flush", 3_000)),
        List.of(
            new CostItem(
                "l1d-flush",
                "flushes of the L1 data cache",
                3_000,
                new Range(512, 7000),
                new Range(1.536e6, 21e6),
                "512 lines",
                "R")),
        new Range(1.536e6, 21e6),
        new Range(0.0002, 0.005));
  }

  static List<VirtualMachine> of(List<PolicyResult> policies) {
    List<VirtualMachine> machines = new ArrayList<>();
    for (String phase : List.of("", "l1d-never", "l1d-always")) {
      machines.add(machine("tenant-a", 41, phase, policies, 1));
      machines.add(machine("tenant-b", 42, phase, policies, 2));
    }
    return machines;
  }

  private static VirtualMachine machine(
      String name, int number, String phase, List<PolicyResult> policies, long scale) {
    List<Exits> reasons =
        List.of(
            exits("CPUID", 4_000 * scale, 0, phase, policies),
            exits("I/O instruction", 500 * scale, 500 * scale, phase, policies),
            exits("EPT violation", 8 * scale, 0, phase, policies));
    return new VirtualMachine(
        name, number, phase, exits("", 4_508 * scale, 500 * scale, phase, policies), reasons);
  }

  private static Exits exits(
      String reason, long count, long handedOver, String phase, List<PolicyResult> policies) {
    boolean flushes = !phase.equals("l1d-never");
    List<UnderPolicy> under = new ArrayList<>();
    for (PolicyResult policy : policies) {
      if (!policy.name().equals("none")) {
        under.add(
            new UnderPolicy(
                policy.name(),
                count - count / 50,
                count / 50,
                handedOver,
                new Range(12, 80).times((double) count),
                new Range(700, 9_000).times((double) handedOver)));
      }
    }
    return new Exits(
        reason,
        count,
        handedOver,
        flushes ? List.of(new FlushCount("l1d-flush", count)) : List.of(),
        flushes ? new Range(512, 14_000).times((double) count) : Range.NOTHING,
        under);
  }

  /** The same with every text replaced. */
  static List<VirtualMachine> named(String name, List<VirtualMachine> machines) {
    return machines.stream()
        .map(machine ->
            new VirtualMachine(
                name,
                machine.number(),
                machine.phase().isEmpty() ? "" : name,
                named(name, machine.all(), ""),
                machine.reasons().stream().map(exits -> named(name, exits, name)).toList()))
        .toList();
  }

  private static Exits named(String name, Exits exits, String reason) {
    return new Exits(
        reason,
        exits.count(),
        exits.handedOver(),
        exits.ownFlushes().stream().map(flush -> new FlushCount(name, flush.count())).toList(),
        exits.own(),
        exits.policies().stream()
            .map(under ->
                new UnderPolicy(
                    name,
                    under.restricted(),
                    under.exits(),
                    under.exitsInUserMode(),
                    under.cost(),
                    under.costInUserMode()))
            .toList());
  }
}
