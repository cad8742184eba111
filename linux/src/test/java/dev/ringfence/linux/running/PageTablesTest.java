package dev.ringfence.linux.running;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.memory.PhysicalMemory;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Walks of page tables against a plain map of what was put into them. */
final class PageTablesTest {
  private static final long ROOT = 0x1000;
  private static final long PRESENT_WRITABLE = 3;
  private static final long NO_EXECUTE = 1L << 63;

  private final PhysicalMemory memory = new PhysicalMemory(4 << 20);
  private final PageTables tables = new PageTables(memory);
  private long nextTable = ROOT + 4096;

  @AfterEach
  void close() {
    memory.close();
  }

  /** Maps a page of 4 KiB, 2 MiB (shift 21) or 1 GiB (shift 30). */
  private void map(long linear, long physical, int shift) {
    long table = ROOT;
    for (int level = 39; level > shift; level -= 9) {
      long at = table + (linear >>> level & 511) * 8;
      if (memory.readLong(at) == 0) {
        memory.writeLong(at, nextTable | PRESENT_WRITABLE);
        nextTable += 4096;
      }
      table = memory.readLong(at) & 0xfffff000L;
    }
    long large = shift > 12 ? 0x80 : 0;
    memory.writeLong(
        table + (linear >>> shift & 511) * 8, physical | PRESENT_WRITABLE | large | NO_EXECUTE);
  }

  @Test
  void pagesOfAllSizesAreFoundAndNothingElse() {
    map(0xffff_8880_0000_0000L, 0, 30);
    map(0xffff_8880_4020_0000L, 0x1_2340_0000L, 21);
    map(0xffff_c900_0000_3000L, 0x5000, 12);
    assertEquals(0x3fff_ffff, tables.translate(ROOT, 0xffff_8880_3fff_ffffL));
    assertEquals(-1, tables.translate(ROOT, 0xffff_8880_4000_0000L));
    assertEquals(0x1_2340_0123L, tables.translate(ROOT, 0xffff_8880_4020_0123L));
    assertEquals(-1, tables.translate(ROOT, 0xffff_8880_4040_0000L));
    assertEquals(0x5fff, tables.translate(ROOT, 0xffff_c900_0000_3fffL));
    assertEquals(-1, tables.translate(ROOT, 0xffff_c900_0000_4000L));
    assertEquals(-1, tables.translate(ROOT, 0));
  }

  @Test
  void aTableOutsideMemoryIsAsIfItWereAbsent() {
    memory.writeLong(ROOT, 0x7fff_f000L | PRESENT_WRITABLE);
    assertEquals(-1, tables.translate(ROOT, 0));
    assertEquals(-1, tables.translate(-1 & -4096, 0));
    List<String> seen = new ArrayList<>();
    tables.visit(ROOT, 0, -1, (linear, physical, bytes) -> seen.add("page"));
    assertEquals(List.of(), seen);
  }

  @Test
  void aVisitSeesWhatTranslationSees() {
    SplittableRandom random = new SplittableRandom(1);
    Map<Long, Long> expected = new TreeMap<>(Long::compareUnsigned);
    long base = 0xffff_ffff_c000_0000L;
    for (int i = 0; i < 300; i++) {
      long linear = base + (random.nextLong(1 << 18) << 12);
      long physical = random.nextLong(1 << 20) << 12;
      map(linear, physical, 12);
      expected.put(linear, physical);
    }
    long start = base + (50L << 20);
    long last = -1L - (100L << 20);
    expected
        .keySet()
        .removeIf(linear ->
            Long.compareUnsigned(linear, start) < 0 || Long.compareUnsigned(linear, last) > 0);
    Map<Long, Long> found = new TreeMap<>(Long::compareUnsigned);
    tables.visit(ROOT, start, last, (linear, physical, bytes) -> found.put(linear, physical));
    assertEquals(expected, found);
    expected.forEach((linear, physical) -> assertEquals(physical, tables.translate(ROOT, linear)));
  }

  @Test
  void aVisitEndsAtTheTopOfTheAddressSpace() {
    map(-4096, 0x7000, 12);
    List<Long> tablesSeen = new ArrayList<>();
    List<Long> pages = new ArrayList<>();
    tables.visit(
        ROOT,
        0xffff_8000_0000_0000L,
        -1,
        new PageTables.Visitor() {
          @Override
          public void table(long physical) {
            tablesSeen.add(physical);
          }

          @Override
          public void page(long linear, long physical, long bytes) {
            pages.add(linear);
          }
        });
    assertEquals(List.of(0x2000L, 0x3000L, 0x4000L), tablesSeen);
    assertEquals(List.of(-4096L), pages);
  }

  @Test
  void aVisitOfTablesThatReferToThemselvesEnds() {
    for (long entry = 0; entry < 512; entry++) {
      memory.writeLong(ROOT + 8 * entry, ROOT | PRESENT_WRITABLE);
    }
    int tablesSeen = tables.visit(ROOT, 0, -1, (linear, physical, bytes) -> {});
    assertTrue(tablesSeen > memory.ramPages() && tablesSeen < 100 * memory.ramPages());
  }
}
