package dev.ringfence.silicon.model;

/** What predicts a return that finds the return stack empty. */
public enum ReturnUnderflow {
  /** Nothing. */
  NONE,
  /** The target predictor, as for an indirect branch. */
  TARGET_PREDICTOR
}
