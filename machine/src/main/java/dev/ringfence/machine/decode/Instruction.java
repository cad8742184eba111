package dev.ringfence.machine.decode;

import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import java.util.HexFormat;

/** A decoded instruction: its row of the table and what its bytes say. Immutable once decoded. */
public final class Instruction {
  /** No segment override prefix. */
  public static final int NO_SEGMENT = -1;

  final byte[] bytes;
  InstructionDefinition definition;
  int length;
  int codeWidth;
  int operandWidth;
  int addressWidth;
  int rex = -1;
  int segmentOverride = NO_SEGMENT;
  int repeatPrefix;
  boolean operandSizePrefix;
  boolean lock;
  int opcode;
  int mod = -1;
  int reg;
  int rm;
  int base = Slot.ZERO;
  int index = Slot.ZERO;
  int scale;
  long displacement;
  boolean ripRelative;
  boolean baseIsStack;
  long immediate;
  long secondImmediate;

  Instruction(byte[] bytes) {
    this.bytes = bytes;
  }

  /** A one-byte stand-in for bytes that are no instruction, which raises when it executes. */
  public static Instruction invalid(byte[] bytes, int codeWidth) {
    Instruction instruction = new Instruction(bytes);
    instruction.definition = InstructionDefinition.INVALID;
    instruction.codeWidth = codeWidth;
    instruction.length = 1;
    return instruction;
  }

  public InstructionDefinition definition() {
    return definition;
  }

  public String mnemonic() {
    return definition.mnemonic();
  }

  /** Length in bytes, 1 to 15. */
  public int length() {
    return length;
  }

  /** Width of the code segment in bits: 16, 32 or 64. */
  public int codeWidth() {
    return codeWidth;
  }

  /** Effective operand width in bits: 16, 32 or 64. */
  public int operandWidth() {
    return operandWidth;
  }

  /** Effective address width in bits: 16, 32 or 64. */
  public int addressWidth() {
    return addressWidth;
  }

  /** Last opcode byte. */
  public int opcode() {
    return opcode;
  }

  public boolean hasRex() {
    return rex >= 0;
  }

  public boolean rexW() {
    return rex >= 0 && (rex & 8) != 0;
  }

  /** The last of the prefixes F2 and F3, or 0. */
  public int repeatPrefix() {
    return repeatPrefix;
  }

  public boolean operandSizePrefix() {
    return operandSizePrefix;
  }

  public boolean lock() {
    return lock;
  }

  /** Whether ModRM.rm names memory. */
  public boolean isMemory() {
    return mod >= 0 && mod != 3;
  }

  /** The ModRM byte, where the instruction has one. */
  public int modRm() {
    return mod << 6 | (reg & 7) << 3 | rm & 7;
  }

  /** ModRM.reg with REX.R. */
  public int reg() {
    return reg;
  }

  /** ModRM.rm with REX.B, where it names a register. */
  public int rm() {
    return rm;
  }

  /** Register in the low three bits of the opcode, with REX.B. */
  public int opcodeRegister() {
    return opcode & 7 | (rex >= 0 ? (rex & 1) << 3 : 0);
  }

  /** Slot of the base register of the memory operand, or {@link Slot#ZERO}. */
  public int base() {
    return base;
  }

  /** Slot of the index register of the memory operand, or {@link Slot#ZERO}. */
  public int index() {
    return index;
  }

  /** Shift of the index, 0 to 3. */
  public int scale() {
    return scale;
  }

  /**
   * Displacement, sign-extended; relative to the end of the instruction when {@link #ripRelative}.
   */
  public long displacement() {
    return displacement;
  }

  public boolean ripRelative() {
    return ripRelative;
  }

  /** Immediate or branch displacement, sign-extended; for far pointers the offset. */
  public long immediate() {
    return immediate;
  }

  /** Second immediate (ENTER), or the selector of a far pointer. */
  public long secondImmediate() {
    return secondImmediate;
  }

  /** Segment override prefix, or {@link #NO_SEGMENT}. */
  public int segmentOverride() {
    return segmentOverride;
  }

  /** Segment register of the memory operand, overrides and defaults applied. */
  public int segment() {
    if (segmentOverride != NO_SEGMENT) {
      return segmentOverride;
    }
    return baseIsStack ? SegmentRegister.SS : SegmentRegister.DS;
  }

  /** The bytes of the instruction. */
  public byte[] bytes() {
    return java.util.Arrays.copyOf(bytes, length);
  }

  @Override
  public String toString() {
    return mnemonic() + " [" + HexFormat.ofDelimiter(" ").formatHex(bytes, 0, length) + "]";
  }
}
