package dev.ringfence.lab.attack;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.isolation.policy.HardwareOperation;
import dev.ringfence.isolation.policy.Policy;
import dev.ringfence.lab.attack.ExpectedMatrix.Expectation;
import dev.ringfence.lab.attack.ExpectedMatrix.Outcome;
import dev.ringfence.machine.BadInputException;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

final class ExpectedMatrixTest {
  private static final AttackCatalog CATALOG = AttackCatalog.shipped();
  private static final MitigationCatalog MITIGATIONS = MitigationCatalog.shipped();
  private static final ExpectedMatrix EXPECTED = ExpectedMatrix.shipped();

  private static Outcome outcome(String attack, String target, String mitigation, String model) {
    Attack found =
        CATALOG.attacks().stream()
            .filter(candidate -> candidate.name().equals(attack))
            .findFirst()
            .orElseThrow();
    return EXPECTED
        .of(
            found,
            found.targets().stream()
                .filter(candidate -> candidate.name().equals(target))
                .findFirst()
                .orElseThrow(),
            MITIGATIONS.choose(List.of(mitigation)).getFirst(),
            AttackedProcessor.of(model))
        .orElseThrow()
        .outcome();
  }

  @Test
  void eachCellOfEachModelHasAnExpectationAReasonAndASource() {
    for (String model : EXPECTED.models()) {
      AttackedProcessor processor = AttackedProcessor.of(model);
      for (Attack attack : CATALOG.attacks()) {
        for (Target target : attack.targets()) {
          for (Mitigation mitigation : MITIGATIONS.all()) {
            String cell =
                "%s %s %s %s".formatted(model, attack.name(), target.name(), mitigation.name());
            Expectation expectation =
                EXPECTED
                    .of(attack, target, mitigation, processor)
                    .orElseThrow(() -> new AssertionError("no expectation of " + cell));
            assertFalse(expectation.reason().isBlank(), cell);
            assertFalse(expectation.source().isBlank(), cell);
          }
        }
      }
    }
  }

  @Test
  void theIdealProcessorNeverLeaks() {
    for (Attack attack : CATALOG.attacks()) {
      for (Mitigation mitigation : MITIGATIONS.all()) {
        for (Target target : attack.targets()) {
          assertTrue(
              EXPECTED
                      .of(attack, target, mitigation, AttackedProcessor.of("ideal"))
                      .orElseThrow()
                      .outcome()
                  != Outcome.LEAKED,
              attack.name() + " under " + mitigation.name());
        }
      }
    }
  }

  /** Facts that do not come from the file: the kernel's hw-vuln documents, and the papers. */
  @Test
  void wellKnownCellsAreAsPublished() {
    assertEquals(Outcome.LEAKED, outcome("meltdown", "process", "none", "skylake-server"));
    assertEquals(Outcome.LEAKED, outcome("meltdown", "process", "linux-verw", "haswell-server"));
    assertEquals(
        Outcome.NOT_LEAKED, outcome("meltdown", "process", "linux-kpti", "skylake-server"));
    assertEquals(Outcome.NOT_LEAKED, outcome("meltdown", "process", "none", "cascadelake-server"));
    assertEquals(Outcome.NOT_LEAKED, outcome("meltdown", "process", "none", "zen2"));
    assertEquals(
        Outcome.NOT_APPLICABLE,
        outcome("meltdown", "process", "linux-l1d-flush", "skylake-server"));
    // The deny-list protects user data, and a key of the kernel's is none.
    assertEquals(
        Outcome.NOT_LEAKED, outcome("meltdown", "page-cache", "google-2025", "skylake-server"));
    assertEquals(
        Outcome.LEAKED, outcome("meltdown", "kernel-key", "google-2025", "skylake-server"));
    assertEquals(Outcome.NOT_LEAKED, outcome("l1tf", "process", "google-2025", "skylake-server"));
    assertEquals(
        Outcome.LEAKED,
        outcome("l1tf", "process", "google-2025-without-l1d-flush", "skylake-server"));
    assertEquals(
        Outcome.NOT_LEAKED,
        outcome("l1tf", "process", "google-2025-without-ibpb", "skylake-server"));
    assertEquals(Outcome.NOT_LEAKED, outcome("ridl", "process", "linux-verw", "skylake-server"));
    assertEquals(Outcome.LEAKED, outcome("ridl", "process", "linux-kpti", "skylake-server"));
    assertEquals(Outcome.NOT_APPLICABLE, outcome("taa", "process", "none", "zen4"));
    assertEquals(Outcome.LEAKED, outcome("taa", "process", "none", "cascadelake-server"));
    // Google's series flushes the L1 data cache on processors with L1TF only.
    assertEquals(Outcome.LEAKED, outcome("taa", "process", "google-2025", "cascadelake-server"));
    // l1tf.rst: conditional flushing trusts the code that handles simple exits.
    assertEquals(
        Outcome.NOT_LEAKED, outcome("l1tf-guest", "tenant", "linux-default", "skylake-server"));
    assertEquals(
        Outcome.LEAKED, outcome("l1tf-guest", "host-key", "linux-default", "skylake-server"));
    assertEquals(
        Outcome.NOT_LEAKED,
        outcome("l1tf-guest", "host-key", "kvm-l1d-flush-always", "skylake-server"));
    assertEquals(
        Outcome.LEAKED, outcome("l1tf-reloaded", "tenant", "linux-default", "skylake-server"));
    assertEquals(Outcome.NOT_LEAKED, outcome("l1tf-guest", "tenant", "none", "cascadelake-server"));
    assertEquals(Outcome.NOT_APPLICABLE, outcome("vmscape", "monitor", "none", "zen4"));
    assertEquals(Outcome.LEAKED, outcome("vmscape", "monitor", "linux-ibrs", "skylake-server"));
    assertEquals(
        Outcome.NOT_LEAKED, outcome("vmscape", "monitor", "linux-default", "skylake-server"));
    assertEquals(Outcome.LEAKED, outcome("retbleed", "process", "none", "zen2"));
    assertEquals(
        Outcome.NOT_LEAKED, outcome("retbleed", "process", "linux-untrained-returns", "zen2"));
    assertEquals(Outcome.NOT_LEAKED, outcome("srso", "process", "linux-default", "zen4"));
    assertEquals(Outcome.LEAKED, outcome("ssb", "process", "linux-default", "zen4"));
    assertEquals(Outcome.NOT_LEAKED, outcome("ssb", "process", "linux-ssbd", "icelake-server"));
  }

