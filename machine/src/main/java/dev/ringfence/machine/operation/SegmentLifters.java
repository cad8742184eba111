package dev.ringfence.machine.operation;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Segmentation;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.cpu.StackAccess;
import dev.ringfence.machine.decode.Instruction;
import dev.ringfence.machine.decode.OperandDefinition;
import dev.ringfence.machine.probe.Probe;
import java.util.Map;

/** Segment registers, descriptor tables, and questions about descriptors (SDM volume 2). */
final class SegmentLifters {
  private SegmentLifters() {}

  static void register(Map<String, Lifter> lifters) {
    lifters.put("PUSH_SREG", SegmentLifters::push);
    lifters.put("POP_SREG", SegmentLifters::pop);
    lifters.put("MOV_SREG", SegmentLifters::move);
    lifters.put("LES", (emitter, i) -> loadPointer(emitter, i, SegmentRegister.ES));
    lifters.put("LDS", (emitter, i) -> loadPointer(emitter, i, SegmentRegister.DS));
    lifters.put("LSS", (emitter, i) -> loadPointer(emitter, i, SegmentRegister.SS));
    lifters.put("LFS", (emitter, i) -> loadPointer(emitter, i, SegmentRegister.FS));
    lifters.put("LGS", (emitter, i) -> loadPointer(emitter, i, SegmentRegister.GS));
    lifters.put("ARPL", SegmentLifters::adjustRpl);
    lifters.put("LAR", (emitter, i) -> query(emitter, i, SegmentLifters::accessRights));
    lifters.put("LSL", (emitter, i) -> query(emitter, i, SegmentLifters::limit));
    lifters.put("VERR", (emitter, i) -> verify(emitter, i, 0));
    lifters.put("VERW", (emitter, i) -> verify(emitter, i, 1));
    lifters.put("SLDT", (emitter, i) -> storeSelector(emitter, i, SegmentRegister.LDTR));
    lifters.put("STR", (emitter, i) -> storeSelector(emitter, i, SegmentRegister.TR));
    lifters.put("LLDT", (emitter, i) -> loadSystem(emitter, i, SegmentRegister.LDTR));
    lifters.put("LTR", (emitter, i) -> loadSystem(emitter, i, SegmentRegister.TR));
    lifters.put("SGDT", (emitter, i) -> storeTable(emitter, i, SegmentLifters::storeGdt));
    lifters.put("SIDT", (emitter, i) -> storeTable(emitter, i, SegmentLifters::storeIdt));
    lifters.put("LGDT", (emitter, i) -> loadTable(emitter, i, SegmentLifters::loadGdt));
    lifters.put("LIDT", (emitter, i) -> loadTable(emitter, i, SegmentLifters::loadIdt));
    lifters.put("SWAPGS", (emitter, i) -> emitter.stateHelper(SegmentLifters::swapGs));
    lifters.put("RDFSBASE", (emitter, i) -> readBase(emitter, i, SegmentRegister.FS));
    lifters.put("RDGSBASE", (emitter, i) -> readBase(emitter, i, SegmentRegister.GS));
    lifters.put("WRFSBASE", (emitter, i) -> writeBase(emitter, i, SegmentRegister.FS));
    lifters.put("WRGSBASE", (emitter, i) -> writeBase(emitter, i, SegmentRegister.GS));
  }

  private static void push(Emitter emitter, Instruction i) {
    int segment = i.definition().operands().getFirst().fixedRegister();
    int selector = SystemLifters.selector(emitter, segment);
    StackLifters.push(emitter, i.operandWidth(), selector, 0);
  }

  private static void pop(Emitter emitter, Instruction i) {
    int value = StackLifters.top(emitter, i.operandWidth(), 0);
    MicroOperation load = emitter.processorHelperEnd(SegmentLifters::loadAndRelease);
    load.first = value;
    load.condition = i.definition().operands().getFirst().fixedRegister();
    load.immediate = i.operandWidth() / 8;
    load.targetShift = 64 - emitter.stackWidth();
  }

  private static void loadAndRelease(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    load(processor, o);
    StackAccess.setPointer(state, 64 - o.targetShift, state.r[Slot.RSP] + o.immediate);
  }

  /** Loads the segment register named by {@code condition} with the selector in {@code first}. */
  private static void load(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    Segmentation.load(processor, o.condition, (int) state.r[o.first] & 0xffff);
    SystemLifters.shadowAfterStackLoad(state, o.condition);
  }

