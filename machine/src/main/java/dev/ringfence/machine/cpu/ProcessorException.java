package dev.ringfence.machine.cpu;

import dev.ringfence.machine.virtualization.VmExit;
import org.jspecify.annotations.Nullable;

/**
 * An exception of the guest on its way to delivery (SDM volume 3, chapter 6), or what an
 * instruction or access of a virtual machine does instead: a VM exit, which like a fault leaves the
 * instruction undone. It has no stack trace: guests raise millions of page faults, and filling in a
 * trace would cost more than delivering them.
 */
public final class ProcessorException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public static final int DIVIDE_ERROR = 0;
  public static final int DEBUG = 1;
  public static final int NON_MASKABLE = 2;
  public static final int BREAKPOINT = 3;
  public static final int OVERFLOW = 4;
  public static final int BOUND_RANGE = 5;
  public static final int INVALID_OPCODE = 6;
  public static final int DEVICE_NOT_AVAILABLE = 7;
  public static final int DOUBLE_FAULT = 8;
  public static final int INVALID_TSS = 10;
  public static final int SEGMENT_NOT_PRESENT = 11;
  public static final int STACK_FAULT = 12;
  public static final int GENERAL_PROTECTION = 13;
  public static final int PAGE_FAULT = 14;
  public static final int FLOATING_POINT = 16;
  public static final int ALIGNMENT_CHECK = 17;
  public static final int MACHINE_CHECK = 18;
  public static final int SIMD_FLOATING_POINT = 19;

  /** In place of a vector, for a VM exit. */
  public static final int NO_VECTOR = -1;

  private final int vector;
  private final int errorCode;
  private final long address;
  private final transient @Nullable VmExit exit;

  private ProcessorException(int vector, int errorCode, long address, @Nullable VmExit exit) {
    super(null, null, false, false);
    this.exit = exit;
    this.vector = vector;
    this.errorCode = errorCode;
    this.address = address;
  }

  /** An exception without error code. */
  public static ProcessorException of(int vector) {
    return new ProcessorException(vector, 0, 0, null);
  }

  /** An exception with error code. */
  public static ProcessorException of(int vector, int errorCode) {
    return new ProcessorException(vector, errorCode, 0, null);
  }

  /** A page fault; the linear address goes to CR2 when it is delivered. */
  public static ProcessorException pageFault(long linear, int errorCode) {
    return new ProcessorException(PAGE_FAULT, errorCode, linear, null);
  }

  /** A VM exit in place of an exception. */
  public static ProcessorException of(VmExit exit) {
    return new ProcessorException(NO_VECTOR, 0, 0, exit);
  }

  public static ProcessorException invalidOpcode() {
    return of(INVALID_OPCODE);
  }

  /** #GP(0). */
  public static ProcessorException generalProtection() {
    return of(GENERAL_PROTECTION, 0);
  }

  public static ProcessorException generalProtection(int errorCode) {
    return of(GENERAL_PROTECTION, errorCode);
  }

  /** The VM exit that this is, or null for an exception. */
  public @Nullable VmExit exit() {
    return exit;
  }

  /** Its vector, or {@link #NO_VECTOR}. */
  public int vector() {
    return vector;
  }

  public int errorCode() {
    return errorCode;
  }

  /** Linear address of a page fault. */
  public long address() {
    return address;
  }

  /** Whether the vector pushes an error code in protected and long mode. */
  public static boolean hasErrorCode(int vector) {
    return switch (vector) {
      case DOUBLE_FAULT,
          INVALID_TSS,
          SEGMENT_NOT_PRESENT,
          STACK_FAULT,
          GENERAL_PROTECTION,
          PAGE_FAULT,
          ALIGNMENT_CHECK ->
          true;
      default -> false;
    };
  }

  @Override
  public String getMessage() {
    return exit != null
        ? exit.toString()
        : "guest exception " + vector + ", error code " + errorCode;
  }
}
