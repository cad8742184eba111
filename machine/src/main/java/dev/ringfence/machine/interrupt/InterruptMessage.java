package dev.ringfence.machine.interrupt;

/**
 * A message on the bus of the APICs.
 *
 * @param destination identifier of an APIC or a logical destination: 8 bits, or 32 bits if {@code
 *     wide}
 * @param logical whether the destination is compared with the logical destination registers
 * @param wide whether an x2APIC sent the message, whose broadcast destination is FFFFFFFFH instead
 *     of FFH
 * @param vector interrupt vector, or the page number of a start-up message
 * @param level whether the interrupt is level-triggered, so that its end is broadcast to the I/O
 *     APICs
 */
public record InterruptMessage(
    int destination, boolean logical, boolean wide, DeliveryMode mode, int vector, boolean level) {

  /**
   * The message in a write to FEExxxxxH (SDM volume 3, section 11.11, Message Signalled
   * Interrupts).
   */
  public static InterruptMessage ofMemoryWrite(long address, int data) {
    int destination = (int) (address >>> 12 & 0xff);
    // The redirection hint (bit 3) is ignored: Linux leaves it clear and relies on the destination
    // mode alone, and
    // processors deliver such messages by the destination mode.
    boolean logical = (address & 4) != 0;
    boolean level = (data & 1 << 15) != 0;
    return new InterruptMessage(
        destination, logical, false, DeliveryMode.ofRegister(data), data & 0xff, level);
  }
}
