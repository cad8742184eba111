package dev.ringfence.machine.cpu;

import dev.ringfence.machine.interrupt.EventDelivery;
import dev.ringfence.machine.paging.LinearMemory;
import dev.ringfence.machine.virtualization.Interception;

/**
 * The task-state segment: stacks of inner privilege levels, and hardware task switches (SDM volume
 * 3, chapter 7).
 */
public final class TaskSwitch {
  /** What causes a task switch; decides busy bits, NT and the link field (SDM table 7-2). */
  public enum Cause {
    JUMP,
    /** CALL, and interrupts and exceptions through a task gate. */
    CALL,
    RETURN
  }

  /** SS and ESP of an inner privilege level, checked. */
  public record InnerStack(int selector, long descriptor, long pointer, int faultCode) {
    /** The stack, for pushes at the inner privilege level. */
    public StackAccess access(Processor processor, int cpl) {
      return StackAccess.in(processor, descriptor, cpl, faultCode, pointer);
    }
  }

  private static final int MINIMUM_LIMIT32 = 0x67;
  private static final int MINIMUM_LIMIT16 = 0x2b;
  private static final int DEBUG_TRAP_OFFSET = 0x64;

  /** Order of the segment registers in a TSS. */
  private static final int[] SEGMENTS = {
    SegmentRegister.ES,
    SegmentRegister.CS,
    SegmentRegister.SS,
    SegmentRegister.DS,
    SegmentRegister.FS,
    SegmentRegister.GS
  };

  private TaskSwitch() {}

  private static int taskSelectorCode(ProcessorState state, int external) {
    return Segmentation.errorCode(state.selector[SegmentRegister.TR]) | external;
  }

  /**
   * A stack pointer of the 64-bit TSS (SDM volume 3, figure 7-11).
   *
   * @param external the EXT bit of error codes
   */
  public static long stackPointer64(Processor processor, int offset, int external) {
    ProcessorState state = processor.state();
    if (offset + 7 > state.limit[SegmentRegister.TR]) {
      throw ProcessorException.of(
          ProcessorException.INVALID_TSS, taskSelectorCode(state, external));
    }
    long pointer = processor.memory().loadSystem(state.trBase + offset, 8);
    if (!ProcessorState.canonical(pointer)) {
      throw ProcessorException.of(ProcessorException.STACK_FAULT, external);
    }
    return pointer;
  }

  /**
   * The stack for an inner privilege level outside IA-32e mode, from the 16-bit or 32-bit TSS.
   *
   * @param external the EXT bit of error codes
   */
  public static InnerStack innerStack(Processor processor, int cpl, int external) {
    ProcessorState state = processor.state();
    boolean wide = (state.access[SegmentRegister.TR] & 8) != 0;
    int offset = wide ? 8 * cpl + 4 : 4 * cpl + 2;
    int selectorOffset = wide ? offset + 4 : offset + 2;
    if (selectorOffset + 1 > state.limit[SegmentRegister.TR]) {
      throw ProcessorException.of(
          ProcessorException.INVALID_TSS, taskSelectorCode(state, external));
    }
    LinearMemory memory = processor.memory();
    long pointer = memory.loadSystem(state.trBase + offset & 0xffffffffL, wide ? 4 : 2);
    int selector = (int) memory.loadSystem(state.trBase + selectorOffset & 0xffffffffL, 2);
    int code = Segmentation.errorCode(selector) | external;
    if (Segmentation.isNull(selector)) {
      throw ProcessorException.of(ProcessorException.INVALID_TSS, external);
    }
    long descriptor =
        Segmentation.checkStack(processor, selector, cpl, ProcessorException.INVALID_TSS, code);
    return new InnerStack(selector, descriptor, pointer, code);
  }

