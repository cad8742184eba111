package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.OperandDefinition;
import java.util.Map;

/** Bit tests, bit scans, byte swap, and compare-and-exchange. */
final class Bits {
  private Bits() {}

  static void register(Map<String, Lifter> lifters) {
    lifters.put("BT", (emitter, i) -> bitTest(emitter, i, null));
    lifters.put("BTS", (emitter, i) -> bitTest(emitter, i, Bits::set));
    lifters.put("BTR", (emitter, i) -> bitTest(emitter, i, Bits::reset));
    lifters.put("BTC", (emitter, i) -> bitTest(emitter, i, Bits::complement));
    lifters.put("BSF", (emitter, i) -> scan(emitter, i, Bits::scanForward));
    lifters.put("BSR", (emitter, i) -> scan(emitter, i, Bits::scanReverse));
    lifters.put("BSWAP", Bits::swap);
    lifters.put("CMPXCHG", Bits::compareExchange);
    lifters.put("CMPXCHG8B", Bits::compareExchangeWide);
  }

  private static void bitTest(
      Emitter emitter, Instruction i, @org.jspecify.annotations.Nullable StateHelper change) {
    int width = i.operandWidth();
    boolean byRegister =
        i.definition().operands().get(1).method() == OperandDefinition.Method.GENERAL;
    Operand target;
    if (i.isMemory() && byRegister) {
      target = Operand.memory(emitter, width, bitStringAddress(emitter, i, change != null));
    } else {
      target = Operand.of(emitter, i, 0, change != null);
    }
    Operand.Value bit = Operand.of(emitter, i, 1, false).value();
    if (change == null) {
      emitter.arithmetic(
          MicroCode.BIT_TEST, width, Slot.ZERO, target.slot(), bit.slot(), bit.immediate());
      return;
    }
    int first = target.slotForUpdate();
    int result = target.isMemory() ? first : target.resultSlot();
    IntegerLifters.helper(emitter, change, width, result, first, bit);
    target.write(result);
  }

  /**
   * A register as bit offset reaches memory beyond the operand: by the signed offset divided by the
   * width.
   */
  private static Memory bitStringAddress(Emitter emitter, Instruction i, boolean write) {
    int address = emitter.temporary();
    emitter.effectiveAddress(address, i, i.addressWidth());
    int offset = emitter.temporary();
    MicroOperation bytes = emitter.stateHelper(Bits::byteOffset);
    bytes.destination = offset;
    bytes.first = i.reg();
    bytes.shift = 64 - i.operandWidth();
    return emitter.memory(
        address, offset, 0, 0, i.addressWidth(), i.segment(), i.operandWidth() / 8, write);
  }

  private static void byteOffset(ProcessorState state, MicroOperation o) {
    int width = 64 - o.shift;
    long bits = state.r[o.first] << o.shift >> o.shift;
    state.r[o.destination] = (bits >> Integer.numberOfTrailingZeros(width)) * (width / 8);
  }

  private static int bitNumber(ProcessorState state, MicroOperation o) {
    return (int) (state.r[o.second] + o.immediate) & 63 - o.shift;
  }

  private static void change(ProcessorState state, MicroOperation o, long changed) {
    long carry = state.r[o.first] >>> bitNumber(state, o) & 1;
    state.flagAuxiliary = Flags.withCarry(state.flagAuxiliary, carry);
    write(state, o, changed);
  }

  private static void write(ProcessorState state, MicroOperation o, long value) {
    state.r[o.destination] = state.r[o.destination] & o.keep | value << o.shift >>> o.shift;
  }

  private static void set(ProcessorState state, MicroOperation o) {
    change(state, o, state.r[o.first] | 1L << bitNumber(state, o));
  }

  private static void reset(ProcessorState state, MicroOperation o) {
    change(state, o, state.r[o.first] & ~(1L << bitNumber(state, o)));
  }

  private static void complement(ProcessorState state, MicroOperation o) {
    change(state, o, state.r[o.first] ^ 1L << bitNumber(state, o));
  }

  private static void scan(Emitter emitter, Instruction i, StateHelper helper) {
    int source = Operand.of(emitter, i, 1, false).slot();
    IntegerLifters.helper(
        emitter, helper, i.operandWidth(), i.reg(), source, new Operand.Value(Slot.ZERO, 0));
  }

  /**
   * With a zero source the destination stays; only ZF is defined, and processors write it alone.
   */
  private static void scanForward(ProcessorState state, MicroOperation o) {
    long value = state.r[o.first] << o.shift >>> o.shift;
    setZero(state, value == 0);
    if (value != 0) {
      write(state, o, Long.numberOfTrailingZeros(value));
    }
  }

  private static void scanReverse(ProcessorState state, MicroOperation o) {
    long value = state.r[o.first] << o.shift >>> o.shift;
    setZero(state, value == 0);
    if (value != 0) {
      write(state, o, 63 - Long.numberOfLeadingZeros(value));
    }
  }

