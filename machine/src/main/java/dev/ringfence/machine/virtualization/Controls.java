package dev.ringfence.machine.virtualization;

import dev.ringfence.machine.cpu.CpuModel;

/**
 * The controls of VMX operation, and the capability registers that report them (SDM volume 3,
 * section 25.6 to 25.8 and appendix A). A control that is not here can not be set. All models with
 * VMX have the same ones, those of a server core of 2013 as far as hypervisors of today use them.
 */
public final class Controls {
  // Pin-based.
  static final int EXTERNAL_INTERRUPT_EXITING = 1;
  static final int NMI_EXITING = 1 << 3;
  static final int VIRTUAL_NMIS = 1 << 5;
  static final int ACTIVATE_PREEMPTION_TIMER = 1 << 6;

  // Primary processor-based.
  static final int INTERRUPT_WINDOW_EXITING = 1 << 2;
  static final int USE_TSC_OFFSETTING = 1 << 3;
  static final int HLT_EXITING = 1 << 7;
  static final int INVLPG_EXITING = 1 << 9;
  static final int MWAIT_EXITING = 1 << 10;
  static final int RDPMC_EXITING = 1 << 11;
  static final int RDTSC_EXITING = 1 << 12;
  static final int CR3_LOAD_EXITING = 1 << 15;
  static final int CR3_STORE_EXITING = 1 << 16;
  static final int CR8_LOAD_EXITING = 1 << 19;
  static final int CR8_STORE_EXITING = 1 << 20;
  static final int USE_TPR_SHADOW = 1 << 21;
  static final int NMI_WINDOW_EXITING = 1 << 22;
  static final int MOV_DR_EXITING = 1 << 23;
  static final int UNCONDITIONAL_IO_EXITING = 1 << 24;
  static final int USE_IO_BITMAPS = 1 << 25;
  static final int USE_MSR_BITMAPS = 1 << 28;
  static final int MONITOR_EXITING = 1 << 29;
  static final int PAUSE_EXITING = 1 << 30;
  static final int ACTIVATE_SECONDARY_CONTROLS = 1 << 31;

  // Secondary processor-based.
  static final int ENABLE_EPT = 1 << 1;
  static final int ENABLE_RDTSCP = 1 << 3;
  static final int ENABLE_VPID = 1 << 5;
  static final int WBINVD_EXITING = 1 << 6;
  static final int UNRESTRICTED_GUEST = 1 << 7;
  static final int ENABLE_INVPCID = 1 << 12;

  // VM-exit.
  static final int SAVE_DEBUG_CONTROLS = 1 << 2;
  static final int HOST_ADDRESS_SPACE_SIZE = 1 << 9;
  static final int ACKNOWLEDGE_INTERRUPT = 1 << 15;
  static final int SAVE_PAT = 1 << 18;
  static final int LOAD_HOST_PAT = 1 << 19;
  static final int SAVE_EFER = 1 << 20;
  static final int LOAD_HOST_EFER = 1 << 21;
  static final int SAVE_PREEMPTION_TIMER = 1 << 22;

  // VM-entry.
  static final int LOAD_DEBUG_CONTROLS = 1 << 2;
  static final int IA32E_MODE_GUEST = 1 << 9;
  static final int LOAD_GUEST_PAT = 1 << 14;
  static final int LOAD_GUEST_EFER = 1 << 15;

  /** Longest list of registers that entry or exit load or store. */
  static final int LONGEST_MSR_LIST = 512;

  /** Values of CR3 that do not exit. */
  static final int CR3_TARGETS = 4;

  /** The preemption timer counts down when this bit of the time-stamp counter changes. */
  static final int PREEMPTION_TIMER_SHIFT = 5;

  /**
   * What a control can be.
   *
   * @param fixed bits that must be 1
   * @param fixedTrue bits that must be 1 by the register that tells the truth; the others of {@code
   *     fixed} are 1 by default only
   * @param allowed bits that can be 1 beside these
   */
  record Setting(int fixed, int fixedTrue, int allowed) {
    /** The capability register of software that does not know the true ones. */
    long capability() {
      return ((fixed | allowed) & 0xffffffffL) << 32 | fixed & 0xffffffffL;
    }

    long trueCapability() {
      return ((fixed | allowed) & 0xffffffffL) << 32 | fixedTrue & 0xffffffffL;
    }

    /** Whether the bits are a possible setting. */
    boolean permits(int bits) {
      return (bits & fixedTrue) == fixedTrue && (bits & ~(fixed | allowed)) == 0;
    }
  }

  static final Setting PIN_BASED =
      new Setting(
          0x16,
          0x16,
          EXTERNAL_INTERRUPT_EXITING | NMI_EXITING | VIRTUAL_NMIS | ACTIVATE_PREEMPTION_TIMER);