  /**
   * Switches through a task gate for an interrupt or exception, and pushes the error code on the
   * new task's stack.
   */
  public static void throughGate(Processor processor, int selector, int external, int errorCode) {
    Interception.taskSwitch(processor, selector, Interception.BY_GATE);
    toTask(processor, selector, Cause.CALL, external);
    if (errorCode != EventDelivery.NO_ERROR_CODE) {
      boolean wide = (processor.state().access[SegmentRegister.TR] & 8) != 0;
      try {
        StackAccess stack = StackAccess.current(processor, external);
        stack.push(wide ? 4 : 2, errorCode);
        stack.commit();
      } catch (ProcessorException e) {
        // The new task runs already: what follows belongs to it.
        EventDelivery.raise(processor, e);
      }
    }
  }

  /**
   * Switches to the task whose TSS the selector names. RIP is that of the next instruction.
   *
   * @param external the EXT bit of error codes
   */
  public static void toTask(Processor processor, int selector, Cause cause, int external) {
    ProcessorState state = processor.state();
    LinearMemory memory = processor.memory();
    int code = Segmentation.errorCode(selector) | external;
    int vector =
        cause == Cause.RETURN
            ? ProcessorException.INVALID_TSS
            : ProcessorException.GENERAL_PROTECTION;
    if (Segmentation.isNull(selector) || (selector & 4) != 0) {
      throw ProcessorException.of(vector, code);
    }
    long address = Segmentation.descriptorAddress(state, selector, 8, vector, code);
    long descriptor = memory.loadSystem(address, 8);
    int wanted = cause == Cause.RETURN ? Descriptor.TSS_BUSY : Descriptor.TSS_AVAILABLE;
    boolean ofSomeWidth = (Descriptor.type(descriptor) | 8) == wanted;
    if (Descriptor.codeOrData(descriptor) || !ofSomeWidth) {
      throw ProcessorException.of(vector, code);
    }
    if (!Descriptor.present(descriptor)) {
      throw ProcessorException.of(ProcessorException.SEGMENT_NOT_PRESENT, code);
    }
    boolean wide = (Descriptor.type(descriptor) & 8) != 0;
    int minimum = wide ? MINIMUM_LIMIT32 : MINIMUM_LIMIT16;
    if (Descriptor.limit(descriptor) < minimum) {
      throw ProcessorException.of(ProcessorException.INVALID_TSS, code);
    }
    Interception.taskSwitch(
        processor,
        selector,
        switch (cause) {
          case CALL -> Interception.BY_CALL;
          case RETURN -> Interception.BY_IRET;
          case JUMP -> Interception.BY_JUMP;
        });
    long base = Descriptor.base(descriptor);
    Image next = new Image(memory, base, wide);
    Image old = new Image(memory, state.trBase, (state.access[SegmentRegister.TR] & 8) != 0);
    old.checkStore();
    next.checkStore();
    long[] incoming = next.load();
    long cr3 = wide ? memory.loadSystem(base + 0x1c & 0xffffffffL, 4) : 0;
    boolean debugTrap =
        wide && (memory.loadSystem(base + DEBUG_TRAP_OFFSET & 0xffffffffL, 1) & 1) != 0;

    // Nothing of the old task can fault from here on.
    if (cause != Cause.CALL) {
      markBusy(processor, state.selector[SegmentRegister.TR], false);
    }
    long savedFlags = state.rflags();
    old.store(state, cause == Cause.RETURN ? savedFlags & ~Flags.NT : savedFlags);
    if (cause == Cause.CALL) {
      memory.storeSystem(base & 0xffffffffL, 2, state.selector[SegmentRegister.TR]);
      incoming[Image.FLAGS] |= Flags.NT;
    }
    if (cause != Cause.RETURN) {
      markBusy(processor, selector, true);
    }
    state.selector[SegmentRegister.TR] = selector;
    state.setSegmentBase(SegmentRegister.TR, base);
    state.limit[SegmentRegister.TR] = Descriptor.limit(descriptor);
    state.access[SegmentRegister.TR] = Descriptor.access(descriptor) | 2;
    state.cr0 |= ControlBits.CR0_TS;
    if (wide && (state.cr0 & ControlBits.CR0_PG) != 0) {
      ControlRegisters.switchAddressSpace(processor, cr3);
    }
    state.dr7 &= ~DebugRegisters.DR7_LOCAL_ENABLES;
    memory.breakpointsChanged();
    enter(processor, incoming, external);
    if (debugTrap) {
      state.debugPending |= DebugRegisters.DR6_BT;
    }
  }

