package dev.ringfence.isolation.monitor;

import dev.ringfence.machine.probe.Probe;
import dev.ringfence.machine.virtualization.ExitReason;

/**
 * Why the kernel runs, as one number: exits are counted by it. Names of system calls come from the
 * kernel's own table, when a report is made.
 */
public final class EntryReason {
  /** A kernel thread, or a new task on its way to user mode. */
  public static final int KERNEL_THREAD = 0;

  private static final int SYSTEM_CALL = 1 << 16;
  private static final int EXCEPTION = 2 << 16;
  private static final int INTERRUPT = 3 << 16;
  private static final int SOFTWARE = 4 << 16;
  private static final int VM_EXIT = 5 << 16;
  private static final int KIND = 0xf << 16;

  /** Exceptions by vector (SDM volume 3, table 6-1). */
  private static final String[] EXCEPTIONS = {
    "divide error",
    "debug",
    "NMI",
    "breakpoint",
    "overflow",
    "bound range",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection",
    "page fault",
    "reserved",
    "x87 error",
    "alignment check",
    "machine check",
    "SIMD error",
    "virtualization",
    "control protection"
  };

  private EntryReason() {}

  /**
   * The number of a reason.
   *
   * @param number of the system call, for entries by SYSCALL; else the vector
   */
  static int of(Probe.Entry entry, int number) {
    return switch (entry) {
      case SYSTEM_CALL -> SYSTEM_CALL | number & 0xffff;
      case EXCEPTION -> EXCEPTION | number;
      case INTERRUPT, NON_MASKABLE -> INTERRUPT | number;
      case SOFTWARE_INTERRUPT -> SOFTWARE | number;
    };
  }

  /** The number of a VM exit, by its basic exit reason. */
  static int ofMachine(int exitReason) {
    return VM_EXIT | exitReason & 0xffff;
  }

  /** Gives system calls their names. */
  @FunctionalInterface
  public interface SystemCallNames {
    /** Name of a call, or its number as text. */
    String of(int number);
  }

  /** For people: {@code system call read}, {@code exception page fault}. */
  public static String text(int reason, SystemCallNames names) {
    int number = reason & 0xffff;
    return switch (reason & KIND) {
      case SYSTEM_CALL -> "system call " + names.of(number);
      case EXCEPTION ->
          "exception " + (number < EXCEPTIONS.length ? EXCEPTIONS[number] : "vector " + number);
      case INTERRUPT -> "interrupt " + interrupt(number);
      case SOFTWARE -> "software interrupt " + number;
      case VM_EXIT -> "VM exit " + machineExit(reason);
      default -> "kernel thread";
    };
  }

  /** For people, the reason of a VM exit: {@code CPUID}. */
  public static String machineExit(int reason) {
    return ExitReason.text(reason & 0xffff);
  }

  /** Vectors that Linux gives a fixed use (arch/x86/include/asm/irq_vectors.h). */
  private static String interrupt(int vector) {
    return switch (vector) {
      case 2 -> "NMI";
      case 0xec -> "local timer";
      case 0xf6 -> "irq work";
      case 0xf7 -> "x86 platform IPI";
      case 0xf8 -> "reboot";
      case 0xf9 -> "threshold";
      case 0xfa -> "thermal";
      case 0xfb -> "call function single";
      case 0xfc -> "call function";
      case 0xfd -> "reschedule";
      case 0xfe -> "APIC error";
      case 0xff -> "spurious";
      default -> "vector " + vector;
    };
  }
}
