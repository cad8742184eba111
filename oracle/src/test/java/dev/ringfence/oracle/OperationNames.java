package dev.ringfence.oracle;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/** Names of operations: objdump's (in Intel syntax) beside ours, from objdump-names.table. */
final class OperationNames {
  private final Map<String, Set<String>> ours = new HashMap<>();
  private final Set<String> leftOut = new HashSet<>();

  private OperationNames() {}

  static OperationNames read() {
    OperationNames names = new OperationNames();
    try (InputStream in = OperationNames.class.getResourceAsStream("objdump-names.table")) {
      if (in == null) {
        throw new IllegalStateException("objdump-names.table is missing from the tests");
      }
      BufferedReader reader = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8));
      for (String line = reader.readLine(); line != null; line = reader.readLine()) {
        if (line.isBlank() || line.startsWith("#")) {
          continue;
        }
        String[] words = line.strip().split("\\s+");
        if (words.length == 1) {
          names.leftOut.add(words[0]);
        }
        for (int i = 1; i < words.length; i++) {
          names.ours.computeIfAbsent(words[0], name -> new HashSet<>()).add(words[i]);
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return names;
  }

  /** Whether two names mean the same operation. */
  boolean agree(String theirs, String mine) {
    return theirs.toUpperCase(Locale.ROOT).equals(mine)
        || ours.getOrDefault(theirs, Set.of()).contains(mine);
  }

  /**
   * Whether our processors do not have the instruction: VEX and EVEX encodings (SDM volume 2,
   * sections 2.3 and 2.7), XOP encodings (AMD APM volume 3, section 1.1), test registers of the
   * 80386 and 80486, or by name.
   */
  boolean isLeftOut(Objdump.Line line, int codeWidth) {
    return hasForeignOpcode(line.bytes(), codeWidth) || leftOut.contains(line.name());
  }

  private static boolean hasForeignOpcode(byte[] bytes, int codeWidth) {
    int at = 0;
    while (at < bytes.length && isPrefix(bytes[at] & 0xff, codeWidth)) {
      at++;
    }
    if (at + 1 >= bytes.length) {
      return false;
    }
    int opcode = bytes[at] & 0xff;
    int next = bytes[at + 1] & 0xff;
    if (opcode == 0x0f) {
      return next >= 0x24 && next <= 0x27;
    }
    if (opcode == 0x8f) {
      return (next & 0x38) != 0;
    }
    boolean escape = opcode == 0xc4 || opcode == 0xc5 || opcode == 0x62;
    // Outside 64-bit mode these are LES, LDS and BOUND, which have no register operand.
    return escape && (codeWidth == 64 || next >= 0xc0);
  }

  private static boolean isPrefix(int value, int codeWidth) {
    if (codeWidth == 64 && (value & 0xf0) == 0x40) {
      return true;
    }
    return switch (value) {
      case 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3 -> true;
      default -> false;
    };
  }
}
