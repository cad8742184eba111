package dev.ringfence.silicon.execute;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.interpret.Block;
import dev.ringfence.machine.paging.PageWalker;
import dev.ringfence.machine.paging.TranslatedMemory;
import dev.ringfence.machine.paging.TranslationInspector;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.cache.CoreCaches;
import dev.ringfence.silicon.cache.TranslationTimes;
import org.jspecify.annotations.Nullable;

/**
 * Fetches of instructions, of right and wrong paths: how much later than with hits everywhere code
 * can be dispatched, and what fetching leaves in caches.
 */
final class CodeFetch {
  private static final int LINE_BITS = 6;
  private static final int PAGE_BITS = 12;

  private final CoreCaches caches;
  private final TranslationTimes translations;
  private final TranslatedMemory memory;
  private final TranslationInspector inspector;
  private final int secondLevelLatency;
  private final TableWalk walk;

  /** Where the model has them. */
  private final @Nullable PhantomBranches phantoms;

  private long lastLine = -1;
  private long lastPage = -1;

  CodeFetch(Processor processor, Core core, int thread) {
    this.phantoms =
        core.model().predictors().predictsNonBranches()
            ? new PhantomBranches(processor, core, thread)
            : null;
    this.caches = core.caches();
    this.translations = core.codeTranslations();
    this.memory = processor.memory();
    this.inspector = memory.inspector();
    this.secondLevelLatency = core.model().translation().l2Latency();
    this.walk = new TableWalk(inspector, core);
  }

  /** Fetches a block; returns the cycles that are lost. */
  long of(Block block, TimedBlock timed, long linear, long now) {
    long delay =
        timed.physical == TimedBlock.UNKNOWN
            ? 0
            : lines(timed.physical, linear, block.length(), now);
    return phantoms == null ? delay : delay + phantoms.fetched(block, linear, delay);
  }

  private long lines(long physical, long linear, int length, long now) {
    long first = physical >>> LINE_BITS;
    long last = physical + length - 1 >>> LINE_BITS;
    if (first == last && first == lastLine) {
      return 0;
    }
    long delay = linear >>> PAGE_BITS == lastPage ? 0 : translated(linear, now);
    lastPage = linear >>> PAGE_BITS;
    // The last bytes of a block that runs over its page are in a page that need not follow in RAM.
    long end = Math.min(last, first | (1 << PAGE_BITS - LINE_BITS) - 1);
    for (long line = first; line <= end; line++) {
      if (line != lastLine) {
        delay += caches.fetch(line << LINE_BITS);
      }
    }
    lastLine = end;
    return delay;
  }

  private long translated(long linear, long now) {
    int steps = translations.translate(linear, (int) memory.context >>> 2);
    if (steps == TranslationTimes.FIRST_LEVEL) {
      return 0;
    }
    if (steps == TranslationTimes.SECOND_LEVEL) {
      return secondLevelLatency;
    }
    inspector.inspectTables(linear, PageWalker.FETCH);
    return walk.read(steps, now + secondLevelLatency) - now;
  }

  /** Forgets what was fetched last: caches or translations were emptied. */
  void forget() {
    lastLine = -1;
    lastPage = -1;
  }
}
