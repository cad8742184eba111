package dev.ringfence.machine.cpu;

import dev.ringfence.machine.paging.LinearMemory;
import dev.ringfence.machine.virtualization.Interception;

/**
 * Writes to control registers, XCR0 and IA32_EFER: reserved bits, mode changes and the translations
 * that they invalidate (SDM volume 3, sections 2.5, 4.1 and 4.10.4.1; SDM volume 2, MOV CRn).
 *
 * <p>The executor calls {@link LinearMemory#contextChanged} after the instruction.
 */
public final class ControlRegisters {
  private static final long CR0_DEFINED =
      ControlBits.CR0_PE
          | ControlBits.CR0_MP
          | ControlBits.CR0_EM
          | ControlBits.CR0_TS
          | ControlBits.CR0_ET
          | ControlBits.CR0_NE
          | ControlBits.CR0_WP
          | ControlBits.CR0_AM
          | ControlBits.CR0_NW
          | ControlBits.CR0_CD
          | ControlBits.CR0_PG;

  /** Bits of MOV to CR0 that reload the page-directory-pointer-table entries. */
  private static final long CR0_RELOADS_PDPTE =
      ControlBits.CR0_PG | ControlBits.CR0_CD | ControlBits.CR0_NW;

  private static final long CR4_RELOADS_PDPTE =
      ControlBits.CR4_PAE | ControlBits.CR4_PGE | ControlBits.CR4_PSE | ControlBits.CR4_SMEP;

  /** CR4 bits of which a change drops all translations, global ones too. */
  private static final long CR4_INVALIDATES =
      ControlBits.CR4_PAE | ControlBits.CR4_PGE | ControlBits.CR4_PSE;

  /** Bit 63 of the source of MOV to CR3: do not invalidate. */
  private static final long CR3_NO_INVALIDATION = 1L << 63;

  private static final int PCID_MASK = 0xfff;

  /** P, PWT, PCD and AVL of a page-directory-pointer-table entry (SDM table 4-8). */
  private static final long PDPTE_RESERVED_LOW = 0x1e6;

  private ControlRegisters() {}

  /** The PCID that tags translations now: CR3 11:0, or 0 while CR4.PCIDE is clear. */
  public static int currentPcid(ProcessorState state) {
    return (state.cr4 & ControlBits.CR4_PCIDE) != 0 ? (int) state.cr3 & PCID_MASK : 0;
  }

  /** MOV to CR0. */
  public static void writeCr0(Processor processor, long value) {
    ProcessorState state = processor.state();
    processor.vmx().checkCr0(value);
    if (value >>> 32 != 0
        || (value & (ControlBits.CR0_PG | ControlBits.CR0_PE)) == ControlBits.CR0_PG
        || (value & (ControlBits.CR0_NW | ControlBits.CR0_CD)) == ControlBits.CR0_NW) {
      throw ProcessorException.generalProtection();
    }
    long next = value & CR0_DEFINED | ControlBits.CR0_ET;
    long changed = next ^ state.cr0;
    boolean paging = (next & ControlBits.CR0_PG) != 0;
    boolean pagingChanged = (changed & ControlBits.CR0_PG) != 0;
    if (pagingChanged) {
      checkPagingChange(state, paging);
    }
    boolean enters = pagingChanged && paging && (state.efer & ControlBits.EFER_LME) != 0;
    boolean longMode = enters || state.longMode() && !(pagingChanged && !paging);
    if (paging
        && !longMode
        && (state.cr4 & ControlBits.CR4_PAE) != 0
        && (changed & CR0_RELOADS_PDPTE) != 0) {
      loadPageDirectoryPointers(processor, state.cr3);
    }
    state.cr0 = next;
    if (longMode) {
      state.efer |= ControlBits.EFER_LMA;
    } else {
      state.efer &= ~ControlBits.EFER_LMA;
    }
    if (pagingChanged) {
      processor.memory().invalidateAll();
    }
    if ((changed & ControlBits.CR0_PE) != 0) {
      // CPL is the RPL of CS in protected mode; real-mode code runs at CPL 0 whatever CS holds.
      state.cpl = 0;
    }
  }

