package dev.ringfence.machine.virtualization;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.ModelSpecificRegisters;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.probe.Probe;

/** A VM entry after its checks: loading the guest's state (SDM volume 3, section 27.3). */
final class EntryTransition {
  /** Bits of the interruptibility state. */
  static final int BLOCKED_BY_STI = 1;

  static final int BLOCKED_BY_MOV_SS = 1 << 1;
  static final int BLOCKED_BY_NMI = 1 << 3;

  /** Activity state: the processor has executed HLT. */
  static final int ACTIVITY_HLT = 1;

  /** Bits of CR0 that entries and exits leave: ET, NW, CD (SDM sections 27.3.2.1 and 28.5.1). */
  static final long CR0_KEPT = ControlBits.CR0_ET | ControlBits.CR0_NW | ControlBits.CR0_CD;

  private static final int IA32_FS_BASE = 0xc0000100;
  private static final int IA32_GS_BASE = 0xc0000101;
  private static final int X2APIC_FIRST = 0x800;
  private static final int X2APIC_LAST = 0x8ff;

  private final Processor processor;
  private final ProcessorState state;
  private final Vmx vmx;
  private final Vmcs vmcs;
  private final int controls;

  EntryTransition(Processor processor) {
    this.processor = processor;
    this.state = processor.state();
    this.vmx = processor.vmx();
    this.vmcs = vmx.vmcs();
    this.controls = vmcs.readInt(VmcsField.ENTRY_CONTROLS);
  }

  private boolean has(int control) {
    return (controls & control) != 0;
  }

  /** Enters the virtual machine, whose state has been checked. */
  void enter() {
    Probe probe = processor.probe();
    if (probe != null) {
      probe.machineEntered(processor);
    }
    loadGuest();
    int failed = loadRegisters();
    if (failed != 0) {
      new ExitTransition(processor, vmcs).failEntry(ExitReason.MSR_LOADING, failed);
      if (probe != null) {
        probe.machineLeft(processor, ExitReason.MSR_LOADING);
      }
      return;
    }
    vmx.begin();
    boolean tagged = Vmx.usesVpid(vmcs);
    if (!tagged) {
      processor.memory().invalidateAll();
    }
    processor
        .memory()
        .enterGuest(
            tagged ? vmcs.readInt(VmcsField.VIRTUAL_PROCESSOR_IDENTIFIER) : 0,
            vmx.extendedPaging() ? vmcs.read(VmcsField.EPT_POINTER) : 0);
    processor.afterSystemInstruction();
  }

