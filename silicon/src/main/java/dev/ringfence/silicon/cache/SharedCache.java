package dev.ringfence.silicon.cache;

import dev.ringfence.silicon.model.CacheLevel;
import dev.ringfence.silicon.model.Caches;
import java.util.ArrayList;
import java.util.List;

/**
 * The third-level cache and what ties the cores together: a line that one core modified is in no
 * other core's caches.
 *
 * <p>Inclusive (Intel up to Broadwell, and client processors): each line of a core is here, too,
 * and a line that must leave leaves the cores with it. Otherwise it takes what the second levels
 * evict, and gives a line away to the core that asks (Intel servers since Skylake, AMD Zen).
 *
 * <p>Real ones are slices behind an undisclosed hash; here a line's set is its number modulo the
 * number of sets, which differs in which addresses conflict, not in how many conflict.
 */
public final class SharedCache {
  private final Cache cache;
  private final boolean inclusive;
  private final List<CoreCaches> cores = new ArrayList<>();

  public SharedCache(Caches model) {
    CacheLevel level = model.l3();
    cache = CoreCaches.cache(level, model.lineBytes());
    inclusive = level.inclusive();
  }

  void add(CoreCaches core) {
    cores.add(core);
  }

  /** The third level itself. */
  public Cache cache() {
    return cache;
  }

  /**
   * A core's second level misses a line.
   *
   * @return the level that has it, {@link CoreCaches#L3} or {@link CoreCaches#MEMORY}
   */
  int read(long line, CoreCaches reader) {
    boolean elsewhere = false;
    for (int i = 0; i < cores.size(); i++) {
      CoreCaches core = cores.get(i);
      if (core != reader && core.shareLine(line)) {
        elsewhere = true;
      }
    }
    if (!inclusive) {
      return cache.remove(line) || elsewhere ? CoreCaches.L3 : CoreCaches.MEMORY;
    }
    if (cache.use(line)) {
      return CoreCaches.L3;
    }
    long evicted = cache.fill(line);
    if (evicted != Cache.NONE) {
      for (int i = 0; i < cores.size(); i++) {
        cores.get(i).removeLine(evicted);
      }
    }
    return CoreCaches.MEMORY;
  }

  /** A core's second level evicts a line. */
  void takeEvicted(long line) {
    if (!inclusive && !cache.use(line)) {
      cache.fill(line);
    }
  }

  /**
   * A core is about to modify a line: it leaves the others.
   *
   * @return whether another core had it
   */
  boolean claim(long line, CoreCaches writer) {
    boolean elsewhere = false;
    for (int i = 0; i < cores.size(); i++) {
      CoreCaches core = cores.get(i);
      if (core != writer && core.removeLine(line)) {
        elsewhere = true;
      }
    }
    return elsewhere;
  }

  /**
   * CLFLUSH, CLFLUSHOPT: removes a line from all caches of all cores.
   *
   * @param address physical
   * @return whether one of them had it
   */
  public boolean flush(long address) {
    long line = address >>> CoreCaches.LINE_BITS;
    boolean there = cache.remove(line);
    for (int i = 0; i < cores.size(); i++) {
      there |= cores.get(i).removeLine(line);
    }
    return there;
  }

  /** A device has written RAM: what the caches have of it is out of date, and leaves them. */
  public void overwritten(long address, int length) {
    for (long at = address & -CoreCaches.LINE; at < address + length; at += CoreCaches.LINE) {
      flush(at);
    }
  }

  /** WBINVD, INVD: empties the caches of all cores. */
  public void clear() {
    cache.clear();
    for (CoreCaches core : cores) {
      core.clear();
    }
  }
}
