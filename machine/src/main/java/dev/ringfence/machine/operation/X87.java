package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.operation.softfloat.Extended;
import dev.ringfence.machine.operation.softfloat.SoftFloat;

/**
 * The x87 register stack and how instructions end (SDM volume 1, chapter 8).
 *
 * <p>An instruction that works on the stack calls {@link #begin}, checks its operands, computes in
 * a {@link SoftFloat}, and calls one of the methods that record exceptions. An unmasked exception
 * that is found before the computation leaves registers, TOP and tags as they were; the exception
 * itself is raised by the next waiting instruction.
 *
 * <p>As on the processors whose models we ship, FCS and FDS are deprecated, and the data pointer
 * and the opcode are recorded only when an instruction leaves an unmasked exception pending.
 */
final class X87 {
  private X87() {}

  /** Number of the physical register that ST(i) is. */
  static int register(ProcessorState state, int i) {
    return state.x87Top + i & 7;
  }

  static boolean isEmpty(ProcessorState state, int i) {
    return (state.x87Empty >>> register(state, i) & 1) != 0;
  }

  /** Sign and exponent of ST(i). */
  static int signExponent(ProcessorState state, int i) {
    return state.x87Exponents[register(state, i)] & 0xffff;
  }

  static long significand(ProcessorState state, int i) {
    return state.r[Slot.X87 + register(state, i)];
  }

  /** Writes ST(i) and marks it as valid. */
  static void write(ProcessorState state, int i, int signExponent, long significand) {
    int register = register(state, i);
    state.r[Slot.X87 + register] = significand;
    state.x87Exponents[register] = (short) signExponent;
    state.x87Empty &= ~(1 << register);
  }

  /** Writes ST(i), whose significand without integer bit stands for a denormal. */
  static void writeResult(ProcessorState state, int i, SoftFloat unit) {
    int signExponent = unit.signExponent;
    write(
        state,
        i,
        unit.significand < 0 ? signExponent : signExponent & Extended.SIGN,
        unit.significand);
  }

  static void push(ProcessorState state, int signExponent, long significand) {
    state.x87Top = state.x87Top - 1 & 7;
    write(state, 0, signExponent, significand);
  }

  static void pop(ProcessorState state, int count) {
    for (int n = 0; n < count; n++) {
      state.x87Empty |= 1 << state.x87Top;
      state.x87Top = state.x87Top + 1 & 7;
    }
  }

  /** Checks that precede every waiting instruction. */
  static void begin(ProcessorState state, MicroOperation o) {
    Availability.requireX87(state, o);
  }

  static SoftFloat unit(ProcessorState state) {
    return SoftFloat.ofX87(state.x87Control);
  }

  /**
   * Ends an instruction: records exceptions and C1 and the address of the instruction.
   *
   * @param flags exceptions, perhaps with {@link X87Status#STACK_FAULT}
   * @param c1 the result was rounded up, or the stack overflowed
   */
  static void end(ProcessorState state, MicroOperation o, int flags, boolean c1) {
    state.x87InstructionPointer =
        state.r[Slot.BLOCK_START] + o.offset & -1L >>> 64 - o.instruction.codeWidth();
    state.x87Status = state.x87Status & ~X87Status.C1 | flags | (c1 ? X87Status.C1 : 0);
    if (unmasked(state, flags)) {
      state.x87Status |= X87Status.ERROR_SUMMARY | X87Status.BUSY;
      recordOperand(state, o);
    }
  }

  static void end(ProcessorState state, MicroOperation o) {
    end(state, o, 0, false);
  }

  static void end(ProcessorState state, MicroOperation o, SoftFloat unit) {
    end(state, o, unit.flags, unit.roundedUp && !unit.trapped());
  }

  static boolean unmasked(ProcessorState state, int flags) {
    return (flags & ~state.x87Control & X87Status.EXCEPTIONS) != 0;
  }

  private static void recordOperand(ProcessorState state, MicroOperation o) {
    Instruction i = o.instruction;
    state.x87Opcode = (i.opcode() & 7) << 8 | i.modRm();
    if (i.isMemory()) {
      long offset = state.r[i.base()] + (state.r[i.index()] << i.scale()) + i.displacement();
      if (i.ripRelative()) {
        offset += o.nextOffset();
      }
      state.x87DataPointer = offset & -1L >>> 64 - i.addressWidth();
    }
  }

