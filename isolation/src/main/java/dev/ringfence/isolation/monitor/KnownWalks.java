package dev.ringfence.isolation.monitor;

import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.memory.MonitorMemory;
import java.util.Arrays;

/**
 * Walks of restricted tables by one processor that led to a frame, so that they need not be
 * repeated while no table changes. What some policy does not map is asked for again after each
 * return to user mode, all policies are asked then, and tables change much less often: the walks
 * were two thirds of the time that questions took.
 */
final class KnownWalks {
  private static final int ENTRIES = 1024;

  /** Of an entry: page and access, root, frame, and {@link MonitorMemory#writes} at the time. */
  private static final int WORDS = 4;

  private final MonitorMemory memory;
  private final long[] walks = new long[WORDS * ENTRIES];
  private long cr0;
  private long cr4;
  private long efer;

  KnownWalks(MonitorMemory memory) {
    this.memory = memory;
    forget();
  }

  private void forget() {
    // No page and access has all bits set.
    Arrays.fill(walks, -1);
  }

  private static int index(Touch touch) {
    return WORDS * (int) (touch.linear >>> 12 & ENTRIES - 1);
  }

  private static long pageAndAccess(Touch touch) {
    return PageAddress.of(touch.linear) | touch.access;
  }

  /** Whether a walk from a root, for an access, is known to lead to the frame of the access. */
  boolean has(long root, Touch touch) {
    ProcessorState state = touch.processor.state();
    if (state.cr0 != cr0 || state.cr4 != cr4 || state.efer != efer) {
      // Rights depend on them.
      cr0 = state.cr0;
      cr4 = state.cr4;
      efer = state.efer;
      forget();
      return false;
    }
    int at = index(touch);
    return walks[at] == pageAndAccess(touch)
        && walks[at + 1] == root
        && walks[at + 2] == touch.frame
        && walks[at + 3] == memory.writes();
  }

  /** Such a walk has been made; {@link #has} was asked before. */
  void add(long root, Touch touch) {
    int at = index(touch);
    walks[at] = pageAndAccess(touch);
    walks[at + 1] = root;
    walks[at + 2] = touch.frame;
    walks[at + 3] = memory.writes();
  }
}
