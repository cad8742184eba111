package dev.ringfence.lab.workload;

import dev.ringfence.machine.probe.Probes;
import java.util.Optional;

/**
 * What a program in the guest can tell the machine: CPUID in user mode with EAX = {@link #LEAF},
 * ECX = {@link #operation()} and RBX = an argument. On any other machine this reads an unknown
 * leaf. The same numbers are in {@code guest/workloads/marker.h}.
 */
public enum Marker {
  /** The region of interest begins: what comes before is set-up and warm-up. */
  REGION_BEGIN(1),
  /** The region of interest ends. */
  REGION_END(2),
  /**
   * A phase begins; the argument is its index in {@link Workload#phases()}. A phase may begin and
   * end many times, its counts add up.
   */
  PHASE_BEGIN(3),
  /** A phase ends; the argument is its index. */
  PHASE_END(4);

  /** The CPUID leaf: "RING" in ASCII. */
  public static final int LEAF = Probes.MARKER_LEAF;

  private final int operation;

  Marker(int operation) {
    this.operation = operation;
  }

  /** The value of ECX. */
  public int operation() {
    return operation;
  }

  /** The marker with this value of ECX, or empty: programs may issue any value. */
  public static Optional<Marker> of(int operation) {
    for (Marker marker : values()) {
      if (marker.operation == operation) {
        return Optional.of(marker);
      }
    }
    return Optional.empty();
  }
}
