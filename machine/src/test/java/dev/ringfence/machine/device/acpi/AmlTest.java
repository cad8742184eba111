package dev.ringfence.machine.device.acpi;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.HexFormat;
import org.junit.jupiter.api.Test;

/** Encodings of ACPI 6.5, chapter 20. */
final class AmlTest {
  private static String hex(byte[] bytes) {
    return HexFormat.of().formatHex(bytes);
  }

  @Test
  void integersTakeTheShortestForm() {
    // Section 20.2.3.
    assertEquals("00", hex(Aml.integer(0)));
    assertEquals("01", hex(Aml.integer(1)));
    assertEquals("0a02", hex(Aml.integer(2)));
    assertEquals("0b0001", hex(Aml.integer(0x100)));
    assertEquals("0cffff0100", hex(Aml.integer(0x1_ffff)));
  }

  @Test
  void namesHaveFourCharacters() {
    // Section 20.2.2.
    assertEquals("5f535f5f", hex(Aml.name("_S")));
    assertEquals("5c5f53425f", hex(Aml.name("\\_SB")));
  }

  @Test
  void packageLengthsGrowWithTheirContent() {
    // Section 20.2.4: the length counts its own bytes.
    assertEquals("120200", hex(Aml.list()));
    assertEquals("1006", hex(Aml.scope("ABCD", new byte[1])).substring(0, 4));
    assertEquals("103f", hex(Aml.scope("ABCD", new byte[58])).substring(0, 4));
    assertEquals("104104", hex(Aml.scope("ABCD", new byte[59])).substring(0, 6));
    assertEquals("108c0001", hex(Aml.scope("ABCD", new byte[4101])).substring(0, 8));
  }

  @Test
  void hardwareIdentifiersAreCompressed() {
    // Section 19.3.4: PNP0A03 is 030AD041H in memory order.
    assertEquals("0c41d00a03", hex(Aml.eisaIdentifier("PNP0A03")));
  }

  @Test
  void resourceDescriptorsEndWithATag() {
    assertEquals(
        "11100a0d4701f803f80301082210007900",
        hex(Aml.resources(Aml.ports(0x3f8, 8), Aml.interrupt(4))));
    assertEquals("4701f803f8030108", hex(Aml.ports(0x3f8, 8)));
    assertEquals("221000", hex(Aml.interrupt(4)));
  }
}
