package dev.ringfence.machine.cpu;

import dev.ringfence.machine.probe.Probe;

/** SYSCALL, SYSRET, SYSENTER and SYSEXIT (SDM volume 2; volume 3, section 5.8.7). */
public final class SystemCalls {
  /** Flat code segments: present, accessed, readable, with 4-KByte granularity. */
  private static final int CODE64_RING0 = 0xa09b;

  private static final int CODE32_RING0 = 0xc09b;
  private static final int DATA_RING0 = 0xc093;
  private static final int CODE64_RING3 = 0xa0fb;
  private static final int CODE32_RING3 = 0xc0fb;
  private static final int DATA_RING3 = 0xc0f3;

  private SystemCalls() {}

  /**
   * SYSCALL. Intel processors know it in 64-bit mode only, those of AMD in compatibility mode, too
   * (APM volume 3). They also know it in legacy mode; no 64-bit kernel uses that, and here it is
   * #UD.
   */
  public static void call(Processor processor) {
    ProcessorState state = processor.state();
    boolean valid = state.code64() || processor.model().isAmd() && state.longMode();
    if ((state.efer & ControlBits.EFER_SCE) == 0 || !valid) {
      throw ProcessorException.invalidOpcode();
    }
    long target = state.code64() ? state.lstar : state.cstar;
    state.r[Slot.RCX] = state.rip;
    state.r[Slot.R11] = state.rflags() & ~(long) Flags.RF;
    state.rip = target;
    state.setRflags(state.r[Slot.R11] & ~state.fmask);
    // With TF in IA32_FMASK a debugger that steps user code does not see the kernel's first steps.
    state.stepSuppressed = !state.flag(Flags.TF);
    int selector = (int) (state.star >>> 32) & 0xffff;
    Segmentation.setFlat(state, SegmentRegister.CS, selector & 0xfffc, CODE64_RING0);
    Segmentation.setFlat(state, SegmentRegister.SS, selector + 8, DATA_RING0);
    enterKernel(processor);
  }

  private static void enterKernel(Processor processor) {
    boolean fromUser = processor.state().cpl == 3;
    processor.state().cpl = 0;
    Probe probe = processor.probe();
    if (probe != null && fromUser) {
      probe.kernelEntered(processor, Probe.Entry.SYSTEM_CALL, -1);
    }
  }

  private static void leaveKernel(Processor processor) {
    processor.state().cpl = 3;
    Probe probe = processor.probe();
    if (probe != null) {
      probe.kernelLeft(processor);
    }
  }

  /** SYSRET. */
  public static void sysret(Processor processor, boolean to64) {
    ProcessorState state = processor.state();
    if ((state.efer & ControlBits.EFER_SCE) == 0 || !state.code64()) {
      throw ProcessorException.invalidOpcode();
    }
    if (state.cpl != 0 || to64 && !ProcessorState.canonical(state.r[Slot.RCX])) {
      throw ProcessorException.generalProtection();
    }
    int selector = (int) (state.star >>> 48) & 0xffff;
    if (to64) {
      state.rip = state.r[Slot.RCX];
      Segmentation.setFlat(state, SegmentRegister.CS, selector + 16 | 3, CODE64_RING3);
    } else {
      state.rip = state.r[Slot.RCX] & 0xffffffffL;
      Segmentation.setFlat(state, SegmentRegister.CS, selector | 3, CODE32_RING3);
    }
    Segmentation.setFlat(state, SegmentRegister.SS, selector + 8 | 3, DATA_RING3);
    state.setRflags(state.r[Slot.R11] & 0x3c7fd7);
    leaveKernel(processor);
    if (state.flag(Flags.TF)) {
      // The trap comes at once, as if the SYSCALL had just completed.
      state.debugPending |= DebugRegisters.DR6_BS;
    }
  }

  /** SYSENTER. */
  public static void enter(Processor processor) {
    ProcessorState state = processor.state();
    requireSystemEnter(processor);
    if (!state.protectedMode() || (state.sysenterCs & 0xfffc) == 0) {
      throw ProcessorException.generalProtection();
    }
    boolean longMode = state.longMode();
    state.systemFlags &= ~(Flags.VM | Flags.IF | Flags.RF);
    state.r[Slot.RSP] = longMode ? state.sysenterEsp : state.sysenterEsp & 0xffffffffL;
    state.rip = longMode ? state.sysenterEip : state.sysenterEip & 0xffffffffL;
    int selector = (int) state.sysenterCs & 0xfffc;
    Segmentation.setFlat(
        state, SegmentRegister.CS, selector, longMode ? CODE64_RING0 : CODE32_RING0);
    Segmentation.setFlat(state, SegmentRegister.SS, selector + 8, DATA_RING0);
    enterKernel(processor);
  }

  /** AMD has SYSENTER and SYSEXIT in legacy mode only (APM volume 3). */
  private static void requireSystemEnter(Processor processor) {
    if (processor.model().isAmd() && processor.state().longMode()) {
      throw ProcessorException.invalidOpcode();
    }
  }

  /** SYSEXIT. */
  public static void exit(Processor processor, boolean to64) {
    ProcessorState state = processor.state();
    requireSystemEnter(processor);
    if (!state.protectedMode()
        || (state.sysenterCs & 0xfffc) == 0
        || state.cpl != 0
        || to64
            && !(ProcessorState.canonical(state.r[Slot.RCX])
                && ProcessorState.canonical(state.r[Slot.RDX]))) {
      throw ProcessorException.generalProtection();
    }
    int selector = (int) state.sysenterCs & 0xfffc;
    long mask = to64 ? -1 : 0xffffffffL;
    state.r[Slot.RSP] = state.r[Slot.RCX] & mask;
    state.rip = state.r[Slot.RDX] & mask;
    Segmentation.setFlat(
        state,
        SegmentRegister.CS,
        selector + (to64 ? 32 : 16) | 3,
        to64 ? CODE64_RING3 : CODE32_RING3);
    Segmentation.setFlat(state, SegmentRegister.SS, selector + (to64 ? 40 : 24) | 3, DATA_RING3);
    leaveKernel(processor);
  }
}
