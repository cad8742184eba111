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
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Executes translated code of one processor, and has hot blocks translated. Everything that is seen
 * by the guest happens on the thread that runs the machine; when a translation is ready depends on
 * the host, so nothing else may depend on whether there is one.
 */
final class TranslatedBlocks {
  /** Times that a block is interpreted before it is translated. */
  private static final int HOT = 1000;

  /**
   * Most instructions without a look at what the host wants; a loop that nothing interrupts stays
   * in its region until then.
   */
  private static final int LONGEST_RUN = 1_000_000;

  private static final int JUMP_BITS = 14;

  /** Entries of the table of jumps. */
  private static final int JUMPS = 1 << JUMP_BITS;

  /** 2 to the power of 64 by the golden ratio: spreads RIPs over the table. */
  private static final long MULTIPLIER = 0x9e3779b97f4a7c15L;

  private final Processor processor;
  private final ProcessorState state;
  private final TranslatedMemory memory;
  private final CodeCache cache;
  private final BlockFinder finder;
  private final Execution execution;
  private final Translator translator;
  private final @Nullable Jump[] jumps = new Jump[JUMPS];
  private @Nullable Block toInterpret;

  /** Whether there is anything in {@link #jumps}. */
  private boolean anyJumps;

  private final boolean forced;
  private final int index;
  private boolean lastTranslated;

  TranslatedBlocks(Processor processor, BlockFinder finder, CodeCache cache) {
    this.processor = processor;
    this.state = processor.state();
    this.memory = processor.memory();
    this.finder = finder;
    this.execution = new Execution(processor);
    this.cache = cache;
    this.translator = new Translator(processor, execution, new Account());
    this.forced = cache.translation() == TranslationMode.FORCED;
    this.index = processor.index();
    cache.onDrop(this::forgetJumps);
  }

  /** Told by {@link Translator#collect}, so before a block is chosen. */
  private final class Account implements Translator.Listener {
    @Override
    public void installed(int bytes) {
      cache.translated(bytes);
      cache.trim();
    }

    @Override
    public void exhausted() {
      cache.exhausted();
      cache.trim();
    }
  }

