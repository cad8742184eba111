package dev.ringfence.machine.interrupt;

/**
 * Delivery mode of an interrupt message, in the order of its 3-bit code (SDM volume 3, figure
 * 11-12).
 */
public enum DeliveryMode {
  FIXED(0),
  LOWEST_PRIORITY(1),
  SYSTEM_MANAGEMENT(2),
  RESERVED(3),
  NON_MASKABLE(4),
  INIT(5),
  STARTUP(6),
  EXTERNAL(7);

  private static final DeliveryMode[] BY_CODE = values();

  private final int code;

  DeliveryMode(int code) {
    this.code = code;
  }

  /** The mode as it stands in a register. */
  int inRegister() {
    return code << 8;
  }

  /** The mode in bits 10 to 8 of a command, local vector table or redirection entry. */
  public static DeliveryMode ofRegister(int register) {
    return BY_CODE[register >>> 8 & 7];
  }
}
