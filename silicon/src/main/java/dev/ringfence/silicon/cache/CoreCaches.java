package dev.ringfence.silicon.cache;

import dev.ringfence.silicon.buffer.FillBuffers;
import dev.ringfence.silicon.model.CacheLevel;
import dev.ringfence.silicon.model.Caches;

/**
 * The caches of one core, shared by its logical processors, and the way through them: first level
 * for instructions and data, second level, {@link SharedCache}, memory.
 *
 * <p>Each access says how long it takes and leaves the line where a real one would have left it, at
 * once; only {@link FillBuffers} know that a fill is still under way, and hold back whoever wants
 * the line meanwhile. Accesses that cross a line are two accesses.
 *
 * <p>Times are cycles of the core, addresses physical. Constraint: called at each access of memory;
 * allocates nothing.
 */
public final class CoreCaches {
  /** Levels: what {@link #lastLevel} tells. */
  public static final int L1 = 1;

  public static final int L2 = 2;
  public static final int L3 = 3;
  public static final int MEMORY = 4;

  static final int LINE_BITS = 6;

  static final long LINE = 1 << LINE_BITS;

  private final Cache instructions;
  private final Cache data;
  private final Cache second;
  private final boolean secondInclusive;
  private final SharedCache shared;
  private final FillBuffers fillBuffers;
  private final Prefetchers prefetchers;

  /** Cycles by level, from 1 to 4. */
  private final int[] latency;

  private int lastLevel = L1;

  public CoreCaches(Caches model, SharedCache shared, FillBuffers fillBuffers) {
    if (model.lineBytes() != 1 << LINE_BITS) {
      throw new IllegalArgumentException("expected lines of 64 bytes, got " + model.lineBytes());
    }
    instructions = cache(model.l1Instruction(), model.lineBytes());
    data = cache(model.l1Data(), model.lineBytes());
    second = cache(model.l2(), model.lineBytes());
    secondInclusive = model.l2().inclusive();
    latency =
        new int[] {
          0,
          model.l1Data().latency(),
          model.l2().latency(),
          model.l3().latency(),
          model.memoryLatency()
        };
    this.shared = shared;
    this.fillBuffers = fillBuffers;
    this.prefetchers = new Prefetchers(model.nextLinePrefetch(), model.stridePrefetch());
    shared.add(this);
  }

  static Cache cache(CacheLevel level, int lineBytes) {
    return new Cache(level.bytes() / lineBytes / level.ways(), level.ways(), level.replacement());
  }

  /**
   * A load of the program.
   *
   * @param instruction linear address of the instruction, which the stride prefetcher goes by
   * @return cycles from {@code now} until the data is there
   */
  public int load(long address, long instruction, long now) {
    long line = address >>> LINE_BITS;
    int cycles = read(line, now);
    long prefetch = prefetchers.afterLoad(address, instruction, lastLevel != L1);
    if (prefetch != Cache.NONE) {
      prefetchLine(prefetch, now);
    }
    return cycles;
  }

  /** A load of a page walk: as that of a program, but prefetchers do not learn from it. */
  public int walk(long address, long now) {
    return read(address >>> LINE_BITS, now);
  }

  private int read(long line, long now) {
    if (data.use(line)) {
      lastLevel = L1;
      long pending = fillBuffers.pendingUntil(line, now);
      return pending == 0 ? latency[L1] : Math.max(latency[L1], (int) (pending - now));
    }
    return miss(line, now);
  }

  private int miss(long line, long now) {
    long start = fillBuffers.freeAt(now);
    lastLevel = bringToSecond(line);
    fillData(line);
    int cycles = (int) (start - now) + latency[lastLevel];
    fillBuffers.allocate(line, start, now + cycles);
    return cycles;
  }