  /** Code has been dropped; jumps may lead to it. */
  private void forgetJumps() {
    if (anyJumps) {
      Arrays.fill(jumps, null);
      anyJumps = false;
    }
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
   * <p>Constraint: every thirty instructions a region is left for another one, so the way from one
   * to the next is a fifth of all time. What was executed is counted only when somebody wants to
   * know.
   *
   * @return the block at RIP, which is to be interpreted, or null if the time is up or the
   *     processor needs attention
   * @throws ProcessorException of the instruction at RIP
   */
  @Nullable Block run(long until) {
    translator.collect();
    boolean code64 = state.code64();
    boolean translated = false;
    int remaining = remaining(until);
    execution.begin(code64, remaining);
    try {
      while (!processor.needsAttention()) {
        if (remaining == 0) {
          // Before the fetch, whose page fault would come too early.
          execution.count(0, 0);
          remaining = remaining(until);
          execution.count(0, remaining);
          if (remaining == 0) {
            return null;
          }
        }
        Jump jump = jump(code64);
        lastTranslated = jump != null;
        if (jump == null) {
          execution.count(remaining, remaining);
          return toInterpret;
        }
        if (jump.instructions > remaining) {
          execution.count(remaining, 0);
          remaining = remaining(until);
          execution.count(0, remaining);
          if (jump.instructions > remaining) {
            return finder.find();
          }
        }
        translated = true;
        remaining = execution.run(jump.code, jump.entry, jump.offset, remaining);
        translated = false;
        if (memory.leaveBlock) {
          memory.leaveBlock = false;
        }
        if (execution.modesChanged()) {
          execution.count(remaining, 0);
          // Most such instructions leave nothing to attend to. A timer may have been armed, and
          // then the time given is too long.
          if (processor.mustAttend() || processor.clock().nextDeadline() < until) {
            processor.requestAttention();
          }
          code64 = state.code64();
          remaining = remaining(until);
          execution.begin(code64, remaining);
          finder.forget();
        }
      }
      execution.count(remaining, remaining);
      return null;
    } catch (RestartInstruction e) {
      execution.undo();
    } catch (ProcessorException e) {
      if (translated) {
        execution.undo();
      } else {
        execution.count(remaining, remaining);
      }
      throw e;
    } finally {
      execution.end();
    }
    return finder.find();
  }

  /** Instructions that may be executed now; none if the time is up. */
  private int remaining(long until) {
    return (int) Math.max(0, Math.min(until - processor.time(), LONGEST_RUN));
  }

  /**
   * Where translated code goes on: all that is needed of a block in one object, because finding a
   * block by page and offset touches five, and regions are left every thirty instructions.
   */
  private static final class Jump {
    final long rip;
    final long context;
    final int ramPage;
    final TranslatedCode code;
    final int entry;
    final int offset;
    final int instructions;

    /** The RAM page of the last bytes if they are in the page that follows, else -1. */
    final int secondPage;

    /** {@link TranslatedMemory#fetchEpoch} when the page was last found where it was. */
    int epoch;

    Jump(long rip, long context, int ramPage, Block block, Block.Translation translation) {
      this.rip = rip;
      this.context = context;
      this.ramPage = ramPage;
      this.code = translation.code();
      this.entry = translation.entry();
      this.offset = block.offset;
      this.instructions = block.instructions;
      this.secondPage = block.secondPage;
    }
  }

  /** The jump at RIP, or null, and then {@link #toInterpret} is the block at RIP. */
  private @Nullable Jump jump(boolean code64) {
    long rip = state.rip;
    int slot = (int) (rip * MULTIPLIER >>> 64 - JUMP_BITS);
    Jump jump = jumps[slot];
    if (jump != null && jump.rip == rip && jump.context == memory.fetchContext && code64) {
      if (jump.epoch == memory.fetchEpoch || isThere(jump)) {
        return jump;
      }
    }
    return find(slot, code64);
  }

  private boolean isThere(Jump jump) {
    if (isFetched(jump.rip, jump.context, jump.ramPage)
        && (jump.secondPage < 0
            || isFetched((jump.rip | 0xfff) + 1, jump.context, jump.secondPage))) {
      jump.epoch = memory.fetchEpoch;
      return true;
    }
    return false;
  }

  /** Whether a fetch at an address hits the fast table and finds a RAM page. */
  private boolean isFetched(long linear, long context, int ramPage) {
    int fetch = TranslatedMemory.entry(linear);
    return memory.fetchTable[fetch] == (linear & PAGE | context)
        && memory.fetchTable[fetch + 1] == ramPage;
  }

  private @Nullable Jump find(int slot, boolean code64) {
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
    int fetch = TranslatedMemory.entry(state.rip);
    Jump jump =
        new Jump(
            state.rip, memory.fetchContext, (int) memory.fetchTable[fetch + 1], block, translation);
    if (code64 && isThere(jump)) {
      jumps[slot] = jump;
      anyJumps = true;
    }
    return jump;
  }

  private Block.@Nullable Translation heated(Block seed) {
    if (!cache.mayTranslate()) {
      seed.heat = -1;
      return null;
    }
    if (translator.isBusy()) {
      seed.heat = HOT / 2;
      return null;
    }
    CodePage page = state.code64() ? finder.pageOfLastBlock() : null;
    List<Block> blocks = RegionChooser.choose(seed, page, index, forced ? 1 : HOT / 8);
    Region region =
        RegionChooser.region(blocks, page != null && seed.secondPage < 0, state.code64());
    blocks.forEach(block -> block.heat = -1);
    if (!forced) {
      translator.request(region, new Pending(blocks));
      return null;
    }
    try {
      TranslatedCode code = translator.translate(List.of(region));
      install(blocks, code, 0);
      cache.translated(code.bytes());
    } catch (Translator.TooLargeException e) {
      return null;
    } catch (OutOfMemoryError e) {
      translator.failed();
      cache.exhausted();
    }
    return seed.translation(index);
  }

  /** Blocks for which translation has been requested. */
  private final class Pending implements Translator.Installer {
    private final List<Block> blocks;

    Pending(List<Block> blocks) {
      this.blocks = blocks;
    }

    @Override
    public boolean wanted() {
      for (Block block : blocks) {
        if (block.valid) {
          return true;
        }
      }
      return false;
    }

    @Override
    public void install(int first, int count, TranslatedCode code, int firstEntry) {
      TranslatedBlocks.this.install(blocks.subList(first, first + count), code, firstEntry);
    }
  }

  private void install(List<Block> blocks, TranslatedCode code, int firstEntry) {
    boolean valid = true;
    for (Block block : blocks) {
      // A probe may have been set in one of them, and the code of others may lead through it.
      valid &= block.valid;
    }
    for (int i = 0; i < blocks.size(); i++) {
      if (valid) {
        blocks.get(i).setTranslation(index, new Block.Translation(code, firstEntry + i));
      }
      blocks.get(i).heat = 0;
    }
  }
}
