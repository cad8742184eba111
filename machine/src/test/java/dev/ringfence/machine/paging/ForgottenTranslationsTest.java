package dev.ringfence.machine.paging;

import static dev.ringfence.machine.interpret.BareProcessor.DATA;
import static dev.ringfence.machine.interpret.BareProcessor.GLOBAL;
import static dev.ringfence.machine.interpret.BareProcessor.LARGE;
import static dev.ringfence.machine.interpret.BareProcessor.NO_EXECUTE;
import static dev.ringfence.machine.interpret.BareProcessor.PRESENT;
import static dev.ringfence.machine.interpret.BareProcessor.USER;
import static dev.ringfence.machine.interpret.BareProcessor.WRITABLE;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.interpret.BareProcessor;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/**
 * Accesses find the same, and set the same accessed and dirty bits, whether or not the fast tables
 * have forgotten their page just before: in three process contexts, at random addresses that share
 * entries of the TLB, while entries of all levels of two sets of tables change, with and without
 * invalidation.
 */
final class ForgottenTranslationsTest {
  private static final int PROGRAMS = 10;
  private static final int OPERATIONS = 4000;

  /** In a slot of their own of the highest table. */
  private static final long LINEAR = 0x80_0000_0000L;

  /**
   * Numbers of pages from {@link #LINEAR} on: neighbours in two pages of 2 MiB, and again 64 MiB
   * further on, where the TLB's 16,384 entries begin anew.
   */
  private static final int[] PAGES = {0, 1, 2, 512, 513, 16_384, 16_385, 16_386, 16_896};

  private static final long OTHER_ROOT = 0x3d_0000;
  private static final long TABLES = 0x3d_1000;

  /**
   * Bytes of the tables beneath a root, one of each level; all directory entries share the last.
   */
  private static final long TABLES_OF_ROOT = 0x3000;

  /** Two frames of 2 MiB. */
  private static final long LARGE_FRAMES = 0x100_0000;

  @Test
  void aPageThatWasForgottenIsFoundAsItWas() {
    for (int seed = 1; seed <= PROGRAMS; seed++) {
      List<String> kept = run(seed, false);
      List<String> forgotten = run(seed, true);
      for (int i = 0; i < kept.size(); i++) {
        assertEquals(kept.get(i), forgotten.get(i), "seed " + seed + ", operation " + i);
      }
    }
  }

  /** Returns what each operation came to. */
  private static List<String> run(long seed, boolean forgetful) {
    SplittableRandom random = new SplittableRandom(seed);
    List<String> results = new ArrayList<>();
    try (BareProcessor bare = new BareProcessor()) {
      long root = bare.state.cr3;
      tables(bare, root, 0);
      tables(bare, OTHER_ROOT, 1);
      bare.state.cr4 |= ControlBits.CR4_PCIDE | ControlBits.CR4_SMAP;
      bare.processor.memory().invalidateAll();
      for (int i = 0; i < OPERATIONS; i++) {
        long linear = LINEAR + 0x1000L * PAGES[random.nextInt(PAGES.length)];
        results.add(
            switch (random.nextInt(10)) {
              case 0, 1 -> change(bare, random, linear);
              case 2 -> invalidate(bare, random, linear);
              case 3 -> enter(bare, random, root);
              default -> access(bare, random, linear, forgetful);
            });
      }
    }
    return results;
  }

  private static void tables(BareProcessor bare, long root, int index) {
    bare.memory.writeLong(root, bare.memory.readLong(bare.state.cr3));
    bare.memory.writeLong(root + 8, tableOf(index, 3) | PRESENT | WRITABLE | USER);
  }

  private static long tableOf(int root, int level) {
    return TABLES + TABLES_OF_ROOT * root + 0x1000L * (3 - level);
  }

  /** Writes an entry for an address; returns what was there. */
  private static String change(BareProcessor bare, SplittableRandom random, long linear) {
    int root = random.nextInt(2);
    int level = 1 + random.nextInt(6) / 4 + random.nextInt(6) / 5;
    boolean large = level > 1 && random.nextBoolean();
    long flags =
        (random.nextInt(8) > 0 ? PRESENT : 0)
            | (random.nextInt(4) > 0 ? WRITABLE : 0)
            | (random.nextInt(4) > 0 ? USER : 0)
            | (random.nextInt(3) == 0 ? GLOBAL : 0)
            | (random.nextInt(6) == 0 ? NO_EXECUTE : 0);
    long frame =
        switch (level) {
          case 1 -> DATA + 0x1000L * random.nextInt(4);
          case 2 -> large ? LARGE_FRAMES + (random.nextInt(2) << 21) : tableOf(root, 1);
          default -> large ? 0 : tableOf(root, 2);
        };
    long address = tableOf(root, level) + 8 * (linear >>> 12 + 9 * (level - 1) & 511);
    long before = bare.memory.readLong(address);
    bare.memory.writeLong(address, frame | flags | (large ? LARGE : 0));
    return "entry %x was %x".formatted(address, before);
  }

  private static String invalidate(BareProcessor bare, SplittableRandom random, long linear) {
    TranslatedMemory memory = bare.processor.memory();
    int context = 1 + random.nextInt(3);
    switch (random.nextInt(8)) {
      case 0 -> memory.invalidateAllButGlobal();
      case 1 -> memory.invalidatePcid(context);
      case 2, 3 -> memory.invalidatePage(linear, context);
      default -> memory.invalidatePage(linear);
    }
    return "invalidated";
  }

  /** Loads CR3. */
  private static String enter(BareProcessor bare, SplittableRandom random, long root) {
    int context = 1 + random.nextInt(3);
    bare.state.cr3 = (random.nextBoolean() ? root : OTHER_ROOT) | context;
    if (random.nextInt(4) == 0) {
      bare.processor.memory().invalidatePcid(context);
    }
    bare.processor.memory().contextChanged();
    return "entered %x".formatted(bare.state.cr3);
  }

  private static String access(
      BareProcessor bare, SplittableRandom random, long linear, boolean forgetful) {
    TranslatedMemory memory = bare.processor.memory();
    bare.state.cpl = random.nextBoolean() ? 3 : 0;
    bare.state.systemFlags = random.nextBoolean() ? Flags.AC : 0;
    memory.contextChanged();
    if (forgetful) {
      memory.withdraw(linear);
    }
    try {
      return switch (random.nextInt(3)) {
        case 0 -> "load %x: %x".formatted(linear, memory.load64(linear));
        case 1 -> "fetch %x: page %d".formatted(linear, memory.fetchPage(linear));
        default -> {
          memory.store64(linear, random.nextLong());
          yield "store %x".formatted(linear);
        }
      };
    } catch (ProcessorException e) {
      return "%x: vector %d, error code %x".formatted(linear, e.vector(), e.errorCode());
    }
  }
}
