package dev.ringfence.machine.cpu;

/**
 * Numbers of segment registers as instructions encode them (SDM volume 2, table B-8), and the two
 * system segments.
 */
public final class SegmentRegister {
  public static final int ES = 0;
  public static final int CS = 1;
  public static final int SS = 2;
  public static final int DS = 3;
  public static final int FS = 4;
  public static final int GS = 5;
  public static final int LDTR = 6;
  public static final int TR = 7;
  public static final int COUNT = 8;

  /**
   * Access rights of a loaded segment, in the layout of the VMCS access-rights fields (SDM volume
   * 3, table 25-2): bits 3:0 type, 4 S, 6:5 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G, 16 unusable (a
   * null selector was loaded).
   */
  public static final int TYPE = 0xf;

  public static final int CODE_OR_DATA = 1 << 4;
  public static final int DPL_SHIFT = 5;
  public static final int PRESENT = 1 << 7;
  public static final int LONG_MODE_CODE = 1 << 13;
  public static final int DEFAULT_BIG = 1 << 14;
  public static final int GRANULARITY = 1 << 15;
  public static final int UNUSABLE = 1 << 16;

  private SegmentRegister() {}
}
