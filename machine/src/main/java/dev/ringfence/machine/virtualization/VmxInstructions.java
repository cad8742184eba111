package dev.ringfence.machine.virtualization;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ModelSpecificRegisters;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.ProcessorState;
import org.jspecify.annotations.Nullable;

/**
 * The instructions of VMX, in VMX root operation (SDM volume 3, chapter 31). Their checks of mode
 * and privilege are {@link #require}.
 */
public final class VmxInstructions {
  // Error numbers (SDM section 31.4).
  private static final int VMCALL_IN_ROOT = 1;
  private static final int VMCLEAR_ADDRESS = 2;
  private static final int VMCLEAR_REGION = 3;
  private static final int VMLAUNCH_NOT_CLEAR = 4;
  private static final int VMRESUME_NOT_LAUNCHED = 5;
  private static final int VMPTRLD_ADDRESS = 9;
  private static final int VMPTRLD_REGION = 10;
  private static final int VMPTRLD_REVISION = 11;
  private static final int UNSUPPORTED_FIELD = 12;
  private static final int READ_ONLY_FIELD = 13;
  private static final int VMXON_IN_ROOT = 15;
  private static final int INVALID_OPERAND = 28;

  private final Processor processor;
  private final ProcessorState state;
  private final Vmx vmx;

  public VmxInstructions(Processor processor) {
    this.processor = processor;
    this.state = processor.state();
    this.vmx = processor.vmx();
  }

  /**
   * What comes before anything else in all instructions but VMXON: #UD outside VMX operation, in
   * real-address, virtual-8086 and compatibility mode; an exit in non-root operation; then #GP(0)
   * outside CPL 0.
   *
   * @param exit the exit of the instruction
   */
  public static void require(Processor processor, VmExit exit) {
    requireMode(processor.state());
    if (!processor.vmx().on()) {
      throw ProcessorException.invalidOpcode();
    }
    if (processor.vmx().nonRoot()) {
      throw ProcessorException.of(exit);
    }
    requirePrivilege(processor.state());
  }

  private static void requireMode(ProcessorState state) {
    if (!state.protectedMode() || state.virtual8086() || state.longMode() && !state.code64()) {
      throw ProcessorException.invalidOpcode();
    }
  }

  private static void requirePrivilege(ProcessorState state) {
    if (state.cpl != 0) {
      throw ProcessorException.generalProtection();
    }
  }

  /** The checks of VMXON that come before its operand is read. */
  public static void requireForOn(Processor processor, VmExit exit) {
    ProcessorState state = processor.state();
    requireMode(state);
    if ((state.cr4 & ControlBits.CR4_VMXE) == 0) {
      throw ProcessorException.invalidOpcode();
    }
    if (processor.vmx().nonRoot()) {
      throw ProcessorException.of(exit);
    }
    requirePrivilege(state);
    if (!processor.vmx().on()
        && ((state.cr0 & Controls.CR0_FIXED0) != Controls.CR0_FIXED0
            || !ModelSpecificRegisters.virtualizationEnabled(state))) {
      throw ProcessorException.generalProtection();
    }
  }

  /** VMXON, with the physical address of its region. */
  public void on(long address) {
    if (vmx.on()) {
      fail(VMXON_IN_ROOT);
    } else if (!region(address) || processor.physical().readInt(address) != Vmcs.REVISION) {
      failInvalid();
    } else {
      vmx.switchOn(address);
      succeed();
    }
  }

  /** VMXOFF. */
  public void off() {
    vmx.switchOff();
    processor.requestAttention();
    succeed();
  }

  private boolean region(long address) {
    return (address & 0xfff) == 0 && (address & ~processor.model().physicalAddressMask()) == 0;
  }

  /** VMCLEAR. */
  public void clear(long address) {
    if (!region(address)) {
      fail(VMCLEAR_ADDRESS);
    } else if (address == vmx.region()) {
      fail(VMCLEAR_REGION);
    } else {
      new Vmcs(processor.physical(), address).setLaunched(false);
      if (address == vmx.current()) {
        vmx.setCurrent(Vmx.NO_VMCS);
      }
      succeed();
    }
  }

