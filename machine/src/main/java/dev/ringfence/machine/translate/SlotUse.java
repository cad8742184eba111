package dev.ringfence.machine.translate;

import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.operation.MicroCode;
import dev.ringfence.machine.operation.MicroOperation;

/**
 * Which slots and flags micro-operations read and write. Sets of slots are bit masks of those that
 * translated code keeps in locals: general registers, temporaries and segment bases, which all have
 * numbers below 32.
 */
final class SlotUse {
  private static final int LOCALS = 32;
  private static final long KEPT =
      (1L << LOCALS) - 1 & ~(1L << Slot.ZERO) & ~(1L << Slot.BLOCK_START);

  private static final long STACK_POINTER = 1L << Slot.RSP;

  private SlotUse() {}

  /** Whether a slot is kept in a local. */
  static boolean keeps(int slot) {
    return slot < LOCALS && (KEPT >>> slot & 1) != 0;
  }

  static boolean isTemporary(int slot) {
    return slot >= Slot.TEMPORARY && slot < Slot.TEMPORARY + Slot.TEMPORARIES;
  }

  private static long bit(int slot) {
    return keeps(slot) ? 1L << slot : 0;
  }

  private static long address(MicroOperation o) {
    return bit(o.base) | bit(o.index) | bit(o.segmentBase);
  }

  private static long merged(MicroOperation o) {
    return o.keep == 0 ? 0 : bit(o.destination);
  }

  /** Slots that an operation reads. Helpers read the register file, so none of theirs count. */
  static long reads(MicroOperation o) {
    return switch (o.code) {
      case MicroCode.MOVE, MicroCode.MOVE64, MicroCode.SIGN_EXTEND, MicroCode.EXTRACT_HIGH ->
          bit(o.second) | merged(o);
      case MicroCode.INSERT_HIGH, MicroCode.MOVE_IF -> bit(o.second) | bit(o.destination);
      case MicroCode.ADDRESS,
          MicroCode.LOAD8,
          MicroCode.LOAD16,
          MicroCode.LOAD32,
          MicroCode.LOAD64,
          MicroCode.LOAD_SIGNED8,
          MicroCode.LOAD_SIGNED16,
          MicroCode.LOAD_SIGNED32,
          MicroCode.LOAD_FOR_UPDATE ->
          address(o) | merged(o);
      case MicroCode.LOAD128 -> address(o);
      case MicroCode.STORE8,
          MicroCode.STORE16,
          MicroCode.STORE32,
          MicroCode.STORE64,
          MicroCode.STORE128 ->
          address(o) | bit(o.second);
      case MicroCode.PUSH64, MicroCode.CALL_INDIRECT64 -> STACK_POINTER | bit(o.second);
      case MicroCode.POP64, MicroCode.CALL64, MicroCode.RETURN64 -> STACK_POINTER;
      case MicroCode.JUMP_INDIRECT64 -> bit(o.second);
      case MicroCode.SET_IF -> merged(o);
      case MicroCode.COMPARE, MicroCode.TEST, MicroCode.BIT_TEST -> bit(o.first) | bit(o.second);
      case MicroCode.STATE_HELPER,
          MicroCode.PROCESSOR_HELPER,
          MicroCode.PROCESSOR_HELPER_END,
          MicroCode.JUMP ->
          0;
      default -> o.code >= MicroCode.JUMP_IF ? 0 : bit(o.first) | bit(o.second) | merged(o);
    };
  }

  /** Slots whose locals an operation sets, or makes void because it is a helper. */
  static long writes(MicroOperation o) {
    return switch (o.code) {
      case MicroCode.STATE_HELPER, MicroCode.PROCESSOR_HELPER, MicroCode.PROCESSOR_HELPER_END ->
          KEPT;
      case MicroCode.PUSH64, MicroCode.CALL64, MicroCode.CALL_INDIRECT64, MicroCode.RETURN64 ->
          STACK_POINTER;
      case MicroCode.POP64 -> STACK_POINTER | bit(o.destination);
      default -> bit(o.destination);
    };
  }

  /** Whether an operation may go where flags must be exact: memory, helpers, other code. */
  static boolean exposesFlags(MicroOperation o) {
    return o.code >= MicroCode.LOAD8;
  }

  /** Whether an operation reads status flags, or leaves some of them as they are. */
  static boolean readsFlags(MicroOperation o) {
    return switch (o.code) {
      case MicroCode.ADD_CARRY,
          MicroCode.SUBTRACT_BORROW,
          MicroCode.INCREMENT,
          MicroCode.DECREMENT,
          MicroCode.SET_IF,
          MicroCode.MOVE_IF,
          MicroCode.BIT_TEST,
          MicroCode.ROTATE_LEFT,
          MicroCode.ROTATE_RIGHT ->
          true;
      case MicroCode.SHIFT_LEFT, MicroCode.SHIFT_RIGHT, MicroCode.SHIFT_RIGHT_ARITHMETIC ->
          o.second != Slot.ZERO;
      default -> false;
    };
  }

  /** Whether an operation writes all status flags. */
  static boolean writesFlags(MicroOperation o) {
    return switch (o.code) {
      case MicroCode.ADD,
          MicroCode.SUBTRACT,
          MicroCode.AND,
          MicroCode.OR,
          MicroCode.XOR,
          MicroCode.COMPARE,
          MicroCode.TEST,
          MicroCode.NEGATE,
          MicroCode.MULTIPLY ->
          true;
      default -> false;
    };
  }
}
