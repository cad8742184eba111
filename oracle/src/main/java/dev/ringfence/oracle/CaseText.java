package dev.ringfence.oracle;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.cpu.Flags;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.StringJoiner;

/**
 * Cases as text, to be read by people and kept as files: a line is a name, a colon and a value in
 * hexadecimal. Registers and memory that are zero are left out. What follows the line "outcome" is
 * the state afterwards.
 */
final class CaseText {
  private static final HexFormat HEX = HexFormat.of();

  /** A part of the x87 and SSE state. */
  record FloatingField(String name, int at, int bytes) {
    static final List<FloatingField> ALL = all();

    private static List<FloatingField> all() {
      List<FloatingField> fields = new ArrayList<>();
      fields.add(new FloatingField("x87-control", CaseRecord.FX, 2));
      fields.add(new FloatingField("x87-status", CaseRecord.FX_STATUS, 2));
      fields.add(new FloatingField("x87-tags", CaseRecord.FX_TAGS, 1));
      fields.add(new FloatingField("mxcsr", CaseRecord.FX_MXCSR, 4));
      for (int i = 0; i < 8; i++) {
        fields.add(new FloatingField("st" + i, CaseRecord.FX_STACK + 16 * i, 10));
      }
      for (int i = 0; i < 16; i++) {
        fields.add(new FloatingField("xmm" + i, CaseRecord.FX_VECTORS + 16 * i, 16));
      }
      return List.copyOf(fields);
    }

    /** Hexadecimal, most significant byte first. */
    String text(CaseRecord record) {
      byte[] bytes = record.getBytes(at, bytes());
      StringBuilder text = new StringBuilder();
      for (int i = bytes.length - 1; i >= 0; i--) {
        HEX.toHexDigits(text, bytes[i]);
      }
      return text.toString();
    }

    void parse(CaseRecord record, String text) {
      byte[] bytes = HEX.parseHex(text);
      for (int i = 0; i < bytes.length; i++) {
        record.setByte(at + i, bytes[bytes.length - 1 - i]);
      }
    }
  }

  private CaseText() {}

  /** Names of flags. */
  static String flags(long value) {
    StringJoiner names = new StringJoiner(" ");
    String[] all = {"CF", "", "PF", "", "AF", "", "ZF", "SF", "TF", "IF", "DF", "OF"};
    for (int i = 0; i < all.length; i++) {
      if ((value >>> i & 1) != 0 && !all[i].isEmpty()) {
        names.add(all[i]);
      }
    }
    long rest = value & ~(long) (Flags.STATUS | Flags.TF | Flags.IF | Flags.DF | 2);
    if (rest != 0) {
      names.add(Long.toHexString(rest));
    }
    return names.toString();
  }

  /** One line about an outcome. */
  static String outcome(CaseRecord output) {
    return switch (output.flags()) {
      case CaseRecord.COMPLETED -> "completed";
      case CaseRecord.EXCEPTION ->
          "exception %d error %x address %x"
              .formatted(output.vector(), output.errorCode(), output.faultAddress());
      default -> "endless";
    };
  }

  /** One line about the input of a case. */
  static String describe(CaseRecord input) {
    return HexFormat.ofDelimiter(" ").formatHex(input.code())
        + " ("
        + input.codeWidth()
        + "-bit code at "
        + Long.toHexString(input.rip())
        + ")";
  }

  /** The input of a case. */
  static String format(String form, CaseRecord input) {
    StringBuilder text = new StringBuilder();
    line(text, "form", form);
    line(text, "flags", Integer.toHexString(input.flags()));
    line(text, "code", HEX.formatHex(input.code()));
    line(text, "operand", Long.toHexString(input.getLong(CaseRecord.OPERAND)));
    state(text, input);
    return text.toString();
  }

  /** What a case led to. */
  static String formatOutcome(CaseRecord output) {
    StringBuilder text = new StringBuilder();
    line(text, "outcome", outcome(output));
    state(text, output);
    return text.toString();
  }

