package dev.ringfence.machine.translate;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.machine.operation.ProcessorHelper;
import dev.ringfence.machine.operation.StateHelper;
import dev.ringfence.machine.paging.RestartInstruction;
import dev.ringfence.machine.paging.TranslatedMemory;

/**
 * What translated code of one processor calls when an operation is not common. Constraint:
 * translated code keeps flags, RIP and the count of instructions in locals, and only a slow path
 * pays for making them exact. So each method here takes them, with a {@link Site}, and puts them
 * where observers, devices and exceptions find them. General registers are always in the register
 * file; translated code writes them there as it goes.
 */
public final class Execution {
  private final Processor processor;
  private final ProcessorState state;
  private final TranslatedMemory memory;

  /** RIP of the first byte of the page of the running region. */
  private long base;

  /** Bits of RIP that code of the running region has. */
  private long ripMask;

  /** What was left of the instructions given when the processor's time was last advanced. */
  private int counted;

  private int site;
  private boolean modesChanged;

  public Execution(Processor processor) {
    this.processor = processor;
    this.state = processor.state();
    this.memory = processor.memory();
  }

  /**
   * Before translated code runs: accesses that must leave it restart their instruction. {@link
   * #end} follows whatever happens.
   *
   * @param instructions that it may execute
   */
  public void begin(boolean code64, int instructions) {
    memory.restarts = true;
    modesChanged = false;
    ripMask = code64 ? -1L : 0xffffffffL;
    counted = instructions;
  }

  /** After translated code, and after exceptions that came out of it. */
  public void end() {
    memory.restarts = false;
  }

  /**
   * Runs translated code from the block at RIP on. Instructions are counted by {@link #count}, or
   * on the way where somebody wants to know.
   *
   * @param entryOffset offset of the block in its page
   * @param remaining instructions that may be executed
   * @return what is left of them
   * @throws ProcessorException of an instruction, and {@link RestartInstruction}; {@link #undo}
   *     then makes the state exact
   */
  public int run(TranslatedCode code, int entry, int entryOffset, int remaining) {
    long pageStart = state.rip - entryOffset;
    base = pageStart;
    return code.run(entry, pageStart, remaining);
  }

  /**
   * Counts the instructions that were executed since {@link #begin} and goes on with another
   * number.
   *
   * @param remaining what is left
   * @param instructions that may be executed from now on
   */
  public void count(int remaining, int instructions) {
    processor.complete(counted - remaining);
    counted = instructions;
  }

  /**
   * Whether translated code has ended with an instruction that may have changed modes, privilege,
   * the interrupt flag or the processor's time.
   */
  public boolean modesChanged() {
    return modesChanged;
  }

  /**
   * After an exception came out of {@link #run}: RIP is that of the instruction that raised it,
   * which has had no effect, and the instructions before it are counted.
   */
  public void undo() {
    // Helpers of the processor had RIP advanced.
    state.rip = base + Site.offset(site) & ripMask;
    processor.complete(Site.ordinal(site));
  }

  /** Makes the processor's state exact for an instruction that is about to execute. */
  private void locate(long flagResult, long flagAuxiliary, int remaining, int at) {
    state.flagResult = flagResult;
    state.flagAuxiliary = flagAuxiliary;
    state.rip = base + Site.offset(at) & ripMask;
    int beforeBlock = remaining + Site.count(at);
    processor.complete(counted - beforeBlock);
    counted = beforeBlock;
    processor.clock().setNow(processor.time() + Site.ordinal(at));
    site = at;
  }

  /** A load that missed the fast table. Likewise the following. */
  public long load8(long linear, long result, long auxiliary, int remaining, int at) {
    locate(result, auxiliary, remaining, at);
    return memory.load8(linear, Site.stack(at));
  }

  public long load16(long linear, long result, long auxiliary, int remaining, int at) {
    locate(result, auxiliary, remaining, at);
    return memory.load16(linear, Site.stack(at));
  }

  public long load32(long linear, long result, long auxiliary, int remaining, int at) {
    locate(result, auxiliary, remaining, at);
    return memory.load32(linear, Site.stack(at));
  }

