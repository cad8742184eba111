package dev.ringfence.silicon.buffer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Behaviour published for RIDL, ZombieLoad and in Intel's "Microarchitectural Data Sampling". */
final class FillBuffersTest {
  private static final int ENTRIES = 12;

  private final PhysicalMemory memory = new PhysicalMemory(1 << 20);
  private final FillBuffers buffers = new FillBuffers(ENTRIES, memory);

  @AfterEach
  void close() {
    memory.close();
  }

  @Test
  void anEntryHoldsTheLineAsItWasWhenItWasFilled() {
    memory.writeLong(0x1040, 0x1122334455667788L);
    memory.writeLong(0x1078, 0x99aabbccddeeff00L);
    int entry = buffers.allocate(0x1040 >> 6, 0, 100);
    memory.writeLong(0x1040, 0);
    assertEquals(0x1122334455667788L, buffers.read(entry, 0));
    assertEquals(0x99aabbccddeeff00L, buffers.read(entry, 0x38));
    assertEquals(0x1122334455L, buffers.read(entry, 3) & 0xff_ffff_ffffL);
    assertEquals(0x1040 >> 6, buffers.source(entry));
  }

  /** Stale data stays "until a new memory request overwrites the fill buffer". */
  @Test
  void contentsAreStaleUntilTheEntryIsAllocatedAgain() {
    memory.writeLong(0x40, 0x5ec4e7);
    int entry = buffers.allocate(1, 0, 100);
    long now = 1000;
    while (buffers.allocate(2, now, now + 100) != entry) {
      assertEquals(0x5ec4e7, buffers.read(entry, 0));
      now += 1000;
    }
    assertEquals(0, buffers.read(entry, 0));
    assertEquals(2, buffers.source(entry));
  }

  /**
   * Twelve lines do not overwrite twelve buffers: Intel's software sequence for Skylake brings in
   * 6,144 bytes, which are 96 lines.
   */
  @Test
  void linesTakeBuffersInNoFixedOrder() {
    assertEquals(0.352, leftAfter(12), 0.02);
    assertEquals(0.0002, leftAfter(96), 0.001);
  }

  /** The part of lines that are left after others, of ten thousand. */
  private double leftAfter(int others) {
    int left = 0;
    int trials = 10_000;
    long now = 0;
    for (int trial = 0; trial < trials; trial++) {
      int entry = buffers.allocate(1, now, now + 10);
      for (int i = 0; i < others; i++) {
        now += 100;
        buffers.allocate(2, now, now + 10);
      }
      now += 100;
      left += buffers.source(entry) == 1 ? 1 : 0;
    }
    return (double) left / trials;
  }

  @Test
  void anEntryWhoseFillIsUnderWayIsNotTaken() {
    int entry = buffers.allocate(1, 0, 1_000_000);
    for (int i = 0; i < 3 * ENTRIES; i++) {
      assertNotEquals(entry, buffers.allocate(100 + i, 1000L * i, 1000L * i + 100));
    }
    assertEquals(1_000_000, buffers.pendingUntil(1, 500));
    assertEquals(0, buffers.pendingUntil(1, 1_000_000));
    assertEquals(0, buffers.pendingUntil(2, 500));
  }

  @Test
  void aFullSetOfBuffersIsFreeWhenItsFirstFillEnds() {
    for (int i = 0; i < ENTRIES; i++) {
      assertEquals(10, buffers.freeAt(10));
      buffers.allocate(i, 10, 300 - i);
    }
    assertEquals(300 - ENTRIES + 1, buffers.freeAt(10));
    buffers.settle();
    assertEquals(10, buffers.freeAt(10));
  }

  @Test
  void samplesComeFromEachEntry() {
    buffers.allocate(5, 0, 1);
    assertEquals(5, buffers.source(buffers.sample()));
    Set<Long> sampled = new HashSet<>();
    for (int i = 0; i < ENTRIES; i++) {
      buffers.allocate(10 + i, 10, 20);
    }
    for (int i = 0; i < ENTRIES; i++) {
      sampled.add(buffers.source(buffers.sample()));
    }
    assertEquals(ENTRIES, sampled.size());
  }

  @Test
  void nothingIsSampledFromEmptyBuffers() {
    assertEquals(FillBuffers.NONE, buffers.sample());
  }

  /** VERW: "overwrites" them; a load that faults afterwards receives nothing of before. */
  @Test
  void clearingOverwritesContents() {
    memory.writeLong(0x40, 0x5ec4e7);
    int entry = buffers.allocate(1, 0, 100);
    buffers.clear();
    assertEquals(FillBuffers.NONE, buffers.sample());
    assertEquals(0, buffers.read(entry, 0));
    assertEquals(FillBuffers.NO_SOURCE, buffers.source(entry));
  }

  /** What a device answers passes a fill buffer, too ("uncacheable loads"). */
  @Test
  void deviceReadsLeaveTheirAnswer() {
    int entry = buffers.allocate(0xfee0_0000L >> 6, 0, 500);
    buffers.put(entry, 0x20, 4, 0xdeadbeefL);
    assertEquals(0xdeadbeefL, buffers.read(entry, 0x20));
    buffers.put(entry, 0x25, 1, 0x77);
    assertEquals(0x7700_deadbeefL, buffers.read(entry, 0x20));
  }
}
