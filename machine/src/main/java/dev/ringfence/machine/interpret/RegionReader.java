package dev.ringfence.machine.interpret;

import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.translate.Region;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;

/** Reads a region out of memory for people, without having anything executed. */
public final class RegionReader {
  /** Blocks that are decoded; more than a region has. */
  private static final int MOST_BLOCKS = 200;

  private RegionReader() {}

  /**
   * The region that the translator makes of a block if all blocks around it are warm. The first
   * block of the list need not be the one asked for.
   *
   * @param address physical, of RAM
   * @param nextPage physical address of the page that follows in linear addresses; -1 if none does
   */
  public static Region read(
      PhysicalMemory memory,
      CpuModel model,
      long address,
      int codeWidth,
      int stackWidth,
      long nextPage) {
    BlockBuilder builder = new BlockBuilder(memory, model);
    CodePage page = new CodePage();
    int ramPage = memory.ramPage(address);
    int mode = CodePage.mode(codeWidth, stackWidth);
    int start = (int) address & 4095;
    Deque<Integer> open = new ArrayDeque<>(List.of(start));
    for (int count = 0; count < MOST_BLOCKS && !open.isEmpty(); count++) {
      int offset = open.remove();
      if (page.find(mode, offset) != null) {
        continue;
      }
      Block block =
          builder.build(
              ramPage,
              offset,
              codeWidth,
              stackWidth,
              Map.of(),
              () -> nextPage < 0 ? -1 : memory.ramPage(nextPage));
      page.add(mode, offset, block);
      if (codeWidth == 64 && block.secondPage < 0) {
        for (int target : RegionChooser.successors(block)) {
          if (target >= 0 && target < 4096) {
            open.add(target);
          }
        }
      }
    }
    Block seed = page.find(mode, start);
    if (seed == null) {
      throw new IllegalStateException("the first block was not built");
    }
    List<Block> blocks = RegionChooser.choose(seed, codeWidth == 64 ? page : null, 0, 0);
    return RegionChooser.region(blocks, codeWidth == 64 && seed.secondPage < 0, codeWidth == 64);
  }
}
