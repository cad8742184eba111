package dev.ringfence.machine.cpu;

/**
 * Far JMP, CALL and RET in every mode, through call gates and to tasks (SDM volume 2; volume 3,
 * section 5.8). RIP is that of the next instruction when a method is called.
 */
public final class FarTransfer {
  private FarTransfer() {}

  private static long cut(long value, int width) {
    return value & -1L >>> 64 - width;
  }

  private static boolean realSegments(ProcessorState state) {
    return !state.protectedMode() || state.virtual8086();
  }

  /** JMP ptr16:16, m16:32 and so on. */
  public static void jump(Processor processor, int selector, long offset, int width) {
    ProcessorState state = processor.state();
    if (realSegments(state)) {
      jumpReal(state, selector, cut(offset, width));
      return;
    }
    long descriptor = target(processor, selector);
    if (Descriptor.codeOrData(descriptor)) {
      checkDirectCode(state, selector, descriptor);
      enterCode(processor, selector, descriptor, cut(offset, width));
      return;
    }
    switch (systemTarget(state, selector, descriptor)) {
      case CALL_GATE -> {
        Gate gate = callGate(processor, selector, descriptor);
        long code = gateCode(processor, gate.selector(), false);
        enterCode(processor, gate.selector(), code, gate.offset());
      }
      case TASK_GATE ->
          TaskSwitch.toTask(processor, taskOfGate(selector, descriptor), TaskSwitch.Cause.JUMP, 0);
      case TASK -> TaskSwitch.toTask(processor, selector, TaskSwitch.Cause.JUMP, 0);
    }
  }

  /** CALL ptr16:16, m16:32 and so on. */
  public static void call(Processor processor, int selector, long offset, int width) {
    ProcessorState state = processor.state();
    int bytes = width / 8;
    if (realSegments(state)) {
      StackAccess stack = StackAccess.current(processor);
      stack.push(bytes, state.selector[SegmentRegister.CS]);
      stack.push(bytes, state.rip);
      jumpReal(state, selector, cut(offset, width));
      stack.commit();
      return;
    }
    long descriptor = target(processor, selector);
    if (Descriptor.codeOrData(descriptor)) {
      checkDirectCode(state, selector, descriptor);
      callSamePrivilege(processor, selector, descriptor, cut(offset, width), bytes);
      return;
    }
    switch (systemTarget(state, selector, descriptor)) {
      case CALL_GATE -> callThroughGate(processor, callGate(processor, selector, descriptor));
      case TASK_GATE ->
          TaskSwitch.toTask(processor, taskOfGate(selector, descriptor), TaskSwitch.Cause.CALL, 0);
      case TASK -> TaskSwitch.toTask(processor, selector, TaskSwitch.Cause.CALL, 0);
    }
  }

  private static void jumpReal(ProcessorState state, int selector, long offset) {
    long limit = state.virtual8086() ? 0xffff : state.limit[SegmentRegister.CS];
    if (offset > limit) {
      throw ProcessorException.generalProtection();
    }
    Segmentation.loadReal(state, SegmentRegister.CS, selector);
    state.rip = offset;
  }

  private static long target(Processor processor, int selector) {
    if (Segmentation.isNull(selector)) {
      throw ProcessorException.generalProtection();
    }
    return Segmentation.descriptor(processor, selector);
  }

  /** Checks of a code segment named by the instruction itself. */
  private static void checkDirectCode(ProcessorState state, int selector, long descriptor) {
    int dpl = Descriptor.dpl(descriptor);
    boolean allowed =
        Descriptor.conforming(descriptor)
            ? dpl <= state.cpl
            : (selector & 3) <= state.cpl && dpl == state.cpl;
    if (!Descriptor.code(descriptor) || !allowed || ambiguous(state, descriptor)) {
      throw ProcessorException.generalProtection(Segmentation.errorCode(selector));
    }
    checkPresent(selector, descriptor);
  }

  /** L and D both set, in IA-32e mode. */
  private static boolean ambiguous(ProcessorState state, long descriptor) {
    return state.longMode() && Descriptor.longMode(descriptor) && Descriptor.defaultBig(descriptor);
  }

  private static void checkPresent(int selector, long descriptor) {
    if (!Descriptor.present(descriptor)) {
      throw ProcessorException.of(
          ProcessorException.SEGMENT_NOT_PRESENT, Segmentation.errorCode(selector));
    }
  }

