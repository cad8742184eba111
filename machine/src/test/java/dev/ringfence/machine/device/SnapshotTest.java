package dev.ringfence.machine.device;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.ringfence.machine.device.host.RamDisk;
import dev.ringfence.machine.snapshot.SnapshotException;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** The contract of {@link Stateful}, for every part of the platform in the middle of its work. */
final class SnapshotTest {
  /** A board whose timers run, whose interrupts wait and whose queues hold input. */
  private static Board busyBoard() {
    Board board = new Board(new RamDisk(1 << 20));
    board.advanceTo(123_456);
    // PIC: initialized, all inputs open.
    for (int value : new int[] {0x11, 0x20, 0x04, 0x01, 0x00}) {
      board.out(value == 0x11 ? 0x20 : 0x21, value);
    }
    // PIT: channel 0 in mode 2, channel 2 in mode 3, one byte of its count written.
    board.out(0x43, 0x34);
    board.out(0x40, 0xa9);
    board.out(0x40, 0x04);
    board.out(0x43, 0xb6);
    board.out(0x42, 0x12);
    // RTC: periodic and update interrupts.
    board.out(0x70, 0x0b);
    board.out(0x71, 0x52);
    // Serial: input waits beyond the FIFO.
    board.out(0x3f9, 1);
    board.out(0x3fc, 8);
    board.platform.receiveSerial(
        "more than sixteen characters".getBytes(java.nio.charset.StandardCharsets.US_ASCII));
    board.platform.receiveConsole(new byte[] {1, 2, 3});
    // HPET: timer 2 periodic on wire 21.
    board.memory.devices().write(0xfed0_0140L, 4, 21 << 9 | 0x4c);
    board.memory.devices().write(0xfed0_0148L, 4, 5000);
    board.memory.devices().write(0xfed0_0148L, 4, 5000);
    board.memory.devices().write(0xfed0_0010L, 4, 1);
    // ACPI: timer status enabled.
    board.ports.write(0x602, 2, 1);
    // Local APIC: periodic timer.
    board.memory.devices().write(0xfee0_0320L, 4, 0x2_0031);
    board.memory.devices().write(0xfee0_0380L, 4, 100_000);
    board.advanceTo(20_000_000);
    return board;
  }

  private static byte[] save(Stateful part) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    StateWriter out = new StateWriter(bytes);
    part.save(out);
    out.flush();
    return bytes.toByteArray();
  }

  private static void restore(Stateful part, byte[] state) {
    part.restore(new StateReader(new ByteArrayInputStream(state), part.stateName()));
  }

  @TestFactory
  Stream<DynamicTest> eachPartRestoresWhatItSaved() {
    Board busy = busyBoard();
    Board fresh = new Board(new RamDisk(1 << 20));
    fresh.clock.setNow(busy.clock.now());
    return Stream.iterate(0, i -> i < busy.platform.parts().size(), i -> i + 1)
        .map(i -> {
          Stateful part = busy.platform.parts().get(i);
          return DynamicTest.dynamicTest(
              part.stateName(),
              () -> {
                byte[] state = save(part);
                Stateful other = fresh.platform.parts().get(i);
                assertEquals(part.stateName(), other.stateName());
                restore(other, state);
                assertArrayEquals(state, save(other));
              });
        })
        .onClose(busy::close)
        .onClose(fresh::close);
  }

  @TestFactory
  Stream<DynamicTest> eachPartRefusesAStateThatEndsEarly() {
    Board board = busyBoard();
    return board.platform.parts().stream()
        .map(part ->
            DynamicTest.dynamicTest(
                part.stateName(),
                () -> {
                  byte[] state = save(part);
                  byte[] cut = Arrays.copyOf(state, state.length - 1);
                  assertThrows(SnapshotException.class, () -> restore(part, cut));
                }))
        .onClose(board::close);
  }

  @Test
  void aRestoredBoardGoesOnAsTheSavedOne() {
    try (Board board = busyBoard();
        Board other = new Board(new RamDisk(1 << 20))) {
      other.restore(board.save());
      assertEquals(board.clock.nextDeadline(), other.clock.nextDeadline());
      for (int step = 1; step <= 20; step++) {
        long time = 20_000_000 + step * 777_777L;
        board.advanceTo(time);
        other.advanceTo(time);
        assertArrayEquals(board.save(), other.save(), "at " + time);
      }
    }
  }

  @Test
  void aBoardThatWasBusyRestoresAsWell() {
    try (Board board = busyBoard();
        Board other = busyBoard()) {
      byte[] state = board.save();
      other.advanceTo(77_000_000);
      other.platform.receiveSerial(new byte[40]);
      other.restore(state);
      assertArrayEquals(state, other.save());
    }
  }
}
