package dev.ringfence.machine.cpu;

import dev.ringfence.machine.interrupt.EventDelivery;

/**
 * What happens between two instructions when flags, shadows or breakpoints ask for it (SDM volume
 * 3, sections 6.9 and 17.3). An executor runs blocks freely while {@link #mustStep} is false;
 * otherwise it runs one instruction between {@link #begin} and {@link #end}.
 */
public final class InstructionBoundary {
  private InstructionBoundary() {}

  /** Whether the next instruction must be executed alone, between begin and end. */
  public static boolean mustStep(ProcessorState state) {
    return (state.systemFlags & (Flags.TF | Flags.RF)) != 0
        || state.interruptShadow
        || state.debugPending != 0
        || (state.dr7 & 0xff) != 0;
  }

  /**
   * Whether a repeated string instruction must stop after each element: traps come after every
   * iteration (SDM volume 3, sections 17.3.1.2 and 17.3.1.4).
   */
  public static boolean trapsEachElement(ProcessorState state) {
    return state.flag(Flags.TF) || DebugRegisters.enabled(state);
  }

  /** Whether a maskable interrupt may be taken now, as far as this processor's flags go. */
  public static boolean interruptsEnabled(ProcessorState state) {
    return (state.systemFlags & Flags.IF) != 0 && !state.interruptShadow;
  }

  /** Whether a non-maskable interrupt may be taken now. */
  public static boolean nonMaskableEnabled(ProcessorState state) {
    return !state.nonMaskableBlocked && !state.interruptShadow;
  }

  /**
   * Before an instruction: delivers traps that are due and raises instruction breakpoints.
   *
   * @return what {@link #end} needs to know
   * @throws ProcessorException #DB as a fault, for the executor to deliver
   */
  public static int begin(Processor processor) {
    ProcessorState state = processor.state();
    deliverTraps(processor);
    if ((state.systemFlags & Flags.RF) == 0 && !state.debugShadow) {
      long base = state.code64() ? 0 : state.segmentBase(SegmentRegister.CS);
      long linear = Segmentation.systemAddress(state, base + state.rip);
      if (DebugRegisters.instructionBreakpoint(state, linear)) {
        throw ProcessorException.of(ProcessorException.DEBUG);
      }
    }
    int before = state.systemFlags & (Flags.TF | Flags.RF);
    state.interruptShadow = false;
    state.debugShadow = false;
    state.flagsLoaded = false;
    state.stepSuppressed = false;
    return before;
  }

  /**
   * After an instruction that completed: RF ends, and single-step and data breakpoint traps are
   * delivered.
   *
   * @param before what {@link #begin} returned
   */
  public static void end(Processor processor, int before) {
    ProcessorState state = processor.state();
    if ((before & Flags.RF) != 0 && !state.flagsLoaded) {
      state.systemFlags &= ~Flags.RF;
    }
    if ((before & Flags.TF) != 0 && !state.stepSuppressed && !state.debugShadow) {
      state.debugPending |= DebugRegisters.DR6_BS;
    }
    deliverTraps(processor);
  }

  /**
   * Delivers debug traps that wait: before interrupts, which they precede (SDM volume 3, table
   * 6-2).
   */
  public static void deliverTraps(Processor processor) {
    ProcessorState state = processor.state();
    if (state.debugPending != 0 && !state.debugShadow) {
      EventDelivery.raise(processor, ProcessorException.of(ProcessorException.DEBUG));
    }
  }
}
