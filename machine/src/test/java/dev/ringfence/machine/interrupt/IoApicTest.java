package dev.ringfence.machine.interrupt;

import static dev.ringfence.machine.interrupt.ApicFixture.END_OF_INTERRUPT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

/** I/O APIC against the 82093AA data sheet, section 3.2. */
final class IoApicTest {
  private static final int MASKED = 1 << 16;
  private static final int LEVEL = 1 << 15;
  private static final int REMOTE_IRR = 1 << 14;

  private final ApicFixture fixture = new ApicFixture(2);
  private final LocalApic apic = fixture.apic(0);

  @Test
  void registersHaveTheirResetValues() {
    assertEquals(0, fixture.readIoApic(0));
    assertEquals(23 << 16 | 0x20, fixture.readIoApic(1));
    for (int pin = 0; pin < 24; pin++) {
      assertEquals(MASKED, fixture.readIoApic(0x10 + 2 * pin));
      assertEquals(0, fixture.readIoApic(0x11 + 2 * pin));
    }
    assertEquals(0, fixture.readIoApic(0x40));
  }

  @Test
  void theIdentifierHasFourBits() {
    fixture.writeIoApic(0, -1);
    assertEquals(0x0f00_0000, fixture.readIoApic(0));
    assertEquals(0x0f00_0000, fixture.readIoApic(2));
  }

  @Test
  void statusBitsOfAnEntryAreReadOnly() {
    fixture.writeIoApic(0x10, -1);
    assertEquals(0x1_afff, fixture.readIoApic(0x10));
    fixture.writeIoApic(0x11, -1);
    assertEquals(0xff00_0000, fixture.readIoApic(0x11));
  }

  @Test
  void anEdgeInterruptsOnce() {
    fixture.redirect(4, 0x34);
    fixture.ioApic.set(4, true);
    fixture.ioApic.set(4, true);
    assertEquals(List.of(0x34), fixture.drain(0));
    fixture.ioApic.set(4, false);
    fixture.ioApic.set(4, true);
    assertEquals(List.of(0x34), fixture.drain(0));
  }

  @Test
  void edgesOfAMaskedPinAreIgnored() {
    fixture.redirect(4, MASKED | 0x34);
    fixture.ioApic.set(4, true);
    fixture.redirect(4, 0x34);
    assertFalse(apic.hasInterrupt());
  }

  @Test
  void aLevelInterruptsAgainAfterItsEndWhileAsserted() {
    fixture.redirect(16, LEVEL | 0x51);
    fixture.ioApic.set(16, true);
    assertEquals(LEVEL | REMOTE_IRR | 0x51, fixture.readIoApic(0x30));
    assertEquals(0x51, apic.acknowledge());
    assertFalse(apic.hasInterrupt());
    fixture.write(0, END_OF_INTERRUPT, 0);
    assertTrue(apic.hasInterrupt());
    assertEquals(0x51, apic.acknowledge());
    fixture.ioApic.set(16, false);
    fixture.write(0, END_OF_INTERRUPT, 0);
    assertFalse(apic.hasInterrupt());
    assertEquals(LEVEL | 0x51, fixture.readIoApic(0x30));
  }

  @Test
  void aMaskedLevelIsDeliveredWhenItIsUnmasked() {
    fixture.redirect(16, LEVEL | MASKED | 0x51);
    fixture.ioApic.set(16, true);
    assertFalse(apic.hasInterrupt());
    fixture.redirect(16, LEVEL | 0x51);
    assertEquals(0x51, apic.acknowledge());
  }

  @Test
  void theEndOfInterruptRegisterClearsRemoteIrr() {
    fixture.redirect(16, LEVEL | 0x51);
    fixture.ioApic.set(16, true);
    assertEquals(0x51, apic.acknowledge());
    fixture.ioApic.set(16, false);
    fixture.memory.write(IoApic.BASE + 0x40, 4, 0x51);
    assertEquals(LEVEL | 0x51, fixture.readIoApic(0x30));
  }

  @Test
  void switchingToEdgeClearsRemoteIrr() {
    fixture.redirect(16, LEVEL | 0x51);
    fixture.ioApic.set(16, true);
    fixture.ioApic.set(16, false);
    fixture.redirect(16, MASKED | 0x51);
    fixture.redirect(16, LEVEL | 0x51);
    assertEquals(LEVEL | 0x51, fixture.readIoApic(0x30));
  }

  @Test
  void anEntryAddressesProcessorsAsAMessageDoes() {
    fixture.redirect(5, 1L << 56 | 0x61);
    fixture.ioApic.set(5, true);
    assertEquals(List.of(0x61), fixture.drain(1));
    fixture.write(0, ApicFixture.LOGICAL_DESTINATION, 1 << 24);
    fixture.write(1, ApicFixture.LOGICAL_DESTINATION, 2 << 24);
    fixture.redirect(6, 3L << 56 | 1 << 11 | 0x62);
    fixture.ioApic.set(6, true);
    assertEquals(List.of(0x62), fixture.drain(0));
    assertEquals(List.of(0x62), fixture.drain(1));
    fixture.redirect(7, 1L << 56 | 0x400);
    fixture.signals.clear();
    fixture.ioApic.set(7, true);
    assertEquals(List.of("1 NMI"), fixture.signals);
  }

  @Test
  void aLevelThatNobodyAcceptsStaysDeliverable() {
    fixture.redirect(16, 9L << 56 | LEVEL | 0x51);
    fixture.ioApic.set(16, true);
    assertEquals(LEVEL | 0x51, fixture.readIoApic(0x30));
    fixture.redirect(16, LEVEL | 0x51);
    assertEquals(0x51, apic.acknowledge());
  }
}
