package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.ControlRegisters;
import dev.ringfence.machine.cpu.DebugRegisters;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.InterruptReturn;
import dev.ringfence.machine.cpu.ModelSpecificRegisters;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.cpu.StackAccess;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.OperandDefinition;
import dev.ringfence.machine.probe.Probe;
import dev.ringfence.machine.probe.Probes;
import dev.ringfence.machine.virtualization.ExitReason;
import dev.ringfence.machine.virtualization.Interception;
import java.util.Map;

/**
 * Flags, control and debug registers, model-specific registers, translations, caches, time and
 * identification (SDM volume 2; volume 3, chapter 2).
 */
final class SystemLifters {
  private SystemLifters() {}

  static void register(Map<String, Lifter> lifters) {
    SegmentLifters.register(lifters);
    TransferLifters.register(lifters);
    TransactionLifters.register(lifters);
    PortLifters.register(lifters);
    VirtualizationLifters.register(lifters);
    lifters.put("PUSHF", SystemLifters::pushFlags);
    lifters.put("POPF", SystemLifters::popFlags);
    lifters.put("CLI", (emitter, i) -> emitter.stateHelper(SystemLifters::clearInterruptFlag));
    lifters.put("STI", (emitter, i) -> emitter.processorHelperEnd(SystemLifters::setInterruptFlag));
    lifters.put("HLT", (emitter, i) -> emitter.processorHelperEnd(SystemLifters::halt));
    lifters.put("CLAC", (emitter, i) -> alignmentFlag(emitter, 0));
    lifters.put("STAC", (emitter, i) -> alignmentFlag(emitter, Flags.AC));
    lifters.put("MOV_CR", SystemLifters::moveControl);
    lifters.put("MOV_DR", SystemLifters::moveDebug);
    lifters.put("SMSW", SystemLifters::storeMachineStatus);
    lifters.put("LMSW", SystemLifters::loadMachineStatus);
    lifters.put("CLTS", SystemLifters::clearTaskSwitched);
    lifters.put("RDMSR", (emitter, i) -> privileged(emitter, false, SystemLifters::readMsr));
    lifters.put("WRMSR", (emitter, i) -> privileged(emitter, true, SystemLifters::writeMsr));
    lifters.put("RDTSC", (emitter, i) -> emitter.processorHelper(SystemLifters::readTimeStamp));
    lifters.put("RDTSCP", (emitter, i) -> emitter.processorHelper(SystemLifters::readTimeStampAux));
    // No performance counter exists, so every counter number is reserved.
    lifters.put("RDPMC", (emitter, i) -> emitter.processorHelperEnd(SystemLifters::readCounter));
    // It ends its block, because whom a marker tells may stop the machine right behind it.
    lifters.put("CPUID", (emitter, i) -> emitter.processorHelperEnd(SystemLifters::identify));
    lifters.put("XGETBV", (emitter, i) -> emitter.stateHelper(SystemLifters::readExtendedControl));
    lifters.put("XSETBV", SystemLifters::writeExtendedControl);
    lifters.put("RDRAND", SystemLifters::random);
    lifters.put("RDSEED", SystemLifters::random);
    // Caches are coherent and nothing in the architecture shows them.
    lifters.put(
        "INVD",
        (emitter, i) ->
            privileged(
                emitter,
                false,
                (processor, o) ->
                    Interception.always(processor, ExitReason.INVD, o.instruction.length())));
    lifters.put(
        "WBINVD",
        (emitter, i) ->
            privileged(
                emitter,
                false,
                (processor, o) ->
                    Interception.writeBackAndInvalidate(processor, o.instruction.length())));
    lifters.put("INVLPG", SystemLifters::invalidatePage);
    lifters.put("INVPCID", SystemLifters::invalidatePcid);
    for (String mnemonic : new String[] {"CLFLUSH", "CLFLUSHOPT", "CLWB"}) {
      lifters.put(mnemonic, SystemLifters::flushLine);
    }
    for (String mnemonic : new String[] {"LFENCE", "MFENCE", "SFENCE"}) {
      // Memory accesses execute in order.
      lifters.put(mnemonic, (emitter, i) -> emitter.move(emitter.temporary(), 64, Slot.ZERO, 0));
    }
    for (String mnemonic :
        new String[] {"PREFETCHNTA", "PREFETCHT0", "PREFETCHT1", "PREFETCHT2", "PREFETCHW"}) {
      lifters.put(mnemonic, SystemLifters::prefetch);
    }
    for (String mnemonic :
        new String[] {
          "UD0",
          "UD1",
          "UD2",
          "RSM",
          "MONITOR",
          "MWAIT",
          "RDPID",
          "WBNOINVD",
          "RDPKRU",
          "WRPKRU",
          "VMFUNC"
        }) {
      lifters.put(mnemonic, (emitter, i) -> emitter.raise(ProcessorException.INVALID_OPCODE));
    }
  }

