package dev.ringfence.silicon.predict;

import static dev.ringfence.silicon.predict.PredictorMode.GUEST_SUPERVISOR;
import static dev.ringfence.silicon.predict.PredictorMode.GUEST_USER;
import static dev.ringfence.silicon.predict.PredictorMode.SUPERVISOR;
import static dev.ringfence.silicon.predict.PredictorMode.USER;
import static dev.ringfence.silicon.predict.TargetPredictor.NONE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.silicon.model.IndirectTargetSelection;
import dev.ringfence.silicon.model.ModeIsolation;
import dev.ringfence.silicon.model.PhantomCalls;
import dev.ringfence.silicon.model.Predictors;
import dev.ringfence.silicon.model.ReturnUnderflow;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

final class TargetPredictorTest {
  private static final long KERNEL_BRANCH = 0xffff_ffff_8123_4567L;
  private static final long GADGET = 0xffff_ffff_8200_0100L;
  private static final long HANDLER = 0xffff_ffff_8100_0000L;

  private final BranchHistory history = DirectionPredictor.history(29);

  private static TargetPredictor predictor(
      ModeIsolation isolation, boolean usesHistory, IndirectTargetSelection selection) {
    return new TargetPredictor(
        new Predictors(
            4096,
            29,
            4096,
            4,
            31,
            usesHistory,
            true,
            16,
            ReturnUnderflow.TARGET_PREDICTOR,
            false,
            false,
            PhantomCalls.NONE,
            isolation,
            selection),
        2);
  }

  private static TargetPredictor predictor(ModeIsolation isolation) {
    return predictor(isolation, false, IndirectTargetSelection.NONE);
  }

  private void train(TargetPredictor predictor, long branch, long target, int thread, int mode) {
    predictor.update(branch, target, BranchKind.INDIRECT_CALL, thread, mode, history);
  }

  private long predict(TargetPredictor predictor, long branch, int thread, int mode) {
    return predictor.predict(branch, thread, mode, history);
  }

  /** A user branch with the same low bits. */
  private static long alias(long branch, int bits) {
    return branch & (1L << bits) - 1 | 0x5555L << 32;
  }

  @Test
  void anIndirectBranchGoesWhereItWentLast() {
    TargetPredictor predictor = predictor(ModeIsolation.NONE);
    assertEquals(NONE, predict(predictor, KERNEL_BRANCH, 0, SUPERVISOR));
    train(predictor, KERNEL_BRANCH, HANDLER, 0, SUPERVISOR);
    assertEquals(HANDLER, predict(predictor, KERNEL_BRANCH, 0, SUPERVISOR));
    train(predictor, KERNEL_BRANCH, GADGET, 0, SUPERVISOR);
    assertEquals(GADGET, predict(predictor, KERNEL_BRANCH, 0, SUPERVISOR));
    assertEquals(BranchKind.INDIRECT_CALL, predictor.lastKind());
  }

  /**
   * Evtyushkin et al., "Jump over ASLR" (2016): Haswell uses the low 31 bits of a branch's address,
   * so user code trains the kernel's branches.
   */
  @Test
  void onlyLowBitsOfTheAddressTellBranchesApart() {
    TargetPredictor predictor = predictor(ModeIsolation.NONE);
    train(predictor, alias(KERNEL_BRANCH, 31), GADGET, 0, USER);
    assertEquals(GADGET, predict(predictor, KERNEL_BRANCH, 0, SUPERVISOR));
    assertEquals(NONE, predict(predictor, KERNEL_BRANCH ^ 1L << 30, 0, SUPERVISOR));
    assertEquals(NONE, predict(predictor, KERNEL_BRANCH ^ 1, 0, SUPERVISOR));
  }

  /** IBRS: "predicted targets … cannot be controlled by software in a less privileged mode". */
  @Test
  void restrictedPredictionsAreNotThoseOfUserCode() {
    TargetPredictor predictor = predictor(ModeIsolation.IBRS);
    train(predictor, alias(KERNEL_BRANCH, 31), GADGET, 0, USER);
    assertEquals(GADGET, predict(predictor, KERNEL_BRANCH, 0, SUPERVISOR), "IBRS is clear");
    predictor.control(0, true, false);
    assertEquals(NONE, predict(predictor, KERNEL_BRANCH, 0, SUPERVISOR));
    train(predictor, KERNEL_BRANCH, HANDLER, 0, SUPERVISOR);
    assertEquals(HANDLER, predict(predictor, KERNEL_BRANCH, 0, SUPERVISOR));
    predictor.control(0, false, false);
    assertEquals(
        HANDLER, predict(predictor, alias(KERNEL_BRANCH, 31), 0, USER), "the other way is open");
  }

