package dev.ringfence.machine.interrupt;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.memory.IoSpace;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** 8259 pair against the 8259A data sheet; section names in quotes. */
final class Pic8259Test {
  private static final int END = 0x20;

  private final Pic8259 pic = new Pic8259();
  private final IoSpace ports = new IoSpace("port");
  private boolean output;

  @BeforeEach
  void initialize() {
    pic.attachTo(ports);
    pic.connect(asserted -> output = asserted);
    initialize(0x01);
  }

  private void initialize(int icw4) {
    out(0x20, 0x11);
    out(0x21, 0x20);
    out(0x21, 0x04);
    out(0x21, icw4);
    out(0xa0, 0x11);
    out(0xa1, 0x28);
    out(0xa1, 0x02);
    out(0xa1, icw4);
  }

  private void out(int port, int value) {
    ports.write(port, 1, value);
  }

  private int in(int port) {
    return (int) ports.read(port, 1);
  }

  private void pulse(int input) {
    pic.set(input, true);
    pic.set(input, false);
  }

  @Test
  void anInputInterruptsWithItsVector() {
    pulse(4);
    assertTrue(output);
    assertEquals(0x24, pic.acknowledge());
    assertFalse(output);
    out(0x20, 0x0b);
    assertEquals(1 << 4, in(0x20));
    out(0x20, END);
    assertEquals(0, in(0x20));
  }

  @Test
  void inputsOfTheSecondControllerComeThroughTheCascade() {
    pulse(12);
    assertTrue(output);
    assertEquals(0x2c, pic.acknowledge());
    out(0x20, 0x0b);
    out(0xa0, 0x0b);
    assertEquals(1 << 2, in(0x20));
    assertEquals(1 << 4, in(0xa0));
    out(0xa0, END);
    out(0x20, END);
    assertEquals(0, in(0x20) | in(0xa0));
  }

  @Test
  void lowerInputsWinInFullyNestedMode() {
    pulse(5);
    pulse(3);
    pulse(9);
    assertEquals(0x29, pic.acknowledge());
    assertFalse(output);
    pulse(1);
    assertEquals(0x21, pic.acknowledge());
    out(0x20, END);
    assertFalse(output);
    out(0xa0, END);
    out(0x20, END);
    assertEquals(0x23, pic.acknowledge());
    out(0x20, END);
    assertEquals(0x25, pic.acknowledge());
  }

  @Test
  void theMaskHoldsRequestsBack() {
    out(0x21, 0xff);
    pulse(1);
    assertFalse(output);
    assertEquals(0xff, in(0x21));
    assertEquals(2, in(0x20));
    out(0x21, 0xfd);
    assertTrue(output);
    assertEquals(0x21, pic.acknowledge());
  }

  @Test
  void anAcknowledgeWithoutRequestIsSpurious() {
    pulse(1);
    out(0x21, 0xff);
    assertEquals(0x27, pic.acknowledge());
    out(0x20, 0x0b);
    assertEquals(0, in(0x20));
  }

  @Test
  void aLevelSensitiveInputRequestsWhileAsserted() {
    out(0x4d1, 0x0c);
    assertEquals(0x0c, in(0x4d1));
    pic.set(10, true);
    assertEquals(0x2a, pic.acknowledge());
    out(0xa0, END);
    out(0x20, END);
    assertTrue(output);
    pic.set(10, false);
    assertFalse(output);
    assertEquals(0x27, pic.acknowledge());
  }

  @Test
  void inputsThatAreEdgesForEverCannotBecomeLevels() {
    ports.write(0x4d0, 2, 0xffff);
    assertEquals(0xdef8, (int) ports.read(0x4d0, 2));
  }

  @Test
  void automaticEndLeavesNothingInService() {
    initialize(0x03);
    pulse(3);
    assertEquals(0x23, pic.acknowledge());
    pulse(5);
    assertTrue(output);
    assertEquals(0x25, pic.acknowledge());
  }

  @Test
  void specificEndAndRotationChangePriorities() {
    pulse(2 + 1);
    assertEquals(0x23, pic.acknowledge());
    // "Rotate on specific EOI": input 3 becomes the lowest.
    out(0x20, 0xe3);
    pulse(3);
    pulse(4);
    assertEquals(0x24, pic.acknowledge());
    out(0x20, 0x64);
    assertEquals(0x23, pic.acknowledge());
    out(0x20, 0xc7);
    out(0x20, END);
    pulse(7);
    pulse(0);
    assertEquals(0x20, pic.acknowledge());
  }

  @Test
  void specialMaskModeLetsLowerInputsThrough() {
    pulse(1);
    assertEquals(0x21, pic.acknowledge());
    pulse(6);
    assertFalse(output);
    out(0x20, 0x68);
    out(0x21, 0x02);
    assertTrue(output);
    assertEquals(0x26, pic.acknowledge());
  }

  @Test
  void thePollCommandAcknowledgesByAReadAccess() {
    pulse(6);
    out(0x20, 0x0c);
    assertEquals(0x86, in(0x20));
    assertFalse(output);
    out(0x20, END);
    out(0x20, 0x0c);
    assertEquals(0, in(0x20));
  }

  @Test
  void initializationForgetsEdgesAndMask() {
    pulse(4);
    out(0x21, 0xff);
    initialize(0x01);
    assertFalse(output);
    assertEquals(0, in(0x21));
  }
}
