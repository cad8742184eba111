package dev.ringfence.lab.run;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.GuestTroubleException;
import dev.ringfence.machine.Machine;
import dev.ringfence.machine.MachineConfiguration;
import dev.ringfence.machine.boot.BootFile;
import dev.ringfence.machine.boot.BootImage;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** A guest that halts with interrupts off, so that nothing ever wakes it. */
final class GuestSessionTest {
  /** CLI; HLT; JMP to the HLT. */
  private static final byte[] HALTED = HexFormat.of().parseHex("faf4ebfd");

  /** The same after channel 0 of the PIT was set to 100 Hz (mode 2): its IRQ stays pending. */
  private static final byte[] TICKING = HexFormat.of().parseHex("b034e643b09ce640b02ee640faf4ebfd");

  private static final long MILLISECOND = 1_000_000;

  private final Machine machine =
      new Machine(MachineConfiguration.of(MachineConfiguration.MINIMUM_MEMORY, 1));

  @AfterEach
  void close() {
    machine.close();
  }

  private GuestSession session(byte[] code) {
    machine.load(BootImage.of(BootFile.of("halted", elf(code))), "", List.of());
    OutputStream nowhere = OutputStream.nullOutputStream();
    return new GuestSession(machine, null, Long.MAX_VALUE, nowhere, nowhere, true);
  }

  /** A 64-bit executable of one segment. */
  static byte[] elf(byte[] code) {
    long address = 0x10_0000;
    int headers = 64 + 56;
    ByteBuffer file = ByteBuffer.allocate(headers + code.length).order(ByteOrder.LITTLE_ENDIAN);
    file.put(new byte[] {0x7f, 'E', 'L', 'F', 2, 1, 1}).position(16);
    file.putShort((short) 2).putShort((short) 62).putInt(1);
    file.putLong(address + headers).putLong(64).putLong(0).putInt(0);
    file.putShort((short) 64).putShort((short) 56).putShort((short) 1);
    file.position(64);
    file.putInt(1).putInt(7).putLong(0).putLong(address).putLong(address);
    file.putLong(headers + code.length).putLong(4096).putLong(4096);
    file.put(code);
    return file.array();
  }

  @Test
  void aGuestThatNothingWakesIsInTroubleIfNobodyCanType() {
    GuestSession session = session(HALTED);
    GuestTroubleException e = assertThrows(GuestTroubleException.class, session::runToEnd);
    assertTrue(e.getMessage().contains("executed nothing for an hour"), e.getMessage());
    assertEquals(2, machine.instructions());
  }

  @Test
  void timersThatDoNotWakeItChangeNothing() {
    GuestSession session = session(TICKING);
    GuestTroubleException e = assertThrows(GuestTroubleException.class, session::runToEnd);
    assertTrue(e.getMessage().contains("executed nothing for an hour"), e.getMessage());
    assertEquals(8, machine.instructions());
  }

  @Test
  void whereSomebodyMayTypeItIsWaitedFor() {
    GuestSession session = session(HALTED);
    for (int hour = 0; hour < 3; hour++) {
      assertEquals(Optional.empty(), session.advance(3_600_000 * MILLISECOND));
    }
  }
}
