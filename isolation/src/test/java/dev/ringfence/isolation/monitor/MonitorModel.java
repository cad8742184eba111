package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.cost.Event;
import dev.ringfence.isolation.cost.EventCounts;
import dev.ringfence.isolation.policy.Behaviour;
import dev.ringfence.isolation.policy.Disposition;
import dev.ringfence.isolation.policy.DomainClass;
import dev.ringfence.linux.provenance.PageKind;
import dev.ringfence.linux.provenance.Provenance;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What a policy does with one processor, in sets of pages and without tables, translations or a
 * machine: every access asks. The reference for random scripts.
 */
final class MonitorModel {
  /** What the guest's tables and its memory are, which all policies share. */
  static final class Guest {
    final Map<Long, Long> frameOf = new HashMap<>();
    final Map<Long, Provenance> provenance = new HashMap<>();

    long frame(long page) {
      return frameOf.getOrDefault(page, page - SmallKernel.DIRECT >>> 12);
    }

    Provenance what(long page) {
      return provenance.getOrDefault(frame(page), new Provenance(PageKind.UNKNOWN, "", 0, false));
    }
  }

  /**
   * The task that runs when the monitor is attached: A, with a state that no switch leads back to.
   */
  private static final long FIRST_TASK = 0;

  final EventCounts counts = new EventCounts();
  private final Guest guest;
  private final Map<PageKind, Disposition> rules;
  private final Behaviour behaviour;
  private final Map<Long, Long> global = new HashMap<>();
  private final Map<Long, Map<Long, Long>> local = new HashMap<>();
  private final Set<Long> ephemeral = new HashSet<>();
  private long space = SmallKernel.MM_A;
  private long task = FIRST_TASK;
  private boolean tense;

  /** Process whose restricted address space is in use; null if none is. */
  private @Nullable Long restricted;

  MonitorModel(Guest guest, Map<PageKind, Disposition> rules, Behaviour behaviour) {
    this.guest = guest;
    this.rules = rules;
    this.behaviour = behaviour;
    enter();
  }

  private Map<Long, Long> localOf(long process) {
    return local.computeIfAbsent(process, unused -> new HashMap<>());
  }

  private Disposition disposition(Provenance provenance) {
    return rules.getOrDefault(provenance.kind(), Disposition.SENSITIVE);
  }

  private void change(@Nullable Long next) {
    counts.increment(Event.CR3_WRITE_KEEPING);
    if (next != null) {
      counts.increment(
          behaviour.onKernelEntry() == Behaviour.OnKernelEntry.EXIT
              ? Event.ENTER_AT_RETURN
              : Event.ENTER);
      if (restricted != null) {
        counts.increment(Event.DOMAIN_SWITCH);
      }
    }
    restricted = next;
  }

  private void exit(Event event) {
    if (restricted != null) {
      counts.increment(event);
      change(null);
    }
  }

  /** The return to user mode. */
  void enter() {
    counts.increment(Event.ENTER_REQUEST);
    for (long page : ephemeral) {
      localOf(space).remove(page);
    }
    ephemeral.clear();
    tense = true;
    if (restricted == null || restricted != space) {
      change(space);
    }
  }

  /** User code ended, by a system call or otherwise. */
  void ends(boolean systemCall) {
    if (tense) {
      tense = false;
      counts.increment(Event.RELAX);
    }
    if (behaviour.onKernelEntry() == Behaviour.OnKernelEntry.EXIT) {
      exit(Event.EXIT_ENTRY);
    } else if (!systemCall && behaviour.onInterrupt() == Behaviour.OnInterrupt.EXIT_AND_RESUME) {
      exit(Event.EXIT_INTERRUPT);
    }
  }

  void entered() {
    counts.increment(Event.KERNEL_ENTRY);
  }

  /** The kernel is interrupted; what to resume when that is over. */
  @Nullable Long interrupted() {
    if (behaviour.onInterrupt() != Behaviour.OnInterrupt.EXIT_AND_RESUME) {
      return null;
    }
    Long before = restricted;
    exit(Event.EXIT_INTERRUPT);
    return before;
  }

  void resumed(@Nullable Long before) {
    if (before != null && restricted == null) {
      change(before);
    }
  }

