package dev.ringfence.silicon;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ModelSpecificRegisters;
import dev.ringfence.machine.virtualization.VmcsField;
import dev.ringfence.machine.virtualization.VmxInstructions;
import dev.ringfence.silicon.model.SiliconModel;
import org.jspecify.annotations.Nullable;

/**
 * A virtual machine on a {@link BareCore}: 64-bit, with page tables of its own under extended page
 * tables, both of 4 KiB pages. Its first 2 MiB are at {@link #MEMORY}; {@link BareCore#PROBES} are
 * mapped to themselves all the way, so that the core's caches tell what it has left there.
 *
 * <p>Its host is a loop that goes on behind every instruction that exits, and ends at HLT and at
 * exits that no instruction asks for. Numbers of bits are those of SDM volume 3, chapter 25 and
 * appendix A.
 */
public final class BareGuest implements AutoCloseable {
  /** Physical address of what is guest-physical 0. */
  public static final long MEMORY = 0x60_0000;

  /** Guest-linear and guest-physical address of its code. */
  public static final long CODE = 0x10_0000;

  /** Guest-linear and guest-physical address of a page for data. */
  public static final long DATA = 0x1_0000;

  /** A guest-linear address without a translation, until a test makes one. */
  public static final long PAGE = 0x4000_0000;

  private static final long VMX_REGION = 0x38_0000;
  private static final long VMCS = 0x38_1000;
  private static final long MSR_BITMAPS = 0x38_2000;
  private static final long EPT = 0x39_0000;
  private static final long HOST_STACK = 0x38_8000;
  private static final long EXIT_HANDLER = 0x10_8000;
  private static final long BEGIN = 0x10_7000;

  // Guest-physical.
  private static final long TABLES = 0x2_0000;
  private static final long IDT = 0x3000;
  private static final long HANDLERS = 0x4000;
  private static final long GDT = 0x5000;
  private static final long STACK = 0x9000;
  private static final int VECTORS = 32;

  private static final long MARKED = BareCore.ACCESSED | BareCore.DIRTY;
  private static final int ALL = 7;
  private static final int WRITE_BACK = 6 << 3;
  private static final int CODE64 = 0xa09b;
  private static final int DATA_SEGMENT = 0xc093;
  private static final int TSS = 0x8b;
  private static final int UNUSABLE = 1 << 16;
  private static final int HLT_REASON = 12;

  public final BareCore host;
  private final VmxInstructions vmx;
  private long nextExtended = EPT + 0x1000;
  private long nextTable = TABLES + 0x1000;
  private boolean launched;

  public BareGuest(@Nullable SiliconModel silicon, TimeBase timeBase) {
    host = new BareCore(silicon, timeBase);
    vmx = new VmxInstructions(host.processor);
    host.state.cr4 |= ControlBits.CR4_VMXE;
    // IA32_FEATURE_CONTROL: locked, VMXON outside SMX.
    ModelSpecificRegisters.write(host.processor, 0x3a, 5);
    int revision = (int) ModelSpecificRegisters.read(host.processor, 0x480) & 0x7fffffff;
    host.memory.writeInt(VMX_REGION, revision);
    host.memory.writeInt(VMCS, revision);
    vmx.on(VMX_REGION);
    vmx.clear(VMCS);
    vmx.load(VMCS);
    for (long page = 0; page < 2 << 20; page += 4096) {
      extend(page, MEMORY + page | WRITE_BACK | ALL);
      map(page, page | BareCore.PRESENT | BareCore.WRITABLE | MARKED);
    }
    for (int probe = 0; probe < 256; probe++) {
      long page = BareCore.PROBES + ((long) probe << BareCore.PROBE_SHIFT);
      extend(page, page | WRITE_BACK | ALL);
      map(page, page | BareCore.PRESENT | BareCore.WRITABLE | MARKED);
    }
    controls();
    hostState();
    guestState();
    place(EXIT_HANDLER, exitHandler());
  }

  private void place(long address, Assembler code) {
    byte[] bytes = code.code();
    host.memory.write(address, bytes, 0, bytes.length);
  }

  private void set(VmcsField field, long value) {
    vmx.write(field.encoding(), value);
    if ((host.state.statusFlags() & (Flags.CF | Flags.ZF)) != 0) {
      throw new AssertionError("VMWRITE of " + field);
    }
  }

  private void each(VmcsField first, int count, long value) {
    for (int i = 0; i < count; i++) {
      vmx.write(first.encoding() + 2L * i, value);
    }
  }