  /**
   * Ends an instruction that found a stack fault. Returns whether it is masked, so that the
   * instruction must deliver the indefinite.
   */
  static boolean stackFault(ProcessorState state, MicroOperation o, boolean overflow) {
    int flags = X87Status.INVALID | X87Status.STACK_FAULT;
    end(state, o, flags, overflow);
    return !unmasked(state, flags);
  }

  /** ST(i) = indefinite, then pops, if a stack underflow is masked. */
  static void underflow(ProcessorState state, MicroOperation o, int i, int pops) {
    if (stackFault(state, o, false)) {
      write(state, i, Extended.INDEFINITE_EXPONENT, Extended.INDEFINITE_SIGNIFICAND);
      pop(state, pops);
    }
  }

  /** Pushes a value, or the indefinite if the stack is full. */
  static void load(ProcessorState state, MicroOperation o, int signExponent, long significand) {
    begin(state, o);
    if (!isEmpty(state, 7)) {
      overflow(state, o);
      return;
    }
    end(state, o);
    push(state, signExponent, significand);
  }

  /** FLD of a binary32 or binary64 number, which may be denormal or a signaling NaN. */
  static void loadReal(
      ProcessorState state,
      MicroOperation o,
      int signExponent,
      long significand,
      boolean denormal) {
    begin(state, o);
    if (!isEmpty(state, 7)) {
      overflow(state, o);
      return;
    }
    SoftFloat unit = unit(state);
    unit.targetExtended();
    unit.convert(signExponent, significand);
    // A denormal is loaded whether or not that raises an unmasked exception.
    boolean trapped = unit.trapped();
    unit.flags |= denormal ? X87Status.DENORMAL : 0;
    end(state, o, unit.flags, false);
    if (!trapped) {
      push(state, unit.signExponent, unit.significand);
    }
  }

  /** Pushes the indefinite if the stack overflow is masked. */
  static void overflow(ProcessorState state, MicroOperation o) {
    if (stackFault(state, o, true)) {
      push(state, Extended.INDEFINITE_EXPONENT, Extended.INDEFINITE_SIGNIFICAND);
    }
  }

  /** Ends an instruction whose result goes to ST(i), with pops after it. */
  static void finish(ProcessorState state, MicroOperation o, SoftFloat unit, int i, int pops) {
    end(state, o, unit);
    if (!unit.trapped()) {
      writeResult(state, i, unit);
      pop(state, pops);
    }
  }

  /** The two-operand operations, with the destination as the first operand. */
  enum Operation {
    ADD,
    MULTIPLY,
    SUBTRACT,
    SUBTRACT_REVERSED,
    DIVIDE,
    DIVIDE_REVERSED;

    void apply(SoftFloat unit, int seA, long mA, int seB, long mB) {
      switch (this) {
        case ADD -> unit.add(seA, mA, seB, mB);
        case MULTIPLY -> unit.multiply(seA, mA, seB, mB);
        case SUBTRACT -> unit.subtract(seA, mA, seB, mB);
        case SUBTRACT_REVERSED -> unit.subtract(seB, mB, seA, mA);
        case DIVIDE -> unit.divide(seA, mA, seB, mB);
        case DIVIDE_REVERSED -> unit.divide(seB, mB, seA, mA);
      }
    }
  }

  /** ST(destination) = ST(destination) OP ST(source), then pops. */
  static void arithmetic(
      ProcessorState state,
      MicroOperation o,
      Operation operation,
      int destination,
      int source,
      int pops) {
    begin(state, o);
    if (isEmpty(state, destination) || isEmpty(state, source)) {
      underflow(state, o, destination, pops);
      return;
    }
    SoftFloat unit = unit(state);
    operation.apply(
        unit,
        signExponent(state, destination),
        significand(state, destination),
        signExponent(state, source),
        significand(state, source));
    finish(state, o, unit, destination, pops);
  }

  /** ST(0) = ST(0) OP a number from memory. */
  static void arithmetic(
      ProcessorState state,
      MicroOperation o,
      Operation operation,
      int signExponent,
      long significand,
      boolean denormal) {
    begin(state, o);
    if (isEmpty(state, 0)) {
      underflow(state, o, 0, 0);
      return;
    }
    SoftFloat unit = unit(state);
    unit.narrowDenormal = denormal;
    operation.apply(unit, signExponent(state, 0), significand(state, 0), signExponent, significand);
    finish(state, o, unit, 0, 0);
  }