  /** The target must be inside the segment, or canonical in 64-bit mode. */
  static void checkTarget(long offset, long descriptor, boolean to64) {
    if (to64 ? !ProcessorState.canonical(offset) : offset > Descriptor.limit(descriptor)) {
      throw ProcessorException.generalProtection();
    }
  }

  private static void enterCode(Processor processor, int selector, long descriptor, long offset) {
    ProcessorState state = processor.state();
    checkTarget(offset, descriptor, state.longMode() && Descriptor.longMode(descriptor));
    Segmentation.markAccessed(processor, selector, descriptor);
    Segmentation.commitCode(state, selector, descriptor, state.cpl);
    state.rip = offset;
  }

  private static void callSamePrivilege(
      Processor processor, int selector, long descriptor, long offset, int bytes) {
    ProcessorState state = processor.state();
    StackAccess stack = StackAccess.current(processor);
    checkTarget(offset, descriptor, state.longMode() && Descriptor.longMode(descriptor));
    stack.push(bytes, state.selector[SegmentRegister.CS]);
    stack.push(bytes, state.rip);
    enterCode(processor, selector, descriptor, offset);
    stack.commit();
  }

  private enum SystemTarget {
    CALL_GATE,
    TASK_GATE,
    TASK
  }

  /** What a system descriptor leads to, after the checks of DPL and presence. */
  private static SystemTarget systemTarget(ProcessorState state, int selector, long descriptor) {
    int type = Descriptor.type(descriptor);
    SystemTarget target =
        switch (type) {
          case Descriptor.CALL_GATE -> SystemTarget.CALL_GATE;
          case Descriptor.CALL_GATE16 -> state.longMode() ? null : SystemTarget.CALL_GATE;
          case Descriptor.TASK_GATE -> state.longMode() ? null : SystemTarget.TASK_GATE;
          case Descriptor.TSS_AVAILABLE, Descriptor.TSS16_AVAILABLE ->
              state.longMode() ? null : SystemTarget.TASK;
          default -> null;
        };
    int dpl = Descriptor.dpl(descriptor);
    if (target == null || dpl < state.cpl || dpl < (selector & 3)) {
      throw ProcessorException.generalProtection(Segmentation.errorCode(selector));
    }
    checkPresent(selector, descriptor);
    return target;
  }

  private static int taskOfGate(int selector, long gate) {
    int task = Descriptor.gateSelector(gate);
    if ((task & 4) != 0) {
      throw ProcessorException.generalProtection(Segmentation.errorCode(selector));
    }
    return task;
  }

  /** A call gate: target, size of the items pushed, and number of parameters copied. */
  private record Gate(int selector, long offset, int bytes, int parameters) {}

  private static Gate callGate(Processor processor, int selector, long descriptor) {
    ProcessorState state = processor.state();
    boolean wide = Descriptor.type(descriptor) == Descriptor.CALL_GATE;
    long offset = Descriptor.gateOffset(descriptor);
    int code = Descriptor.gateSelector(descriptor);
    if (!state.longMode()) {
      int parameters = (int) (descriptor >>> 32) & 0x1f;
      return new Gate(code, wide ? offset : offset & 0xffff, wide ? 4 : 2, parameters);
    }
    int errorCode = Segmentation.errorCode(selector);
    long address =
        Segmentation.descriptorAddress(
            state, selector, 16, ProcessorException.GENERAL_PROTECTION, errorCode);
    long upper = processor.memory().loadSystem(address + 8, 8);
    if ((upper >>> 40 & 0x1f) != 0) {
      throw ProcessorException.generalProtection(errorCode);
    }
    return new Gate(code, offset | upper << 32, 8, 0);
  }

  /** Reads and checks the code segment that a call gate names. */
  private static long gateCode(Processor processor, int selector, boolean call) {
    ProcessorState state = processor.state();
    long descriptor = target(processor, selector);
    int dpl = Descriptor.dpl(descriptor);
    boolean allowed =
        call || Descriptor.conforming(descriptor) ? dpl <= state.cpl : dpl == state.cpl;
    boolean wrongWidth =
        state.longMode() && (!Descriptor.longMode(descriptor) || Descriptor.defaultBig(descriptor));
    if (!Descriptor.code(descriptor) || !allowed || wrongWidth) {
      throw ProcessorException.generalProtection(Segmentation.errorCode(selector));
    }
    checkPresent(selector, descriptor);
    return descriptor;
  }