  private static void checkPagingChange(ProcessorState state, boolean paging) {
    if (paging && (state.efer & ControlBits.EFER_LME) != 0) {
      boolean codeIsLong = (state.access[SegmentRegister.CS] & SegmentRegister.LONG_MODE_CODE) != 0;
      boolean task16 = (state.access[SegmentRegister.TR] & 0x8d) == 0x81;
      if ((state.cr4 & ControlBits.CR4_PAE) == 0 || codeIsLong || task16) {
        throw ProcessorException.generalProtection();
      }
    }
    if (!paging && (state.code64() || (state.cr4 & ControlBits.CR4_PCIDE) != 0)) {
      throw ProcessorException.generalProtection();
    }
  }

  /** LMSW: the low four bits of CR0; PE can be set but not cleared. */
  public static void writeMachineStatusWord(Processor processor, long value) {
    long cr0 = processor.state().cr0;
    writeCr0(processor, cr0 & ~0xeL | value & 0xf);
  }

  /** MOV to CR3. */
  public static void writeCr3(Processor processor, long value) {
    ProcessorState state = processor.state();
    long next = value;
    boolean invalidate = true;
    if ((state.cr4 & ControlBits.CR4_PCIDE) != 0) {
      invalidate = (value & CR3_NO_INVALIDATION) == 0;
      next &= ~CR3_NO_INVALIDATION;
    }
    if (state.longMode()) {
      if ((next & ~processor.model().physicalAddressMask()) != 0) {
        throw ProcessorException.generalProtection();
      }
    } else {
      next &= 0xffffffffL;
      if (pageDirectoryPointersInUse(state)) {
        loadPageDirectoryPointers(processor, next);
      }
    }
    long before = state.cr3;
    state.cr3 = next;
    if (processor.probe() != null) {
      processor.probe().addressSpaceChanged(processor, before, next);
    }
    if (invalidate) {
      processor.memory().invalidatePcid(currentPcid(state));
    }
  }

  /** Loads CR3 from a TSS. */
  static void switchAddressSpace(Processor processor, long cr3) {
    ProcessorState state = processor.state();
    if (pageDirectoryPointersInUse(state)) {
      loadPageDirectoryPointers(processor, cr3);
    }
    state.cr3 = cr3;
    processor.memory().invalidatePcid(0);
  }

  private static boolean pageDirectoryPointersInUse(ProcessorState state) {
    return (state.cr0 & ControlBits.CR0_PG) != 0
        && (state.cr4 & ControlBits.CR4_PAE) != 0
        && !state.longMode();
  }

  /** Bits that are reserved in a page-directory-pointer-table entry that is present. */
  public static long reservedInPageDirectoryPointers(CpuModel model) {
    return PDPTE_RESERVED_LOW | ~model.physicalAddressMask();
  }

  /** Loads the four PDPTE registers of PAE paging (SDM volume 3, section 4.4.1). */
  private static void loadPageDirectoryPointers(Processor processor, long cr3) {
    long[] entries = new long[4];
    long reserved = reservedInPageDirectoryPointers(processor.model());
    for (int i = 0; i < 4; i++) {
      entries[i] = processor.memory().readPointer((cr3 & 0xffffffe0L) + 8L * i);
      if ((entries[i] & 1) != 0 && (entries[i] & reserved) != 0) {
        throw ProcessorException.generalProtection();
      }
    }
    System.arraycopy(entries, 0, processor.state().pageDirectoryPointers, 0, 4);
  }

  /** MOV to CR4. */
  public static void writeCr4(Processor processor, long value) {
    ProcessorState state = processor.state();
    if ((value & ~processor.model().cr4Mask()) != 0) {
      throw ProcessorException.generalProtection();
    }
    processor.vmx().checkCr4(value);
    long changed = value ^ state.cr4;
    boolean setsPcide = (changed & value & ControlBits.CR4_PCIDE) != 0;
    if (state.longMode() && (value & ControlBits.CR4_PAE) == 0
        || setsPcide && (!state.longMode() || (state.cr3 & PCID_MASK) != 0)) {
      throw ProcessorException.generalProtection();
    }
    boolean pae = (value & ControlBits.CR4_PAE) != 0;
    if ((state.cr0 & ControlBits.CR0_PG) != 0
        && pae
        && !state.longMode()
        && (changed & CR4_RELOADS_PDPTE) != 0) {
      loadPageDirectoryPointers(processor, state.cr3);
    }
    state.cr4 = value;
    boolean clearsPcide = (changed & ~value & ControlBits.CR4_PCIDE) != 0;
    boolean setsSmep = (changed & value & ControlBits.CR4_SMEP) != 0;
    if ((changed & CR4_INVALIDATES) != 0 || clearsPcide || setsSmep) {
      processor.memory().invalidateAll();
    }
  }

