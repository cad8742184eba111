package dev.ringfence.machine.virtualization;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.InstructionBoundary;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.interrupt.EventDelivery;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.time.VirtualClock;
import org.jspecify.annotations.Nullable;

/**
 * VMX operation of one processor (SDM volume 3, sections 24.1 to 24.8): whether it is in it, which
 * structure is current, and, in non-root operation, the controls that decide what exits.
 *
 * <p>The controls are read from the structure when a virtual machine is entered; nothing can write
 * them until it is left.
 */
public final class Vmx {
  /** No structure is current. */
  static final long NO_VMCS = -1;

  /** Bit 31 of interruption-information fields. */
  static final int VALID = 1 << 31;

  /** Bit 11 of interruption-information fields: there is an error code. */
  static final int HAS_ERROR_CODE = 1 << 11;

  // Interruption types, bits 10:8 (SDM table 25-17).
  static final int TYPE_INTERRUPT = 0;
  static final int TYPE_NMI = 2;
  static final int TYPE_HARDWARE_EXCEPTION = 3;
  static final int TYPE_SOFTWARE_INTERRUPT = 4;
  static final int TYPE_PRIVILEGED_SOFTWARE_EXCEPTION = 5;
  static final int TYPE_SOFTWARE_EXCEPTION = 6;
  static final int TYPE_OTHER = 7;

  private final Processor processor;
  private final ProcessorState state;
  private final VirtualClock.Timer preemptionTimer;
  private boolean on;
  private boolean nonRoot;
  private long region;
  private long current = NO_VMCS;
  private boolean preempted;

  /** The event that an entry injects, in the format of its field; 0 for none. */
  private int injection;

  private int injectionErrorCode;
  private int injectionLength;

  /** The event that is being delivered in non-root operation; 0 for none. */
  private int vectoring;

  private int vectoringErrorCode;
  private int vectoringLength;

  /** Length of the instruction that is about to deliver an event by itself. */
  private int softwareLength;

  // Controls of the virtual machine that runs.
  int pinBased;
  int primary;
  int secondary;
  int exceptions;
  int pageFaultMask;
  int pageFaultMatch;
  long cr0Mask;
  long cr0Shadow;
  long cr4Mask;
  long cr4Shadow;
  long tscOffset;
  long msrBitmaps;
  long virtualApic;
  int tprThreshold;
  private @Nullable Vmcs vmcs;

  public Vmx(Processor processor) {
    this.processor = processor;
    this.state = processor.state();
    this.preemptionTimer =
        processor
            .clock()
            .createTimer(
                "vmx-preemption-" + processor.index(),
                () -> {
                  preempted = true;
                  processor.requestAttention();
                });
  }

  /** Whether the processor is in VMX operation, root or not. */
  public boolean on() {
    return on;
  }

  /** Whether a virtual machine runs. */
  public boolean nonRoot() {
    return nonRoot;
  }

  /** Physical address of the current structure, or {@link #NO_VMCS}. */
  long current() {
    return current;
  }

  void setCurrent(long address) {
    current = address;
    vmcs = address == NO_VMCS ? null : new Vmcs(processor.physical(), address);
  }

  /** The current structure; there must be one. */
  Vmcs vmcs() {
    if (vmcs == null) {
      throw new IllegalStateException("no VMCS is current");
    }
    return vmcs;
  }

  long region() {
    return region;
  }

  /** VMXON. */
  void switchOn(long regionAddress) {
    on = true;
    region = regionAddress;
    setCurrent(NO_VMCS);
  }

  /** VMXOFF. */
  void switchOff() {
    on = false;
    setCurrent(NO_VMCS);
  }

  /** Reset: VMX operation ends, whatever it did. */
  public void reset() {
    on = false;
    nonRoot = false;
    setCurrent(NO_VMCS);
    injection = 0;
    vectoring = 0;
    preempted = false;
    preemptionTimer.cancel();
  }