  /**
   * A store writes the cache, after it has retired and after memory has its bytes.
   *
   * @return cycles from {@code now} until it has written
   */
  public int store(long address, long now) {
    long line = address >>> LINE_BITS;
    int cycles = read(line, now);
    if (data.mark(line, true)) {
      // Code of a line that is written leaves the cache for instructions (SDM volume 3, 11.6).
      instructions.remove(line);
      if (shared.claim(line, this)) {
        cycles = Math.max(cycles, latency[L3]);
      }
    }
    return cycles;
  }

  /**
   * A store that does not allocate in the caches: MOVNTI and its like, and fast strings. It goes to
   * memory through a fill buffer, and the line leaves all caches.
   */
  public int storeAround(long address, long now) {
    long start = fillBuffers.freeAt(now);
    shared.flush(address);
    lastLevel = MEMORY;
    fillBuffers.allocate(address >>> LINE_BITS, start, start + latency[MEMORY]);
    return (int) (start - now) + 1;
  }

  /**
   * A fetch of instructions.
   *
   * @return cycles beyond those of a hit
   */
  public int fetch(long address) {
    long line = address >>> LINE_BITS;
    if (instructions.use(line)) {
      lastLevel = L1;
      return 0;
    }
    lastLevel = bringToSecond(line);
    instructions.fill(line);
    return latency[lastLevel];
  }

  /**
   * PREFETCHh, PREFETCHW: the line comes to the first level (T0, NTA, W) or to the second.
   *
   * @param level {@link #L1} or {@link #L2}
   */
  public void prefetch(long address, int level, long now) {
    long line = address >>> LINE_BITS;
    if (level == L1) {
      prefetchLine(line, now);
    } else if (!data.contains(line)) {
      bringToSecond(line);
    }
  }

  private void prefetchLine(long line, long now) {
    // One that finds no buffer is dropped.
    if (!data.contains(line) && fillBuffers.freeAt(now) == now) {
      int level = lastLevel;
      miss(line, now);
      lastLevel = level;
    }
  }

  /** Brings a line to the second level; returns the level that had it. */
  private int bringToSecond(long line) {
    if (second.use(line)) {
      return L2;
    }
    int level = shared.read(line, this);
    fillSecond(line);
    return level;
  }

  private void fillSecond(long line) {
    long evicted = second.fill(line);
    if (evicted != Cache.NONE) {
      if (secondInclusive) {
        data.remove(evicted);
        instructions.remove(evicted);
      }
      shared.takeEvicted(evicted);
    }
  }

  private void fillData(long line) {
    long evicted = data.fill(line);
    if (evicted != Cache.NONE && data.evictedModified()) {
      writeBack(evicted);
    }
  }

  private void writeBack(long line) {
    if (!second.use(line)) {
      fillSecond(line);
    }
  }

  /** The level that answered the last access: {@link #L1} to {@link #MEMORY}. */
  public int lastLevel() {
    return lastLevel;
  }

  /** Cycles that a load takes which a level answers. */
  public int latency(int level) {
    return latency[level];
  }

  /** IA32_FLUSH_CMD.L1D_FLUSH: writes back and empties the first level for data. */
  public void flushL1Data() {
    data.forEach((line, modified) -> {
      if (modified) {
        writeBack(line);
      }
    });
    data.clear();
  }

  /** Another core reads a line: it stays, but this core may not modify it any more unasked. */
  boolean shareLine(long line) {
    data.mark(line, false);
    return data.contains(line) || second.contains(line) || instructions.contains(line);
  }

  /** Removes a line from all levels of this core; returns whether one had it. */
  boolean removeLine(long line) {
    return data.remove(line) | second.remove(line) | instructions.remove(line);
  }

  void clear() {
    instructions.clear();
    data.clear();
    second.clear();
  }

  /** The first level for instructions. */
  public Cache instructions() {
    return instructions;
  }

  /** The first level for data. */
  public Cache data() {
    return data;
  }

  /** The second level. */
  public Cache second() {
    return second;
  }
}