  private static void callThroughGate(Processor processor, Gate gate) {
    ProcessorState state = processor.state();
    long code = gateCode(processor, gate.selector(), true);
    int cpl = Descriptor.dpl(code);
    if (Descriptor.conforming(code) || cpl == state.cpl) {
      callSamePrivilege(processor, gate.selector(), code, gate.offset(), gate.bytes());
      return;
    }
    checkTarget(gate.offset(), code, state.longMode());
    int bytes = gate.bytes();
    StackAccess stack;
    int stackSelector = cpl;
    long stackDescriptor = Segmentation.NULL_DESCRIPTOR;
    if (state.longMode()) {
      long pointer = TaskSwitch.stackPointer64(processor, 4 + 8 * cpl, 0);
      stack = StackAccess.flat(processor, cpl, 0, pointer);
    } else {
      TaskSwitch.InnerStack next = TaskSwitch.innerStack(processor, cpl, 0);
      stackSelector = next.selector();
      stackDescriptor = next.descriptor();
      stack = next.access(processor, cpl);
    }
    StackAccess caller = StackAccess.current(processor);
    stack.push(bytes, state.selector[SegmentRegister.SS]);
    stack.push(bytes, state.r[Slot.RSP]);
    for (int i = gate.parameters() - 1; i >= 0; i--) {
      stack.push(bytes, caller.peek(i * bytes, bytes));
    }
    stack.push(bytes, state.selector[SegmentRegister.CS]);
    stack.push(bytes, state.rip);
    Segmentation.markAccessed(processor, gate.selector(), code);
    Segmentation.markAccessed(processor, stackSelector, stackDescriptor);
    Segmentation.commit(state, SegmentRegister.SS, stackSelector, stackDescriptor);
    stack.commit();
    Segmentation.commitCode(state, gate.selector(), code, cpl);
    state.rip = gate.offset();
  }

  /**
   * Far RET.
   *
   * @param release bytes of parameters to drop from the stack
   */
  public static void ret(Processor processor, int width, int release) {
    ProcessorState state = processor.state();
    StackAccess stack = StackAccess.current(processor);
    int bytes = width / 8;
    long offset = stack.pop(bytes);
    int selector = (int) stack.pop(bytes) & 0xffff;
    stack.skip(release);
    if (realSegments(state)) {
      jumpReal(state, selector, offset);
      stack.commit();
      return;
    }
    long code = checkReturnCode(processor, selector);
    int cpl = selector & 3;
    boolean to64 = state.longMode() && Descriptor.longMode(code);
    if (cpl == state.cpl) {
      enterCode(processor, selector, code, offset);
      stack.commit();
      return;
    }
    long pointer = stack.pop(bytes);
    int stackSelector = (int) stack.pop(bytes) & 0xffff;
    long stackDescriptor = checkReturnStack(processor, stackSelector, cpl, to64);
    checkTarget(offset, code, to64);
    Segmentation.markAccessed(processor, selector, code);
    Segmentation.markAccessed(processor, stackSelector, stackDescriptor);
    Segmentation.commitCode(state, selector, code, cpl);
    state.rip = offset;
    Segmentation.commit(state, SegmentRegister.SS, stackSelector, stackDescriptor);
    int stackWidth = state.stackWidth();
    StackAccess.setPointer(state, stackWidth, pointer + release);
    Segmentation.dropPrivilegedSegments(state);
  }

  /** Checks of the code segment to which RET or IRET returns; returns the descriptor. */
  static long checkReturnCode(Processor processor, int selector) {
    ProcessorState state = processor.state();
    long descriptor = target(processor, selector);
    int rpl = selector & 3;
    int dpl = Descriptor.dpl(descriptor);
    boolean privilege = Descriptor.conforming(descriptor) ? dpl <= rpl : dpl == rpl;
    if (rpl < state.cpl
        || !Descriptor.code(descriptor)
        || !privilege
        || ambiguous(state, descriptor)) {
      throw ProcessorException.generalProtection(Segmentation.errorCode(selector));
    }
    checkPresent(selector, descriptor);
    return descriptor;
  }

  /** Checks of the stack segment to which RET or IRET returns; returns the descriptor. */
  static long checkReturnStack(Processor processor, int selector, int cpl, boolean to64) {
    if (Segmentation.isNull(selector)) {
      // Unlike MOV to SS, a return does not compare the RPL of a null selector.
      if (to64 && cpl < 3) {
        return Segmentation.NULL_DESCRIPTOR;
      }
      throw ProcessorException.generalProtection();
    }
    return Segmentation.checkStack(
        processor,
        selector,
        cpl,
        ProcessorException.GENERAL_PROTECTION,
        Segmentation.errorCode(selector));
  }
}