  /**
   * Reads the controls of the current structure, with which the virtual machine runs from now on.
   */
  void begin() {
    nonRoot = true;
    readControls();
    vectoring = 0;
    injection = vmcs().readInt(VmcsField.ENTRY_INTERRUPTION_INFORMATION);
    injectionErrorCode = vmcs().readInt(VmcsField.ENTRY_EXCEPTION_ERROR_CODE);
    injectionLength = vmcs().readInt(VmcsField.ENTRY_INSTRUCTION_LENGTH);
    if (injection >= 0) {
      injection = 0;
    }
    preempted = false;
    if (pin(Controls.ACTIVATE_PREEMPTION_TIMER)) {
      armPreemptionTimer(vmcs().read(VmcsField.PREEMPTION_TIMER));
    }
  }

  private void readControls() {
    Vmcs from = vmcs();
    pinBased = from.readInt(VmcsField.PIN_BASED_CONTROLS);
    primary = from.readInt(VmcsField.PRIMARY_CONTROLS);
    secondary = secondary(from);
    exceptions = from.readInt(VmcsField.EXCEPTION_BITMAP);
    pageFaultMask = from.readInt(VmcsField.PAGE_FAULT_ERROR_MASK);
    pageFaultMatch = from.readInt(VmcsField.PAGE_FAULT_ERROR_MATCH);
    cr0Mask = from.read(VmcsField.CR0_MASK);
    cr0Shadow = from.read(VmcsField.CR0_SHADOW);
    cr4Mask = from.read(VmcsField.CR4_MASK);
    cr4Shadow = from.read(VmcsField.CR4_SHADOW);
    tscOffset = primary(Controls.USE_TSC_OFFSETTING) ? from.read(VmcsField.TSC_OFFSET) : 0;
    msrBitmaps = from.read(VmcsField.MSR_BITMAPS);
    virtualApic = from.read(VmcsField.VIRTUAL_APIC_ADDRESS);
    tprThreshold = from.readInt(VmcsField.TPR_THRESHOLD) & 15;
  }

  /** The secondary controls of a structure, which count as 0 if they are not activated. */
  static int secondary(Vmcs vmcs) {
    boolean active =
        (vmcs.readInt(VmcsField.PRIMARY_CONTROLS) & Controls.ACTIVATE_SECONDARY_CONTROLS) != 0;
    return active ? vmcs.readInt(VmcsField.SECONDARY_CONTROLS) : 0;
  }

  /** Whether translations of a structure's virtual machine are tagged. */
  static boolean usesVpid(Vmcs vmcs) {
    return (secondary(vmcs) & Controls.ENABLE_VPID) != 0;
  }

  private void armPreemptionTimer(long ticks) {
    long nanoseconds =
        processor.timeStampFrequency().nanosecondsAt(ticks << Controls.PREEMPTION_TIMER_SHIFT);
    preemptionTimer.arm(processor.clock().now() + nanoseconds);
  }

  /** What the preemption timer has left, in its own unit. */
  long preemptionTimerLeft() {
    if (preempted) {
      return 0;
    }
    long left = preemptionTimer.deadline() - processor.clock().now();
    return processor.timeStampFrequency().ticksAt(Math.max(0, left))
        >>> Controls.PREEMPTION_TIMER_SHIFT;
  }

  /** The virtual machine is left. */
  void end() {
    nonRoot = false;
    injection = 0;
    vectoring = 0;
    preempted = false;
    preemptionTimer.cancel();
  }

  /** Whether a pin-based control is 1 in non-root operation. */
  boolean pin(int control) {
    return (pinBased & control) != 0;
  }

  /** Whether a primary processor-based control is 1 in non-root operation. */
  boolean primary(int control) {
    return (primary & control) != 0;
  }

  /** Whether a secondary processor-based control is 1 in non-root operation. */
  boolean secondary(int control) {
    return (secondary & control) != 0;
  }

  /** What the time-stamp counter shows a virtual machine beside what it shows its host. */
  public long timeStampOffset() {
    return nonRoot ? tscOffset : 0;
  }

  /**
   * Whether entries and exits of the virtual machine that was entered last keep all translations
   * (SDM section 29.4.3.1).
   */
  public boolean keepsTranslations() {
    return secondary(Controls.ENABLE_VPID);
  }

