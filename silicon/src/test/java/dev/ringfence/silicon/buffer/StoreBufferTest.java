package dev.ringfence.silicon.buffer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import dev.ringfence.silicon.buffer.StoreBuffer.Outcome;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The rules of store forwarding (Intel optimization manual, "Store Forwarding" and "4-KByte
 * Aliasing"), of speculative store bypass, and of Fallout. 56 entries, as Skylake has.
 */
final class StoreBufferTest {
  private static final long LINEAR = 0x7fff_0000_1230L;
  private static final long PHYSICAL = 0x5230;

  private final StoreBuffer buffer = new StoreBuffer(56, 2);

  private int store(int thread, long offset, int bytes, long value, long addressAt, long drain) {
    int entry = buffer.allocate(thread, LINEAR + offset, PHYSICAL + offset, bytes, addressAt);
    buffer.data(entry, value, 0, addressAt);
    buffer.before(entry, 0, 0);
    buffer.drain(thread, entry, drain);
    return entry;
  }

  private Outcome load(int thread, long offset, int bytes, long now) {
    return buffer.compare(thread, LINEAR + offset, PHYSICAL + offset, bytes, now);
  }

  @ParameterizedTest
  @CsvSource({
    "0, 8, 0, 8, FORWARD", "0, 8, 0, 4, FORWARD", "0, 8, 4, 4, FORWARD", "0, 8, 7, 1, FORWARD",
    "0, 16, 8, 8, FORWARD", "0, 4, 0, 8, BLOCKED", "0, 8, 4, 8, BLOCKED", "4, 4, 0, 8, BLOCKED",
    "0, 8, 8, 8, CACHE", "8, 8, 0, 8, CACHE", "0, 1, 1, 1, CACHE"
  })
  void aLoadIsForwardedIfOneStoreHasAllItsBytes(
      int storeAt, int storeBytes, int loadAt, int loadBytes, Outcome expected) {
    int entry = store(0, storeAt, storeBytes, -1, 0, 1000);
    assertEquals(expected, load(0, loadAt, loadBytes, 10));
    assertEquals(expected == Outcome.CACHE ? StoreBuffer.NONE : entry, buffer.found());
  }

  @Test
  void theYoungestStoreForwards() {
    store(0, 0, 8, 1, 0, 1000);
    int youngest = store(0, 0, 8, 2, 0, 1001);
    store(0, 64, 8, 3, 0, 1002);
    assertEquals(Outcome.FORWARD, load(0, 0, 8, 10));
    assertEquals(youngest, buffer.found());
    assertEquals(2, buffer.read(buffer.found(), 0));
  }

  @Test
  void twoStoresThatTogetherHaveTheBytesBlock() {
    store(0, 0, 4, 1, 0, 1000);
    store(0, 4, 4, 2, 0, 1001);
    assertEquals(Outcome.BLOCKED, load(0, 0, 8, 10));
    assertEquals(1001, buffer.drainedEntryAt(buffer.found()));
    assertEquals(Outcome.CACHE, load(0, 0, 8, 1001));
  }

  @Test
  void bytesOfAnEntryAreReadFromAnyOn() {
    int entry = store(0, 0, 16, 0x0706050403020100L, 0, 1000);
    buffer.data(entry, 0x0706050403020100L, 0x0f0e0d0c0b0a0908L, 0);
    assertEquals(0x0a09080706050403L, buffer.read(entry, 3));
    assertEquals(0x0f0eL, buffer.read(entry, 14));
    assertEquals(0x0f0e0d0c0b0a0908L, buffer.read(entry, 8));
  }

  /** "The load is reissued after the store is retired" when bits 11:5 match, but not the rest. */
  @Test
  void equalPageOffsetsOfOtherPagesAlias() {
    int entry = store(0, 0, 8, -1, 0, 1000);
    assertEquals(Outcome.ALIAS, buffer.compare(0, LINEAR + 0x3000, PHYSICAL + 0x3000, 8, 10));
    assertEquals(entry, buffer.found());
    assertEquals(Outcome.CACHE, buffer.compare(0, LINEAR + 0x3008, PHYSICAL + 0x3008, 8, 10));
    assertEquals(
        Outcome.FORWARD,
        buffer.compare(0, LINEAR + 0x3000, PHYSICAL, 8, 10),
        "two linear addresses of one page are one");
  }

  @Test
  void storesDrainInProgramOrderOneACycle() {
    int first = store(0, 0, 8, 1, 0, 500);
    int second = store(0, 64, 8, 2, 0, 300);
    int third = store(0, 128, 8, 3, 0, 501);
    assertEquals(500, buffer.drainedEntryAt(first));
    assertEquals(501, buffer.drainedEntryAt(second));
    assertEquals(502, buffer.drainedEntryAt(third));
    assertEquals(502, buffer.drainedAt(0));
  }

  /** Both logical processors running have half of the entries each. */
  @Test
  void siblingsHaveHalfOfTheEntriesEach() {
    assertEquals(28, buffer.entries(0));
    assertEquals(28, buffer.entries(1));
    for (int i = 0; i < 28; i++) {
      assertEquals(0, buffer.freeAt(0));
      store(0, 8L * i, 8, i, 0, 1000 + i);
    }
    assertEquals(1000, buffer.freeAt(0), "full until the oldest has drained");
    assertEquals(0, buffer.freeAt(1));
    assertEquals(Outcome.CACHE, load(1, 0, 8, 10), "a sibling's stores are not seen");
    buffer.partition(0b01);
    assertEquals(56, buffer.entries(0));
    assertEquals(0, buffer.entries(1));
  }

  /** Only bits 11:0 matter to what a faulting load receives; draining leaves the bytes. */
  @Test
  void drainedStoresAreSampledByPageOffset() {
    store(0, 0, 8, 0x1111, 0, 20);
    int entry = store(0, 0x10, 8, 0x7766554433221100L, 0, 21);
    assertEquals(Outcome.CACHE, load(0, 0x10, 8, 5000));
    assertEquals(entry, buffer.sample(0, 0xffff_8880_0000_0240L));
    assertEquals(entry, buffer.sample(0, 0xffff_8880_0000_0243L));
    assertEquals(0x7766554433L, buffer.read(entry, 3));
    assertEquals(StoreBuffer.NONE, buffer.sample(0, 0xffff_8880_0000_0248L));
    assertEquals(StoreBuffer.NONE, buffer.sample(1, 0xffff_8880_0000_0240L), "of its own thread");
  }

  /** A thread that wakes gets entries in which the other's stores may still be. */
  @Test
  void partitioningHandsStaleEntriesToTheSibling() {
    buffer.partition(0b01);
    int entry = StoreBuffer.NONE;
    for (int i = 0; i < 56; i++) {
      entry = store(0, 8L * i, 8, i, 0, 10);
    }
    buffer.partition(0b11);
    assertNotEquals(StoreBuffer.NONE, buffer.sample(1, LINEAR + 8 * 55));
    assertEquals(55, buffer.read(entry, 0));
    buffer.clear(1);
    assertEquals(StoreBuffer.NONE, buffer.sample(1, LINEAR + 8 * 55));
    assertNotEquals(StoreBuffer.NONE, buffer.sample(0, LINEAR), "the sibling's half stays");
  }

  /** Speculative store bypass: the load receives what the store is about to overwrite. */
  @Test
  void aLoadThatOvertakesReceivesWhatWasThereBefore() {
    int entry = buffer.allocate(0, LINEAR, PHYSICAL, 8, 200);
    buffer.data(entry, 0x2222222222222222L, 0, 5);
    buffer.before(entry, 0x1111111111111111L, 0);
    buffer.drain(0, entry, 400);
    assertEquals(Outcome.OVERTAKES, load(0, 0, 8, 10));
    assertEquals(0x1111111111111111L, buffer.overtaking(0, PHYSICAL, 0, 0x2222222222222222L, 10));
    assertEquals(
        0x3311111111111111L,
        buffer.overtaking(0, PHYSICAL + 1, 0, 0x3322222222222222L, 10),
        "bytes that the store does not have are those of memory");
    assertEquals(Outcome.FORWARD, load(0, 0, 8, 200), "the address is known now");
    assertEquals(0x2222222222222222L, buffer.overtaking(0, PHYSICAL, 0, 0x2222222222222222L, 200));
  }

  /** Of several stores with unknown addresses, all are overtaken. */
  @Test
  void aLoadOvertakesUpToTheYoungestStoreItKnows() {
    int oldest = store(0, 0, 8, 0x11, 0, 400);
    buffer.before(oldest, 0x00, 0);
    int middle = store(0, 0, 8, 0x22, 200, 401);
    buffer.before(middle, 0x11, 0);
    int youngest = store(0, 0, 8, 0x33, 300, 402);
    buffer.before(youngest, 0x22, 0);
    assertEquals(0x11, buffer.overtaking(0, PHYSICAL, 0, 0x33, 10));
    assertEquals(0x22, buffer.overtaking(0, PHYSICAL, 0, 0x33, 250));
    assertEquals(0x33, buffer.overtaking(0, PHYSICAL, 0, 0x33, 350));
    assertEquals(300, buffer.addressesKnownAt(0), "a load that must not overtake waits so long");
    assertEquals(0, buffer.addressesKnownAt(1));
  }
}
