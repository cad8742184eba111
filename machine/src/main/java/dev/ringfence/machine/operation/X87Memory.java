package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.operation.softfloat.Extended;
import dev.ringfence.machine.operation.softfloat.SoftFloat;
import dev.ringfence.machine.paging.LinearMemory;

/**
 * x87 instructions that store, and those that load or store the environment. They are helpers on
 * the processor: whether something is stored depends on exceptions, and a store that faults must
 * leave no exception recorded. The address is checked even if nothing is stored. Field first = slot
 * of the linear address.
 */
final class X87Memory {
  private static final long DECIMAL_LIMIT = 1_000_000_000_000_000_000L;
  private static final int DECIMAL_DIGITS = 18;

  private static final int REGISTER_BYTES = 10;

  private X87Memory() {}

  /** FST and FSTP to binary32 or binary64. */
  static void storeReal(Processor processor, MicroOperation o, int width, int pops) {
    ProcessorState state = processor.state();
    long linear = state.r[o.first];
    processor.memory().checkStore(linear, width / 8);
    if (X87.isEmpty(state, 0)) {
      storeIndefinite(processor, o, width, pops, width == 32 ? 0xffc0_0000L : 0xfff8L << 48);
      return;
    }
    SoftFloat unit = X87.unit(state);
    if (width == 32) {
      unit.targetSingle();
    } else {
      unit.targetDouble();
    }
    unit.convert(X87.signExponent(state, 0), X87.significand(state, 0));
    int suppressing =
        X87Status.INVALID | X87Status.DENORMAL | X87Status.OVERFLOW | X87Status.UNDERFLOW;
    if (!X87.unmasked(state, unit.flags & suppressing)) {
      if (width == 32) {
        processor
            .memory()
            .store32(linear, Extended.toSingle(unit.signExponent, unit.significand) & 0xffff_ffffL);
      } else {
        processor.memory().store64(linear, Extended.toDouble(unit.signExponent, unit.significand));
      }
      X87.pop(state, pops);
    } else {
      // What is not stored is not rounded.
      unit.flags &= ~X87Status.PRECISION;
      unit.roundedUp = false;
    }
    X87.end(state, o, unit);
  }

  private static void storeIndefinite(
      Processor processor, MicroOperation o, int width, int pops, long indefinite) {
    ProcessorState state = processor.state();
    if (!X87.unmasked(state, X87Status.INVALID)) {
      store(processor.memory(), state.r[o.first], width, indefinite);
    }
    if (X87.stackFault(state, o, false)) {
      X87.pop(state, pops);
    }
  }

  private static void store(LinearMemory memory, long linear, int width, long value) {
    switch (width) {
      case 16 -> memory.store16(linear, value & 0xffff);
      case 32 -> memory.store32(linear, value & 0xffff_ffffL);
      default -> memory.store64(linear, value);
    }
  }

  /** FIST, FISTP and FISTTP (truncating). */
  static void storeInteger(
      Processor processor, MicroOperation o, int width, boolean truncate, int pops) {
    ProcessorState state = processor.state();
    long indefinite = -1L << width - 1;
    processor.memory().checkStore(state.r[o.first], width / 8);
    if (X87.isEmpty(state, 0)) {
      storeIndefinite(processor, o, width, pops, indefinite);
      return;
    }
    SoftFloat unit = X87.unit(state);
    if (truncate) {
      unit.setRounding(SoftFloat.TOWARD_ZERO);
    }
    long value = unit.toInteger(X87.signExponent(state, 0), X87.significand(state, 0), width);
    if (!unit.trapped()) {
      store(processor.memory(), state.r[o.first], width, value);
      X87.pop(state, pops);
    }
    X87.end(state, o, unit);
  }

  /** FSTP to 80 bits, which changes nothing and so raises stack underflow only. */
  static void storeExtended(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    long linear = state.r[o.first];
    boolean empty = X87.isEmpty(state, 0);
    LinearMemory memory = processor.memory();
    memory.checkStore(linear, REGISTER_BYTES);
    if (!empty || !X87.unmasked(state, X87Status.INVALID)) {
      memory.store64(linear, empty ? Extended.INDEFINITE_SIGNIFICAND : X87.significand(state, 0));
      memory.store16(linear + 8, empty ? Extended.INDEFINITE_EXPONENT : X87.signExponent(state, 0));
    }
    if (!empty) {
      X87.end(state, o);
      X87.pop(state, 1);
    } else if (X87.stackFault(state, o, false)) {
      X87.pop(state, 1);
    }
  }

