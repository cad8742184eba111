package dev.ringfence.isolation.monitor;

import java.util.Arrays;
import java.util.function.LongPredicate;

/**
 * Pages that restricted tables took over before the kernel had marked what they are: the
 * allocator's flags alone decided. They are looked at again until they carry a mark, for a page of
 * the page cache may have been cleared before it became one.
 */
final class UnmarkedPages {
  /** Looks at a page without a mark after which it is taken to stay so: marks come soon. */
  private static final int MOST_LOOKS = 64;

  private long[] frames = new long[64];
  private int[] looks = new int[64];
  private int count;

  void add(long frame) {
    if (count == frames.length) {
      frames = Arrays.copyOf(frames, 2 * count);
      looks = Arrays.copyOf(looks, 2 * count);
    }
    frames[count] = frame;
    looks[count++] = 0;
  }

  /**
   * Looks at all pages.
   *
   * @param stillUnmarked whether a page has no mark yet; if it has, the callee has drawn its
   *     conclusions
   */
  void look(LongPredicate stillUnmarked) {
    int kept = 0;
    for (int i = 0; i < count; i++) {
      if (looks[i] < MOST_LOOKS && stillUnmarked.test(frames[i])) {
        frames[kept] = frames[i];
        looks[kept++] = looks[i] + 1;
      }
    }
    count = kept;
  }
}
