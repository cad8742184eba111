package dev.ringfence.machine.probe;

/** The probes of a machine. */
public final class Probes {
  /**
   * CPUID leaf that is a marker: "RING" in ASCII. No processor defines it, so it reads there as any
   * leaf beyond the highest; programs that issue it run unchanged anywhere.
   */
  public static final int MARKER_LEAF = 0x52494e47;

  private Probes() {}
}