  private static void state(StringBuilder text, CaseRecord record) {
    line(text, "rip", Long.toHexString(record.rip()));
    line(text, "rflags", Long.toHexString(record.rflags()));
    line(text, "fs-base", Long.toHexString(record.getLong(CaseRecord.FS_BASE_AT)));
    line(text, "gs-base", Long.toHexString(record.getLong(CaseRecord.GS_BASE_AT)));
    for (int i = 0; i < 16; i++) {
      if (record.register(i) != 0) {
        line(
            text,
            Comparison.registerName(i).toLowerCase(Locale.ROOT),
            Long.toHexString(record.register(i)));
      }
    }
    for (FloatingField field : FloatingField.ALL) {
      String value = field.text(record);
      if (!value.chars().allMatch(c -> c == '0')) {
        line(text, field.name(), value);
      }
    }
    for (int at = CaseRecord.MIDDLE_AT; at < CaseRecord.SIZE; at += 32) {
      byte[] bytes = record.getBytes(at, 32);
      String value = HEX.formatHex(bytes);
      if (!value.chars().allMatch(c -> c == '0')) {
        line(text, Long.toHexString(CaseRecord.addressOfWindow(at)), value);
      }
    }
  }

  private static void line(StringBuilder text, String name, String value) {
    text.append(name).append(": ").append(value).append('\n');
  }

  /**
   * Reads a kept case.
   *
   * @return the name of the form
   */
  static String parse(String file, List<String> lines, CaseRecord input, CaseRecord output) {
    input.clear();
    output.clear();
    String form = "";
    CaseRecord record = input;
    int number = 0;
    for (String text : lines) {
      number++;
      if (text.isBlank() || text.startsWith("#")) {
        continue;
      }
      int colon = text.indexOf(':');
      if (colon < 0) {
        throw new BadInputException(
            file + ":" + number + ": expected 'name: value', found '" + text + "'");
      }
      String name = text.substring(0, colon).strip();
      String value = text.substring(colon + 1).strip();
      try {
        switch (name) {
          case "form" -> form = value;
          case "flags" -> record.setFlags(HexFormat.fromHexDigits(value));
          case "code" -> record.setCode(HEX.parseHex(value));
          case "outcome" -> {
            record = output;
            parseOutcome(value, output);
          }
          case "operand" ->
              record.setLong(CaseRecord.OPERAND, HexFormat.fromHexDigitsToLong(value));
          case "rip" -> record.setRip(HexFormat.fromHexDigitsToLong(value));
          case "rflags" -> record.setRflags(HexFormat.fromHexDigitsToLong(value));
          case "fs-base" ->
              record.setLong(CaseRecord.FS_BASE_AT, HexFormat.fromHexDigitsToLong(value));
          case "gs-base" ->
              record.setLong(CaseRecord.GS_BASE_AT, HexFormat.fromHexDigitsToLong(value));
          default -> parseState(name, value, record);
        }
      } catch (IllegalArgumentException e) {
        throw new BadInputException(file + ":" + number + ": " + e.getMessage());
      }
    }
    return form;
  }

  private static void parseOutcome(String value, CaseRecord output) {
    String[] words = value.split(" ", -1);
    switch (words[0]) {
      case "completed" -> output.setCompleted();
      case "exception" ->
          output.setException(
              Integer.parseInt(words[1]),
              HexFormat.fromHexDigitsToLong(words[3]),
              HexFormat.fromHexDigitsToLong(words[5]));
      default -> throw new IllegalArgumentException("unknown outcome " + value);
    }
  }

  private static void parseState(String name, String value, CaseRecord record) {
    for (int i = 0; i < 16; i++) {
      if (Comparison.registerName(i).toLowerCase(Locale.ROOT).equals(name)) {
        record.setRegister(i, HexFormat.fromHexDigitsToLong(value));
        return;
      }
    }
    for (FloatingField field : FloatingField.ALL) {
      if (field.name().equals(name)) {
        field.parse(record, value);
        return;
      }
    }
    int at = CaseRecord.windowOffset(HexFormat.fromHexDigitsToLong(name));
    if (at < 0) {
      throw new IllegalArgumentException("unknown name " + name);
    }
    record.setBytes(at, HEX.parseHex(value));
  }
}
