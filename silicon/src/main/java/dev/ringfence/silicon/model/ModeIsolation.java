package dev.ringfence.silicon.model;

/** What keeps predictions of one mode from another, while IA32_SPEC_CTRL.IBRS is set. */
public enum ModeIsolation {
  /** Nothing. */
  NONE,
  /** What a less privileged mode trained is not used. */
  IBRS,
  /** What another mode trained is not used; the history of branches stays common. */
  ENHANCED_IBRS
}