  private void loadGuest() {
    long breakpoints = state.dr7;
    state.cr0 = vmcs.read(VmcsField.GUEST_CR0) & ~CR0_KEPT | state.cr0 & CR0_KEPT;
    state.cr3 = vmcs.read(VmcsField.GUEST_CR3);
    state.cr4 = vmcs.read(VmcsField.GUEST_CR4);
    if (has(Controls.LOAD_DEBUG_CONTROLS)) {
      state.dr7 = vmcs.read(VmcsField.GUEST_DR7) & 0xffff2fffL | 0x400;
    }
    state.sysenterCs = vmcs.read(VmcsField.GUEST_SYSENTER_CS);
    state.sysenterEsp = vmcs.read(VmcsField.GUEST_SYSENTER_ESP);
    state.sysenterEip = vmcs.read(VmcsField.GUEST_SYSENTER_EIP);
    if (has(Controls.LOAD_GUEST_EFER)) {
      state.efer = vmcs.read(VmcsField.GUEST_EFER);
    } else {
      long mode = ControlBits.EFER_LMA;
      if ((state.cr0 & ControlBits.CR0_PG) != 0) {
        mode |= ControlBits.EFER_LME;
      }
      state.efer = has(Controls.IA32E_MODE_GUEST) ? state.efer | mode : state.efer & ~mode;
    }
    if (has(Controls.LOAD_GUEST_PAT)) {
      ModelSpecificRegisters.setPat(state, vmcs.read(VmcsField.GUEST_PAT));
    }
    for (int segment = SegmentRegister.ES; segment <= SegmentRegister.TR; segment++) {
      state.selector[segment] = vmcs.readInt(VmcsField.GUEST_ES_SELECTOR.plus(segment));
      state.setSegmentBase(segment, vmcs.read(VmcsField.GUEST_ES_BASE.plus(segment)));
      state.limit[segment] = vmcs.read(VmcsField.GUEST_ES_LIMIT.plus(segment));
      state.access[segment] = vmcs.readInt(VmcsField.GUEST_ES_ACCESS_RIGHTS.plus(segment));
    }
    state.gdtrBase = vmcs.read(VmcsField.GUEST_GDTR_BASE);
    state.gdtrLimit = vmcs.readInt(VmcsField.GUEST_GDTR_LIMIT) & 0xffff;
    state.idtrBase = vmcs.read(VmcsField.GUEST_IDTR_BASE);
    state.idtrLimit = vmcs.readInt(VmcsField.GUEST_IDTR_LIMIT) & 0xffff;
    state.r[Slot.RSP] = vmcs.read(VmcsField.GUEST_RSP);
    state.rip = vmcs.read(VmcsField.GUEST_RIP);
    state.setRflags(vmcs.read(VmcsField.GUEST_RFLAGS));
    state.cpl = state.access[SegmentRegister.SS] >>> SegmentRegister.DPL_SHIFT & 3;
    loadPageDirectoryPointers();
    int blocked = vmcs.readInt(VmcsField.GUEST_INTERRUPTIBILITY);
    state.interruptShadow = (blocked & (BLOCKED_BY_STI | BLOCKED_BY_MOV_SS)) != 0;
    state.debugShadow = (blocked & BLOCKED_BY_MOV_SS) != 0;
    state.nonMaskableBlocked = (blocked & BLOCKED_BY_NMI) != 0;
    state.debugPending = vmcs.read(VmcsField.GUEST_PENDING_DEBUG_EXCEPTIONS) & 0x400f;
    state.halted = vmcs.readInt(VmcsField.GUEST_ACTIVITY) == ACTIVITY_HLT;
    changeBreakpoints(processor, breakpoints);
  }

  /**
   * Lets memory know if breakpoints are enabled now, or were with the value that DR7 had before.
   */
  static void changeBreakpoints(Processor processor, long before) {
    if (((before | processor.state().dr7) & 0xff) != 0) {
      processor.memory().breakpointsChanged();
    }
  }

  private void loadPageDirectoryPointers() {
    boolean pae =
        (state.cr0 & ControlBits.CR0_PG) != 0
            && (state.cr4 & ControlBits.CR4_PAE) != 0
            && !state.longMode();
    if (!pae) {
      return;
    }
    boolean extended = (Vmx.secondary(vmcs) & Controls.ENABLE_EPT) != 0;
    PhysicalMemory memory = processor.physical();
    for (int i = 0; i < 4; i++) {
      state.pageDirectoryPointers[i] =
          extended
              ? vmcs.read(VmcsField.GUEST_PDPTE0.plus(i))
              : memory.readLong((state.cr3 & 0xffffffe0L) + 8L * i);
    }
  }

  /** Loads the list of registers; returns the number of the one that could not be, or 0. */
  private int loadRegisters() {
    int count = vmcs.readInt(VmcsField.ENTRY_MSR_LOAD_COUNT);
    long at = vmcs.read(VmcsField.ENTRY_MSR_LOAD_ADDRESS);
    for (int i = 1; i <= count; i++, at += 16) {
      if (!loadRegister(processor, at)) {
        return i;
      }
    }
    return 0;
  }

  /** Loads the register of an entry of a list; false if that is not allowed (SDM section 27.4). */
  static boolean loadRegister(Processor processor, long entry) {
    PhysicalMemory memory = processor.physical();
    int register = memory.readInt(entry);
    if (register == IA32_FS_BASE
        || register == IA32_GS_BASE
        || register >= X2APIC_FIRST && register <= X2APIC_LAST
        || memory.readInt(entry + 4) != 0) {
      return false;
    }
    try {
      ModelSpecificRegisters.write(processor, register, memory.readLong(entry + 8));
      return true;
    } catch (ProcessorException e) {
      return false;
    }
  }
}
