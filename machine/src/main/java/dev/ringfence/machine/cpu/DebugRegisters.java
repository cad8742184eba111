package dev.ringfence.machine.cpu;

/**
 * Debug registers and what they detect (SDM volume 3, chapter 17).
 *
 * <p>Conditions collect in {@link ProcessorState#debugPending} in the layout of DR6 and reach DR6
 * when #DB is delivered.
 */
public final class DebugRegisters {
  /** DR6: access to a debug register while DR7.GD was set. */
  public static final long DR6_BD = 1 << 13;

  /** DR6: single step. */
  public static final long DR6_BS = 1 << 14;

  /** DR6: task switch to a task with the T flag. */
  public static final long DR6_BT = 1 << 15;

  /** Value of DR6 after reset, and the bits of it that always read as one. */
  public static final long DR6_RESET = 0xffff0ff0L;

  /** Value of DR7 after reset; bit 10 is always set. */
  public static final long DR7_RESET = 0x400;

  /** L0 to L3 and LE, which a task switch clears. */
  public static final long DR7_LOCAL_ENABLES = 0x155;

  private static final long DR6_WRITABLE = 0xe00f;
  private static final long DR7_ENABLES = 0xff;
  private static final long DR7_GD = 1 << 13;
  private static final long DR7_ALWAYS_CLEAR = 1 << 11 | 1 << 12 | 1 << 14 | 1 << 15;

  private static final int ON_EXECUTION = 0;
  private static final int ON_WRITE = 1;
  private static final int ON_IO = 2;

  private DebugRegisters() {}

  /** Whether any breakpoint is enabled. */
  public static boolean enabled(ProcessorState state) {
    return (state.dr7 & DR7_ENABLES) != 0;
  }

  /** Whether breakpoint {@code n} is enabled, locally or globally. */
  private static boolean enabled(ProcessorState state, int n) {
    return (state.dr7 >>> 2 * n & 3) != 0;
  }

  private static int condition(ProcessorState state, int n) {
    return (int) (state.dr7 >>> 16 + 4 * n) & 3;
  }

  /** Length in bytes of breakpoint {@code n} (SDM volume 3, section 17.2.4). */
  private static int length(ProcessorState state, int n) {
    return switch ((int) (state.dr7 >>> 18 + 4 * n) & 3) {
      case 0 -> 1;
      case 1 -> 2;
      case 2 -> 8;
      default -> 4;
    };
  }

  /** Whether breakpoint {@code n} covers a byte of the range; breakpoints are naturally aligned. */
  private static boolean covers(ProcessorState state, int n, long first, int bytes) {
    int length = length(state, n);
    long start = state.debugAddress[n] & -length;
    return start - first < bytes && first - start < length;
  }

  /** Whether an instruction breakpoint is at the linear address; notes it for DR6 if so. */
  public static boolean instructionBreakpoint(ProcessorState state, long linear) {
    if (!enabled(state)) {
      return false;
    }
    long hits = 0;
    for (int n = 0; n < 4; n++) {
      if (enabled(state, n)
          && condition(state, n) == ON_EXECUTION
          && state.debugAddress[n] == linear) {
        hits |= 1L << n;
      }
    }
    state.debugPending |= hits;
    return hits != 0;
  }

  /** Whether a data breakpoint that is enabled covers a byte of the range. */
  public static boolean watched(ProcessorState state, long linear, long bytes) {
    for (int n = 0; n < 4; n++) {
      if (enabled(state, n) && (condition(state, n) & 1) != 0) {
        int length = length(state, n);
        long start = state.debugAddress[n] & -length;
        if (start - linear < bytes && linear - start < length) {
          return true;
        }
      }
    }
    return false;
  }

  /** Notes data breakpoints that a memory access hits; #DB follows the instruction. */
  public static void dataAccess(ProcessorState state, long linear, int bytes, boolean write) {
    for (int n = 0; n < 4; n++) {
      int condition = condition(state, n);
      if (enabled(state, n)
          && (condition & 1) != 0
          && (write || condition != ON_WRITE)
          && covers(state, n, linear, bytes)) {
        state.debugPending |= 1L << n;
      }
    }
  }

  /** Notes I/O breakpoints that a port access hits; they exist while CR4.DE is set. */
  public static void portAccess(ProcessorState state, int port, int bytes) {
    if ((state.cr4 & ControlBits.CR4_DE) == 0 || !enabled(state)) {
      return;
    }
    for (int n = 0; n < 4; n++) {
      if (enabled(state, n) && condition(state, n) == ON_IO && covers(state, n, port, bytes)) {
        state.debugPending |= 1L << n;
      }
    }
  }

  /** Moves the conditions noted to DR6, as the delivery of #DB does, and ends DR7.GD. */
  public static void reportPending(ProcessorState state) {
    state.dr6 |= state.debugPending;
    state.debugPending = 0;
    state.dr7 &= ~DR7_GD;
  }

  /** MOV from a debug register; the caller has checked CPL. */
  public static long read(ProcessorState state, int register) {
    int actual = resolve(state, register);
    return switch (actual) {
      case 6 -> state.dr6;
      case 7 -> state.dr7;
      default -> state.debugAddress[actual];
    };
  }

  /** MOV to a debug register; the caller has checked CPL. */
  public static void write(Processor processor, int register, long value) {
    ProcessorState state = processor.state();
    int actual = resolve(state, register);
    switch (actual) {
      case 6 -> {
        checkUpperHalf(value);
        state.dr6 = DR6_RESET | value & DR6_WRITABLE;
      }
      case 7 -> {
        checkUpperHalf(value);
        state.dr7 = DR7_RESET | value & 0xffffffffL & ~DR7_ALWAYS_CLEAR | value & DR7_GD;
      }
      default -> state.debugAddress[actual] = value;
    }
    processor.memory().breakpointsChanged();
  }

  private static void checkUpperHalf(long value) {
    if (value >>> 32 != 0) {
      throw ProcessorException.generalProtection();
    }
  }

  /** DR4 and DR5 are DR6 and DR7 unless CR4.DE; any access faults while DR7.GD is set. */
  private static int resolve(ProcessorState state, int register) {
    if ((register & ~1) == 4 && (state.cr4 & ControlBits.CR4_DE) != 0) {
      throw ProcessorException.invalidOpcode();
    }
    if ((state.dr7 & DR7_GD) != 0) {
      state.debugPending |= DR6_BD;
      throw ProcessorException.of(ProcessorException.DEBUG);
    }
    return (register & ~1) == 4 ? register + 2 : register;
  }
}
