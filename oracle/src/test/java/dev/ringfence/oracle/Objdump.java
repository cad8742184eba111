package dev.ringfence.oracle;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;

/** Runs the disassembler of GNU binutils. */
final class Objdump {
  private static final Set<String> PREFIXES =
      Set.of(
          "lock",
          "rep",
          "repz",
          "repnz",
          "data16",
          "data32",
          "addr16",
          "addr32",
          "cs",
          "ds",
          "es",
          "ss",
          "fs",
          "gs",
          "bnd",
          "notrack",
          "xacquire",
          "xrelease",
          "rex",
          "rex.W",
          "rex.R",
          "rex.X",
          "rex.B",
          "rex.WR",
          "rex.WX",
          "rex.WB",
          "rex.RX",
          "rex.RB",
          "rex.XB",
          "rex.WRX",
          "rex.WRB",
          "rex.WXB",
          "rex.RXB",
          "rex.WRXB");

  /**
   * One instruction.
   *
   * @param name mnemonic without prefixes; empty for prefixes alone
   */
  record Line(long address, byte[] bytes, String name, String operands) {
    String text() {
      return "%x: %s  %s %s"
          .formatted(address, HexFormat.ofDelimiter(" ").formatHex(bytes), name, operands);
    }

    boolean hasByte(int value) {
      for (byte b : bytes) {
        if ((b & 0xff) == value) {
          return true;
        }
      }
      return false;
    }

    boolean isInvalid() {
      return name.startsWith("(bad)") || operands.contains("(bad)");
    }
  }

  private Objdump() {}

  static boolean installed() {
    try {
      return new ProcessBuilder("objdump", "--version")
              .redirectErrorStream(true)
              .redirectOutput(ProcessBuilder.Redirect.DISCARD)
              .start()
              .waitFor()
          == 0;
    } catch (IOException e) {
      return false;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  /** Lists the instructions of a file; {@code arguments} say which. */
  static void list(List<String> arguments, Consumer<Line> consumer) {
    List<String> command = new ArrayList<>(List.of("objdump", "-M", "intel,intel64", "-w"));
    command.add("--insn-width=16");
    command.addAll(arguments);
    try {
      Process process =
          new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
      try (BufferedReader reader =
          new BufferedReader(
              new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
        for (String line = reader.readLine(); line != null; line = reader.readLine()) {
          Line parsed = parse(line);
          if (parsed != null) {
            consumer.accept(parsed);
          }
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static @org.jspecify.annotations.Nullable Line parse(String line) {
    int firstTab = line.indexOf('\t');
    int secondTab = line.indexOf('\t', firstTab + 1);
    if (firstTab < 2 || line.charAt(firstTab - 1) != ':' || secondTab < 0) {
      return null;
    }
    long address = HexFormat.fromHexDigitsToLong(line, skipBlanks(line), firstTab - 1);
    byte[] bytes =
        HexFormat.of().parseHex(line.substring(firstTab + 1, secondTab).replace(" ", ""));
    String rest = line.substring(secondTab + 1).strip();
    String name = "";
    while (!rest.isEmpty()) {
      int blank = rest.indexOf(' ');
      String word = blank < 0 ? rest : rest.substring(0, blank);
      rest = blank < 0 ? "" : rest.substring(blank).strip();
      int hint = word.indexOf(",p");
      if (hint > 0) {
        word = word.substring(0, hint); // a branch hint: jne,pt
      }
      if (!PREFIXES.contains(word)) {
        name = word;
        break;
      }
    }
    return new Line(address, bytes, name, rest);
  }

  private static int skipBlanks(String line) {
    int at = 0;
    while (line.charAt(at) == ' ') {
      at++;
    }
    return at;
  }
}
