package dev.ringfence.isolation.transition;

import dev.ringfence.isolation.policy.DomainClass;
import dev.ringfence.isolation.policy.FlushOperations;
import dev.ringfence.isolation.policy.HardwareOperation;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.Taint;
import dev.ringfence.isolation.policy.TaintRules;
import dev.ringfence.isolation.policy.Vulnerability;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The reference model: interprets {@code transitions.table}, one row for each event. */
final class TransitionTable {
  /** An event of the table and the domain it is about, if any. */
  record Event(String name, @Nullable Domain domain) {
    @Override
    public String toString() {
      return domain == null ? name : name + " " + domain.mm() + domain.domainClass();
    }
  }

  /** A state of the model; a task is number 0 or 1. */
  record State(
      @Nullable Domain current,
      @Nullable Domain target,
      @Nullable Domain loaded,
      int task,
      List<Integer> depths,
      List<@Nullable Domain> remembered,
      int taints) {
    int depth() {
      return depths.get(task);
    }
  }

  /** Unrestricted; the kernel's data may linger since boot. */
  static final State START =
      new State(
          null, null, null, 0, List.of(0, 0), Arrays.asList(null, null), Taint.KERNEL_DATA.bit());

  private record Row(
      String event, String policy, String current, String target, String depth, String[] effects) {}

  private final Policy policy;
  private final Set<Vulnerability> vulnerabilities;
  private final List<Row> rows = new ArrayList<>();

  // The state while an event is worked on.
  private @Nullable Domain current;
  private @Nullable Domain target;
  private @Nullable Domain loaded;
  private int task;
  private int[] depths = new int[2];
  private @Nullable Domain[] remembered = new Domain[2];
  private int taints;

