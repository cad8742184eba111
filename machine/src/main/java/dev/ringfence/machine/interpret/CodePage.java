package dev.ringfence.machine.interpret;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The blocks that start in one page of RAM, by code and stack width and by offset. */
final class CodePage {
  private static final int PAGE_BYTES = 200;

  /** An array of 4,096 references. */
  private static final int ARRAY_BYTES = 16 + 4 * 4096;

  /** Combinations of code and stack width. */
  static final int MODES = 5;

  private final @Nullable Block[][] blocks = new Block[MODES][];

  /** Blocks of the page before that end in this one. */
  private final List<Block> entering = new ArrayList<>();

  /** False once the page has been overwritten; its blocks are then void. */
  boolean live = true;

  /** Bytes of the Java heap that the page and its blocks take, estimated. */
  private long heapBytes = PAGE_BYTES;

  /** Bit n: bytes 64n to 64n + 63 hold decoded code. */
  private long lines;

  /** Index of the blocks for a combination of widths. */
  static int mode(int codeWidth, int stackWidth) {
    return switch (codeWidth) {
      case 64 -> 0;
      case 32 -> stackWidth == 32 ? 1 : 2;
      default -> stackWidth == 32 ? 3 : 4;
    };
  }

  @Nullable Block find(int mode, int offset) {
    Block[] ofMode = blocks[mode];
    return ofMode == null ? null : ofMode[offset];
  }

  void add(int mode, int offset, Block block) {
    Block[] ofMode = blocks[mode];
    if (ofMode == null) {
      ofMode = new Block[4096];
      blocks[mode] = ofMode;
      heapBytes += ARRAY_BYTES;
    }
    Block old = ofMode[offset];
    if (old != null) {
      // It runs over into a page that is no longer the next one, whose list is to lose it.
      old.valid = false;
      heapBytes -= old.heapBytes();
    }
    ofMode[offset] = block;
    heapBytes += block.heapBytes();
    mark(offset, Math.min(offset + block.length(), 4096));
  }

  long heapBytes() {
    return heapBytes;
  }

  /**
   * Notes a block of the page before whose last {@code bytes} bytes are at the start of this one.
   */
  void addEntering(Block block, int bytes) {
    entering.removeIf(other -> !other.valid);
    entering.add(block);
    mark(0, bytes);
  }

  private void mark(int from, int to) {
    for (int line = from >> 6; line <= to - 1 >> 6; line++) {
      lines |= 1L << line;
    }
  }

  /** Whether decoded code lies in any 64-byte line of the range. */
  boolean holdsCode(int offset, int length) {
    long touched = -1L << (offset >> 6) & -1L >>> (63 - (offset + length - 1 >> 6));
    return (lines & touched) != 0;
  }

  /** Marks all blocks that have bytes in the page as overwritten. */
  void invalidate() {
    live = false;
    for (Block[] ofMode : blocks) {
      if (ofMode != null) {
        for (Block block : ofMode) {
          if (block != null) {
            block.valid = false;
          }
        }
      }
    }
    // A loop and no lambda, whose class there may be no room for: code is dropped when metaspace is
    // exhausted, too.
    for (Block block : entering) {
      block.valid = false;
    }
  }

  /** Drops the blocks that are cold. */
  void dropCold() {
    for (int mode = 0; mode < MODES; mode++) {
      Block[] ofMode = blocks[mode];
      boolean any = false;
      for (int i = 0; ofMode != null && i < ofMode.length; i++) {
        Block block = ofMode[i];
        if (block != null && block.isCold()) {
          block.valid = false;
          ofMode[i] = null;
          heapBytes -= block.heapBytes();
        }
        any |= ofMode[i] != null;
      }
      if (ofMode != null && !any) {
        blocks[mode] = null;
        heapBytes -= ARRAY_BYTES;
      }
    }
  }

  /** Whether no block has bytes in the page, as far as is known. */
  boolean isEmpty() {
    for (Block[] ofMode : blocks) {
      if (ofMode != null) {
        return false;
      }
    }
    for (Block block : entering) {
      if (block.valid) {
        return false;
      }
    }
    return true;
  }

  /**
   * Drops the blocks that an instruction is in, and translations through which it may be executed:
   * those of all blocks that share a region with one of them.
   */
  void dropInstruction(int offset) {
    List<Block> dropped = new ArrayList<>();
    for (Block[] ofMode : blocks) {
      for (int i = 0; ofMode != null && i <= offset; i++) {
        Block block = ofMode[i];
        if (block != null && i + block.length() > offset) {
          block.valid = false;
          ofMode[i] = null;
          heapBytes -= block.heapBytes();
          dropped.add(block);
        }
      }
    }
    for (Block[] ofMode : blocks) {
      for (int i = 0; ofMode != null && i < ofMode.length; i++) {
        Block block = ofMode[i];
        if (block != null) {
          block.forgetTranslationsWith(dropped);
        }
      }
    }
    // Blocks that run over from another page are alone in their regions.
    for (Block block : entering) {
      int end = block.offset + block.length() - 4096;
      if (end > offset) {
        block.valid = false;
      }
    }
  }
}
