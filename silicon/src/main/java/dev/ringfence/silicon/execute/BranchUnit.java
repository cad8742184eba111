package dev.ringfence.silicon.execute;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.model.IndirectTargetSelection;
import dev.ringfence.silicon.model.Predictors;
import dev.ringfence.silicon.predict.BranchHistory;
import dev.ringfence.silicon.predict.BranchKind;
import dev.ringfence.silicon.predict.DirectionPredictor;
import dev.ringfence.silicon.predict.PredictorMode;
import dev.ringfence.silicon.predict.TargetPredictor;

/**
 * Branches that retire: compares each with what the front end had predicted, has the wrong path
 * followed where they differ, and then teaches the predictors.
 */
final class BranchUnit {
  private final Processor processor;
  private final ProcessorState state;
  private final int thread;
  private final Scoreboard board;
  private final WrongPath wrongPath;
  private final ReturnPrediction returns;
  private final DirectionPredictor directions;
  private final TargetPredictor targets;
  private final BranchHistory history;
  private final boolean directTargetsMatter;
  private final boolean historyCrossesModes;
  private final Core core;
  private int lastMode = PredictorMode.SUPERVISOR;
  private long mispredictions;

  BranchUnit(
      Processor processor,
      Core core,
      int thread,
      Scoreboard board,
      WrongPath wrongPath,
      ReturnPrediction returns) {
    this.processor = processor;
    this.state = processor.state();
    this.core = core;
    this.thread = thread;
    this.board = board;
    this.wrongPath = wrongPath;
    this.returns = returns;
    this.directions = core.directions();
    this.targets = core.targets();
    this.history = core.history(thread);
    Predictors predictors = core.model().predictors();
    // Elsewhere a direct branch's target is known when it is decoded, whatever was predicted.
    this.directTargetsMatter =
        predictors.predictsNonBranches()
            || predictors.indirectTargetSelection() != IndirectTargetSelection.NONE;
    this.historyCrossesModes = predictors.historyCrossesModes();
  }

  long mispredictions() {
    return mispredictions;
  }

  private long lastByte(MicroOperation o) {
    return state.r[Slot.BLOCK_START] + o.nextOffset() - 1;
  }

  private int mode() {
    return PredictorMode.of(processor.vmx().nonRoot(), state.cpl);
  }

  /**
   * The processor may have entered another mode. Where the history does not cross modes, and where
   * BHI_DIS_S is set, that of user mode must not select predictions of supervisor mode (Intel,
   * "Branch History Injection and Intra-mode Branch Target Injection"): it begins anew.
   */
  void modeMayHaveChanged() {
    int now = mode();
    if (now != lastMode && (!historyCrossesModes || apart(now))) {
      history.clear();
    }
    lastMode = now;
  }

  private boolean apart(int mode) {
    return PredictorMode.isSupervisor(mode) && core.control(thread).branchHistoryApart();
  }

  /** A direct jump. */
  void jumped(MicroOperation o) {
    taken(lastByte(o), state.r[Slot.BLOCK_START] + o.immediate, BranchKind.JUMP);
  }

  private void taken(long branch, long target, BranchKind kind) {
    if (directTargetsMatter) {
      targets.update(branch, target, kind, thread, mode(), history);
    }
    history.taken(branch, target);
  }

  /**
   * A conditional jump; afterwards RIP is its target.
   *
   * @param resolved when it is known whether it is taken
   */
  void conditional(MicroOperation o, boolean taken, long resolved) {
    long branch = lastByte(o);
    boolean predicted = directions.predict(branch, history);
    if (predicted != taken) {
      mispredicted(target(o, predicted), resolved);
    }
    directions.update(branch, history, taken);
    long target = target(o, taken);
    if (taken) {
      taken(branch, target, BranchKind.CONDITIONAL);
    }
    state.rip = target;
  }

  /** A 16-bit operand cuts the target, but not the address of the next instruction. */
  private long target(MicroOperation o, boolean taken) {
    long target = state.r[Slot.BLOCK_START] + (taken ? o.immediate : o.displacement);
    int shift = taken ? o.shift : o.shift & 32;
    return target << shift >>> shift;
  }

  private void mispredicted(long predicted, long resolved) {
    mispredictions++;
    if (state.code64()) {
      wrongPath.mispredicted(predicted, resolved);
    }
    board.redirect(resolved);
  }

  /** A direct call of 64-bit code. */
  void called(MicroOperation o, long behind) {
    returns.called(behind);
    taken(lastByte(o), state.rip, BranchKind.CALL);
  }

  /** An indirect jump of 64-bit code. */
  void indirect(MicroOperation o, long target, long resolved) {
    long branch = lastByte(o);
    resolve(targets.predict(branch, thread, mode(), history), target, resolved);
    learn(branch, target, BranchKind.INDIRECT_JUMP);
  }

  /** An indirect call of 64-bit code. */
  void calledIndirectly(MicroOperation o, long target, long behind, long resolved) {
    long branch = lastByte(o);
    long predicted = targets.predict(branch, thread, mode(), history);
    returns.called(behind);
    resolve(predicted, target, resolved);
    learn(branch, target, BranchKind.INDIRECT_CALL);
  }

  /** A return of 64-bit code. */
  void returned(MicroOperation o, long target, long resolved) {
    resolve(returns.predict(state, o, history), target, resolved);
    long branch = lastByte(o);
    if (returns.trainsTargets()) {
      targets.update(branch, target, BranchKind.RETURN, thread, mode(), history);
    }
    history.taken(branch, target);
  }

  private void resolve(long predicted, long target, long resolved) {
    if (predicted == target) {
      return;
    }
    if (predicted == TargetPredictor.NONE) {
      mispredictions++;
      board.redirect(resolved);
    } else {
      mispredicted(predicted, resolved);
    }
  }

  private void learn(long branch, long target, BranchKind kind) {
    targets.update(branch, target, kind, thread, mode(), history);
    history.taken(branch, target);
  }
}
