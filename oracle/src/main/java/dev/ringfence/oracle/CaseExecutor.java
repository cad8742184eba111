package dev.ringfence.oracle;

/** Something that executes one instruction on a state: a real processor or a model of one. */
interface CaseExecutor {
  /** Executes {@code input} and stores what came out. */
  void execute(CaseRecord input, CaseRecord output);
}
