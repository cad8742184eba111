package dev.ringfence.machine.interrupt;

import dev.ringfence.machine.cpu.DebugRegisters;
import dev.ringfence.machine.cpu.Descriptor;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Segmentation;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.cpu.StackAccess;
import dev.ringfence.machine.cpu.TaskSwitch;
import dev.ringfence.machine.probe.Probe;
import dev.ringfence.machine.virtualization.ExitReason;
import dev.ringfence.machine.virtualization.VmExit;

/**
 * Delivery of interrupts and exceptions through the interrupt table of every mode (SDM volume 3,
 * chapter 6, section 20.3 for virtual-8086 mode; SDM volume 2, INT n).
 *
 * <p>RIP is what the handler is to return to: the instruction itself for a fault, the next one for
 * a trap, an interrupt or INT n.
 */
public final class EventDelivery {
  /** Where an event comes from: decides privilege checks and the EXT bit of error codes. */
  public enum Kind {
    /** External and non-maskable interrupts. */
    HARDWARE,
    /** INT n. */
    SOFTWARE_INTERRUPT,
    /** INT3 and INTO. */
    SOFTWARE_EXCEPTION,
    /** INT1. */
    PRIVILEGED_SOFTWARE_EXCEPTION,
    /** Faults, traps and aborts. */
    EXCEPTION
  }

  /** In place of an error code, for events that push none. */
  public static final int NO_ERROR_CODE = -1;

  private static final int IDT_FLAG = 2;

  private EventDelivery() {}

  /**
   * Delivers an exception, and what follows when that does not succeed: another exception, a double
   * fault, or shutdown (SDM volume 3, table 6-5).
   *
   * @throws TripleFault if a double fault cannot be delivered
   */
  public static void raise(Processor processor, ProcessorException exception) {
    ProcessorState state = processor.state();
    ProcessorException current = exception;
    while (true) {
      VmExit exit = current.exit();
      if (exit != null) {
        processor.vmx().exit(exit);
        return;
      }
      int vector = current.vector();
      int errorCode = ProcessorException.hasErrorCode(vector) ? current.errorCode() : NO_ERROR_CODE;
      if (processor.vmx().intercepts(vector, errorCode)) {
        processor.vmx().exit(current, errorCode);
        return;
      }
      if (vector == ProcessorException.PAGE_FAULT) {
        state.cr2 = current.address();
      } else if (vector == ProcessorException.DEBUG) {
        DebugRegisters.reportPending(state);
      } else if (isFault(vector)) {
        // The instruction did not complete; what it met counts when it is executed again.
        state.debugPending = 0;
      }
      try {
        deliver(processor, vector, Kind.EXCEPTION, errorCode, isFault(vector) ? Flags.RF : 0);
        return;
      } catch (ProcessorException nested) {
        current = nested.exit() != null ? nested : combine(processor, current, nested);
      }
    }
  }

  /** Delivers a maskable interrupt that was acknowledged, or the exception that this leads to. */
  public static void interrupt(Processor processor, int vector) {
    try {
      deliver(processor, vector, Kind.HARDWARE, NO_ERROR_CODE);
    } catch (ProcessorException e) {
      raise(processor, e);
    }
  }

  /** Delivers a non-maskable interrupt; further ones are blocked until the next IRET. */
  public static void nonMaskableInterrupt(Processor processor) {
    processor.state().nonMaskableBlocked = true;
    interrupt(processor, ProcessorException.NON_MASKABLE);
  }

  /** Fault-class exceptions push RF set, so that an instruction breakpoint does not hit twice. */
  private static boolean isFault(int vector) {
    return switch (vector) {
      case ProcessorException.DEBUG,
          ProcessorException.NON_MASKABLE,
          ProcessorException.BREAKPOINT,
          ProcessorException.OVERFLOW,
          ProcessorException.DOUBLE_FAULT,
          ProcessorException.MACHINE_CHECK ->
          false;
      default -> true;
    };
  }

