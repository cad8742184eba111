package dev.ringfence.linux.stack;

import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.type.BitField;
import dev.ringfence.linux.type.TypeTable;
import dev.ringfence.machine.BadInputException;
import java.util.stream.IntStream;

/**
 * How one kernel lays out {@code struct orc_entry} (Linux, arch/x86/include/asm/orc_types.h): two
 * signed 16-bit offsets and a 16-bit word of registers, type and flags. Where type and flags are
 * follows from the types of the kernel, or from its version if it has none.
 *
 * <ul>
 *   <li>up to 6.2: type:2, end:1;
 *   <li>6.3: type:2, signal:1, end:1;
 *   <li>since 6.4: type:3, signal:1, with types of their own for "undefined" and "end".
 * </ul>
 *
 * <p>Registers have had two sets of numbers: one up to at least 6.12 (SP is 5), another in 7.2 (SP
 * is 3). Types do not tell which, but the table does: most frames are found from SP.
 *
 * @param size of the entry in bytes
 * @param wordOffset offset in bytes of the word in the entry
 * @param end shift and width of the flag of the end of the stack; width 0 since 6.4
 * @param renumbered whether registers have the later numbers
 */
record OrcLayout(
    int size,
    int spOffset,
    int bpOffset,
    int wordOffset,
    BitField spRegister,
    BitField bpRegister,
    BitField type,
    BitField end,
    boolean renumbered) {
  /** What a frame is. */
  static final byte UNDEFINED = 0;

  static final byte END = 1;
  static final byte CALL = 2;
  static final byte REGS = 3;
  static final byte REGS_PARTIAL = 4;

  // Registers, in their later numbers.
  static final byte AX = 1;
  static final byte DX = 2;
  static final byte SP = 3;
  static final byte BP = 4;
  static final byte DI = 5;
  static final byte R10 = 6;
  static final byte R13 = 7;

  /** The stack pointer of the caller, before the call. */
  static final byte PREV_SP = 8;

  /** What the stack pointer points to. */
  static final byte SP_INDIRECT = 9;

  /** What the frame pointer points to. */
  static final byte BP_INDIRECT = 10;

  /** The later number of each earlier one; earlier ones end with 9. */
  private static final byte[] RENUMBERED = {
    0, PREV_SP, DX, DI, BP, SP, R10, R13, BP_INDIRECT, SP_INDIRECT
  };

  private static final int EARLIER_SP = 5;

  /** Width of the type since Linux 6.4, when two types were put before the others. */
  private static final int WIDE = 3;

  private static final String ENTRY = "orc_entry";

  static OrcLayout of(KernelImage image) {
    TypeTable types = image.findTypes().orElse(null);
    if (types != null && types.hasStruct(ENTRY)) {
      return of(types, image.name());
    }
    BitField sp = new BitField(0, 0, 4);
    BitField bp = new BitField(0, 4, 4);
    BitField none = new BitField(0, 0, 0);
    if (image.isAtLeast(6, 4)) {
      return new OrcLayout(6, 0, 2, 4, sp, bp, new BitField(0, 8, 3), none, false);
    }
    int end = image.isAtLeast(6, 3) ? 11 : 10;
    return new OrcLayout(6, 0, 2, 4, sp, bp, new BitField(0, 8, 2), new BitField(0, end, 1), false);
  }

  private static OrcLayout of(TypeTable types, String file) {
    int word = types.bits(ENTRY, "sp_reg").byteOffset();
    int size = types.sizeOf(ENTRY);
    OrcLayout layout =
        new OrcLayout(
            size,
            types.offsetOf(ENTRY, "sp_offset"),
            types.offsetOf(ENTRY, "bp_offset"),
            word,
            inWord(types, "sp_reg", word),
            inWord(types, "bp_reg", word),
            inWord(types, "type", word),
            types.has(ENTRY, "end") ? inWord(types, "end", word) : new BitField(0, 0, 0),
            false);
    if (word < 0
        || word > size - Short.BYTES
        || layout.spOffset > size - Short.BYTES
        || layout.bpOffset > size - Short.BYTES
        || layout.highestBit() > Short.SIZE) {
      throw new BadInputException(
          "%s: expected a struct orc_entry of two 16-bit numbers and bit fields in 16 bits, found %s"
              .formatted(file, layout));
    }
    return layout;
  }

  /**
   * The same layout with the numbers of registers that a table was made with.
   *
   * @param words of the table's entries
   */
  OrcLayout withNumbersOf(IntStream words) {
    int surplus =
        words
            .filter(word -> kind(word) == CALL)
            .map(word ->
                switch ((int) spRegister.extract(word)) {
                  case SP -> 1;
                  case EARLIER_SP -> -1;
                  default -> 0;
                })
            .sum();
    return new OrcLayout(
        size, spOffset, bpOffset, wordOffset, spRegister, bpRegister, type, end, surplus > 0);
  }

  /** The register that a field of a word names, in the later numbers; 0 for unknown ones. */
  int register(BitField field, int word) {
    int number = (int) field.extract(word);
    if (renumbered) {
      return number <= BP_INDIRECT ? number : 0;
    }
    return number < RENUMBERED.length ? RENUMBERED[number] : 0;
  }

  private int highestBit() {
    return Math.max(
        Math.max(spRegister.shift() + spRegister.width(), bpRegister.shift() + bpRegister.width()),
        Math.max(type.shift() + type.width(), end.shift() + end.width()));
  }

  private static BitField inWord(TypeTable types, String member, int word) {
    BitField bits = types.bits(ENTRY, member);
    return new BitField(word, bits.shift() + Byte.SIZE * (bits.byteOffset() - word), bits.width());
  }

  /** What kind of frame the word of an entry stands for. */
  byte kind(int word) {
    int value = (int) type.extract(word);
    if (type.width() >= WIDE) {
      return value <= REGS_PARTIAL ? (byte) value : UNDEFINED;
    }
    if (spRegister.extract(word) == 0) {
      return end.width() != 0 && end.extract(word) != 0 ? END : UNDEFINED;
    }
    return value < 3 ? (byte) (value + CALL) : UNDEFINED;
  }
}
