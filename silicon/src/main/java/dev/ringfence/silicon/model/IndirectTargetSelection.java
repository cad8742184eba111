package dev.ringfence.silicon.model;

/**
 * Whose direct branches may give a target to an indirect branch in the lower half of a line, while
 * IA32_SPEC_CTRL.IBRS is set (kernel document hw-vuln/indirect-target-selection.rst).
 */
public enum IndirectTargetSelection {
  /** Nobody's. */
  NONE,
  /** Those of the same mode. */
  INTRA_MODE,
  /** Those of the same privilege, of a guest for its host, too. */
  GUEST_HOST
}