  private static ProcessorException combine(
      Processor processor, ProcessorException first, ProcessorException second) {
    if (second.vector() == ProcessorException.PAGE_FAULT
        && !processor.vmx().intercepts(second.vector(), second.errorCode())) {
      processor.state().cr2 = second.address();
    }
    boolean severe =
        isContributory(second.vector()) || second.vector() == ProcessorException.PAGE_FAULT;
    if (first.vector() == ProcessorException.DOUBLE_FAULT && severe) {
      if (processor.vmx().nonRoot()) {
        return ProcessorException.of(VmExit.of(ExitReason.TRIPLE_FAULT, 0));
      }
      throw new TripleFault(
          "exception %d (error code %x) while delivering a double fault"
              .formatted(second.vector(), second.errorCode()));
    }
    boolean doubleFault =
        isContributory(first.vector()) && isContributory(second.vector())
            || first.vector() == ProcessorException.PAGE_FAULT && severe;
    return doubleFault ? ProcessorException.of(ProcessorException.DOUBLE_FAULT, 0) : second;
  }

  /** Contributory exceptions of SDM volume 3, table 6-4. */
  private static boolean isContributory(int vector) {
    return switch (vector) {
      case ProcessorException.DIVIDE_ERROR,
          ProcessorException.INVALID_TSS,
          ProcessorException.SEGMENT_NOT_PRESENT,
          ProcessorException.STACK_FAULT,
          ProcessorException.GENERAL_PROTECTION ->
          true;
      default -> false;
    };
  }

  /**
   * Delivers one event.
   *
   * @param errorCode to push in protected and long mode, or {@link #NO_ERROR_CODE}
   * @throws ProcessorException if the delivery itself faults; registers are unchanged then
   */
  public static void deliver(Processor processor, int vector, Kind kind, int errorCode) {
    deliver(processor, vector, kind, errorCode, 0);
  }

  /**
   * Delivers the event that the entry of a virtual machine injects: like {@link #deliver(Processor,
   * int, Kind, int)}, but it never exits for what it is.
   */
  public static void inject(Processor processor, int vector, Kind kind, int errorCode) {
    int flags = kind == Kind.EXCEPTION && isFault(vector) ? Flags.RF : 0;
    deliverAll(processor, vector, kind, errorCode, flags);
  }

  private static void deliver(
      Processor processor, int vector, Kind kind, int errorCode, int extraFlags) {
    boolean software =
        kind == Kind.SOFTWARE_EXCEPTION || kind == Kind.PRIVILEGED_SOFTWARE_EXCEPTION;
    if (software && processor.vmx().intercepts(vector, errorCode)) {
      throw ProcessorException.of(processor.vmx().softwareException(vector, kind));
    }
    deliverAll(processor, vector, kind, errorCode, extraFlags);
  }

  private static void deliverAll(
      Processor processor, int vector, Kind kind, int errorCode, int extraFlags) {
    ProcessorState state = processor.state();
    boolean nonRoot = processor.vmx().nonRoot();
    if (nonRoot) {
      processor.vmx().deliveryBegins(kind, vector, errorCode);
    }
    long flags = state.rflags() | extraFlags;
    Probe probe = processor.probe();
    boolean fromUser = state.cpl == 3;
    if (probe != null && fromUser) {
      probe.deliveryBegins(processor, entry(kind, vector), vector);
    }
    if (!state.protectedMode()) {
      deliverReal(processor, vector, flags);
    } else if (state.longMode()) {
      new Delivery(processor, vector, kind, errorCode, flags).longMode();
    } else {
      new Delivery(processor, vector, kind, errorCode, flags).protectedMode();
    }
    state.halted = false;
    state.interruptShadow = false;
    state.debugShadow = false;
    processor.memory().contextChanged();
    if (nonRoot) {
      processor.vmx().deliveryEnds();
    }
    if (probe != null && state.cpl < 3) {
      if (fromUser) {
        probe.kernelEntered(processor, entry(kind, vector), vector);
      } else {
        probe.kernelInterrupted(processor, entry(kind, vector), vector);
      }
    }
  }

  private static Probe.Entry entry(Kind kind, int vector) {
    return switch (kind) {
      case HARDWARE ->
          vector == ProcessorException.NON_MASKABLE
              ? Probe.Entry.NON_MASKABLE
              : Probe.Entry.INTERRUPT;
      case SOFTWARE_INTERRUPT, SOFTWARE_EXCEPTION -> Probe.Entry.SOFTWARE_INTERRUPT;
      case PRIVILEGED_SOFTWARE_EXCEPTION, EXCEPTION -> Probe.Entry.EXCEPTION;
    };
  }