  /** A helper after the check of CPL. */
  private static MicroOperation privileged(
      Emitter emitter, boolean endsBlock, ProcessorHelper helper) {
    emitter.stateHelper(SystemChecks::privileged);
    return endsBlock ? emitter.processorHelperEnd(helper) : emitter.processorHelper(helper);
  }

  private static void readCounter(Processor processor, MicroOperation o) {
    Interception.readPerformanceCounter(processor, o.instruction.length());
    throw ProcessorException.generalProtection();
  }

  private static void pushFlags(Emitter emitter, Instruction i) {
    if (emitter.codeWidth() != 64) {
      emitter.stateHelper(SystemChecks::virtual8086Flags);
    }
    MicroOperation read = emitter.stateHelper(SystemLifters::readFlags);
    read.destination = emitter.temporary();
    StackLifters.push(emitter, i.operandWidth(), read.destination, 0);
  }

  private static void readFlags(ProcessorState state, MicroOperation o) {
    state.r[o.destination] = state.rflags() & ~(long) (Flags.RF | Flags.VM);
  }

  private static void popFlags(Emitter emitter, Instruction i) {
    if (emitter.codeWidth() != 64) {
      emitter.stateHelper(SystemChecks::virtual8086Flags);
    }
    int value = StackLifters.top(emitter, i.operandWidth(), 0);
    MicroOperation write = emitter.processorHelperEnd(SystemLifters::writeFlags);
    write.first = value;
    write.shift = 64 - i.operandWidth();
    write.targetShift = 64 - emitter.stackWidth();
  }

  private static void writeFlags(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    int width = 64 - o.shift;
    StackAccess.setPointer(state, 64 - o.targetShift, state.r[Slot.RSP] + width / 8);
    InterruptReturn.popFlags(state, state.r[o.first], width);
  }

  /** CLI need not end the block: no interrupt is taken inside one. */
  private static void clearInterruptFlag(ProcessorState state, MicroOperation o) {
    SystemChecks.interruptFlag(state);
    state.systemFlags &= ~Flags.IF;
  }

  private static void setInterruptFlag(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    SystemChecks.interruptFlag(state);
    if (!state.flag(Flags.IF)) {
      state.systemFlags |= Flags.IF;
      state.interruptShadow = true;
    }
  }

  private static void halt(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    if (state.cpl != 0) {
      throw ProcessorException.generalProtection();
    }
    Interception.halt(processor, o.instruction.length());
    state.halted = true;
  }

  private static void alignmentFlag(Emitter emitter, int value) {
    emitter.processorHelperEnd(SystemLifters::setAlignmentFlag).immediate = value;
  }

  /** CLAC and STAC raise #UD, not #GP, outside CPL 0. */
  private static void setAlignmentFlag(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    if (!state.protectedMode() || state.cpl != 0) {
      throw ProcessorException.invalidOpcode();
    }
    state.systemFlags = state.systemFlags & ~Flags.AC | (int) o.immediate;
  }

  private static boolean writesRegister(Instruction i, OperandDefinition.Method method) {
    return i.definition().operands().getFirst().method() == method;
  }

