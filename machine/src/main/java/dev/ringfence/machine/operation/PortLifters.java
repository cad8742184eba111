package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.InstructionBoundary;
import dev.ringfence.machine.cpu.PortAccess;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentAccess;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.OperandDefinition;
import dev.ringfence.machine.virtualization.Interception;
import java.util.List;
import java.util.Map;

/**
 * IN, OUT, INS and OUTS (SDM volume 2; volume 1, chapter 19). All end the block, because a device
 * may ask for an interrupt, a reset or the end of the run.
 */
final class PortLifters {
  /** Bytes which a repeated INS or OUTS moves before interrupts are looked at. */
  private static final int STEP_BYTES = 4096;

  // Bits of the exit qualification of an I/O instruction (SDM table 28-5).
  private static final long DIRECTION_IN = 1 << 3;
  private static final long STRING = 1 << 4;
  private static final long REPEATED = 1 << 5;
  private static final long IMMEDIATE_OPERAND = 1 << 6;

  private PortLifters() {}

  static void register(Map<String, Lifter> lifters) {
    lifters.put("IN", (emitter, i) -> single(emitter, i, 0, PortLifters::in));
    lifters.put("OUT", (emitter, i) -> single(emitter, i, 1, PortLifters::out));
    lifters.put("INS", (emitter, i) -> string(emitter, i, 0, PortLifters::inString));
    lifters.put("OUTS", (emitter, i) -> string(emitter, i, 1, PortLifters::outString));
  }

  private static void single(
      Emitter emitter, Instruction i, int accumulator, ProcessorHelper helper) {
    List<OperandDefinition> operands = i.definition().operands();
    int width = operands.get(accumulator).width(i.operandWidth());
    OperandDefinition port = operands.get(1 - accumulator);
    MicroOperation operation = emitter.processorHelperEnd(helper);
    if (port.method() == OperandDefinition.Method.IMMEDIATE) {
      operation.immediate = i.immediate() & 0xff;
    } else {
      operation.second = Slot.RDX;
    }
    operation.shift = 64 - width;
    operation.keep = Emitter.keep(width);
  }

  private static int port(ProcessorState state, MicroOperation o) {
    return (int) (state.r[o.second] + o.immediate) & 0xffff;
  }

  private static void in(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    int bytes = 64 - o.shift >> 3;
    int port = port(state, o);
    PortAccess.check(processor, port, bytes);
    intercept(processor, o, port, bytes, DIRECTION_IN);
    long value = PortAccess.read(processor, port, bytes);
    state.r[Slot.RAX] = state.r[Slot.RAX] & o.keep | value;
  }

  private static void out(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    int bytes = 64 - o.shift >> 3;
    int port = port(state, o);
    PortAccess.check(processor, port, bytes);
    intercept(processor, o, port, bytes, 0);
    PortAccess.write(processor, port, bytes, state.r[Slot.RAX] << o.shift >>> o.shift);
  }

  private static void intercept(
      Processor processor, MicroOperation o, int port, int bytes, long direction) {
    long operand = o.second == Slot.RDX ? 0 : IMMEDIATE_OPERAND;
    Interception.port(processor, port, bytes, direction | operand, 0, 0, o.instruction.length());
  }

  /** The exit of a string instruction comes before its first element, or its next one. */
  private static void interceptString(
      Processor processor, MicroOperation o, int port, int bytes, int pointer, long direction) {
    if (!processor.vmx().nonRoot()) {
      return;
    }
    ProcessorState state = processor.state();
    if (o.condition != 0 && cut(state.r[Slot.RCX], o) == 0) {
      return;
    }
    long linear = cut(state.r[pointer], o) + state.segmentBase(o.index);
    Interception.port(
        processor,
        port,
        bytes,
        direction | STRING | (o.condition != 0 ? REPEATED : 0),
        VirtualizationLifters.stringInformation(64 - o.targetShift, o.index),
        linear,
        o.instruction.length());
  }