  private static void move(Emitter emitter, Instruction i) {
    int segment = i.reg() & 7; // REX.R is ignored for segment registers (SDM volume 2, 2.2.1.2)
    boolean loads =
        i.definition().operands().getFirst().method() == OperandDefinition.Method.SEGMENT;
    if (segment > SegmentRegister.GS || loads && segment == SegmentRegister.CS) {
      emitter.raise(ProcessorException.INVALID_OPCODE);
      return;
    }
    if (loads) {
      int value = Operand.of(emitter, i, 1, false).slot();
      MicroOperation load = emitter.processorHelperEnd(SegmentLifters::load);
      load.first = value;
      load.condition = segment;
    } else {
      storeShort(emitter, i, SystemLifters.selector(emitter, segment));
    }
  }

  /** Stores 16 bits to a memory operand; a register operand takes its whole width of the slot. */
  static void storeShort(Emitter emitter, Instruction i, int slot) {
    if (i.isMemory()) {
      emitter.store(emitter.memory(i, 2, true), 16, slot, 0);
    } else {
      emitter.move(i.rm(), i.operandWidth(), slot, 0);
    }
  }

  private static void loadPointer(Emitter emitter, Instruction i, int segment) {
    int width = i.operandWidth();
    Memory memory = emitter.memory(i, width / 8 + 2, false);
    int offset = emitter.load(memory, width);
    int selector = emitter.load(memory.plus(width / 8), 16);
    MicroOperation load = emitter.processorHelperEnd(SegmentLifters::loadFarPointer);
    load.first = selector;
    load.second = offset;
    load.condition = segment;
    load.destination = i.reg();
    load.keep = Emitter.keep(width);
  }

  private static void loadFarPointer(Processor processor, MicroOperation o) {
    long[] r = processor.state().r;
    Segmentation.load(processor, o.condition, (int) r[o.first] & 0xffff);
    r[o.destination] = r[o.destination] & o.keep | r[o.second];
  }

  private static void adjustRpl(Emitter emitter, Instruction i) {
    emitter.stateHelper(SystemChecks::protectedMode);
    Operand target = Operand.of(emitter, i, 0, true);
    int value = target.slotForUpdate();
    MicroOperation adjust = emitter.stateHelper(SegmentLifters::raiseRpl);
    adjust.destination = emitter.temporary();
    adjust.first = value;
    adjust.second = i.reg();
    if (i.isMemory()) {
      target.write(adjust.destination);
    } else {
      emitter.writeGeneral(i.rm(), 16, adjust.destination);
    }
  }

  private static void raiseRpl(ProcessorState state, MicroOperation o) {
    long selector = state.r[o.first];
    long rpl = state.r[o.second] & 3;
    boolean raised = (selector & 3) < rpl;
    state.r[o.destination] = raised ? selector & ~3L | rpl : selector;
    setZero(state, raised);
  }

  private static void setZero(ProcessorState state, boolean zero) {
    int others = state.statusFlags() & ~Flags.ZF;
    state.setStatusFlags(zero ? others | Flags.ZF : others);
  }

  private static void query(Emitter emitter, Instruction i, ProcessorHelper helper) {
    emitter.stateHelper(SystemChecks::protectedMode);
    int selector = Operand.of(emitter, i, 1, false).slot();
    MicroOperation ask = emitter.processorHelper(helper);
    ask.first = selector;
    ask.destination = i.reg();
    ask.shift = 64 - i.operandWidth();
    ask.keep = Emitter.keep(i.operandWidth());
  }

  private static void accessRights(Processor processor, MicroOperation o) {
    int selector = (int) processor.state().r[o.first] & 0xffff;
    answer(processor.state(), o, Segmentation.accessRights(processor, selector));
  }

  private static void limit(Processor processor, MicroOperation o) {
    int selector = (int) processor.state().r[o.first] & 0xffff;
    answer(processor.state(), o, Segmentation.segmentLimit(processor, selector));
  }

  private static void answer(ProcessorState state, MicroOperation o, long value) {
    if (value >= 0) {
      state.r[o.destination] = state.r[o.destination] & o.keep | value << o.shift >>> o.shift;
    }
    setZero(state, value >= 0);
  }

  private static void verify(Emitter emitter, Instruction i, int write) {
    emitter.stateHelper(SystemChecks::protectedMode);
    int selector = Operand.of(emitter, i, 0, false).slot();
    MicroOperation ask =
        emitter.processorHelper((processor, operation) -> {
          ProcessorState state = processor.state();
          int value = (int) state.r[operation.first] & 0xffff;
          setZero(state, Segmentation.verify(processor, value, operation.condition != 0));
        });
    ask.first = selector;
    ask.condition = write;
    if (write != 0 && i.isMemory()) {
      emitter.processorHelper((processor, operation) -> {
        if (processor.model().clearsBuffers()) {
          processor.flush(Probe.Flush.BUFFERS);
        }
      });
    }
  }