  public long load64(long linear, long result, long auxiliary, int remaining, int at) {
    locate(result, auxiliary, remaining, at);
    return memory.load64(linear, Site.stack(at));
  }

  /** A store that missed the fast table, of 1, 2, 4 or 8 bytes. */
  public void store(
      long linear, long value, int bytes, long result, long auxiliary, int remaining, int at) {
    locate(result, auxiliary, remaining, at);
    boolean stack = Site.stack(at);
    switch (bytes) {
      case 1 -> memory.store8(linear, value, stack);
      case 2 -> memory.store16(linear, value, stack);
      case 4 -> memory.store32(linear, value, stack);
      default -> memory.store64(linear, value, stack);
    }
  }

  /** The load of a read-modify-write, which raises what its store would raise. */
  public long loadForUpdate(
      long linear, int bytes, long result, long auxiliary, int remaining, int at) {
    locate(result, auxiliary, remaining, at);
    boolean stack = Site.stack(at);
    memory.checkStore(linear, bytes, stack);
    return switch (bytes) {
      case 1 -> memory.load8(linear, stack);
      case 2 -> memory.load16(linear, stack);
      case 4 -> memory.load32(linear, stack);
      default -> memory.load64(linear, stack);
    };
  }

  /** A 16-byte load; #GP(0) if it must be aligned and is not. */
  public void loadVector(
      MicroOperation o, long linear, long result, long auxiliary, int remaining, int at) {
    locate(result, auxiliary, remaining, at);
    requireAligned(o, linear);
    memory.checkLoad(linear, 16, o.stack);
    long low = memory.load64(linear, o.stack);
    state.r[o.destination + 1] = memory.load64(linear + 8, o.stack);
    state.r[o.destination] = low;
  }

  /** A 16-byte store; #GP(0) if it must be aligned and is not. */
  public void storeVector(
      MicroOperation o, long linear, long result, long auxiliary, int remaining, int at) {
    locate(result, auxiliary, remaining, at);
    requireAligned(o, linear);
    memory.checkStore(linear, 16, o.stack);
    memory.store64(linear, state.r[o.second], o.stack);
    memory.store64(linear + 8, state.r[o.second + 1], o.stack);
  }

  private static void requireAligned(MicroOperation o, long linear) {
    if (o.aligned && (linear & 15) != 0) {
      throw ProcessorException.generalProtection();
    }
  }

  /** #GP(0) of a branch to an address that is not canonical. */
  public void checkTarget(long target, long result, long auxiliary, int remaining, int at) {
    if (!ProcessorState.canonical(target)) {
      locate(result, auxiliary, remaining, at);
      throw ProcessorException.generalProtection();
    }
  }

  /** Calls a helper on registers; flags are in the processor's state afterwards. */
  public void stateHelper(
      StateHelper helper, MicroOperation o, long result, long auxiliary, int remaining, int at) {
    state.flagResult = result;
    state.flagAuxiliary = auxiliary;
    state.r[Slot.BLOCK_START] = base + Site.offset(at) - o.offset & ripMask;
    try {
      helper.execute(state, o);
    } catch (ProcessorException e) {
      locate(state.flagResult, state.flagAuxiliary, remaining, at);
      throw e;
    }
  }

  /**
   * Calls a helper on the processor; flags are in its state afterwards.
   *
   * @return whether the region must be left at the end of the instruction
   */
  public boolean processorHelper(
      ProcessorHelper helper,
      MicroOperation o,
      long result,
      long auxiliary,
      int remaining,
      int at) {
    locate(result, auxiliary, remaining, at);
    long start = base + Site.offset(at) - o.offset;
    state.r[Slot.BLOCK_START] = start & ripMask;
    state.rip = start + o.nextOffset() & ripMask;
    memory.restarts = false;
    helper.execute(processor, o);
    memory.restarts = true;
    return memory.leaveBlock;
  }

  /** Calls a helper that ends its block. */
  public void endingHelper(
      ProcessorHelper helper,
      MicroOperation o,
      long result,
      long auxiliary,
      int remaining,
      int at) {
    boolean unused = processorHelper(helper, o, result, auxiliary, remaining, at);
    memory.contextChanged();
    modesChanged = true;
  }
}
