package dev.ringfence.linux.provenance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;

/**
 * Marks in struct page as the versions of Linux set them: include/linux/page-flags.h, where
 * __SetPageBuddy and the like turn the -1 of an unmarked page into these values.
 */
final class PageTypesTest {
  private static final int NO_MARK = -1;

  private static PageTypes of(Map<String, Long> enumerators, boolean sinceLinux511) {
    return PageTypes.of(
        name ->
            enumerators.containsKey(name)
                ? OptionalLong.of(enumerators.get(name))
                : OptionalLong.empty(),
        sinceLinux511);
  }

  private static void check(PageTypes types, int buddy, int table) {
    assertTrue(types.isBuddy(buddy));
    assertFalse(types.isBuddy(table));
    assertTrue(types.isTable(table));
    assertFalse(types.isTable(buddy));
    // Counts of mappings: none, one, many.
    for (int count : List.of(NO_MARK, 0, 1, 70_000)) {
      assertFalse(types.isBuddy(count));
      assertFalse(types.isTable(count));
      assertFalse(types.isSlab(0, count));
      assertFalse(types.isLargeKmalloc(count));
    }
  }

  @Test
  void linux510HasAMarkBetweenThoseOfFreeBlocksAndTables() {
    PageTypes types = of(Map.of("PG_slab", 9L), false);
    check(types, ~0x80, ~0x400);
    assertFalse(types.isTable(~0x200));
    assertTrue(types.isSlab(1 << 9, NO_MARK));
  }

  @Test
  void linux61MarksSlabsByAFlag() {
    PageTypes types = of(Map.of("PG_slab", 9L), true);
    check(types, ~0x80, ~0x200);
    assertTrue(types.isSlab(1 << 9, 0x12345));
    assertFalse(types.isSlab(1 << 8, ~0x1000));
  }

  @Test
  void linux610MarksSlabsByATypeThatTypesOfDoNotTell() {
    PageTypes types = of(Map.of(), true);
    check(types, ~0x80, ~0x200);
    assertTrue(types.isSlab(0, ~0x1000));
  }

  @Test
  void linux611HasTheBitsAsEnumerators() {
    PageTypes types =
        of(
            Map.of(
                "PAGE_TYPE_BASE", 0x8000_0000L,
                "PG_buddy", 0x4000_0000L,
                "PG_table", 0x1000_0000L,
                "PG_slab", 0x0200_0000L),
            true);
    check(types, ~0x4000_0000, ~0x1000_0000);
    assertTrue(types.isSlab(0, ~0x0200_0000));
  }

  @Test
  void linux612HasNumbersInTheTopByte() {
    PageTypes types =
        of(
            Map.of(
                "PGTY_buddy", 0xf0L,
                "PGTY_table", 0xf2L,
                "PGTY_slab", 0xf5L,
                "PGTY_large_kmalloc", 0xf8L),
            true);
    check(types, 0xf000_0000, 0xf200_0000);
    assertTrue(types.isSlab(0, 0xf500_1234));
    assertTrue(types.isLargeKmalloc(0xf8ff_ffff));
  }

  @Test
  void functionNamesLoseWhatCompilerAndProfilingAdd() {
    assertEquals("kmalloc_large_node", CallSite.plainName("kmalloc_large_node_noprof.isra.0"));
    assertEquals(PageKind.VMALLOC, CallSite.of(1, "__vmalloc_node_range_noprof").kind());
    assertEquals(PageKind.KERNEL_ALLOCATION, CallSite.of(1, "pipe_write").kind());
  }
}