  private void fill() {
    counts.increment(
        switch (behaviour.fill()) {
          case EAGER -> Event.FILL_AHEAD;
          case ON_DEMAND -> Event.FILL_ON_DEMAND;
          case EXPLICIT -> Event.FILL_EXPLICIT;
        });
  }

  /** An access of the kernel to memory of the process, by its user address. */
  void touchUser() {
    if (behaviour.ownUserMemory(DomainClass.USERSPACE) == Behaviour.OwnUserMemory.UNMAPPED) {
      exit(Event.EXIT_FAULT);
    }
  }

  /** An access of the kernel to a page. */
  void touch(long page) {
    long frame = guest.frame(page);
    Long mapped = localOf(space).getOrDefault(page, global.get(page));
    if (mapped != null && mapped == frame) {
      return;
    }
    Provenance provenance = guest.what(page);
    Disposition disposition = disposition(provenance);
    boolean eager = behaviour.fill() == Behaviour.Fill.EAGER;
    if (disposition == Disposition.NONSENSITIVE && (restricted != null || eager)) {
      fill();
      global.put(page, frame);
    } else if (restricted == null) {
      return;
    } else if (disposition == Disposition.LOCAL && provenance.owner() == space) {
      fill();
      localOf(space).put(page, frame);
    } else if (disposition == Disposition.EPHEMERAL) {
      counts.increment(Event.EPHEMERAL_MAP);
      localOf(space).put(page, frame);
      ephemeral.add(page);
    } else {
      exit(Event.EXIT_FAULT);
    }
  }

  void switchTask(long next) {
    if (next != task) {
      task = next;
      if (behaviour.onContextSwitch() == Behaviour.OnContextSwitch.EXIT) {
        exit(Event.EXIT_CONTEXT_SWITCH);
      }
    }
  }

  void switchProcess(long next) {
    if (next == space) {
      return;
    }
    space = next;
    counts.increment(Event.MM_SWITCH);
    if (behaviour.onContextSwitch() != Behaviour.OnContextSwitch.STAY) {
      exit(Event.EXIT_CONTEXT_SWITCH);
    } else if (restricted != null) {
      change(next);
    }
    // A task that finds itself in its own process has come there by execve(2): its stack, which
    // was the old process's alone, is given to the new one.
    long stack = SmallKernel.IMAGE + SmallKernel.STACK;
    boolean takesStack =
        next == SmallKernel.MM_A && (task == SmallKernel.TASK_A || task == FIRST_TASK);
    if (takesStack && !global.containsKey(stack) && unmap(stack)) {
      counts.increment(Event.UNMAP);
      counts.increment(Event.SHOOTDOWN);
    }
  }

  private boolean unmap(long page) {
    boolean mapped = global.remove(page) != null;
    for (Map<Long, Long> ofProcess : local.values()) {
      mapped |= ofProcess.remove(page) != null;
    }
    return mapped;
  }

  /** INVLPG: what shows another frame than the guest's tables do goes. */
  void invalidate(long page) {
    long frame = guest.frame(page);
    if (global.getOrDefault(page, frame) != frame) {
      global.remove(page);
    }
    for (Map<Long, Long> ofProcess : local.values()) {
      if (ofProcess.getOrDefault(page, frame) != frame) {
        ofProcess.remove(page);
      }
    }
  }

  /** Pages were allocated or freed; the guest's provenance is not the new one yet. */
  void changeHands(long first, int pages, Provenance provenance) {
    boolean freed = provenance.kind() == PageKind.FREE;
    if (freed && behaviour.freePages() == Behaviour.FreePages.KEEP) {
      return;
    }
    int removed = 0;
    for (long frame = first; frame < first + pages; frame++) {
      Set<Long> others = new HashSet<>();
      guest.frameOf.forEach((page, shown) -> others.add(page));
      for (long page : others) {
        if (guest.frame(page) == frame && unmap(page)) {
          removed++;
        }
      }
      boolean goes = freed || disposition(provenance) != Disposition.NONSENSITIVE;
      if (goes && unmap(SmallKernel.DIRECT + (frame << 12))) {
        removed++;
      }
    }
    if (removed > 0) {
      counts.add(Event.UNMAP, removed);
      counts.increment(Event.SHOOTDOWN);
    }
  }
}
