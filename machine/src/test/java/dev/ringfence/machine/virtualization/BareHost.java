package dev.ringfence.machine.virtualization;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ModelSpecificRegisters;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.interpret.BareProcessor;
import dev.ringfence.machine.translate.TranslationMode;

/**
 * A hypervisor of a few instructions with one virtual machine: 64-bit or real-address mode, with
 * extended page tables that map 2 MiB of guest-physical memory to {@link #GUEST_MEMORY}. The host
 * executes VMLAUNCH or VMRESUME, and HLT when the machine is left.
 */
final class BareHost implements AutoCloseable {
  static final long REGION = 0x20_1000;
  static final long VMCS = 0x20_2000;
  static final long MSR_BITMAPS = 0x20_3000;
  static final long IO_BITMAPS = 0x20_4000;
  static final long VIRTUAL_APIC = 0x20_6000;
  static final long EPT = 0x21_0000;

  /** Physical address of what is guest-physical 0. */
  static final long GUEST_MEMORY = 0x80_0000;

  /** Guest-physical address of the guest's code. */
  static final long CODE = 0x1000;

  /** Guest-physical address of its root table in 64-bit mode. */
  static final long GUEST_TABLES = 0x10_000;

  /** Guest-physical address of its interrupt table. */
  static final long GUEST_IDT = 0x8000;

  static final long GUEST_STACK = 0x9000;
  private static final long EXIT_HANDLER = 0x10_8000;
  private static final String VMLAUNCH = "0f01c2";
  private static final String VMRESUME = "0f01c3";
  private static final int EPT_ALL = 7;
  private static final int WRITE_BACK = 6 << 3;
  private static final int RIGHTS_CODE64 = 0xa09b;
  private static final int RIGHTS_DATA = 0xc093;

  final BareProcessor bare;
  final VmxInstructions vmx;

  BareHost(TranslationMode mode) {
    bare = new BareProcessor(mode);
    bare.state.cr4 |= ControlBits.CR4_VMXE;
    ModelSpecificRegisters.write(bare.processor, 0x3a, 5);
    vmx = new VmxInstructions(bare.processor);
    bare.place(EXIT_HANDLER, "f4");
    bare.memory.writeInt(REGION, Vmcs.REVISION);
    bare.memory.writeInt(VMCS, Vmcs.REVISION);
    vmx.on(REGION);
    succeeded();
    vmx.clear(VMCS);
    succeeded();
    vmx.load(VMCS);
    succeeded();
    hostState();
    controls();
    realMode();
    extendedPageTables();
  }

  /** Asserts that the last VMX instruction succeeded. */
  void succeeded() {
    assertEquals(0, bare.state.statusFlags() & (Flags.CF | Flags.ZF));
  }

  void set(VmcsField field, long value) {
    vmx.write(field.encoding(), value);
    succeeded();
  }

  long get(VmcsField field) {
    Long value = vmx.read(field.encoding());
    succeeded();
    return value == null ? -1 : value;
  }

  /** Sets bits of a control. */
  void allow(VmcsField field, long bits) {
    set(field, get(field) | bits);
  }

  /** Clears bits of a control. */
  void forbid(VmcsField field, long bits) {
    set(field, get(field) & ~bits);
  }

  private void hostState() {
    set(VmcsField.HOST_CR0, bare.state.cr0);
    set(VmcsField.HOST_CR3, bare.state.cr3);
    set(VmcsField.HOST_CR4, bare.state.cr4);
    set(VmcsField.HOST_CS_SELECTOR, 8);
    set(VmcsField.HOST_TR_SELECTOR, 0x40);
    set(VmcsField.HOST_GDTR_BASE, bare.state.gdtrBase);
    set(VmcsField.HOST_IDTR_BASE, bare.state.idtrBase);
    set(VmcsField.HOST_RSP, 0x33_0000);
    set(VmcsField.HOST_RIP, EXIT_HANDLER);
    set(VmcsField.HOST_EFER, bare.state.efer);
  }