  private static void moveControl(Emitter emitter, Instruction i) {
    int register = i.reg();
    if (register > 4 && register != 8 || register == 1) {
      emitter.raise(ProcessorException.INVALID_OPCODE);
      return;
    }
    MicroOperation move;
    if (writesRegister(i, OperandDefinition.Method.CONTROL_REGISTER)) {
      move = privileged(emitter, true, SystemLifters::writeControl);
      move.first = i.rm();
    } else {
      move = privileged(emitter, false, SystemLifters::readControl);
      move.destination = i.rm();
    }
    move.condition = register;
    // The operand has the width of the mode, whatever prefixes say.
    move.shift = emitter.codeWidth() == 64 ? 0 : 32;
  }

  private static void readControl(Processor processor, MicroOperation o) {
    Interception.readControl(processor, o.condition, o.destination, o.instruction.length());
    processor.state().r[o.destination] =
        ControlRegisters.read(processor, o.condition) << o.shift >>> o.shift;
  }

  private static void writeControl(Processor processor, MicroOperation o) {
    long value = processor.state().r[o.first] << o.shift >>> o.shift;
    int length = o.instruction.length();
    ControlRegisters.write(
        processor,
        o.condition,
        Interception.writeControl(processor, o.condition, value, o.first, length));
  }

  private static void moveDebug(Emitter emitter, Instruction i) {
    if (i.reg() > 7) {
      emitter.raise(ProcessorException.INVALID_OPCODE);
      return;
    }
    MicroOperation move;
    if (writesRegister(i, OperandDefinition.Method.DEBUG_REGISTER)) {
      move = privileged(emitter, true, SystemLifters::writeDebug);
      move.first = i.rm();
    } else {
      move = privileged(emitter, false, SystemLifters::readDebug);
      move.destination = i.rm();
    }
    move.condition = i.reg();
    move.shift = emitter.codeWidth() == 64 ? 0 : 32;
  }

  private static void readDebug(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    Interception.debugRegister(processor, o.condition, true, o.destination, o.instruction.length());
    state.r[o.destination] = DebugRegisters.read(state, o.condition) << o.shift >>> o.shift;
  }

  private static void writeDebug(Processor processor, MicroOperation o) {
    long value = processor.state().r[o.first] << o.shift >>> o.shift;
    Interception.debugRegister(processor, o.condition, false, o.first, o.instruction.length());
    DebugRegisters.write(processor, o.condition, value);
  }

  private static void storeMachineStatus(Emitter emitter, Instruction i) {
    emitter.stateHelper(SystemChecks::userModePrevention);
    MicroOperation read =
        emitter.processorHelper((processor, operation) ->
            processor.state().r[operation.destination] = processor.vmx().visibleCr0());
    read.destination = emitter.temporary();
    SegmentLifters.storeShort(emitter, i, read.destination);
  }

  private static void loadMachineStatus(Emitter emitter, Instruction i) {
    emitter.stateHelper(SystemChecks::privileged);
    int value = Operand.of(emitter, i, 0, false).slot();
    emitter.processorHelperEnd(SystemLifters::writeMachineStatus).first = value;
  }

  private static void writeMachineStatus(Processor processor, MicroOperation o) {
    long value = processor.state().r[o.first] & 0xffff;
    ControlRegisters.writeMachineStatusWord(
        processor, Interception.loadMachineStatus(processor, value, o.instruction.length()));
  }

  private static void clearTaskSwitched(Emitter emitter, Instruction i) {
    privileged(
        emitter,
        true,
        (processor, operation) -> {
          if (Interception.clearTaskSwitched(processor, operation.instruction.length())) {
            processor.state().cr0 &= ~ControlBits.CR0_TS;
          }
        });
  }

  private static void setPair(ProcessorState state, long value) {
    state.r[Slot.RAX] = value & 0xffffffffL;
    state.r[Slot.RDX] = value >>> 32;
  }

