package dev.ringfence.silicon.model;

/**
 * Whose branches of the upper half of a line may give a target to an indirect branch of the lower
 * half, while IA32_SPEC_CTRL.IBRS is set (kernel document hw-vuln/indirect-target-selection.rst).
 */
public enum IndirectTargetSelection {
  /** Nobody's. */
  NONE,
  /** Those of the same mode. */
  INTRA_MODE,
  /** Those of the same privilege, of a guest for its host, too. */
  GUEST_HOST
}