  private static void markBusy(Processor processor, int selector, boolean busy) {
    ProcessorState state = processor.state();
    long address = Segmentation.systemAddress(state, state.gdtrBase + (selector & 0xfff8) + 5);
    long type = processor.memory().loadSystem(address, 1);
    processor.memory().storeSystem(address, 1, busy ? type | 2 : type & ~2L);
  }

  /**
   * Loads the registers of the new task; what is wrong with its segments faults in the new task.
   */
  private static void enter(Processor processor, long[] incoming, int external) {
    ProcessorState state = processor.state();
    state.rip = incoming[Image.POINTER];
    for (int i = 0; i < 8; i++) {
      state.r[i] = incoming[Image.GENERAL + i];
    }
    state.setRflags(incoming[Image.FLAGS]);
    for (int i = 0; i < SEGMENTS.length; i++) {
      Segmentation.setNull(state, SEGMENTS[i], (int) incoming[Image.SEGMENT + i]);
    }
    int cs = (int) incoming[Image.SEGMENT + 1];
    state.cpl = state.virtual8086() ? 3 : cs & 3;
    int ldt = (int) incoming[Image.LDT];
    state.selector[SegmentRegister.LDTR] = ldt;
    state.access[SegmentRegister.LDTR] = SegmentRegister.UNUSABLE;
    processor.memory().contextChanged();
    try {
      loadLocalTable(processor, ldt, external);
      if (state.virtual8086()) {
        for (int i = 0; i < SEGMENTS.length; i++) {
          Segmentation.loadReal(state, SEGMENTS[i], (int) incoming[Image.SEGMENT + i]);
        }
      } else {
        loadSegments(processor, incoming, external);
      }
      if (state.rip > state.limit[SegmentRegister.CS]) {
        throw ProcessorException.generalProtection(external);
      }
    } catch (ProcessorException e) {
      // The switch is complete, so the fault belongs to the new task (SDM volume 3, section 7.3).
      EventDelivery.raise(processor, e);
    }
  }

  private static void loadLocalTable(Processor processor, int selector, int external) {
    if (Segmentation.isNull(selector)) {
      return;
    }
    int code = Segmentation.errorCode(selector) | external;
    try {
      Segmentation.loadLdt(processor, selector);
    } catch (ProcessorException e) {
      throw e.vector() == ProcessorException.PAGE_FAULT
          ? e
          : ProcessorException.of(ProcessorException.INVALID_TSS, code);
    }
  }

