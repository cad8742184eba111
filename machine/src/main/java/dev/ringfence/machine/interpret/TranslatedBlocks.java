package dev.ringfence.machine.interpret;

import static dev.ringfence.machine.paging.TranslatedMemory.PAGE;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.paging.RestartInstruction;
import dev.ringfence.machine.paging.TranslatedMemory;
import dev.ringfence.machine.translate.Execution;
import dev.ringfence.machine.translate.Region;
import dev.ringfence.machine.translate.TranslatedCode;
import dev.ringfence.machine.translate.TranslationMode;
import dev.ringfence.machine.translate.Translator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Executes translated code of one processor, and has hot blocks translated. Everything that is seen
 * by the guest happens on the thread that runs the machine; when a translation is ready depends on
 * the host, so nothing else may depend on whether there is one.
 */
final class TranslatedBlocks {
  /** Times that a block is interpreted before it is translated. */
  private static final int HOT = 400;

  /**
   * Most instructions without a look at what the host wants; a loop that nothing interrupts stays
   * in its region until then.
   */
  private static final int LONGEST_RUN = 1_000_000;

  /** Entries of the table of jumps; a power of two. */
  private static final int JUMPS = 1 << 13;

  /** No RIP of 64-bit code, because it is not canonical. */
  private static final long NO_RIP = 1L << 62;

  private final Processor processor;
  private final ProcessorState state;
  private final TranslatedMemory memory;
  private final BlockFinder finder;
  private final Execution execution;
  private final Translator translator;
  private final @Nullable Jump[] jumps = new Jump[JUMPS];
  private @Nullable Block toInterpret;
  private final boolean forced;
  private final int index;

  TranslatedBlocks(Processor processor, BlockFinder finder, TranslationMode mode) {
    this.processor = processor;
    this.state = processor.state();
    this.memory = processor.memory();
    this.finder = finder;
    this.execution = new Execution(processor);
    this.translator = new Translator(processor, execution);
    this.forced = mode == TranslationMode.FORCED;
    this.index = processor.index();
  }

  /**
   * Runs translated code for as long as there is some at RIP.
   *
   * @return the block at RIP, which is to be interpreted, or null if the time is up or the processor
   *     needs attention
   * @throws ProcessorException of the instruction at RIP
   */
  @Nullable Block run(long until) {
    translator.collect();
    boolean translated = false;
    execution.begin();
    try {
      while (!processor.needsAttention()) {
        long left = until - processor.time();
        if (left <= 0) {
          return null;
        }
        Jump jump = jump();
        if (jump == null) {
          return toInterpret;
        }
        int remaining = (int) Math.min(left, LONGEST_RUN);
        if (jump.block.instructions > remaining) {
          return finder.find();
        }
        translated = true;
        execution.run(jump.code, jump.entry, jump.offset, jump.ripBits, remaining);
        memory.leaveBlock = false;
        translated = false;
      }
      return null;
    } catch (RestartInstruction e) {
      execution.undo();
    } catch (ProcessorException e) {
      if (translated) {
        execution.undo();
      }
      throw e;
    } finally {
      execution.end();
    }
    return finder.find();
  }

  /**
   * Where translated code goes on: what is needed of a block in one object, because finding a block
   * by page and offset touches five, and regions are left every thirty instructions.
   */
  private record Jump(
      long rip,
      int ramPage,
      TranslatedCode code,
      int entry,
      int offset,
      long ripBits,
      Block block) {}

  /** The jump at RIP, or null, and then {@link #toInterpret} is the block at RIP. */
  private @Nullable Jump jump() {
    long rip = state.rip;
    int slot = (int) (rip ^ rip >>> 12) & JUMPS - 1;
    Jump jump = jumps[slot];
    int fetch = TranslatedMemory.entry(rip);
    if (jump != null
        && jump.rip == rip
        && memory.fetchTable[fetch] == (rip & PAGE | memory.context)
        && memory.fetchTable[fetch + 1] == jump.ramPage
        && jump.block.valid
        && state.code64()) {
      return jump;
    }
    Block block = finder.find();
    Block.Translation translation = block.translation(index);
    if (translation == null) {
      toInterpret = block;
      if (block.heat < 0 || ++block.heat < HOT && !forced || block.probed) {
        return null;
      }
      translation = heated(block);
      if (translation == null) {
        return null;
      }
    }
    boolean code64 = state.code64();
    boolean found = code64 && block.secondPage < 0;
    Jump fresh =
        new Jump(
            found ? rip : NO_RIP,
            found ? (int) memory.fetchTable[fetch + 1] : -1,
            translation.code(),
            translation.entry(),
            block.offset,
            code64 ? -1L : 0xffffffffL,
            block);
    if (found) {
      jumps[slot] = fresh;
    }
    return fresh;
  }

  private Block.@Nullable Translation heated(Block seed) {
    CodePage page = state.code64() ? finder.pageOfLastBlock() : null;
    List<Block> blocks = RegionChooser.choose(seed, page, index, forced ? 1 : HOT / 8);
    Region region =
        RegionChooser.region(blocks, page != null && seed.secondPage < 0, state.code64());
    blocks.forEach(block -> block.heat = -1);
    if (!forced) {
      translator.request(region, code -> install(blocks, code));
      return null;
    }
    try {
      install(blocks, translator.translate(region));
    } catch (Translator.TooLargeException e) {
      return null;
    }
    return seed.translation(index);
  }

  private void install(List<Block> blocks, TranslatedCode code) {
    for (int entry = 0; entry < blocks.size(); entry++) {
      blocks.get(entry).setTranslation(index, new Block.Translation(code, entry));
      blocks.get(entry).heat = 0;
    }
  }
}