  /** Real-address mode (SDM volume 3, section 20.1.4). */
  private static void deliverReal(Processor processor, int vector, long flags) {
    ProcessorState state = processor.state();
    if (vector * 4 + 3 > state.idtrLimit) {
      throw ProcessorException.generalProtection();
    }
    long target = processor.memory().loadSystem(state.idtrBase + vector * 4L & 0xffffffffL, 4);
    StackAccess stack = StackAccess.current(processor);
    stack.push(2, flags);
    stack.push(2, state.selector[SegmentRegister.CS]);
    stack.push(2, state.rip);
    stack.commit();
    state.systemFlags &= ~(Flags.IF | Flags.TF | Flags.AC | Flags.RF);
    Segmentation.loadReal(state, SegmentRegister.CS, (int) (target >>> 16) & 0xffff);
    state.rip = target & 0xffff;
  }

  /** One delivery through a gate. */
  private static final class Delivery {
    private final Processor processor;
    private final ProcessorState state;
    private final int vector;
    private final Kind kind;
    private final int errorCode;
    private final long flags;

    /** The EXT bit of error codes: the event is not the program's own doing. */
    private final int external;

    Delivery(Processor processor, int vector, Kind kind, int errorCode, long flags) {
      this.processor = processor;
      this.state = processor.state();
      this.vector = vector;
      this.kind = kind;
      this.errorCode = errorCode;
      this.flags = flags;
      this.external = kind == Kind.SOFTWARE_INTERRUPT || kind == Kind.SOFTWARE_EXCEPTION ? 0 : 1;
    }

    private int gateErrorCode() {
      return vector << 3 | IDT_FLAG | external;
    }

    private ProcessorException badGate() {
      return ProcessorException.generalProtection(gateErrorCode());
    }

    /** Reads the gate after the limit check; the type is the caller's to check. */
    private long gate(int bytes) {
      if (vector * bytes + bytes - 1 > state.idtrLimit) {
        throw badGate();
      }
      return processor.memory().loadSystem(gateAddress(bytes), 8);
    }

    private long gateAddress(int bytes) {
      return Segmentation.systemAddress(state, state.idtrBase + (long) vector * bytes);
    }

    private void checkGate(long gate) {
      boolean software = kind == Kind.SOFTWARE_INTERRUPT || kind == Kind.SOFTWARE_EXCEPTION;
      if (software && Descriptor.dpl(gate) < state.cpl) {
        throw badGate();
      }
      if (!Descriptor.present(gate)) {
        throw ProcessorException.of(ProcessorException.SEGMENT_NOT_PRESENT, gateErrorCode());
      }
    }

    /** Reads and checks the descriptor of the handler's code segment. */
    private long codeDescriptor(int selector) {
      if (Segmentation.isNull(selector)) {
        throw ProcessorException.generalProtection(external);
      }
      int code = Segmentation.errorCode(selector) | external;
      long descriptor =
          Segmentation.descriptor(processor, selector, ProcessorException.GENERAL_PROTECTION, code);
      boolean wrongWidth =
          state.longMode()
              && (!Descriptor.longMode(descriptor) || Descriptor.defaultBig(descriptor));
      if (!Descriptor.code(descriptor) || Descriptor.dpl(descriptor) > state.cpl || wrongWidth) {
        throw ProcessorException.generalProtection(code);
      }
      if (!Descriptor.present(descriptor)) {
        throw ProcessorException.of(ProcessorException.SEGMENT_NOT_PRESENT, code);
      }
      return descriptor;
    }

    void longMode() {
      long gate = gate(16);
      long upper = processor.memory().loadSystem(gateAddress(16) + 8, 8);
      int type = Descriptor.type(gate);
      if (Descriptor.codeOrData(gate)
          || type != Descriptor.INTERRUPT_GATE && type != Descriptor.TRAP_GATE
          || (upper >>> 40 & 0x1f) != 0) {
        throw badGate();
      }
      checkGate(gate);
      int selector = Descriptor.gateSelector(gate);
      long code = codeDescriptor(selector);
      long target = Descriptor.gateOffset(gate) | upper << 32;
      boolean inner = !Descriptor.conforming(code) && Descriptor.dpl(code) < state.cpl;
      int cpl = inner ? Descriptor.dpl(code) : state.cpl;
      int interruptStack = (int) (gate >>> 32) & 7;
      long pointer;
      if (interruptStack != 0) {
        pointer = TaskSwitch.stackPointer64(processor, 28 + 8 * interruptStack, external);
      } else if (inner) {
        pointer = TaskSwitch.stackPointer64(processor, 4 + 8 * cpl, external);
      } else {
        pointer = state.r[Slot.RSP];
      }
      StackAccess stack = StackAccess.flat(processor, cpl, external, pointer & ~0xfL);
      if (!ProcessorState.canonical(target)) {
        throw ProcessorException.generalProtection(external);
      }
      stack.push(8, state.selector[SegmentRegister.SS]);
      stack.push(8, state.r[Slot.RSP]);
      pushReturn(stack, 8);
      Segmentation.markAccessed(processor, selector, code);
      if (inner) {
        Segmentation.setNull(state, SegmentRegister.SS, cpl);
      }
      enter(stack, selector, code, cpl, target, type == Descriptor.INTERRUPT_GATE);
    }