  private static void loadSegments(Processor processor, long[] incoming, int external) {
    ProcessorState state = processor.state();
    int cs = (int) incoming[Image.SEGMENT + 1];
    int ss = (int) incoming[Image.SEGMENT + 2];
    int code = Segmentation.errorCode(cs) | external;
    if (Segmentation.isNull(cs)) {
      throw ProcessorException.of(ProcessorException.INVALID_TSS, code);
    }
    long codeDescriptor =
        Segmentation.descriptor(processor, cs, ProcessorException.INVALID_TSS, code);
    int dpl = Descriptor.dpl(codeDescriptor);
    if (!Descriptor.code(codeDescriptor)
        || (Descriptor.conforming(codeDescriptor) ? dpl > (cs & 3) : dpl != (cs & 3))) {
      throw ProcessorException.of(ProcessorException.INVALID_TSS, code);
    }
    if (!Descriptor.present(codeDescriptor)) {
      throw ProcessorException.of(ProcessorException.SEGMENT_NOT_PRESENT, code);
    }
    Segmentation.markAccessed(processor, cs, codeDescriptor);
    Segmentation.commitCode(state, cs, codeDescriptor, cs & 3);
    int stackCode = Segmentation.errorCode(ss) | external;
    if (Segmentation.isNull(ss)) {
      throw ProcessorException.of(ProcessorException.INVALID_TSS, stackCode);
    }
    long stackDescriptor =
        Segmentation.checkStack(
            processor, ss, state.cpl, ProcessorException.INVALID_TSS, stackCode);
    Segmentation.markAccessed(processor, ss, stackDescriptor);
    Segmentation.commit(state, SegmentRegister.SS, ss, stackDescriptor);
    for (int i = 0; i < SEGMENTS.length; i++) {
      if (SEGMENTS[i] != SegmentRegister.CS && SEGMENTS[i] != SegmentRegister.SS) {
        loadData(processor, SEGMENTS[i], (int) incoming[Image.SEGMENT + i], external);
      }
    }
  }

  private static void loadData(Processor processor, int segment, int selector, int external) {
    int code = Segmentation.errorCode(selector) | external;
    try {
      Segmentation.load(processor, segment, selector);
    } catch (ProcessorException e) {
      throw switch (e.vector()) {
        case ProcessorException.GENERAL_PROTECTION ->
            ProcessorException.of(ProcessorException.INVALID_TSS, code);
        case ProcessorException.SEGMENT_NOT_PRESENT -> ProcessorException.of(e.vector(), code);
        default -> e;
      };
    }
  }

  /** The dynamic fields of a TSS (SDM volume 3, figures 7-2 and 7-10). */
  private record Image(LinearMemory memory, long base, boolean wide) {
    static final int POINTER = 0;
    static final int FLAGS = 1;
    static final int GENERAL = 2;
    static final int SEGMENT = 10;
    static final int LDT = 16;

    private long at(int offset32, int offset16) {
      return base + (wide ? offset32 : offset16) & 0xffffffffL;
    }

    private int size() {
      return wide ? 4 : 2;
    }

    private int segments() {
      return wide ? 6 : 4; // a 16-bit TSS has neither FS nor GS
    }

    void checkStore() {
      memory.checkStoreSystem(at(0, 0), (wide ? MINIMUM_LIMIT32 : MINIMUM_LIMIT16) + 1);
    }

    void store(ProcessorState state, long flags) {
      memory.storeSystem(at(0x20, 0x0e), size(), state.rip);
      memory.storeSystem(at(0x24, 0x10), size(), flags);
      for (int i = 0; i < 8; i++) {
        memory.storeSystem(at(0x28 + 4 * i, 0x12 + 2 * i), size(), state.r[i]);
      }
      for (int i = 0; i < segments(); i++) {
        memory.storeSystem(at(0x48 + 4 * i, 0x22 + 2 * i), 2, state.selector[SEGMENTS[i]]);
      }
    }

    long[] load() {
      long[] values = new long[17];
      values[POINTER] = memory.loadSystem(at(0x20, 0x0e), size());
      values[FLAGS] = memory.loadSystem(at(0x24, 0x10), size());
      // A 16-bit task leaves the upper halves undefined; 80386 and later set them to ones.
      long upper = wide ? 0 : 0xffff0000L;
      for (int i = 0; i < 8; i++) {
        values[GENERAL + i] = memory.loadSystem(at(0x28 + 4 * i, 0x12 + 2 * i), size()) | upper;
      }
      for (int i = 0; i < segments(); i++) {
        values[SEGMENT + i] = memory.loadSystem(at(0x48 + 4 * i, 0x22 + 2 * i), 2);
      }
      values[LDT] = memory.loadSystem(at(0x60, 0x2a), 2);
      return values;
    }
  }
}
