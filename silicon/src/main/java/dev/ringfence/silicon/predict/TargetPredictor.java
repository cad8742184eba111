package dev.ringfence.silicon.predict;

import dev.ringfence.silicon.model.IndirectTargetSelection;
import dev.ringfence.silicon.model.ModeIsolation;
import dev.ringfence.silicon.model.Predictors;
import java.util.Arrays;

/**
 * The branch target buffer of a core, shared by its logical processors.
 *
 * <p>An entry belongs to the low bits of a branch's address: there is no address space in it, so
 * branches of user code and of the kernel whose addresses agree in these bits share an entry
 * (Kocher et al., "Spectre Attacks"; Horn, 2018). On models that say so, a second table selects by
 * the history of taken branches as well and is asked first. Addresses of branches are those of
 * their last byte.
 *
 * <p>Who trained an entry is noted with it: the mode and the logical processor. Whether that
 * matters is what IBRS and STIBP decide, by {@link #control}.
 *
 * <p>An entry is written when a branch has executed, whether or not its target can be fetched: user
 * code can so train targets in the kernel (Wikner and Razavi, "Retbleed", 2022).
 */
public final class TargetPredictor {
  /** No prediction. Not a canonical address. */
  public static final long NONE = Long.MIN_VALUE;

  private static final int LINE = 64;

  /** The bit of an address that tells the halves of a line apart. */
  private static final int UPPER_HALF = LINE / 2;

  /** Tag of an entry without prediction: no branch has all these address bits. */
  private static final long EMPTY = -1;

  /** Bits of an entry's tag above those of its address. */
  private static final int MODE_SHIFT = 60;

  private static final int THREAD_SHIFT = 62;
  private static final int KIND_SHIFT = 56;
  private static final long ADDRESS_MASK = (1L << KIND_SHIFT) - 1;

  private final int sets;
  private final int ways;
  private final long branchMask;
  private final ModeIsolation isolation;
  private final IndirectTargetSelection selection;

  private final long[] tags;
  private final long[] targets;
  private final byte[] nextWay;

  /** The table that history selects, direct-mapped; empty if the model has none. */
  private final long[] historyTags;

  private final long[] historyTargets;

  private final boolean[] restricted;
  private final boolean[] alone;

  private BranchKind lastKind = BranchKind.JUMP;

  /**
   * @param threads logical processors of the core
   */
  public TargetPredictor(Predictors model, int threads) {
    this.ways = model.targetWays();
    this.sets = model.targetEntries() / ways;
    this.branchMask = (1L << model.targetAddressBits()) - 1 & ADDRESS_MASK;
    this.isolation = model.modeIsolation();
    this.selection = model.indirectTargetSelection();
    tags = new long[sets * ways];
    targets = new long[sets * ways];
    nextWay = new byte[sets];
    historyTags = new long[model.targetUsesHistory() ? sets * ways : 0];
    historyTargets = new long[historyTags.length];
    restricted = new boolean[threads];
    alone = new boolean[threads];
    barrier();
  }

  /**
   * IA32_SPEC_CTRL of a logical processor.
   *
   * @param indirectBranchRestricted IBRS
   * @param singleThread STIBP
   */
  public void control(int thread, boolean indirectBranchRestricted, boolean singleThread) {
    restricted[thread] = indirectBranchRestricted;
    alone[thread] = singleThread;
  }

  /**
   * Predicts the target of an indirect branch, or of a return where the return stack has none.
   *
   * @param branch address of its last byte
   * @param thread logical processor
   * @param mode of {@link PredictorMode}
   * @return the target, or {@link #NONE}
   */
  public long predict(long branch, int thread, int mode, BranchHistory history) {
    if (historyTags.length > 0) {
      int entry = historyEntry(branch, history);
      long tag = historyTags[entry];
      if ((tag & ADDRESS_MASK) == historyTag(branch, history) && usable(tag, thread, mode, false)) {
        lastKind = kind(tag);
        return historyTargets[entry];
      }
    }
    int entry = find(branch, thread, mode, false);
    if (entry < 0 || kind(tags[entry]).isDirect()) {
      entry = selected(branch, thread, mode);
    }
    if (entry < 0) {
      return NONE;
    }
    lastKind = kind(tags[entry]);
    return targets[entry];
  }

  /**
   * Indirect target selection: an indirect branch of the lower half of a line that has no target of
   * its own may get that of a branch, direct or not, of the upper half (kernel commit "x86/its:
   * Enable Indirect Target Selection mitigation"). Which of several is not published; here it is
   * the first.
   */
  private int selected(long branch, int thread, int mode) {
    if (selection == IndirectTargetSelection.NONE || (branch & UPPER_HALF) != 0) {
      return -1;
    }
    long upper = branch & -LINE | UPPER_HALF;
    boolean acrossMachines = selection == IndirectTargetSelection.GUEST_HOST;
    for (long address = upper; address < upper + UPPER_HALF; address++) {
      int entry = find(address, thread, mode, acrossMachines);
      if (entry >= 0) {
        return entry;
      }
    }
    return -1;
  }

