package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentAccess;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.OperandDefinition;
import java.util.Map;

/** Pushes, pops, frames, and BOUND. */
final class StackLifters {
  private StackLifters() {}

  static void register(Map<String, Lifter> lifters) {
    lifters.put("PUSH", StackLifters::push);
    lifters.put("POP", StackLifters::pop);
    lifters.put("PUSHA", StackLifters::pushAll);
    lifters.put("POPA", StackLifters::popAll);
    lifters.put("ENTER", StackLifters::enter);
    lifters.put("LEAVE", StackLifters::leave);
    lifters.put("BOUND", StackLifters::bound);
  }

  /** Pushes slot + immediate. */
  static void push(Emitter emitter, int width, int slot, long immediate) {
    if (emitter.codeWidth() == 64 && width == 64) {
      MicroOperation push = emitter.append(MicroCode.PUSH64);
      push.second = slot;
      push.immediate = immediate;
      push.stack = true;
      return;
    }
    int address = stackAddress(emitter, -(width / 8));
    Memory memory = emitter.memoryAt(address, SegmentRegister.SS, width / 8, true);
    emitter.store(memory, width, slot, immediate);
    emitter.move(Slot.RSP, emitter.stackWidth(), address, 0);
  }

  /** RSP plus a constant, cut to the width of the stack. */
  private static int stackAddress(Emitter emitter, long displacement) {
    MicroOperation address = emitter.append(MicroCode.ADDRESS);
    address.destination = emitter.temporary();
    address.base = Slot.RSP;
    address.displacement = displacement;
    address.shift = 64 - emitter.stackWidth();
    return address.destination;
  }

  /** Loads the value at RSP + displacement into a temporary; RSP stays. */
  static int top(Emitter emitter, int width, long displacement) {
    int address = stackAddress(emitter, displacement);
    return emitter.load(emitter.memoryAt(address, SegmentRegister.SS, width / 8, false), width);
  }

  /** RSP = RSP + bytes. */
  static void release(Emitter emitter, long bytes) {
    emitter.move(Slot.RSP, emitter.stackWidth(), Slot.RSP, bytes);
  }

  private static void push(Emitter emitter, Instruction i) {
    int width = i.operandWidth();
    OperandDefinition definition = i.definition().operands().getFirst();
    if (definition.method() == OperandDefinition.Method.IMMEDIATE) {
      push(emitter, width, Slot.ZERO, i.immediate());
    } else {
      push(emitter, width, Operand.of(emitter, i, 0, false).slot(), 0);
    }
  }

  private static void pop(Emitter emitter, Instruction i) {
    int width = i.operandWidth();
    if (emitter.codeWidth() == 64 && width == 64 && !i.isMemory()) {
      MicroOperation pop = emitter.append(MicroCode.POP64);
      pop.destination = Operand.of(emitter, i, 0, true).register();
      pop.stack = true;
      return;
    }
    int value = top(emitter, width, 0);
    if (i.isMemory()) {
      // An address based on RSP is computed after RSP has been incremented (SDM volume 2, POP).
      long adjust = i.base() == Slot.RSP ? width / 8 : 0;
      long displacement = i.displacement() + (i.ripRelative() ? emitter.nextOffset() : 0) + adjust;
      Memory memory =
          emitter.memory(
              i.base(),
              i.index(),
              i.scale(),
              displacement,
              i.addressWidth(),
              i.segment(),
              width / 8,
              true);
      emitter.store(memory, width, value, 0);
      release(emitter, width / 8);
    } else {
      release(emitter, width / 8);
      Operand.of(emitter, i, 0, true).assign(new Operand.Value(value, 0));
    }
  }

  private static void leave(Emitter emitter, Instruction i) {
    int width = i.operandWidth();
    MicroOperation frame = emitter.append(MicroCode.ADDRESS);
    frame.destination = emitter.temporary();
    frame.base = Slot.RBP;
    frame.shift = 64 - emitter.stackWidth();
    Memory memory = emitter.memoryAt(frame.destination, SegmentRegister.SS, width / 8, false);
    int value = emitter.load(memory, width);
    emitter.move(Slot.RSP, emitter.stackWidth(), frame.destination, width / 8);
    emitter.move(Slot.RBP, width, value, 0);
  }

  private static MicroOperation frameHelper(
      Emitter emitter, Instruction i, ProcessorHelper helper) {
    MicroOperation operation = emitter.processorHelper(helper);
    operation.shift = 64 - i.operandWidth();
    operation.targetShift = 64 - emitter.stackWidth();
    operation.keep = Emitter.keep(i.operandWidth());
    return operation;
  }

