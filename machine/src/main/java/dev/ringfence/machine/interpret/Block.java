package dev.ringfence.machine.interpret;

import dev.ringfence.machine.operation.MicroOperation;
import dev.ringfence.machine.translate.TranslatedCode;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A run of instructions, decoded: straight-line code from its start to the first instruction that
 * may go elsewhere. Blocks are position-independent, so all linear aliases of a physical page share
 * them.
 */
public final class Block {
  private static final @Nullable Translation[] NONE = {};

  /** Times that a block is interpreted before it is worth keeping when there is much code. */
  private static final int WARM = 50;

  /** Offset of its first byte in its page. */
  final int offset;

  /** What it does, in order. Not to be changed. */
  public final MicroOperation[] operations;

  /** Number of instructions. */
  public final int instructions;

  /**
   * Offset in bytes of each instruction from the start of the block, and of the end. Not to be
   * changed.
   */
  public final int[] offsets;

  /**
   * Index of the first micro-operation of each instruction, and their number. Not to be changed.
   */
  public final int[] firstOperation;

  /** RAM page that holds the last bytes if the block runs over the end of its page, else -1. */
  public final int secondPage;

  /** Whether a probe is told of its first instruction; such a block is never translated. */
  public final boolean probed;

  /** What an executor other than the machine's own has found out about the block, or null. */
  public @Nullable Object annotation;

  /** How often it has been interpreted; negative once translation has been asked for. */
  int heat;

  /** Translations, by processor. */
  private @Nullable Translation[] translations = NONE;

  /** False once any of its bytes has been overwritten. */
  boolean valid = true;

  Block(
      int offset,
      MicroOperation[] operations,
      int[] offsets,
      int[] firstOperation,
      int secondPage,
      boolean probed) {
    this.offset = offset;
    this.probed = probed;
    this.operations = operations;
    this.instructions = offsets.length - 1;
    this.offsets = offsets;
    this.firstOperation = firstOperation;
    this.secondPage = secondPage;
  }

  /** Bytes of the Java heap that it takes, estimated from the objects that it refers to. */
  int heapBytes() {
    return 200 + 120 * operations.length + 170 * instructions;
  }

  /** Whether none of its bytes has been overwritten. */
  public boolean isValid() {
    return valid;
  }

  /** Length in bytes. */
  public int length() {
    return offsets[instructions];
  }

  /**
   * Code that executes the block, for one processor.
   *
   * @param entry its index in the code's region
   */
  record Translation(TranslatedCode code, int entry) {
    boolean sharesRegion(Translation other) {
      return code.equals(other.code)
          && TranslatedCode.region(entry) == TranslatedCode.region(other.entry);
    }
  }

  /** Whether it has no translation and none is likely soon. */
  boolean isCold() {
    return translations.length == 0 && heat >= 0 && heat < WARM;
  }

  /** The translation for a processor, or null. */
  @Nullable Translation translation(int processor) {
    return processor < translations.length ? translations[processor] : null;
  }

  /** Forgets translations that are in one region with those of other blocks. */
  void forgetTranslationsWith(List<Block> others) {
    for (int processor = 0; processor < translations.length; processor++) {
      for (Block other : others) {
        Translation own = translation(processor);
        Translation its = other.translation(processor);
        if (own != null && its != null && own.sharesRegion(its)) {
          translations[processor] = null;
          heat = 0;
        }
      }
    }
  }

  void setTranslation(int processor, Translation translation) {
    if (processor >= translations.length) {
      translations = Arrays.copyOf(translations, processor + 1);
    }
    translations[processor] = translation;
  }
}
