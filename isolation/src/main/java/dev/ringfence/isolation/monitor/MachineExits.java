package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.cost.EventCounts;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The exits of virtual machines, by the process that runs the machine and by exit reason, with all
 * that happened from each to the next entry of that machine. Not for several threads.
 */
public final class MachineExits {
  /**
   * What is equal for VM exits that are counted together.
   *
   * @param reason of the VM exit, a code of {@link EntryReason}
   */
  public record Key(KernelView.GuestProcess process, int reason) {}

  /** VM exits of one key. */
  public static final class Tally {
    private final EventCounts own = new EventCounts();
    private final List<UnderPolicy> policies = new ArrayList<>();
    private long exits;
    private long handedOver;

    /** Nothing so far. */
    public Tally(int policies) {
      for (int i = 0; i < policies; i++) {
        this.policies.add(new UnderPolicy());
      }
    }

    /** How many. */
    public long exits() {
      return exits;
    }

    /** Those of them after which the process ran in user mode before the machine was entered. */
    public long handedOver() {
      return handedOver;
    }

    /** Flushes that the kernel made of its own accord. */
    public EventCounts own() {
      return own;
    }

    /** What each policy did, in the order of the run's policies. */
    public List<UnderPolicy> policies() {
      return List.copyOf(policies);
    }

    void exit() {
      exits++;
    }

    void handOver() {
      handedOver++;
    }

    UnderPolicy policy(int index) {
      return policies.get(index);
    }

    /**
     * Adds those of another, or takes them away.
     *
     * @param sign 1 or -1
     */
    public void add(Tally other, int sign) {
      exits += sign * other.exits;
      handedOver += sign * other.handedOver;
      own.add(other.own, sign);
      for (int i = 0; i < policies.size(); i++) {
        policies.get(i).add(other.policies.get(i), sign);
      }
    }
  }

  /** What one policy did about the VM exits of one key. */
  public static final class UnderPolicy {
    private final EventCounts inKernel = new EventCounts();
    private final EventCounts inUserMode = new EventCounts();
    private long restricted;

    /**
     * VM exits that were handled in the restricted address space to the end: to the next entry of
     * the machine or to user mode, whichever came first.
     */
    public long restricted() {
      return restricted;
    }

    /** Events up to there. */
    public EventCounts inKernel() {
      return inKernel;
    }

    /** Events from the return to user mode to the entry of the machine, system calls included. */
    public EventCounts inUserMode() {
      return inUserMode;
    }

    void handledRestricted() {
      restricted++;
    }

    private void add(UnderPolicy other, int sign) {
      restricted += sign * other.restricted;
      inKernel.add(other.inKernel, sign);
      inUserMode.add(other.inUserMode, sign);
    }
  }

  private final int policies;

  /** In the order of the first exit of each, because results must not depend on hash codes. */
  private final Map<Key, Tally> tallies = new LinkedHashMap<>();

  /** Nothing so far. */
  public MachineExits(int policies) {
    this.policies = policies;
  }

  /** The tally of a key, from now on; counts go on in it as long as the monitor is attached. */
  Tally of(Key key) {
    return tallies.computeIfAbsent(key, unused -> new Tally(policies));
  }

  /** All tallies by key, in the order of the first exit of each. */
  public Map<Key, Tally> tallies() {
    return new LinkedHashMap<>(tallies);
  }

  /** The counts as they are now. */
  public MachineExits copy() {
    return new MachineExits(policies).add(this, 1);
  }

  /** What has been counted since an earlier {@link #copy}. */
  public MachineExits since(MachineExits earlier) {
    return copy().add(earlier, -1);
  }

  /** Both together, such as those of two stretches of a run. */
  public MachineExits plus(MachineExits other) {
    return copy().add(other, 1);
  }

  private MachineExits add(MachineExits other, int sign) {
    other.tallies.forEach((key, tally) -> of(key).add(tally, sign));
    return this;
  }
}
