package dev.ringfence.silicon.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.silicon.buffer.FillBuffers;
import dev.ringfence.silicon.model.Caches;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

final class CoreCachesTest {
  private static final long INSTRUCTION = 0x401000;

  private final PhysicalMemory memory = new PhysicalMemory(64 << 20);
  private long now;

  @AfterEach
  void close() {
    memory.close();
  }

  private CoreCaches core(Caches model, SharedCache shared) {
    return new CoreCaches(model, shared, new FillBuffers(12, memory));
  }

  private CoreCaches core(Caches model) {
    return core(model, new SharedCache(model));
  }

  /** A load that waits for the one before. */
  private int load(CoreCaches caches, long address) {
    int cycles = caches.load(address, INSTRUCTION, now);
    now += cycles;
    return cycles;
  }

  @Test
  void eachLevelAnswersInItsTime() {
    CoreCaches caches = core(TestModels.skylake());
    assertEquals(240, load(caches, 0x1000));
    assertEquals(CoreCaches.MEMORY, caches.lastLevel());
    assertEquals(4, load(caches, 0x103f));
    assertEquals(CoreCaches.L1, caches.lastLevel());
    // Eight more lines of the same set of the first level, of other sets of the second.
    for (int i = 1; i <= 8; i++) {
      load(caches, 0x1000 + 0x1000L * i);
    }
    assertEquals(14, load(caches, 0x1000));
    assertEquals(CoreCaches.L2, caches.lastLevel());
  }

  /** Where the third level is not inclusive, it takes what the second evicts. */
  @Test
  void aVictimCacheTakesWhatTheSecondLevelEvicts() {
    SharedCache shared = new SharedCache(TestModels.skylake());
    CoreCaches caches = core(TestModels.skylake(), shared);
    load(caches, 0);
    assertFalse(shared.cache().contains(0));
    // 1024 sets of 64 bytes: addresses 64 KiB apart share a set of the second level.
    for (int i = 1; i <= 16; i++) {
      load(caches, 0x10000L * i);
    }
    assertTrue(shared.cache().contains(0));
    assertEquals(50, load(caches, 0));
    assertFalse(shared.cache().contains(0), "it went back to the core");
  }

  /**
   * An inclusive third level that evicts a line takes it away from the cores: what lets one core
   * evict another's line (Liu et al., "Last-Level Cache Side-Channel Attacks are Practical", 2015).
   */
  @Test
  void anInclusiveLevelEvictsFromAllCores() {
    Caches model = TestModels.haswell();
    SharedCache shared = new SharedCache(model);
    CoreCaches victim = core(model, shared);
    CoreCaches attacker = core(model, shared);
    load(victim, 0);
    victim.fetch(0);
    int setBytes = shared.cache().sets() * 64;
    for (int i = 1; i <= 20; i++) {
      load(attacker, (long) setBytes * i);
    }
    assertFalse(victim.data().contains(0));
    assertFalse(victim.second().contains(0));
    assertFalse(victim.instructions().contains(0));
    assertEquals(230, load(victim, 0));
  }

  @Test
  void aLevelThatIsNotInclusiveLeavesTheCoresAlone() {
    Caches model = TestModels.skylake();
    SharedCache shared = new SharedCache(model);
    CoreCaches victim = core(model, shared);
    CoreCaches attacker = core(model, shared);
    load(victim, 0);
    int setBytes = shared.cache().sets() * 64;
    for (int i = 1; i <= 400; i++) {
      load(attacker, (long) setBytes * i % (64 << 20));
    }
    assertTrue(victim.data().contains(0));
  }

  /** Zen's second level: a line that leaves it leaves the first level, however often it is used. */
  @Test
  void anInclusiveSecondLevelEvictsFromTheFirst() {
    CoreCaches caches = core(TestModels.zen());
    load(caches, 0);
    for (int i = 1; i <= 8; i++) {
      load(caches, 0x10000L * i);
      caches.fetch(0x10000L * i);
      if (caches.second().contains(0)) {
        assertEquals(4, load(caches, 0));
      }
    }
    assertFalse(caches.second().contains(0));
    assertFalse(caches.data().contains(0));
  }