  private static long pair(ProcessorState state) {
    return state.r[Slot.RAX] & 0xffffffffL | state.r[Slot.RDX] << 32;
  }

  private static void readMsr(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    int register = (int) state.r[Slot.RCX];
    Interception.modelSpecific(processor, register, false, o.instruction.length());
    setPair(state, ModelSpecificRegisters.read(processor, register));
  }

  private static void writeMsr(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    int register = (int) state.r[Slot.RCX];
    Interception.modelSpecific(processor, register, true, o.instruction.length());
    ModelSpecificRegisters.write(processor, register, pair(state));
  }

  private static void readTimeStamp(Processor processor, MicroOperation o) {
    SystemChecks.timeStamp(processor.state());
    Interception.readTimeStamp(processor, o.instruction.length());
    setPair(processor.state(), processor.timeStamp());
  }

  private static void readTimeStampAux(Processor processor, MicroOperation o) {
    SystemChecks.timeStamp(processor.state());
    Interception.readTimeStampAndProcessor(processor, o.instruction.length());
    setPair(processor.state(), processor.timeStamp());
    processor.state().r[Slot.RCX] = processor.state().tscAux & 0xffffffffL;
  }

  private static void identify(Processor processor, MicroOperation o) {
    Interception.always(processor, ExitReason.CPUID, o.instruction.length());
    long[] r = processor.state().r;
    Probe probe = processor.probe();
    if (probe != null && (int) r[Slot.RAX] == Probes.MARKER_LEAF) {
      probe.marked(processor, (int) r[Slot.RCX], r[Slot.RBX]);
    }
    int[] values = processor.model().cpuid(processor, (int) r[Slot.RAX], (int) r[Slot.RCX]);
    r[Slot.RAX] = values[0] & 0xffffffffL;
    r[Slot.RBX] = values[1] & 0xffffffffL;
    r[Slot.RCX] = values[2] & 0xffffffffL;
    r[Slot.RDX] = values[3] & 0xffffffffL;
  }

  private static void readExtendedControl(ProcessorState state, MicroOperation o) {
    SystemChecks.extendedState(state);
    if ((int) state.r[Slot.RCX] != 0) {
      throw ProcessorException.generalProtection();
    }
    setPair(state, state.xcr0);
  }

  private static void writeExtendedControl(Emitter emitter, Instruction i) {
    emitter.processorHelperEnd(SystemLifters::setExtendedControl);
  }

  private static void setExtendedControl(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    SystemChecks.extendedState(state);
    SystemChecks.privileged(state, o);
    Interception.always(processor, ExitReason.XSETBV, o.instruction.length());
    ControlRegisters.writeExtendedControl(processor, (int) state.r[Slot.RCX], pair(state));
  }

  private static void random(Emitter emitter, Instruction i) {
    MicroOperation draw = emitter.stateHelper(SystemLifters::draw);
    draw.destination = i.rm();
    draw.shift = 64 - i.operandWidth();
    draw.keep = Emitter.keep(i.operandWidth());
  }

  /**
   * The next number of a SplitMix64 sequence (Steele, Lea, Flood 2014), so that a run can be
   * repeated. There is always one: CF is set, the other flags are cleared.
   */
  private static void draw(ProcessorState state, MicroOperation o) {
    state.randomState += 0x9e3779b97f4a7c15L;
    long value = state.randomState;
    value = (value ^ value >>> 30) * 0xbf58476d1ce4e5b9L;
    value = (value ^ value >>> 27) * 0x94d049bb133111ebL;
    value ^= value >>> 31;
    state.r[o.destination] = state.r[o.destination] & o.keep | value << o.shift >>> o.shift;
    state.setStatusFlags(Flags.CF);
  }

  /** Linear address of a memory operand, without the check that it is canonical. */
  static long linear(ProcessorState state, MicroOperation o) {
    return state.r[o.base]
        + (state.r[o.index] << o.scale)
        + o.displacement
        + state.r[o.segmentBase];
  }

