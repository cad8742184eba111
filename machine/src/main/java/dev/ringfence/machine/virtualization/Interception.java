package dev.ringfence.machine.virtualization;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.memory.PhysicalMemory;

/**
 * What instructions of a virtual machine exit, and what others do there (SDM volume 3, chapter 26).
 * Every method does nothing outside non-root operation. Instructions call them after their own
 * checks of privilege, and before any effect.
 */
public final class Interception {
  private static final int MOV_TO = 0;
  private static final int MOV_FROM = 1;
  private static final int CLTS = 2;
  private static final int LMSW = 3;
  private static final long LMSW_BITS = 0xf;

  // Sources of task switches, bits 31:30 of the exit qualification (SDM table 28-2).
  public static final int BY_CALL = 0;
  public static final int BY_IRET = 1;
  public static final int BY_JUMP = 2;
  public static final int BY_GATE = 3;

  private Interception() {}

  /** Exits in any case: CPUID, INVD, XSETBV. */
  public static void always(Processor processor, int reason, int length) {
    if (processor.vmx().nonRoot()) {
      throw ProcessorException.of(VmExit.of(reason, length));
    }
  }

  private static void onPrimary(
      Processor processor, int control, int reason, long qualification, int length) {
    Vmx vmx = processor.vmx();
    if (vmx.nonRoot() && vmx.primary(control)) {
      throw ProcessorException.of(VmExit.of(reason, qualification, length));
    }
  }

  /** HLT. */
  public static void halt(Processor processor, int length) {
    onPrimary(processor, Controls.HLT_EXITING, ExitReason.HLT, 0, length);
  }

  /** PAUSE. */
  public static void pause(Processor processor, int length) {
    onPrimary(processor, Controls.PAUSE_EXITING, ExitReason.PAUSE, 0, length);
  }

  /** RDPMC. */
  public static void readPerformanceCounter(Processor processor, int length) {
    onPrimary(processor, Controls.RDPMC_EXITING, ExitReason.RDPMC, 0, length);
  }

  /** RDTSC. */
  public static void readTimeStamp(Processor processor, int length) {
    onPrimary(processor, Controls.RDTSC_EXITING, ExitReason.RDTSC, 0, length);
  }

  /** RDTSCP; #UD if the virtual machine does not have it. */
  public static void readTimeStampAndProcessor(Processor processor, int length) {
    requireEnabled(processor, Controls.ENABLE_RDTSCP);
    onPrimary(processor, Controls.RDTSC_EXITING, ExitReason.RDTSCP, 0, length);
  }

  private static void requireEnabled(Processor processor, int control) {
    if (processor.vmx().nonRoot() && !processor.vmx().secondary(control)) {
      throw ProcessorException.invalidOpcode();
    }
  }

  /** INVLPG. */
  public static void invalidatePage(Processor processor, long linear, int length) {
    onPrimary(processor, Controls.INVLPG_EXITING, ExitReason.INVLPG, linear, length);
  }

  /** INVPCID, before its check of CPL: #UD if the virtual machine does not have it. */
  public static void requireInvpcid(Processor processor) {
    requireEnabled(processor, Controls.ENABLE_INVPCID);
  }

  /** INVPCID. */
  public static void invalidateByPcid(
      Processor processor, long displacement, int information, int length) {
    Vmx vmx = processor.vmx();
    if (vmx.nonRoot() && vmx.primary(Controls.INVLPG_EXITING)) {
      throw ProcessorException.of(
          VmExit.ofOperand(ExitReason.INVPCID, displacement, length, information, 0));
    }
  }

  /** WBINVD. */
  public static void writeBackAndInvalidate(Processor processor, int length) {
    if (processor.vmx().nonRoot() && processor.vmx().secondary(Controls.WBINVD_EXITING)) {
      throw ProcessorException.of(VmExit.of(ExitReason.WBINVD, length));
    }
  }

  /**
   * MOV to or from a debug register.
   *
   * @param general number of the general register
   */
  public static void debugRegister(
      Processor processor, int register, boolean reads, int general, int length) {
    long qualification = register | (reads ? 1 << 4 : 0) | (long) general << 8;
    onPrimary(processor, Controls.MOV_DR_EXITING, ExitReason.MOV_DR, qualification, length);
  }

  /** RDMSR and WRMSR. */
  public static void modelSpecific(Processor processor, int register, boolean write, int length) {
    Vmx vmx = processor.vmx();
    if (vmx.nonRoot()
        && (!vmx.primary(Controls.USE_MSR_BITMAPS)
            || inMsrBitmap(processor.physical(), vmx.msrBitmaps, register, write))) {
      throw ProcessorException.of(VmExit.of(write ? ExitReason.WRMSR : ExitReason.RDMSR, length));
    }
  }

  /** Four bitmaps of 1 KiB: reads of low and high registers, then writes (SDM section 25.6.9). */
  private static boolean inMsrBitmap(
      PhysicalMemory memory, long bitmaps, int register, boolean write) {
    int number = register & 0x1fff;
    int high = register >>> 13 == 0xc0000000 >>> 13 ? 1024 : 0;
    if (high == 0 && register >>> 13 != 0) {
      return true;
    }
    long at = bitmaps + high + (write ? 2048 : 0) + (number >>> 3);
    return (memory.readByte(at) >>> (number & 7) & 1) != 0;
  }

  /**
   * IN, OUT, INS and OUTS.
   *
   * @param qualification bits of the exit qualification that do not follow from the other
   *     parameters: direction, string, prefix, kind of operand
   * @param information of string instructions: address size and segment
   * @param linear of string instructions: address in memory
   */
  public static void port(
      Processor processor,
      int port,
      int bytes,
      long qualification,
      int information,
      long linear,
      int length) {
    Vmx vmx = processor.vmx();
    if (vmx.nonRoot() && portExits(vmx, processor.physical(), port, bytes)) {
      long all = qualification | bytes - 1 | (long) port << 16;
      throw ProcessorException.of(
          VmExit.ofOperand(ExitReason.IO_INSTRUCTION, all, length, information, linear));
    }
  }

