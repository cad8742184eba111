package dev.ringfence.silicon.predict;

/**
 * Modes that predictions are made for and trained in, each more privileged than those before it
 * (Intel, "Speculative Execution Side Channel Mitigations", predictor mode: supervisor mode is more
 * privileged than user mode, VMX root operation more than non-root operation).
 */
public final class PredictorMode {
  public static final int GUEST_USER = 0;
  public static final int GUEST_SUPERVISOR = 1;
  public static final int USER = 2;
  public static final int SUPERVISOR = 3;

  private static final int ROOT = 2;

  private PredictorMode() {}

  /**
   * The mode of a processor.
   *
   * @param guest whether it is in VMX non-root operation
   * @param privilege CPL
   */
  public static int of(boolean guest, int privilege) {
    return (guest ? 0 : ROOT) + (privilege == 3 ? 0 : 1);
  }

  /** Whether a mode is one of CPL below 3. */
  public static boolean isSupervisor(int mode) {
    return (mode & 1) != 0;
  }
}
