package dev.ringfence.machine.device;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import org.junit.jupiter.api.Test;

/** Serial port against the PC16550D data sheet, section 8. */
final class Uart16550Test {
  private static final int OUT2 = 8;
  private static final int LOOP = 0x10;

  private final ByteArrayOutputStream output = new ByteArrayOutputStream();
  private boolean line;
  private final Uart16550 uart =
      new Uart16550("serial", asserted -> line = asserted, output::write);

  private int in(int register) {
    return (int) uart.read(register, 1);
  }

  private void out(int register, int value) {
    uart.write(register, 1, value);
  }

  @Test
  void registersHaveTheirResetValues() {
    // Table I.
    assertEquals(0, in(1));
    assertEquals(1, in(2));
    assertEquals(0, in(3));
    assertEquals(0, in(4));
    assertEquals(0x60, in(5));
    assertEquals(0xb0, in(6));
  }

  @Test
  void bytesAreTransmittedAtOnce() {
    for (byte value : "hello".getBytes(US_ASCII)) {
      out(0, value);
      assertEquals(0x60, in(5));
    }
    assertEquals("hello", output.toString(US_ASCII));
  }

  @Test
  void theDivisorLatchCoversTheFirstTwoRegisters() {
    out(3, 0x83);
    out(0, 0x34);
    out(1, 0x12);
    assertEquals(0x34, in(0));
    assertEquals(0x12, in(1));
    out(3, 0x03);
    assertEquals(0, in(1));
    assertEquals("", output.toString(US_ASCII));
  }

  @Test
  void theScratchRegisterKeepsItsValue() {
    out(7, 0xa5);
    assertEquals(0xa5, in(7));
  }

  @Test
  void receivedBytesComeInOrder() {
    out(2, 1);
    uart.receive("abc".getBytes(US_ASCII));
    assertEquals(0x61, in(5));
    assertEquals('a', in(0));
    assertEquals('b', in(0));
    assertEquals('c', in(0));
    assertEquals(0x60, in(5));
  }

  @Test
  void inputThatDoesNotFitWaitsOutside() {
    byte[] input = new byte[100];
    for (int i = 0; i < input.length; i++) {
      input[i] = (byte) i;
    }
    uart.receive(input);
    for (int i = 0; i < input.length; i++) {
      assertEquals(1, in(5) & 3);
      assertEquals(i, in(0));
    }
    assertEquals(0, in(5) & 3);
  }

  @Test
  void theReceiverInterruptsAtItsTriggerLevelOrTimesOut() {
    out(4, OUT2);
    out(1, 1);
    out(2, 0x41);
    assertFalse(line);
    uart.receive(new byte[3]);
    assertTrue(line);
    assertEquals(0xcc, in(2));
    uart.receive(new byte[1]);
    assertEquals(0xc4, in(2));
    for (int i = 0; i < 4; i++) {
      assertTrue(line);
      int unused = in(0);
    }
    assertFalse(line);
    assertEquals(0xc1, in(2));
  }

  @Test
  void theTransmitterInterruptIsClearedByReadingItsIdentification() {
    out(4, OUT2);
    out(1, 2);
    assertTrue(line);
    assertEquals(2, in(2));
    assertFalse(line);
    out(0, 'x');
    assertTrue(line);
    assertEquals(2, in(2));
    assertEquals(1, in(2));
  }

  @Test
  void enablingTheTransmitterInterruptAgainRaisesItAgain() {
    out(4, OUT2);
    out(1, 2);
    assertEquals(2, in(2));
    out(1, 0);
    out(1, 2);
    assertTrue(line);
  }

  @Test
  void receivedDataIsMoreImportantThanTheTransmitter() {
    // Table II.
    out(4, OUT2);
    out(1, 3);
    uart.receive(new byte[] {7});
    assertEquals(4, in(2));
    assertEquals(7, in(0));
    assertEquals(2, in(2));
  }

  @Test
  void withoutOut2TheLineStaysLow() {
    out(1, 2);
    assertFalse(line);
    out(4, OUT2);
    assertTrue(line);
  }

  @Test
  void loopbackConnectsOutputsToInputs() {
    // Section 8.7, bit 4.
    out(4, LOOP | 0x0a);
    assertEquals(0x90, in(6) & 0xf0);
    out(0, 0x5a);
    assertEquals(0x5a, in(0));
    assertEquals(0, output.size());
    out(4, LOOP | 0x05);
    assertEquals(0x60, in(6) & 0xf0);
  }

  @Test
  void changesOfModemInputsInterrupt() {
    // Leaving loopback with all outputs off: CTS, DSR and DCD rise.
    out(4, LOOP);
    int unused = in(6);
    out(1, 8);
    out(4, OUT2);
    assertTrue(line);
    assertEquals(0, in(2));
    assertEquals(0xbb, in(6));
    assertFalse(line);
    assertEquals(0xb0, in(6));
  }

  @Test
  void tooMuchInLoopbackIsAnOverrun() {
    out(4, LOOP);
    out(0, 1);
    out(0, 2);
    assertEquals(0x63, in(5));
    assertEquals(0x61, in(5));
    assertEquals(2, in(0));
  }

  @Test
  void theFifoControlClearsTheReceiver() {
    out(2, 1);
    uart.receive(new byte[4]);
    out(2, 3);
    assertEquals(0x60, in(5));
    assertEquals(0xc1, in(2));
    out(2, 0);
    assertEquals(0x01, in(2));
  }
}
