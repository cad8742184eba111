package dev.ringfence.machine.virtualization;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;

/** The checks of a VM entry on controls and on the host's state (SDM volume 3, section 27.2). */
final class EntryChecks {
  /** Error numbers of VM instructions (SDM section 31.4). */
  static final int INVALID_CONTROLS = 7;

  static final int INVALID_HOST_STATE = 8;

  private static final int EPT_WRITE_BACK = 6;
  private static final int RPL_OR_TI = 7;

  /** Bits 31:13 of an injection are reserved, but for the valid bit. */
  private static final int INJECTION_RESERVED = 0x7ffff000;

  private final Processor processor;
  private final Vmcs vmcs;
  private final int pinBased;
  private final int primary;
  private final int secondary;
  private final int exit;
  private final int entry;

  EntryChecks(Processor processor, Vmcs vmcs) {
    this.processor = processor;
    this.vmcs = vmcs;
    this.pinBased = vmcs.readInt(VmcsField.PIN_BASED_CONTROLS);
    this.primary = vmcs.readInt(VmcsField.PRIMARY_CONTROLS);
    this.secondary = Vmx.secondary(vmcs);
    this.exit = vmcs.readInt(VmcsField.EXIT_CONTROLS);
    this.entry = vmcs.readInt(VmcsField.ENTRY_CONTROLS);
  }

  /** The error number of the first group of fields that is wrong, or 0. */
  int error() {
    if (!(execution() && exit() && entry())) {
      return INVALID_CONTROLS;
    }
    return host() ? 0 : INVALID_HOST_STATE;
  }

  private static boolean has(int controls, int control) {
    return (controls & control) != 0;
  }

  /** Whether a physical address exists and its low bits are clear. */
  private boolean address(VmcsField field, int bytes) {
    long address = vmcs.read(field);
    return (address & bytes - 1) == 0 && (address & ~processor.model().physicalAddressMask()) == 0;
  }

  /** Section 27.2.1.1. */
  private boolean execution() {
    if (!Controls.PIN_BASED.permits(pinBased)
        || !Controls.PRIMARY.permits(primary)
        || !Controls.SECONDARY.permits(secondary)
        || vmcs.readInt(VmcsField.CR3_TARGET_COUNT) < 0
        || vmcs.readInt(VmcsField.CR3_TARGET_COUNT) > Controls.CR3_TARGETS) {
      return false;
    }
    if (has(primary, Controls.USE_IO_BITMAPS)
        && !(address(VmcsField.IO_BITMAP_A, 4096) && address(VmcsField.IO_BITMAP_B, 4096))) {
      return false;
    }
    if (has(primary, Controls.USE_MSR_BITMAPS) && !address(VmcsField.MSR_BITMAPS, 4096)) {
      return false;
    }
    if (has(primary, Controls.USE_TPR_SHADOW) && !taskPriority()) {
      return false;
    }
    boolean nmi = has(pinBased, Controls.NMI_EXITING);
    boolean virtualNmi = has(pinBased, Controls.VIRTUAL_NMIS);
    if (virtualNmi && !nmi || has(primary, Controls.NMI_WINDOW_EXITING) && !virtualNmi) {
      return false;
    }
    if (has(secondary, Controls.ENABLE_VPID)
        && vmcs.readInt(VmcsField.VIRTUAL_PROCESSOR_IDENTIFIER) == 0) {
      return false;
    }
    if (has(secondary, Controls.ENABLE_EPT)) {
      return extendedPointer(processor, vmcs.read(VmcsField.EPT_POINTER));
    }
    return !has(secondary, Controls.UNRESTRICTED_GUEST);
  }

  private boolean taskPriority() {
    if (!address(VmcsField.VIRTUAL_APIC_ADDRESS, 4096)) {
      return false;
    }
    int threshold = vmcs.readInt(VmcsField.TPR_THRESHOLD);
    long page = vmcs.read(VmcsField.VIRTUAL_APIC_ADDRESS);
    int priority = processor.physical().readInt(page + 0x80) >>> 4 & 15;
    return threshold >>> 4 == 0 && threshold <= priority;
  }

  /** Whether a value can be an EPT pointer (SDM table 25-9). */
  static boolean extendedPointer(Processor processor, long pointer) {
    long type = pointer & 7;
    return (type == 0 || type == EPT_WRITE_BACK)
        && (pointer >>> 3 & 7) == 3
        && (pointer & 0xf80) == 0
        && (pointer & ~processor.model().physicalAddressMask()) == 0;
  }

  /** Section 27.2.1.2. */
  private boolean exit() {
    if (!Controls.EXIT.permits(exit)) {
      return false;
    }
    if (has(exit, Controls.SAVE_PREEMPTION_TIMER)
        && !has(pinBased, Controls.ACTIVATE_PREEMPTION_TIMER)) {
      return false;
    }
    return list(VmcsField.EXIT_MSR_STORE_COUNT, VmcsField.EXIT_MSR_STORE_ADDRESS)
        && list(VmcsField.EXIT_MSR_LOAD_COUNT, VmcsField.EXIT_MSR_LOAD_ADDRESS);
  }

  /** A list may be longer than is recommended, which is undefined; here it is refused. */
  private boolean list(VmcsField count, VmcsField address) {
    int entries = vmcs.readInt(count);
    if (entries == 0) {
      return true;
    }
    long last = vmcs.read(address) + 16L * entries - 1;
    return entries > 0
        && entries <= Controls.LONGEST_MSR_LIST
        && address(address, 16)
        && (last & ~processor.model().physicalAddressMask()) == 0;
  }

