package dev.ringfence.machine.cpu;

/** Port I/O with its privilege check (SDM volume 1, chapter 19). */
public final class PortAccess {
  private static final int BITMAP_OFFSET = 0x66;

  private PortAccess() {}

  /** Raises #GP(0) unless IOPL or the I/O permission bitmap of the TSS allows the access. */
  public static void check(Processor processor, int port, int bytes) {
    ProcessorState state = processor.state();
    if (!state.protectedMode() || !state.virtual8086() && state.cpl <= state.iopl()) {
      return;
    }
    // Types 9 and 11: a 16-bit TSS has no bitmap.
    boolean wide = (state.access[SegmentRegister.TR] & 0x8d) == 0x89;
    long limit = state.limit[SegmentRegister.TR];
    if (!wide || limit < BITMAP_OFFSET + 1) {
      throw ProcessorException.generalProtection();
    }
    long base = state.trBase;
    long start =
        processor.memory().loadSystem(Segmentation.systemAddress(state, base + BITMAP_OFFSET), 2);
    // Two bytes are read whatever the size, because an access may reach into the next byte.
    long at = start + (port >>> 3);
    if (at + 1 > limit) {
      throw ProcessorException.generalProtection();
    }
    long bits = processor.memory().loadSystem(Segmentation.systemAddress(state, base + at), 2);
    if ((bits >>> (port & 7) & (1 << bytes) - 1) != 0) {
      throw ProcessorException.generalProtection();
    }
  }

  /** Reads a port, zero-extended, after {@link #check}. */
  public static long read(Processor processor, int port, int bytes) {
    long value = processor.ports().read(port, bytes);
    DebugRegisters.portAccess(processor.state(), port, bytes);
    return value;
  }

  /** Writes a port, after {@link #check}. */
  public static void write(Processor processor, int port, int bytes, long value) {
    processor.ports().write(port, bytes, value);
    DebugRegisters.portAccess(processor.state(), port, bytes);
  }
}
