package dev.ringfence.machine.interpret;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.paging.RestartInstruction;
import dev.ringfence.machine.paging.TranslatedMemory;
import dev.ringfence.machine.translate.Execution;
import dev.ringfence.machine.translate.TranslatedCode;
import dev.ringfence.machine.translate.Translator;
import java.util.List;
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
  private final @Nullable Execution execution;
  private final @Nullable Translator translator;
  private @Nullable Block block;
  private @Nullable TranslatedCode code;

  /**
   * @param translated whether instructions are translated, each to a region of its own; those that
   *     access devices are interpreted all the same
   */
  public InstructionStepper(Processor processor, boolean translated) {
    this.execution = translated ? new Execution(processor) : null;
    this.translator = execution == null ? null : new Translator(processor, execution);
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
        code = translator == null ? null : translate(translator, next);
      } catch (ProcessorException e) {
        block = null;
        return e;
      }
      block = next;
    }
    processor.attended();
    if (code != null && execution != null) {
      execution.begin(state.code64(), 1);
      try {
        execution.count(execution.run(code, 0, next.offset, 1), 0);
        memory.leaveBlock = false;
        return null;
      } catch (RestartInstruction e) {
        execution.undo();
      } catch (ProcessorException e) {
        execution.undo();
        return e;
      } finally {
        execution.end();
      }
    }
    interpreter.execute(processor.time() + 1);
    return interpreter.exception();
  }

  private TranslatedCode translate(Translator by, Block next) {
    try {
      return by.translate(
          List.of(RegionChooser.region(List.of(next), state.code64(), state.code64())));
    } catch (Translator.TooLargeException e) {
      throw new IllegalStateException("one instruction is too large: " + next.operations[0], e);
    }
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
        1,
        Map.of(),
        () -> memory.fetchPage((linear | 0xfff) + 1));
  }
}
