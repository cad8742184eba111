package dev.ringfence.machine.operation.softfloat;

/** The arithmetic operations of SSE on one or two numbers. */
public enum Arithmetic {
  ADD,
  SUBTRACT,
  MULTIPLY,
  DIVIDE,
  MINIMUM,
  MAXIMUM,
  /** Of the second operand. */
  SQUARE_ROOT
}
