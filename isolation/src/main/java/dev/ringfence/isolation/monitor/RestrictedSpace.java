package dev.ringfence.isolation.monitor;

import dev.ringfence.isolation.transition.Domain;
import java.util.Arrays;

/** The restricted address space of one domain under one policy. */
final class RestrictedSpace {
  final Domain domain;

  /** What CR3 names, as {@link KernelView#addressSpace} gives it. */
  final long guestRoot;

  /** Physical address of the root in the monitor's memory. */
  final long root;

  /** Process-context identifier of the restricted tables, for the processor. */
  final int pcid;

  /** Pages that are mapped for a moment, oldest first. */
  private long[] ephemeral = new long[4];

  private int ephemeralCount;

  RestrictedSpace(Domain domain, long guestRoot, long root, int pcid) {
    this.domain = domain;
    this.guestRoot = guestRoot;
    this.root = root;
    this.pcid = pcid;
  }

  boolean isEphemeral(long page) {
    for (int i = 0; i < ephemeralCount; i++) {
      if (ephemeral[i] == page) {
        return true;
      }
    }
    return false;
  }

  int ephemeralCount() {
    return ephemeralCount;
  }

  void addEphemeral(long page) {
    if (ephemeralCount == ephemeral.length) {
      ephemeral = Arrays.copyOf(ephemeral, 2 * ephemeralCount);
    }
    ephemeral[ephemeralCount++] = page;
  }

  /** Takes out the page that was mapped first. */
  long removeOldestEphemeral() {
    long oldest = ephemeral[0];
    System.arraycopy(ephemeral, 1, ephemeral, 0, --ephemeralCount);
    return oldest;
  }
}
