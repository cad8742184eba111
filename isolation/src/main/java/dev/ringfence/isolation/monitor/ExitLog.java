package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.transition.ExitReason;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The exits of one policy, counted by what caused them. */
public final class ExitLog {
  /**
   * What is equal for exits that are counted together.
   *
   * @param way how the address space was left
   * @param stack number in {@link StackTable}
   * @param datum what was touched; null for exits that no access caused
   * @param reason of the kernel entry, a code of {@link EntryReason}
   * @param write whether the access was a store
   */
  public record Key(ExitReason way, int stack, @Nullable Datum datum, int reason, boolean write) {}

  /** Exits of one key. */
  public static final class Tally {
    /** In place of an offset: there is no file and no slab object. */
    public static final long UNKNOWN = -1;

    long count;
    long alone;
    long address;
    long lowestOffset = UNKNOWN;
    long highestOffset = UNKNOWN;
    int objectSize;

    private void touched(ObjectOffset offset) {
      boolean first = lowestOffset == UNKNOWN;
      lowestOffset = first ? offset.bytes() : Math.min(lowestOffset, offset.bytes());
      highestOffset = Math.max(highestOffset, offset.bytes());
      objectSize = offset.size();
    }

    /** How many. */
    public long count() {
      return count;
    }

    /**
     * Exits after which, until the next enter, nothing else called for one: no access to sensitive
     * memory of another kind, no context switch that exits. They would not have happened, had this
     * kind been nonsensitive.
     */
    public long alone() {
      return alone;
    }

    /** Linear address of the first access; 0 for exits that no access caused. */
    public long address() {
      return address;
    }

    /**
     * Lowest offset of an access in its file or slab object, in bytes; {@link #UNKNOWN} if they lie
     * in neither.
     */
    public long lowestOffset() {
      return lowestOffset;
    }

    /** The highest of these offsets. */
    public long highestOffset() {
      return highestOffset;
    }

    /** Bytes of an object of the slab cache; 0 if it is none. */
    public int objectSize() {
      return objectSize;
    }
  }

  /**
   * A key with its exits.
   *
   * @param tally of the exits
   */
  public record Entry(Key key, Tally tally) {}

  /** In the order of the first exit of each, because results must not depend on hash codes. */
  private final Map<Key, Tally> tallies = new LinkedHashMap<>();

  private final Timeline timeline = new Timeline();
  private boolean recording = true;

  /** Counts an exit. Returns its tally, null while nothing is recorded. */
  @Nullable Tally add(Key key, long address, @Nullable ObjectOffset offset, long nanoseconds) {
    if (!recording) {
      return null;
    }
    timeline.add(nanoseconds);
    Tally tally = tallies.get(key);
    if (tally == null) {
      tally = new Tally();
      tally.address = address;
      tallies.put(key, tally);
    }
    tally.count++;
    if (offset != null) {
      tally.touched(offset);
    }
    return tally;
  }

  void clear() {
    tallies.clear();
    timeline.clear();
  }

  void setRecording(boolean on) {
    recording = on;
  }

  /** Exits over virtual time. */
  public Timeline timeline() {
    return timeline;
  }

  /** All exits, in the order of the first of each key. */
  public List<Entry> entries() {
    List<Entry> all = new ArrayList<>(tallies.size());
    tallies.forEach((key, tally) -> all.add(new Entry(key, tally)));
    return all;
  }
}
