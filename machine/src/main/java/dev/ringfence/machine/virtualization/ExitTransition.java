package dev.ringfence.machine.virtualization;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.DebugRegisters;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ModelSpecificRegisters;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interrupt.TripleFault;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.probe.Probe;

/** A VM exit: what it tells, saves and loads (SDM volume 3, chapter 28). */
final class ExitTransition {
  /** Access rights of the host's segments: flat, present, accessed. */
  private static final int CODE64 = 0xa09b;

  private static final int CODE32 = 0xc09b;
  private static final int DATA = 0xc093;
  private static final int TSS_BUSY = 0x8b;
  private static final int UNUSABLE = SegmentRegister.UNUSABLE;

  /** Abort indicator: an MSR could not be loaded (SDM section 28.7). */
  private static final int ABORT_MSR_LOAD = 4;

  private static final int ABORT_MSR_STORE = 1;

  private final Processor processor;
  private final ProcessorState state;
  private final PhysicalMemory memory;
  private final Vmx vmx;
  private final Vmcs vmcs;
  private final int controls;

  ExitTransition(Processor processor, Vmcs vmcs) {
    this.processor = processor;
    this.state = processor.state();
    this.memory = processor.physical();
    this.vmx = processor.vmx();
    this.vmcs = vmcs;
    this.controls = vmcs.readInt(VmcsField.EXIT_CONTROLS);
  }

  private boolean has(int control) {
    return (controls & control) != 0;
  }

  /**
   * The SDM leaves the length undefined at EPT misconfigurations (section 28.2.5). Processors give
   * it, and KVM relies on that: by it, it steps over stores to its fast devices
   * (handle_ept_misconfig and skip_emulated_instruction of arch/x86/kvm/vmx/vmx.c).
   */
  private int instructionLength(VmExit exit) {
    return exit.reason() == ExitReason.EPT_MISCONFIGURATION
        ? InterruptedInstruction.length(processor)
        : exit.instructionLength();
  }

  /** Leaves the virtual machine. */
  void leave(VmExit exit) {
    int interruption = exit.interruption();
    vmcs.write(VmcsField.EXIT_REASON, exit.reason());
    vmcs.write(VmcsField.EXIT_QUALIFICATION, exit.qualification());
    vmcs.write(VmcsField.EXIT_INTERRUPTION_INFORMATION, interruption);
    vmcs.write(VmcsField.EXIT_INTERRUPTION_ERROR_CODE, exit.interruptionErrorCode());
    vmcs.write(VmcsField.EXIT_INSTRUCTION_LENGTH, instructionLength(exit));
    vmcs.write(VmcsField.EXIT_INSTRUCTION_INFORMATION, exit.instructionInformation());
    vmcs.write(VmcsField.GUEST_LINEAR_ADDRESS, exit.linear());
    vmcs.write(VmcsField.GUEST_PHYSICAL_ADDRESS, exit.physical());
    vmx.saveVectoring(vmcs);
    vmcs.write(
        VmcsField.ENTRY_INTERRUPTION_INFORMATION,
        vmcs.read(VmcsField.ENTRY_INTERRUPTION_INFORMATION) & ~0x80000000L);
    saveGuest(exit, interruption);
    storeRegisters();
    Probe probe = processor.observer();
    vmx.end();
    loadHost();
    if (probe != null) {
      probe.machineLeft(processor, exit.reason());
    }
  }

  /** Goes back to the host because an entry failed: nothing of the guest is saved (SDM 27.8). */
  void failEntry(int reason, long qualification) {
    vmcs.write(VmcsField.EXIT_REASON, reason | ExitReason.ENTRY_FAILURE);
    vmcs.write(VmcsField.EXIT_QUALIFICATION, qualification);
    loadHost();
  }

