package dev.ringfence.machine.translate;

/** Local variables of a translated method. */
final class Locals {
  static final int ENTRY = 1;
  static final int BASE = 2;
  static final int REMAINING = 4;

  /** Low bits of the tags of the fast tables that match now. */
  static final int CONTEXT = 5;

  /** The two words of the status flags; see {@link dev.ringfence.machine.cpu.Flags}. */
  static final int RESULT = 7;

  static final int AUXILIARY = 9;

  /** Linear address of the access under way. */
  static final int LINEAR = 11;

  /** Its index in the fast table. */
  static final int INDEX = 13;

  /** A value on its way. */
  static final int VALUE = 14;

  /** Operands of an arithmetic operation, shifted to the top of the word. */
  static final int FIRST = 16;

  static final int SECOND = 18;

  /** Operands of the last comparison, for the condition that follows. */
  static final int COMPARED = 20;

  static final int COMPARED_WITH = 22;

  /** Where execution goes on after the region. */
  static final int TARGET = 24;

  private static final int SLOTS = 26;

  private Locals() {}

  static int ofSlot(int slot) {
    return SLOTS + 2 * slot;
  }
}