  /** VMPTRLD. */
  public void load(long address) {
    if (!region(address)) {
      fail(VMPTRLD_ADDRESS);
    } else if (address == vmx.region()) {
      fail(VMPTRLD_REGION);
    } else if (new Vmcs(processor.physical(), address).revision() != Vmcs.REVISION) {
      fail(VMPTRLD_REVISION);
    } else {
      vmx.setCurrent(address);
      succeed();
    }
  }

  /** VMPTRST: what it stores. */
  public long stored() {
    succeed();
    return vmx.current();
  }

  /** VMREAD: the value of a field, or null if the instruction has failed. */
  public @Nullable Long read(long encoding) {
    VmcsField field = field(encoding);
    if (field == null) {
      return null;
    }
    succeed();
    long value = vmx.vmcs().read(field);
    return (encoding & 1) != 0 ? value >>> 32 : value;
  }

  /** VMWRITE. */
  public void write(long encoding, long value) {
    VmcsField field = field(encoding);
    if (field == null) {
      return;
    }
    if (field.readOnly()) {
      fail(READ_ONLY_FIELD);
      return;
    }
    Vmcs vmcs = vmx.vmcs();
    if ((encoding & 1) != 0) {
      vmcs.write(field, vmcs.read(field) & 0xffffffffL | value << 32);
    } else {
      vmcs.write(field, value);
    }
    succeed();
  }

  private @Nullable VmcsField field(long encoding) {
    if (vmx.current() == Vmx.NO_VMCS) {
      failInvalid();
      return null;
    }
    VmcsField field = VmcsField.of(encoding);
    if (field == null) {
      fail(UNSUPPORTED_FIELD);
    }
    return field;
  }

  /** VMLAUNCH and VMRESUME. */
  public void enter(boolean launch) {
    if (vmx.current() == Vmx.NO_VMCS) {
      failInvalid();
      return;
    }
    Vmcs vmcs = vmx.vmcs();
    if (vmcs.launched() == launch) {
      fail(launch ? VMLAUNCH_NOT_CLEAR : VMRESUME_NOT_LAUNCHED);
      return;
    }
    EntryChecks checks = new EntryChecks(processor, vmcs);
    int error = checks.error();
    if (error != 0) {
      fail(error);
      return;
    }
    int failure = new GuestChecks(processor, vmcs, checks).failure();
    if (failure != GuestChecks.PASSED) {
      new ExitTransition(processor, vmcs).failEntry(ExitReason.INVALID_GUEST_STATE, failure);
      return;
    }
    if (launch) {
      vmcs.setLaunched(true);
    }
    new EntryTransition(processor).enter();
  }

  /** VMCALL outside non-root operation: there is no monitor in system-management mode to call. */
  public void call() {
    fail(VMCALL_IN_ROOT);
  }

  /** INVEPT. */
  public void invalidateExtended(long type, long pointer, long reserved) {
    boolean single = type == 1;
    if (!single && type != 2
        || single && !EntryChecks.extendedPointer(processor, pointer)
        || reserved != 0) {
      fail(INVALID_OPERAND);
      return;
    }
    processor.memory().invalidateGuests(-1, single ? pointer : 0);
    succeed();
  }

  /**
   * INVVPID.
   *
   * @param low first quadword of the descriptor: VPID, and reserved bits
   */
  public void invalidateByVpid(long type, long low, long linear) {
    int vpid = (int) low & 0xffff;
    boolean all = type == 2;
    if (type < 0
        || type > 3
        || !all && vpid == 0
        || low >>> 16 != 0
        || type == 0 && !ProcessorState.canonical(linear)) {
      fail(INVALID_OPERAND);
      return;
    }
    // One address, or all but global ones: more may always be dropped.
    processor.memory().invalidateGuests(all ? -1 : vpid, 0);
    succeed();
  }

  private void succeed() {
    state.setStatusFlags(0);
  }

  private void failInvalid() {
    state.setStatusFlags(Flags.CF);
  }

  private void fail(int error) {
    if (vmx.current() == Vmx.NO_VMCS) {
      failInvalid();
      return;
    }
    vmx.vmcs().write(VmcsField.INSTRUCTION_ERROR, error);
    state.setStatusFlags(Flags.ZF);
  }
}