    void protectedMode() {
      if (state.virtual8086() && kind == Kind.SOFTWARE_INTERRUPT && state.iopl() < 3) {
        throw ProcessorException.generalProtection();
      }
      long gate = gate(8);
      int type = Descriptor.type(gate);
      boolean known =
          type == Descriptor.TASK_GATE
              || type == Descriptor.INTERRUPT_GATE
              || type == Descriptor.TRAP_GATE
              || type == Descriptor.INTERRUPT_GATE16
              || type == Descriptor.TRAP_GATE16;
      if (Descriptor.codeOrData(gate) || !known) {
        throw badGate();
      }
      checkGate(gate);
      if (type == Descriptor.TASK_GATE) {
        TaskSwitch.throughGate(processor, Descriptor.gateSelector(gate), external, errorCode);
        return;
      }
      boolean wide = type >= Descriptor.INTERRUPT_GATE;
      int selector = Descriptor.gateSelector(gate);
      long code = codeDescriptor(selector);
      long target = wide ? Descriptor.gateOffset(gate) : Descriptor.gateOffset(gate) & 0xffff;
      if (target > Descriptor.limit(code)) {
        throw ProcessorException.generalProtection(external);
      }
      boolean interruptGate = (type & 1) == 0;
      int bytes = wide ? 4 : 2;
      boolean inner = !Descriptor.conforming(code) && Descriptor.dpl(code) < state.cpl;
      if (state.virtual8086() && (!inner || Descriptor.dpl(code) != 0)) {
        throw ProcessorException.generalProtection(Segmentation.errorCode(selector) | external);
      }
      if (!inner) {
        StackAccess stack = StackAccess.current(processor, external);
        pushReturn(stack, bytes);
        Segmentation.markAccessed(processor, selector, code);
        enter(stack, selector, code, state.cpl, target, interruptGate);
        return;
      }
      int cpl = Descriptor.dpl(code);
      TaskSwitch.InnerStack next = TaskSwitch.innerStack(processor, cpl, external);
      StackAccess stack = next.access(processor, cpl);
      if (state.virtual8086()) {
        stack.push(bytes, state.selector[SegmentRegister.GS]);
        stack.push(bytes, state.selector[SegmentRegister.FS]);
        stack.push(bytes, state.selector[SegmentRegister.DS]);
        stack.push(bytes, state.selector[SegmentRegister.ES]);
      }
      stack.push(bytes, state.selector[SegmentRegister.SS]);
      stack.push(bytes, state.r[Slot.RSP]);
      pushReturn(stack, bytes);
      Segmentation.markAccessed(processor, selector, code);
      Segmentation.markAccessed(processor, next.selector(), next.descriptor());
      if (state.virtual8086()) {
        Segmentation.dropDataSegments(state);
      }
      Segmentation.commit(state, SegmentRegister.SS, next.selector(), next.descriptor());
      enter(stack, selector, code, cpl, target, interruptGate);
    }

    private void pushReturn(StackAccess stack, int bytes) {
      stack.push(bytes, flags);
      stack.push(bytes, state.selector[SegmentRegister.CS]);
      stack.push(bytes, state.rip);
      if (errorCode != NO_ERROR_CODE) {
        stack.push(bytes, errorCode);
      }
    }

    private void enter(
        StackAccess stack, int selector, long code, int cpl, long target, boolean maskInterrupts) {
      stack.commit();
      state.systemFlags &= ~(Flags.TF | Flags.NT | Flags.RF | Flags.VM);
      if (maskInterrupts) {
        state.systemFlags &= ~Flags.IF;
      }
      Segmentation.commitCode(state, selector, code, cpl);
      state.rip = target;
    }
  }
}
