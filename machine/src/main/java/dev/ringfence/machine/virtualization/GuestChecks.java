package dev.ringfence.machine.virtualization;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.ControlRegisters;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;

/** The checks of a VM entry on the guest's state (SDM volume 3, section 27.3.1). */
final class GuestChecks {
  /** Exit qualifications of entries that fail (SDM section 27.8). */
  static final int PDPTE = 2;

  static final int NMI_INJECTION = 3;
  static final int LINK_POINTER = 4;

  /** No field is wrong. */
  static final int PASSED = -1;

  private static final long RFLAGS_RESERVED = 0xffffffffffc08028L;
  private static final int ACCESS_RESERVED = 0xfffe0f00;
  private static final int VIRTUAL_8086_ACCESS = 0xf3;

  private final Processor processor;
  private final Vmcs vmcs;
  private final EntryChecks controls;
  private final int pinBased;
  private final int secondary;
  private final int entry;
  private final boolean longMode;
  private final boolean unrestricted;
  private final long cr0;
  private final long cr4;
  private final long flags;
  private final boolean virtual8086;

  GuestChecks(Processor processor, Vmcs vmcs, EntryChecks controls) {
    this.processor = processor;
    this.vmcs = vmcs;
    this.controls = controls;
    this.pinBased = vmcs.readInt(VmcsField.PIN_BASED_CONTROLS);
    this.secondary = Vmx.secondary(vmcs);
    this.entry = vmcs.readInt(VmcsField.ENTRY_CONTROLS);
    this.longMode = (entry & Controls.IA32E_MODE_GUEST) != 0;
    this.unrestricted = (secondary & Controls.UNRESTRICTED_GUEST) != 0;
    this.cr0 = vmcs.read(VmcsField.GUEST_CR0);
    this.cr4 = vmcs.read(VmcsField.GUEST_CR4);
    this.flags = vmcs.read(VmcsField.GUEST_RFLAGS);
    this.virtual8086 = (flags & Flags.VM) != 0;
  }

  /** The exit qualification of what is wrong, or {@link #PASSED}. */
  int failure() {
    if (!(controlRegisters() && segments() && descriptorTables() && instruction())) {
      return 0;
    }
    int activity = activity();
    if (activity != PASSED) {
      return activity;
    }
    if (vmcs.read(VmcsField.VMCS_LINK_POINTER) != -1) {
      return LINK_POINTER;
    }
    return pageDirectoryPointers() ? PASSED : PDPTE;
  }

  private boolean entry(int control) {
    return (entry & control) != 0;
  }

  /** Section 27.3.1.1. */
  private boolean controlRegisters() {
    boolean paging = (cr0 & ControlBits.CR0_PG) != 0;
    boolean protection = (cr0 & ControlBits.CR0_PE) != 0;
    long fixed = Controls.CR0_FIXED0;
    if (unrestricted) {
      fixed &= ~(ControlBits.CR0_PE | ControlBits.CR0_PG);
    }
    if ((cr0 & fixed) != fixed || cr0 >>> 32 != 0 || paging && !protection) {
      return false;
    }
    if ((cr4 & Controls.CR4_FIXED0) == 0 || (cr4 & ~processor.model().cr4Mask()) != 0) {
      return false;
    }
    boolean pae = (cr4 & ControlBits.CR4_PAE) != 0;
    if (longMode && !(paging && pae) || !longMode && (cr4 & ControlBits.CR4_PCIDE) != 0) {
      return false;
    }
    if ((vmcs.read(VmcsField.GUEST_CR3) & ~processor.model().physicalAddressMask()) != 0) {
      return false;
    }
    if (entry(Controls.LOAD_DEBUG_CONTROLS)
        && (vmcs.read(VmcsField.GUEST_DR7) >>> 32 != 0
            || vmcs.read(VmcsField.GUEST_DEBUGCTL) != 0)) {
      return false;
    }
    if (!canonical(VmcsField.GUEST_SYSENTER_ESP) || !canonical(VmcsField.GUEST_SYSENTER_EIP)) {
      return false;
    }
    if (entry(Controls.LOAD_GUEST_PAT)
        && !EntryChecks.memoryTypes(vmcs.read(VmcsField.GUEST_PAT))) {
      return false;
    }
    return !entry(Controls.LOAD_GUEST_EFER)
        || controls.extendedFeatures(vmcs.read(VmcsField.GUEST_EFER), longMode, paging);
  }

  private boolean canonical(VmcsField field) {
    return ProcessorState.canonical(vmcs.read(field));
  }

  private int access(int segment) {
    return vmcs.readInt(VmcsField.GUEST_ES_ACCESS_RIGHTS.plus(segment));
  }

  private int selector(int segment) {
    return vmcs.readInt(VmcsField.GUEST_ES_SELECTOR.plus(segment));
  }

