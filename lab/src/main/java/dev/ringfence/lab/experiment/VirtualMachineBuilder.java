package dev.ringfence.lab.experiment;

import dev.ringfence.isolation.cost.Event;
import dev.ringfence.isolation.cost.EventCounts;
import dev.ringfence.isolation.monitor.EntryReason;
import dev.ringfence.isolation.monitor.KernelView;
import dev.ringfence.isolation.monitor.MachineExits;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.result.FlushCount;
import dev.ringfence.lab.result.VirtualMachine;
import dev.ringfence.lab.result.VirtualMachine.Exits;
import dev.ringfence.lab.result.VirtualMachine.UnderPolicy;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Makes the account of virtual machines from what was counted of their exits. */
final class VirtualMachineBuilder {
  private final List<Policy> policies;
  private final Pricing pricing;

  VirtualMachineBuilder(List<Policy> policies, Pricing pricing) {
    this.policies = policies;
    this.pricing = pricing;
  }

  /** The machines of a stretch of the run, by number of their process. */
  List<VirtualMachine> build(String phase, MachineExits counted) {
    Map<KernelView.GuestProcess, List<Map.Entry<MachineExits.Key, MachineExits.Tally>>> byProcess =
        new LinkedHashMap<>();
    for (Map.Entry<MachineExits.Key, MachineExits.Tally> entry : counted.tallies().entrySet()) {
      if (entry.getValue().exits() > 0) {
        byProcess.computeIfAbsent(entry.getKey().process(), unused -> new ArrayList<>()).add(entry);
      }
    }
    List<VirtualMachine> machines = new ArrayList<>();
    byProcess.forEach((process, entries) -> {
      List<Exits> reasons = new ArrayList<>();
      MachineExits.Tally all = new MachineExits.Tally(policies.size());
      for (Map.Entry<MachineExits.Key, MachineExits.Tally> entry : entries) {
        reasons.add(exits(EntryReason.machineExit(entry.getKey().reason()), entry.getValue()));
        all.add(entry.getValue(), 1);
      }
      reasons.sort(Comparator.comparingLong(Exits::count).reversed());
      machines.add(
          new VirtualMachine(
              process.name(), process.number(), phase, exits("", all), List.copyOf(reasons)));
    });
    machines.sort(Comparator.comparingInt(VirtualMachine::number));
    return machines;
  }

  private Exits exits(String reason, MachineExits.Tally tally) {
    List<UnderPolicy> under = new ArrayList<>();
    for (int i = 0; i < policies.size(); i++) {
      if (policies.get(i).isolates()) {
        under.add(underPolicy(policies.get(i).name(), tally.policies().get(i)));
      }
    }
    return new Exits(
        reason,
        tally.exits(),
        tally.handedOver(),
        flushes(tally.own()),
        pricing.price(tally.own()),
        List.copyOf(under));
  }

  /** Of each kind that there was. */
  static List<FlushCount> flushes(EventCounts counts) {
    List<FlushCount> flushes = new ArrayList<>();
    for (Event event : Event.values()) {
      if (counts.get(event) > 0) {
        flushes.add(new FlushCount(event.id(), counts.get(event)));
      }
    }
    return flushes;
  }

  private UnderPolicy underPolicy(String name, MachineExits.UnderPolicy counted) {
    EventCounts inKernel = counted.inKernel();
    EventCounts inUserMode = counted.inUserMode();
    return new UnderPolicy(
        name,
        counted.restricted(),
        inKernel.exits(),
        inUserMode.exits(),
        pricing.price(inKernel),
        pricing.price(inUserMode));
  }
}
