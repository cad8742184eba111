package dev.ringfence.oracle;

import dev.ringfence.machine.decode.Decoder;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.InstructionDefinition;
import dev.ringfence.machine.decode.InstructionTable;
import dev.ringfence.machine.decode.OperandDefinition;
import dev.ringfence.machine.decode.OperandDefinition.Method;
import dev.ringfence.oracle.Form.Place;
import dev.ringfence.oracle.Form.Rex;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Enumerates the forms of all rows of the instruction table that a user program can execute. */
final class Forms {
  private final Map<String, Form> byName = new LinkedHashMap<>();
  private final Map<String, String> skippedRows = new LinkedHashMap<>();
  private final Decoder decoder = new Decoder(InstructionTable.standard());

  private Forms() {
    for (InstructionDefinition row : InstructionTable.standard().rows()) {
      String reason = Semantics.reasonToSkip(row);
      if (!reason.isEmpty()) {
        skippedRows.put(
            row.operands().stream()
                .map(OperandDefinition::text)
                .collect(Collectors.joining(",", row.mnemonic() + " ", ""))
                .strip(),
            reason);
        continue;
      }
      if (!row.has("i64")) {
        enumerate(row, 64);
      }
      if (!row.has("o64")) {
        enumerate(row, 32);
      }
    }
  }

  /** All forms. */
  static Forms all() {
    return new Forms();
  }

  List<Form> list() {
    return List.copyOf(byName.values());
  }

  /** The form of that name, or null. */
  @Nullable Form find(String name) {
    return byName.get(name);
  }

  /** Mnemonics that are not compared, with the reason. */
  Map<String, String> skipped() {
    return skippedRows;
  }

  private void enumerate(InstructionDefinition row, int codeWidth) {
    boolean first = true;
    for (boolean operandSize : operandSizes(row)) {
      for (int repeat : repeats(row)) {
        for (Rex rex : rexes(row, codeWidth)) {
          for (Place place : places(row, codeWidth, first)) {
            add(new Form(row, codeWidth, operandSize, repeat, false, rex, place));
            if (row.has("lock") && place.isMemory()) {
              add(new Form(row, codeWidth, operandSize, repeat, true, rex, place));
            }
          }
          first = false;
        }
      }
    }
    if (codeWidth == 64 && !row.has("rep") && row.mandatoryPrefix() < 0x66) {
      refusedLocks(row);
    }
    if (row.mandatoryPrefix() == 0) {
      refusedPrefixes(row, codeWidth);
    }
  }

  /** LOCK where it is not allowed: #UD. */
  private void refusedLocks(InstructionDefinition row) {
    Place place = places(row, 64, false).getFirst();
    if (!(row.has("lock") && place.isMemory())) {
      Form form = new Form(row, 64, false, 0, true, Rex.NONE, place);
      if (row.rexW() != 1) {
        byName.putIfAbsent(form.name(), form);
      }
    }
  }

  /** Prefixes with which no row has the opcode: #UD. */
  private void refusedPrefixes(InstructionDefinition row, int codeWidth) {
    for (Place place : places(row, codeWidth, false)) {
      Rex rex = row.rexW() == 1 ? Rex.WIDE : Rex.NONE;
      for (int repeat : new int[] {0, 0xf2, 0xf3}) {
        Form form = new Form(row, codeWidth, repeat == 0, repeat, false, rex, place);
        byte[] code = Encoding.choose(form, new RandomValues(0)).code();
        try {
          decoder.decode(code, 0, code.length, codeWidth);
        } catch (Decoder.DecodeException e) {
          byName.putIfAbsent(form.name(), form);
        }
      }
    }
  }

  private static List<Boolean> operandSizes(InstructionDefinition row) {
    return switch (row.mandatoryPrefix()) {
      case 0 -> List.of(false);
      case 0x66 -> List.of(true);
      default -> List.of(false, true);
    };
  }

  private static List<Integer> repeats(InstructionDefinition row) {
    if (row.mandatoryPrefix() == 0xf2 || row.mandatoryPrefix() == 0xf3) {
      return List.of(row.mandatoryPrefix());
    }
    return row.has("rep") ? List.of(0, 0xf2, 0xf3) : List.of(0);
  }

  private static List<Rex> rexes(InstructionDefinition row, int codeWidth) {
    if (codeWidth != 64) {
      return List.of(Rex.NONE);
    }
    return switch (row.rexW()) {
      case 0 -> List.of(Rex.NONE, Rex.NARROW);
      case 1 -> List.of(Rex.WIDE);
      default -> List.of(Rex.NONE, Rex.NARROW, Rex.WIDE);
    };
  }

  private static List<Place> places(InstructionDefinition row, int codeWidth, boolean first) {
    List<Place> places = new ArrayList<>();
    if (!row.usesModRm()) {
      places.add(Place.NONE);
      if (codeWidth == 64 && Semantics.addressSizeMatters(row)) {
        places.add(Place.ADDRESS_SIZE);
      }
      if (row.operands().stream()
          .anyMatch(o -> o.method() == Method.SOURCE_STRING || o.method() == Method.OFFSET)) {
        places.add(Place.FS);
      }
      return places;
    }
    boolean memory = row.operands().stream().anyMatch(OperandDefinition::mayBeMemory);
    boolean onlyMemory =
        row.memory() == 1 || row.operands().stream().anyMatch(o -> o.method() == Method.MEMORY);
    if (!onlyMemory) {
      places.add(Place.REGISTER);
    }
    if (memory && row.memory() != 0) {
      places.add(Place.MEMORY);
      if (first) {
        places.add(Place.FS);
        places.add(Place.ABSOLUTE);
        if (codeWidth == 64) {
          places.add(Place.ADDRESS_SIZE);
          places.add(Place.RIP_RELATIVE);
          places.add(Place.GS);
        }
      }
    }
    return places.isEmpty() ? List.of(Place.REGISTER) : places;
  }

  /** Keeps forms whose bytes mean this row: another row may have more specific prefixes. */
  private void add(Form form) {
    Set<InstructionDefinition> found = new LinkedHashSet<>();
    for (int i = 0; i < 4; i++) {
      byte[] code = Encoding.choose(form, new RandomValues(i)).code();
      try {
        Instruction instruction = decoder.decode(code, 0, code.length, form.codeWidth());
        found.add(instruction.definition());
      } catch (Decoder.DecodeException e) {
        // What cannot be decoded is compared too: both sides must raise #UD.
        found.add(form.row());
      }
    }
    if (found.contains(form.row())) {
      byName.putIfAbsent(form.name(), form);
    }
  }
}
