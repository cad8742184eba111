package dev.ringfence.oracle;

/** Chooses linear addresses of data. */
final class Addresses {
  private static final long BOUNDARY = CaseRecord.DATA_BASE + 0x1000;
  private static final long END = CaseRecord.DATA_BASE + CaseRecord.DATA_SIZE;

  private Addresses() {}

  /**
   * An address for the ModRM operand of a form: mostly inside the windows and aligned; unaligned,
   * across two pages, up to the end of what is mapped, across that end, and beyond.
   *
   * @param nonCanonical whether an address that is not canonical may be chosen
   */
  static long choose(RandomValues random, Form form, boolean nonCanonical) {
    int bytes = Math.max(form.memoryBytes(), 1);
    if (form.place() != Form.Place.NONE && form.row().mnemonic().startsWith("BT")) {
      // The bit offset reaches up to 256 bytes to both sides.
      return CaseRecord.MIDDLE + 300 + random.below(400);
    }
    return choose(random, bytes, Integer.highestOneBit(Math.min(bytes, 64)), nonCanonical);
  }

  static long choose(RandomValues random, int bytes, int alignment, boolean nonCanonical) {
    int room = CaseRecord.MIDDLE_SIZE - bytes;
    return switch (random.below(64)) {
      case 0, 1, 2, 3, 4, 5 -> CaseRecord.MIDDLE + random.below(room);
      case 6, 7, 8, 9 -> bytes < 256 ? BOUNDARY - random.below(bytes + 1) : CaseRecord.MIDDLE;
      case 10, 11 -> bytes <= CaseRecord.LAST_SIZE ? END - bytes : CaseRecord.MIDDLE;
      case 12, 13 -> END - random.below(Math.min(bytes, CaseRecord.LAST_SIZE));
      case 14 -> END + random.below(4096 - bytes);
      case 15 ->
          nonCanonical
              ? random.pick(0, 1) == 0
                  ? 0x0000_8000_0000_0000L + random.below(4096)
                  : 0xffff_7fff_ffff_ff00L - random.below(4096)
              : CaseRecord.MIDDLE;
      default -> CaseRecord.MIDDLE + (random.below(room) & -alignment);
    };
  }
}
