package dev.ringfence.machine.device.virtio;

import static dev.ringfence.machine.device.virtio.VirtioFixture.BUFFERS;
import static dev.ringfence.machine.device.virtio.VirtioFixture.NEEDS_RESET;
import static dev.ringfence.machine.device.virtio.VirtioFixture.NEXT;
import static dev.ringfence.machine.device.virtio.VirtioFixture.WRITE;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.machine.device.host.RamDisk;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Block device against virtio 1.2, section 5.2. */
final class VirtioBlockTest {
  private static final long TABLE = VirtioFixture.table(0);
  private static final long HEADER = BUFFERS;
  private static final long STATUS = BUFFERS + 0x100;
  private static final long DATA = BUFFERS + 0x1000;

  private static final int IN = 0;
  private static final int OUT = 1;
  private static final int FLUSH = 4;
  private static final int GET_ID = 8;
  private static final int DISCARD = 11;
  private static final int WRITE_ZEROES = 13;

  private static final int OK = 0;
  private static final int IO_ERROR = 1;
  private static final int UNSUPPORTED = 2;

  private final VirtioFixture driver = new VirtioFixture();
  private final RamDisk disk = new RamDisk(1 << 20);

  private void start() {
    driver.attach(
        new VirtioBlock("disk-0", driver.memory, driver.bus, driver.clock, disk).transport());
    driver.start(0, 1);
  }

  @AfterEach
  void close() {
    driver.close();
  }

  /** Queues a request without notifying. */
  private void queue(int type, long sector, int dataLength, boolean deviceWrites) {
    driver.memory.writeInt(HEADER, type);
    driver.memory.writeInt(HEADER + 4, 0);
    driver.memory.writeLong(HEADER + 8, sector);
    driver.memory.writeByte(STATUS, (byte) 0x77);
    driver.descriptor(TABLE, 0, HEADER, 16, NEXT, dataLength == 0 ? 2 : 1);
    driver.descriptor(TABLE, 1, DATA, dataLength, NEXT | (deviceWrites ? WRITE : 0), 2);
    driver.descriptor(TABLE, 2, STATUS, 1, WRITE, 0);
    driver.offer(0, 0);
  }

  private int request(int type, long sector, int dataLength, boolean deviceWrites) {
    queue(type, sector, dataLength, deviceWrites);
    driver.notifyQueue(0);
    driver.advanceTo(driver.clock.now() + VirtioBlock.LATENCY);
    return driver.memory.readByte(STATUS);
  }

  private void range(long sector, int sectors, int flags) {
    driver.memory.writeLong(DATA, sector);
    driver.memory.writeInt(DATA + 8, sectors);
    driver.memory.writeInt(DATA + 12, flags);
  }

  @Test
  void theConfigurationTellsCapacityAndLimits() {
    start();
    assertEquals(2048, driver.read(0x2000, 8));
    assertEquals(254, driver.read(0x200c, 4));
    assertEquals(512, driver.read(0x2014, 4));
    driver.write(0, 4, 0);
    assertEquals(0x3000_0000 | 1 << 2 | 1 << 6 | 1 << 9 | 1 << 13 | 1 << 14, driver.read(4, 4));
  }

  @Test
  void aReadCopiesSectorsToMemory() {
    for (int i = 0; i < disk.content.length; i++) {
      disk.content[i] = (byte) (i / 512 + i);
    }
    start();
    assertEquals(OK, request(IN, 3, 1024, true));
    assertArrayEquals(Arrays.copyOfRange(disk.content, 1536, 2560), driver.bytes(DATA, 1024));
    assertEquals(1025, driver.usedLength(0, 0));
  }

  @Test
  void aWriteCopiesMemoryToSectors() {
    start();
    driver.memory.fill(DATA, 4096, (byte) 0x5a);
    assertEquals(OK, request(OUT, 8, 4096, false));
    assertEquals(0, disk.content[4095]);
    assertEquals(0x5a, disk.content[4096]);
    assertEquals(0x5a, disk.content[8191]);
    assertEquals(0, disk.content[8192]);
    assertEquals(1, driver.usedLength(0, 0));
  }

