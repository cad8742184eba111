package dev.ringfence.machine.decode;

/**
 * One operand of an instruction form, in the notation of SDM volume 2, appendix A.2: an addressing
 * method (a capital letter) and an operand type, such as {@code Ev} or {@code Wps}; or a fixed
 * register or constant.
 */
public record OperandDefinition(String text, Method method, String type, int fixedRegister) {
  /** Addressing methods. */
  public enum Method {
    /** A: far pointer in the instruction. */
    FAR_POINTER,
    /** C: control register by ModRM.reg. */
    CONTROL_REGISTER,
    /** D: debug register by ModRM.reg. */
    DEBUG_REGISTER,
    /** E: general register or memory by ModRM.rm. */
    GENERAL_OR_MEMORY,
    /** G: general register by ModRM.reg. */
    GENERAL,
    /** I: immediate. */
    IMMEDIATE,
    /** J: branch displacement. */
    RELATIVE,
    /** M: memory by ModRM.rm. */
    MEMORY,
    /** N: MMX register by ModRM.rm. */
    MMX_BY_RM,
    /** O: memory at an offset in the instruction. */
    OFFSET,
    /** P: MMX register by ModRM.reg. */
    MMX,
    /** Q: MMX register or memory by ModRM.rm. */
    MMX_OR_MEMORY,
    /** R: general register by ModRM.rm. */
    GENERAL_BY_RM,
    /** S: segment register by ModRM.reg. */
    SEGMENT,
    /** U: XMM register by ModRM.rm. */
    VECTOR_BY_RM,
    /** V: XMM register by ModRM.reg. */
    VECTOR,
    /** W: XMM register or memory by ModRM.rm. */
    VECTOR_OR_MEMORY,
    /** X: memory at DS:rSI. */
    SOURCE_STRING,
    /** Y: memory at ES:rDI. */
    DESTINATION_STRING,
    /** Z: general register by the low three bits of the opcode. */
    GENERAL_BY_OPCODE,
    /** A general register that the opcode implies: AL, CL, DX, rAX. */
    FIXED_GENERAL,
    /** A segment register that the opcode implies. */
    FIXED_SEGMENT,
    /** ST(0). */
    STACK_TOP,
    /** ST(i), i from ModRM.rm. */
    STACK_BY_RM,
    /** The constant in {@link #fixedRegister}. */
    CONSTANT
  }

  /** Parses an operand of a table row. */
  static OperandDefinition parse(String text) {
    switch (text) {
      case "AL":
        return new OperandDefinition(text, Method.FIXED_GENERAL, "b", 0);
      case "CL":
        return new OperandDefinition(text, Method.FIXED_GENERAL, "b", 1);
      case "AX":
        return new OperandDefinition(text, Method.FIXED_GENERAL, "w", 0);
      case "DX":
        return new OperandDefinition(text, Method.FIXED_GENERAL, "w", 2);
      case "eAX":
        return new OperandDefinition(text, Method.FIXED_GENERAL, "z", 0);
      case "rAX":
        return new OperandDefinition(text, Method.FIXED_GENERAL, "v", 0);
      case "ES":
        return new OperandDefinition(text, Method.FIXED_SEGMENT, "w", 0);
      case "CS":
        return new OperandDefinition(text, Method.FIXED_SEGMENT, "w", 1);
      case "SS":
        return new OperandDefinition(text, Method.FIXED_SEGMENT, "w", 2);
      case "DS":
        return new OperandDefinition(text, Method.FIXED_SEGMENT, "w", 3);
      case "FS":
        return new OperandDefinition(text, Method.FIXED_SEGMENT, "w", 4);
      case "GS":
        return new OperandDefinition(text, Method.FIXED_SEGMENT, "w", 5);
      case "ST0":
        return new OperandDefinition(text, Method.STACK_TOP, "t", 0);
      case "STi":
        return new OperandDefinition(text, Method.STACK_BY_RM, "t", 0);
      case "1":
      case "3":
        return new OperandDefinition(text, Method.CONSTANT, "b", Integer.parseInt(text));
      default:
        return new OperandDefinition(text, methodOf(text), text.substring(1), 0);
    }
  }

  private static Method methodOf(String text) {
    return switch (text.charAt(0)) {
      case 'A' -> Method.FAR_POINTER;
      case 'C' -> Method.CONTROL_REGISTER;
      case 'D' -> Method.DEBUG_REGISTER;
      case 'E' -> Method.GENERAL_OR_MEMORY;
      case 'G' -> Method.GENERAL;
      case 'I' -> Method.IMMEDIATE;
      case 'J' -> Method.RELATIVE;
      case 'M' -> Method.MEMORY;
      case 'N' -> Method.MMX_BY_RM;
      case 'O' -> Method.OFFSET;
      case 'P' -> Method.MMX;
      case 'Q' -> Method.MMX_OR_MEMORY;
      case 'R' -> Method.GENERAL_BY_RM;
      case 'S' -> Method.SEGMENT;
      case 'U' -> Method.VECTOR_BY_RM;
      case 'V' -> Method.VECTOR;
      case 'W' -> Method.VECTOR_OR_MEMORY;
      case 'X' -> Method.SOURCE_STRING;
      case 'Y' -> Method.DESTINATION_STRING;
      case 'Z' -> Method.GENERAL_BY_OPCODE;
      default -> throw new IllegalArgumentException("unknown operand " + text);
    };
  }

  /** Whether the operand needs a ModRM byte. */
  boolean usesModRm() {
    return switch (method) {
      case CONTROL_REGISTER,
          DEBUG_REGISTER,
          GENERAL_OR_MEMORY,
          GENERAL,
          MEMORY,
          MMX_BY_RM,
          MMX,
          MMX_OR_MEMORY,
          GENERAL_BY_RM,
          SEGMENT,
          VECTOR_BY_RM,
          VECTOR,
          VECTOR_OR_MEMORY,
          STACK_BY_RM ->
          true;
      default -> false;
    };
  }

  /** Whether the operand is in memory whenever ModRM says so. */
  public boolean mayBeMemory() {
    return switch (method) {
      case GENERAL_OR_MEMORY, MEMORY, MMX_OR_MEMORY, VECTOR_OR_MEMORY -> true;
      default -> false;
    };
  }

  /**
   * Width of the operand in bits, given the effective operand width of the instruction. Types (SDM
   * volume 2, appendix A.2.2): b byte; w word; d doubleword; q quadword; v word, doubleword or
   * quadword; z word or doubleword; y doubleword or quadword; x, dq, ps, pd 128 bits; ss, sd
   * scalars; pi a quadword in an MMX register; t ten bytes; p far pointer; {@code nbyte} that many
   * bytes, {@code m/nbyte} m bytes with 16-bit operands and n with others; none: 0 (address only).
   */
  public int width(int operandWidth) {
    return switch (type) {
      case "" -> 0;
      case "b" -> 8;
      case "w" -> 16;
      case "d", "ss" -> 32;
      case "q", "sd", "pi" -> 64;
      case "v" -> operandWidth;
      case "z" -> Math.min(operandWidth, 32);
      case "y" -> Math.max(operandWidth, 32);
      case "x", "dq", "ps", "pd" -> 128;
      case "t" -> 80;
      case "p" -> operandWidth + 16;
      case "512byte" -> 512 * 8;
      case "576byte" -> 576 * 8;
      case "14/28byte" -> operandWidth == 16 ? 14 * 8 : 28 * 8;
      case "94/108byte" -> operandWidth == 16 ? 94 * 8 : 108 * 8;
      default -> throw new IllegalArgumentException("unknown operand type " + text);
    };
  }
}