  private static void setZero(ProcessorState state, boolean zero) {
    int status = state.statusFlags();
    state.setStatusFlags(zero ? status | Flags.ZF : status & ~Flags.ZF);
  }

  private static void swap(Emitter emitter, Instruction i) {
    int register = i.opcodeRegister();
    IntegerLifters.helper(
        emitter,
        Bits::swapBytes,
        i.operandWidth(),
        register,
        register,
        new Operand.Value(Slot.ZERO, 0));
  }

  /**
   * BSWAP of 16 bits is undefined; processors clear the word. MOVBE of 16 bits swaps, into a
   * temporary.
   */
  static void swapBytes(ProcessorState state, MicroOperation o) {
    long value = state.r[o.first] << o.shift >>> o.shift;
    boolean clears = o.shift == 48 && o.destination < Slot.ZERO;
    write(state, o, clears ? 0 : Long.reverseBytes(value) >>> o.shift);
  }

  private static void compareExchange(Emitter emitter, Instruction i) {
    Operand target = Operand.of(emitter, i, 0, true);
    int width = target.width();
    int source = Operand.of(emitter, i, 1, false).slot();
    int current = target.slotForUpdate();
    int result = emitter.temporary();
    MicroOperation operation = emitter.stateHelper(Bits::compareExchange);
    operation.destination = result;
    operation.first = current;
    operation.second = source;
    operation.shift = 64 - width;
    operation.keep = Emitter.keep(width);
    if (width == 32 && !target.isMemory()) {
      // Processors leave the register alone where the comparison fails: bits 63:32 stay.
      emitter.move(i.rm(), 64, result, 0);
    } else {
      target.assign(new Operand.Value(result, 0));
    }
    MicroOperation accumulator = emitter.stateHelper(Bits::updateAccumulator);
    accumulator.first = current;
    accumulator.shift = 64 - width;
    accumulator.keep = Emitter.keep(width);
    accumulator.second = result;
  }

  /**
   * destination = r[second] if the accumulator equals r[first], else r[first]; flags of the
   * comparison.
   */
  private static void compareExchange(ProcessorState state, MicroOperation o) {
    long a = state.r[Slot.RAX] << o.shift;
    long b = state.r[o.first] << o.shift;
    long difference = a - b;
    state.flagResult = difference >> o.shift;
    state.flagAuxiliary = Flags.auxiliaryOfSubtraction(a, b, difference, o.shift);
    // Kept in full so that a later write of the register does not change the value compared.
    state.r[o.destination] =
        difference == 0 ? state.r[o.second] << o.shift >>> o.shift : state.r[o.first];
  }

  /** The accumulator takes the destination's old value where the comparison failed. */
  private static void updateAccumulator(ProcessorState state, MicroOperation o) {
    if (state.flagResult != 0) {
      state.r[Slot.RAX] = state.r[Slot.RAX] & o.keep | state.r[o.second] << o.shift >>> o.shift;
    }
  }

  private static void compareExchangeWide(Emitter emitter, Instruction i) {
    boolean sixteen = i.rexW();
    Memory memory = emitter.memory(i, sixteen ? 16 : 8, true);
    MicroOperation address = emitter.append(MicroCode.ADDRESS);
    address.destination = emitter.temporary();
    Emitter.address(address, memory);
    MicroOperation operation =
        emitter.processorHelper(sixteen ? Bits::compareExchange16 : Bits::compareExchange8);
    operation.first = address.destination;
    operation.stack = memory.stack();
  }

  private static void compareExchange8(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    long linear = state.r[o.first];
    processor.memory().checkStore(linear, 8, o.stack);
    long current = processor.memory().load64(linear);
    long expected = state.r[Slot.RDX] << 32 | state.r[Slot.RAX] & 0xffffffffL;
    boolean equal = current == expected;
    processor
        .memory()
        .store64(
            linear, equal ? state.r[Slot.RCX] << 32 | state.r[Slot.RBX] & 0xffffffffL : current);
    if (!equal) {
      state.r[Slot.RAX] = current & 0xffffffffL;
      state.r[Slot.RDX] = current >>> 32;
    }
    setZero(state, equal);
  }

  private static void compareExchange16(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    long linear = state.r[o.first];
    if ((linear & 15) != 0) {
      throw ProcessorException.generalProtection();
    }
    processor.memory().checkStore(linear, 16, o.stack);
    long low = processor.memory().load64(linear);
    long high = processor.memory().load64(linear + 8);
    boolean equal = low == state.r[Slot.RAX] && high == state.r[Slot.RDX];
    processor.memory().store64(linear, equal ? state.r[Slot.RBX] : low);
    processor.memory().store64(linear + 8, equal ? state.r[Slot.RCX] : high);
    if (!equal) {
      state.r[Slot.RAX] = low;
      state.r[Slot.RDX] = high;
    }
    setZero(state, equal);
  }
}