  /** FBSTP: 18 decimal digits, two to a byte, and a byte with the sign. */
  static void storeDecimal(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    processor.memory().checkStore(state.r[o.first], REGISTER_BYTES);
    boolean empty = X87.isEmpty(state, 0);
    SoftFloat unit = X87.unit(state);
    int signExponent = X87.signExponent(state, 0);
    long value = 0;
    if (!empty) {
      value = unit.toInteger(signExponent, X87.significand(state, 0), 64);
      if ((unit.flags & X87Status.INVALID) != 0
          || value <= -DECIMAL_LIMIT
          || value >= DECIMAL_LIMIT) {
        unit.flags = X87Status.INVALID;
        unit.roundedUp = false;
      }
    }
    boolean invalid = empty || (unit.flags & X87Status.INVALID) != 0;
    if (!invalid || !X87.unmasked(state, X87Status.INVALID)) {
      storeDecimal(
          processor.memory(), state.r[o.first], invalid, value, signExponent & Extended.SIGN);
    }
    if (empty) {
      if (X87.stackFault(state, o, false)) {
        X87.pop(state, 1);
      }
      return;
    }
    if (!unit.trapped()) {
      X87.pop(state, 1);
    }
    X87.end(state, o, unit);
  }

  private static void storeDecimal(
      LinearMemory memory, long linear, boolean invalid, long value, int sign) {
    if (invalid) {
      memory.store64(linear, 0xc000L << 48);
      memory.store16(linear + 8, 0xffff);
      return;
    }
    long rest = Math.abs(value);
    long low = 0;
    for (int digit = 0; digit < 16; digit++) {
      low |= rest % 10 << 4 * digit;
      rest /= 10;
    }
    memory.store64(linear, low);
    memory.store16(linear + 8, rest % 10 | rest / 10 << 4 | sign);
  }

  /** The value of the 18 digits of FBLD's operand. */
  static long decimal(long low, long high) {
    long value = 0;
    for (int digit = DECIMAL_DIGITS - 1; digit >= 0; digit--) {
      long bits = digit >= 16 ? high >>> 4 * (digit - 16) : low >>> 4 * digit;
      value = value * 10 + (bits & 0xf);
    }
    return value;
  }

  /**
   * Bytes of the environment: seven fields of 16 or 32 bits (SDM volume 1, figures 8-9 to 8-12).
   */
  private static int environmentBytes(int operandWidth) {
    return operandWidth == 16 ? 14 : 28;
  }

  /** Real-address and virtual-8086 mode keep pointers as linear addresses. */
  private static boolean realLayout(ProcessorState state) {
    return !state.protectedMode() || state.virtual8086();
  }

  /** The tag word, which the processor derives from the contents. */
  private static int tagWord(ProcessorState state) {
    int word = 0;
    for (int n = 0; n < 8; n++) {
      int tag;
      int se = state.x87Exponents[n];
      long m = state.r[Slot.X87 + n];
      if ((state.x87Empty >>> n & 1) != 0) {
        tag = 3;
      } else if (Extended.isZero(se, m)) {
        tag = 1;
      } else if ((se & Extended.EXPONENT) == 0 || (se & Extended.EXPONENT) == Extended.EXPONENT) {
        tag = 2;
      } else {
        tag = m < 0 ? 0 : 2;
      }
      word |= tag << 2 * n;
    }
    return word;
  }

  private static void storeFields(
      LinearMemory memory, ProcessorState state, long linear, int operandWidth) {
    long instruction = state.x87InstructionPointer;
    long data = state.x87DataPointer;
    long[] fields = new long[7];
    fields[0] = state.x87Control;
    fields[1] = X87Status.word(state);
    fields[2] = tagWord(state);
    if (operandWidth == 16) {
      fields[3] = instruction;
      fields[5] = data;
      if (realLayout(state)) {
        fields[4] = instruction >>> 4 & 0xf000 | state.x87Opcode;
        fields[6] = data >>> 4 & 0xf000;
      } else {
        fields[4] = state.x87InstructionSelector;
        fields[6] = state.x87DataSelector;
      }
      for (int n = 0; n < 7; n++) {
        memory.store16(linear + 2L * n, fields[n] & 0xffff);
      }
      return;
    }
    long reserved = 0xffff_0000L;
    for (int n = 0; n < 3; n++) {
      fields[n] |= reserved;
    }
    if (realLayout(state)) {
      fields[3] = instruction & 0xffff | reserved;
      fields[4] = (instruction >>> 16 & 0xffff) << 12 | state.x87Opcode;
      fields[5] = data & 0xffff | reserved;
      fields[6] = (data >>> 16 & 0xffff) << 12;
    } else {
      fields[3] = instruction;
      fields[4] = state.x87InstructionSelector | (long) state.x87Opcode << 16;
      fields[5] = data;
      fields[6] = state.x87DataSelector | reserved;
    }
    for (int n = 0; n < 7; n++) {
      memory.store32(linear + 4L * n, fields[n] & 0xffff_ffffL);
    }
  }

