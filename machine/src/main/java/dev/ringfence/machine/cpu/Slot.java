package dev.ringfence.machine.cpu;

/**
 * Indexes into the register file {@link ProcessorState#r}.
 *
 * <p>Every value a micro-operation reads or writes is a slot of one {@code long[]}, so that an
 * operand is one index and executors need no case distinction: a slot that is always zero stands
 * for "no register", the bases of segments and of the running block are slots like the general
 * registers.
 */
public final class Slot {
  public static final int RAX = 0;
  public static final int RCX = 1;
  public static final int RDX = 2;
  public static final int RBX = 3;
  public static final int RSP = 4;
  public static final int RBP = 5;
  public static final int RSI = 6;
  public static final int RDI = 7;
  public static final int R8 = 8;
  public static final int R9 = 9;
  public static final int R10 = 10;
  public static final int R11 = 11;
  public static final int R12 = 12;
  public static final int R13 = 13;
  public static final int R14 = 14;
  public static final int R15 = 15;

  /** Always zero; never written. */
  public static final int ZERO = 16;

  /**
   * RIP at the start of the running block: RIP-relative addresses and branch targets are relative
   * to it.
   */
  public static final int BLOCK_START = 17;

  /** First of eight slots for values that live inside one instruction. */
  public static final int TEMPORARY = 18;

  public static final int TEMPORARIES = 8;

  /**
   * First of the six segment bases, in the order of {@link SegmentRegister}: ES, CS, SS, DS, FS,
   * GS.
   */
  public static final int SEGMENT_BASE = 26;

  /**
   * XMM registers, two slots each: low quadword of XMM n at {@code VECTOR + 2 * n}, high quadword
   * after it.
   */
  public static final int VECTOR = 32;

  /** First of four 128-bit temporaries, laid out like XMM registers. */
  public static final int VECTOR_TEMPORARY = 64;

  /**
   * Significands of the eight physical x87 registers R0 to R7 (not ST-relative); these are also MM0
   * to MM7. Exponents and signs are in {@link ProcessorState#x87Exponents}.
   */
  public static final int X87 = 72;

  public static final int COUNT = 80;

  private Slot() {}

  /** Slot of the low quadword of an XMM register. */
  public static int vector(int register) {
    return VECTOR + 2 * register;
  }

  /** Slot of the base of a segment register, numbered as in {@link SegmentRegister}. */
  public static int segmentBase(int segmentRegister) {
    return SEGMENT_BASE + segmentRegister;
  }
}
