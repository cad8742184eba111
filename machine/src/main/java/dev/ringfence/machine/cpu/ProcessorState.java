package dev.ringfence.machine.cpu;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;

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

  /**
   * Values of the model-specific registers that have no field of their own, in the order of {@link
   * ModelSpecificRegisters}.
   */
  public final long[] modelSpecific = new long[ModelSpecificRegisters.STORED];

  /** State of the generator behind RDRAND and RDSEED; the machine seeds it. */
  public long randomState;

  /** Halted by HLT (or MWAIT): waits for an interrupt. */
  public boolean halted;

  /** Waits for INIT or a start-up message, as application processors do after reset. */
  public boolean waitsForStartup;

  /** NMIs are blocked until the next IRET. */
  public boolean nonMaskableBlocked;

  /** Interrupts are held off until the next instruction has executed, after STI or a load of SS. */
  public boolean interruptShadow;

  /** Beside {@link #interruptShadow}, after a load of SS: debug exceptions are held off too. */
  public boolean debugShadow;

  /** Debug conditions that were met and not delivered yet, in the layout of DR6. */
  public long debugPending;

  /** The instruction just executed loaded RF, so that it does not end with the instruction. */
  public boolean flagsLoaded;

  /** The instruction just executed does not end in a single-step trap though TF was set. */
  public boolean stepSuppressed;

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

  /** Becomes equal to another state: for an executor that runs on a copy. */
  public void copyFrom(ProcessorState other) {
    System.arraycopy(other.r, 0, r, 0, r.length);
    rip = other.rip;
    flagResult = other.flagResult;
    flagAuxiliary = other.flagAuxiliary;
    systemFlags = other.systemFlags;
    System.arraycopy(other.selector, 0, selector, 0, selector.length);
    System.arraycopy(other.limit, 0, limit, 0, limit.length);
    System.arraycopy(other.access, 0, access, 0, access.length);
    ldtrBase = other.ldtrBase;
    trBase = other.trBase;
    gdtrBase = other.gdtrBase;
    gdtrLimit = other.gdtrLimit;
    idtrBase = other.idtrBase;
    idtrLimit = other.idtrLimit;
    cpl = other.cpl;
    cr0 = other.cr0;
    cr2 = other.cr2;
    cr3 = other.cr3;
    cr4 = other.cr4;
    efer = other.efer;
    xcr0 = other.xcr0;
    System.arraycopy(
        other.pageDirectoryPointers, 0, pageDirectoryPointers, 0, pageDirectoryPointers.length);
    System.arraycopy(other.debugAddress, 0, debugAddress, 0, debugAddress.length);
    dr6 = other.dr6;
    dr7 = other.dr7;
    System.arraycopy(other.x87Exponents, 0, x87Exponents, 0, x87Exponents.length);
    x87Control = other.x87Control;
    x87Status = other.x87Status;
    x87Top = other.x87Top;
    x87Empty = other.x87Empty;
    x87Opcode = other.x87Opcode;
    x87InstructionPointer = other.x87InstructionPointer;
    x87InstructionSelector = other.x87InstructionSelector;
    x87DataPointer = other.x87DataPointer;
    x87DataSelector = other.x87DataSelector;
    mxcsr = other.mxcsr;
    star = other.star;
    lstar = other.lstar;
    cstar = other.cstar;
    fmask = other.fmask;
    kernelGsBase = other.kernelGsBase;
    sysenterCs = other.sysenterCs;
    sysenterEsp = other.sysenterEsp;
    sysenterEip = other.sysenterEip;
    tscAux = other.tscAux;
    tscOffset = other.tscOffset;
    tscAdjust = other.tscAdjust;
    System.arraycopy(other.modelSpecific, 0, modelSpecific, 0, modelSpecific.length);
    randomState = other.randomState;
    halted = other.halted;
    waitsForStartup = other.waitsForStartup;
    nonMaskableBlocked = other.nonMaskableBlocked;
    interruptShadow = other.interruptShadow;
    debugShadow = other.debugShadow;
    debugPending = other.debugPending;
    flagsLoaded = other.flagsLoaded;
    stepSuppressed = other.stepSuppressed;
  }

  /** Writes everything that the processor's future depends on. */
  public void save(StateWriter out) {
    out.writeLongs(r);
    out.writeLong(rip);
    out.writeLong(flagResult);
    out.writeLong(flagAuxiliary);
    out.writeInt(systemFlags);
    out.writeInts(selector);
    out.writeLongs(limit);
    out.writeInts(access);
    out.writeLongs(new long[] {ldtrBase, trBase, gdtrBase, gdtrLimit, idtrBase, idtrLimit, cpl});
    out.writeLongs(new long[] {cr0, cr2, cr3, cr4, efer, xcr0});
    out.writeLongs(pageDirectoryPointers);
    out.writeLongs(debugAddress);
    out.writeLongs(new long[] {dr6, dr7, debugPending});
    for (short exponent : x87Exponents) {
      out.writeInt(exponent);
    }
    out.writeInts(
        new int[] {
          x87Control,
          x87Status,
          x87Top,
          x87Empty,
          x87Opcode,
          x87InstructionSelector,
          x87DataSelector,
          mxcsr
        });
    out.writeLong(x87InstructionPointer);
    out.writeLong(x87DataPointer);
    out.writeLongs(
        new long[] {
          star,
          lstar,
          cstar,
          fmask,
          kernelGsBase,
          sysenterCs,
          sysenterEsp,
          sysenterEip,
          tscAux,
          tscOffset,
          tscAdjust,
          randomState
        });
    out.writeLongs(modelSpecific);
    out.writeBoolean(halted);
    out.writeBoolean(waitsForStartup);
    out.writeBoolean(nonMaskableBlocked);
    out.writeBoolean(interruptShadow);
    out.writeBoolean(debugShadow);
    out.writeBoolean(flagsLoaded);
    out.writeBoolean(stepSuppressed);
  }

  /**
   * Reads what {@link #save} wrote. Afterwards the processor's memory must drop its translations.
   */
  public void restore(StateReader in) {
    in.readLongs(r);
    rip = in.readLong();
    flagResult = in.readLong();
    flagAuxiliary = in.readLong();
    systemFlags = in.readInt() & Flags.SYSTEM;
    in.readInts(selector);
    in.readLongs(limit);
    in.readInts(access);
    long[] system = new long[7];
    in.readLongs(system);
    ldtrBase = system[0];
    trBase = system[1];
    gdtrBase = system[2];
    gdtrLimit = (int) system[3] & 0xffff;
    idtrBase = system[4];
    idtrLimit = (int) system[5] & 0xffff;
    cpl = (int) system[6] & 3;
    long[] control = new long[6];
    in.readLongs(control);
    cr0 = control[0];
    cr2 = control[1];
    cr3 = control[2];
    cr4 = control[3];
    efer = control[4];
    xcr0 = control[5];
    in.readLongs(pageDirectoryPointers);
    in.readLongs(debugAddress);
    long[] debug = new long[3];
    in.readLongs(debug);
    dr6 = debug[0];
    dr7 = debug[1];
    debugPending = debug[2];
    restoreX87(in);
    long[] calls = new long[12];
    in.readLongs(calls);
    star = calls[0];
    lstar = calls[1];
    cstar = calls[2];
    fmask = calls[3];
    kernelGsBase = calls[4];
    sysenterCs = calls[5];
    sysenterEsp = calls[6];
    sysenterEip = calls[7];
    tscAux = calls[8];
    tscOffset = calls[9];
    tscAdjust = calls[10];
    randomState = calls[11];
    in.readLongs(modelSpecific);
    halted = in.readBoolean();
    waitsForStartup = in.readBoolean();
    nonMaskableBlocked = in.readBoolean();
    interruptShadow = in.readBoolean();
    debugShadow = in.readBoolean();
    flagsLoaded = in.readBoolean();
    stepSuppressed = in.readBoolean();
    // Whatever a damaged snapshot holds, operands without a register read as zero.
    r[Slot.ZERO] = 0;
  }

  private void restoreX87(StateReader in) {
    for (int i = 0; i < x87Exponents.length; i++) {
      x87Exponents[i] = (short) in.readInt();
    }
    int[] values = new int[8];
    in.readInts(values);
    x87Control = values[0];
    x87Status = values[1];
    x87Top = values[2] & 7;
    x87Empty = values[3] & 0xff;
    x87Opcode = values[4];
    x87InstructionSelector = values[5];
    x87DataSelector = values[6];
    mxcsr = values[7];
    x87InstructionPointer = in.readLong();
    x87DataPointer = in.readLong();
  }
}
