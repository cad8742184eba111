package dev.ringfence.silicon.execute;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.interpret.Block;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.operation.MicroCode;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.machine.paging.PageWalker;
import dev.ringfence.machine.paging.TranslationInspector;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.cache.CoreCaches;
import dev.ringfence.silicon.predict.BranchKind;
import dev.ringfence.silicon.predict.PredictorMode;
import dev.ringfence.silicon.predict.ReturnStack;
import dev.ringfence.silicon.predict.TargetPredictor;

/**
 * Branches that are none: some processors ask the target predictor for each address that they fetch
 * and go where it says, and find out only when they decode that no branch is there, or a direct one
 * with another target. Until then the front end has run on along its predictions: it has fetched
 * lines, and, where the model says so, pushed a return address for each call that it believed in
 * (Wikner, Trujillo, Razavi, "Phantom", 2023; Trujillo, Wikner, Razavi, "Inception", 2023). Nothing
 * is executed there.
 *
 * <p>How far it gets is not known exactly; here it follows one prediction a cycle, for as long as
 * the front end takes to be redirected.
 */
final class PhantomBranches {
  /** Bytes that are fetched, and whose addresses are predicted for, in a cycle. */
  private static final int FETCH_BYTES = 64;

  private static final int PAGE_OFFSET = 0xfff;
  private static final long NO_PAGE = -1;

  private final Processor processor;
  private final TargetPredictor targets;
  private final ReturnStack stack;
  private final CoreCaches caches;
  private final TranslationInspector inspector;
  private final PhysicalMemory memory;
  private final int cycles;
  private final boolean returnsAreJumps;
  private final boolean callsPush;

  /** The last page that was fetched from, and its frame or {@link #NO_PAGE}. */
  private long page;

  private long frame;

  PhantomBranches(Processor processor, Core core, int thread) {
    this.processor = processor;
    this.targets = core.targets();
    this.stack = core.returnStack(thread);
    this.caches = core.caches();
    this.inspector = processor.memory().inspector();
    this.memory = processor.physical();
    this.cycles = core.model().pipeline().frontEndRefill();
    this.returnsAreJumps = core.model().predictors().returnsFromTargetPredictor();
    this.callsPush =
        switch (core.model().predictors().phantomCalls()) {
          case NONE -> false;
          case WITH_SIBLING -> core.threads() > 1;
          case ALWAYS -> true;
        };
  }

  /**
   * A block is fetched: follows what the predictor believes of its instructions.
   *
   * @param linear address of the block
   * @param late cycles by which the block itself is fetched late, so that decoding is
   * @return cycles that the front end loses
   */
  long fetched(Block block, long linear, long late) {
    int mode = PredictorMode.of(processor.vmx().nonRoot(), processor.state().cpl);
    long lost = 0;
    for (int i = 0; i < block.instructions; i++) {
      long last = linear + block.offsets[i + 1] - 1;
      long target = targets.predictFetch(last, mode);
      if (target != TargetPredictor.NONE && !agrees(block, i, linear, target)) {
        follow(last, target, mode, cycles + late);
        lost += cycles;
      }
    }
    return lost;
  }

  /** Whether decoding finds nothing wrong with a prediction. */
  private boolean agrees(Block block, int index, long linear, long target) {
    if (index + 1 != block.instructions) {
      return false;
    }
    MicroOperation o = block.operations[block.operations.length - 1];
    return switch (o.code) {
      case MicroCode.JUMP_INDIRECT64, MicroCode.CALL_INDIRECT64 -> true;
      // Where returns are not predicted as jumps, decoding finds that the entry is another kind's
      // (AMD, "Technical Guidance for Mitigating Branch Type Confusion", 2022).
      case MicroCode.RETURN64 -> returnsAreJumps || targets.lastKind() == BranchKind.RETURN;
      case MicroCode.JUMP, MicroCode.CALL64 -> target == linear + o.immediate;
      default -> o.code >= MicroCode.JUMP_IF && target == linear + o.immediate;
    };
  }

  private void follow(long branch, long predicted, int mode, long budget) {
    page = NO_PAGE;
    int position = stack.position();
    long at = taken(branch, predicted);
    for (long cycle = 0; cycle < budget && at != TargetPredictor.NONE; cycle++) {
      fetch(at);
      long end = (at | FETCH_BYTES - 1) + 1;
      long next = targets.firstBranch(at, end, mode);
      at = next == TargetPredictor.NONE ? end : taken(next, targets.predictFetch(next, mode));
    }
    stack.restore(position);
  }

  /** The front end believes in a branch; returns where it goes on. */
  private long taken(long branch, long target) {
    if (callsPush && targets.lastKind().isCall()) {
      stack.push(branch + 1);
    }
    return targets.lastKind() == BranchKind.RETURN ? stack.pop() : target;
  }

  private void fetch(long linear) {
    if ((linear & ~PAGE_OFFSET) != page) {
      page = linear & ~PAGE_OFFSET;
      boolean executable =
          inspector.inspect(linear, PageWalker.FETCH) == TranslationInspector.Outcome.PERMITTED;
      frame = executable ? inspector.physical() & ~PAGE_OFFSET : NO_PAGE;
    }
    if (frame != NO_PAGE && memory.isRam(frame, 1)) {
      int unused = caches.fetch(frame | linear & PAGE_OFFSET);
    }
  }
}
