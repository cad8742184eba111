package dev.ringfence.machine.interpret;

import dev.ringfence.machine.operation.MicroCode;
import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.machine.translate.Region;
import dev.ringfence.machine.translate.RegionBlock;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Chooses the blocks that are translated together: from a hot one along jumps, calls and returns
 * that stay in its page, through blocks that are warm. In both directions, because the block that
 * is hot first may be the last of its loop, or the return of a function.
 */
final class RegionChooser {
  /**
   * Micro-operations of a region. Some 40 bytes of bytecode each, so most regions are half of what
   * HotSpot compiles at all; compile time grows faster than size.
   */
  private static final int MOST_OPERATIONS = 120;

  private RegionChooser() {}

  /**
   * The blocks of a region around a seed.
   *
   * @param page the seed's page if it is 64-bit code, or null
   * @param processor translations for others do not count
   * @param warm least heat of the blocks beside the seed
   */
  static List<Block> choose(Block seed, @Nullable CodePage page, int processor, int warm) {
    Set<Block> chosen = new LinkedHashSet<>();
    chosen.add(seed);
    if (page == null || seed.secondPage >= 0) {
      return List.copyOf(chosen);
    }
    Map<Block, List<Block>> neighbours = neighbours(seed, page, processor, warm);
    int operations = seed.operations.length;
    Deque<Block> open = new ArrayDeque<>();
    open.add(seed);
    while (!open.isEmpty()) {
      for (Block next : neighbours.getOrDefault(open.remove(), List.of())) {
        if (operations + next.operations.length <= MOST_OPERATIONS && chosen.add(next)) {
          operations += next.operations.length;
          open.add(next);
        }
      }
    }
    List<Block> ordered = new ArrayList<>(chosen);
    ordered.sort(Comparator.comparingInt(block -> block.offset));
    return ordered;
  }

  /** Blocks that may be chosen, and to which others each is linked by a jump, either way. */
  private static Map<Block, List<Block>> neighbours(
      Block seed, CodePage page, int processor, int warm) {
    Map<Block, List<Block>> neighbours = new HashMap<>();
    for (int offset = 0; offset < 4096; offset++) {
      Block from = page.find(0, offset);
      if (from == null || from != seed && !eligible(from, processor, warm)) {
        continue;
      }
      for (int target : successors(from)) {
        Block to = target < 0 || target > 4095 ? null : page.find(0, target);
        if (to != null && (to == seed || eligible(to, processor, warm))) {
          neighbours.computeIfAbsent(from, key -> new ArrayList<>()).add(to);
          neighbours.computeIfAbsent(to, key -> new ArrayList<>()).add(from);
        }
      }
    }
    return neighbours;
  }

  private static boolean eligible(Block block, int processor, int warm) {
    return block.valid
        && !block.probed
        && block.secondPage < 0
        && block.heat >= warm
        && block.translation(processor) == null;
  }

  /** Offsets in the page to which a block leads, so far as its last operation tells. */
  static int[] successors(Block block) {
    MicroOperation last = block.operations[block.operations.length - 1];
    int start = block.offset;
    if (last.code >= MicroCode.JUMP_IF || last.code == MicroCode.CALL64) {
      return new int[] {start + (int) last.immediate, start + (int) last.displacement};
    }
    return switch (last.code) {
      case MicroCode.JUMP -> new int[] {start + (int) last.immediate};
      case MicroCode.CALL_INDIRECT64 -> new int[] {start + (int) last.displacement};
      default -> new int[0];
    };
  }

  /** The region of blocks, in their order. */
  static Region region(List<Block> blocks, boolean linked, boolean code64) {
    return new Region(
        blocks.stream()
            .map(block ->
                new RegionBlock(block.offset, block.operations, block.instructions, block.length()))
            .toList(),
        linked,
        code64);
  }
}
