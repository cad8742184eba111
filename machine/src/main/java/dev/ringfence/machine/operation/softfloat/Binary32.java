package dev.ringfence.machine.operation.softfloat;

/** Operations of SSE on binary32 numbers in their encoding; exceptions collect in the unit. */
public final class Binary32 {
  private Binary32() {}

  /** Applies DAZ to an operand. */
  static int input(SoftFloat unit, int bits) {
    return unit.denormalsAreZero() && Extended.isDenormalSingle(bits)
        ? bits & Integer.MIN_VALUE
        : bits;
  }

  /** a OP b. */
  public static int compute(SoftFloat unit, Arithmetic operation, int first, int second) {
    int a = input(unit, first);
    int b = input(unit, second);
    unit.targetSingle();
    if (operation == Arithmetic.MINIMUM || operation == Arithmetic.MAXIMUM) {
      int order = compare(unit, a, b, false);
      boolean takeFirst =
          order == (operation == Arithmetic.MINIMUM ? SoftFloat.LESS : SoftFloat.GREATER);
      return takeFirst ? a : b;
    }
    int seA = Extended.exponentOfSingle(a);
    long mA = Extended.significandOfSingle(a);
    int seB = Extended.exponentOfSingle(b);
    long mB = Extended.significandOfSingle(b);
    unit.narrowDenormal =
        Extended.isDenormalSingle(b)
            || operation != Arithmetic.SQUARE_ROOT && Extended.isDenormalSingle(a);
    switch (operation) {
      case ADD -> unit.add(seA, mA, seB, mB);
      case SUBTRACT -> unit.subtract(seA, mA, seB, mB);
      case MULTIPLY -> unit.multiply(seA, mA, seB, mB);
      case DIVIDE -> unit.divide(seA, mA, seB, mB);
      default -> unit.squareRoot(seB, mB);
    }
    return Extended.toSingle(unit.signExponent, unit.significand);
  }

  /** Compares a with b; the result is one of {@link SoftFloat}'s. */
  public static int compare(SoftFloat unit, int first, int second, boolean quiet) {
    int a = input(unit, first);
    int b = input(unit, second);
    unit.narrowDenormal = Extended.isDenormalSingle(a) || Extended.isDenormalSingle(b);
    return unit.compare(
        Extended.exponentOfSingle(a),
        Extended.significandOfSingle(a),
        Extended.exponentOfSingle(b),
        Extended.significandOfSingle(b),
        quiet);
  }

  /** Converts to a signed integer of 32 or 64 bits by the rounding mode of the unit. */
  public static long toInteger(SoftFloat unit, int value, int width) {
    int a = input(unit, value);
    return unit.toInteger(Extended.exponentOfSingle(a), Extended.significandOfSingle(a), width);
  }

  /** Converts a signed integer. */
  public static int fromInteger(SoftFloat unit, long value) {
    unit.targetSingle();
    unit.fromInteger(value);
    return Extended.toSingle(unit.signExponent, unit.significand);
  }

  /** Rounds to an integer in the same format. */
  public static int roundToInteger(SoftFloat unit, int value, boolean exact) {
    int a = input(unit, value);
    unit.narrowDenormal = false;
    unit.roundToInteger(Extended.exponentOfSingle(a), Extended.significandOfSingle(a), exact);
    return Extended.toSingle(unit.signExponent, unit.significand);
  }

  /** Converts a binary64 number. */
  public static int fromDouble(SoftFloat unit, long value) {
    long a = Binary64.input(unit, value);
    unit.targetSingle();
    unit.narrowDenormal = Extended.isDenormalDouble(a);
    unit.convert(Extended.exponentOfDouble(a), Extended.significandOfDouble(a));
    return Extended.toSingle(unit.signExponent, unit.significand);
  }
}
