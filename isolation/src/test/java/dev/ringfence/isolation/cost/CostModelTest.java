package dev.ringfence.isolation.cost;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.isolation.policy.DomainClass;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.isolation.policy.Vulnerability;
import dev.ringfence.isolation.transition.Domain;
import dev.ringfence.isolation.transition.DomainState;
import dev.ringfence.isolation.transition.EntryKind;
import dev.ringfence.isolation.transition.ExitReason;
import dev.ringfence.machine.BadInputException;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Costs of events: complete, bounded, with sources; and what counted events cost by hand. */
final class CostModelTest {
  @Test
  void everyModelHasAFigureWithSourceForEveryPricedEvent() {
    for (String name : CostModel.builtIn()) {
      CostModel model = CostModel.load(name);
      assertEquals(name, model.name());
      assertEquals("", model.note());
      for (Event event : Event.values()) {
        assertEquals(event.isPriced(), !model.entries(event).isEmpty(), name + " " + event);
        CostEntry range = model.range(event);
        assertTrue(range.cycles().low() <= range.cycles().high(), name + " " + event);
      }
      for (CostEntry entry : model.entries()) {
        assertFalse(entry.cycles().source().isEmpty(), name + " " + entry.name());
        assertFalse(entry.meaning().isEmpty(), name + " " + entry.name());
      }
      assertTrue(model.cyclesPerInstruction().low() > 0);
    }
  }

  @Test
  void figuresOfModelsLieWithinThoseOfAllProcessors() {
    CostModel wide =
        CostModel.parse("name: wide\ntitle: Only what is common\ncosts: []\n", "wide.yaml");
    for (String name : CostModel.builtIn()) {
      for (CostEntry entry : CostModel.load(name).entries()) {
        Figure common =
            wide.entries().stream()
                .filter(candidate -> candidate.name().equals(entry.name()))
                .findFirst()
                .orElseThrow()
                .cycles();
        // Bounds of a single published figure are 10 % to either side of it.
        assertTrue(entry.cycles().low() >= common.low() * 0.9, name + " " + entry);
        assertTrue(entry.cycles().high() <= common.high() * 1.11, name + " " + entry);
      }
    }
  }

  @Test
  void publishedFiguresAreWithinTheirBounds() {
    contains("skylake-server", Event.IBPB, "ibpb", 4500);
    contains("broadwell-server", Event.IBPB, "ibpb", 5600);
    contains("cascadelake-server", Event.IBPB, "ibpb", 340);
    contains("icelake-server", Event.IBPB, "ibpb", 840);
    contains("icelake-server", Event.IBPB, "ibpb", 2500);
    contains("zen1", Event.IBPB, "ibpb", 7400);
    contains("zen2", Event.IBPB, "ibpb", 1100);
    contains("zen3", Event.IBPB, "ibpb", 800);
    contains("skylake-server", Event.VERW, "verw", 518);
    contains("broadwell-server", Event.RSB_FILL, "rsb-fill", 130);
    contains("skylake-server", Event.CR3_WRITE_KEEPING, "cr3-write-keeping", 191);
    contains("broadwell-server", Event.CR3_WRITE_KEEPING, "cr3-write-keeping", 206);
  }

  private static void contains(String model, Event event, String name, double cycles) {
    Figure figure =
        CostModel.load(model).entries(event).stream()
            .filter(entry -> entry.name().equals(name))
            .findFirst()
            .orElseThrow()
            .cycles();
    assertTrue(figure.low() <= cycles && cycles <= figure.high(), model + " " + name + figure);
  }

  @Test
  void anExitByFaultWithItsWriteOfCr3IsWhatWardMeasured() {
    CostModel model = CostModel.load("skylake-server");
    Figure fault = model.range(Event.EXIT_FAULT).cycles();
    Figure write = model.range(Event.CR3_WRITE_KEEPING).cycles();
    assertTrue(fault.low() + write.low() <= 1372);
    assertTrue(fault.high() + write.high() >= 1372);
  }

  @Test
  void aModelWithoutFileIsStoodInForAndThatIsSaid() {
    CostModel model = CostModel.load("westmere-server");
    assertEquals("skylake-server", model.name());
    assertEquals(
        "There are no costs for the processor model westmere-server; those of skylake-server were"
            + " used.",
        model.note());
    assertTrue(model.vulnerabilities().contains(Vulnerability.L1TF));
  }

