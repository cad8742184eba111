package dev.ringfence.machine.interrupt;

/** Delivery mode of an interrupt message, in the order of its 3-bit code (SDM volume 3, figure 11-12). */
public enum DeliveryMode {
  FIXED,
  LOWEST_PRIORITY,
  SYSTEM_MANAGEMENT,
  RESERVED,
  NON_MASKABLE,
  INIT,
  STARTUP,
  EXTERNAL;

  private static final DeliveryMode[] BY_CODE = values();

  /** The mode in bits 10 to 8 of a command, local vector table or redirection entry. */
  public static DeliveryMode ofRegister(int register) {
    return BY_CODE[register >>> 8 & 7];
  }
}
