package dev.ringfence.silicon.model;

/** Whether calls that only the target predictor believes in push return addresses. */
public enum PhantomCalls {
  /** They do not. */
  NONE,
  /** While the core has two logical processors. */
  WITH_SIBLING,
  /** They do. */
  ALWAYS
}
