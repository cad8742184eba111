package dev.ringfence.silicon.cache;

import dev.ringfence.silicon.model.ReplacementPolicy;
import java.util.Arrays;

/**
 * One cache: which lines are there, and which of them were modified; no contents, since the content
 * of a cached line is RAM. Lines are named by their number, the physical address divided by the
 * size of a line.
 *
 * <p>Constraint: looked up at each access of memory, so ways lie side by side in one array and
 * nothing is allocated after construction.
 */
public final class Cache {
  /** No line. */
  public static final long NONE = -1;

  private static final int MODIFIED = 1;

  private final int sets;
  private final int ways;
  private final boolean powerOfTwo;
  private final Replacement replacement;

  /** By set and way: the line, shifted by one, with {@link #MODIFIED}; or {@link #NONE}. */
  private final long[] lines;

  /** By set: the state of the replacement policy. */
  private final long[] states;

  /**
   * By set: the entry that was used or filled last. With most policies a hit there changes nothing;
   * asking it first takes 0.96 of the time of a detailed run.
   */
  private final int[] recent;

  private boolean evictedModified;

  /**
   * @param sets number of sets; a line's set is its number modulo this
   * @param ways lines of a set
   */
  Cache(int sets, int ways, ReplacementPolicy policy) {
    if (sets < 1) {
      throw new IllegalArgumentException("a cache needs at least one set, got " + sets);
    }
    this.sets = sets;
    this.ways = ways;
    this.powerOfTwo = Integer.bitCount(sets) == 1;
    this.replacement = new Replacement(policy, ways);
    this.lines = new long[sets * ways];
    this.states = new long[sets];
    this.recent = new int[sets];
    clear();
  }

  public int sets() {
    return sets;
  }

  public int ways() {
    return ways;
  }

  /** The set that a line belongs to. */
  public int setOf(long line) {
    return powerOfTwo ? (int) line & sets - 1 : (int) (line % sets);
  }

  private int find(long line) {
    int at = setOf(line) * ways;
    for (int end = at + ways; at < end; at++) {
      if (lines[at] >> 1 == line) {
        return at;
      }
    }
    return -1;
  }

  /** Whether the line is there; nothing changes by asking. */
  public boolean contains(long line) {
    return find(line) >= 0;
  }

  /** Whether the line is there and was modified. */
  public boolean modified(long line) {
    int at = find(line);
    return at >= 0 && (lines[at] & MODIFIED) != 0;
  }

  /** Uses a line: returns whether it is there, and if so lets the policy know. */
  boolean use(long line) {
    int set = setOf(line);
    if (replacement.idempotent() && lines[recent[set]] >> 1 == line) {
      return true;
    }
    int first = set * ways;
    for (int way = 0; way < ways; way++) {
      if (lines[first + way] >> 1 == line) {
        states[set] = replacement.used(states[set], way);
        recent[set] = first + way;
        return true;
      }
    }
    return false;
  }

  /**
   * Takes in a line that is not there.
   *
   * @return the line that had to go, or {@link #NONE}; {@link #evictedModified} tells more of it
   */
  long fill(long line) {
    int set = setOf(line);
    int first = set * ways;
    int way = 0;
    while (way < ways && lines[first + way] != NONE) {
      way++;
    }
    if (way == ways) {
      way = replacement.victim(states[set]);
    }
    long evicted = lines[first + way];
    lines[first + way] = line << 1;
    states[set] = replacement.filled(states[set], way);
    recent[set] = first + way;
    evictedModified = evicted != NONE && (evicted & MODIFIED) != 0;
    return evicted >> 1;
  }

  /** Whether the line that the last {@link #fill} evicted was modified. */
  boolean evictedModified() {
    return evictedModified;
  }

  /**
   * Marks a line as modified, or as written back.
   *
   * @return whether it is there and was not marked so before
   */
  boolean mark(long line, boolean modified) {
    int at = find(line);
    if (at < 0 || (lines[at] & MODIFIED) != 0 == modified) {
      return false;
    }
    lines[at] ^= MODIFIED;
    return true;
  }

  /** Removes a line; returns whether it was there. */
  boolean remove(long line) {
    int at = find(line);
    if (at < 0) {
      return false;
    }
    lines[at] = NONE;
    return true;
  }

  /** Removes all lines. */
  void clear() {
    Arrays.fill(lines, NONE);
    Arrays.fill(states, replacement.initial());
  }

  /** What a {@link #forEach} is told. */
  interface LineVisitor {
    void line(long line, boolean modified);
  }

  /** Visits all lines. */
  void forEach(LineVisitor visitor) {
    for (long entry : lines) {
      if (entry != NONE) {
        visitor.line(entry >> 1, (entry & MODIFIED) != 0);
      }
    }
  }
}
