package dev.ringfence.machine.cpu;

/** State after power-up, reset, INIT and a start-up message (SDM volume 3, table 9-1). */
public final class ProcessorReset {
  private static final int DATA_ACCESS = 0x93;
  private static final int CODE_ACCESS = 0x9b;
  private static final int LDT_ACCESS = 0x82;
  private static final int TSS_ACCESS = 0x8b;

  private ProcessorReset() {}

  /** Power-up and reset. An application processor then waits for a start-up message. */
  public static void powerUp(Processor processor) {
    ProcessorState state = processor.state();
    state.cr0 = ControlBits.CR0_CD | ControlBits.CR0_NW | ControlBits.CR0_ET;
    initialize(processor);
    ModelSpecificRegisters.reset(state, processor.model());
    state.efer = 0;
    state.star = 0;
    state.lstar = 0;
    state.cstar = 0;
    state.fmask = 0;
    state.kernelGsBase = 0;
    state.sysenterCs = 0;
    state.sysenterEsp = 0;
    state.sysenterEip = 0;
    state.tscAux = 0;
    state.tscOffset = 0;
    state.tscAdjust = 0;
    state.xcr0 = 1;
    state.mxcsr = 0x1f80;
    for (int i = Slot.VECTOR; i < Slot.VECTOR_TEMPORARY; i++) {
      state.r[i] = 0;
    }
    for (int i = 0; i < 8; i++) {
      state.r[Slot.X87 + i] = 0;
      state.x87Exponents[i] = 0;
    }
    state.x87Control = 0x40;
    state.x87Status = 0;
    state.x87Top = 0;
    // Tag word 5555H: all registers hold zero, none is empty.
    state.x87Empty = 0;
    state.x87Opcode = 0;
    state.x87InstructionPointer = 0;
    state.x87InstructionSelector = 0;
    state.x87DataPointer = 0;
    state.x87DataSelector = 0;
    state.waitsForStartup = processor.index() != 0;
    processor.vmx().reset();
  }

  /**
   * INIT: like reset, but x87, SSE and most model-specific registers, the time-stamp counter and
   * the CD and NW bits of CR0 stay.
   */
  public static void init(Processor processor) {
    initialize(processor);
    processor.state().efer = 0;
    processor.state().waitsForStartup = processor.index() != 0;
    processor.memory().invalidateAll();
    processor.memory().breakpointsChanged();
    processor.memory().contextChanged();
  }

  /** The start-up message: real-address mode at {@code vector << 12}. */
  public static void startUp(Processor processor, int vector) {
    ProcessorState state = processor.state();
    if (!state.waitsForStartup) {
      return;
    }
    state.waitsForStartup = false;
    Segmentation.loadReal(state, SegmentRegister.CS, vector << 8);
    state.rip = 0;
  }

  private static void initialize(Processor processor) {
    ProcessorState state = processor.state();
    for (int i = 0; i <= Slot.R15; i++) {
      state.r[i] = 0;
    }
    state.r[Slot.RDX] = processor.model().signature();
    state.setRflags(Flags.ALWAYS_SET);
    state.cr0 = state.cr0 & (ControlBits.CR0_CD | ControlBits.CR0_NW) | ControlBits.CR0_ET;
    state.cr2 = 0;
    state.cr3 = 0;
    state.cr4 = 0;
    state.cpl = 0;
    for (int segment = SegmentRegister.ES; segment <= SegmentRegister.TR; segment++) {
      set(state, segment, 0, 0, DATA_ACCESS);
    }
    set(state, SegmentRegister.CS, 0xf000, 0xffff0000L, CODE_ACCESS);
    set(state, SegmentRegister.LDTR, 0, 0, LDT_ACCESS);
    set(state, SegmentRegister.TR, 0, 0, TSS_ACCESS);
    state.rip = 0xfff0;
    state.gdtrBase = 0;
    state.gdtrLimit = 0xffff;
    state.idtrBase = 0;
    state.idtrLimit = 0xffff;
    for (int i = 0; i < 4; i++) {
      state.debugAddress[i] = 0;
      state.pageDirectoryPointers[i] = 0;
    }
    state.dr6 = DebugRegisters.DR6_RESET;
    state.dr7 = DebugRegisters.DR7_RESET;
    state.debugPending = 0;
    state.halted = false;
    state.nonMaskableBlocked = false;
    state.interruptShadow = false;
    state.debugShadow = false;
    state.flagsLoaded = false;
    state.stepSuppressed = false;
  }

  private static void set(ProcessorState state, int segment, int selector, long base, int access) {
    state.selector[segment] = selector;
    state.setSegmentBase(segment, base);
    state.limit[segment] = 0xffff;
    state.access[segment] = access;
  }
}
