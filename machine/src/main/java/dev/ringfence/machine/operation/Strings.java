package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.InstructionBoundary;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentAccess;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.paging.LinearMemory;
import java.util.Map;

/**
 * MOVS, CMPS, STOS, LODS and SCAS, alone and repeated (SDM volume 2, REP).
 *
 * <p>A repeated instruction is one instruction however often it repeats, but it may be interrupted
 * between elements: it executes for at most {@link #STEP_BYTES} and, if there is more to do, leaves
 * RIP where it is, so that it counts as executed again. The bound is on bytes, so every executor
 * takes the same steps.
 */
final class Strings {
  /** Bytes that one step of a repeated string instruction handles at most. */
  static final int STEP_BYTES = 4096;

  private Strings() {}

  static void register(Map<String, Lifter> lifters) {
    lifters.put("MOVS", (emitter, i) -> lift(emitter, i, Strings::move));
    lifters.put("STOS", (emitter, i) -> lift(emitter, i, Strings::store));
    lifters.put("LODS", (emitter, i) -> lift(emitter, i, Strings::load));
    lifters.put("CMPS", (emitter, i) -> lift(emitter, i, Strings::compare));
    lifters.put("SCAS", (emitter, i) -> lift(emitter, i, Strings::scan));
  }

  private static void lift(Emitter emitter, Instruction i, ProcessorHelper helper) {
    boolean repeated = i.repeatPrefix() != 0;
    MicroOperation operation =
        repeated ? emitter.processorHelperEnd(helper) : emitter.processorHelper(helper);
    int width = (i.opcode() & 1) == 0 ? 8 : i.operandWidth();
    operation.shift = 64 - width;
    operation.targetShift = 64 - i.addressWidth();
    operation.keep = i.addressWidth() == 16 ? ~0xffffL : 0;
    operation.index =
        i.segmentOverride() == Instruction.NO_SEGMENT ? SegmentRegister.DS : i.segmentOverride();
    operation.condition = i.repeatPrefix();
  }

  private static int bytes(MicroOperation o) {
    return 64 - o.shift >> 3;
  }

  private static long offset(ProcessorState state, MicroOperation o, int register) {
    return state.r[register] << o.targetShift >>> o.targetShift;
  }

  private static void setOffset(ProcessorState state, MicroOperation o, int register, long value) {
    state.r[register] = state.r[register] & o.keep | value << o.targetShift >>> o.targetShift;
  }

  private static long stride(ProcessorState state, MicroOperation o) {
    return state.flag(Flags.DF) ? -bytes(o) : bytes(o);
  }

  private static long linear(
      ProcessorState state, MicroOperation o, int segment, long offset, boolean write) {
    if (o.instruction.codeWidth() == 64) {
      return segment >= SegmentRegister.FS ? offset + state.segmentBase(segment) : offset;
    }
    return SegmentAccess.linear(state, segment, offset, bytes(o), write);
  }

  private static long source(ProcessorState state, MicroOperation o) {
    return linear(state, o, o.index, offset(state, o, Slot.RSI), false);
  }

  private static long destination(ProcessorState state, MicroOperation o, boolean write) {
    return linear(state, o, SegmentRegister.ES, offset(state, o, Slot.RDI), write);
  }

  private static long loadElement(LinearMemory memory, MicroOperation o, long linear) {
    return switch (o.shift) {
      case 56 -> memory.load8(linear);
      case 48 -> memory.load16(linear);
      case 32 -> memory.load32(linear);
      default -> memory.load64(linear);
    };
  }

  private static void storeElement(LinearMemory memory, MicroOperation o, long linear, long value) {
    switch (o.shift) {
      case 56 -> memory.store8(linear, value);
      case 48 -> memory.store16(linear, value);
      case 32 -> memory.store32(linear, value);
      default -> memory.store64(linear, value);
    }
  }

  /** One element. Returns whether a conditional repetition goes on. */
  private interface Element {
    boolean execute(Processor processor, MicroOperation o);
  }

  /**
   * Many elements at once. Returns how many, at most {@code most}; 0 if it must be done one by one.
   */
  private interface Bulk {
    int execute(Processor processor, MicroOperation o, int most);
  }

  private static final Bulk NONE = (processor, o, most) -> 0;

  /**
   * Repeats an element; state is exact between elements, so a fault leaves a restartable
   * instruction.
   */
  private static void repeat(Processor processor, MicroOperation o, Element element, Bulk bulk) {
    ProcessorState state = processor.state();
    if (o.condition == 0) {
      element.execute(processor, o);
      return;
    }
    long result = state.flagResult;
    long auxiliary = state.flagAuxiliary;
    try {
      repeat(processor, state, o, element, bulk);
    } catch (ProcessorException e) {
      // SDM volume 2, REP: a fault of CMPS or SCAS restores the flags from before the instruction.
      state.flagResult = result;
      state.flagAuxiliary = auxiliary;
      throw e;
    }
  }