  @Test
  void enhancedRestrictionKeepsModesApartBothWays() {
    TargetPredictor predictor = predictor(ModeIsolation.ENHANCED_IBRS);
    predictor.control(0, true, false);
    train(predictor, KERNEL_BRANCH, HANDLER, 0, SUPERVISOR);
    train(predictor, alias(KERNEL_BRANCH, 31), GADGET, 0, USER);
    assertEquals(HANDLER, predict(predictor, KERNEL_BRANCH, 0, SUPERVISOR));
    assertEquals(GADGET, predict(predictor, alias(KERNEL_BRANCH, 31), 0, USER));
  }

  /**
   * Intel, "Indirect Branch Restricted Speculation": the isolation of enhanced IBRS is that of the
   * bit, which software has to set. In sets of any age, whoever was there last decides.
   */
  @Test
  void withoutRestrictionModesShareAnEntryOfTheNewestTarget() {
    TargetPredictor predictor = predictor(ModeIsolation.ENHANCED_IBRS);
    for (int i = 0; i < 8; i++) {
      train(predictor, KERNEL_BRANCH, HANDLER, 0, SUPERVISOR);
      train(predictor, alias(KERNEL_BRANCH, 31), GADGET, 0, USER);
      assertEquals(GADGET, predict(predictor, KERNEL_BRANCH, 0, SUPERVISOR));
      train(predictor, KERNEL_BRANCH, HANDLER, 0, SUPERVISOR);
      assertEquals(HANDLER, predict(predictor, alias(KERNEL_BRANCH, 31), 0, USER));
      // Others of the set make its ways go round.
      train(predictor, KERNEL_BRANCH ^ (i + 1L) << 10 ^ (i + 1L) << 26, HANDLER, 0, SUPERVISOR);
    }
  }

  /**
   * Intel, "Speculative Execution Side Channel Mitigations", predictor modes: a guest is less
   * privileged than its host, and user mode than supervisor mode.
   */
  @Test
  void whatAGuestTrainsIsNotForARestrictedHost() {
    TargetPredictor predictor = predictor(ModeIsolation.IBRS);
    train(predictor, KERNEL_BRANCH, GADGET, 0, GUEST_SUPERVISOR);
    assertEquals(GADGET, predict(predictor, KERNEL_BRANCH, 0, USER), "IBRS is clear");
    predictor.control(0, true, false);
    assertEquals(NONE, predict(predictor, KERNEL_BRANCH, 0, SUPERVISOR));
    assertEquals(NONE, predict(predictor, KERNEL_BRANCH, 0, USER));
    assertEquals(GADGET, predict(predictor, KERNEL_BRANCH, 0, GUEST_USER));
    TargetPredictor enhanced = predictor(ModeIsolation.ENHANCED_IBRS);
    enhanced.control(0, true, false);
    train(enhanced, KERNEL_BRANCH, GADGET, 0, GUEST_SUPERVISOR);
    assertEquals(NONE, predict(enhanced, KERNEL_BRANCH, 0, GUEST_USER));
    assertEquals(NONE, predict(enhanced, KERNEL_BRANCH, 0, SUPERVISOR));
    assertEquals(GADGET, predict(enhanced, KERNEL_BRANCH, 0, GUEST_SUPERVISOR));
  }