  @Test
  void eachPolicyHasAColumnForEachFlushThatItLeavesOut() {
    Set<String> names = new HashSet<>();
    MITIGATIONS.all().forEach(mitigation -> names.add(mitigation.name()));
    assertEquals(MITIGATIONS.all().size(), names.size(), "each column once");
    for (String policy : Policy.builtIn()) {
      assertTrue(names.contains(policy), policy);
    }
    assertTrue(
        names.containsAll(
            List.of(
                "google-2025-without-ibpb",
                "google-2025-without-rsb-fill",
                "google-2025-without-l1d-flush",
                "google-2022-without-l1d-flush")));
    Mitigation mitigation = MITIGATIONS.choose(List.of("google-2025-without-ibpb")).getFirst();
    Policy policy = mitigation.policy();
    assertTrue(
        policy != null
            && policy.flushes().control().stream()
                .map(operation -> operation.operation())
                .toList()
                .equals(List.of(HardwareOperation.RSB_FILL)));
  }

  @Test
  void aFlushThatAPolicyDoesNotDoOnAProcessorIsNotLeftOutThere() {
    assertEquals(
        Outcome.NOT_APPLICABLE,
        outcome("spectre-v2", "process", "google-2025-without-l1d-flush", "zen4"));
  }

  @Test
  void aColumnIsTheKernelsCommandLine() {
    Mitigation none = MITIGATIONS.choose(List.of("none")).getFirst();
    assertTrue(none.commandLine().contains("pti=off"));
    assertTrue(none.commandLine().contains("spectre_v2=off"));
    Mitigation kpti = MITIGATIONS.choose(List.of("linux-kpti")).getFirst();
    assertEquals(none.commandLine().replace("pti=off", "pti=on"), kpti.commandLine());
    assertEquals("", MITIGATIONS.choose(List.of("linux-default")).getFirst().commandLine());
    assertEquals(
        none.commandLine(), MITIGATIONS.choose(List.of("google-2025")).getFirst().commandLine());
    Mitigation both = MITIGATIONS.choose(List.of("linux-kpti+linux-verw+google-2025")).getFirst();
    assertTrue(both.commandLine().contains("pti=on") && both.commandLine().contains("mds=full"));
    assertEquals("google-2025", both.policyName());
  }

  @Test
  void wrongNamesAndContradictionsAreExplained() {
    check("linux-kpt", "nearest: linux-kpti");
    check(
        "linux-retpoline+linux-ibrs",
        "found spectre_v2=retpoline of linux-retpoline against spectre_v2=ibrs of linux-ibrs");
    check("none+linux-kpti", "none, which decides every setting");
    check("linux-default+linux-kpti", "linux-default, which decides every setting");
    check("google-2022+google-2025", "at most one policy");
    check("+", "expected one of");
    BadInputException attack =
        assertThrows(
            BadInputException.class, () -> CATALOG.choose(List.of("meltdwn"), Attack.From.USER));
    assertTrue(attack.getMessage().contains("nearest: meltdown"), attack.getMessage());
  }

  private static void check(String mitigation, String expected) {
    BadInputException bad =
        assertThrows(BadInputException.class, () -> MITIGATIONS.choose(List.of(mitigation)));
    assertTrue(bad.getMessage().contains(expected), bad.getMessage());
  }

  @Test
  void aFileThatForgetsAModelOrNamesAnUnknownOneIsRefused() {
    bad(
        """
        models: [skylake-server, zen2]
        attacks:
          meltdown:
            leaks:
              - models: [skylake-server]
                reason: r
                source: s
        """,
        "line 3: expected all processor models, found none of zen2");
    bad(
        """
        models: [skylake-server]
        attacks:
          meltdwn: {}
        """,
        "nearest: meltdown");
    bad(
        """
        models: [skylake-server]
        attacks:
          meltdown:
            leaks:
              - models: [skylake-server]
                reason: r
        """,
        "source");
    bad(
        """
        models: [skylake-server]
        attacks:
          meltdown:
            leaks:
              - models: [skylake-server, skylake-server]
                reason: r
                source: s
            finds-nothing:
              - models: [skylake-server]
                reason: r
                source: s
        """,
        "each processor model once");
    bad(
        """
        models: [skylake-server]
        attacks:
          meltdown:
            leaks:
              - models: [skylake-server]
                reason: r
                source: s
            stopped-by:
              - mitigations: [linux-ptki]
                reason: r
                source: s
        """,
        "nearest: linux-kpti");
  }

  private static void bad(String text, String expected) {
    BadInputException bad =
        assertThrows(
            BadInputException.class,
            () -> ExpectedMatrix.parse(text, "e.yaml", CATALOG, MITIGATIONS));
    assertTrue(bad.getMessage().contains(expected), bad.getMessage());
  }
}
