package dev.ringfence.oracle;

import dev.ringfence.machine.decode.InstructionDefinition;
import dev.ringfence.machine.decode.OperandDefinition;
import dev.ringfence.machine.decode.OperandDefinition.Method;
import java.util.stream.Collectors;

/**
 * A way to write an instruction: a row of the table, the mode, prefixes, and the kind of its ModRM
 * operand. Registers, immediates and the shape of addresses vary within a form.
 *
 * @param row the row of the instruction table
 * @param codeWidth 64, or 32 for compatibility mode
 * @param operandSizePrefix whether 66 is among the prefixes (mandatory or not)
 * @param repeatPrefix F2 or F3, or 0
 * @param lock whether there is a LOCK prefix
 * @param rex kind of REX prefix
 * @param place where ModRM.rm points
 */
record Form(
    InstructionDefinition row,
    int codeWidth,
    boolean operandSizePrefix,
    int repeatPrefix,
    boolean lock,
    Rex rex,
    Place place) {

  /** Kinds of REX prefix. */
  enum Rex {
    NONE,
    /** REX.W set. */
    WIDE,
    /** REX.W clear; the other bits vary, all clear included. */
    NARROW
  }

  /** Where ModRM.rm points. */
  enum Place {
    /** There is no ModRM byte. */
    NONE,
    REGISTER,
    /** Base, index, displacement, in many shapes. */
    MEMORY,
    /** The same with an address-size prefix. */
    ADDRESS_SIZE,
    /** The same with an FS override. */
    FS,
    GS,
    /** Displacement only: an absolute address. */
    ABSOLUTE,
    RIP_RELATIVE;

    boolean isMemory() {
      return this != NONE && this != REGISTER;
    }
  }

  /** A name that is unique, short and free of blanks. */
  String name() {
    StringBuilder name = new StringBuilder(row.mnemonic());
    if (!row.operands().isEmpty()) {
      name.append('_')
          .append(
              row.operands().stream()
                  .map(OperandDefinition::text)
                  .collect(Collectors.joining("_")));
    }
    name.append('/').append(opcodeText()).append('/').append(codeWidth);
    if (operandSizePrefix) {
      name.append("-66");
    }
    if (repeatPrefix != 0) {
      name.append(repeatPrefix == 0xf2 ? "-f2" : "-f3");
    }
    if (lock) {
      name.append("-lock");
    }
    switch (rex) {
      case WIDE -> name.append("-rexw");
      case NARROW -> name.append("-rex");
      case NONE -> {}
    }
    switch (place) {
      case NONE -> {}
      case REGISTER -> name.append("-reg");
      case MEMORY -> name.append("-mem");
      case ADDRESS_SIZE -> name.append("-mem67");
      case FS -> name.append("-memfs");
      case GS -> name.append("-memgs");
      case ABSOLUTE -> name.append("-memabs");
      case RIP_RELATIVE -> name.append("-memrip");
    }
    return name.toString();
  }

  private String opcodeText() {
    String map =
        switch (row.map()) {
          case 1 -> "0f";
          case 2 -> "0f38";
          case 3 -> "0f3a";
          default -> "";
        };
    return map
        + "%02x".formatted(row.opcode())
        + (row.extension() >= 0 ? "." + row.extension() : "")
        + (row.rm() >= 0 ? "." + row.rm() : "");
  }

  /** Whether the prefixes make the instruction invalid. */
  boolean isRefused() {
    return row.mandatoryPrefix() == 0 && (operandSizePrefix || repeatPrefix != 0)
        || lock && !(row.has("lock") && place.isMemory());
  }

  /** Effective operand width, as the SDM's table 3-4 of volume 1 has it. */
  int operandWidth() {
    boolean prefix = operandSizePrefix && row.mandatoryPrefix() != 0x66;
    if (codeWidth == 64) {
      if (rex == Rex.WIDE || row.has("f64")) {
        return 64;
      }
      return prefix ? 16 : row.has("d64") ? 64 : 32;
    }
    return prefix ? 16 : 32;
  }

  int addressWidth() {
    return codeWidth == 64 && place != Place.ADDRESS_SIZE ? 64 : 32;
  }

  boolean has(Method method) {
    return row.operands().stream().anyMatch(operand -> operand.method() == method);
  }

  /** Size in bytes of the ModRM memory operand; 0 for an address alone. */
  int memoryBytes() {
    for (OperandDefinition operand : row.operands()) {
      if (operand.mayBeMemory()) {
        return Semantics.memoryBytes(row, operand, operandWidth());
      }
    }
    return 0;
  }

  @Override
  public String toString() {
    return name();
  }
}
