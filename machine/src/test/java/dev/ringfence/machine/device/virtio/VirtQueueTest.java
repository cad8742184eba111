package dev.ringfence.machine.device.virtio;

import static dev.ringfence.machine.device.virtio.VirtioFixture.BUFFERS;
import static dev.ringfence.machine.device.virtio.VirtioFixture.INDIRECT;
import static dev.ringfence.machine.device.virtio.VirtioFixture.NEXT;
import static dev.ringfence.machine.device.virtio.VirtioFixture.WRITE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Split virtqueues (virtio 1.2, section 2.7) of good and of hostile drivers. */
final class VirtQueueTest {
  private static final long TABLE = VirtioFixture.table(0);

  private final VirtioFixture driver = new VirtioFixture();
  private final VirtQueue queue = new VirtQueue(driver.memory, 8);

  @BeforeEach
  void setUp() {
    queue.setDescriptors(TABLE);
    queue.setAvailable(VirtioFixture.available(0));
    queue.setUsed(VirtioFixture.used(0));
    queue.enable(true, false);
  }

  @AfterEach
  void close() {
    driver.close();
  }

  private DescriptorChain take() throws VirtQueueException {
    queue.beginRound();
    DescriptorChain chain = queue.next();
    assertTrue(chain != null);
    return chain;
  }

  private void assertRefused() {
    assertThrows(VirtQueueException.class, this::take);
  }

  @Test
  void aChainIsReadAndWrittenThroughItsBuffers() throws VirtQueueException {
    driver.memory.write(BUFFERS, new byte[] {1, 2, 3, 4}, 0, 4);
    driver.descriptor(TABLE, 0, BUFFERS, 3, NEXT, 2);
    driver.descriptor(TABLE, 2, BUFFERS + 3, 1, NEXT, 1);
    driver.descriptor(TABLE, 1, BUFFERS + 0x100, 2, NEXT | WRITE, 5);
    driver.descriptor(TABLE, 5, BUFFERS + 0x200, 3, WRITE, 0);
    driver.offer(0, 0);
    DescriptorChain chain = take();
    assertEquals(4, chain.readableBytes());
    assertEquals(5, chain.writableBytes());
    assertEquals("[1, 2]", Arrays.toString(chain.read(2)));
    assertEquals("[3, 4]", Arrays.toString(chain.read(9)));
    chain.write(new byte[] {9, 8, 7});
    chain.write(new byte[] {6, 5, 4});
    assertEquals(5, chain.written());
    assertEquals(0x0809, driver.memory.readShort(BUFFERS + 0x100));
    assertEquals(0x0005_0607, driver.memory.readInt(BUFFERS + 0x200));
    queue.complete(chain);
    assertEquals(1, driver.usedIndex(0));
    assertEquals(0, driver.usedHead(0, 0));
    assertEquals(5, driver.usedLength(0, 0));
    assertNull(queue.next());
  }

  @Test
  void indirectTablesHoldChains() throws VirtQueueException {
    long table = VirtioFixture.indirectTable(0);
    driver.descriptor(TABLE, 3, table, 48, INDIRECT, 0);
    driver.descriptor(table, 0, BUFFERS, 10, NEXT, 2);
    driver.descriptor(table, 2, BUFFERS, 20, WRITE, 0);
    driver.offer(0, 3);
    DescriptorChain chain = take();
    assertEquals(3, chain.head());
    assertEquals(10, chain.readableBytes());
    assertEquals(20, chain.writableBytes());
  }

  @Test
  void indexesWrap() throws VirtQueueException {
    for (int i = 0; i < 66_000; i++) {
      driver.descriptor(TABLE, i % 8, BUFFERS, 4, WRITE, 0);
      driver.offer(0, i % 8);
      DescriptorChain chain = take();
      assertEquals(i % 8, chain.head());
      queue.complete(chain);
      boolean unused = queue.endRound();
    }
    assertEquals(66_000 & 0xffff, driver.usedIndex(0));
  }

  @Test
  void aLoopIsRefused() {
    driver.descriptor(TABLE, 0, BUFFERS, 1, NEXT, 1);
    driver.descriptor(TABLE, 1, BUFFERS, 1, NEXT, 0);
    driver.offer(0, 0);
    assertRefused();
  }

  @Test
  void aHeadOutsideTheTableIsRefused() {
    driver.offer(0, 8);
    assertRefused();
  }

  @Test
  void aNextOutsideTheTableIsRefused() {
    driver.descriptor(TABLE, 0, BUFFERS, 1, NEXT, 0xffff);
    driver.offer(0, 0);
    assertRefused();
  }

  @ParameterizedTest
  @ValueSource(longs = {-1, 1 << 24, (1 << 24) - 3, 0xfee0_0000L, Long.MAX_VALUE, Long.MIN_VALUE})
  void aBufferOutsideRamIsRefused(long address) {
    driver.descriptor(TABLE, 0, address, 4, WRITE, 0);
    driver.offer(0, 0);
    assertRefused();
  }

