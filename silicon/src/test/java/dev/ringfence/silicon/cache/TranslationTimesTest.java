package dev.ringfence.silicon.cache;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.silicon.model.Translation;
import org.junit.jupiter.api.Test;

/** Sizes of Skylake: 64 entries in 4 ways, 1536 in 12 (Intel optimization manual, table 2-17). */
final class TranslationTimesTest {
  private final TranslationTimes times =
      new TranslationTimes(new Translation(64, 4, 1536, 12, 9, 2));

  private int touch(long page) {
    return times.translate(page << 12, 1);
  }

  @Test
  void theFirstLevelHoldsSixtyFourPages() {
    for (int page = 0; page < 64; page++) {
      assertTrue(touch(page) > 0);
    }
    for (int page = 0; page < 64; page++) {
      assertEquals(TranslationTimes.FIRST_LEVEL, touch(page));
    }
  }

  @Test
  void theSecondLevelHoldsFifteenHundred() {
    for (int page = 0; page < 1536; page++) {
      touch(page);
    }
    int walks = 0;
    for (int page = 0; page < 1536; page++) {
      int answer = touch(page);
      assertTrue(answer != TranslationTimes.FIRST_LEVEL, "page " + page);
      walks += answer > 0 ? 1 : 0;
    }
    assertEquals(0, walks);
    for (int page = 2000; page < 2000 + 2 * 1536; page++) {
      touch(page);
    }
    assertEquals(1, touch(2000), "more do not fit");
  }

  /** SDM volume 3, 4.10.3: walks begin where the paging-structure caches lead. */
  @Test
  void aWalkReadsOnlyWhatIsNotKnown() {
    assertEquals(4, touch(0));
    assertEquals(1, touch(1), "the same page table");
    assertEquals(4, touch(512), "another page table");
    times.forget(0, 1);
    assertEquals(4, touch(0), "INVLPG empties the paging-structure caches");
    assertEquals(TranslationTimes.FIRST_LEVEL, touch(1), "and one translation");
  }

  @Test
  void spacesDoNotShareTranslations() {
    times.translate(0x7f00_0000_0000L, 1);
    assertEquals(4, times.translate(0x7f00_0000_0000L, 2));
    assertEquals(
        TranslationTimes.FIRST_LEVEL, times.translate(0x7f00_0000_0000L, 1), "both are kept");
    times.translate(0xffff_ffff_8100_0000L, 1023);
    assertEquals(TranslationTimes.FIRST_LEVEL, times.translate(0xffff_ffff_8100_0000L, 1023));
    times.clear();
    assertEquals(4, times.translate(0xffff_ffff_8100_0000L, 1023));
  }
}
