package dev.ringfence.machine.device.virtio;

import static dev.ringfence.machine.device.virtio.VirtioFixture.BUFFERS;
import static dev.ringfence.machine.device.virtio.VirtioFixture.NEXT;
import static dev.ringfence.machine.device.virtio.VirtioFixture.WRITE;
import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Console against virtio 1.2, section 5.3. */
final class VirtioConsoleTest {
  private static final int RECEIVE = 0;
  private static final int TRANSMIT = 1;

  private final VirtioFixture driver = new VirtioFixture();
  private final ByteArrayOutputStream output = new ByteArrayOutputStream();
  private final VirtioConsole console =
      new VirtioConsole("console", driver.memory, driver.bus, output::write);

  @BeforeEach
  void start() {
    driver.attach(console.transport());
    driver.start(0, 2);
  }

  @AfterEach
  void close() {
    driver.close();
  }

  private void offerReceiveBuffer(int index, int length) {
    driver.descriptor(
        VirtioFixture.table(RECEIVE), index, BUFFERS + 0x100L * index, length, WRITE, 0);
    driver.offer(RECEIVE, index);
    driver.notifyQueue(RECEIVE);
  }

  @Test
  void transmittedBuffersReachTheSink() {
    driver.memory.write(BUFFERS, "hello".getBytes(US_ASCII), 0, 5);
    driver.descriptor(VirtioFixture.table(TRANSMIT), 0, BUFFERS, 2, NEXT, 1);
    driver.descriptor(VirtioFixture.table(TRANSMIT), 1, BUFFERS + 2, 3, 0, 0);
    driver.offer(TRANSMIT, 0);
    driver.notifyQueue(TRANSMIT);
    assertEquals("hello", output.toString(US_ASCII));
    assertEquals(1, driver.usedIndex(TRANSMIT));
    assertEquals(0, driver.usedLength(TRANSMIT, 0));
    assertTrue(driver.line);
  }

  @Test
  void inputGoesIntoABufferThatWaits() {
    offerReceiveBuffer(0, 16);
    assertEquals(0, driver.usedIndex(RECEIVE));
    console.receive("abc".getBytes(US_ASCII));
    assertEquals(1, driver.usedIndex(RECEIVE));
    assertEquals(3, driver.usedLength(RECEIVE, 0));
    assertArrayEquals("abc".getBytes(US_ASCII), driver.bytes(BUFFERS, 3));
    assertTrue(driver.line);
  }

  @Test
  void inputWaitsForABuffer() {
    console.receive("abcdef".getBytes(US_ASCII));
    offerReceiveBuffer(0, 4);
    assertEquals(4, driver.usedLength(RECEIVE, 0));
    offerReceiveBuffer(1, 4);
    assertEquals(2, driver.usedLength(RECEIVE, 1));
    assertArrayEquals("ef".getBytes(US_ASCII), driver.bytes(BUFFERS + 0x100, 2));
  }

  @Test
  void aReceiveBufferWithoutRoomStopsTheDevice() {
    driver.descriptor(VirtioFixture.table(RECEIVE), 0, BUFFERS, 8, 0, 0);
    driver.offer(RECEIVE, 0);
    console.receive(new byte[] {1});
    assertEquals(VirtioFixture.NEEDS_RESET, driver.status() & VirtioFixture.NEEDS_RESET);
  }
}
