package dev.ringfence.lab.guest;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

final class AssignmentTest {
  private static String text(Assignment assignment) {
    return new String(assignment.toBytes(), UTF_8);
  }

  @Test
  void aCommandComesWithItsLengthInBytes() {
    assertEquals("8\necho \u00e9\n", text(new Assignment("echo \u00e9", null)));
    assertEquals("1\n\n", text(new Assignment("", null)));
  }

  @Test
  void aShellComesWithTheTerminalIfThereIsOne() {
    assertEquals("0\n", text(new Assignment(null, null)));
    assertEquals("0 xterm-256color 80 24\n", text(new Assignment(null, "xterm-256color,80x24")));
  }
}