  /** FNSTENV, after which all exceptions are masked. */
  static void storeEnvironment(Processor processor, MicroOperation o, int operandWidth) {
    ProcessorState state = processor.state();
    long linear = state.r[o.first];
    processor.memory().checkStore(linear, environmentBytes(operandWidth));
    storeFields(processor.memory(), state, linear, operandWidth);
    X87Status.setControl(state, state.x87Control | X87Status.EXCEPTIONS);
  }

  /** FNSAVE: environment and registers, then FNINIT. */
  static void save(Processor processor, MicroOperation o, int operandWidth) {
    ProcessorState state = processor.state();
    LinearMemory memory = processor.memory();
    long linear = state.r[o.first];
    int environment = environmentBytes(operandWidth);
    memory.checkStore(linear, environment + 8 * REGISTER_BYTES);
    storeFields(memory, state, linear, operandWidth);
    for (int n = 0; n < 8; n++) {
      long place = linear + environment + (long) n * REGISTER_BYTES;
      memory.store64(place, X87.significand(state, n));
      memory.store16(place + 8, X87.signExponent(state, n));
    }
    X87.initialize(state);
  }

  private static long[] loadFields(LinearMemory memory, long linear, int operandWidth) {
    long[] fields = new long[7];
    for (int n = 0; n < 7; n++) {
      fields[n] =
          operandWidth == 16 ? memory.load16(linear + 2L * n) : memory.load32(linear + 4L * n);
    }
    return fields;
  }

  private static void setFields(ProcessorState state, long[] fields, int operandWidth) {
    X87Status.setControl(state, (int) fields[0] & 0xffff);
    X87Status.setWord(state, (int) fields[1] & 0xffff);
    int empty = 0;
    for (int n = 0; n < 8; n++) {
      empty |= (fields[2] >>> 2 * n & 3) == 3 ? 1 << n : 0;
    }
    state.x87Empty = empty;
    long instruction = fields[3];
    long data = fields[5];
    boolean real = realLayout(state);
    if (operandWidth == 16) {
      if (real) {
        instruction |= (fields[4] & 0xf000) << 4;
        data |= (fields[6] & 0xf000) << 4;
        state.x87Opcode = (int) fields[4] & 0x7ff;
      }
    } else if (real) {
      instruction = instruction & 0xffff | (fields[4] >>> 12 & 0xffff) << 16;
      data = data & 0xffff | (fields[6] >>> 12 & 0xffff) << 16;
      state.x87Opcode = (int) fields[4] & 0x7ff;
    } else {
      state.x87Opcode = (int) (fields[4] >>> 16) & 0x7ff;
    }
    state.x87InstructionPointer = instruction;
    state.x87DataPointer = data;
  }

  /** FLDENV. */
  static void loadEnvironment(Processor processor, MicroOperation o, int operandWidth) {
    ProcessorState state = processor.state();
    setFields(state, loadFields(processor.memory(), state.r[o.first], operandWidth), operandWidth);
  }

  /** FRSTOR. */
  static void restore(Processor processor, MicroOperation o, int operandWidth) {
    ProcessorState state = processor.state();
    LinearMemory memory = processor.memory();
    long linear = state.r[o.first];
    int environment = environmentBytes(operandWidth);
    memory.checkLoad(linear, environment + 8 * REGISTER_BYTES);
    setFields(state, loadFields(memory, linear, operandWidth), operandWidth);
    for (int n = 0; n < 8; n++) {
      long place = linear + environment + (long) n * REGISTER_BYTES;
      int register = X87.register(state, n);
      state.r[Slot.X87 + register] = memory.load64(place);
      state.x87Exponents[register] = (short) memory.load16(place + 8);
    }
  }
}