  private void controls() {
    set(VmcsField.PIN_BASED_CONTROLS, 0x16);
    // Default ones; secondary controls; HLT exits; MSR bitmaps, all of whose bits are clear.
    set(VmcsField.PRIMARY_CONTROLS, 0x04006172 | 1 << 31 | 1 << 7 | 1 << 28);
    // EPT, VPID, unrestricted guest.
    set(VmcsField.SECONDARY_CONTROLS, 1 << 1 | 1 << 5 | 1 << 7);
    set(VmcsField.VIRTUAL_PROCESSOR_IDENTIFIER, 1);
    // Default ones; 64-bit host; saves and loads IA32_EFER.
    set(VmcsField.EXIT_CONTROLS, 0x36dff | 1 << 9 | 1 << 20 | 1 << 21);
    // Default ones; IA-32e mode guest; loads IA32_EFER.
    set(VmcsField.ENTRY_CONTROLS, 0x11ff | 1 << 9 | 1 << 15);
    set(VmcsField.EPT_POINTER, EPT | 3 << 3 | 6);
    set(VmcsField.MSR_BITMAPS, MSR_BITMAPS);
    set(VmcsField.VMCS_LINK_POINTER, -1);
  }

  private void hostState() {
    set(VmcsField.HOST_CR0, host.state.cr0);
    set(VmcsField.HOST_CR3, host.state.cr3);
    set(VmcsField.HOST_CR4, host.state.cr4);
    set(VmcsField.HOST_CS_SELECTOR, 8);
    set(VmcsField.HOST_TR_SELECTOR, 0x40);
    set(VmcsField.HOST_TR_BASE, host.state.trBase);
    set(VmcsField.HOST_GDTR_BASE, host.state.gdtrBase);
    set(VmcsField.HOST_IDTR_BASE, host.state.idtrBase);
    set(VmcsField.HOST_EFER, host.state.efer);
    set(VmcsField.HOST_RSP, HOST_STACK);
    set(VmcsField.HOST_RIP, EXIT_HANDLER);
  }

  private void guestState() {
    each(VmcsField.GUEST_ES_LIMIT, 8, 0xffffffffL);
    each(VmcsField.GUEST_ES_ACCESS_RIGHTS, 6, DATA_SEGMENT);
    set(VmcsField.GUEST_CS_SELECTOR, 8);
    set(VmcsField.GUEST_CS_ACCESS_RIGHTS, CODE64);
    set(VmcsField.GUEST_LDTR_ACCESS_RIGHTS, UNUSABLE);
    set(VmcsField.GUEST_TR_ACCESS_RIGHTS, TSS);
    set(VmcsField.GUEST_TR_LIMIT, 0xffff);
    set(
        VmcsField.GUEST_CR0,
        ControlBits.CR0_PE | ControlBits.CR0_PG | ControlBits.CR0_NE | ControlBits.CR0_ET);
    set(VmcsField.GUEST_CR3, TABLES);
    set(VmcsField.GUEST_CR4, ControlBits.CR4_PAE | ControlBits.CR4_VMXE | ControlBits.CR4_OSFXSR);
    set(VmcsField.GUEST_EFER, ControlBits.EFER_LME | ControlBits.EFER_LMA | ControlBits.EFER_NXE);
    set(VmcsField.GUEST_DR7, 0x400);
    set(VmcsField.GUEST_RFLAGS, Flags.ALWAYS_SET);
    set(VmcsField.GUEST_GDTR_BASE, GDT);
    set(VmcsField.GUEST_GDTR_LIMIT, 0xff);
    set(VmcsField.GUEST_IDTR_BASE, IDT);
    set(VmcsField.GUEST_IDTR_LIMIT, VECTORS * 16 - 1);
    host.memory.writeLong(MEMORY + GDT + 8, 0x00af9b000000ffffL);
    for (int vector = 0; vector < VECTORS; vector++) {
      long handler = HANDLERS + vector;
      host.memory.writeByte(MEMORY + handler, (byte) 0xf4);
      host.memory.writeLong(MEMORY + IDT + 16L * vector, handler | 8L << 16 | 0xee00L << 32);
    }
  }

