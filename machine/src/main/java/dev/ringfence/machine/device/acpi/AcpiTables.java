package dev.ringfence.machine.device.acpi;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.List;

/**
 * The ACPI tables of the platform (ACPI 6.5, chapter 5): RSDP, RSDT, XSDT, FADT, FACS, MADT, HPET,
 * DSDT. A pure function of a description and of the address at which they will lie.
 */
public final class AcpiTables {
  private static final String OEM = "RINGFC";
  private static final String OEM_TABLE = "RINGFNCE";

  private static final int HEADER = 36;
  private static final int RSDP_SIZE = 36;
  private static final int FACS_SIZE = 64;
  private static final int FADT_SIZE = 276;

  /** IA-PC boot architecture flags: devices on the ISA bus, no VGA. No 8042 to be probed. */
  private static final int BOOT_ARCHITECTURE = 1 | 1 << 2;

  /** WBINVD, C1 on all processors, no sleep button, no RTC wake, 32-bit timer, reset register. */
  private static final int FADT_FLAGS = 1 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 10;

  /**
   * What the tables describe.
   *
   * @param processors number of processors, up to 255, with APIC identifiers from 0
   * @param sci wire of the system control interrupt
   * @param pmBase first port of the PM1a event registers
   * @param pmControl port of the PM1a control register
   * @param pmTimer port of the timer
   * @param sleepTypeS5 value of SLP_TYP for S5
   * @param resetPort port of the reset register
   * @param resetValue value that resets
   * @param hpetBase address of the HPET, or 0 if there is none
   * @param hpetIdentifier low half of the HPET's capability register
   * @param pciMemoryFirst first address that PCI devices can have
   * @param pciMemoryLast last address that PCI devices can have
   */
  public record Description(
      int processors,
      int sci,
      int pmBase,
      int pmControl,
      int pmTimer,
      int sleepTypeS5,
      int resetPort,
      int resetValue,
      long hpetBase,
      int hpetIdentifier,
      long pciMemoryFirst,
      long pciMemoryLast) {}

  private AcpiTables() {}

  /**
   * Builds all tables; the RSDP comes first.
   *
   * @param address at which the bytes will lie, a multiple of 64 below 4 GiB
   */
  public static byte[] build(Description description, long address) {
    // Layout first: everything but the pointers has a size that does not depend on addresses.
    long facsAt = address + 64;
    long dsdtAt = facsAt + FACS_SIZE;
    byte[] dsdt = dsdt(description);
    long fadtAt = align(dsdtAt + dsdt.length);
    byte[] fadt = fadt(description, facsAt, dsdtAt);
    byte[] madt = madt(description);
    long madtAt = align(fadtAt + fadt.length);
    List<Long> listed = new ArrayList<>(List.of(fadtAt, madtAt));
    long at = align(madtAt + madt.length);
    long hpetAt = at;
    byte[] hpet = description.hpetBase() == 0 ? new byte[0] : hpet(description);
    if (hpet.length > 0) {
      listed.add(hpetAt);
      at = align(hpetAt + hpet.length);
    }
    long rsdtAt = at;
    byte[] rsdt = pointerTable("RSDT", 4, listed);
    long xsdtAt = align(rsdtAt + rsdt.length);
    byte[] xsdt = pointerTable("XSDT", 8, listed);

    byte[] all = new byte[(int) (xsdtAt + xsdt.length - address)];
    place(all, rsdp(rsdtAt, xsdtAt), 0);
    place(all, facs(), facsAt - address);
    place(all, dsdt, dsdtAt - address);
    place(all, fadt, fadtAt - address);
    place(all, madt, madtAt - address);
    place(all, hpet, hpetAt - address);
    place(all, rsdt, rsdtAt - address);
    place(all, xsdt, xsdtAt - address);
    return all;
  }

  private static long align(long address) {
    return address + 15 & -16;
  }

  private static void place(byte[] all, byte[] table, long at) {
    System.arraycopy(table, 0, all, (int) at, table.length);
  }

  private static byte[] table(String signature, int revision, byte[] body) {
    byte[] result = new byte[HEADER + body.length];
    place(result, signature.getBytes(US_ASCII), 0);
    place(result, Aml.little(4, result.length), 4);
    result[8] = (byte) revision;
    place(result, OEM.getBytes(US_ASCII), 10);
    place(result, OEM_TABLE.getBytes(US_ASCII), 16);
    place(result, Aml.little(4, 1), 24);
    place(result, "RNGF".getBytes(US_ASCII), 28);
    place(result, Aml.little(4, 1), 32);
    place(result, body, HEADER);
    result[9] = checksum(result, result.length);
    return result;
  }

  /** The byte that makes the sum of all bytes 0. */
  private static byte checksum(byte[] bytes, int length) {
    int sum = 0;
    for (int i = 0; i < length; i++) {
      sum += bytes[i];
    }
    return (byte) -sum;
  }

