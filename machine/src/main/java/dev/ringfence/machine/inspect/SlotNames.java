package dev.ringfence.machine.inspect;

import dev.ringfence.machine.cpu.Slot;
import java.util.List;

/** Names of the register file's slots and of registers. */
final class SlotNames {
  static final List<String> QUADWORDS =
      List.of(
          "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
          "r13", "r14", "r15");

  static final List<String> SEGMENTS = List.of("es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr");

  private SlotNames() {}

  /** Name of a slot. */
  static String of(int slot) {
    if (slot < Slot.ZERO) {
      return QUADWORDS.get(slot);
    } else if (slot == Slot.ZERO) {
      return "0";
    } else if (slot == Slot.BLOCK_START) {
      return "blockStart";
    } else if (slot < Slot.SEGMENT_BASE) {
      return "t" + (slot - Slot.TEMPORARY);
    } else if (slot < Slot.VECTOR) {
      return SEGMENTS.get(slot - Slot.SEGMENT_BASE) + "Base";
    } else if (slot < Slot.VECTOR_TEMPORARY) {
      return half("xmm", slot - Slot.VECTOR);
    } else if (slot < Slot.X87) {
      return half("vt", slot - Slot.VECTOR_TEMPORARY);
    }
    return "x87r" + (slot - Slot.X87);
  }

  private static String half(String name, int index) {
    return name + index / 2 + (index % 2 == 0 ? ".low" : ".high");
  }

  /**
   * Name of a general register.
   *
   * @param width in bits
   * @param hasRex whether the instruction has a REX prefix, without which bytes 4 to 7 are AH to BH
   */
  static String register(int number, int width, boolean hasRex) {
    String name = QUADWORDS.get(number & 15);
    if (width == 64) {
      return name;
    }
    if (number >= 8) {
      return name + (width == 32 ? "d" : width == 16 ? "w" : "b");
    }
    String word = name.substring(1);
    return switch (width) {
      case 32 -> "e" + word;
      case 16 -> word;
      default ->
          number < 4
              ? word.charAt(0) + "l"
              : hasRex ? word + "l" : QUADWORDS.get(number - 4).charAt(1) + "h";
    };
  }
}
