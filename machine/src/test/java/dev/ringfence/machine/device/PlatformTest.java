package dev.ringfence.machine.device;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.boot.MemoryRange;
import dev.ringfence.machine.device.host.RamDisk;
import dev.ringfence.machine.interrupt.LocalApic;
import dev.ringfence.machine.snapshot.Stateful;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** The board as a whole: what is wired to what. */
final class PlatformTest {
  private static final long IO_APIC = 0xfec0_0000L;
  private static final long HPET = 0xfed0_0000L;
  private static final long LOCAL_APIC = 0xfee0_0000L;

  private final Board board = new Board(new RamDisk(1 << 20), new RamDisk(1 << 20));
  private final LocalApic apic = board.platform.localApics().getFirst();

  @AfterEach
  void close() {
    board.close();
  }

  private void writeMemory(long address, long value) {
    board.memory.devices().write(address, 4, value);
  }

  /** Routes a pin of the I/O APIC to the first processor. */
  private void route(int pin, int entry) {
    writeMemory(IO_APIC, 0x10 + 2 * pin);
    writeMemory(IO_APIC + 0x10, entry);
  }

  private void startPit() {
    board.out(0x43, 0x34);
    board.out(0x40, 0xa9);
    board.out(0x40, 0x04);
  }

  @Test
  void everyPartHasANameOfItsOwn() {
    Set<String> names = new HashSet<>();
    for (Stateful part : board.platform.parts()) {
      names.add(part.stateName());
    }
    assertEquals(board.platform.parts().size(), names.size());
  }

  @Test
  void theAcpiTablesLieInRam() {
    byte[] signature = new byte[8];
    board.memory.read(Platform.ACPI_ADDRESS, signature, 0, 8);
    assertEquals("RSD PTR ", new String(signature, US_ASCII));
    assertEquals(Platform.ACPI_ADDRESS, board.platform.firmware().rsdpAddress());
    byte[] tables = board.platform.acpiTables();
    byte[] inRam = new byte[tables.length];
    board.memory.read(Platform.ACPI_ADDRESS, inRam, 0, inRam.length);
    assertArrayEquals(tables, inRam);
  }

  @Test
  void theMemoryMapReservesWhatTheBoardTook() {
    List<MemoryRange> ranges = board.platform.firmware().ranges();
    assertTrue(ranges.stream().anyMatch(range -> range.start() == 0xe_0000));
    for (MemoryRange range : ranges) {
      assertEquals(MemoryRange.Type.RESERVED, range.type());
    }
  }

  @Test
  void theTimerInterruptsThroughTheIoApic() {
    route(2, 0x30);
    startPit();
    board.advanceTo(2_000_000);
    assertEquals(0x30, apic.acknowledge());
  }

  @Test
  void firmwareLeavesVirtualWireModeToTheBootstrapProcessor() {
    for (int value : new int[] {0x11, 0x20, 0x04, 0x01, 0xfe}) {
      board.out(value == 0x11 ? 0x20 : 0x21, value);
    }
    startPit();
    board.advanceTo(2_000_000);
    assertFalse(board.platform.localApics().get(1).hasInterrupt());
    assertEquals(0x20, apic.acknowledge());
  }

  @Test
  void theHpetReplacesTheTimer() {
    route(2, 0x30);
    writeMemory(HPET + 0x10, 3);
    startPit();
    board.advanceTo(2_000_000);
    assertFalse(apic.hasInterrupt());
    writeMemory(HPET + 0x108, 300_000);
    writeMemory(HPET + 0x10c, 0);
    writeMemory(HPET + 0x100, 4);
    board.advanceTo(3_000_000);
    assertEquals(0x30, apic.acknowledge());
  }

  @Test
  void theSerialPortPrintsAndInterrupts() {
    route(4, 0x34);
    board.out(0x3f8, 'x');
    assertEquals("x", board.serial.toString(US_ASCII));
    board.out(0x3fc, 8);
    board.out(0x3f9, 1);
    board.platform.receiveSerial(new byte[] {'y'});
    assertEquals(0x34, apic.acknowledge());
    assertEquals('y', board.in(0x3f8));
  }

  @Test
  void thePowerButtonRaisesTheSystemControlInterrupt() {
    route(9, 0x8039);
    board.ports.write(0x602, 2, 0x100);
    board.platform.pressPowerButton();
    assertEquals(0x39, apic.acknowledge());
  }

  @Test
  void disksFollowConsoleAndEntropyOnThePciBus() {
    int[] expected = {0x0008_1b36, 0x1043_1af4, 0x1044_1af4, 0x1042_1af4, 0x1042_1af4, -1};
    for (int device = 0; device < expected.length; device++) {
      board.ports.write(0xcf8, 4, 0x8000_0000L | device << 11);
      assertEquals(expected[device], (int) board.ports.read(0xcfc, 4), "device " + device);
    }
  }

  @Test
  void registersOfDifferentProcessorsAreSeparate() {
    board.accessing = 1;
    writeMemory(LOCAL_APIC + 0x80, 0x40);
    assertEquals(0x40, board.memory.devices().read(LOCAL_APIC + 0x80, 4));
    board.accessing = 0;
    assertEquals(0, board.memory.devices().read(LOCAL_APIC + 0x80, 4));
  }

  @Test
  void switchingOffReachesTheMachine() {
    board.ports.write(0x604, 2, 0x3401);
    assertEquals(List.of("power off"), board.events);
  }
}