  private static byte[] rsdp(long rsdt, long xsdt) {
    byte[] result = new byte[RSDP_SIZE];
    place(result, "RSD PTR ".getBytes(US_ASCII), 0);
    place(result, OEM.getBytes(US_ASCII), 9);
    result[15] = 2;
    place(result, Aml.little(4, rsdt), 16);
    place(result, Aml.little(4, RSDP_SIZE), 20);
    place(result, Aml.little(8, xsdt), 24);
    result[8] = checksum(result, 20);
    result[32] = checksum(result, RSDP_SIZE);
    return result;
  }

  private static byte[] pointerTable(String signature, int width, List<Long> tables) {
    ByteArrayOutputStream body = new ByteArrayOutputStream();
    for (long table : tables) {
      body.writeBytes(Aml.little(width, table));
    }
    return table(signature, 1, body.toByteArray());
  }

  /** Firmware ACPI control structure (section 5.2.10), which has no checksum. */
  private static byte[] facs() {
    byte[] result = new byte[FACS_SIZE];
    place(result, "FACS".getBytes(US_ASCII), 0);
    place(result, Aml.little(4, FACS_SIZE), 4);
    result[32] = 2;
    return result;
  }

  /** Generic address structure of a port (section 5.2.3.2). */
  private static byte[] portAddress(int port, int bits, int accessSize) {
    return Aml.concatenate(new byte[] {1, (byte) bits, 0, (byte) accessSize}, Aml.little(8, port));
  }

  /** Fixed ACPI description table (section 5.2.9, table 5.9), revision 6. */
  private static byte[] fadt(Description description, long facs, long dsdt) {
    byte[] t = new byte[FADT_SIZE];
    place(t, Aml.little(4, facs), 36);
    place(t, Aml.little(4, dsdt), 40);
    place(t, Aml.little(2, description.sci()), 46);
    // SMI_CMD at 48 is 0: there is no system management mode, the hardware is always in ACPI mode.
    place(t, Aml.little(4, description.pmBase()), 56);
    place(t, Aml.little(4, description.pmControl()), 64);
    place(t, Aml.little(4, description.pmTimer()), 76);
    t[88] = 4;
    t[89] = 2;
    t[91] = 4;
    // Worst-case latencies above these bounds say that C2 and C3 do not exist.
    place(t, Aml.little(2, 101), 96);
    place(t, Aml.little(2, 1001), 98);
    // Day and month alarm do not exist; the century is in CMOS byte 32H.
    t[108] = 0x32;
    place(t, Aml.little(2, BOOT_ARCHITECTURE), 109);
    place(t, Aml.little(4, FADT_FLAGS), 112);
    place(t, portAddress(description.resetPort(), 8, 1), 116);
    t[128] = (byte) description.resetValue();
    // FADT minor version.
    t[131] = 5;
    // X_FIRMWARE_CTRL at 132 stays 0, because FIRMWARE_CTRL is used.
    place(t, Aml.little(8, dsdt), 140);
    place(t, portAddress(description.pmBase(), 32, 2), 148);
    place(t, portAddress(description.pmControl(), 16, 2), 172);
    place(t, portAddress(description.pmTimer(), 32, 3), 208);
    byte[] body = new byte[FADT_SIZE - HEADER];
    System.arraycopy(t, HEADER, body, 0, body.length);
    return table("FACP", 6, body);
  }

  /** Multiple APIC description table (section 5.2.12). */
  private static byte[] madt(Description description) {
    ByteArrayOutputStream body = new ByteArrayOutputStream();
    body.writeBytes(Aml.little(4, 0xfee0_0000L));
    // PCAT_COMPAT: there is a pair of 8259s too.
    body.writeBytes(Aml.little(4, 1));
    for (int i = 0; i < description.processors(); i++) {
      body.writeBytes(new byte[] {0, 8, (byte) i, (byte) i});
      body.writeBytes(Aml.little(4, 1));
    }
    body.writeBytes(new byte[] {1, 12, 0, 0});
    body.writeBytes(Aml.little(4, 0xfec0_0000L));
    body.writeBytes(Aml.little(4, 0));
    // The timer arrives on pin 2, with the polarity and trigger mode of ISA.
    sourceOverride(body, 0, 2, 0);
    // The system control interrupt: active high, level.
    sourceOverride(body, description.sci(), description.sci(), 0x0d);
    // LINT1 of every processor is NMI.
    body.writeBytes(new byte[] {4, 6, (byte) 0xff, 0, 0, 1});
    return table("APIC", 5, body.toByteArray());
  }

  private static void sourceOverride(ByteArrayOutputStream body, int irq, int wire, int flags) {
    body.writeBytes(new byte[] {2, 10, 0, (byte) irq});
    body.writeBytes(Aml.little(4, wire));
    body.writeBytes(Aml.little(2, flags));
  }

  /** HPET description table (IA-PC HPET 1.0a, section 3.2.4). */
  private static byte[] hpet(Description description) {
    return table(
        "HPET",
        1,
        Aml.concatenate(
            Aml.little(4, description.hpetIdentifier() & 0xffff_ffffL),
            new byte[] {0, 64, 0, 0},
            Aml.little(8, description.hpetBase()),
            new byte[1],
            // Shortest period of a periodic timer in ticks.
            Aml.little(2, 100),
            new byte[1]));
  }

  private static byte[] dsdt(Description description) {
    return table("DSDT", 2, Dsdt.build(description));
  }
}
