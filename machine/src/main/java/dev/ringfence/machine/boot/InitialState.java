package dev.ringfence.machine.boot;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.ProcessorState;
import dev.ringfence.machine.cpu.SegmentRegister;
import dev.ringfence.machine.cpu.Slot;
import java.util.Arrays;

/**
 * How the first processor starts: what a boot loader leaves in its registers. Interrupts are off,
 * segments are flat, and all registers that are not listed are zero.
 *
 * @param mode with or without paging
 * @param rip the first instruction
 * @param rax Multiboot's magic, else 0
 * @param rbx the address of Multiboot or PVH information, else 0
 * @param rsi the address of Linux's boot parameters, else 0
 * @param cr3 the root of the page tables in {@link Mode#LONG}, else 0
 * @param gdtAddress where the descriptor table is that {@link BootArea} wrote
 */
public record InitialState(
    Mode mode, long rip, long rax, long rbx, long rsi, long cr3, long gdtAddress) {

  /** Modes in which an image is entered. */
  public enum Mode {
    /** 32-bit protected mode without paging. */
    PROTECTED,
    /** 64-bit mode; page tables map every physical address that has RAM to itself. */
    LONG
  }

  /** Selector of the code segment, as Linux's boot protocol wants it ({@code __BOOT_CS}). */
  static final int CODE_SELECTOR = 0x10;

  /** Selector of the data segment ({@code __BOOT_DS}). */
  static final int DATA_SELECTOR = 0x18;

  /** Selector of a task state segment, which PVH wants to be there. */
  static final int TASK_SELECTOR = 0x20;

  static final int GDT_BYTES = 0x28;

  /** Execute, read, accessed. */
  private static final int CODE_ACCESS =
      0xb | SegmentRegister.CODE_OR_DATA | SegmentRegister.PRESENT | SegmentRegister.GRANULARITY;

  /** Read, write, accessed. */
  private static final int DATA_ACCESS =
      0x3
          | SegmentRegister.CODE_OR_DATA
          | SegmentRegister.PRESENT
          | SegmentRegister.DEFAULT_BIG
          | SegmentRegister.GRANULARITY;

  /** Busy 32-bit task state segment, which is also what 64-bit mode calls a busy 64-bit one. */
  private static final int TASK_ACCESS = 0xb | SegmentRegister.PRESENT;

  private static final int TASK_LIMIT = 0x67;

  /** Access rights of the code segment. */
  int codeAccess() {
    return CODE_ACCESS
        | (mode == Mode.LONG ? SegmentRegister.LONG_MODE_CODE : SegmentRegister.DEFAULT_BIG);
  }

  /** The descriptor table that belongs to the selectors. */
  long[] descriptors() {
    return new long[] {
      0,
      0,
      descriptor(0xfffff, codeAccess()),
      descriptor(0xfffff, DATA_ACCESS),
      descriptor(TASK_LIMIT, TASK_ACCESS)
    };
  }

  /** A descriptor with base 0 (SDM volume 3, figure 3-8). */
  private static long descriptor(int limit, int access) {
    return limit & 0xffffL
        | (long) (access & 0xff) << 40
        | (long) (limit >> 16 & 0xf) << 48
        | (long) (access >> 12 & 0xf) << 52;
  }

  /** Sets the registers of a processor that has been reset. */
  public void applyTo(ProcessorState state) {
    Arrays.fill(state.r, Slot.RAX, Slot.R15 + 1, 0);
    state.r[Slot.RAX] = rax;
    state.r[Slot.RBX] = rbx;
    state.r[Slot.RSI] = rsi;
    state.rip = rip;
    state.setRflags(0);
    state.cpl = 0;
    for (int segment :
        new int[] {
          SegmentRegister.ES,
          SegmentRegister.SS,
          SegmentRegister.DS,
          SegmentRegister.FS,
          SegmentRegister.GS
        }) {
      set(state, segment, DATA_SELECTOR, 0xffffffffL, DATA_ACCESS);
    }
    set(state, SegmentRegister.CS, CODE_SELECTOR, 0xffffffffL, codeAccess());
    set(state, SegmentRegister.TR, TASK_SELECTOR, TASK_LIMIT, TASK_ACCESS);
    set(state, SegmentRegister.LDTR, 0, 0, SegmentRegister.UNUSABLE);
    state.gdtrBase = gdtAddress;
    state.gdtrLimit = GDT_BYTES - 1;
    state.idtrBase = 0;
    state.idtrLimit = 0;
    state.cr0 = ControlBits.CR0_PE | ControlBits.CR0_ET;
    state.cr3 = cr3;
    state.cr4 = 0;
    state.efer = 0;
    if (mode == Mode.LONG) {
      state.cr0 |= ControlBits.CR0_PG;
      state.cr4 = ControlBits.CR4_PAE;
      state.efer = ControlBits.EFER_LME | ControlBits.EFER_LMA;
    }
    state.halted = false;
    state.waitsForStartup = false;
  }

  private static void set(ProcessorState state, int segment, int selector, long limit, int access) {
    state.selector[segment] = selector;
    state.limit[segment] = limit;
    state.access[segment] = access;
    state.setSegmentBase(segment, 0);
  }
}