  /** Condition codes C3, C2, C0 of a comparison (SDM volume 1, table 8-6). */
  private static int conditionCodes(int order) {
    return switch (order) {
      case SoftFloat.LESS -> X87Status.C0;
      case SoftFloat.EQUAL -> X87Status.C3;
      case SoftFloat.GREATER -> 0;
      default -> X87Status.C0 | X87Status.C2 | X87Status.C3;
    };
  }

  private static void setConditionCodes(ProcessorState state, int codes) {
    state.x87Status = state.x87Status & ~(X87Status.C0 | X87Status.C2 | X87Status.C3) | codes;
  }

  /** FCOM and FUCOM (quiet): ST(0) with a number. */
  static void compare(
      ProcessorState state,
      MicroOperation o,
      int signExponent,
      long significand,
      boolean denormal,
      boolean quiet,
      int pops) {
    SoftFloat unit = unit(state);
    unit.narrowDenormal = denormal;
    int order =
        unit.compare(
            signExponent(state, 0), significand(state, 0), signExponent, significand, quiet);
    end(state, o, unit);
    if (!unit.trapped()) {
      setConditionCodes(state, conditionCodes(order));
      pop(state, pops);
    }
  }

  /** Ends a comparison that found an empty register: unordered. */
  private static void compareUnderflow(ProcessorState state, MicroOperation o, int pops) {
    if (stackFault(state, o, false)) {
      setConditionCodes(state, conditionCodes(SoftFloat.UNORDERED));
      pop(state, pops);
    }
  }

  static void compareRegister(
      ProcessorState state, MicroOperation o, int source, boolean quiet, int pops) {
    begin(state, o);
    if (isEmpty(state, 0) || isEmpty(state, source)) {
      compareUnderflow(state, o, pops);
      return;
    }
    compare(state, o, signExponent(state, source), significand(state, source), false, quiet, pops);
  }

  static void compareMemory(
      ProcessorState state,
      MicroOperation o,
      int signExponent,
      long significand,
      boolean denormal,
      int pops) {
    begin(state, o);
    if (isEmpty(state, 0)) {
      compareUnderflow(state, o, pops);
      return;
    }
    compare(state, o, signExponent, significand, denormal, false, pops);
  }

  /** FTST. */
  static void test(ProcessorState state, MicroOperation o) {
    compareMemory(state, o, 0, 0, false, 0);
  }

  /** FCOMI, FUCOMI and their popping forms: the answer is in RFLAGS. */
  static void compareToFlags(
      ProcessorState state, MicroOperation o, int source, boolean quiet, int pops) {
    begin(state, o);
    if (isEmpty(state, 0) || isEmpty(state, source)) {
      if (stackFault(state, o, false)) {
        state.setStatusFlags(SseArithmetic.flagsOf(SoftFloat.UNORDERED));
        pop(state, pops);
      }
      return;
    }
    SoftFloat unit = unit(state);
    int order =
        unit.compare(
            signExponent(state, 0),
            significand(state, 0),
            signExponent(state, source),
            significand(state, source),
            quiet);
    end(state, o, unit);
    if (!unit.trapped()) {
      state.setStatusFlags(SseArithmetic.flagsOf(order));
      pop(state, pops);
    }
  }

  /** FXAM: the class of ST(0) in C3, C2, C0 and its sign in C1, empty or not. */
  static void examine(ProcessorState state, MicroOperation o) {
    begin(state, o);
    int se = signExponent(state, 0);
    long m = significand(state, 0);
    int codes;
    if (isEmpty(state, 0)) {
      codes = X87Status.C3 | X87Status.C0;
    } else if (Extended.isUnsupported(se, m)) {
      codes = 0;
    } else if (Extended.isNan(se, m)) {
      codes = X87Status.C0;
    } else if (Extended.isInfinity(se, m)) {
      codes = X87Status.C2 | X87Status.C0;
    } else if (Extended.isZero(se, m)) {
      codes = X87Status.C3;
    } else if (Extended.isDenormal(se, m)) {
      codes = X87Status.C3 | X87Status.C2;
    } else {
      codes = X87Status.C2;
    }
    end(state, o, 0, (se & Extended.SIGN) != 0);
    setConditionCodes(state, codes);
  }