  /** Whether guest-physical addresses are translated. */
  boolean extendedPaging() {
    return secondary(Controls.ENABLE_EPT);
  }

  // Events.

  /** An event is being delivered; if that leads to an exit, the exit tells of it. */
  public void deliveryBegins(EventDelivery.Kind kind, int vector, int errorCode) {
    vectoring = information(kind, vector, errorCode);
    vectoringErrorCode = errorCode == EventDelivery.NO_ERROR_CODE ? 0 : errorCode;
    vectoringLength = softwareLength;
  }

  /** The event has been delivered. */
  public void deliveryEnds() {
    vectoring = 0;
  }

  /** The instruction that executes delivers an event by itself: INT n, INT1, INT3, INTO. */
  public void setSoftwareEvent(int instructionLength) {
    softwareLength = instructionLength;
  }

  private static int information(EventDelivery.Kind kind, int vector, int errorCode) {
    int type =
        switch (kind) {
          case HARDWARE -> vector == ProcessorException.NON_MASKABLE ? TYPE_NMI : TYPE_INTERRUPT;
          case SOFTWARE_INTERRUPT -> TYPE_SOFTWARE_INTERRUPT;
          case SOFTWARE_EXCEPTION -> TYPE_SOFTWARE_EXCEPTION;
          case PRIVILEGED_SOFTWARE_EXCEPTION -> TYPE_PRIVILEGED_SOFTWARE_EXCEPTION;
          case EXCEPTION -> TYPE_HARDWARE_EXCEPTION;
        };
    int error = errorCode == EventDelivery.NO_ERROR_CODE ? 0 : HAS_ERROR_CODE;
    return VALID | vector | type << 8 | error;
  }

  /** Whether an exception exits (SDM section 26.2). */
  public boolean intercepts(int vector, int errorCode) {
    if (!nonRoot || vector < 0) {
      return false;
    }
    boolean bit = (exceptions >>> vector & 1) != 0;
    if (vector == ProcessorException.PAGE_FAULT) {
      return bit == ((errorCode & pageFaultMask) == pageFaultMatch);
    }
    return bit;
  }

  /** Exits for an exception that {@link #intercepts} names, before it changes CR2 or DR6. */
  public void exit(ProcessorException exception, int errorCode) {
    int vector = exception.vector();
    if (vector == ProcessorException.DOUBLE_FAULT) {
      // The event that led to it is not told of (SDM section 28.2.4).
      vectoring = 0;
    }
    long qualification =
        switch (vector) {
          case ProcessorException.PAGE_FAULT -> exception.address();
          case ProcessorException.DEBUG -> state.debugPending;
          default -> 0;
        };
    exit(
        VmExit.ofEvent(
            ExitReason.EXCEPTION_OR_NMI,
            qualification,
            0,
            information(EventDelivery.Kind.EXCEPTION, vector, errorCode),
            Math.max(0, errorCode)));
  }

  /** The exit of INT1, INT3 or INTO where {@link #intercepts} names their exception. */
  public VmExit softwareException(int vector, EventDelivery.Kind kind) {
    return VmExit.ofEvent(
        ExitReason.EXCEPTION_OR_NMI,
        0,
        softwareLength,
        information(kind, vector, EventDelivery.NO_ERROR_CODE),
        0);
  }

  /** Exits as an instruction, an access or an event asks. */
  public void exit(VmExit exit) {
    new ExitTransition(processor, vmcs()).leave(exit);
  }

  /** Notes in the structure which event was being delivered when an exit came. */
  void saveVectoring(Vmcs to) {
    to.write(VmcsField.IDT_VECTORING_INFORMATION, vectoring);
    to.write(VmcsField.IDT_VECTORING_ERROR_CODE, vectoringErrorCode);
    if ((vectoring >>> 8 & 7) >= TYPE_SOFTWARE_INTERRUPT) {
      to.write(VmcsField.EXIT_INSTRUCTION_LENGTH, vectoringLength);
    }
  }

