package dev.ringfence.machine.interpret;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.paging.TranslatedMemory;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Executes single instructions and hands exceptions to its caller instead of delivering them: for
 * comparing instructions with other processors. There are no interrupts, no traps and no time.
 */
public final class InstructionStepper {
  private final Processor processor;
  private final ProcessorState state;
  private final TranslatedMemory memory;
  private final BlockBuilder builder;
  private final Interpreter interpreter;
  private @Nullable Block block;

  public InstructionStepper(Processor processor) {
    this.processor = processor;
    this.state = processor.state();
    this.memory = processor.memory();
    this.builder = new BlockBuilder(processor.physical(), processor.model());
    this.interpreter = new Interpreter(processor, new Current(), null);
  }

  /**
   * Executes the instruction at RIP.
   *
   * @param sameCode whether the instruction, its place and the mode are those of the last call
   * @return what it raised, or null
   */
  public @Nullable ProcessorException step(boolean sameCode) {
    memory.contextChanged();
    Block next = block;
    if (next == null || !sameCode) {
      try {
        next = build();
      } catch (ProcessorException e) {
        block = null;
        return e;
      }
      block = next;
    }
    processor.attended();
    interpreter.execute(processor.time() + 1);
    return interpreter.exception;
  }

  private final class Current implements BlockSource {
    @Override
    public Block find() {
      return Objects.requireNonNull(block);
    }

    @Override
    public void forget() {}
  }

  private Block build() {
    long linear =
        state.code64()
            ? state.rip
            : state.segmentBase(SegmentRegister.CS) + state.rip & 0xffffffffL;
    return builder.build(
        memory.fetchPage(linear),
        (int) linear & 4095,
        state.codeWidth(),
        state.stackWidth(),
        Map.of(),
        () -> memory.fetchPage((linear | 0xfff) + 1));
  }
}
