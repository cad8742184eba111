package dev.ringfence.machine.cpu;

/**
 * The part of a processor that architecture hides, as far as software controls it. What the guest
 * does to isolate by registers and VERW, and what a layer beneath it does (it writes CR3, it
 * flushes), goes here, so that a model of the silicon can give each operation its effect. Without
 * such a model the operations have no effect, as they have none on architectural state.
 */
public interface Microarchitecture {
  /** A processor without a model of its silicon. */
  Microarchitecture NONE = new Microarchitecture() {};

  /**
   * MOV to CR3 by the layer beneath the guest.
   *
   * @param root physical address of the tables
   * @param keepTranslations whether bit 63 was set: translations of the PCID stay
   */
  default void writeRoot(long root, int pcid, boolean keepTranslations) {}

  /** IA32_PRED_CMD.IBPB: the indirect branch predictor barrier. */
  default void barrierIndirectBranchPredictions() {}

  /**
   * IA32_PRED_CMD.SBPB of AMD: the barrier for targets only, which leaves alone what is predicted
   * about the kinds of branches.
   */
  default void barrierIndirectBranchPredictionsSelectively() {}

  /** Software has changed what the processor may do ahead of time. */
  default void speculationControlChanged(SpeculationControl control) {}

  /** Fills the return stack buffer with harmless targets. */
  default void fillReturnStack() {}

  /** IA32_FLUSH_CMD.L1D_FLUSH. */
  default void flushL1Data() {}

  /**
   * VERW with an operand in memory on a processor with MD_CLEAR or VERW_CLEAR: overwrites store
   * buffer, fill buffers and load ports.
   */
  default void clearBuffers() {}
}