  private void controls() {
    set(VmcsField.PIN_BASED_CONTROLS, Controls.PIN_BASED.fixed());
    set(
        VmcsField.PRIMARY_CONTROLS,
        Controls.PRIMARY.fixedTrue()
            | Controls.ACTIVATE_SECONDARY_CONTROLS
            | Controls.HLT_EXITING
            | Controls.UNCONDITIONAL_IO_EXITING);
    set(
        VmcsField.SECONDARY_CONTROLS,
        Controls.ENABLE_EPT | Controls.UNRESTRICTED_GUEST | Controls.ENABLE_VPID);
    set(VmcsField.VIRTUAL_PROCESSOR_IDENTIFIER, 1);
    set(
        VmcsField.EXIT_CONTROLS,
        Controls.EXIT.fixed()
            | Controls.HOST_ADDRESS_SPACE_SIZE
            | Controls.SAVE_EFER
            | Controls.LOAD_HOST_EFER);
    set(VmcsField.ENTRY_CONTROLS, Controls.ENTRY.fixed() | Controls.LOAD_GUEST_EFER);
    set(VmcsField.EPT_POINTER, EPT | 3 << 3 | 6);
    set(VmcsField.VMCS_LINK_POINTER, -1);
    set(VmcsField.IO_BITMAP_A, IO_BITMAPS);
    set(VmcsField.IO_BITMAP_B, IO_BITMAPS + 0x1000);
    set(VmcsField.MSR_BITMAPS, MSR_BITMAPS);
    set(VmcsField.VIRTUAL_APIC_ADDRESS, VIRTUAL_APIC);
  }

  /** The guest starts in real-address mode at {@link #CODE}. */
  void realMode() {
    for (int segment = SegmentRegister.ES; segment <= SegmentRegister.TR; segment++) {
      set(VmcsField.GUEST_ES_SELECTOR.plus(segment), 0);
      set(VmcsField.GUEST_ES_BASE.plus(segment), 0);
      set(VmcsField.GUEST_ES_LIMIT.plus(segment), 0xffff);
      set(VmcsField.GUEST_ES_ACCESS_RIGHTS.plus(segment), 0x93);
    }
    set(VmcsField.GUEST_CS_ACCESS_RIGHTS, 0x9b);
    set(VmcsField.GUEST_LDTR_ACCESS_RIGHTS, SegmentRegister.UNUSABLE);
    set(VmcsField.GUEST_TR_ACCESS_RIGHTS, 0x8b);
    set(VmcsField.GUEST_GDTR_LIMIT, 0xffff);
    set(VmcsField.GUEST_IDTR_LIMIT, 0xffff);
    set(VmcsField.GUEST_CR0, ControlBits.CR0_NE | ControlBits.CR0_ET);
    set(VmcsField.GUEST_CR4, ControlBits.CR4_VMXE);
    set(VmcsField.GUEST_EFER, 0);
    set(VmcsField.GUEST_DR7, 0x400);
    set(VmcsField.GUEST_RSP, GUEST_STACK);
    set(VmcsField.GUEST_RIP, CODE);
    set(VmcsField.GUEST_RFLAGS, Flags.ALWAYS_SET);
    forbid(VmcsField.ENTRY_CONTROLS, Controls.IA32E_MODE_GUEST);
  }