  /** Section 27.2.1.3. */
  private boolean entry() {
    if (!Controls.ENTRY.permits(entry)
        || !list(VmcsField.ENTRY_MSR_LOAD_COUNT, VmcsField.ENTRY_MSR_LOAD_ADDRESS)) {
      return false;
    }
    int injection = vmcs.readInt(VmcsField.ENTRY_INTERRUPTION_INFORMATION);
    return injection >= 0 || injection(injection);
  }

  private boolean injection(int injection) {
    int type = injection >>> 8 & 7;
    int vector = injection & 0xff;
    boolean errorCode = (injection & Vmx.HAS_ERROR_CODE) != 0;
    if (type == 1 || type == Vmx.TYPE_OTHER || (injection & INJECTION_RESERVED) != 0) {
      return false;
    }
    if (type == Vmx.TYPE_NMI && vector != ProcessorException.NON_MASKABLE
        || type == Vmx.TYPE_HARDWARE_EXCEPTION && vector > 31) {
      return false;
    }
    boolean protectedMode =
        !has(secondary, Controls.UNRESTRICTED_GUEST)
            || (vmcs.read(VmcsField.GUEST_CR0) & ControlBits.CR0_PE) != 0;
    boolean pushes =
        type == Vmx.TYPE_HARDWARE_EXCEPTION
            && protectedMode
            && ProcessorException.hasErrorCode(vector);
    if (errorCode != pushes) {
      return false;
    }
    if (errorCode && (vmcs.readInt(VmcsField.ENTRY_EXCEPTION_ERROR_CODE) & 0xffff8000) != 0) {
      return false;
    }
    int length = vmcs.readInt(VmcsField.ENTRY_INSTRUCTION_LENGTH);
    return type < Vmx.TYPE_SOFTWARE_INTERRUPT || length >= 1 && length <= 15;
  }

  /** Sections 27.2.2 to 27.2.4. */
  private boolean host() {
    long cr0 = vmcs.read(VmcsField.HOST_CR0);
    long cr4 = vmcs.read(VmcsField.HOST_CR4);
    if ((cr0 & Controls.CR0_FIXED0) != Controls.CR0_FIXED0
        || cr0 >>> 32 != 0
        || (cr4 & Controls.CR4_FIXED0) == 0
        || (cr4 & ~processor.model().cr4Mask()) != 0
        || (vmcs.read(VmcsField.HOST_CR3) & ~processor.model().physicalAddressMask()) != 0) {
      return false;
    }
    boolean host64 = has(exit, Controls.HOST_ADDRESS_SPACE_SIZE);
    if (has(exit, Controls.LOAD_HOST_PAT) && !memoryTypes(vmcs.read(VmcsField.HOST_PAT))
        || has(exit, Controls.LOAD_HOST_EFER)
            && !extendedFeatures(vmcs.read(VmcsField.HOST_EFER), host64, true)) {
      return false;
    }
    return hostSegments(host64) && hostAddressSpace(host64, cr4);
  }

  private boolean hostSegments(boolean host64) {
    for (int i = 0; i < 6; i++) {
      if ((vmcs.readInt(VmcsField.HOST_ES_SELECTOR.plus(i)) & RPL_OR_TI) != 0) {
        return false;
      }
    }
    return (vmcs.readInt(VmcsField.HOST_TR_SELECTOR) & RPL_OR_TI) == 0
        && vmcs.readInt(VmcsField.HOST_CS_SELECTOR) != 0
        && vmcs.readInt(VmcsField.HOST_TR_SELECTOR) != 0
        && (host64 || vmcs.readInt(VmcsField.HOST_SS_SELECTOR) != 0)
        && canonical(VmcsField.HOST_FS_BASE)
        && canonical(VmcsField.HOST_GS_BASE)
        && canonical(VmcsField.HOST_GDTR_BASE)
        && canonical(VmcsField.HOST_IDTR_BASE)
        && canonical(VmcsField.HOST_TR_BASE)
        && canonical(VmcsField.HOST_SYSENTER_ESP)
        && canonical(VmcsField.HOST_SYSENTER_EIP);
  }

  private boolean canonical(VmcsField field) {
    return ProcessorState.canonical(vmcs.read(field));
  }

  private boolean hostAddressSpace(boolean host64, long cr4) {
    boolean longMode = processor.state().longMode();
    if (!longMode && (has(entry, Controls.IA32E_MODE_GUEST) || host64)) {
      return false;
    }
    if (longMode && !host64) {
      return false;
    }
    long rip = vmcs.read(VmcsField.HOST_RIP);
    if (!host64) {
      return (cr4 & ControlBits.CR4_PCIDE) == 0
          && rip >>> 32 == 0
          && !has(entry, Controls.IA32E_MODE_GUEST);
    }
    return (cr4 & ControlBits.CR4_PAE) != 0 && ProcessorState.canonical(rip);
  }

  /** Whether each byte of IA32_PAT is a memory type. */
  static boolean memoryTypes(long pat) {
    for (int i = 0; i < 64; i += 8) {
      long type = pat >>> i & 0xff;
      if (type > 7 || type == 2 || type == 3) {
        return false;
      }
    }
    return true;
  }

  /** Whether IA32_EFER has no reserved bit, and LMA and LME are as a mode needs them. */
  boolean extendedFeatures(long efer, boolean longMode, boolean paging) {
    boolean active = (efer & ControlBits.EFER_LMA) != 0;
    boolean enabled = (efer & ControlBits.EFER_LME) != 0;
    return (efer & ~(processor.model().eferMask() | ControlBits.EFER_LMA)) == 0
        && active == longMode
        && (!paging || enabled == longMode);
  }
}