  @ParameterizedTest
  @ValueSource(ints = {-1, Integer.MIN_VALUE, 1 << 24})
  void aBufferThatIsTooLongIsRefused(int length) {
    driver.descriptor(TABLE, 0, BUFFERS, length, WRITE, 0);
    driver.offer(0, 0);
    assertRefused();
  }

  @Test
  void aChainOfHugeBuffersIsRefused() {
    for (int i = 0; i < 8; i++) {
      driver.descriptor(TABLE, i, 0, 15 << 20, i < 7 ? NEXT : 0, i + 1);
    }
    driver.offer(0, 0);
    assertRefused();
  }

  @Test
  void aBufferToReadAfterOneToWriteIsRefused() {
    driver.descriptor(TABLE, 0, BUFFERS, 4, WRITE | NEXT, 1);
    driver.descriptor(TABLE, 1, BUFFERS, 4, 0, 0);
    driver.offer(0, 0);
    assertRefused();
  }

  @Test
  void moreChainsThanTheQueueHoldsAreRefused() {
    driver.memory.writeShort(VirtioFixture.available(0) + 2, (short) 9);
    assertRefused();
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 15, 17, -16, 1 << 30})
  void anIndirectTableOfOddSizeIsRefused(int length) {
    driver.descriptor(TABLE, 0, VirtioFixture.indirectTable(0), length, INDIRECT, 0);
    driver.offer(0, 0);
    assertRefused();
  }

  @Test
  void anIndirectTableInsideAnotherIsRefused() {
    long table = VirtioFixture.indirectTable(0);
    driver.descriptor(TABLE, 0, table, 16, INDIRECT, 0);
    driver.descriptor(table, 0, table, 16, INDIRECT, 0);
    driver.offer(0, 0);
    assertRefused();
  }

  @Test
  void indirectTablesAreRefusedUnlessNegotiated() {
    queue.reset();
    queue.setDescriptors(TABLE);
    queue.setAvailable(VirtioFixture.available(0));
    queue.setUsed(VirtioFixture.used(0));
    queue.enable(false, false);
    driver.descriptor(TABLE, 0, VirtioFixture.indirectTable(0), 16, INDIRECT, 0);
    driver.offer(0, 0);
    assertRefused();
  }

  @Test
  void ringsOutsideRamAreRefused() {
    for (int part = 0; part < 3; part++) {
      queue.reset();
      queue.setDescriptors(part == 0 ? 0x1_0000_0000L : TABLE);
      queue.setAvailable(part == 1 ? 0xfee0_0000L : VirtioFixture.available(0));
      queue.setUsed(part == 2 ? 0xffff_f000L : VirtioFixture.used(0));
      queue.enable(true, false);
      driver.memory.fill(VirtioFixture.available(0), 64, (byte) 0);
      driver.descriptor(TABLE, 0, BUFFERS, 4, WRITE, 0);
      driver.offer(0, 0);
      assertThrows(VirtQueueException.class, () -> queue.complete(take()), "part " + part);
    }
  }

  @Test
  void aRoundEndsEvenIfTheDeviceWritesTheRingItself() throws VirtQueueException {
    // The buffer covers the index of the available ring.
    driver.descriptor(TABLE, 0, VirtioFixture.available(0) + 2, 2, WRITE, 0);
    driver.offer(0, 0);
    queue.beginRound();
    DescriptorChain chain = queue.next();
    assertTrue(chain != null);
    chain.write(new byte[] {5, 0});
    assertNull(queue.next());
  }

  @ParameterizedTest
  @ValueSource(longs = {1, 2, 3, 4, 5})
  void randomRingsDoNoHarm(long seed) {
    Random random = new Random(seed);
    byte[] noise = new byte[0x4000];
    for (int round = 0; round < 300; round++) {
      random.nextBytes(noise);
      // Small numbers reach deeper than large ones.
      for (int i = 0; i < noise.length; i++) {
        if (random.nextInt(4) > 0) {
          noise[i] = (byte) (i % 16 < 8 ? 0 : noise[i] & 7);
        }
      }
      driver.memory.write(TABLE, noise, 0, noise.length);
      queue.reset();
      queue.setDescriptors(TABLE);
      queue.setAvailable(VirtioFixture.available(0));
      queue.setUsed(VirtioFixture.used(0));
      queue.enable(true, random.nextBoolean());
      try {
        queue.beginRound();
        for (DescriptorChain chain = queue.next(); chain != null; chain = queue.next()) {
          byte[] unused = chain.read(100);
          chain.write(noise);
          queue.complete(chain);
        }
        boolean unused = queue.endRound();
      } catch (VirtQueueException e) {
        // What a hostile ring deserves.
      } catch (RuntimeException | Error e) {
        throw new AssertionError("seed " + seed + ", round " + round, e);
      }
    }
  }
}
