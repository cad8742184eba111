package dev.ringfence.machine.interpret;

import static dev.ringfence.machine.paging.TranslatedMemory.PAGE;

import dev.ringfence.machine.cpu.InstructionBoundary;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorReset;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.interrupt.EventDelivery;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.paging.TranslatedMemory;

/**
 * Runs one processor: finds blocks, has them executed, and between them delivers interrupts and
 * exceptions.
 *
 * <p>An event is taken at the first instruction boundary at which it is there. Blocks end after
 * every instruction that could let one in, slow memory accesses leave the block, and a block is cut
 * short where the time given ends, so what the guest sees does not depend on how code is divided
 * into blocks.
 */
public final class ProcessorLoop {
  private final Processor processor;
  private final ProcessorState state;
  private final TranslatedMemory memory;
  private final CodeCache cache;
  private final BlockBuilder builder;
  private final Interpreter interpreter;

  public ProcessorLoop(Processor processor, CodeCache cache, PhysicalMemory physical) {
    this.processor = processor;
    this.state = processor.state();
    this.memory = processor.memory();
    this.cache = cache;
    this.builder = new BlockBuilder(physical, processor.model());
    this.interpreter = new Interpreter(processor);
    cache.attach(memory);
  }

  /**
   * Runs until the processor's time reaches {@code until} or the deadline of a timer, or it has
   * nothing to execute, or {@link Processor#requestStop} was called.
   *
   * @throws dev.ringfence.machine.interrupt.TripleFault if the processor shuts down
   */
  public void run(long until) {
    memory.contextChanged();
    while (true) {
      // A device access may have armed a timer; it asks for attention, so the limit is taken anew
      // here.
      long limit = Math.min(until, processor.clock().nextDeadline());
      if (processor.time() >= limit) {
        return;
      }
      if (processor.needsAttention() && !attend()) {
        return;
      }
      while (!processor.needsAttention() && processor.time() < limit) {
        step(limit - processor.time());
      }
    }
  }

  /**
   * Looks for events in the order of SDM volume 3, table 6-2. Returns false if the processor has
   * nothing to execute.
   */
  private boolean attend() {
    processor.attended();
    if (processor.stopRequested()) {
      processor.requestAttention();
      return false;
    }
    if (processor.takeInit()) {
      ProcessorReset.init(processor);
      memory.invalidateAll();
    }
    if (state.waitsForStartup) {
      int vector = processor.takeStartup();
      if (vector < 0) {
        processor.fallAsleep();
        return false;
      }
      ProcessorReset.startUp(processor, vector);
      memory.contextChanged();
    }
    processor.clock().setNow(processor.time());
    if (processor.nonMaskablePending() && InstructionBoundary.nonMaskableEnabled(state)) {
      processor.takeNonMaskable();
      state.halted = false;
      EventDelivery.nonMaskableInterrupt(processor);
      delivered();
    } else if (InstructionBoundary.interruptsEnabled(state) && processor.apic().hasInterrupt()) {
      int vector = processor.apic().acknowledge();
      if (vector >= 0) {
        state.halted = false;
        EventDelivery.interrupt(processor, vector);
        delivered();
      }
    }
    if (state.halted) {
      processor.fallAsleep();
      return false;
    }
    if (InstructionBoundary.mustStep(state)) {
      stepAlone();
      processor.requestAttention();
    }
    return true;
  }

  /** Executes one instruction with what flags, shadows and breakpoints ask for. */
  private void stepAlone() {
    int before;
    try {
      before = InstructionBoundary.begin(processor);
    } catch (ProcessorException e) {
      raise(e);
      return;
    }
    memory.contextChanged();
    long instructions = processor.instructions();
    step(1);
    if (processor.instructions() != instructions) {
      InstructionBoundary.end(processor, before);
      memory.contextChanged();
    }
  }

  private void delivered() {
    memory.contextChanged();
    processor.requestAttention();
  }

  private void raise(ProcessorException exception) {
    EventDelivery.raise(processor, exception);
    delivered();
  }

  /** Executes one block, or its first {@code most} instructions. */
  private void step(long most) {
    Block block;
    try {
      block = find();
    } catch (ProcessorException e) {
      raise(e);
      return;
    }
    interpreter.execute(block, (int) Math.min(most, Integer.MAX_VALUE));
    processor.complete(interpreter.completed);
    memory.leaveBlock = false;
    ProcessorException exception = interpreter.exception;
    if (exception != null) {
      processor.clock().setNow(processor.time());
      raise(exception);
    }
  }

  private Block find() {
    long linear;
    int mode;
    if (state.code64()) {
      linear = state.rip;
      mode = 0;
    } else {
      if (state.rip > state.limit[SegmentRegister.CS]) {
        throw ProcessorException.generalProtection();
      }
      linear = state.segmentBase(SegmentRegister.CS) + state.rip & 0xffffffffL;
      mode = CodePage.mode(state.codeWidth(), state.stackWidth());
    }
    int entry = TranslatedMemory.entry(linear);
    int ramPage =
        memory.fetchTable[entry] == (linear & PAGE | memory.context)
            ? (int) memory.fetchTable[entry + 1]
            : memory.fetchPage(linear);
    if (ramPage < 0) {
      throw new ExecutionOutsideMemory(linear);
    }
    int offset = (int) linear & 4095;
    CodePage page = cache.page(ramPage);
    Block block = page == null ? null : page.find(mode, offset);
    if (block != null
        && block.valid
        && (block.secondPage < 0 || secondPageIs(linear, block.secondPage))) {
      return block;
    }
    return build(linear, ramPage, offset, mode);
  }

  private boolean secondPageIs(long linear, int ramPage) {
    return memory.fetchPage((linear | 0xfff) + 1) == ramPage;
  }

  private Block build(long linear, int ramPage, int offset, int mode) {
    Block block =
        builder.build(
            ramPage,
            offset,
            state.codeWidth(),
            state.stackWidth(),
            () -> memory.fetchPage((linear | 0xfff) + 1));
    boolean runsOver = offset + block.length() > 4096;
    if (!runsOver || block.secondPage >= 0) {
      cache.add(ramPage, mode, offset, block);
    }
    return block;
  }

  /**
   * Code is fetched from an address without RAM: there is nothing that a PC could execute there.
   */
  public static final class ExecutionOutsideMemory extends RuntimeException {
    private static final long serialVersionUID = 1L;

    ExecutionOutsideMemory(long linear) {
      super(
          "the processor fetches code from linear address %016x, where there is no RAM"
              .formatted(linear),
          null,
          false,
          false);
    }
  }
}
