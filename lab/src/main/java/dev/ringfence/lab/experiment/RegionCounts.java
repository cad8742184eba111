package dev.ringfence.lab.experiment;

import dev.ringfence.isolation.cost.EventCounts;
import dev.ringfence.isolation.monitor.IsolationMonitor;
import dev.ringfence.isolation.monitor.MachineExits;
import dev.ringfence.isolation.monitor.PolicyRun;
import java.util.ArrayList;
import java.util.List;

/** Counts of the stretches between marks, added up: of the region of interest or of a phase. */
final class RegionCounts {
  private final IsolationMonitor monitor;
  private final List<EventCounts> sums = new ArrayList<>();
  private final List<EventCounts> starts = new ArrayList<>();
  private final EventCounts ownFlushes = new EventCounts();
  private EventCounts startOwnFlushes = new EventCounts();
  private MachineExits machineExits;
  private MachineExits startMachineExits;
  private long instructions;
  private long nanoseconds;
  private long startInstructions;
  private long startNanoseconds;
  private long firstNanoseconds = -1;
  private boolean open;

  RegionCounts(IsolationMonitor monitor) {
    this.monitor = monitor;
    for (int i = 0; i < monitor.policies().size(); i++) {
      sums.add(new EventCounts());
      starts.add(new EventCounts());
    }
    machineExits = none();
    startMachineExits = none();
  }

  private MachineExits none() {
    return new MachineExits(monitor.policies().size());
  }

  boolean isOpen() {
    return open;
  }

  boolean everBegan() {
    return firstNanoseconds >= 0;
  }

  /** A stretch begins; without effect if one has begun and not ended. */
  void begin() {
    if (open) {
      return;
    }
    open = true;
    startInstructions = monitor.machine().instructions();
    startNanoseconds = monitor.machine().nanoseconds();
    if (firstNanoseconds < 0) {
      firstNanoseconds = startNanoseconds;
    }
    List<PolicyRun> policies = monitor.policies();
    for (int i = 0; i < policies.size(); i++) {
      starts.set(i, policies.get(i).counts().copy());
    }
    startOwnFlushes = monitor.ownFlushes().copy();
    startMachineExits = monitor.machineExits().copy();
  }

  /** A stretch ends; without effect if none has begun. */
  void end() {
    if (!open) {
      return;
    }
    open = false;
    instructions += monitor.machine().instructions() - startInstructions;
    nanoseconds = monitor.machine().nanoseconds();
    List<PolicyRun> policies = monitor.policies();
    for (int i = 0; i < policies.size(); i++) {
      sums.set(i, sums.get(i).plus(policies.get(i).counts().since(starts.get(i))));
    }
    ownFlushes.add(monitor.ownFlushes().since(startOwnFlushes), 1);
    machineExits = machineExits.plus(monitor.machineExits().since(startMachineExits));
  }

  /** Forgets what was counted. */
  void forget() {
    open = false;
    instructions = 0;
    firstNanoseconds = -1;
    sums.replaceAll(unused -> new EventCounts());
    ownFlushes.clear();
    machineExits = none();
  }

  EventCounts counts(int policy) {
    return sums.get(policy);
  }

  /** Flushes that the kernel made of its own accord. */
  EventCounts ownFlushes() {
    return ownFlushes;
  }

  MachineExits machineExits() {
    return machineExits;
  }

  long instructions() {
    return instructions;
  }

  /** Virtual time at which the first stretch began. */
  long beginOfFirst() {
    return Math.max(0, firstNanoseconds);
  }

  /** Virtual time at which the last stretch ended. */
  long endOfLast() {
    return nanoseconds;
  }
}