  private long base(int segment) {
    return vmcs.read(VmcsField.GUEST_ES_BASE.plus(segment));
  }

  private long limit(int segment) {
    return vmcs.read(VmcsField.GUEST_ES_LIMIT.plus(segment));
  }

  private boolean usable(int segment) {
    return (access(segment) & SegmentRegister.UNUSABLE) == 0;
  }

  private int dpl(int segment) {
    return access(segment) >>> SegmentRegister.DPL_SHIFT & 3;
  }

  private int type(int segment) {
    return access(segment) & SegmentRegister.TYPE;
  }

  /** Section 27.3.1.2. */
  private boolean segments() {
    if ((selector(SegmentRegister.TR) & 4) != 0
        || usable(SegmentRegister.LDTR) && (selector(SegmentRegister.LDTR) & 4) != 0) {
      return false;
    }
    if (!virtual8086
        && !unrestricted
        && (selector(SegmentRegister.SS) & 3) != (selector(SegmentRegister.CS) & 3)) {
      return false;
    }
    for (int segment = SegmentRegister.ES; segment <= SegmentRegister.GS; segment++) {
      if (!segmentBase(segment) || !(virtual8086 ? virtual(segment) : rights(segment))) {
        return false;
      }
    }
    return taskSegment() && localTable();
  }

  private boolean segmentBase(int segment) {
    if (segment == SegmentRegister.FS || segment == SegmentRegister.GS) {
      return ProcessorState.canonical(base(segment));
    }
    return segment != SegmentRegister.CS && !usable(segment) || base(segment) >>> 32 == 0;
  }

  private boolean virtual(int segment) {
    return base(segment) == (long) selector(segment) << 4
        && limit(segment) == 0xffff
        && access(segment) == VIRTUAL_8086_ACCESS;
  }

  private boolean rights(int segment) {
    boolean code = segment == SegmentRegister.CS;
    if (!code && !usable(segment)) {
      return true;
    }
    int access = access(segment);
    if ((access & SegmentRegister.CODE_OR_DATA) == 0
        || (access & SegmentRegister.PRESENT) == 0
        || (access & ACCESS_RESERVED) != 0
        || !granularity(segment)) {
      return false;
    }
    return switch (segment) {
      case SegmentRegister.CS -> codeSegment();
      case SegmentRegister.SS -> stackSegment();
      default -> dataSegment(segment);
    };
  }

  private boolean granularity(int segment) {
    boolean pages = (access(segment) & SegmentRegister.GRANULARITY) != 0;
    return pages ? (limit(segment) & 0xfff) == 0xfff : limit(segment) >>> 20 == 0;
  }

  private boolean codeSegment() {
    int type = type(SegmentRegister.CS);
    boolean data = type == 3;
    if (data ? !unrestricted : type != 9 && type != 11 && type != 13 && type != 15) {
      return false;
    }
    int dpl = dpl(SegmentRegister.CS);
    int stack = dpl(SegmentRegister.SS);
    boolean privilege = data ? dpl == 0 : type < 13 ? dpl == stack : dpl <= stack;
    boolean wide =
        (access(SegmentRegister.CS) & SegmentRegister.LONG_MODE_CODE) != 0
            && (access(SegmentRegister.CS) & SegmentRegister.DEFAULT_BIG) != 0;
    return privilege && !(longMode && wide);
  }

  private boolean stackSegment() {
    int type = type(SegmentRegister.SS);
    int dpl = dpl(SegmentRegister.SS);
    if (type != 3 && type != 7 || !unrestricted && dpl != (selector(SegmentRegister.SS) & 3)) {
      return false;
    }
    boolean realOrData = type(SegmentRegister.CS) == 3 || (cr0 & ControlBits.CR0_PE) == 0;
    return !realOrData || dpl == 0;
  }

  private boolean dataSegment(int segment) {
    int type = type(segment);
    boolean readable = (type & 1) != 0 && ((type & 8) == 0 || (type & 2) != 0);
    boolean privilege = unrestricted || type >= 12 || dpl(segment) >= (selector(segment) & 3);
    return readable && privilege;
  }

  private boolean taskSegment() {
    int type = type(SegmentRegister.TR);
    return (longMode ? type == 11 : type == 3 || type == 11)
        && (access(SegmentRegister.TR) & SegmentRegister.CODE_OR_DATA) == 0
        && (access(SegmentRegister.TR) & SegmentRegister.PRESENT) != 0
        && usable(SegmentRegister.TR)
        && (access(SegmentRegister.TR) & ACCESS_RESERVED) == 0
        && granularity(SegmentRegister.TR)
        && ProcessorState.canonical(base(SegmentRegister.TR));
  }

