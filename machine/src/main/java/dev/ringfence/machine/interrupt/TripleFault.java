package dev.ringfence.machine.interrupt;

/**
 * The processor could not deliver a double fault and enters shutdown (SDM volume 3, section 6.15,
 * interrupt 8). The machine catches it: a PC resets, this one stops and reports.
 */
public final class TripleFault extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** A shutdown; the processor's state is that before the delivery that failed. */
  public TripleFault(String message) {
    super(message, null, false, false);
  }
}