  @Test
  void anotherCoresLineComesAtTheThirdLevelsTime() {
    Caches model = TestModels.skylake();
    SharedCache shared = new SharedCache(model);
    CoreCaches one = core(model, shared);
    CoreCaches other = core(model, shared);
    load(one, 0x2000);
    assertEquals(50, load(other, 0x2000));
  }

  /** MESI: a line that a core modifies is nowhere else. */
  @Test
  void aStoreTakesTheLineFromOtherCores() {
    Caches model = TestModels.skylake();
    SharedCache shared = new SharedCache(model);
    CoreCaches one = core(model, shared);
    CoreCaches other = core(model, shared);
    load(one, 0x2000);
    load(other, 0x2000);
    now += one.store(0x2000, now);
    assertFalse(other.data().contains(0x2000 >> 6));
    assertFalse(other.second().contains(0x2000 >> 6));
    assertTrue(one.data().modified(0x2000 >> 6));
    load(other, 0x2000);
    assertFalse(one.data().modified(0x2000 >> 6), "it was written back when the other read it");
    now += one.store(0x2000, now);
    assertFalse(other.data().contains(0x2000 >> 6), "so it had to be asked for again");
  }

  /** SDM volume 3, 11.6: a store to a line in the instruction cache invalidates it there. */
  @Test
  void aStoreTakesTheLineFromTheInstructionCache() {
    CoreCaches caches = core(TestModels.skylake());
    assertEquals(240, caches.fetch(0x3000));
    assertEquals(0, caches.fetch(0x3010));
    now += caches.store(0x3000, now);
    assertEquals(14, caches.fetch(0x3000));
  }

  /** CLFLUSH: SDM volume 2, "from every level of the cache hierarchy in the coherence domain". */
  @Test
  void aFlushReachesAllCoresAndLevels() {
    Caches model = TestModels.haswell();
    SharedCache shared = new SharedCache(model);
    CoreCaches one = core(model, shared);
    CoreCaches other = core(model, shared);
    load(one, 0x2000);
    load(other, 0x2000);
    other.fetch(0x2000);
    assertTrue(shared.flush(0x2030));
    assertFalse(shared.flush(0x2030), "nothing is left");
    assertEquals(230, load(one, 0x2000));
    assertEquals(44, other.fetch(0x2000));
  }

  /** Direct memory access is coherent (SDM volume 3, 11.3): no cache keeps what it overwrites. */
  @Test
  void whatADeviceOverwritesLeavesTheCaches() {
    Caches model = TestModels.haswell();
    SharedCache shared = new SharedCache(model);
    CoreCaches caches = core(model, shared);
    for (long address = 0x2000; address < 0x2200; address += 64) {
      load(caches, address);
    }
    shared.overwritten(0x2050, 0x100);
    assertTrue(caches.data().contains(0x2000 >> 6));
    for (long address = 0x2040; address < 0x2180; address += 64) {
      assertFalse(caches.data().contains(address >> 6), Long.toHexString(address));
    }
    assertTrue(caches.data().contains(0x2180 >> 6));
  }

  /** L1D_FLUSH empties the first level and no other; what was modified is not lost. */
  @Test
  void flushingTheFirstLevelLeavesTheSecond() {
    CoreCaches caches = core(TestModels.skylake());
    load(caches, 0x1000);
    now += caches.store(0x2000, now);
    caches.flushL1Data();
    assertFalse(caches.data().contains(0x1000 >> 6));
    assertFalse(caches.data().contains(0x2000 >> 6));
    assertEquals(14, load(caches, 0x1000));
    assertEquals(14, load(caches, 0x2000));
  }

  @Test
  void whoWantsALineThatIsUnderWayWaitsForIt() {
    CoreCaches caches = core(TestModels.skylake());
    assertEquals(240, caches.load(0x1000, INSTRUCTION, 1000));
    assertEquals(140, caches.load(0x1008, INSTRUCTION, 1100));
    assertEquals(4, caches.load(0x1008, INSTRUCTION, 1239));
    assertEquals(4, caches.load(0x1008, INSTRUCTION, 1240));
  }

