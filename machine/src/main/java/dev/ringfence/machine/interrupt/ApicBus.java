package dev.ringfence.machine.interrupt;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Carries interrupt messages between local APICs, I/O APICs and devices that signal by memory
 * writes. It has no state: a message is delivered at once.
 */
public final class ApicBus {
  /** First address of the range in which a device's write is an interrupt message. */
  public static final long MESSAGE_BASE = 0xfee0_0000L;

  /** Bytes of that range. */
  public static final long MESSAGE_BYTES = 0x10_0000L;

  private final List<LocalApic> localApics = new ArrayList<>();
  private final List<IoApic> ioApics = new ArrayList<>();

  void attach(LocalApic apic) {
    localApics.add(apic);
  }

  void attach(IoApic apic) {
    ioApics.add(apic);
  }

  /**
   * Delivers a message to every APIC that it addresses, or for lowest priority to the one of them
   * whose processor priority is lowest and, among equals, that comes first.
   *
   * @return whether an APIC accepted the message
   */
  public boolean send(InterruptMessage message) {
    if (message.mode() == DeliveryMode.LOWEST_PRIORITY) {
      @Nullable LocalApic chosen = null;
      for (LocalApic apic : localApics) {
        if (apic.isAddressedBy(message)
            && apic.isSoftwareEnabled()
            && (chosen == null || apic.processorPriority() < chosen.processorPriority())) {
          chosen = apic;
        }
      }
      return chosen != null && chosen.accept(message);
    }
    boolean accepted = false;
    for (LocalApic apic : localApics) {
      if (apic.isAddressedBy(message)) {
        accepted |= apic.accept(message);
      }
    }
    return accepted;
  }

  /**
   * Delivers a message to all APICs, or to all but the sender (the destination shorthands of the
   * command register).
   */
  void sendToAll(InterruptMessage message, @Nullable LocalApic except) {
    for (LocalApic apic : localApics) {
      if (apic != except) {
        boolean unused = apic.accept(message);
      }
    }
  }

  /** A device wrote to the range of interrupt messages. */
  public void sendMemoryWrite(long address, int data) {
    boolean unused = send(InterruptMessage.ofMemoryWrite(address, data));
  }

  /** The end of a level-triggered interrupt, broadcast to the I/O APICs. */
  void endOfInterrupt(int vector) {
    for (IoApic apic : ioApics) {
      apic.endOfInterrupt(vector);
    }
  }
}