  private void saveGuest(VmExit exit, int interruption) {
    vmcs.write(VmcsField.GUEST_CR0, state.cr0);
    vmcs.write(VmcsField.GUEST_CR3, state.cr3);
    vmcs.write(VmcsField.GUEST_CR4, state.cr4);
    if (has(Controls.SAVE_DEBUG_CONTROLS)) {
      vmcs.write(VmcsField.GUEST_DR7, state.dr7);
      vmcs.write(VmcsField.GUEST_DEBUGCTL, 0);
    }
    vmcs.write(VmcsField.GUEST_SYSENTER_CS, state.sysenterCs);
    vmcs.write(VmcsField.GUEST_SYSENTER_ESP, state.sysenterEsp);
    vmcs.write(VmcsField.GUEST_SYSENTER_EIP, state.sysenterEip);
    if (has(Controls.SAVE_PAT)) {
      vmcs.write(VmcsField.GUEST_PAT, ModelSpecificRegisters.pat(state));
    }
    if (has(Controls.SAVE_EFER)) {
      vmcs.write(VmcsField.GUEST_EFER, state.efer);
    }
    for (int segment = SegmentRegister.ES; segment <= SegmentRegister.TR; segment++) {
      vmcs.write(VmcsField.GUEST_ES_SELECTOR.plus(segment), state.selector[segment]);
      vmcs.write(VmcsField.GUEST_ES_BASE.plus(segment), state.segmentBase(segment));
      vmcs.write(VmcsField.GUEST_ES_LIMIT.plus(segment), state.limit[segment]);
      vmcs.write(VmcsField.GUEST_ES_ACCESS_RIGHTS.plus(segment), state.access[segment]);
    }
    vmcs.write(VmcsField.GUEST_GDTR_BASE, state.gdtrBase);
    vmcs.write(VmcsField.GUEST_GDTR_LIMIT, state.gdtrLimit);
    vmcs.write(VmcsField.GUEST_IDTR_BASE, state.idtrBase);
    vmcs.write(VmcsField.GUEST_IDTR_LIMIT, state.idtrLimit);
    vmcs.write(VmcsField.GUEST_RSP, state.r[Slot.RSP]);
    vmcs.write(VmcsField.GUEST_RIP, state.rip);
    vmcs.write(VmcsField.GUEST_RFLAGS, vmx.savedFlags(isFault(exit, interruption)));
    vmcs.write(VmcsField.GUEST_ACTIVITY, state.halted ? EntryTransition.ACTIVITY_HLT : 0);
    vmcs.write(VmcsField.GUEST_INTERRUPTIBILITY, vmx.interruptibility());
    boolean debugException =
        exit.reason() == ExitReason.EXCEPTION_OR_NMI
            && (interruption & 0xff) == ProcessorException.DEBUG;
    vmcs.write(VmcsField.GUEST_PENDING_DEBUG_EXCEPTIONS, debugException ? 0 : state.debugPending);
    if (vmx.extendedPaging()) {
      for (int i = 0; i < 4; i++) {
        vmcs.write(VmcsField.GUEST_PDPTE0.plus(i), state.pageDirectoryPointers[i]);
      }
    }
    if (has(Controls.SAVE_PREEMPTION_TIMER)) {
      vmcs.write(VmcsField.PREEMPTION_TIMER, vmx.preemptionTimerLeft());
    }
    long entry = vmcs.read(VmcsField.ENTRY_CONTROLS) & ~(long) Controls.IA32E_MODE_GUEST;
    vmcs.write(
        VmcsField.ENTRY_CONTROLS, entry | (state.longMode() ? Controls.IA32E_MODE_GUEST : 0));
  }

  /** Whether the saved RF is what a fault would have pushed (SDM section 28.3.3). */
  private static boolean isFault(VmExit exit, int interruption) {
    return switch (exit.reason()) {
      case ExitReason.EPT_VIOLATION, ExitReason.EPT_MISCONFIGURATION -> true;
      case ExitReason.EXCEPTION_OR_NMI ->
          (interruption >>> 8 & 7) == Vmx.TYPE_HARDWARE_EXCEPTION
              && (interruption & 0xff) != ProcessorException.DEBUG
              && (interruption & 0xff) != ProcessorException.DOUBLE_FAULT;
      default -> false;
    };
  }

  private void storeRegisters() {
    int count = vmcs.readInt(VmcsField.EXIT_MSR_STORE_COUNT);
    long at = vmcs.read(VmcsField.EXIT_MSR_STORE_ADDRESS);
    for (int i = 0; i < count; i++, at += 16) {
      try {
        memory.writeLong(at + 8, ModelSpecificRegisters.read(processor, memory.readInt(at)));
      } catch (ProcessorException e) {
        throw abort(ABORT_MSR_STORE, memory.readInt(at));
      }
    }
  }

  private TripleFault abort(int indicator, int register) {
    vmcs.setAbort(indicator);
    return new TripleFault(
        "VMX abort %d: model-specific register %x in a list of the VMCS at %x"
            .formatted(indicator, register, vmcs.address()));
  }

