package dev.ringfence.silicon.execute;

import dev.ringfence.machine.paging.TranslationInspector;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.cache.CoreCaches;

/**
 * The reads of a page walk. Entries of tables come through the caches like data, by their physical
 * addresses. In a virtual machine the address of each entry, and that of the page, is
 * guest-physical first; the last entry of the extended page tables that translates it is read
 * before. The upper levels of these count as held in the paging-structure caches (SDM volume 3,
 * section 29.4.1, guest-physical mappings), because a few entries of them serve all of a guest's
 * memory.
 */
final class TableWalk {
  private final TranslationInspector inspector;
  private final CoreCaches caches;
  private final int stepLatency;

  TableWalk(TranslationInspector inspector, Core core) {
    this.inspector = inspector;
    this.caches = core.caches();
    this.stepLatency = core.model().translation().walkStepLatency();
  }

  /**
   * Reads what a walk reads that the inspector has just made: returns when it has ended.
   *
   * @param steps how many of the last entries have to be read
   */
  long read(int steps, long now) {
    long at = now;
    int entries = inspector.entries();
    for (int i = Math.max(0, entries - steps); i < entries; i++) {
      at = step(inspector.entryAddress(i), extended(i, at));
    }
    return extended(entries, at);
  }

  private long extended(int index, long now) {
    long address = inspector.extendedEntryAddress(index);
    return address < 0 ? now : step(address, now);
  }

  private long step(long address, long now) {
    return now + stepLatency + caches.walk(address, now);
  }
}
