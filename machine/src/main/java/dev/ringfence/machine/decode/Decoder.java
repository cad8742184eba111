package dev.ringfence.machine.decode;

import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;

/**
 * Decodes the bytes of one instruction (SDM volume 2, chapter 2).
 *
 * <p>The result depends on the bytes and the width of the code segment only, so decoded code can be
 * kept by physical address. Conditions that depend on more (CPL, CR0, CPUID features) are checked
 * when the instruction executes.
 */
public final class Decoder {
  /** Longest instruction in bytes; a longer one raises #GP(0). */
  public static final int MAXIMUM_LENGTH = 15;

  /** What decoding can end with, besides an instruction. */
  public enum Failure {
    /** No such instruction: #UD. */
    INVALID,
    /** More than 15 bytes: #GP(0). */
    TOO_LONG,
    /** The bytes given end inside the instruction. */
    TRUNCATED
  }

  /** Thrown where no instruction can be decoded. */
  public static final class DecodeException extends Exception {
    private static final long serialVersionUID = 1L;
    private final Failure failure;

    DecodeException(Failure failure) {
      super(failure.name(), null, false, false);
      this.failure = failure;
    }

    public Failure failure() {
      return failure;
    }
  }

  private final InstructionTable table;
  private byte[] bytes;
  private int position;
  private int end;
  private boolean cutShort;

  public Decoder(InstructionTable table) {
    this.table = table;
  }

  /**
   * Decodes the instruction at {@code offset}.
   *
   * @param code bytes, of which those before {@code limit} may be read
   * @param codeWidth 16, 32 or 64
   */
  public Instruction decode(byte[] code, int offset, int limit, int codeWidth)
      throws DecodeException {
    int available = Math.min(limit - offset, MAXIMUM_LENGTH);
    bytes = new byte[available];
    System.arraycopy(code, offset, bytes, 0, available);
    position = 0;
    end = available;
    cutShort = limit - offset < MAXIMUM_LENGTH;
    Instruction i = new Instruction(bytes);
    i.codeWidth = codeWidth;
    boolean addressSizePrefix = false;
    int opcode;
    int rex = -1;
    prefixes:
    while (true) {
      opcode = next();
      switch (opcode) {
        case 0x26 -> i.segmentOverride = segmentPrefix(i, SegmentRegister.ES);
        case 0x2e -> i.segmentOverride = segmentPrefix(i, SegmentRegister.CS);
        case 0x36 -> i.segmentOverride = segmentPrefix(i, SegmentRegister.SS);
        case 0x3e -> i.segmentOverride = segmentPrefix(i, SegmentRegister.DS);
        case 0x64 -> i.segmentOverride = SegmentRegister.FS;
        case 0x65 -> i.segmentOverride = SegmentRegister.GS;
        case 0x66 -> i.operandSizePrefix = true;
        case 0x67 -> addressSizePrefix = true;
        case 0xf0 -> i.lock = true;
        case 0xf2, 0xf3 -> i.repeatPrefix = opcode;
        default -> {
          if (codeWidth == 64 && (opcode & 0xf0) == 0x40) {
            rex = opcode;
            continue prefixes;
          }
          break prefixes;
        }
      }
      rex = -1; // REX counts only immediately before the opcode
    }
    i.rex = rex;
    int map = 0;
    if (opcode == 0x0f) {
      map = 1;
      opcode = next();
      if (opcode == 0x38) {
        map = 2;
        opcode = next();
      } else if (opcode == 0x3a) {
        map = 3;
        opcode = next();
      }
    }
    i.opcode = opcode;
    i.addressWidth =
        switch (codeWidth) {
          case 64 -> addressSizePrefix ? 32 : 64;
          case 32 -> addressSizePrefix ? 16 : 32;
          default -> addressSizePrefix ? 32 : 16;
        };
    InstructionDefinition definition = select(i, map, opcode);
    i.definition = definition;
    i.operandWidth = operandWidth(i, definition);
    if (definition.usesModRm()) {
      modRm(i, definition);
    }
    for (OperandDefinition operand : definition.operands()) {
      immediates(i, operand);
    }
    if (i.lock && !(definition.has("lock") && i.isMemory())) {
      throw new DecodeException(Failure.INVALID);
    }
    i.length = position;
    return i;
  }

  private static int segmentPrefix(Instruction i, int segment) {
    // In 64-bit mode these prefixes are ignored and leave an FS or GS override in force.
    return i.codeWidth == 64 ? i.segmentOverride : segment;
  }

  private InstructionDefinition select(Instruction i, int map, int opcode) throws DecodeException {
    int modRm = -1;
    for (InstructionDefinition row : table.candidates(map, opcode)) {
      if (!prefixMatches(i, row)
          || row.rexW() >= 0 && row.rexW() != (i.rexW() ? 1 : 0)
          || row.rexBClear() && i.rex >= 0 && (i.rex & 1) != 0
          || row.has("i64") && i.codeWidth == 64
          || row.has("o64") && i.codeWidth != 64) {
        continue;
      }
      if (row.extension() >= 0 || row.memory() >= 0 || row.rm() >= 0) {
        if (modRm < 0) {
          modRm = peek();
        }
        if (row.extension() >= 0 && row.extension() != (modRm >> 3 & 7)
            || row.memory() >= 0 && row.memory() == (modRm >= 0xc0 ? 1 : 0)
            || row.rm() >= 0 && row.rm() != (modRm & 7)) {
          continue;
        }
      }
      return row;
    }
    throw new DecodeException(Failure.INVALID);
  }