  TransitionTable(Policy policy, Set<Vulnerability> vulnerabilities) {
    this.policy = policy;
    this.vulnerabilities = vulnerabilities;
    try (InputStream in = TransitionTable.class.getResourceAsStream("transitions.table")) {
      String text = new String(Objects.requireNonNull(in).readAllBytes(), StandardCharsets.UTF_8);
      for (String line : text.split("\n")) {
        if (!line.isBlank() && !line.startsWith("#")) {
          String[] cells = line.split("[|]", -1);
          rows.add(
              new Row(
                  cells[0].strip(),
                  cells[1].strip(),
                  cells[2].strip(),
                  cells[3].strip(),
                  cells[4].strip(),
                  cells[5].isBlank() ? new String[0] : cells[5].strip().split(" +")));
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The state after an event; what it makes the processor do is added to the log. */
  State apply(State state, Event event, List<String> log) {
    current = state.current;
    target = state.target;
    loaded = state.loaded;
    task = state.task;
    depths = state.depths.stream().mapToInt(Integer::intValue).toArray();
    remembered = state.remembered.toArray(Domain[]::new);
    taints = state.taints;
    boolean mm = event.name.startsWith("mm");
    if (!(mm && Objects.equals(event.domain, loaded))) {
      for (String effect : find(event).effects) {
        perform(effect, event, log);
      }
    }
    return new State(
        current,
        target,
        loaded,
        task,
        List.of(depths[0], depths[1]),
        Arrays.asList(remembered.clone()),
        taints);
  }

  private Row find(Event event) {
    for (Row row : rows) {
      if (row.event.equals(event.name)
          && holds(row.policy)
          && currentFits(row.current, event)
          && (row.target.equals("any") || row.target.equals("set") == (target != null))
          && depthFits(row.depth)) {
        return row;
      }
    }
    throw new AssertionError("no row for " + event);
  }

  private boolean holds(String condition) {
    if (condition.equals("any")) {
      return true;
    }
    String[] sides = condition.split("=", -1);
    Enum<?> value =
        switch (sides[0]) {
          case "on-kernel-entry" -> policy.behaviour().onKernelEntry();
          case "on-interrupt" -> policy.behaviour().onInterrupt();
          case "on-context-switch" -> policy.behaviour().onContextSwitch();
          default -> throw new AssertionError(condition);
        };
    return value.name().toLowerCase(Locale.ROOT).replace('_', '-').equals(sides[1]);
  }

  private boolean currentFits(String condition, Event event) {
    return switch (condition) {
      case "any" -> true;
      case "none" -> current == null;
      case "set" -> current != null;
      case "same" -> Objects.equals(current, event.domain);
      default -> throw new AssertionError(condition);
    };
  }

  private boolean depthFits(String condition) {
    return switch (condition) {
      case "any" -> true;
      case "0" -> depths[task] == 0;
      case ">0" -> depths[task] > 0;
      case "2+" -> depths[task] >= 2;
      default -> throw new AssertionError(condition);
    };
  }

  private void perform(String effect, Event event, List<String> log) {
    switch (effect) {
      case "depth=0" -> depths[task] = 0;
      case "depth+1" -> depths[task]++;
      case "depth-1" -> depths[task] = Math.max(0, depths[task] - 1);
      case "target=none" -> target = null;
      case "target=event" -> target = event.domain;
      case "remember" -> remembered[task] = remembered[task] == null ? current : remembered[task];
      case "forget" -> remembered[task] = null;
      case "load" -> loaded = event.domain;
      case "switch(event)" -> switchTo(event.domain, log);
      case "switch(target)" -> switchTo(target, log);
      case "switch(remembered)" -> switchTo(remembered[task], log);
      case "exit" -> exit(log);
      case "squash" -> squash();
      case "other-task" -> task = 1 - task;
      case "error" -> log.add("error");
      default -> throw new AssertionError(effect);
    }
  }

  private void switchTo(@Nullable Domain domain, List<String> log) {
    if (domain == null || domain.equals(current)) {
      return;
    }
    TaintRules rules = policy.taints(domain.domainClass());
    current = domain;
    if ((taints & rules.preventControl()) != 0) {
      flush("control", log, policy.flushes().control());
      taints &= ~Taint.CONTROL;
    }
    log.add("cr3 " + domain.mm() + domain.domainClass());
    List<FlushOperations.Operation> operations = new ArrayList<>(policy.flushes().atEnter());
    if ((taints & rules.protectData()) != 0) {
      operations.addAll(policy.flushes().data());
      taints &= ~Taint.DATA;
    }
    flush("data", log, operations);
    taints |= rules.set();
  }

  private void exit(List<String> log) {
    if (current == null) {
      return;
    }
    List<FlushOperations.Operation> operations = new ArrayList<>(policy.flushes().atExit());
    if ((taints & Taint.CONTROL) != 0) {
      operations.addAll(policy.flushes().control());
    }
    flush("control", log, operations);
    taints &= ~Taint.CONTROL;
    taints |= Taint.KERNEL_DATA.bit();
    log.add("cr3 kernel");
    current = null;
  }

  private void flush(String what, List<String> log, List<FlushOperations.Operation> operations) {
    EnumSet<HardwareOperation> needed = FlushOperations.on(vulnerabilities, operations);
    if (!needed.isEmpty()) {
      log.add(what + " " + needed);
    }
  }

  private void squash() {
    for (Taint[] pair :
        new Taint[][] {
          {Taint.USER_CONTROL, Taint.OTHER_MM_CONTROL},
          {Taint.GUEST_CONTROL, Taint.OTHER_MM_CONTROL},
          {Taint.USER_DATA, Taint.OTHER_MM_DATA},
          {Taint.GUEST_DATA, Taint.OTHER_MM_DATA}
        }) {
      if ((taints & pair[0].bit()) != 0) {
        taints = taints & ~pair[0].bit() | pair[1].bit();
      }
    }
  }

  /** All events, about two processes of which one has a virtual machine. */
  static List<Event> events() {
    Domain a = new Domain(1, DomainClass.USERSPACE);
    Domain guest = new Domain(1, DomainClass.KVM);
    Domain b = new Domain(2, DomainClass.USERSPACE);
    return List.of(
        new Event("enter", a),
        new Event("enter", guest),
        new Event("enter", b),
        new Event("relax", null),
        new Event("exit", null),
        new Event("system-call", null),
        new Event("exception", null),
        new Event("interrupt", null),
        new Event("return", null),
        new Event("task", null),
        new Event("mm", a),
        new Event("mm", b),
        new Event("mm-none", null));
  }
}