  private static void pushAll(Emitter emitter, Instruction i) {
    frameHelper(emitter, i, StackLifters::pushAll);
  }

  private static void popAll(Emitter emitter, Instruction i) {
    frameHelper(emitter, i, StackLifters::popAll);
  }

  private static void enter(Emitter emitter, Instruction i) {
    MicroOperation operation = frameHelper(emitter, i, StackLifters::enter);
    operation.immediate = i.immediate() & 0xffff;
    operation.condition = (int) i.secondImmediate() & 31;
  }

  /** Linear address of a stack access at an offset into SS. */
  private static long stackLinear(
      Processor processor, MicroOperation o, long offset, boolean write) {
    ProcessorState state = processor.state();
    long cut = offset << o.targetShift >>> o.targetShift;
    if (o.targetShift == 0) {
      if (!ProcessorState.canonical(cut)) {
        throw ProcessorException.of(ProcessorException.STACK_FAULT, 0);
      }
      return cut;
    }
    return SegmentAccess.linear(state, SegmentRegister.SS, cut, 64 - o.shift >> 3, write);
  }

  private static long load(Processor processor, MicroOperation o, long offset) {
    long linear = stackLinear(processor, o, offset, false);
    return switch (o.shift) {
      case 48 -> processor.memory().load16(linear);
      case 32 -> processor.memory().load32(linear);
      default -> processor.memory().load64(linear);
    };
  }

  private static void store(Processor processor, MicroOperation o, long offset, long value) {
    long linear = stackLinear(processor, o, offset, true);
    switch (o.shift) {
      case 48 -> processor.memory().store16(linear, value);
      case 32 -> processor.memory().store32(linear, value);
      default -> processor.memory().store64(linear, value);
    }
  }

  private static void setStackPointer(ProcessorState state, MicroOperation o, long value) {
    long keep = o.targetShift == 48 ? ~0xffffL : 0;
    state.r[Slot.RSP] = state.r[Slot.RSP] & keep | value << o.targetShift >>> o.targetShift;
  }

  private static void pushAll(Processor processor, MicroOperation o) {
    long[] r = processor.state().r;
    int bytes = 64 - o.shift >> 3;
    long stack = r[Slot.RSP];
    for (int register = 0; register < 8; register++) {
      store(processor, o, stack - (long) bytes * (register + 1), r[register]);
    }
    setStackPointer(processor.state(), o, stack - 8L * bytes);
  }

  private static void popAll(Processor processor, MicroOperation o) {
    long[] r = processor.state().r;
    int bytes = 64 - o.shift >> 3;
    long stack = r[Slot.RSP];
    long[] values = new long[8];
    // In the order of the pops, for the address of a page fault.
    for (int register = 7; register >= 0; register--) {
      values[register] = load(processor, o, stack + (long) bytes * (7 - register));
    }
    for (int register = 0; register < 8; register++) {
      if (register != Slot.RSP) {
        r[register] = r[register] & o.keep | values[register];
      }
    }
    setStackPointer(processor.state(), o, stack + 8L * bytes);
  }

  private static void enter(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    int bytes = 64 - o.shift >> 3;
    int level = o.condition;
    long stack = state.r[Slot.RSP] - bytes;
    store(processor, o, stack, state.r[Slot.RBP]);
    long frame = stack;
    long base = state.r[Slot.RBP];
    for (int n = 1; n < level; n++) {
      base -= bytes;
      stack -= bytes;
      store(processor, o, stack, load(processor, o, base));
    }
    if (level > 0) {
      stack -= bytes;
      store(processor, o, stack, frame);
    }
    stack -= o.immediate;
    // The SDM has ENTER fault if the new stack pointer could not be pushed to.
    processor.memory().checkStore(stackLinear(processor, o, stack, true), bytes);
    setStackPointer(state, o, stack);
    state.r[Slot.RBP] = state.r[Slot.RBP] & o.keep | frame << o.shift >>> o.shift;
  }

  private static void bound(Emitter emitter, Instruction i) {
    int width = i.operandWidth();
    Memory memory = emitter.memory(i, width / 4, false);
    int lower = emitter.load(memory, width);
    int upper = emitter.load(memory.plus(width / 8), width);
    MicroOperation check = emitter.stateHelper(StackLifters::checkBound);
    check.first = i.reg();
    check.second = lower;
    check.index = upper;
    check.shift = 64 - width;
  }

  private static void checkBound(ProcessorState state, MicroOperation o) {
    long value = state.r[o.first] << o.shift >> o.shift;
    if (value < state.r[o.second] << o.shift >> o.shift
        || value > state.r[o.index] << o.shift >> o.shift) {
      throw ProcessorException.of(ProcessorException.BOUND_RANGE);
    }
  }
}
