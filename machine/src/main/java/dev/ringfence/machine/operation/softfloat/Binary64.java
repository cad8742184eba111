package dev.ringfence.machine.operation.softfloat;

/** Operations of SSE on binary64 numbers in their encoding; exceptions collect in the unit. */
public final class Binary64 {
  private Binary64() {}

  /** Applies DAZ to an operand. */
  static long input(SoftFloat unit, long bits) {
    return unit.denormalsAreZero() && Extended.isDenormalDouble(bits)
        ? bits & Long.MIN_VALUE
        : bits;
  }

  /** a OP b. */
  public static long compute(SoftFloat unit, Arithmetic operation, long first, long second) {
    long a = input(unit, first);
    long b = input(unit, second);
    unit.targetDouble();
    if (operation == Arithmetic.MINIMUM || operation == Arithmetic.MAXIMUM) {
      int order = compare(unit, a, b, false);
      boolean takeFirst =
          order == (operation == Arithmetic.MINIMUM ? SoftFloat.LESS : SoftFloat.GREATER);
      return takeFirst ? a : b;
    }
    int seA = Extended.exponentOfDouble(a);
    long mA = Extended.significandOfDouble(a);
    int seB = Extended.exponentOfDouble(b);
    long mB = Extended.significandOfDouble(b);
    unit.narrowDenormal =
        Extended.isDenormalDouble(b)
            || operation != Arithmetic.SQUARE_ROOT && Extended.isDenormalDouble(a);
    switch (operation) {
      case ADD -> unit.add(seA, mA, seB, mB);
      case SUBTRACT -> unit.subtract(seA, mA, seB, mB);
      case MULTIPLY -> unit.multiply(seA, mA, seB, mB);
      case DIVIDE -> unit.divide(seA, mA, seB, mB);
      default -> unit.squareRoot(seB, mB);
    }
    return Extended.toDouble(unit.signExponent, unit.significand);
  }

  /** Compares a with b; the result is one of {@link SoftFloat}'s. */
  public static int compare(SoftFloat unit, long first, long second, boolean quiet) {
    long a = input(unit, first);
    long b = input(unit, second);
    unit.narrowDenormal = Extended.isDenormalDouble(a) || Extended.isDenormalDouble(b);
    return unit.compare(
        Extended.exponentOfDouble(a),
        Extended.significandOfDouble(a),
        Extended.exponentOfDouble(b),
        Extended.significandOfDouble(b),
        quiet);
  }

  /** Converts to a signed integer of 32 or 64 bits by the rounding mode of the unit. */
  public static long toInteger(SoftFloat unit, long value, int width) {
    long a = input(unit, value);
    return unit.toInteger(Extended.exponentOfDouble(a), Extended.significandOfDouble(a), width);
  }

  /** Converts a signed integer. */
  public static long fromInteger(SoftFloat unit, long value) {
    unit.targetDouble();
    unit.fromInteger(value);
    return Extended.toDouble(unit.signExponent, unit.significand);
  }

  /** Rounds to an integer in the same format. */
  public static long roundToInteger(SoftFloat unit, long value, boolean exact) {
    long a = input(unit, value);
    unit.narrowDenormal = false;
    unit.roundToInteger(Extended.exponentOfDouble(a), Extended.significandOfDouble(a), exact);
    return Extended.toDouble(unit.signExponent, unit.significand);
  }

  /** Converts a binary32 number. */
  public static long fromSingle(SoftFloat unit, int value) {
    int a = Binary32.input(unit, value);
    unit.targetDouble();
    unit.narrowDenormal = Extended.isDenormalSingle(a);
    unit.convert(Extended.exponentOfSingle(a), Extended.significandOfSingle(a));
    return Extended.toDouble(unit.signExponent, unit.significand);
  }
}
