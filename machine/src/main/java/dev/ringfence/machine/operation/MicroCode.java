package dev.ringfence.machine.operation;

import java.lang.reflect.Field;
import java.util.HashMap;
import java.util.Map;

/**
 * Codes of micro-operations. Notation: {@code r[x]} is a slot of the register file; {@code source}
 * is {@code r[second] + immediate} (one of the two is usually {@link
 * dev.ringfence.machine.cpu.Slot#ZERO} or 0); {@code address} is {@code r[base] + (r[index] <<
 * scale) + displacement + r[segmentBase]}; {@code merge(v)} is {@code r[destination] & keep | v},
 * with v cut to the operand width; {@code next} is the offset of the following instruction.
 *
 * <p>Arithmetic works on operands shifted left by {@code shift} (64 minus the operand width), so
 * that one code serves all widths without a case distinction and the flags of {@link
 * dev.ringfence.machine.cpu.Flags} fall out at fixed places.
 */
public final class MicroCode {
  /** r[destination] = merge(source). */
  public static final int MOVE = 0;

  /** r[destination] = source, 64 bits. */
  public static final int MOVE64 = 1;

  /** r[destination] = merge(source sign-extended from 64 - shift to 64 - targetShift bits). */
  public static final int SIGN_EXTEND = 2;

  /** r[destination] = bits 15:8 of r[second]. */
  public static final int EXTRACT_HIGH = 3;

  /** bits 15:8 of r[destination] = bits 7:0 of r[second]. */
  public static final int INSERT_HIGH = 4;

  /** r[destination] = merge(address). */
  public static final int ADDRESS = 5;

  /** r[destination] = merge(r[first] + source), flags. Likewise the following. */
  public static final int ADD = 6;

  public static final int ADD_CARRY = 7;
  public static final int SUBTRACT = 8;
  public static final int SUBTRACT_BORROW = 9;
  public static final int AND = 10;
  public static final int OR = 11;
  public static final int XOR = 12;

  /** Flags of r[first] - source. */
  public static final int COMPARE = 13;

  /** Flags of r[first] & source. */
  public static final int TEST = 14;

  /** r[destination] = merge(r[first] + 1), all flags but CF. */
  public static final int INCREMENT = 15;

  public static final int DECREMENT = 16;

  /** r[destination] = merge(-r[first]), flags. */
  public static final int NEGATE = 17;

  /** r[destination] = merge(~r[first]), no flags. */
  public static final int NOT = 18;

  /**
   * r[destination] = merge(r[first] << source), flags unless the masked count is zero. Likewise the
   * following.
   */
  public static final int SHIFT_LEFT = 19;

  public static final int SHIFT_RIGHT = 20;
  public static final int SHIFT_RIGHT_ARITHMETIC = 21;
  public static final int ROTATE_LEFT = 22;
  public static final int ROTATE_RIGHT = 23;

  /** r[destination] = merge(r[first] * source), signed; CF = OF = the product does not fit. */
  public static final int MULTIPLY = 24;

  /** r[destination] = merge(condition ? 1 : 0). */
  public static final int SET_IF = 25;

  /** r[destination] = merge(condition ? source : r[destination]). */
  public static final int MOVE_IF = 26;

  /** CF = bit source of r[first]. */
  public static final int BIT_TEST = 27;

  /** r[destination] = merge(zero-extended memory at address). */
  public static final int LOAD8 = 28;

  public static final int LOAD16 = 29;
  public static final int LOAD32 = 30;
  public static final int LOAD64 = 31;

  /** r[destination] = merge(memory at address, sign-extended to 64 - targetShift bits). */
  public static final int LOAD_SIGNED8 = 32;

  public static final int LOAD_SIGNED16 = 33;
  public static final int LOAD_SIGNED32 = 34;

  /**
   * Like LOAD of {@code 64 - shift} bits, but faults as a store would: the first half of a
   * read-modify-write.
   */
  public static final int LOAD_FOR_UPDATE = 35;

  /** Memory at address = source. */
  public static final int STORE8 = 36;

  public static final int STORE16 = 37;
  public static final int STORE32 = 38;
  public static final int STORE64 = 39;

  /**
   * r[destination], r[destination + 1] = 16 bytes of memory; #GP(0) if {@code aligned} and they are
   * not.
   */
  public static final int LOAD128 = 40;

  public static final int STORE128 = 41;

  /** 64-bit mode: memory at RSP - 8 = source; RSP = RSP - 8. */
  public static final int PUSH64 = 42;

  /** 64-bit mode: r[destination] = memory at RSP; RSP = RSP + 8 unless the destination is RSP. */
  public static final int POP64 = 43;

  /** Calls the state helper. */
  public static final int STATE_HELPER = 44;

  /** RIP = next; calls the processor helper. */
  public static final int PROCESSOR_HELPER = 45;

  /** RIP = next; calls the processor helper, which may change RIP; the block ends. */
  public static final int PROCESSOR_HELPER_END = 46;

  /**
   * RIP = r[BLOCK_START] + immediate, cut to the operand width; the block ends. Likewise the
   * following.
   */
  public static final int JUMP = 47;

  /** RIP = source, 64-bit mode; #GP(0) if it is not canonical. */
  public static final int JUMP_INDIRECT64 = 48;

  /** 64-bit mode: pushes r[BLOCK_START] + displacement, then RIP = r[BLOCK_START] + immediate. */
  public static final int CALL64 = 49;

  /** 64-bit mode: pushes r[BLOCK_START] + displacement, then RIP = r[second]. */
  public static final int CALL_INDIRECT64 = 50;

  /** 64-bit mode: RIP = memory at RSP; RSP = RSP + 8 + immediate. */
  public static final int RETURN64 = 51;

  /**
   * First of sixteen codes, one for each condition: RIP = r[BLOCK_START] + (condition ? immediate
   * cut to the operand width : displacement). Sixteen codes rather than one with a condition field:
   * the executor's dispatch is then the only indirect jump.
   */
  public static final int JUMP_IF = 52;

  public static final int COUNT = 68;

  private static final Map<Integer, String> NAMES = names();

  private MicroCode() {}

  /** Name of a code, for listings. */
  public static String name(int code) {
    return code >= JUMP_IF && code < JUMP_IF + 16 ? "JUMP_IF_" + (code - JUMP_IF) : NAMES.get(code);
  }

  private static Map<Integer, String> names() {
    Map<Integer, String> names = new HashMap<>();
    for (Field field : MicroCode.class.getFields()) {
      try {
        names.put(field.getInt(null), field.getName());
      } catch (IllegalAccessException e) {
        throw new AssertionError(e);
      }
    }
    return names;
  }
}
