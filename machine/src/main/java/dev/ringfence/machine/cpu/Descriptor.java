package dev.ringfence.machine.cpu;

/**
 * Fields of segment and system descriptors (SDM volume 3, sections 3.4.5 and 3.5), read from the
 * descriptor's first eight bytes:
 *
 * <pre>
 * 63    56 55 54 53 52 51   48 47 46 45 44 43  40 39              16 15          0
 * base     G  D  L  A  limit   P  DPL   S  type   base 23:0          limit 15:0
 * 31:24       /B    VL 19:16
 * </pre>
 */
public final class Descriptor {
  /** Types of system descriptors (SDM volume 3, table 3-2). */
  public static final int TSS16_AVAILABLE = 1;

  public static final int LDT = 2;
  public static final int TSS16_BUSY = 3;
  public static final int CALL_GATE16 = 4;
  public static final int TASK_GATE = 5;
  public static final int INTERRUPT_GATE16 = 6;
  public static final int TRAP_GATE16 = 7;
  public static final int TSS_AVAILABLE = 9;
  public static final int TSS_BUSY = 11;
  public static final int CALL_GATE = 12;
  public static final int INTERRUPT_GATE = 14;
  public static final int TRAP_GATE = 15;

  private Descriptor() {}

  /** Base address, 32 bits. */
  public static long base(long descriptor) {
    return descriptor >>> 16 & 0xffffff | descriptor >>> 32 & 0xff000000L;
  }

  /** Limit in bytes, granularity applied. */
  public static long limit(long descriptor) {
    long limit = descriptor & 0xffff | descriptor >>> 32 & 0xf0000;
    return (descriptor >>> 55 & 1) != 0 ? limit << 12 | 0xfff : limit;
  }

  /** Access rights in the layout of {@link SegmentRegister}. */
  public static int access(long descriptor) {
    return (int) (descriptor >>> 40) & 0xf0ff;
  }

  public static int type(long descriptor) {
    return (int) (descriptor >>> 40) & 0xf;
  }

  public static int dpl(long descriptor) {
    return (int) (descriptor >>> 45) & 3;
  }

  public static boolean present(long descriptor) {
    return (descriptor >>> 47 & 1) != 0;
  }

  /** Whether this is a code or data segment (S set). */
  public static boolean codeOrData(long descriptor) {
    return (descriptor >>> 44 & 1) != 0;
  }

  public static boolean code(long descriptor) {
    return (descriptor >>> 43 & 3) == 3;
  }

  public static boolean conforming(long descriptor) {
    return (descriptor >>> 42 & 7) == 7;
  }

  public static boolean writableData(long descriptor) {
    return codeOrData(descriptor) && (descriptor >>> 43 & 1) == 0 && (descriptor >>> 41 & 1) != 0;
  }

  /** Whether loads through the segment are allowed: data, or readable code. */
  public static boolean readable(long descriptor) {
    return codeOrData(descriptor) && ((descriptor >>> 43 & 1) == 0 || (descriptor >>> 41 & 1) != 0);
  }

  /** L: code of 64-bit mode. */
  public static boolean longMode(long descriptor) {
    return (descriptor >>> 53 & 1) != 0;
  }

  /** D/B. */
  public static boolean defaultBig(long descriptor) {
    return (descriptor >>> 54 & 1) != 0;
  }

  /** Selector in a gate. */
  public static int gateSelector(long gate) {
    return (int) (gate >>> 16) & 0xffff;
  }

  /** Bits 31:0 of the offset in a gate; 16-bit gates have the upper half zero. */
  public static long gateOffset(long gate) {
    return gate & 0xffff | gate >>> 32 & 0xffff0000L;
  }
}