  /** Whether {@link #attend} has something to do. */
  public boolean mustAttend() {
    return nonRoot
        && (injection != 0
            || preempted
            || pin(Controls.EXTERNAL_INTERRUPT_EXITING) && processor.apic().hasInterrupt()
            || interruptWindowOpen()
            || nonMaskableWindowOpen()
            || belowThreshold());
  }

  private boolean interruptWindowOpen() {
    return primary(Controls.INTERRUPT_WINDOW_EXITING)
        && InstructionBoundary.interruptsEnabled(state);
  }

  private boolean nonMaskableWindowOpen() {
    return primary(Controls.NMI_WINDOW_EXITING) && InstructionBoundary.nonMaskableEnabled(state);
  }

  private boolean belowThreshold() {
    return primary(Controls.USE_TPR_SHADOW) && virtualTaskPriority() < tprThreshold;
  }

  /** Bits 7:4 of the virtual task-priority register. */
  int virtualTaskPriority() {
    return processor.physical().readInt(virtualApic + 0x80) >>> 4 & 15;
  }

  void setVirtualTaskPriority(int priority) {
    processor.physical().writeInt(virtualApic + 0x80, priority << 4);
  }

  /**
   * Injects the event of the entry, or exits for what is pending, in the order of SDM section 26.7
   * and table 6-2.
   *
   * @return whether RIP is elsewhere now
   */
  public boolean attend() {
    if (injection != 0) {
      inject();
      return true;
    }
    if (belowThreshold()) {
      exit(VmExit.of(ExitReason.TPR_BELOW_THRESHOLD, 0));
    } else if (preempted) {
      exit(VmExit.of(ExitReason.PREEMPTION_TIMER, 0));
    } else if (nonMaskableWindowOpen()) {
      exit(VmExit.of(ExitReason.NMI_WINDOW, 0));
    } else if (nonMaskableExits()) {
      processor.takeNonMaskable();
      exit(
          VmExit.ofEvent(
              ExitReason.EXCEPTION_OR_NMI,
              0,
              0,
              VALID | TYPE_NMI << 8 | ProcessorException.NON_MASKABLE,
              0));
      state.nonMaskableBlocked = true;
    } else if (interruptWindowOpen()) {
      exit(VmExit.of(ExitReason.INTERRUPT_WINDOW, 0));
    } else if (pin(Controls.EXTERNAL_INTERRUPT_EXITING) && processor.apic().hasInterrupt()) {
      int information = 0;
      if ((vmcs().readInt(VmcsField.EXIT_CONTROLS) & Controls.ACKNOWLEDGE_INTERRUPT) != 0) {
        int vector = processor.apic().acknowledge();
        if (vector < 0) {
          return false;
        }
        information = VALID | TYPE_INTERRUPT << 8 | vector;
      }
      exit(VmExit.ofEvent(ExitReason.EXTERNAL_INTERRUPT, 0, 0, information, 0));
    } else {
      return false;
    }
    return true;
  }

  private boolean nonMaskableExits() {
    return processor.nonMaskablePending()
        && pin(Controls.NMI_EXITING)
        && (pin(Controls.VIRTUAL_NMIS) || InstructionBoundary.nonMaskableEnabled(state));
  }

  /** Whether maskable interrupts are this processor's to deliver, as outside non-root operation. */
  public boolean deliversInterrupts() {
    return !nonRoot || !pin(Controls.EXTERNAL_INTERRUPT_EXITING);
  }

  /** Whether non-maskable interrupts are this processor's to deliver. */
  public boolean deliversNonMaskable() {
    return !nonRoot || !pin(Controls.NMI_EXITING);
  }

  /** Exits for INIT, which waits while the processor is in root operation. */
  public void exitForInit() {
    exit(VmExit.of(ExitReason.INIT, 0));
  }