  /**
   * What fetch believes about an address before it is decoded, on processors that ask for every
   * address: {@link #lastKind} tells what kind of branch it expects there, whatever really is. Who
   * trained the entry does not matter here: restricting indirect branches keeps wrong targets from
   * being executed, not from being fetched (Wikner, Trujillo, Razavi, "Phantom", 2023, on
   * AutoIBRS).
   *
   * @param address of the last byte of an instruction
   * @return the target, or {@link #NONE}
   */
  public long predictFetch(long address, int mode) {
    int entry = findAny(address, mode);
    if (entry < 0) {
      return NONE;
    }
    lastKind = kind(tags[entry]);
    return targets[entry];
  }

  /**
   * The first address of a range that fetch believes to be the end of a taken branch: what the
   * front end does when it has nothing but addresses, before instructions are told apart.
   *
   * @param from first address to ask for
   * @param end address behind the last one
   * @return the address, or {@link #NONE}; {@link #predictFetch} tells the rest of it
   */
  public long firstBranch(long from, long end, int mode) {
    for (long address = from; address != end; address++) {
      if (findAny(address, mode) >= 0) {
        return address;
      }
    }
    return NONE;
  }

  /** An entry whoever trained it, but that of the mode if there is one. */
  private int findAny(long branch, int mode) {
    int first = set(branch) * ways;
    int found = -1;
    for (int entry = first; entry < first + ways; entry++) {
      if ((tags[entry] & ADDRESS_MASK) == (branch & branchMask)) {
        if (mode(tags[entry]) == mode) {
          return entry;
        }
        found = entry;
      }
    }
    return found;
  }

  /** Kind of the branch that trained the entry of the last prediction. */
  public BranchKind lastKind() {
    return lastKind;
  }

  /** A taken branch has executed; history is that before it. */
  public void update(
      long branch, long target, BranchKind kind, int thread, int mode, BranchHistory history) {
    long owner =
        (long) kind.code << KIND_SHIFT | (long) mode << MODE_SHIFT | (long) thread << THREAD_SHIFT;
    if (historyTags.length > 0 && !kind.isDirect()) {
      int entry = historyEntry(branch, history);
      historyTags[entry] = historyTag(branch, history) | owner;
      historyTargets[entry] = target;
    }
    int first = set(branch) * ways;
    int entry = first;
    while (entry < first + ways && !belongs(tags[entry], branch, thread, mode)) {
      entry++;
    }
    if (entry == first + ways) {
      int way = nextWay[first / ways];
      nextWay[first / ways] = (byte) (way + 1 == ways ? 0 : way + 1);
      entry = first + way;
    }
    tags[entry] = branch & branchMask | owner;
    targets[entry] = target;
  }

  /**
   * Whether training of a mode replaces the entry: where modes are told apart, each has its own.
   * While IBRS is clear they are not, so there is one entry, of whoever was there last.
   */
  private boolean belongs(long tag, long branch, int thread, int mode) {
    boolean apart = isolation == ModeIsolation.ENHANCED_IBRS && restricted[thread];
    return (tag & ADDRESS_MASK) == (branch & branchMask) && (!apart || mode(tag) == mode);
  }

  /**
   * An entry that may be used, that of the mode if there is one.
   *
   * @param acrossMachines whether host and guest are not told apart
   */
  private int find(long branch, int thread, int mode, boolean acrossMachines) {
    int first = set(branch) * ways;
    int found = -1;
    for (int entry = first; entry < first + ways; entry++) {
      if ((tags[entry] & ADDRESS_MASK) == (branch & branchMask)
          && usable(tags[entry], thread, mode, acrossMachines)) {
        if (mode(tags[entry]) == mode) {
          return entry;
        }
        found = entry;
      }
    }
    return found;
  }

  private boolean usable(long tag, int thread, int mode, boolean acrossMachines) {
    if ((alone[thread] || restricted[thread]) && (int) (tag >>> THREAD_SHIFT) != thread) {
      return false;
    }
    return switch (isolation) {
      case NONE -> true;
      case IBRS -> !restricted[thread] || mode(tag) >= mode;
      case ENHANCED_IBRS ->
          !restricted[thread]
              || mode(tag) == mode
              || acrossMachines
                  && PredictorMode.isSupervisor(mode(tag)) == PredictorMode.isSupervisor(mode);
    };
  }

  private int set(long branch) {
    long low = branch & branchMask;
    return (int) ((low ^ low >>> 16) % sets);
  }

  /** 16 bits of address and history; the upper ones are the tag, the lower ones the place. */
  private int hash(long branch, BranchHistory history) {
    long low = branch & branchMask;
    return (int) (low ^ low >>> 16 ^ low >>> 32) & 0xffff ^ history.whole();
  }

  private int historyEntry(long branch, BranchHistory history) {
    return hash(branch, history) % historyTags.length;
  }

  private long historyTag(long branch, BranchHistory history) {
    return hash(branch, history);
  }

  private static BranchKind kind(long tag) {
    return BranchKind.of((int) (tag >>> KIND_SHIFT) & 7);
  }

  private static int mode(long tag) {
    return (int) (tag >>> MODE_SHIFT) & 3;
  }

  /** IA32_PRED_CMD.IBPB: nothing that was trained before decides a later prediction. */
  public void barrier() {
    Arrays.fill(tags, EMPTY);
    Arrays.fill(historyTags, EMPTY);
  }
}
