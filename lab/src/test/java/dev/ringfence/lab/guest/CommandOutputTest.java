package dev.ringfence.lab.guest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

final class CommandOutputTest {
  private static final String STATUS = "\0RINGFENCE-STATUS 007\n";

  private final ByteArrayOutputStream output = new ByteArrayOutputStream();
  private final CommandOutput command = new CommandOutput(output);

  private void guestWrites(String text) {
    for (byte value : text.getBytes(StandardCharsets.ISO_8859_1)) {
      command.accept(value & 0xff);
    }
  }

  private String output() {
    return output.toString(StandardCharsets.ISO_8859_1);
  }

  @Test
  void outputLiesBetweenTheRecords() {
    guestWrites("noiseRINGRINGFENCE-START\nhello\n" + STATUS);
    assertEquals("hello\n", output());
    assertEquals(OptionalInt.of(7), command.status());
  }

  @Test
  void withoutStartThereIsNoOutput() {
    guestWrites("RINGFENCE-STAR\nhello");
    assertFalse(command.started());
    assertEquals("", output());
  }

  @Test
  void aCommandMayPrintTheRecordItself() {
    guestWrites("RINGFENCE-START\n" + STATUS + "more" + STATUS + STATUS);
    assertEquals(STATUS + "more" + STATUS, output());
    assertEquals(OptionalInt.of(7), command.status());
  }

  @Test
  void whatOnlyBeginsLikeTheRecordIsOutput() {
    guestWrites("RINGFENCE-START\n\0\0RINGFENCE-STATUS 0x\0");
    assertEquals("\0\0RINGFENCE-STATUS 0x", output());
    assertTrue(command.status().isEmpty());
  }

  @Test
  void allBytesPass() {
    guestWrites("RINGFENCE-START\n");
    StringBuilder all = new StringBuilder();
    for (int value = 0; value < 256; value++) {
      all.append((char) value);
    }
    guestWrites(all + STATUS);
    assertEquals(all.toString(), output());
  }
}