  /** Delivers the event that an entry injects (SDM section 27.6). */
  private void inject() {
    int information = injection;
    injection = 0;
    int vector = information & 0xff;
    int type = information >>> 8 & 7;
    int errorCode =
        (information & HAS_ERROR_CODE) != 0 ? injectionErrorCode : EventDelivery.NO_ERROR_CODE;
    softwareLength = injectionLength;
    state.halted = false;
    EventDelivery.Kind kind =
        switch (type) {
          case TYPE_SOFTWARE_INTERRUPT -> EventDelivery.Kind.SOFTWARE_INTERRUPT;
          case TYPE_SOFTWARE_EXCEPTION -> EventDelivery.Kind.SOFTWARE_EXCEPTION;
          case TYPE_PRIVILEGED_SOFTWARE_EXCEPTION ->
              EventDelivery.Kind.PRIVILEGED_SOFTWARE_EXCEPTION;
          case TYPE_HARDWARE_EXCEPTION -> EventDelivery.Kind.EXCEPTION;
          default -> EventDelivery.Kind.HARDWARE;
        };
    if (type == TYPE_NMI) {
      state.nonMaskableBlocked = true;
    }
    long instruction = state.rip;
    if (type >= TYPE_SOFTWARE_INTERRUPT) {
      // The handler returns behind the instruction that is injected.
      state.rip += injectionLength;
    }
    try {
      EventDelivery.inject(processor, vector, kind, errorCode);
    } catch (ProcessorException nested) {
      state.rip = instruction;
      EventDelivery.raise(processor, nested);
    }
  }

  // Snapshots.

  /** Writes what the processor's future depends on; the structures are in memory. */
  public void save(StateWriter out) {
    out.writeBoolean(on);
    out.writeBoolean(nonRoot);
    out.writeLong(region);
    out.writeLong(current);
    out.writeBoolean(preempted);
    out.writeLong(preemptionTimer.deadline());
    out.writeInt(injection);
    out.writeInt(injectionErrorCode);
    out.writeInt(injectionLength);
  }

  /** Reads what {@link #save} wrote, once memory has been restored. */
  public void restore(StateReader in) {
    on = in.readBoolean();
    nonRoot = in.readBoolean();
    region = in.readLong();
    setCurrent(in.readLong());
    preempted = in.readBoolean();
    preemptionTimer.arm(in.readLong());
    injection = in.readInt();
    injectionErrorCode = in.readInt();
    injectionLength = in.readInt();
    vectoring = 0;
    if (vmcs == null) {
      nonRoot = false;
    }
    if (nonRoot) {
      readControls();
    }
  }

  /** What MOV from CR0, SMSW and LMSW see. */
  public long visibleCr0() {
    return nonRoot ? state.cr0 & ~cr0Mask | cr0Shadow & cr0Mask : state.cr0;
  }

  /** What MOV from CR4 sees. */
  public long visibleCr4() {
    return nonRoot ? state.cr4 & ~cr4Mask | cr4Shadow & cr4Mask : state.cr4;
  }

  /** Raises #GP(0) unless CR0 can have a value in VMX operation (SDM section 24.8). */
  public void checkCr0(long value) {
    if (on) {
      long fixed = Controls.CR0_FIXED0;
      if (nonRoot && secondary(Controls.UNRESTRICTED_GUEST)) {
        fixed &= ~(ControlBits.CR0_PE | ControlBits.CR0_PG);
      }
      if ((value & fixed) != fixed) {
        throw ProcessorException.generalProtection();
      }
    }
  }

  /** Raises #GP(0) unless CR4 can have a value in VMX operation. */
  public void checkCr4(long value) {
    if (on && (value & Controls.CR4_FIXED0) != Controls.CR4_FIXED0) {
      throw ProcessorException.generalProtection();
    }
  }

  /** The flags of the shadow that holds off events, as the interruptibility field has them. */
  int interruptibility() {
    int blocked = 0;
    if (state.interruptShadow) {
      blocked |=
          state.debugShadow ? EntryTransition.BLOCKED_BY_MOV_SS : EntryTransition.BLOCKED_BY_STI;
    }
    return blocked | (state.nonMaskableBlocked ? EntryTransition.BLOCKED_BY_NMI : 0);
  }

  /** RFLAGS as an exit saves them. */
  long savedFlags(boolean fault) {
    return state.rflags() | (fault ? Flags.RF : 0);
  }
}