  /**
   * Barberis et al., "Branch History Injection" (2022): with history that user code chose, a branch
   * of the kernel is predicted to go where another branch of the kernel went, isolation or not.
   */
  @Test
  void chosenHistoryMakesKernelBranchesCollide() {
    TargetPredictor predictor =
        predictor(ModeIsolation.ENHANCED_IBRS, true, IndirectTargetSelection.NONE);
    predictor.control(0, true, false);
    long other = 0xffff_ffff_8177_1233L;
    BranchHistory trained = DirectionPredictor.history(29);
    for (int i = 0; i < 29; i++) {
      trained.taken(0x40_0000 + 0x80 * i, 0x40_0040 + 0x80 * i);
    }
    predictor.update(other, GADGET, BranchKind.INDIRECT_JUMP, 0, SUPERVISOR, trained);
    RandomGenerator random = RandomGenerator.of("L64X128MixRandom");
    int tries = 0;
    long predicted;
    do {
      for (int i = 0; i < 29; i++) {
        history.taken(random.nextLong(1L << 47), random.nextLong(1L << 47));
      }
      predicted = predict(predictor, KERNEL_BRANCH, 0, SUPERVISOR);
      tries++;
    } while (predicted != GADGET && tries < 1 << 20);
    assertEquals(GADGET, predicted);
    assertTrue(tries > 100, "collisions are rare: " + tries + " tries");
  }

  @Test
  void historyTellsTargetsOfOneBranchApart() {
    TargetPredictor predictor = predictor(ModeIsolation.NONE, true, IndirectTargetSelection.NONE);
    BranchHistory second = DirectionPredictor.history(29);
    second.taken(0x1234, 0x5678);
    predictor.update(KERNEL_BRANCH, HANDLER, BranchKind.INDIRECT_CALL, 0, SUPERVISOR, history);
    predictor.update(KERNEL_BRANCH, GADGET, BranchKind.INDIRECT_CALL, 0, SUPERVISOR, second);
    assertEquals(HANDLER, predictor.predict(KERNEL_BRANCH, 0, SUPERVISOR, history));
    assertEquals(GADGET, predictor.predict(KERNEL_BRANCH, 0, SUPERVISOR, second));
    BranchHistory unknown = DirectionPredictor.history(29);
    unknown.taken(0x9876, 0x1111);
    assertEquals(
        GADGET, predictor.predict(KERNEL_BRANCH, 0, SUPERVISOR, unknown), "the last target at all");
  }

  /** IBPB: software before the barrier does not control predictions after it. */
  @Test
  void aBarrierForgetsAll() {
    TargetPredictor predictor =
        predictor(ModeIsolation.ENHANCED_IBRS, true, IndirectTargetSelection.INTRA_MODE);
    train(predictor, KERNEL_BRANCH, HANDLER, 0, SUPERVISOR);
    long lower = KERNEL_BRANCH & -64;
    predictor.update(lower + 32, GADGET, BranchKind.JUMP, 0, SUPERVISOR, history);
    assertEquals(GADGET, predict(predictor, lower, 0, SUPERVISOR));
    predictor.barrier();
    assertEquals(NONE, predict(predictor, KERNEL_BRANCH, 0, SUPERVISOR));
    assertEquals(NONE, predict(predictor, lower, 0, SUPERVISOR));
    assertEquals(NONE, predictor.predictFetch(KERNEL_BRANCH, SUPERVISOR));
  }

  /** STIBP keeps a sibling's training out; IBRS includes it (SDM volume 4, IA32_SPEC_CTRL). */
  @Test
  void aThreadAloneIgnoresItsSibling() {
    TargetPredictor predictor = predictor(ModeIsolation.IBRS);
    train(predictor, 0x401234, 0x405678, 1, USER);
    assertEquals(0x405678, predict(predictor, 0x401234, 0, USER));
    predictor.control(0, false, true);
    assertEquals(NONE, predict(predictor, 0x401234, 0, USER));
    assertEquals(0x405678, predict(predictor, 0x401234, 1, USER));
    predictor.control(0, true, false);
    assertEquals(NONE, predict(predictor, 0x401234, 0, USER));
  }