  private void loadHost() {
    boolean host64 = has(Controls.HOST_ADDRESS_SPACE_SIZE);
    state.cr0 =
        vmcs.read(VmcsField.HOST_CR0) & ~EntryTransition.CR0_KEPT
            | state.cr0 & EntryTransition.CR0_KEPT;
    state.cr3 = vmcs.read(VmcsField.HOST_CR3);
    long cr4 = vmcs.read(VmcsField.HOST_CR4);
    state.cr4 = host64 ? cr4 | ControlBits.CR4_PAE : cr4 & ~ControlBits.CR4_PCIDE;
    long breakpoints = state.dr7;
    state.dr7 = DebugRegisters.DR7_RESET;
    state.sysenterCs = vmcs.read(VmcsField.HOST_SYSENTER_CS);
    state.sysenterEsp = vmcs.read(VmcsField.HOST_SYSENTER_ESP);
    state.sysenterEip = vmcs.read(VmcsField.HOST_SYSENTER_EIP);
    if (has(Controls.LOAD_HOST_EFER)) {
      state.efer = vmcs.read(VmcsField.HOST_EFER);
    } else {
      long mode = ControlBits.EFER_LMA | ControlBits.EFER_LME;
      state.efer = host64 ? state.efer | mode : state.efer & ~mode;
    }
    if (has(Controls.LOAD_HOST_PAT)) {
      ModelSpecificRegisters.setPat(state, vmcs.read(VmcsField.HOST_PAT));
    }
    state.cpl = 0;
    segment(SegmentRegister.ES, VmcsField.HOST_ES_SELECTOR, 0, DATA);
    segment(SegmentRegister.CS, VmcsField.HOST_CS_SELECTOR, 0, host64 ? CODE64 : CODE32);
    segment(SegmentRegister.SS, VmcsField.HOST_SS_SELECTOR, 0, DATA);
    segment(SegmentRegister.DS, VmcsField.HOST_DS_SELECTOR, 0, DATA);
    long fs = vmcs.read(VmcsField.HOST_FS_BASE);
    long gs = vmcs.read(VmcsField.HOST_GS_BASE);
    segment(SegmentRegister.FS, VmcsField.HOST_FS_SELECTOR, fs, DATA);
    segment(SegmentRegister.GS, VmcsField.HOST_GS_SELECTOR, gs, DATA);
    long task = vmcs.read(VmcsField.HOST_TR_BASE);
    segment(SegmentRegister.TR, VmcsField.HOST_TR_SELECTOR, task, TSS_BUSY);
    state.limit[SegmentRegister.TR] = 0x67;
    state.selector[SegmentRegister.LDTR] = 0;
    state.access[SegmentRegister.LDTR] = UNUSABLE;
    state.gdtrBase = vmcs.read(VmcsField.HOST_GDTR_BASE);
    state.gdtrLimit = 0xffff;
    state.idtrBase = vmcs.read(VmcsField.HOST_IDTR_BASE);
    state.idtrLimit = 0xffff;
    state.r[Slot.RSP] = vmcs.read(VmcsField.HOST_RSP);
    state.rip = vmcs.read(VmcsField.HOST_RIP);
    state.setRflags(Flags.ALWAYS_SET);
    state.halted = false;
    state.interruptShadow = false;
    state.debugShadow = false;
    state.debugPending = 0;
    state.nonMaskableBlocked = false;
    processor.memory().leaveGuest();
    if (!Vmx.usesVpid(vmcs)) {
      processor.memory().invalidateAll();
    }
    EntryTransition.changeBreakpoints(processor, breakpoints);
    loadRegisters();
    processor.afterSystemInstruction();
  }

  /** A null selector makes all but CS and TR unusable, but leaves the bases of FS and GS. */
  private void segment(int segment, VmcsField selector, long base, int access) {
    int value = vmcs.readInt(selector);
    boolean unusable = value == 0 && segment != SegmentRegister.CS && segment != SegmentRegister.TR;
    state.selector[segment] = value;
    state.setSegmentBase(segment, base);
    state.limit[segment] = 0xffffffffL;
    state.access[segment] = access | (unusable ? UNUSABLE : 0);
  }

  private void loadRegisters() {
    int count = vmcs.readInt(VmcsField.EXIT_MSR_LOAD_COUNT);
    long at = vmcs.read(VmcsField.EXIT_MSR_LOAD_ADDRESS);
    for (int i = 0; i < count; i++, at += 16) {
      if (!EntryTransition.loadRegister(processor, at)) {
        throw abort(ABORT_MSR_LOAD, memory.readInt(at));
      }
    }
  }
}
