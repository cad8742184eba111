package dev.ringfence.silicon.predict;

/** Kinds of branches, as predictors tell them apart. */
public enum BranchKind {
  CONDITIONAL(0),
  JUMP(1),
  CALL(2),
  INDIRECT_JUMP(3),
  INDIRECT_CALL(4),
  RETURN(5);

  private static final BranchKind[] BY_CODE = values();

  /** Three bits of an entry of the target predictor. */
  final int code;

  BranchKind(int code) {
    this.code = code;
  }

  static BranchKind of(int code) {
    return BY_CODE[code];
  }

  /** Whether its target is in the instruction, so that decoding finds a wrong prediction. */
  public boolean isDirect() {
    return this == CONDITIONAL || this == JUMP || this == CALL;
  }

  /** Whether it pushes a return address. */
  public boolean isCall() {
    return this == CALL || this == INDIRECT_CALL;
  }
}