  @Test
  void countsTimesCostsByHand() {
    CostModel model =
        CostModel.parse(
            """
            name: simple
            title: Simple figures
            costs:
              - {event: ibpb, low: 1000, high: 3000, source: by hand, mark: S}
              - {event: ibpb, name: branch-retraining, low: 0, high: 500, source: by hand, mark: R}
              - {event: exit-fault, low: 700, high: 1_100, source: by hand, mark: S}
            """,
            "simple.yaml");
    EventCounts counts = new EventCounts();
    counts.add(Event.IBPB, 10);
    counts.increment(Event.EXIT_FAULT);
    counts.add(Event.RELAX, 1_000_000);
    List<CostLine> lines = model.price(counts);
    assertEquals(
        List.of("exit-fault", "ibpb", "branch-retraining"),
        lines.stream().map(line -> line.entry().name()).toList());
    assertEquals(10_700, lines.stream().mapToDouble(CostLine::low).sum());
    assertEquals(36_100, lines.stream().mapToDouble(CostLine::high).sum());
    assertEquals(
        new Figure(1000, 3500, "ibpb: by hand; branch-retraining: by hand", "R"),
        model.range(Event.IBPB).cycles());
  }

  @Test
  void wrongCostModelsAreRefused() {
    assertEquals(
        "c.yaml: line 6: expected a high bound that is not below the low one, found '1'",
        complaint("event: ibpb\n    low: 2\n    high: 1\n    source: x\n    mark: S"));
    assertTrue(
        complaint("event: ibpp\n    low: 1\n    high: 1\n    source: x\n    mark: S")
            .contains("found 'ibpp'; nearest: ibpb"));
    assertTrue(
        complaint("event: ibpb\n    low: 1\n    high: 1\n    mark: S")
            .contains("expected a cost with a value for source, found none"));
    assertTrue(
        complaint(
                "event: ibpb\n    name: verw\n    low: 1\n    high: 1\n    source: x\n    mark: S")
            .contains("verw is a cost of verw"));
    assertTrue(
        complaint("event: ibpb\n    low: -1\n    high: 1\n    source: x\n    mark: S")
            .contains("expected a number from 0 to 10000000000, found '-1'"));
    assertThrows(BadInputException.class, () -> CostModel.load("no/such.yaml"));
  }

  private static String complaint(String cost) {
    return assertThrows(
            BadInputException.class,
            () -> CostModel.parse("name: c\ntitle: t\ncosts:\n  - " + cost + "\n", "c.yaml"))
        .getMessage();
  }

  @Test
  void countsAreCopiedSubtractedAndAdded() {
    EventCounts counts = new EventCounts();
    counts.add(Event.EXIT_FAULT, 3);
    counts.add(Event.EXIT_CONTEXT_SWITCH, 2);
    EventCounts before = counts.copy();
    counts.increment(Event.EXIT_FAULT);
    counts.increment(Event.VERW);
    assertEquals("exit-fault 1, verw 1", counts.since(before).toString());
    assertEquals(6, counts.exits());
    assertEquals(5, before.exits());
    assertEquals(11, counts.plus(before).exits());
    counts.clear();
    assertEquals(new EventCounts(), counts);
  }

  @Test
  void transitionsOfAShortRunAreCountedAsByHand() {
    Policy policy = Policy.load("google-2025");
    EventCounts counts = new EventCounts();
    DomainState state =
        new DomainState(policy, Set.of(Vulnerability.L1TF), new TransitionCounts(policy, counts));
    Domain domain = new Domain(1, DomainClass.USERSPACE);
    state.switchMm(domain);
    state.enter(domain);
    for (int call = 0; call < 5; call++) {
      state.kernelEntered(EntryKind.SYSTEM_CALL);
      if (call >= 3) {
        state.exit(ExitReason.FAULT);
        state.exit(ExitReason.FAULT);
      }
      state.enter(domain);
    }
    assertEquals(
        "enter 3, relax 5, exit-fault 2, cr3-write-flushing 5, ibpb 2, rsb-fill 2, l1d-flush 3",
        counts.toString());
  }

  @Test
  void underKptiEverySystemCallCostsTwoWritesOfCr3() {
    Policy policy = Policy.load("kpti");
    EventCounts counts = new EventCounts();
    DomainState state = new DomainState(policy, Set.of(), new TransitionCounts(policy, counts));
    Domain domain = new Domain(1, DomainClass.USERSPACE);
    state.enter(domain);
    for (int call = 0; call < 100; call++) {
      state.kernelEntered(EntryKind.SYSTEM_CALL);
      state.enter(domain);
    }
    assertEquals(
        "enter-at-return 101, relax 100, exit-entry 100, cr3-write-keeping 201", counts.toString());
  }
}