  static final Setting PRIMARY =
      new Setting(
          0x0401e172,
          0x04006172,
          INTERRUPT_WINDOW_EXITING
              | USE_TSC_OFFSETTING
              | HLT_EXITING
              | INVLPG_EXITING
              | MWAIT_EXITING
              | RDPMC_EXITING
              | RDTSC_EXITING
              | CR3_LOAD_EXITING
              | CR3_STORE_EXITING
              | CR8_LOAD_EXITING
              | CR8_STORE_EXITING
              | USE_TPR_SHADOW
              | NMI_WINDOW_EXITING
              | MOV_DR_EXITING
              | UNCONDITIONAL_IO_EXITING
              | USE_IO_BITMAPS
              | USE_MSR_BITMAPS
              | MONITOR_EXITING
              | PAUSE_EXITING
              | ACTIVATE_SECONDARY_CONTROLS);

  static final Setting SECONDARY =
      new Setting(
          0,
          0,
          ENABLE_EPT
              | ENABLE_RDTSCP
              | ENABLE_VPID
              | WBINVD_EXITING
              | UNRESTRICTED_GUEST
              | ENABLE_INVPCID);

  static final Setting EXIT =
      new Setting(
          0x36dff,
          0x36dfb,
          SAVE_DEBUG_CONTROLS
              | HOST_ADDRESS_SPACE_SIZE
              | ACKNOWLEDGE_INTERRUPT
              | SAVE_PAT
              | LOAD_HOST_PAT
              | SAVE_EFER
              | LOAD_HOST_EFER
              | SAVE_PREEMPTION_TIMER);

  static final Setting ENTRY =
      new Setting(
          0x11ff,
          0x11fb,
          LOAD_DEBUG_CONTROLS | IA32E_MODE_GUEST | LOAD_GUEST_PAT | LOAD_GUEST_EFER);

  private static final long WRITE_BACK = 6;
  private static final long INS_OUTS_INFORMATION = 1L << 54;
  private static final long TRUE_CONTROLS = 1L << 55;

  /** Bits of CR0 that are 1 in VMX operation: PE, NE, PG. */
  static final long CR0_FIXED0 = 0x80000021L;

  private static final long CR0_FIXED1 = 0xffffffffL;
  private static final long EFER_LMA_SAVED = 1 << 5;
  private static final long HLT_ACTIVITY = 1 << 6;

  // IA32_VMX_EPT_VPID_CAP.
  private static final long WALK_OF_FOUR = 1 << 6;
  private static final long TABLES_UNCACHEABLE = 1 << 8;
  private static final long TABLES_WRITE_BACK = 1 << 14;
  private static final long LARGE_PAGES = 1 << 16 | 1 << 17;
  private static final long ACCESSED_AND_DIRTY = 1 << 21;
  private static final long INVEPT_TYPES = 1 << 20 | 1 << 25 | 1 << 26;
  private static final long INVVPID_TYPES = 1L << 32 | 1L << 40 | 1L << 41 | 1L << 42 | 1L << 43;

  private Controls() {}

  /** Bits of CR4 that are 1 in VMX operation: VMXE. */
  static final long CR4_FIXED0 = 1 << 13;

  /** Number of the first capability register, IA32_VMX_BASIC. */
  public static final int FIRST_CAPABILITY = 0x480;

  /** Number of the last one, IA32_VMX_TRUE_ENTRY_CTLS. */
  public static final int LAST_CAPABILITY = 0x490;

  /** Value of a capability register. */
  public static long capability(CpuModel model, int register) {
    return switch (register) {
      case 0x480 ->
          Vmcs.REVISION
              | (long) Vmcs.REGION_BYTES << 32
              | WRITE_BACK << 50
              | INS_OUTS_INFORMATION
              | TRUE_CONTROLS;
      case 0x481 -> PIN_BASED.capability();
      case 0x482 -> PRIMARY.capability();
      case 0x483 -> EXIT.capability();
      case 0x484 -> ENTRY.capability();
      case 0x485 ->
          PREEMPTION_TIMER_SHIFT | EFER_LMA_SAVED | HLT_ACTIVITY | (long) CR3_TARGETS << 16;
      case 0x486 -> CR0_FIXED0;
      case 0x487 -> CR0_FIXED1;
      case 0x488 -> CR4_FIXED0;
      case 0x489 -> model.cr4Mask();
      case 0x48a -> highestIndex() << 1;
      case 0x48b -> SECONDARY.capability();
      case 0x48c ->
          WALK_OF_FOUR
              | TABLES_UNCACHEABLE
              | TABLES_WRITE_BACK
              | LARGE_PAGES
              | ACCESSED_AND_DIRTY
              | INVEPT_TYPES
              | INVVPID_TYPES;
      case 0x48d -> PIN_BASED.trueCapability();
      case 0x48e -> PRIMARY.trueCapability();
      case 0x48f -> EXIT.trueCapability();
      case 0x490 -> ENTRY.trueCapability();
      default -> throw new IllegalArgumentException("register " + Integer.toHexString(register));
    };
  }

  private static long highestIndex() {
    long highest = 0;
    for (VmcsField field : VmcsField.values()) {
      highest = Math.max(highest, field.encoding() >>> 1 & 0x1ff);
    }
    return highest;
  }
}