  /** The guest starts in 64-bit mode at {@link #CODE}, with 2 MiB mapped to themselves. */
  void longMode() {
    writeGuest(GUEST_TABLES, GUEST_TABLES + 0x1000 | 7);
    writeGuest(GUEST_TABLES + 0x1000, GUEST_TABLES + 0x2000 | 7);
    writeGuest(GUEST_TABLES + 0x2000, 0x87);
    for (int segment = SegmentRegister.ES; segment <= SegmentRegister.GS; segment++) {
      set(VmcsField.GUEST_ES_LIMIT.plus(segment), 0xffffffffL);
      set(VmcsField.GUEST_ES_ACCESS_RIGHTS.plus(segment), RIGHTS_DATA);
    }
    set(VmcsField.GUEST_CS_SELECTOR, 8);
    set(VmcsField.GUEST_CS_ACCESS_RIGHTS, RIGHTS_CODE64);
    set(
        VmcsField.GUEST_CR0,
        ControlBits.CR0_NE
            | ControlBits.CR0_ET
            | ControlBits.CR0_PE
            | ControlBits.CR0_PG
            | ControlBits.CR0_WP);
    set(VmcsField.GUEST_CR3, GUEST_TABLES);
    set(VmcsField.GUEST_CR4, ControlBits.CR4_VMXE | ControlBits.CR4_PAE);
    set(VmcsField.GUEST_EFER, ControlBits.EFER_LME | ControlBits.EFER_LMA | ControlBits.EFER_NXE);
    set(VmcsField.GUEST_IDTR_BASE, GUEST_IDT);
    allow(VmcsField.ENTRY_CONTROLS, Controls.IA32E_MODE_GUEST);
    long codeDescriptor = 0x00af9b000000ffffL;
    writeGuest(0x7008, codeDescriptor);
    set(VmcsField.GUEST_GDTR_BASE, 0x7000);
  }

  /** Maps guest-physical 0 to 2 MiB by entries of 4 KiB. */
  private void extendedPageTables() {
    bare.memory.writeLong(EPT, EPT + 0x1000 | EPT_ALL);
    bare.memory.writeLong(EPT + 0x1000, EPT + 0x2000 | EPT_ALL);
    bare.memory.writeLong(EPT + 0x2000, EPT + 0x3000 | EPT_ALL);
    for (int page = 0; page < 512; page++) {
      setExtended(page * 4096L, GUEST_MEMORY + page * 4096L | WRITE_BACK | EPT_ALL);
    }
  }

  /** Writes the last-level entry of a guest-physical page. */
  void setExtended(long guestPhysical, long entry) {
    bare.memory.writeLong(EPT + 0x3000 + (guestPhysical >>> 12) * 8, entry);
  }

  long extended(long guestPhysical) {
    return bare.memory.readLong(EPT + 0x3000 + (guestPhysical >>> 12) * 8);
  }

  void writeGuest(long guestPhysical, long value) {
    bare.memory.writeLong(GUEST_MEMORY + guestPhysical, value);
  }

  long readGuest(long guestPhysical) {
    return bare.memory.readLong(GUEST_MEMORY + guestPhysical);
  }

  /** Places the guest's code at {@link #CODE}, launches it there, and returns the exit reason. */
  int launch(String hex) {
    bare.place(GUEST_MEMORY + CODE, hex);
    return enter(VMLAUNCH);
  }

  /** Goes on with the guest, and returns the exit reason. */
  int resume() {
    return enter(VMRESUME);
  }

  /** Goes on behind the instruction that exited. */
  int resumeBehind() {
    set(VmcsField.GUEST_RIP, get(VmcsField.GUEST_RIP) + get(VmcsField.EXIT_INSTRUCTION_LENGTH));
    return resume();
  }

  private int enter(String instruction) {
    bare.place(BareProcessor.CODE, instruction + "f4");
    bare.state.rip = BareProcessor.CODE;
    // A run ends at the deadline of a timer, too.
    for (int runs = 0; runs == 0 || runs < 10 && !bare.state.halted; runs++) {
      bare.go(1_000_000);
      bare.processor.clock().setNow(bare.processor.time());
      bare.processor.clock().expire();
    }
    assertEquals(EXIT_HANDLER + 1, bare.state.rip, () -> "the entry failed: " + error());
    return (int) get(VmcsField.EXIT_REASON);
  }

  /** Executes VMLAUNCH, which must fail, and returns the error. */
  int failingLaunch() {
    bare.run(VMLAUNCH + "f4");
    assertEquals(BareProcessor.CODE + 4, bare.state.rip);
    assertEquals(Flags.ZF, bare.state.statusFlags());
    return error();
  }

  private int error() {
    return (int) get(VmcsField.INSTRUCTION_ERROR);
  }

  @Override
  public void close() {
    bare.close();
  }
}
