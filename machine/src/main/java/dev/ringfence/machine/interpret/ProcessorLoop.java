package dev.ringfence.machine.interpret;

import dev.ringfence.machine.cpu.InstructionBoundary;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorReset;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.interrupt.EventDelivery;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.paging.TranslatedMemory;
import dev.ringfence.machine.translate.TranslationMode;
import dev.ringfence.machine.translate.Translator;
import org.jspecify.annotations.Nullable;

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
  private final BlockFinder finder;
  private final Interpreter interpreter;
  private Executor executor;
  private @Nullable InstructionListener listener;
  private long interval;

  /** Count of instructions at which the listener is told next. */
  private long nextSample;

  public ProcessorLoop(Processor processor, CodeCache cache, PhysicalMemory physical) {
    this.processor = processor;
    this.state = processor.state();
    this.memory = processor.memory();
    this.finder = new BlockFinder(processor, cache, physical);
    this.interpreter =
        new Interpreter(
            processor,
            finder,
            cache.translation() == TranslationMode.OFF
                ? null
                : new TranslatedBlocks(processor, finder, cache));
    this.executor = interpreter;
    cache.attach(memory);
  }

  /** Is told where a processor is, every so many instructions. */
  public interface InstructionListener {
    /**
     * The processor is between two instructions, and its RIP exact.
     *
     * @param translated whether there is a translation of the block that was executed last
     */
    void reached(Processor processor, boolean translated);
  }

  /**
   * Has a listener told from now on. The guest cannot tell: code is left at the instruction, as it
   * is for a timer.
   *
   * @param instructions between two calls
   * @param observer who is told, or null for nobody
   */
  public void setInstructionListener(long instructions, @Nullable InstructionListener observer) {
    interval = instructions;
    listener = observer;
    nextSample = processor.instructions() + instructions;
  }

  /**
   * Puts another executor in place of the machine's own, or that one back. The processor must not
   * be running.
   */
  public void setExecutor(Executor.@Nullable Factory factory) {
    executor = factory == null ? interpreter : factory.create(processor, finder);
  }

  /** What has been translated for this processor. */
  public Translator.Counts translationCounts() {
    return interpreter.translationCounts();
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
      step(limit);
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
    if (processor.vmx().nonRoot()) {
      if (processor.takeInit()) {
        processor.vmx().exitForInit();
        delivered();
        return true;
      }
    } else if (!processor.vmx().on() && processor.takeInit()) {
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
    InstructionBoundary.deliverTraps(processor);
    if (processor.vmx().nonRoot() && processor.vmx().attend()) {
      delivered();
      return true;
    }
    if (processor.nonMaskablePending()
        && processor.vmx().deliversNonMaskable()
        && InstructionBoundary.nonMaskableEnabled(state)) {
      processor.takeNonMaskable();
      state.halted = false;
      EventDelivery.nonMaskableInterrupt(processor);
      delivered();
    } else if (InstructionBoundary.interruptsEnabled(state)
        && processor.vmx().deliversInterrupts()
        && processor.apic().hasInterrupt()) {
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
    step(processor.time() + 1);
    if (processor.instructions() != instructions) {
      InstructionBoundary.end(processor, before);
      memory.contextChanged();
    }
  }

  private void delivered() {
    memory.contextChanged();
    executor.eventDelivered();
    processor.requestAttention();
  }

  private void raise(ProcessorException exception) {
    processor.exceptionRaised();
    EventDelivery.raise(processor, exception);
    delivered();
  }

  /** Executes until a time or an event, and delivers the exception that it ended with. */
  private void step(long until) {
    if (listener == null) {
      executor.execute(until);
    } else {
      executeSampled(until, listener);
    }
    ProcessorException exception = executor.exception();
    if (exception != null) {
      processor.clock().setNow(processor.time());
      raise(exception);
    }
  }

  private void executeSampled(long until, InstructionListener observer) {
    long left = Math.max(1, nextSample - processor.instructions());
    executor.execute(Math.min(until, processor.time() + left));
    if (processor.instructions() >= nextSample) {
      observer.reached(processor, executor.lastTranslated());
      nextSample = processor.instructions() + interval;
    }
  }
}