  private static void string(
      Emitter emitter, Instruction i, int memoryOperand, ProcessorHelper helper) {
    MicroOperation operation = emitter.processorHelperEnd(helper);
    int width = i.definition().operands().get(memoryOperand).width(i.operandWidth());
    operation.second = Slot.RDX;
    operation.shift = 64 - width;
    operation.targetShift = 64 - i.addressWidth();
    // INS has ES as its segment whatever prefixes say.
    operation.index = memoryOperand == 0 ? SegmentRegister.ES : i.segment();
    operation.condition = i.repeatPrefix();
  }

  private static void inString(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    int bytes = 64 - o.shift >> 3;
    int port = port(state, o);
    PortAccess.check(processor, port, bytes);
    interceptString(processor, o, port, bytes, Slot.RDI, DIRECTION_IN);
    repeat(
        processor,
        o,
        () -> {
          long linear = linear(state, o, state.r[Slot.RDI], bytes, true);
          // The store must not fault once the port has been read.
          processor.memory().checkStore(linear, bytes);
          long value = PortAccess.read(processor, port, bytes);
          switch (bytes) {
            case 1 -> processor.memory().store8(linear, value);
            case 2 -> processor.memory().store16(linear, value);
            default -> processor.memory().store32(linear, value);
          }
          advance(state, o, Slot.RDI, bytes);
        });
  }

  private static void outString(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    int bytes = 64 - o.shift >> 3;
    int port = port(state, o);
    PortAccess.check(processor, port, bytes);
    interceptString(processor, o, port, bytes, Slot.RSI, 0);
    repeat(
        processor,
        o,
        () -> {
          long linear = linear(state, o, state.r[Slot.RSI], bytes, false);
          long value =
              switch (bytes) {
                case 1 -> processor.memory().load8(linear);
                case 2 -> processor.memory().load16(linear);
                default -> processor.memory().load32(linear);
              };
          PortAccess.write(processor, port, bytes, value);
          advance(state, o, Slot.RSI, bytes);
        });
  }

  /**
   * Does one element, or as many as rCX and the step allow; if some are left, RIP goes back to the
   * instruction, which is what an interrupt between two elements would do. Registers are exact at
   * every element, so a fault restarts where it happened.
   */
  private static void repeat(Processor processor, MicroOperation o, Runnable element) {
    ProcessorState state = processor.state();
    if (o.condition == 0) {
      element.run();
      return;
    }
    int left = InstructionBoundary.trapsEachElement(state) ? 1 : STEP_BYTES / (64 - o.shift >> 3);
    while (cut(state.r[Slot.RCX], o) != 0) {
      if (left-- == 0) {
        int unused = 64 - state.codeWidth();
        state.rip = state.rip - o.instruction.length() << unused >>> unused;
        return;
      }
      element.run();
      writeAddress(state, o, Slot.RCX, state.r[Slot.RCX] - 1);
    }
  }

  private static long cut(long value, MicroOperation o) {
    return value << o.targetShift >>> o.targetShift;
  }

  /** Writes a register with the address width: 16 bits leave the rest, 32 bits clear it. */
  private static void writeAddress(ProcessorState state, MicroOperation o, int slot, long value) {
    long keep = o.targetShift == 48 ? ~0xffffL : 0;
    state.r[slot] = state.r[slot] & keep | cut(value, o);
  }

  private static void advance(ProcessorState state, MicroOperation o, int slot, int bytes) {
    int step = state.flag(Flags.DF) ? -bytes : bytes;
    writeAddress(state, o, slot, state.r[slot] + step);
  }

  private static long linear(
      ProcessorState state, MicroOperation o, long pointer, int bytes, boolean write) {
    long offset = cut(pointer, o);
    if (!state.code64()) {
      return SegmentAccess.linear(state, o.index, offset, bytes, write);
    }
    boolean based = o.index == SegmentRegister.FS || o.index == SegmentRegister.GS;
    long linear = based ? state.segmentBase(o.index) + offset : offset;
    if (!ProcessorState.canonical(linear) || !ProcessorState.canonical(linear + bytes - 1)) {
      throw ProcessorException.generalProtection();
    }
    return linear;
  }
}