  @Test
  void completionTakesTheLatencyOfADisk() {
    start();
    queue(IN, 0, 512, true);
    driver.notifyQueue(0);
    driver.advanceTo(VirtioBlock.LATENCY - 1);
    assertEquals(0, driver.usedIndex(0));
    driver.advanceTo(VirtioBlock.LATENCY);
    assertEquals(1, driver.usedIndex(0));
    assertEquals(true, driver.line);
  }

  @Test
  void requestsBeyondTheEndFail() {
    start();
    assertEquals(IO_ERROR, request(IN, 2048, 512, true));
    assertEquals(IO_ERROR, request(IN, 2047, 1024, true));
    assertEquals(IO_ERROR, request(IN, -1, 512, true));
    assertEquals(IO_ERROR, request(OUT, Long.MAX_VALUE, 512, false));
    assertEquals(IO_ERROR, request(IN, 0, 100, true));
    assertEquals(OK, request(IN, 2047, 512, true));
  }

  @Test
  void aReadOnlyDiskRefusesWrites() {
    disk.readOnly = true;
    start();
    driver.write(0, 4, 0);
    assertEquals(1 << 5, driver.read(4, 4) & (1 << 5 | 1 << 13 | 1 << 14));
    assertEquals(IO_ERROR, request(OUT, 0, 512, false));
    range(0, 1, 0);
    assertEquals(IO_ERROR, request(WRITE_ZEROES, 0, 16, false));
    assertEquals(OK, request(IN, 0, 512, true));
  }

  @Test
  void aFailureOfTheHostIsAnIoError() {
    start();
    disk.broken = true;
    assertEquals(IO_ERROR, request(IN, 0, 512, true));
    assertEquals(IO_ERROR, request(OUT, 0, 512, false));
    assertEquals(IO_ERROR, request(FLUSH, 0, 0, false));
    assertEquals(15, driver.status());
  }

  @Test
  void flushReachesTheDisk() {
    start();
    assertEquals(OK, request(FLUSH, 0, 0, false));
    assertEquals(1, disk.flushes);
  }

  @Test
  void theIdentifierIsTheNameOfTheDisk() {
    start();
    assertEquals(OK, request(GET_ID, 0, 20, true));
    assertEquals("disk-0", new String(driver.bytes(DATA, 20), US_ASCII).trim());
  }

  @Test
  void writeZeroesClearsARange() {
    Arrays.fill(disk.content, (byte) 1);
    start();
    range(2, 2, 1);
    assertEquals(OK, request(WRITE_ZEROES, 0, 16, false));
    assertEquals(1, disk.content[1023]);
    assertEquals(0, disk.content[1024]);
    assertEquals(0, disk.content[2047]);
    assertEquals(1, disk.content[2048]);
    range(2040, 9, 0);
    assertEquals(IO_ERROR, request(WRITE_ZEROES, 0, 16, false));
    range(0, 1, 2);
    assertEquals(UNSUPPORTED, request(WRITE_ZEROES, 0, 16, false));
  }

  @Test
  void discardTakesOneRangeWithoutFlags() {
    start();
    range(0, 8, 0);
    assertEquals(OK, request(DISCARD, 0, 16, false));
    range(0, 8, 1);
    assertEquals(UNSUPPORTED, request(DISCARD, 0, 16, false));
    assertEquals(IO_ERROR, request(DISCARD, 0, 32, false));
  }

  @Test
  void unknownRequestsAreUnsupported() {
    start();
    assertEquals(UNSUPPORTED, request(99, 0, 512, true));
    assertEquals(513, driver.usedLength(0, 0));
  }

  @Test
  void aRequestWithoutStatusStopsTheDevice() {
    start();
    driver.descriptor(TABLE, 0, HEADER, 16, 0, 0);
    driver.offer(0, 0);
    driver.notifyQueue(0);
    driver.advanceTo(VirtioBlock.LATENCY);
    assertEquals(NEEDS_RESET, driver.status() & NEEDS_RESET);
    assertEquals(0, driver.usedIndex(0));
  }

  @Test
  void requestsThatArriveBeforeCompletionAreServedTogether() {
    start();
    queue(IN, 0, 512, true);
    driver.notifyQueue(0);
    driver.advanceTo(1000);
    driver.offer(0, 0);
    driver.notifyQueue(0);
    driver.advanceTo(VirtioBlock.LATENCY);
    assertEquals(2, driver.usedIndex(0));
  }
}
