package dev.ringfence.machine.inspect;

import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.operation.MicroCode;
import dev.ringfence.machine.operation.MicroOperation;
import java.util.ArrayList;
import java.util.List;

/** Micro-operations as text: the code and the fields that it was given. */
public final class OperationText {
  private static final List<String> CONDITIONS =
      List.of(
          "overflow",
          "no overflow",
          "below",
          "not below",
          "equal",
          "not equal",
          "not above",
          "above",
          "sign",
          "no sign",
          "parity",
          "no parity",
          "less",
          "not less",
          "not greater",
          "greater");

  private OperationText() {}

  /** The text of an operation; {@link MicroCode} says what the fields mean. */
  public static String of(MicroOperation o) {
    if (o.code >= MicroCode.JUMP_IF) {
      return "JUMP_IF %s: +0x%x else +0x%x"
          .formatted(CONDITIONS.get(o.code - MicroCode.JUMP_IF), o.immediate, o.displacement);
    }
    List<String> fields = new ArrayList<>();
    slot(fields, "destination", o.destination);
    slot(fields, "first", o.first);
    slot(fields, "second", o.second);
    number(fields, "immediate", o.immediate);
    slot(fields, "base", o.base);
    slot(fields, "index", o.index);
    number(fields, "scale", o.scale);
    number(fields, "displacement", o.displacement);
    slot(fields, "segment", o.segmentBase);
    if (o.code == MicroCode.SET_IF || o.code == MicroCode.MOVE_IF) {
      fields.add("if " + CONDITIONS.get(o.condition));
    }
    if (o.shift != 0) {
      fields.add("width=" + (64 - o.shift));
    }
    if (o.targetShift != 0) {
      fields.add("to=" + (64 - o.targetShift));
    }
    if (o.aligned) {
      fields.add("aligned");
    }
    return (MicroCode.name(o.code) + " " + String.join(" ", fields)).strip();
  }

  private static void slot(List<String> fields, String name, int slot) {
    if (slot != Slot.ZERO) {
      fields.add(name + "=" + SlotNames.of(slot));
    }
  }

  private static void number(List<String> fields, String name, long value) {
    if (value != 0) {
      fields.add(value > 0 ? "%s=0x%x".formatted(name, value) : name + "=" + value);
    }
  }
}