  private static boolean prefixMatches(Instruction i, InstructionDefinition row) {
    return switch (row.mandatoryPrefix()) {
      case -1 -> true;
      // F2 and F3 take precedence over 66.
      case 0x66 -> i.operandSizePrefix && i.repeatPrefix == 0;
      case 0 -> !i.operandSizePrefix && i.repeatPrefix == 0;
      default -> i.repeatPrefix == row.mandatoryPrefix();
    };
  }

  private static int operandWidth(Instruction i, InstructionDefinition definition) {
    boolean prefix = i.operandSizePrefix && definition.mandatoryPrefix() != 0x66;
    if (i.codeWidth == 64) {
      if (i.rexW() || definition.has("f64")) {
        return 64;
      }
      if (definition.has("d64")) {
        return prefix ? 16 : 64;
      }
      return prefix ? 16 : 32;
    }
    return i.codeWidth == 32 ^ prefix ? 32 : 16;
  }

  private void modRm(Instruction i, InstructionDefinition definition) throws DecodeException {
    int modRm = next();
    int rex = Math.max(i.rex, 0);
    i.mod = modRm >> 6;
    i.reg = modRm >> 3 & 7 | (rex & 4) << 1;
    i.rm = modRm & 7 | (rex & 1) << 3;
    if (definition.operands().stream().anyMatch(Decoder::ignoresMod)) {
      i.mod = 3;
    }
    if (i.mod == 3) {
      return;
    }
    if (i.addressWidth == 16) {
      address16(i, modRm);
    } else {
      address(i, modRm, rex);
    }
  }

  /**
   * MOV to and from control and debug registers treats ModRM.mod as 3 whatever it is (SDM volume 2,
   * MOV CRn).
   */
  private static boolean ignoresMod(OperandDefinition operand) {
    return operand.method() == OperandDefinition.Method.CONTROL_REGISTER
        || operand.method() == OperandDefinition.Method.DEBUG_REGISTER;
  }

  private void address(Instruction i, int modRm, int rex) throws DecodeException {
    int low = modRm & 7;
    int base = i.rm;
    if (low == 4) {
      int sib = next();
      i.scale = sib >> 6;
      int index = sib >> 3 & 7 | (rex & 2) << 2;
      if (index != 4) {
        i.index = index;
      }
      low = sib & 7;
      base = low | (rex & 1) << 3;
    } else if (low == 5 && i.mod == 0 && i.codeWidth == 64) {
      i.ripRelative = true;
      i.base = Slot.BLOCK_START;
      i.displacement = immediate(32);
      return;
    }
    if (low == 5 && i.mod == 0) {
      i.displacement = immediate(32);
      return;
    }
    i.base = base;
    i.baseIsStack = base == Slot.RSP || base == Slot.RBP;
    if (i.mod == 1) {
      i.displacement = immediate(8);
    } else if (i.mod == 2) {
      i.displacement = immediate(32);
    }
  }

  private void address16(Instruction i, int modRm) throws DecodeException {
    int low = modRm & 7;
    if (low == 6 && i.mod == 0) {
      i.displacement = immediate(16);
      return;
    }
    switch (low) {
      case 0 -> pair(i, Slot.RBX, Slot.RSI);
      case 1 -> pair(i, Slot.RBX, Slot.RDI);
      case 2 -> pair(i, Slot.RBP, Slot.RSI);
      case 3 -> pair(i, Slot.RBP, Slot.RDI);
      case 4 -> i.base = Slot.RSI;
      case 5 -> i.base = Slot.RDI;
      case 6 -> i.base = Slot.RBP;
      default -> i.base = Slot.RBX;
    }
    i.baseIsStack = i.base == Slot.RBP;
    if (i.mod == 1) {
      i.displacement = immediate(8);
    } else if (i.mod == 2) {
      i.displacement = immediate(16);
    }
  }

  private static void pair(Instruction i, int base, int index) {
    i.base = base;
    i.index = index;
  }

  private void immediates(Instruction i, OperandDefinition operand) throws DecodeException {
    switch (operand.method()) {
      case IMMEDIATE -> {
        long value = immediate(immediateWidth(i, operand));
        if (operand.text().equals("Ib2")) {
          i.secondImmediate = value;
        } else {
          i.immediate = value;
        }
      }
      case RELATIVE -> {
        // Near branches in 64-bit mode have 64-bit operands and at most 32-bit displacements.
        i.immediate = immediate(operand.type().equals("b") ? 8 : Math.min(i.operandWidth, 32));
      }
      case OFFSET -> i.displacement = immediate(i.addressWidth);
      case FAR_POINTER -> {
        i.immediate = immediate(i.operandWidth) & (i.operandWidth == 16 ? 0xffffL : 0xffffffffL);
        i.secondImmediate = immediate(16) & 0xffff;
      }
      default -> {}
    }
  }

  private static int immediateWidth(Instruction i, OperandDefinition operand) {
    return switch (operand.type()) {
      case "b", "b2" -> 8;
      case "w" -> 16;
      case "z" -> Math.min(i.operandWidth, 32);
      case "v" -> i.operandWidth;
      default -> throw new IllegalStateException("immediate of type " + operand.text());
    };
  }

  private long immediate(int width) throws DecodeException {
    long value = 0;
    for (int shift = 0; shift < width; shift += 8) {
      value |= (long) next() << shift;
    }
    return value << 64 - width >> 64 - width;
  }

  private int next() throws DecodeException {
    int value = peek();
    position++;
    return value;
  }

  private int peek() throws DecodeException {
    if (position >= end) {
      throw new DecodeException(cutShort ? Failure.TRUNCATED : Failure.TOO_LONG);
    }
    return bytes[position] & 0xff;
  }
}