  /** MOV to CR8: the task priority. */
  public static void writeCr8(Processor processor, long value) {
    if (Interception.virtualTaskPriority(processor)) {
      Interception.writeTaskPriority(processor, value);
      return;
    }
    if (value >>> 4 != 0) {
      throw ProcessorException.generalProtection();
    }
    processor.apic().setTaskPriority((int) value);
  }

  /** Reads CR0, CR2, CR3, CR4 or CR8; #UD for others. */
  public static long read(Processor processor, int register) {
    ProcessorState state = processor.state();
    return switch (register) {
      case 0 -> processor.vmx().visibleCr0();
      case 2 -> state.cr2;
      case 3 -> state.cr3;
      case 4 -> processor.vmx().visibleCr4();
      case 8 ->
          Interception.virtualTaskPriority(processor)
              ? Interception.readTaskPriority(processor)
              : processor.apic().taskPriority();
      default -> throw ProcessorException.invalidOpcode();
    };
  }

  /** Writes CR0, CR2, CR3, CR4 or CR8; #UD for others. */
  public static void write(Processor processor, int register, long value) {
    switch (register) {
      case 0 -> writeCr0(processor, value);
      case 2 -> processor.state().cr2 = value;
      case 3 -> writeCr3(processor, value);
      case 4 -> writeCr4(processor, value);
      case 8 -> writeCr8(processor, value);
      default -> throw ProcessorException.invalidOpcode();
    }
  }

  /** XSETBV (SDM volume 1, section 13.3). */
  public static void writeExtendedControl(Processor processor, int register, long value) {
    if (register != 0 || (value & 1) == 0 || (value & ~processor.model().xcr0Mask()) != 0) {
      throw ProcessorException.generalProtection();
    }
    processor.state().xcr0 = value;
  }

  /** WRMSR to IA32_EFER. */
  static void writeEfer(Processor processor, long value) {
    ProcessorState state = processor.state();
    long changed = value ^ state.efer;
    if ((value & ~(processor.model().eferMask() | ControlBits.EFER_LMA)) != 0
        || (changed & ControlBits.EFER_LME) != 0 && (state.cr0 & ControlBits.CR0_PG) != 0) {
      throw ProcessorException.generalProtection();
    }
    state.efer = value & ~ControlBits.EFER_LMA | state.efer & ControlBits.EFER_LMA;
    if ((changed & ControlBits.EFER_NXE) != 0) {
      // Bit 63 of cached entries was read under the other meaning.
      processor.memory().invalidateAll();
    }
    if ((changed & ControlBits.EFER_AIBRSE) != 0) {
      processor.speculationControlChanged();
    }
  }

  /**
   * INVPCID (SDM volume 2).
   *
   * @param low the first quadword of the descriptor: PCID, and reserved bits
   */
  public static void invalidatePcid(Processor processor, long type, long low, long linear) {
    ProcessorState state = processor.state();
    LinearMemory memory = processor.memory();
    boolean noPcids = (state.cr4 & ControlBits.CR4_PCIDE) == 0;
    int pcid = (int) low & PCID_MASK;
    if (type < 0 || type > 3 || type < 2 && (low >>> 12 != 0 || noPcids && pcid != 0)) {
      throw ProcessorException.generalProtection();
    }
    switch ((int) type) {
      case 0 -> {
        if (!ProcessorState.canonical(linear)) {
          throw ProcessorException.generalProtection();
        }
        memory.invalidatePage(linear, pcid);
      }
      case 1 -> memory.invalidatePcid(pcid);
      case 2 -> memory.invalidateAll();
      default -> memory.invalidateAllButGlobal();
    }
  }
}
