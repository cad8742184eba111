package dev.ringfence.machine.device.acpi;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * ACPI tables against ACPI 6.5, chapter 5, and against Intel's own compiler where it is installed.
 */
final class AcpiTablesTest {
  private static final long ADDRESS = 0xe_0000;

  private static byte[] build(int processors) {
    return AcpiTables.build(
        new AcpiTables.Description(
            processors,
            9,
            0x600,
            0x604,
            0x608,
            5,
            0xcf9,
            6,
            0xfed0_0000L,
            0x8086_a201,
            0xc000_0000L,
            0xfebf_ffffL),
        ADDRESS);
  }

  private static ByteBuffer little(byte[] bytes) {
    return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
  }

  /** The tables by signature, found as a system finds them: from the RSDP. */
  private static Map<String, byte[]> find(byte[] all) {
    Map<String, byte[]> tables = new LinkedHashMap<>();
    byte[] xsdt = table(all, little(all).getLong(24));
    tables.put("XSDT", xsdt);
    tables.put("RSDT", table(all, little(all).getInt(16)));
    for (int at = 36; at < xsdt.length; at += 8) {
      byte[] found = table(all, little(xsdt).getLong(at));
      tables.put(new String(found, 0, 4, US_ASCII), found);
    }
    byte[] fadt = tables.get("FACP");
    tables.put("DSDT", table(all, little(fadt).getLong(140)));
    tables.put("FACS", table(all, little(fadt).getInt(36)));
    return tables;
  }

  private static byte[] table(byte[] all, long address) {
    int at = (int) (address - ADDRESS);
    return Arrays.copyOfRange(all, at, at + little(all).getInt(at + 4));
  }

  private static int sum(byte[] bytes, int length) {
    int sum = 0;
    for (int i = 0; i < length; i++) {
      sum += bytes[i];
    }
    return sum & 0xff;
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 64, 255})
  void allTablesAreFoundAndHaveAChecksumOfZero(int processors) {
    byte[] all = build(processors);
    assertEquals("RSD PTR ", new String(all, 0, 8, US_ASCII));
    assertEquals(0, sum(all, 20));
    assertEquals(0, sum(all, 36));
    Map<String, byte[]> tables = find(all);
    assertEquals(
        List.of("XSDT", "RSDT", "FACP", "APIC", "HPET", "DSDT", "FACS"),
        new ArrayList<>(tables.keySet()));
    tables.forEach((signature, bytes) -> {
      assertEquals(signature, new String(bytes, 0, 4, US_ASCII));
      if (!signature.equals("FACS")) {
        assertEquals(0, sum(bytes, bytes.length), signature);
      }
    });
    assertTrue(all.length < 0x2_0000, "tables of " + all.length + " bytes do not fit");
  }

  @Test
  void theMadtListsProcessorsAndOverrides() {
    byte[] madt = find(build(3)).get("APIC");
    List<String> entries = new ArrayList<>();
    int at = 44;
    while (at < madt.length) {
      entries.add(madt[at] + ":" + madt[at + 3]);
      at += madt[at + 1];
    }
    // Processors 0 to 2, I/O APIC, overrides of IRQ 0 and 9, NMI.
    assertEquals(List.of("0:0", "0:1", "0:2", "1:0", "2:0", "2:9", "4:0"), entries);
    assertEquals(madt.length, at);
  }

  @Test
  void withoutHpetThereIsNoTableForIt() {
    byte[] all =
        AcpiTables.build(
            new AcpiTables.Description(
                1, 9, 0x600, 0x604, 0x608, 5, 0xcf9, 6, 0, 0, 0xc000_0000L, 0xfebf_ffffL),
            ADDRESS);
    assertFalse(find(all).containsKey("HPET"));
  }

  private static String run(Path folder, String... command)
      throws IOException, InterruptedException {
    Process process =
        new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), UTF_8);
    int unused = process.waitFor();
    return output;
  }

  @Test
  void theCompilerOfAcpicaFindsNoFault(@TempDir Path folder)
      throws IOException, InterruptedException {
    Assumptions.assumeTrue(Files.isExecutable(Path.of("/usr/bin/iasl")), "iasl is not installed");
    for (Map.Entry<String, byte[]> table : find(build(2)).entrySet()) {
      String name = table.getKey();
      if (name.equals("RSDT") || name.equals("FACS")) {
        continue;
      }
      Files.write(folder.resolve(name + ".dat"), table.getValue());
      String disassembly = run(folder, "/usr/bin/iasl", "-d", name + ".dat");
      String source = Files.readString(folder.resolve(name + ".dsl"));
      assertFalse(
          (disassembly + source).matches("(?is).*(invalid|unknown|error|warning).*"),
          disassembly + source);
      if (name.equals("DSDT")) {
        String compilation = run(folder, "/usr/bin/iasl", "-tc", "DSDT.dsl");
        assertTrue(compilation.contains("0 Errors, 0 Warnings"), compilation);
      }
    }
  }
}
