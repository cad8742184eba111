package dev.ringfence.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.lab.result.PolicyResult;
import dev.ringfence.lab.result.PolicyResult.Cause;
import dev.ringfence.lab.result.RunResult;
import java.util.List;
import org.junit.jupiter.api.Test;

class SummaryTest {
  private static final RunResult RUN = ExampleRun.complete();
  private static final PolicyResult DENY_LIST = RUN.policies().get(2);

  @Test
  void everyPolicyHasASentenceWithItsCostLowToHigh() {
    List<String> sentences = Summary.ofRun(RUN);
    for (PolicyResult policy : RUN.policies()) {
      String cost =
          policy.share().high() == 0 ? "nothing" : Numbers.percent(policy.share()) + " to the";
      assertTrue(
          sentences.stream().anyMatch(s -> s.startsWith(policy.name() + " adds " + cost)),
          policy.name());
    }
  }

  @Test
  void aPolicyIsCalledCheaperOnlyIfItsHighIsBelowTheOthersLow() {
    List<String> sentences = Summary.ofRun(RUN);
    for (PolicyResult cheap : RUN.policies()) {
      String sentence =
          sentences.stream()
              .filter(s -> s.startsWith(cheap.name() + " costs less than "))
              .findFirst()
              .orElse("");
      for (PolicyResult other : RUN.policies()) {
        boolean expected = cheap.share().high() > 0 && other.share().low() > cheap.share().high();
        assertEquals(
            expected,
            List.of(sentence.replaceFirst("^\\S+ costs less than ", "").split(",? (and )?", -1))
                .contains(other.name()),
            cheap.name() + " and " + other.name());
      }
    }
  }

  @Test
  void theThreeCostliestCausesAndTheThreeBestChangesAreNamed() {
    String text = String.join("\n", Summary.ofPolicy(RUN, DENY_LIST));
    for (Cause cause : DENY_LIST.causes().subList(0, 3)) {
      assertTrue(text.contains("Cause " + cause.number() + ": " + cause.function()), text);
    }
    assertFalse(text.contains("Cause 4:"), text);
    assertTrue(text.contains("marking page-cache nonsensitive saves most"), text);
    assertTrue(text.contains("is third"), text);
  }

  @Test
  void aChangeSavesTheExitsOfAllCausesOfItsKind() {
    for (Change change : Change.of(DENY_LIST)) {
      long exits =
          DENY_LIST.causes().stream()
              .filter(cause -> cause.kind().equals(change.kind()))
              .mapToLong(Cause::count)
              .sum();
      assertEquals(exits, change.saved(), change.kind());
    }
  }

  @Test
  void ownMemoryIsNoExposure() {
    String sentence = Summary.ofPolicy(RUN, DENY_LIST).getLast();
    assertTrue(sentence.startsWith("None of the sensitive memory"), sentence);
    String none = Summary.ofPolicy(RUN, RUN.policies().getFirst()).getLast();
    assertTrue(none.startsWith("Up to 362 MiB of sensitive memory"), none);
  }

  @Test
  void aPartialRunSaysWhy() {
    assertTrue(Summary.ofRun(ExampleRun.partial()).getFirst().contains("interrupted by the user"));
  }

  @Test
  void aRunWithoutPoliciesIsDescribedAllTheSame() {
    assertEquals(1, Summary.ofRun(ExampleRun.with(List.of())).size());
  }
}