  /** Linear address of a memory operand; #SS(0) or #GP(0) unless it is canonical. */
  static long checkedLinear(ProcessorState state, MicroOperation o, int bytes) {
    long linear = linear(state, o);
    if (state.longMode()
        && !(ProcessorState.canonical(linear) && ProcessorState.canonical(linear + bytes - 1))) {
      throw o.stack
          ? ProcessorException.of(ProcessorException.STACK_FAULT, 0)
          : ProcessorException.generalProtection();
    }
    return linear;
  }

  private static void invalidatePage(Emitter emitter, Instruction i) {
    emitter.stateHelper(SystemChecks::privileged);
    Memory memory = emitter.memory(i, 1, false);
    Emitter.address(
        emitter.processorHelperEnd((processor, operation) -> {
          long linear = linear(processor.state(), operation);
          Interception.invalidatePage(processor, linear, operation.instruction.length());
          // A non-canonical address has no translation to drop, and raises nothing.
          if (ProcessorState.canonical(linear)) {
            processor.memory().invalidatePage(linear);
          }
        }),
        memory);
  }

  private static void invalidatePcid(Emitter emitter, Instruction i) {
    emitter.stateHelper(SystemChecks::protectedMode);
    emitter.processorHelper((processor, o) -> Interception.requireInvpcid(processor));
    emitter.stateHelper(SystemChecks::privileged);
    int information = VirtualizationLifters.information(i);
    long displacement = i.displacement() + (i.ripRelative() ? emitter.nextOffset() : 0);
    emitter.processorHelper((processor, o) ->
        Interception.invalidateByPcid(processor, displacement, information, i.length()));
    Memory memory = emitter.memory(i, 16, false);
    int low = emitter.load(memory, 64);
    int high = emitter.load(memory.plus(8), 64);
    MicroOperation invalidate = emitter.processorHelperEnd(SystemLifters::invalidateByPcid);
    invalidate.destination = i.reg();
    invalidate.first = low;
    invalidate.second = high;
    invalidate.shift = emitter.codeWidth() == 64 ? 0 : 32;
  }

  private static void invalidateByPcid(Processor processor, MicroOperation o) {
    long[] r = processor.state().r;
    long type = r[o.destination] << o.shift >>> o.shift;
    ControlRegisters.invalidatePcid(processor, type, r[o.first], r[o.second]);
  }

  /** Cache-line instructions have no effect but the faults of a byte load. */
  private static void flushLine(Emitter emitter, Instruction i) {
    Memory memory = emitter.memory(i, 1, false);
    Emitter.address(
        emitter.processorHelper((processor, operation) ->
            processor.memory().checkLoad(checkedLinear(processor.state(), operation, 1), 1)),
        memory);
  }

  /**
   * A hint has no architectural effect. Its address is computed for executors that have caches;
   * like the move of a fence, into a slot that nobody reads. In 32-bit code it is not, because that
   * would check the limit of the segment, and a hint never faults.
   */
  private static void prefetch(Emitter emitter, Instruction i) {
    if (i.codeWidth() != 64) {
      emitter.move(emitter.temporary(), 64, Slot.ZERO, 0);
      return;
    }
    MicroOperation address = emitter.append(MicroCode.ADDRESS);
    Memory memory = emitter.memory(i, 1, false);
    address.destination = emitter.temporary();
    Emitter.address(address, memory);
  }

  /** The slot that holds a selector, filled when the micro-operation executes. */
  static int selector(Emitter emitter, int segment) {
    MicroOperation read =
        emitter.stateHelper((state, operation) ->
            state.r[operation.destination] = state.selector[operation.condition]);
    read.destination = emitter.temporary();
    read.condition = segment;
    return read.destination;
  }

  /** Whether loading the segment register holds off events until the next instruction is done. */
  static void shadowAfterStackLoad(ProcessorState state, int segment) {
    if (segment == SegmentRegister.SS) {
      state.interruptShadow = true;
      state.debugShadow = true;
    }
  }
}
