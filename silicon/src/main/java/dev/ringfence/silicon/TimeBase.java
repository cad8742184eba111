package dev.ringfence.silicon;

/** What makes virtual time go on while a machine runs with a model of its silicon. */
public enum TimeBase {
  /**
   * One nanosecond an instruction, as without silicon: what happens at an instruction is then equal
   * in both modes, so that one can be checked against the other.
   */
  INSTRUCTIONS,

  /** The cycles that the model takes: timers and RDTSC see how long instructions last. */
  CYCLES
}
