package dev.ringfence.machine.device;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Devices of a few registers, in their places on the board. */
final class SmallDevicesTest {
  private final Board board = new Board();

  @AfterEach
  void close() {
    board.close();
  }

  @Test
  void thePulseCommandOfTheKeyboardControllerResets() {
    board.out(0x64, 0xfe);
    assertEquals(List.of("reset"), board.events);
  }

  @Test
  void theOutputPortOfTheKeyboardControllerResets() {
    board.out(0x64, 0xd1);
    board.out(0x60, 0xdf);
    assertEquals(List.of(), board.events);
    board.out(0x64, 0xd1);
    board.out(0x60, 0xfe);
    assertEquals(List.of("reset"), board.events);
  }

  @Test
  void theKeyboardControllerPassesItsTests() {
    board.out(0x64, 0xaa);
    assertEquals(1, board.in(0x64) & 1);
    assertEquals(0x55, board.in(0x60));
    assertEquals(0, board.in(0x64) & 1);
    board.out(0x64, 0xab);
    assertEquals(0, board.in(0x60));
    board.out(0x64, 0x60);
    board.out(0x60, 0x47);
    board.out(0x64, 0x20);
    assertEquals(0x47, board.in(0x60));
  }

  @Test
  void aByteForAMissingKeyboardTimesOut() {
    board.out(0x60, 0xff);
    assertEquals(0x41, board.in(0x64) & 0x41);
    assertEquals(0xfe, board.in(0x60));
    assertEquals(0, board.in(0x64) & 0x41);
  }

  @Test
  void port92ResetsOnTheRisingEdge() {
    assertEquals(2, board.in(0x92));
    board.out(0x92, 3);
    board.out(0x92, 3);
    assertEquals(List.of("reset"), board.events);
  }

  @Test
  void portCf9ResetsOnTheRisingEdgeOfBitTwo() {
    board.out(0xcf9, 2);
    assertEquals(List.of(), board.events);
    board.out(0xcf9, 6);
    assertEquals(List.of("reset"), board.events);
    assertEquals(6, board.in(0xcf9));
  }

  @Test
  void debugExitEndsTheRunWithTwiceTheValuePlusOne() {
    board.ports.write(0xf4, 4, 0);
    board.ports.write(0xf4, 1, 0x10);
    assertEquals(List.of("exit 1", "exit 33"), board.events);
  }

  @Test
  void aDebugExitPortOverAnotherDeviceIsRefused() {
    IoSpace ports = new IoSpace("port");
    PhysicalMemory memory = new PhysicalMemory(16 << 20);
    assertThrows(
        BadInputException.class,
        () ->
            new Platform(
                new PlatformConfiguration(
                    1,
                    46,
                    new Frequency(25_000_000),
                    Board.START,
                    1,
                    List.of(),
                    value -> {},
                    value -> {},
                    value -> {},
                    0x3f6),
                memory,
                ports,
                new VirtualClock(),
                new Frequency(1_000_000_000),
                () -> 0,
                new AcpiPowerManagementTest.RecordingControl(board.events)));
    memory.close();
  }

  @Test
  void theTestDeviceLatchesWhatIsWritten() {
    board.ports.write(0xe0, 4, 0x1234_5678);
    assertEquals(0x1234_5678, board.ports.read(0xe0, 4));
    assertEquals(0x5678, board.ports.read(0xe0, 2));
    assertEquals(0x12, board.in(0xe3));
    board.memory.devices().write(0xff00_0008L, 8, 0x1122_3344_5566_7788L);
    assertEquals(0x5566, board.memory.devices().read(0xff00_000aL, 2));
  }

  @Test
  void theTestDeviceDrivesInterruptWires() {
    board.memory.devices().write(0xfee0_00f0L, 4, 0x1ff);
    board.memory.devices().write(0xfec0_0000L, 4, 0x10 + 2 * 5);
    board.memory.devices().write(0xfec0_0010L, 4, 0x45);
    board.out(0x2005, 1);
    assertEquals(0x45, board.platform.localApics().get(0).acknowledge());
  }

  @Test
  void firmwareConfigurationTellsProcessorsAndMemory() {
    board.ports.write(0x510, 2, 0);
    StringBuilder signature = new StringBuilder();
    for (int i = 0; i < 4; i++) {
      signature.append((char) board.in(0x511));
    }
    assertEquals("QEMU", signature.toString());
    board.ports.write(0x510, 2, 5);
    assertEquals(2, board.in(0x511));
    assertEquals(0, board.in(0x511));
    assertEquals(0, board.in(0x511));
    board.ports.write(0x510, 2, 3);
    long size = 0;
    for (int i = 0; i < 8; i++) {
      size |= (long) board.in(0x511) << 8 * i;
    }
    assertEquals(16 << 20, size);
  }

  @Test
  void unusedPortsReadAsOnes() {
    assertEquals(0xff, board.in(0x80));
    board.out(0x80, 0x55);
  }
}
