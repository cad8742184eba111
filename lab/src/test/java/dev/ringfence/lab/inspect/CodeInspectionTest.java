package dev.ringfence.lab.inspect;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Listings of bytes, and messages about places where there is no code. */
final class CodeInspectionTest {
  private static int indexOf(List<String> lines, String text, int from) {
    for (int i = from; i < lines.size(); i++) {
      if (lines.get(i).contains(text)) {
        return i;
      }
    }
    throw new AssertionError("no '" + text + "' in " + String.join("\n", lines));
  }

  @Test
  void bytecodeIsUnderItsOperationAndThatUnderItsInstruction() {
    // Loop: add rax, rbx; nop; jne back to the start; then ret.
    List<String> lines = CodeInspection.ofBytes("48 01 d8 90 75 fa c3", 64);
    int add = indexOf(lines, "48 01 d8", 0);
    assertTrue(lines.get(add).endsWith("add rax, rbx"), lines.get(add));
    int operation = indexOf(lines, "ADD destination=rax first=rax second=rbx", add);
    int bytecode = indexOf(lines, "ladd", operation);
    int silent = indexOf(lines, "1003  90", bytecode);
    int jump = indexOf(lines, "jne 0x1000", silent);
    int condition = indexOf(lines, "JUMP_IF not equal", jump);
    indexOf(lines, "goto", condition);
    int next = indexOf(lines, "block 0x1006", condition);
    indexOf(lines, "RETURN64", indexOf(lines, "c3", next));
    assertEquals(add + 1, operation);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "8b 84 8b 00 10 00 00; mov eax, [rbx + rcx * 4 + 0x1000]",
        "48 8d 0d 10 00 00 00; lea rcx, [rip -> 0x1017]",
        "41 0f b6 c4; movzx eax, r12b",
        "88 e5; mov ch, ah",
        "40 88 e5; mov bpl, spl",
        "65 48 8b 04 25 28 00 00 00; mov rax, gs:[0x28]",
        "f3 48 a5; rep movs [rdi], [rsi]",
        "66 0f 6f 0e; movdqa xmm1, [rsi]",
        "f0 0f b1 0a; lock cmpxchg [rdx], ecx",
        "48 83 e8 01; sub rax, 0x1"
      })
  void instructionsReadAsAnAssemblerWritesThem(String bytes, String text) {
    String line =
        CodeInspection.ofBytes(bytes, 64).stream()
            .filter(each -> each.contains("  " + bytes))
            .findFirst()
            .orElseThrow();
    assertTrue(line.endsWith("  " + text), line);
  }

  @ParameterizedTest
  @ValueSource(ints = {16, 32, 64})
  void anyBytesCanBeListed(int width) {
    for (int first = 0; first < 256; first++) {
      String bytes = "%02x 0f c0 11 22 33".formatted(first);
      assertTrue(CodeInspection.ofBytes(bytes, width).size() > 3, bytes);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "zz", "48 0", "0x48"})
  void whatIsNotBytesCostsOneLine(String bytes) {
    BadInputException e =
        assertThrows(BadInputException.class, () -> CodeInspection.ofBytes(bytes, 64));
    assertEquals(1, e.getMessage().lines().count());
  }

  @ParameterizedTest
  @ValueSource(strings = {"ffffffff81000000", "0xdeadbeef", "do_syscall_64", "+", "0x"})
  void placesWithoutCodeCostOneLine(String place) {
    try (Machine machine =
        new Machine(MachineConfiguration.of(MachineConfiguration.MINIMUM_MEMORY, 1))) {
      BadInputException e =
          assertThrows(BadInputException.class, () -> CodeInspection.at(machine, null, place));
      assertTrue(e.getMessage().startsWith("--at " + place + ": expected"), e.getMessage());
      assertEquals(1, e.getMessage().lines().count());
    }
  }
}