  /**
   * "x86/its: Enable Indirect Target Selection mitigation" (2025): indirect branches whose last
   * byte is in the lower half of a line get targets of branches of the upper half; of the same
   * mode.
   */
  @Test
  void theLowerHalfOfALineTakesTargetsOfTheUpperHalf() {
    long lower = 0xffff_ffff_8123_4547L;
    long upper = lower + 0x32;
    TargetPredictor sound =
        predictor(ModeIsolation.ENHANCED_IBRS, true, IndirectTargetSelection.NONE);
    TargetPredictor affected =
        predictor(ModeIsolation.ENHANCED_IBRS, true, IndirectTargetSelection.INTRA_MODE);
    for (TargetPredictor predictor : new TargetPredictor[] {sound, affected}) {
      predictor.control(0, true, false);
      long alias = 1L << 31;
      predictor.update(upper ^ alias, GADGET, BranchKind.CONDITIONAL, 0, SUPERVISOR, history);
    }
    assertEquals(NONE, predict(sound, lower, 0, SUPERVISOR));
    assertEquals(NONE, predict(affected, upper, 0, SUPERVISOR));
    assertEquals(GADGET, predict(affected, lower, 0, SUPERVISOR));
    assertEquals(NONE, predict(affected, lower, 0, USER));
    assertEquals(NONE, predict(affected, lower + 64, 0, SUPERVISOR));
    train(affected, lower, HANDLER, 0, SUPERVISOR);
    assertEquals(HANDLER, predict(affected, lower, 0, SUPERVISOR), "it has one of its own");
  }

  /**
   * The kernel's table of processors that are affected by "Indirect Target Selection": on some,
   * host and guest are not kept apart either; user mode and kernel are on all.
   */
  @ParameterizedTest
  @EnumSource(IndirectTargetSelection.class)
  void branchesOfAGuestAreSelectedOnSomeProcessors(IndirectTargetSelection selection) {
    long lower = 0xffff_ffff_8123_4547L;
    TargetPredictor predictor = predictor(ModeIsolation.ENHANCED_IBRS, false, selection);
    predictor.control(0, true, false);
    predictor.update(lower + 0x20, GADGET, BranchKind.JUMP, 0, GUEST_SUPERVISOR, history);
    long expected = selection == IndirectTargetSelection.GUEST_HOST ? GADGET : NONE;
    assertEquals(expected, predict(predictor, lower, 0, SUPERVISOR));
    assertEquals(NONE, predict(predictor, lower, 0, USER));
    train(predictor, lower, GADGET, 0, GUEST_SUPERVISOR);
    predictor.update(lower + 0x20, HANDLER, BranchKind.JUMP, 0, SUPERVISOR, history);
    expected = selection == IndirectTargetSelection.NONE ? NONE : HANDLER;
    assertEquals(expected, predict(predictor, lower, 0, SUPERVISOR), "its own mode comes first");
  }

  /**
   * Wikner, Trujillo, Razavi, "Phantom" (2023): Zen fetches from a prediction before it knows what
   * is there, and AutoIBRS does not keep it from that.
   */
  @Test
  void fetchIsPredictedWhateverIsThere() {
    TargetPredictor predictor = predictor(ModeIsolation.ENHANCED_IBRS);
    predictor.control(0, true, false);
    long nop = 0xffff_ffff_8130_0000L;
    assertEquals(NONE, predictor.predictFetch(nop, SUPERVISOR));
    predictor.update(alias(nop, 31), GADGET, BranchKind.INDIRECT_CALL, 0, USER, history);
    assertEquals(GADGET, predictor.predictFetch(nop, SUPERVISOR));
    assertTrue(predictor.lastKind().isCall());
    assertEquals(NONE, predict(predictor, nop, 0, SUPERVISOR), "execution is restricted");
    assertEquals(nop, predictor.firstBranch(nop - 20, nop + 12, SUPERVISOR));
    assertEquals(NONE, predictor.firstBranch(nop + 1, nop + 12, SUPERVISOR));
    predictor.update(nop, HANDLER, BranchKind.INDIRECT_CALL, 0, SUPERVISOR, history);
    assertEquals(HANDLER, predictor.predictFetch(nop, SUPERVISOR), "its own mode comes first");
  }

  @Test
  void aSetOfFourForgetsTheOldestOfFive() {
    TargetPredictor predictor = predictor(ModeIsolation.NONE);
    // 1024 sets; bits 30 to 26 do not choose the set.
    for (int i = 0; i < 5; i++) {
      train(predictor, 0x40_1234 + ((long) i << 10) + ((long) i << 26), i, 0, USER);
    }
    int known = 0;
    for (int i = 0; i < 5; i++) {
      known +=
          predict(predictor, 0x40_1234 + ((long) i << 10) + ((long) i << 26), 0, USER) == i ? 1 : 0;
    }
    assertTrue(known >= 4, known + " of five");
  }
}