  private static void repeat(
      Processor processor, ProcessorState state, MicroOperation o, Element element, Bulk bulk) {
    int most = InstructionBoundary.trapsEachElement(state) ? 1 : STEP_BYTES / bytes(o);
    boolean bulkPossible = true;
    int done = 0;
    while (true) {
      long count = offset(state, o, Slot.RCX);
      if (count == 0) {
        return;
      }
      if (done == most) {
        long start = state.r[Slot.BLOCK_START] + o.offset;
        state.rip = o.instruction.codeWidth() == 64 ? start : start & 0xffffffffL;
        return;
      }
      if (bulkPossible) {
        int limit = Long.compareUnsigned(count, most - done) < 0 ? (int) count : most - done;
        int elements = bulk.execute(processor, o, limit);
        if (elements > 0) {
          done += elements;
          setOffset(state, o, Slot.RCX, count - elements);
          continue;
        }
      }
      boolean goesOn = element.execute(processor, o);
      setOffset(state, o, Slot.RCX, count - 1);
      done++;
      if (!goesOn) {
        return;
      }
      // What made a bulk impossible holds for the rest of the page.
      bulkPossible = ((state.r[Slot.RSI] & 0xfff) == 0) | ((state.r[Slot.RDI] & 0xfff) == 0);
    }
  }

  private static void move(Processor processor, MicroOperation o) {
    repeat(
        processor,
        o,
        (p, operation) -> {
          ProcessorState state = p.state();
          long from = source(state, operation);
          long to = destination(state, operation, true);
          storeElement(p.memory(), operation, to, loadElement(p.memory(), operation, from));
          long stride = stride(state, operation);
          setOffset(state, operation, Slot.RSI, state.r[Slot.RSI] + stride);
          setOffset(state, operation, Slot.RDI, state.r[Slot.RDI] + stride);
          return true;
        },
        Strings::moveBulk);
  }

  private static void store(Processor processor, MicroOperation o) {
    repeat(
        processor,
        o,
        (p, operation) -> {
          ProcessorState state = p.state();
          storeElement(
              p.memory(), operation, destination(state, operation, true), state.r[Slot.RAX]);
          setOffset(state, operation, Slot.RDI, state.r[Slot.RDI] + stride(state, operation));
          return true;
        },
        Strings::storeBulk);
  }

  /** Bulk operations: 64-bit addresses, forward. */
  private static boolean bulkPossible(ProcessorState state, MicroOperation o) {
    return o.targetShift == 0
        && !state.flag(Flags.DF)
        && !InstructionBoundary.trapsEachElement(state);
  }

  private static int moveBulk(Processor processor, MicroOperation o, int most) {
    ProcessorState state = processor.state();
    if (!bulkPossible(state, o)) {
      return 0;
    }
    long from = source(state, o);
    long to = state.r[Slot.RDI];
    int room = 4096 - (int) Math.max(from & 0xfff, to & 0xfff);
    int elements = Math.min(most, room / bytes(o));
    int length = elements * bytes(o);
    // Where the ranges overlap upwards, an element repeats what was just written.
    if (elements < 2
        || to > from && to - from < length
        || !processor.memory().copy(from, to, length)) {
      return 0;
    }
    state.r[Slot.RSI] += length;
    state.r[Slot.RDI] += length;
    return elements;
  }

  private static int storeBulk(Processor processor, MicroOperation o, int most) {
    ProcessorState state = processor.state();
    if (!bulkPossible(state, o)) {
      return 0;
    }
    long to = state.r[Slot.RDI];
    int elements = Math.min(most, (4096 - (int) (to & 0xfff)) / bytes(o));
    int length = elements * bytes(o);
    if (elements < 2 || !processor.memory().fill(to, length, state.r[Slot.RAX], bytes(o))) {
      return 0;
    }
    state.r[Slot.RDI] += length;
    return elements;
  }

  private static void load(Processor processor, MicroOperation o) {
    repeat(
        processor,
        o,
        (p, operation) -> {
          ProcessorState state = p.state();
          long value = loadElement(p.memory(), operation, source(state, operation));
          long keep = Emitter.keep(64 - operation.shift);
          state.r[Slot.RAX] = state.r[Slot.RAX] & keep | value;
          setOffset(state, operation, Slot.RSI, state.r[Slot.RSI] + stride(state, operation));
          return true;
        },
        NONE);
  }

  private static boolean compareElements(ProcessorState state, MicroOperation o, long a, long b) {
    long left = a << o.shift;
    long right = b << o.shift;
    long difference = left - right;
    state.flagResult = difference >> o.shift;
    state.flagAuxiliary = Flags.auxiliaryOfSubtraction(left, right, difference, o.shift);
    // F3 repeats while equal, F2 while not equal.
    return o.condition == 0xf3 == (difference == 0);
  }

  private static void compare(Processor processor, MicroOperation o) {
    repeat(
        processor,
        o,
        (p, operation) -> {
          ProcessorState state = p.state();
          long a = loadElement(p.memory(), operation, source(state, operation));
          long b = loadElement(p.memory(), operation, destination(state, operation, false));
          boolean goesOn = compareElements(state, operation, a, b);
          long stride = stride(state, operation);
          setOffset(state, operation, Slot.RSI, state.r[Slot.RSI] + stride);
          setOffset(state, operation, Slot.RDI, state.r[Slot.RDI] + stride);
          return goesOn;
        },
        NONE);
  }

  private static void scan(Processor processor, MicroOperation o) {
    repeat(
        processor,
        o,
        (p, operation) -> {
          ProcessorState state = p.state();
          long b = loadElement(p.memory(), operation, destination(state, operation, false));
          boolean goesOn = compareElements(state, operation, state.r[Slot.RAX], b);
          setOffset(state, operation, Slot.RDI, state.r[Slot.RDI] + stride(state, operation));
          return goesOn;
        },
        NONE);
  }
}
