package dev.ringfence.machine.cpu;

import dev.ringfence.machine.probe.Probe;

/** IRET, IRETD and IRETQ (SDM volume 2). */
public final class InterruptReturn {
  /** Flags that every IRET and POPF may load. */
  private static final int UNPRIVILEGED = Flags.STATUS | Flags.TF | Flags.DF | Flags.NT;

  private InterruptReturn() {}

  /**
   * Executes the instruction.
   *
   * @param width operand width: 16, 32 or 64
   */
  public static void execute(Processor processor, int width) {
    ProcessorState state = processor.state();
    // NMIs are unblocked even if the instruction faults (SDM volume 3, section 6.7.1).
    state.nonMaskableBlocked = false;
    state.flagsLoaded = true;
    int cpl = state.cpl;
    returnByMode(processor, width);
    Probe probe = processor.probe();
    if (probe != null && cpl < 3) {
      if (state.cpl == 3) {
        probe.kernelLeft(processor);
      } else {
        probe.kernelResumed(processor);
      }
    }
  }

  private static void returnByMode(Processor processor, int width) {
    ProcessorState state = processor.state();
    if (!state.protectedMode()) {
      real(processor, width);
    } else if (state.virtual8086()) {
      virtual8086(processor, width);
    } else if (state.flag(Flags.NT)) {
      nested(processor);
    } else {
      protectedMode(processor, width);
    }
  }

  private static void real(Processor processor, int width) {
    ProcessorState state = processor.state();
    StackAccess stack = StackAccess.current(processor);
    int bytes = width / 8;
    long pointer = stack.pop(bytes);
    int selector = (int) stack.pop(bytes) & 0xffff;
    long flags = stack.pop(bytes);
    checkLimit(state.limit[SegmentRegister.CS], pointer);
    stack.commit();
    state.rip = pointer;
    Segmentation.loadReal(state, SegmentRegister.CS, selector);
    loadFlags(state, flags, loadableFlags(0, 0, width) & ~(Flags.VIF | Flags.VIP));
  }

  private static void virtual8086(Processor processor, int width) {
    ProcessorState state = processor.state();
    if (state.iopl() < 3) {
      throw ProcessorException.generalProtection();
    }
    StackAccess stack = StackAccess.current(processor);
    int bytes = width / 8;
    long pointer = stack.pop(bytes);
    int selector = (int) stack.pop(bytes) & 0xffff;
    long flags = stack.pop(bytes);
    checkLimit(0xffff, pointer);
    stack.commit();
    state.rip = pointer;
    Segmentation.loadReal(state, SegmentRegister.CS, selector);
    loadFlags(state, flags, loadableFlags(3, 3, width));
  }

  /** Return to the task that was interrupted through a task gate, or that called. */
  private static void nested(Processor processor) {
    ProcessorState state = processor.state();
    if (state.longMode()) {
      throw ProcessorException.generalProtection();
    }
    int link = (int) processor.memory().loadSystem(state.trBase & 0xffffffffL, 2);
    TaskSwitch.toTask(processor, link, TaskSwitch.Cause.RETURN, 0);
  }

  private static void protectedMode(Processor processor, int width) {
    ProcessorState state = processor.state();
    StackAccess stack = StackAccess.current(processor);
    int bytes = width / 8;
    int cpl = state.cpl;
    long pointer = stack.pop(bytes);
    int selector = (int) stack.pop(bytes) & 0xffff;
    long flags = stack.pop(bytes);
    if ((flags & Flags.VM) != 0 && cpl == 0 && width >= 32 && !state.longMode()) {
      toVirtual8086(state, stack, pointer, selector, flags);
      return;
    }
    long code = FarTransfer.checkReturnCode(processor, selector);
    int target = selector & 3;
    boolean from64 = state.code64();
    boolean to64 = state.longMode() && Descriptor.longMode(code);
    boolean switchesStack = from64 || target != cpl;
    int stackSelector = 0;
    long stackDescriptor = 0;
    long stackPointer = 0;
    if (switchesStack) {
      stackPointer = stack.pop(bytes);
      stackSelector = (int) stack.pop(bytes) & 0xffff;
      stackDescriptor = FarTransfer.checkReturnStack(processor, stackSelector, target, to64);
    }
    FarTransfer.checkTarget(pointer, code, to64);
    Segmentation.markAccessed(processor, selector, code);
    Segmentation.markAccessed(processor, stackSelector, stackDescriptor);
    loadFlags(state, flags, loadableFlags(cpl, state.iopl(), width));
    Segmentation.commitCode(state, selector, code, target);
    state.rip = pointer;
    if (switchesStack) {
      Segmentation.commit(state, SegmentRegister.SS, stackSelector, stackDescriptor);
      StackAccess.setPointer(state, state.stackWidth(), stackPointer);
    } else {
      stack.commit();
    }
    if (target > cpl) {
      Segmentation.dropPrivilegedSegments(state);
    }
  }

  private static void toVirtual8086(
      ProcessorState state, StackAccess stack, long pointer, int selector, long flags) {
    long esp = stack.pop(4);
    int ss = (int) stack.pop(4);
    int es = (int) stack.pop(4);
    int ds = (int) stack.pop(4);
    int fs = (int) stack.pop(4);
    int gs = (int) stack.pop(4);
    if (pointer > 0xffff) {
      throw ProcessorException.generalProtection();
    }
    state.setRflags(flags);
    state.cpl = 3;
    state.rip = pointer;
    Segmentation.loadReal(state, SegmentRegister.CS, selector);
    Segmentation.loadReal(state, SegmentRegister.SS, ss);
    Segmentation.loadReal(state, SegmentRegister.ES, es);
    Segmentation.loadReal(state, SegmentRegister.DS, ds);
    Segmentation.loadReal(state, SegmentRegister.FS, fs);
    Segmentation.loadReal(state, SegmentRegister.GS, gs);
    state.r[Slot.RSP] = esp;
  }

  private static void checkLimit(long limit, long pointer) {
    if (pointer > limit) {
      throw ProcessorException.generalProtection();
    }
  }

  /** The flags that IRET loads at a privilege level. */
  private static int loadableFlags(int cpl, int iopl, int width) {
    int mask = UNPRIVILEGED;
    if (width >= 32) {
      mask |= Flags.RF | Flags.AC | Flags.ID;
    }
    if (cpl <= iopl) {
      mask |= Flags.IF;
    }
    if (cpl == 0) {
      mask |= Flags.IOPL;
      if (width >= 32) {
        mask |= Flags.VIF | Flags.VIP;
      }
    }
    return mask;
  }

  /** POPF (SDM volume 2, table 4-16); RF is cleared. The value has been popped. */
  public static void popFlags(ProcessorState state, long value, int width) {
    boolean virtual = state.virtual8086();
    int cpl = state.protectedMode() ? state.cpl : 0;
    int mask = UNPRIVILEGED;
    if (cpl <= state.iopl()) {
      mask |= Flags.IF;
    }
    if (cpl == 0) {
      mask |= Flags.IOPL;
    }
    if (width >= 32) {
      mask |= Flags.AC | Flags.ID;
      if (!virtual) {
        // VIP and VIF are cleared except in virtual-8086 mode.
        state.systemFlags &= ~(Flags.VIF | Flags.VIP);
      }
    }
    loadFlags(state, value & ~(long) Flags.RF, mask | Flags.RF);
  }

  private static void loadFlags(ProcessorState state, long value, int mask) {
    state.setRflags(state.rflags() & ~(long) mask | value & mask);
  }
}
