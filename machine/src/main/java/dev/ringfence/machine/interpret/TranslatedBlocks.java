package dev.ringfence.machine.interpret;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
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

  private final Processor processor;
  private final ProcessorState state;
  private final TranslatedMemory memory;
  private final BlockFinder finder;
  private final Execution execution;
  private final Translator translator;
  private final boolean forced;
  private final int index;
  private boolean lastTranslated;

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

  /** Whether there was a translation of the last block that was executed. */
  boolean lastTranslated() {
    return lastTranslated;
  }

  /** What has been translated. */
  Translator.Counts counts() {
    return translator.counts();
  }

  /**
   * Runs translated code for as long as there is some at RIP.
   *
   * @return the block at RIP, which is to be interpreted, or null if the time is up or the
   *     processor needs attention
   */
  @Nullable Block run(long until) {
    translator.collect();
    while (!processor.needsAttention()) {
      long left = until - processor.time();
      if (left <= 0) {
        return null;
      }
      Block block = finder.find();
      Block.Translation translation = block.translation(index);
      lastTranslated = translation != null;
      if (translation == null) {
        if (block.heat < 0 || ++block.heat < HOT && !forced || block.probed) {
          return block;
        }
        translation = heated(block);
        if (translation == null) {
          return block;
        }
      }
      int remaining = (int) Math.min(left, LONGEST_RUN);
      if (block.instructions > remaining) {
        return block;
      }
      Execution.End end =
          execution.run(
              translation.code(), translation.entry(), block.offset, state.code64(), remaining);
      memory.leaveBlock = false;
      if (end == Execution.End.RESTART) {
        return finder.find();
      }
    }
    return null;
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