  private boolean localTable() {
    int segment = SegmentRegister.LDTR;
    return !usable(segment)
        || type(segment) == 2
            && (access(segment) & SegmentRegister.CODE_OR_DATA) == 0
            && (access(segment) & SegmentRegister.PRESENT) != 0
            && (access(segment) & ACCESS_RESERVED) == 0
            && granularity(segment)
            && ProcessorState.canonical(base(segment));
  }

  /** Section 27.3.1.3. */
  private boolean descriptorTables() {
    return canonical(VmcsField.GUEST_GDTR_BASE)
        && canonical(VmcsField.GUEST_IDTR_BASE)
        && vmcs.read(VmcsField.GUEST_GDTR_LIMIT) >>> 16 == 0
        && vmcs.read(VmcsField.GUEST_IDTR_LIMIT) >>> 16 == 0;
  }

  /** Section 27.3.1.4: RIP and RFLAGS. */
  private boolean instruction() {
    boolean wide = longMode && (access(SegmentRegister.CS) & SegmentRegister.LONG_MODE_CODE) != 0;
    long rip = vmcs.read(VmcsField.GUEST_RIP);
    if (wide ? !ProcessorState.canonical(rip) : rip >>> 32 != 0) {
      return false;
    }
    if ((flags & RFLAGS_RESERVED) != 0 || (flags & Flags.ALWAYS_SET) == 0) {
      return false;
    }
    if (virtual8086 && (longMode || (cr0 & ControlBits.CR0_PE) == 0)) {
      return false;
    }
    int injection = vmcs.readInt(VmcsField.ENTRY_INTERRUPTION_INFORMATION);
    boolean interrupt = injection < 0 && (injection >>> 8 & 7) == Vmx.TYPE_INTERRUPT;
    return !interrupt || (flags & Flags.IF) != 0;
  }

  /** Section 27.3.1.5. */
  private int activity() {
    int activity = vmcs.readInt(VmcsField.GUEST_ACTIVITY);
    int blocked = vmcs.readInt(VmcsField.GUEST_INTERRUPTIBILITY);
    boolean sti = (blocked & EntryTransition.BLOCKED_BY_STI) != 0;
    boolean movSs = (blocked & EntryTransition.BLOCKED_BY_MOV_SS) != 0;
    boolean nmi = (blocked & EntryTransition.BLOCKED_BY_NMI) != 0;
    int injection = vmcs.readInt(VmcsField.ENTRY_INTERRUPTION_INFORMATION);
    int type = injection < 0 ? injection >>> 8 & 7 : -1;
    boolean halted = activity == EntryTransition.ACTIVITY_HLT;
    if (activity != 0 && !halted
        || halted && (dpl(SegmentRegister.SS) != 0 || sti || movSs)
        || halted && type > 0 && !wakes(type, injection & 0xff)) {
      return 0;
    }
    int known =
        EntryTransition.BLOCKED_BY_STI
            | EntryTransition.BLOCKED_BY_MOV_SS
            | EntryTransition.BLOCKED_BY_NMI;
    if ((blocked & ~known) != 0
        || sti && movSs
        || sti && (flags & Flags.IF) == 0
        || (sti || movSs) && type == Vmx.TYPE_INTERRUPT
        || movSs && type == Vmx.TYPE_NMI) {
      return 0;
    }
    if (nmi && type == Vmx.TYPE_NMI && (pinBased & Controls.VIRTUAL_NMIS) != 0) {
      return 0;
    }
    return PASSED;
  }

  /** Whether an event can be injected into a processor that is halted. */
  private static boolean wakes(int type, int vector) {
    return switch (type) {
      case Vmx.TYPE_INTERRUPT, Vmx.TYPE_NMI -> true;
      case Vmx.TYPE_HARDWARE_EXCEPTION ->
          vector == ProcessorException.DEBUG || vector == ProcessorException.MACHINE_CHECK;
      default -> false;
    };
  }

  /** Section 27.3.1.6. */
  private boolean pageDirectoryPointers() {
    boolean pae = (cr0 & ControlBits.CR0_PG) != 0 && (cr4 & ControlBits.CR4_PAE) != 0 && !longMode;
    if (!pae) {
      return true;
    }
    boolean extended = (secondary & Controls.ENABLE_EPT) != 0;
    long root = vmcs.read(VmcsField.GUEST_CR3) & 0xffffffe0L;
    long reserved = ControlRegisters.reservedInPageDirectoryPointers(processor.model());
    for (int i = 0; i < 4; i++) {
      long pointer =
          extended
              ? vmcs.read(VmcsField.GUEST_PDPTE0.plus(i))
              : processor.physical().readLong(root + 8L * i);
      if ((pointer & 1) != 0 && (pointer & reserved) != 0) {
        return false;
      }
    }
    return true;
  }
}