  /** FXCH. */
  static void exchange(ProcessorState state, MicroOperation o, int i) {
    begin(state, o);
    if (isEmpty(state, 0) || isEmpty(state, i)) {
      if (!stackFault(state, o, false)) {
        return;
      }
      for (int n = 0; n <= i; n += Math.max(i, 1)) {
        if (isEmpty(state, n)) {
          write(state, n, Extended.INDEFINITE_EXPONENT, Extended.INDEFINITE_SIGNIFICAND);
        }
      }
    } else {
      end(state, o);
    }
    int se = signExponent(state, 0);
    long m = significand(state, 0);
    write(state, 0, signExponent(state, i), significand(state, i));
    write(state, i, se, m);
  }

  /** FCHS and FABS: the sign of ST(0), by masks. */
  static void changeSign(ProcessorState state, MicroOperation o, int keep, int flip) {
    begin(state, o);
    if (isEmpty(state, 0)) {
      underflow(state, o, 0, 0);
      return;
    }
    end(state, o);
    write(state, 0, signExponent(state, 0) & keep ^ flip, significand(state, 0));
  }

  /** FLD ST(i). */
  static void loadRegister(ProcessorState state, MicroOperation o, int i) {
    begin(state, o);
    if (isEmpty(state, i)) {
      // An empty source counts before a full stack.
      if (stackFault(state, o, false)) {
        push(state, Extended.INDEFINITE_EXPONENT, Extended.INDEFINITE_SIGNIFICAND);
      }
    } else if (!isEmpty(state, 7)) {
      overflow(state, o);
    } else {
      end(state, o);
      push(state, signExponent(state, i), significand(state, i));
    }
  }

  /** FST ST(i), FSTP ST(i). */
  static void storeRegister(ProcessorState state, MicroOperation o, int i, int pops) {
    begin(state, o);
    if (isEmpty(state, 0)) {
      underflow(state, o, i, pops);
      return;
    }
    end(state, o);
    write(state, i, signExponent(state, 0), significand(state, 0));
    pop(state, pops);
  }

  /** FCMOVcc. */
  static void moveIf(ProcessorState state, MicroOperation o, int i, boolean condition) {
    begin(state, o);
    if (isEmpty(state, 0) || isEmpty(state, i)) {
      underflow(state, o, 0, 0);
      return;
    }
    // C1 is cleared by a stack underflow only.
    end(state, o, 0, (state.x87Status & X87Status.C1) != 0);
    if (condition) {
      write(state, 0, signExponent(state, i), significand(state, i));
    }
  }

  /** FINCSTP and FDECSTP. */
  static void rotate(ProcessorState state, MicroOperation o, int step) {
    begin(state, o);
    end(state, o);
    state.x87Top = state.x87Top + step & 7;
  }

  /** FFREE. */
  static void free(ProcessorState state, MicroOperation o, int i) {
    begin(state, o);
    end(state, o);
    state.x87Empty |= 1 << register(state, i);
  }

  /** A function of ST(0). */
  static void unary(
      ProcessorState state, MicroOperation o, boolean anyPrecision, UnaryFunction function) {
    begin(state, o);
    if (isEmpty(state, 0)) {
      underflow(state, o, 0, 0);
      return;
    }
    SoftFloat unit = unit(state);
    if (!anyPrecision) {
      unit.targetExtended();
    }
    function.apply(unit, signExponent(state, 0), significand(state, 0));
    finish(state, o, unit, 0, 0);
  }

  /** Computes into the unit. */
  @FunctionalInterface
  interface UnaryFunction {
    void apply(SoftFloat unit, int signExponent, long significand);
  }

  /** FNINIT. Registers keep their contents. */
  static void initialize(ProcessorState state) {
    state.x87Control = X87Status.INITIAL_CONTROL;
    X87Status.setWord(state, 0);
    state.x87Empty = 0xff;
    state.x87Opcode = 0;
    state.x87InstructionPointer = 0;
    state.x87InstructionSelector = 0;
    state.x87DataPointer = 0;
    state.x87DataSelector = 0;
  }
}