  private static void storeSelector(Emitter emitter, Instruction i, int segment) {
    emitter.stateHelper(SystemChecks::protectedMode);
    emitter.stateHelper(SystemChecks::userModePrevention);
    storeShort(emitter, i, SystemLifters.selector(emitter, segment));
  }

  private static void loadSystem(Emitter emitter, Instruction i, int segment) {
    emitter.stateHelper(SystemChecks::protectedMode);
    emitter.stateHelper(SystemChecks::privileged);
    int selector = Operand.of(emitter, i, 0, false).slot();
    MicroOperation load =
        emitter.processorHelperEnd(
            segment == SegmentRegister.LDTR
                ? SegmentLifters::loadLocalTable
                : SegmentLifters::loadTask);
    load.first = selector;
  }

  private static void loadLocalTable(Processor processor, MicroOperation o) {
    Segmentation.loadLdt(processor, (int) processor.state().r[o.first] & 0xffff);
  }

  private static void loadTask(Processor processor, MicroOperation o) {
    Segmentation.loadTask(processor, (int) processor.state().r[o.first] & 0xffff);
  }

  private static void loadTable(Emitter emitter, Instruction i, ProcessorHelper helper) {
    emitter.stateHelper(SystemChecks::privileged);
    int width = emitter.codeWidth() == 64 ? 64 : 32;
    Memory memory = emitter.memory(i, 2 + width / 8, false);
    int limit = emitter.load(memory, 16);
    int base = emitter.load(memory.plus(2), width);
    MicroOperation load = emitter.processorHelperEnd(helper);
    load.first = limit;
    load.second = base;
    // With 16-bit operands the base has 24 bits.
    load.immediate = width == 32 && i.operandWidth() == 16 ? 0xffffff : -1;
  }

  private static void checkTableBase(long base) {
    if (!ProcessorState.canonical(base)) {
      throw ProcessorException.generalProtection();
    }
  }

  private static void loadGdt(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    checkTableBase(state.r[o.second]);
    state.gdtrLimit = (int) state.r[o.first];
    state.gdtrBase = state.r[o.second] & o.immediate;
  }

  private static void loadIdt(Processor processor, MicroOperation o) {
    ProcessorState state = processor.state();
    checkTableBase(state.r[o.second]);
    state.idtrLimit = (int) state.r[o.first];
    state.idtrBase = state.r[o.second] & o.immediate;
  }

  private static void storeTable(Emitter emitter, Instruction i, ProcessorHelper helper) {
    emitter.stateHelper(SystemChecks::userModePrevention);
    int bytes = emitter.codeWidth() == 64 ? 10 : 6;
    Memory memory = emitter.memory(i, bytes, true);
    MicroOperation store = emitter.processorHelper(helper);
    store.immediate = bytes;
    Emitter.address(store, memory);
  }

  private static void storeGdt(Processor processor, MicroOperation o) {
    storeTable(processor, o, processor.state().gdtrLimit, processor.state().gdtrBase);
  }

  private static void storeIdt(Processor processor, MicroOperation o) {
    storeTable(processor, o, processor.state().idtrLimit, processor.state().idtrBase);
  }

  private static void storeTable(Processor processor, MicroOperation o, int limit, long base) {
    int bytes = (int) o.immediate;
    long linear = SystemLifters.checkedLinear(processor.state(), o, bytes);
    processor.memory().checkStore(linear, bytes);
    processor.memory().store16(linear, limit);
    if (bytes == 10) {
      processor.memory().store64(linear + 2, base);
    } else {
      processor.memory().store32(linear + 2, base & 0xffffffffL);
    }
  }

  private static void swapGs(ProcessorState state, MicroOperation o) {
    SystemChecks.privileged(state, o);
    long base = state.segmentBase(SegmentRegister.GS);
    state.setSegmentBase(SegmentRegister.GS, state.kernelGsBase);
    state.kernelGsBase = base;
  }

  private static void readBase(Emitter emitter, Instruction i, int segment) {
    MicroOperation read =
        emitter.stateHelper((state, operation) -> {
          SystemChecks.segmentBases(state);
          state.r[operation.destination] =
              state.segmentBase(operation.condition) << operation.shift >>> operation.shift;
        });
    read.destination = i.rm();
    read.condition = segment;
    read.shift = i.operandWidth() == 64 ? 0 : 32;
  }

  private static void writeBase(Emitter emitter, Instruction i, int segment) {
    MicroOperation write =
        emitter.stateHelper((state, operation) -> {
          SystemChecks.segmentBases(state);
          long base = state.r[operation.first] << operation.shift >>> operation.shift;
          if (!ProcessorState.canonical(base)) {
            throw ProcessorException.generalProtection();
          }
          state.setSegmentBase(operation.condition, base);
        });
    write.first = i.rm();
    write.condition = segment;
    write.shift = i.operandWidth() == 64 ? 0 : 32;
  }
}
