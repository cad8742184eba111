package dev.ringfence.isolation.policy;

/** What a transition makes the processor do. */
public enum HardwareOperation {
  /** Write of CR3: another address space, and without a PCID no translation of the old one. */
  CR3_WRITE,
  /**
   * Indirect branch predictor barrier, a write of IA32_PRED_CMD: indirect branches behind it do not
   * use targets trained before it (SDM volume 3, "Indirect Branch Predictor Barrier").
   */
  IBPB,
  /** 32 calls that fill the return stack buffer with harmless targets. */
  RSB_FILL,
  /** Write-back and invalidation of the L1 data cache, IA32_FLUSH_CMD or 64 KiB of loads. */
  L1D_FLUSH,
  /**
   * VERW with the microcode that makes it overwrite store buffer, fill buffers and load ports
   * (kernel document mds.rst).
   */
  VERW
}
