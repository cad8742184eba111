package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.FarTransfer;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.InterruptReturn;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.cpu.SystemCalls;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.interrupt.EventDelivery;
import java.util.Map;

/**
 * Control transfers that may change code segment and privilege level: far branches, software
 * interrupts, system calls and their returns (SDM volume 2).
 */
final class TransferLifters {
  private TransferLifters() {}

  static void register(Map<String, Lifter> lifters) {
    lifters.put("CALLF", (emitter, i) -> far(emitter, i, TransferLifters::call));
    lifters.put("JMPF", (emitter, i) -> far(emitter, i, TransferLifters::jump));
    lifters.put("RETF", TransferLifters::ret);
    lifters.put("IRET", TransferLifters::interruptReturn);
    lifters.put("INT", TransferLifters::softwareInterrupt);
    lifters.put("INT3", (emitter, i) -> emitter.processorHelperEnd(TransferLifters::breakpoint));
    lifters.put("INT1", (emitter, i) -> emitter.processorHelperEnd(TransferLifters::debugTrap));
    lifters.put("INTO", (emitter, i) -> emitter.processorHelperEnd(TransferLifters::overflow));
    lifters.put(
        "SYSCALL",
        (emitter, i) -> emitter.processorHelperEnd((processor, o) -> SystemCalls.call(processor)));
    lifters.put(
        "SYSENTER",
        (emitter, i) -> emitter.processorHelperEnd((processor, o) -> SystemCalls.enter(processor)));
    lifters.put("SYSRET", TransferLifters::sysret);
    lifters.put("SYSEXIT", TransferLifters::sysexit);
  }

  private static void far(Emitter emitter, Instruction i, ProcessorHelper helper) {
    int width = i.operandWidth();
    int selector;
    int offset;
    if (i.isMemory()) {
      Memory memory = emitter.memory(i, width / 8 + 2, false);
      offset = emitter.load(memory, width);
      selector = emitter.load(memory.plus(width / 8), 16);
    } else {
      offset = constant(emitter, i.immediate());
      selector = constant(emitter, i.secondImmediate());
    }
    MicroOperation transfer = emitter.processorHelperEnd(helper);
    transfer.first = selector;
    transfer.second = offset;
    transfer.shift = 64 - width;
  }

  private static int constant(Emitter emitter, long value) {
    int slot = emitter.temporary();
    emitter.move(slot, 64, Slot.ZERO, value);
    return slot;
  }

  private static void call(Processor processor, MicroOperation o) {
    long[] r = processor.state().r;
    FarTransfer.call(processor, (int) r[o.first] & 0xffff, r[o.second], 64 - o.shift);
  }

  private static void jump(Processor processor, MicroOperation o) {
    long[] r = processor.state().r;
    FarTransfer.jump(processor, (int) r[o.first] & 0xffff, r[o.second], 64 - o.shift);
  }

  private static void ret(Emitter emitter, Instruction i) {
    MicroOperation ret =
        emitter.processorHelperEnd(
            (processor, o) -> FarTransfer.ret(processor, 64 - o.shift, (int) o.immediate));
    ret.shift = 64 - i.operandWidth();
    ret.immediate = i.definition().operands().isEmpty() ? 0 : i.immediate() & 0xffff;
  }

  private static void interruptReturn(Emitter emitter, Instruction i) {
    MicroOperation ret =
        emitter.processorHelperEnd(
            (processor, o) -> InterruptReturn.execute(processor, 64 - o.shift));
    ret.shift = 64 - i.operandWidth();
  }

  private static void softwareInterrupt(Emitter emitter, Instruction i) {
    MicroOperation interrupt =
        emitter.processorHelperEnd((processor, o) ->
            deliver(processor, o, (int) o.immediate, EventDelivery.Kind.SOFTWARE_INTERRUPT));
    interrupt.immediate = i.immediate() & 0xff;
  }

  private static void breakpoint(Processor processor, MicroOperation o) {
    deliver(processor, o, ProcessorException.BREAKPOINT, EventDelivery.Kind.SOFTWARE_EXCEPTION);
  }

  private static void debugTrap(Processor processor, MicroOperation o) {
    deliver(
        processor, o, ProcessorException.DEBUG, EventDelivery.Kind.PRIVILEGED_SOFTWARE_EXCEPTION);
  }

  private static void overflow(Processor processor, MicroOperation o) {
    if ((processor.state().statusFlags() & Flags.OF) != 0) {
      deliver(processor, o, ProcessorException.OVERFLOW, EventDelivery.Kind.SOFTWARE_EXCEPTION);
    }
  }

  private static void deliver(
      Processor processor, MicroOperation o, int vector, EventDelivery.Kind kind) {
    processor.vmx().setSoftwareEvent(o.instruction.length());
    EventDelivery.deliver(processor, vector, kind, EventDelivery.NO_ERROR_CODE);
    // TF is clear in the handler, and the instruction itself is not stepped (SDM volume 3,
    // 17.3.1.4).
    ProcessorState state = processor.state();
    state.stepSuppressed = true;
  }

  private static void sysret(Emitter emitter, Instruction i) {
    boolean to64 = i.rexW();
    emitter.processorHelperEnd((processor, o) -> SystemCalls.sysret(processor, to64));
  }

  private static void sysexit(Emitter emitter, Instruction i) {
    boolean to64 = i.rexW();
    emitter.processorHelperEnd((processor, o) -> SystemCalls.exit(processor, to64));
  }
}