  /** Skylake has 12 fill buffers: so many misses overlap, the next one waits for the first. */
  @Test
  void asManyMissesOverlapAsThereAreFillBuffers() {
    CoreCaches caches = core(TestModels.skylake());
    for (int i = 0; i < 12; i++) {
      assertEquals(240, caches.load(0x1000L * i, INSTRUCTION, 1000 + i));
    }
    assertEquals(240 + 228, caches.load(0x1000L * 12, INSTRUCTION, 1012));
    assertEquals(240, caches.load(0x800000, INSTRUCTION, 9000), "they are free again");
  }

  /** MOVNT: SDM volume 1, 10.4.6.2: not in the caches afterwards. */
  @Test
  void aNonTemporalStoreLeavesNoLine() {
    Caches model = TestModels.skylake();
    SharedCache shared = new SharedCache(model);
    CoreCaches caches = core(model, shared);
    load(caches, 0x1000);
    caches.storeAround(0x1000, now);
    assertFalse(caches.data().contains(0x1000 >> 6));
    assertFalse(caches.second().contains(0x1000 >> 6));
  }

  @Test
  void aPrefetchBringsTheLineToItsLevel() {
    CoreCaches caches = core(TestModels.skylake());
    caches.prefetch(0x1000, CoreCaches.L1, 0);
    caches.prefetch(0x2000, CoreCaches.L2, 0);
    now = 1000;
    assertEquals(4, load(caches, 0x1000));
    assertEquals(14, load(caches, 0x2000));
  }

  /** Intel optimization manual: the next line, on ascending accesses, within 4 KiB. */
  @Test
  void ascendingMissesFetchTheNextLine() {
    CoreCaches caches = core(TestModels.prefetching(true, false));
    load(caches, 0x1000);
    assertFalse(caches.data().contains(0x1040 >> 6));
    load(caches, 0x1040);
    assertTrue(caches.data().contains(0x1080 >> 6));
    load(caches, 0x2f80);
    load(caches, 0x2fc0);
    assertFalse(caches.data().contains(0x3000 >> 6), "that is another page");
  }

  /** Entries of page tables that follow each other are not prefetched: only loads teach. */
  @Test
  void pageWalksTeachNoPrefetcher() {
    CoreCaches caches = core(TestModels.prefetching(true, true));
    for (int i = 0; i < 8; i++) {
      now += caches.walk(0x5000 + 64L * i, now);
    }
    assertFalse(caches.data().contains(0x5200 >> 6));
    assertEquals(4, load(caches, 0x5000), "but walks go through the caches");
  }

  /** One probe a page, as a covert channel reads them, prefetches nothing. */
  @Test
  void loadsOfOneLineInEachPageFetchNothing() {
    CoreCaches caches = core(TestModels.prefetching(true, true));
    for (int i = 0; i < 16; i++) {
      load(caches, 0x1000L * i + 0x40);
    }
    for (int i = 0; i < 16; i++) {
      assertFalse(caches.data().contains(0x1000L * i + 0x80 >> 6));
    }
  }

  /**
   * Chen et al., "AfterImage" (2023): the stride prefetcher goes by the low 8 bits of the
   * instruction's address, acts after the stride was confirmed, up to 2 KiB, and stays in the page.
   */
  @Test
  void aStrideIsLearntByInstruction() {
    CoreCaches caches = core(TestModels.prefetching(false, true));
    for (int i = 0; i < 3; i++) {
      caches.load(0x10000 + 0x100L * i, 0x400123, now += 1000);
    }
    assertFalse(caches.data().contains(0x10300 >> 6));
    caches.load(0x10300, 0x400123, now += 1000);
    assertTrue(caches.data().contains(0x10400 >> 6), "one stride ahead");
    caches.load(0x20000, 0x777723, now += 1000);
    assertFalse(caches.data().contains(0x20100 >> 6), "a distance that is no stride stops it");
    for (int i = 0; i < 4; i++) {
      caches.load(0x30c00 + 0x100L * i, 0x400123, now += 1000);
    }
    assertFalse(caches.data().contains(0x31000 >> 6), "the next page is never touched");
  }
}