  private static boolean portExits(Vmx vmx, PhysicalMemory memory, int port, int bytes) {
    if (!vmx.primary(Controls.USE_IO_BITMAPS)) {
      return vmx.primary(Controls.UNCONDITIONAL_IO_EXITING);
    }
    if (port + bytes > 0x10000) {
      return true;
    }
    for (int at = port; at < port + bytes; at++) {
      long bitmap = vmx.vmcs().read(at < 0x8000 ? VmcsField.IO_BITMAP_A : VmcsField.IO_BITMAP_B);
      if ((memory.readByte(bitmap + ((at & 0x7fff) >>> 3)) >>> (at & 7) & 1) != 0) {
        return true;
      }
    }
    return false;
  }

  private static ProcessorException control(
      int register, int access, int general, long source, int length) {
    long qualification = register | access << 4 | (long) general << 8 | source << 16;
    return ProcessorException.of(VmExit.of(ExitReason.CONTROL_REGISTER, qualification, length));
  }

  /** MOV from CR0, CR3, CR4 or CR8, but for the values of CR0 and CR4, which {@link Vmx} has. */
  public static void readControl(Processor processor, int register, int general, int length) {
    Vmx vmx = processor.vmx();
    if (vmx.nonRoot()
        && (register == 3 && vmx.primary(Controls.CR3_STORE_EXITING)
            || register == 8 && vmx.primary(Controls.CR8_STORE_EXITING))) {
      throw control(register, MOV_FROM, general, 0, length);
    }
  }

  /**
   * MOV to CR0, CR3, CR4 or CR8.
   *
   * @return the value that the register is to get: bits that the host owns stay as they are
   */
  public static long writeControl(
      Processor processor, int register, long value, int general, int length) {
    Vmx vmx = processor.vmx();
    if (!vmx.nonRoot()) {
      return value;
    }
    switch (register) {
      case 0 -> {
        if (((value ^ vmx.cr0Shadow) & vmx.cr0Mask) != 0) {
          throw control(0, MOV_TO, general, 0, length);
        }
        return value & ~vmx.cr0Mask | processor.state().cr0 & vmx.cr0Mask;
      }
      case 3 -> {
        if (vmx.primary(Controls.CR3_LOAD_EXITING) && !isTarget(vmx.vmcs(), value)) {
          throw control(3, MOV_TO, general, 0, length);
        }
        return value;
      }
      case 4 -> {
        if (((value ^ vmx.cr4Shadow) & vmx.cr4Mask) != 0) {
          throw control(4, MOV_TO, general, 0, length);
        }
        return value & ~vmx.cr4Mask | processor.state().cr4 & vmx.cr4Mask;
      }
      case 8 -> {
        if (vmx.primary(Controls.CR8_LOAD_EXITING)) {
          throw control(8, MOV_TO, general, 0, length);
        }
        return value;
      }
      default -> {
        return value;
      }
    }
  }

  private static boolean isTarget(Vmcs vmcs, long value) {
    int count = vmcs.readInt(VmcsField.CR3_TARGET_COUNT);
    for (int i = 0; i < count; i++) {
      if (vmcs.read(VmcsField.CR3_TARGET0.plus(i)) == value) {
        return true;
      }
    }
    return false;
  }

  /** Whether CR8 is the virtual task priority. */
  public static boolean virtualTaskPriority(Processor processor) {
    return processor.vmx().nonRoot() && processor.vmx().primary(Controls.USE_TPR_SHADOW);
  }

  /** MOV from CR8 while {@link #virtualTaskPriority}. */
  public static long readTaskPriority(Processor processor) {
    return processor.vmx().virtualTaskPriority();
  }

  /** MOV to CR8 while {@link #virtualTaskPriority}. */
  public static void writeTaskPriority(Processor processor, long value) {
    if (value >>> 4 != 0) {
      throw ProcessorException.generalProtection();
    }
    processor.vmx().setVirtualTaskPriority((int) value);
    processor.requestAttention();
  }

  /** CLTS; whether CR0.TS is to be cleared. */
  public static boolean clearTaskSwitched(Processor processor, int length) {
    Vmx vmx = processor.vmx();
    if (!vmx.nonRoot() || (vmx.cr0Mask & ControlBits.CR0_TS) == 0) {
      return true;
    }
    if ((vmx.cr0Shadow & ControlBits.CR0_TS) != 0) {
      throw control(0, CLTS, 0, 0, length);
    }
    return false;
  }

  /** LMSW; the low bits of CR0 that it is to write. */
  public static long loadMachineStatus(Processor processor, long value, int length) {
    Vmx vmx = processor.vmx();
    if (!vmx.nonRoot()) {
      return value;
    }
    long differs = (value ^ vmx.cr0Shadow) & vmx.cr0Mask & LMSW_BITS;
    if ((value & ControlBits.CR0_PE) == 0) {
      // LMSW cannot clear PE.
      differs &= ~ControlBits.CR0_PE;
    }
    if (differs != 0) {
      throw control(0, LMSW, 0, value & 0xffff, length);
    }
    return value & ~vmx.cr0Mask | processor.state().cr0 & vmx.cr0Mask;
  }

  /** A task switch. */
  public static void taskSwitch(Processor processor, int selector, int source) {
    if (processor.vmx().nonRoot()) {
      throw ProcessorException.of(
          VmExit.of(ExitReason.TASK_SWITCH, selector & 0xffff | (long) source << 30, 0));
    }
  }
}
