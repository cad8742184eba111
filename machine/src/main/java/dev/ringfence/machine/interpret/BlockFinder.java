package dev.ringfence.machine.interpret;

import static dev.ringfence.machine.paging.TranslatedMemory.PAGE;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.paging.PageWalker;
import dev.ringfence.machine.paging.TranslatedMemory;
import dev.ringfence.machine.paging.TranslationInspector;
import org.jspecify.annotations.Nullable;

/**
 * Finds the block at RIP in the code cache, building it where there is none. Most jumps stay in
 * their page, so the page found last is remembered until {@link #forget} or the next fetch from
 * another page, which may displace its translation. Nothing else can take that away ({@link
 * TranslatedMemory}).
 */
public final class BlockFinder implements BlockSource {
  private static final CodePage NO_PAGE = new CodePage();

  private final ProcessorState state;
  private final TranslatedMemory memory;
  private final CodeCache cache;
  private final BlockBuilder builder;
  private final PhysicalMemory physical;

  /** Linear page of 64-bit code that {@link #recentCode} holds; 1, which is no page, for none. */
  private long recentPage = 1;

  private CodePage recentCode = NO_PAGE;

  BlockFinder(Processor processor, CodeCache cache, PhysicalMemory physical) {
    this.state = processor.state();
    this.memory = processor.memory();
    this.cache = cache;
    this.physical = physical;
    this.builder = new BlockBuilder(physical, processor.model());
  }

  @Override
  public void forget() {
    recentPage = 1;
  }

  /** The page of the 64-bit block found last, or none if the page has been overwritten since. */
  @Nullable CodePage pageOfLastBlock() {
    return (state.rip & PAGE) == recentPage && recentCode.live ? recentCode : null;
  }

  @Override
  public Block find() {
    long rip = state.rip;
    if ((rip & PAGE) == recentPage && recentCode.live) {
      Block block = recentCode.find(0, (int) rip & 4095);
      if (block != null && block.secondPage < 0) {
        return block;
      }
    }
    return findByTranslation();
  }

  private Block findByTranslation() {
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
    forget();
    int entry = TranslatedMemory.entry(linear);
    int ramPage =
        memory.fetchTable[entry] == (linear & PAGE | memory.fetchContext)
            ? (int) memory.fetchTable[entry + 1]
            : memory.fetchPage(linear);
    if (ramPage < 0) {
      throw new ExecutionOutsideMemory(linear);
    }
    int offset = (int) linear & 4095;
    CodePage page = cache.page(ramPage);
    Block block = page == null ? null : page.find(mode, offset);
    if (block == null
        || !block.valid
        || block.secondPage >= 0 && !secondPageIs(linear, block.secondPage)) {
      block = build(linear, ramPage, offset, mode);
      page = cache.page(ramPage);
    }
    if (mode == 0 && page != null && block.secondPage < 0) {
      recentPage = linear & PAGE;
      recentCode = page;
    }
    return block;
  }

  private boolean secondPageIs(long linear, int ramPage) {
    return memory.fetchPage((linear | 0xfff) + 1) == ramPage;
  }

  /**
   * The block at an address of 64-bit code that the processor may never reach: for executors that
   * follow wrong paths. Nothing that the guest can see changes: no fault is raised, no accessed bit
   * set, no translation kept.
   *
   * @return null if there is nothing to execute that the translations of now permit
   */
  public @Nullable Block findQuietly(long rip) {
    int ramPage = quietPage(rip);
    if (ramPage < 0) {
      return null;
    }
    int offset = (int) rip & 4095;
    CodePage page = cache.page(ramPage);
    Block block = page == null ? null : page.find(0, offset);
    if (block != null
        && block.valid
        && (block.secondPage < 0 || quietPage((rip | 0xfff) + 1) == block.secondPage)) {
      return block;
    }
    block =
        builder.build(
            ramPage, offset, 64, 64, cache.probes(ramPage), () -> quietPage((rip | 0xfff) + 1));
    keep(ramPage, offset, 0, block);
    return block;
  }

  /** Number of the RAM page that a fetch would read, or -1. */
  private int quietPage(long linear) {
    int entry = TranslatedMemory.entry(linear);
    if (memory.fetchTable[entry] == (linear & PAGE | memory.fetchContext)) {
      return (int) memory.fetchTable[entry + 1];
    }
    TranslationInspector inspector = memory.inspector();
    return inspector.inspect(linear, PageWalker.FETCH) == TranslationInspector.Outcome.PERMITTED
        ? physical.ramPage(inspector.physical())
        : -1;
  }

  private Block build(long linear, int ramPage, int offset, int mode) {
    Block block =
        builder.build(
            ramPage,
            offset,
            state.codeWidth(),
            state.stackWidth(),
            cache.probes(ramPage),
            () -> memory.fetchPage((linear | 0xfff) + 1));
    keep(ramPage, offset, mode, block);
    return block;
  }

  private void keep(int ramPage, int offset, int mode, Block block) {
    boolean runsOver = offset + block.length() > 4096;
    if (!runsOver || block.secondPage >= 0) {
      cache.add(ramPage, mode, offset, block);
    }
  }
}
