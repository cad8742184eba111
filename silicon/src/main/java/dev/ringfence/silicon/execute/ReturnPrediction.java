package dev.ringfence.silicon.execute;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.model.Predictors;
import dev.ringfence.silicon.model.ReturnUnderflow;
import dev.ringfence.silicon.predict.BranchHistory;
import dev.ringfence.silicon.predict.BranchKind;
import dev.ringfence.silicon.predict.PredictorMode;
import dev.ringfence.silicon.predict.ReturnStack;
import dev.ringfence.silicon.predict.TargetPredictor;

/**
 * Predicts returns of a logical processor: by its return stack, and where the model says so by the
 * target predictor, either before the stack is asked (AMD up to Zen 2) or when it is empty (Intel
 * since Skylake). Both are what Wikner and Razavi, "Retbleed" (2022), found.
 */
final class ReturnPrediction {
  private final Processor processor;
  private final Core core;
  private final ReturnStack stack;
  private final TargetPredictor targets;
  private final int thread;
  private final boolean targetsFirst;
  private final boolean targetsOnUnderflow;
  private boolean underflow;

  ReturnPrediction(Processor processor, Core core, int thread) {
    Predictors predictors = core.model().predictors();
    this.processor = processor;
    this.core = core;
    this.stack = core.returnStack(thread);
    this.targets = core.targets();
    this.thread = thread;
    this.targetsFirst = predictors.returnsFromTargetPredictor();
    this.targetsOnUnderflow = predictors.returnUnderflow() == ReturnUnderflow.TARGET_PREDICTOR;
  }

  /** A call: the return comes back to {@code next}. */
  void called(long next) {
    stack.push(next);
  }

  /**
   * Predicts a return, and takes the prediction from the stack.
   *
   * @param state of the path, with {@link Slot#BLOCK_START}
   * @return the target, or {@link TargetPredictor#NONE}
   */
  long predict(ProcessorState state, MicroOperation o, BranchHistory history) {
    long branch = state.r[Slot.BLOCK_START] + o.nextOffset() - 1;
    int mode = PredictorMode.of(processor.vmx().nonRoot(), state.cpl);
    underflow = stack.isEmpty();
    long remembered = stack.pop();
    if (targetsFirst) {
      long target = targets.predict(branch, thread, mode, history);
      if (target != TargetPredictor.NONE && targets.lastKind() != BranchKind.RETURN) {
        return target;
      }
    }
    if (!underflow) {
      return remembered;
    }
    boolean alternate =
        targetsOnUnderflow
            && !(PredictorMode.isSupervisor(mode)
                && core.control(thread).returnAlternateDisabled());
    return alternate ? targets.predict(branch, thread, mode, history) : TargetPredictor.NONE;
  }

  /** Whether the target predictor learns the last return that was predicted. */
  boolean trainsTargets() {
    return targetsFirst || targetsOnUnderflow && underflow;
  }

  /** What {@link #restore} wants to know. */
  int position() {
    return stack.position();
  }

  /** Undoes pushes and pops of a wrong path; what its calls wrote stays. */
  void restore(int position) {
    stack.restore(position);
  }
}
