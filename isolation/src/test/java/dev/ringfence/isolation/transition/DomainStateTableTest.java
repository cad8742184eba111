package dev.ringfence.isolation.transition;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.isolation.policy.HardwareOperation;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.Taint;
import dev.ringfence.isolation.policy.Vulnerability;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** The state machine does what {@code transitions.table} says, in all states, for all events. */
final class DomainStateTableTest {
  private static final int DEEPEST = 2;
  private static final Set<Vulnerability> L1TF = Set.of(Vulnerability.L1TF);

  /** The machine under test, driven by events of the table. */
  private static final class Machine implements TransitionListener {
    final List<String> log = new ArrayList<>();
    final TaskState[] tasks = new TaskState[2];
    final DomainState state;
    int task;
    int taints = Taint.KERNEL_DATA.bit();

    Machine(Policy policy, Set<Vulnerability> vulnerabilities) {
      state = new DomainState(policy, vulnerabilities, this);
      tasks[0] = state.task();
      tasks[1] = new TaskState();
    }

    @Override
    public void cr3Written(@Nullable Domain domain, boolean keepTranslations) {
      log.add(domain == null ? "cr3 kernel" : "cr3 " + domain.mm() + domain.domainClass());
    }

    @Override
    public void controlFlush(Set<HardwareOperation> operations) {
      log.add("control " + operations);
    }

    @Override
    public void dataFlush(Set<HardwareOperation> operations) {
      log.add("data " + operations);
    }

    @Override
    public void taintsChanged(int before, int after) {
      assertEquals(taints, before);
      taints = after;
    }

    void apply(TransitionTable.Event event) {
      switch (event.name()) {
        case "enter" -> state.enter(event.domain());
        case "relax" -> state.relax();
        case "exit" -> {
          if (state.isRestricted() && state.isTense() && state.task().depth() == 0) {
            assertThrows(IllegalStateException.class, () -> state.exit(ExitReason.FAULT));
            log.add("error");
          } else {
            state.exit(ExitReason.FAULT);
          }
        }
        case "system-call" -> state.kernelEntered(EntryKind.SYSTEM_CALL);
        case "exception" -> state.kernelEntered(EntryKind.EXCEPTION);
        case "interrupt" -> state.interrupted();
        case "return" -> state.interruptReturned();
        case "task" -> {
          task = 1 - task;
          state.taskSwitched(tasks[task]);
        }
        case "mm", "mm-none" -> state.switchMm(event.domain());
        default -> throw new AssertionError(event);
      }
    }

    void check(TransitionTable.State expected, List<String> expectedLog, String where) {
      assertEquals(expectedLog, log, where);
      assertEquals(expected.current(), state.current(), where);
      assertEquals(expected.target(), state.target(), where);
      assertEquals(expected.taints(), state.taints(), where);
      assertEquals(expected.taints(), taints, where);
      assertEquals(expected.depth(), state.task().depth(), where);
    }
  }

  /** How a state is reached: by an event from another one. */
  private record Way(TransitionTable.@Nullable State from, TransitionTable.@Nullable Event by) {}

  @Test
  void allEventsInAllReachableStatesDoWhatTheTableSays() {
    for (Policy policy : TestPolicies.all()) {
      int states = explore(policy, L1TF);
      assertTrue(states > 100, policy.name() + " has only " + states + " states");
    }
    explore(Policy.load("google-2025"), Set.of());
  }

  private static int explore(Policy policy, Set<Vulnerability> vulnerabilities) {
    TransitionTable table = new TransitionTable(policy, vulnerabilities);
    List<TransitionTable.Event> events = TransitionTable.events();
    Map<TransitionTable.State, Way> ways = new HashMap<>();
    ArrayDeque<TransitionTable.State> pending = new ArrayDeque<>();
    ways.put(TransitionTable.START, new Way(null, null));
    pending.add(TransitionTable.START);
    while (!pending.isEmpty()) {
      TransitionTable.State state = pending.remove();
      List<TransitionTable.Event> path = path(ways, state);
      for (TransitionTable.Event event : events) {
        if (event.name().equals("interrupt") && state.depth() == DEEPEST) {
          continue;
        }
        Machine machine = new Machine(policy, vulnerabilities);
        path.forEach(machine::apply);
        machine.log.clear();
        machine.apply(event);
        List<String> log = new ArrayList<>();
        TransitionTable.State next = table.apply(state, event, log);
        machine.check(next, log, policy.name() + ": " + path + ", then " + event);
        if (ways.putIfAbsent(next, new Way(state, event)) == null) {
          pending.add(next);
        }
      }
    }
    return ways.size();
  }

  private static List<TransitionTable.Event> path(
      Map<TransitionTable.State, Way> ways, TransitionTable.State state) {
    ArrayDeque<TransitionTable.Event> path = new ArrayDeque<>();
    TransitionTable.State at = state;
    while (true) {
      Way way = ways.get(at);
      TransitionTable.State from = way == null ? null : way.from();
      if (way == null || from == null || way.by() == null) {
        return List.copyOf(path);
      }
      path.addFirst(way.by());
      at = from;
    }
  }

  @Test
  void longRandomSequencesDoWhatTheTableSays() {
    for (Policy policy : TestPolicies.all()) {
      Random random = new Random(policy.name().hashCode());
      TransitionTable table = new TransitionTable(policy, L1TF);
      List<TransitionTable.Event> events = TransitionTable.events();
      Machine machine = new Machine(policy, L1TF);
      TransitionTable.State state = TransitionTable.START;
      for (int i = 0; i < 20_000; i++) {
        TransitionTable.Event event = events.get(random.nextInt(events.size()));
        List<String> log = new ArrayList<>();
        state = table.apply(state, event, log);
        machine.log.clear();
        machine.apply(event);
        machine.check(state, log, policy.name() + ": event " + i + ", " + event);
      }
    }
  }

  @Test
  void withoutIsolationNothingEverHappens() {
    Machine machine = new Machine(Policy.load("none"), L1TF);
    Random random = new Random(1);
    List<TransitionTable.Event> events = TransitionTable.events();
    for (int i = 0; i < 10_000; i++) {
      machine.apply(events.get(random.nextInt(events.size())));
      assertEquals(List.of(), machine.log);
      assertEquals(Taint.KERNEL_DATA.bit(), machine.state.taints());
    }
  }
}
