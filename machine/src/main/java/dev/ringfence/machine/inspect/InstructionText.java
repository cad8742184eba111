package dev.ringfence.machine.inspect;

import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.OperandDefinition;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** Instructions as assembly text, in Intel's order of operands. */
public final class InstructionText {
  private static final List<String> REPEATS = List.of("repne ", "rep ");

  private InstructionText() {}

  /**
   * The text of an instruction.
   *
   * @param address at which it is, for the targets of branches and RIP-relative operands
   */
  public static String of(Instruction i, long address) {
    String prefix = i.lock() ? "lock " : "";
    if (i.definition().has("rep") && i.repeatPrefix() != 0) {
      prefix += REPEATS.get(i.repeatPrefix() - 0xf2);
    }
    return (prefix
            + i.mnemonic().toLowerCase(Locale.ROOT)
            + " "
            + i.definition().operands().stream()
                .map(operand -> operand(i, operand, address))
                .collect(Collectors.joining(", ")))
        .strip();
  }

  private static String operand(Instruction i, OperandDefinition operand, long address) {
    return switch (operand.method()) {
      case GENERAL -> register(i, operand, i.reg());
      case GENERAL_BY_RM -> register(i, operand, i.rm());
      case GENERAL_BY_OPCODE -> register(i, operand, i.opcodeRegister());
      case FIXED_GENERAL -> register(i, operand, operand.fixedRegister());
      case GENERAL_OR_MEMORY -> i.isMemory() ? memory(i, address) : register(i, operand, i.rm());
      case MEMORY -> memory(i, address);
      case OFFSET -> "[" + hexadecimal(i.displacement()) + "]";
      case IMMEDIATE ->
          hexadecimal(operand.type().equals("b2") ? i.secondImmediate() : i.immediate());
      case RELATIVE -> hexadecimal(cut(address + i.length() + i.immediate(), i.codeWidth()));
      case CONSTANT -> Integer.toString(operand.fixedRegister());
      case CONTROL_REGISTER -> "cr" + i.reg();
      case DEBUG_REGISTER -> "dr" + i.reg();
      case SEGMENT -> SlotNames.SEGMENTS.get(i.reg() & 7);
      case FIXED_SEGMENT -> SlotNames.SEGMENTS.get(operand.fixedRegister());
      case VECTOR -> "xmm" + i.reg();
      case VECTOR_BY_RM -> "xmm" + i.rm();
      case VECTOR_OR_MEMORY -> i.isMemory() ? memory(i, address) : "xmm" + i.rm();
      case MMX -> "mm" + (i.reg() & 7);
      case MMX_BY_RM -> "mm" + (i.rm() & 7);
      case MMX_OR_MEMORY -> i.isMemory() ? memory(i, address) : "mm" + (i.rm() & 7);
      case STACK_TOP -> "st(0)";
      case STACK_BY_RM -> "st(" + (i.rm() & 7) + ")";
      case SOURCE_STRING -> "[rsi]";
      case DESTINATION_STRING -> "[rdi]";
      case FAR_POINTER -> "%x:%x".formatted(i.secondImmediate(), i.immediate());
    };
  }

  private static String register(Instruction i, OperandDefinition operand, int number) {
    return SlotNames.register(number, operand.width(i.operandWidth()), i.hasRex());
  }

  private static String memory(Instruction i, long address) {
    String segment =
        i.segmentOverride() == Instruction.NO_SEGMENT
            ? ""
            : SlotNames.SEGMENTS.get(i.segmentOverride()) + ":";
    if (i.ripRelative()) {
      return segment + "[rip -> " + hexadecimal(address + i.length() + i.displacement()) + "]";
    }
    StringBuilder text = new StringBuilder(segment).append('[');
    String plus = "";
    if (i.base() != Slot.ZERO) {
      text.append(SlotNames.of(i.base()));
      plus = " + ";
    }
    if (i.index() != Slot.ZERO) {
      text.append(plus).append(SlotNames.of(i.index())).append(" * ").append(1 << i.scale());
      plus = " + ";
    }
    long displacement = i.displacement();
    if (plus.isEmpty()) {
      text.append(hexadecimal(displacement));
    } else if (displacement != 0) {
      text.append(displacement < 0 ? " - " : " + ").append(hexadecimal(Math.abs(displacement)));
    }
    return text.append(']').toString();
  }

  private static long cut(long address, int codeWidth) {
    return codeWidth == 64 ? address : address & 0xffffffffL;
  }

  private static String hexadecimal(long value) {
    return "0x%x".formatted(value);
  }
}
