package dev.ringfence.machine.cpu;

/**
 * Everything that software can see of one processor, apart from its local APIC. Fields are public
 * and plain: the executors read and write them at every instruction, and a speculative executor
 * runs on a copy.
 */
public final class ProcessorState {
  /** The register file; see {@link Slot}. */
  public final long[] r = new long[Slot.COUNT];

  /** RIP, EIP or IP (an offset into CS) of the next instruction; exact between instructions. */
  public long rip;

  /** Result word of the status flags; see {@link Flags}. */
  public long flagResult = 1;

  /** Auxiliary word of the status flags; see {@link Flags}. */
  public long flagAuxiliary;

  /** The flags of RFLAGS that are not status flags, at their places; see {@link Flags#SYSTEM}. */
  public int systemFlags;

  /** Selectors, by {@link SegmentRegister}. */
  public final int[] selector = new int[SegmentRegister.COUNT];

  /** Limits in bytes, granularity applied, as unsigned 32-bit numbers. */
  public final long[] limit = new long[SegmentRegister.COUNT];

  /** Access rights in the layout that {@link SegmentRegister} describes. */
  public final int[] access = new int[SegmentRegister.COUNT];

  public long ldtrBase;
  public long trBase;
  public long gdtrBase;
  public int gdtrLimit;
  public long idtrBase;
  public int idtrLimit;

  /** Current privilege level, 0 to 3. */
  public int cpl;

  public long cr0;
  public long cr2;
  public long cr3;
  public long cr4;
  public long efer;
  public long xcr0;

  /** The four PDPTE registers of PAE paging, loaded by MOV to CR3 (SDM volume 3, section 4.4.1). */
  public final long[] pageDirectoryPointers = new long[4];

  /** DR0 to DR3. */
  public final long[] debugAddress = new long[4];

  public long dr6;
  public long dr7;

  /**
   * Exponent (bits 14:0) and sign (bit 15) of the physical x87 registers; significands are at
   * {@link Slot#X87}.
   */
  public final short[] x87Exponents = new short[8];

  public int x87Control;

  /** Status word without TOP, which is {@link #x87Top}. */
  public int x87Status;

  public int x87Top;

  /** Bit n is set when physical register n is empty. */
  public int x87Empty;

  public int x87Opcode;
  public long x87InstructionPointer;
  public int x87InstructionSelector;
  public long x87DataPointer;
  public int x87DataSelector;
  public int mxcsr;

  /** IA32_STAR, IA32_LSTAR, IA32_CSTAR, IA32_FMASK. */
  public long star;

  public long lstar;
  public long cstar;
  public long fmask;
  public long kernelGsBase;
  public long sysenterCs;
  public long sysenterEsp;
  public long sysenterEip;
  public long tscAux;

  /**
   * What is added to the machine's time-stamp counter for this processor: IA32_TSC writes and
   * IA32_TSC_ADJUST.
   */
  public long tscOffset;

  public long tscAdjust;

  /** Halted by HLT (or MWAIT): waits for an interrupt. */
  public boolean halted;

  /** Waits for INIT or a start-up message, as application processors do after reset. */
  public boolean waitsForStartup;

  /** NMIs are blocked until the next IRET. */
  public boolean nonMaskableBlocked;

  /** Interrupts are held off until the next instruction has executed, after STI or a load of SS. */
  public boolean interruptShadow;

  /** RFLAGS. */
  public long rflags() {
    return Flags.status(flagResult, flagAuxiliary) | systemFlags | Flags.ALWAYS_SET;
  }

  /** Sets RFLAGS; bits that do not exist are ignored. */
  public void setRflags(long value) {
    setStatusFlags((int) value & Flags.STATUS);
    systemFlags = (int) value & Flags.SYSTEM;
  }

  /** Sets the six status flags and leaves the others. */
  public void setStatusFlags(int status) {
    flagResult = Flags.resultOf(status);
    flagAuxiliary = Flags.auxiliaryOf(status);
  }

  public int statusFlags() {
    return Flags.status(flagResult, flagAuxiliary);
  }

  public boolean flag(int mask) {
    return (systemFlags & mask) != 0;
  }

  public int iopl() {
    return systemFlags >>> 12 & 3;
  }

  public long segmentBase(int segmentRegister) {
    return switch (segmentRegister) {
      case SegmentRegister.LDTR -> ldtrBase;
      case SegmentRegister.TR -> trBase;
      default -> r[Slot.SEGMENT_BASE + segmentRegister];
    };
  }

  public void setSegmentBase(int segmentRegister, long base) {
    switch (segmentRegister) {
      case SegmentRegister.LDTR -> ldtrBase = base;
      case SegmentRegister.TR -> trBase = base;
      default -> r[Slot.SEGMENT_BASE + segmentRegister] = base;
    }
  }

  public boolean protectedMode() {
    return (cr0 & ControlBits.CR0_PE) != 0;
  }

  /** IA-32e mode is active: 64-bit or compatibility mode. */
  public boolean longMode() {
    return (efer & ControlBits.EFER_LMA) != 0;
  }

  public boolean virtual8086() {
    return (systemFlags & Flags.VM) != 0;
  }

  public boolean code64() {
    return longMode() && (access[SegmentRegister.CS] & SegmentRegister.LONG_MODE_CODE) != 0;
  }

  /** Default width of code: 16, 32 or 64. */
  public int codeWidth() {
    if (code64()) {
      return 64;
    }
    return (access[SegmentRegister.CS] & SegmentRegister.DEFAULT_BIG) != 0 ? 32 : 16;
  }

  /** Width of stack pointers: 16, 32 or 64. */
  public int stackWidth() {
    if (code64()) {
      return 64;
    }
    return (access[SegmentRegister.SS] & SegmentRegister.DEFAULT_BIG) != 0 ? 32 : 16;
  }

  /** Whether a linear address is canonical for 48-bit addresses. */
  public static boolean canonical(long linear) {
    return linear << 16 >> 16 == linear;
  }
}
