package dev.ringfence.machine.cpu;

/**
 * Limit and type checks of memory accesses through a segment (SDM volume 3, sections 5.3 to 5.5).
 */
public final class SegmentAccess {
  private SegmentAccess() {}

  /**
   * Linear address of an access outside 64-bit mode.
   *
   * @param offset the offset into the segment, at most FFFFFFFFH
   * @throws ProcessorException #SS(0) for the stack segment, #GP(0) for others, if the access is
   *     not allowed
   */
  public static long linear(
      ProcessorState state, int segment, long offset, int bytes, boolean write) {
    int access = state.access[segment];
    if ((access & (SegmentRegister.UNUSABLE | SegmentRegister.PRESENT)) != SegmentRegister.PRESENT
        || !permitted(state, access, write)
        || !within(access, state.limit[segment], offset, bytes)) {
      throw segment == SegmentRegister.SS
          ? ProcessorException.of(ProcessorException.STACK_FAULT, 0)
          : ProcessorException.generalProtection();
    }
    return state.segmentBase(segment) + offset & 0xffffffffL;
  }

  /** Whether all bytes of an access are inside the limits of a segment (SDM volume 3, 5.3). */
  static boolean within(int access, long limit, long offset, int bytes) {
    long last = offset + bytes - 1;
    boolean expandDown = (access & (SegmentRegister.CODE_OR_DATA | 0xc)) == 0x14;
    if (expandDown) {
      long top = (access & SegmentRegister.DEFAULT_BIG) != 0 ? 0xffffffffL : 0xffff;
      return offset > limit && last <= top;
    }
    return last <= limit;
  }

  private static boolean permitted(ProcessorState state, int access, boolean write) {
    if (!state.protectedMode() || state.virtual8086()) {
      return true;
    }
    boolean code = (access & 8) != 0;
    if (write) {
      return !code && (access & 2) != 0;
    }
    return !code || (access & 2) != 0;
  }
}