  /**
   * A host's reaction to an exit: VMRESUME behind the instruction, or HLT. It uses RAX, RBX and
   * RCX, which it restores.
   */
  private static Assembler exitHandler() {
    Assembler code = new Assembler();
    Assembler.Label end = new Assembler.Label();
    Assembler.Label instruction = new Assembler.Label();
    int[] readIntoRbx = {0x0f, 0x78, 0xc3};
    int[] readIntoRcx = {0x0f, 0x78, 0xc1};
    int[] writeRbx = {0x0f, 0x79, 0xc3};
    code.push(Assembler.RAX).push(Assembler.RBX).push(Assembler.RCX);
    code.set(Assembler.RAX, VmcsField.EXIT_REASON.encoding()).bytes(readIntoRbx);
    for (int reason : new int[] {10, 18, 30, 31, 32}) {
      // CPUID, VMCALL, I/O, RDMSR, WRMSR
      code.compareConstant(Assembler.RBX, reason).jumpIf(Assembler.EQUAL, instruction);
    }
    code.jump(end).label(instruction);
    code.set(Assembler.RAX, VmcsField.GUEST_RIP.encoding()).bytes(readIntoRbx);
    code.set(Assembler.RAX, VmcsField.EXIT_INSTRUCTION_LENGTH.encoding()).bytes(readIntoRcx);
    code.add(Assembler.RBX, Assembler.RCX);
    code.set(Assembler.RAX, VmcsField.GUEST_RIP.encoding()).bytes(writeRbx);
    code.pop(Assembler.RCX).pop(Assembler.RBX).pop(Assembler.RAX).bytes(0x0f, 0x01, 0xc3);
    return code.label(end).pop(Assembler.RCX).pop(Assembler.RBX).pop(Assembler.RAX).halt();
  }

  /** Writes the last extended page-table entry of a guest-physical page. */
  public void extend(long guestPhysical, long entry) {
    host.memory.writeLong(extendedAddress(guestPhysical), entry);
    vmx.invalidateExtended(2, 0, 0);
  }

  /** Physical address of that entry. */
  public long extendedAddress(long guestPhysical) {
    long table = EPT;
    for (int level = 4; level > 1; level--) {
      long at = table + (guestPhysical >>> 12 + 9 * (level - 1) & 511) * 8;
      if (host.memory.readLong(at) == 0) {
        host.memory.writeLong(at, nextExtended | ALL);
        nextExtended += 4096;
      }
      table = host.memory.readLong(at) & 0x000ffffffffff000L;
    }
    return table + (guestPhysical >>> 12 & 511) * 8;
  }

  /** Writes the last entry of the guest's own tables for a guest-linear page. */
  public void map(long linear, long entry) {
    host.memory.writeLong(entryAddress(linear), entry);
    vmx.invalidateByVpid(2, 0, 0);
  }

  /** Physical address of that entry. */
  public long entryAddress(long linear) {
    long table = MEMORY + TABLES;
    for (int level = 4; level > 1; level--) {
      long at = table + (linear >>> 12 + 9 * (level - 1) & 511) * 8;
      if (host.memory.readLong(at) == 0) {
        host.memory.writeLong(
            at, nextTable | BareCore.PRESENT | BareCore.WRITABLE | BareCore.ACCESSED);
        nextTable += 4096;
      }
      table = MEMORY + (host.memory.readLong(at) & 0x000ffffffffff000L);
    }
    return table + (linear >>> 12 & 511) * 8;
  }

  /** Places the guest's code. */
  public void place(Assembler code) {
    place(MEMORY + CODE, code);
  }

  /** Runs code of the host's, then the guest from {@link #CODE} until it halts. */
  public void run(Assembler before) {
    run(before, CODE);
  }

  /** Likewise, from another guest-linear address. */
  public void run(Assembler before, long start) {
    set(VmcsField.GUEST_RIP, start);
    set(VmcsField.GUEST_RSP, STACK);
    // VMLAUNCH the first time, then VMRESUME; HLT if that fails.
    place(BEGIN, before.bytes(0x0f, 0x01, launched ? 0xc3 : 0xc2).halt());
    launched = true;
    host.runAt(BEGIN);
    if (exitReason() != HLT_REASON) {
      throw new AssertionError("exit reason " + exitReason() + " at " + read(VmcsField.GUEST_RIP));
    }
  }

  private long read(VmcsField field) {
    Long value = vmx.read(field.encoding());
    return value == null ? -1 : value;
  }

  private long exitReason() {
    return read(VmcsField.EXIT_REASON);
  }

  /** The guest-linear address behind the HLT that ended the last run. */
  public long guestRip() {
    return read(VmcsField.GUEST_RIP) + 1;
  }

  /** The vector whose handler halted the guest, or -1 if it halted elsewhere. */
  public int raised() {
    long at = read(VmcsField.GUEST_RIP) - HANDLERS;
    return at >= 0 && at < VECTORS ? (int) at : -1;
  }

  @Override
  public void close() {
    host.close();
  }
}
