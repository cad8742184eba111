package dev.ringfence.machine.interrupt;

import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;
import java.util.Arrays;

/**
 * I/O APIC with 24 pins (Intel 82093AA data sheet), of version 20H, which adds the EOI register
 * (Intel ICH data sheets).
 *
 * <pre>
 *  memory   00 IOREGSEL   10 IOWIN   40 EOI
 *  indirect 00 IOAPICID   01 IOAPICVER   02 IOAPICARB   10-3F IOREDTBL0-23, low and high half
 *
 *  IOREDTBL  63..56 destination  16 mask  15 level  14 remote IRR  13 low active  12 delivery status
 *            11 logical  10..8 delivery mode  7..0 vector
 * </pre>
 *
 * <p>Lines carry "asserted", so the polarity bit is kept but has no effect.
 */
public final class IoApic implements IoRegion, Stateful {
  /** Physical address of the registers. */
  public static final long BASE = 0xfec0_0000L;

  /** Bytes that the registers occupy in the address space. */
  public static final int BYTES = 0x1000;

  /** Number of interrupt input pins. */
  public static final int PINS = 24;

  private static final int SELECT = 0x00;
  private static final int WINDOW = 0x10;
  private static final int END_OF_INTERRUPT = 0x40;

  private static final int VERSION_VALUE = PINS - 1 << 16 | 0x20;
  private static final long MASKED = 1 << 16;
  private static final long LEVEL = 1 << 15;
  private static final long REMOTE_IRR = 1 << 14;
  private static final long LOGICAL = 1 << 11;

  /** Writable bits of the low half of a redirection entry; bits 12 and 14 are status. */
  private static final long LOW_BITS = 0x1_afff;

  private final ApicBus bus;
  private final long[] redirection = new long[PINS];
  private final boolean[] lines = new boolean[PINS];
  private int select;
  private int identifier;

  public IoApic(ApicBus bus) {
    this.bus = bus;
    bus.attach(this);
    Arrays.fill(redirection, MASKED);
  }

  /** Drives an input pin. */
  public void set(int pin, boolean asserted) {
    boolean rising = asserted && !lines[pin];
    lines[pin] = asserted;
    if ((redirection[pin] & LEVEL) != 0) {
      serviceLevel(pin);
    } else if (rising && (redirection[pin] & MASKED) == 0) {
      // "Edge-sensitive interrupts signaled on a masked interrupt pin are ignored."
      boolean unused = send(pin);
    }
  }

  private void serviceLevel(int pin) {
    long entry = redirection[pin];
    if (lines[pin] && (entry & (LEVEL | MASKED | REMOTE_IRR)) == LEVEL) {
      DeliveryMode mode = DeliveryMode.ofRegister((int) entry);
      boolean accepted = send(pin);
      if (accepted && (mode == DeliveryMode.FIXED || mode == DeliveryMode.LOWEST_PRIORITY)) {
        redirection[pin] |= REMOTE_IRR;
      }
    }
  }

  private boolean send(int pin) {
    long entry = redirection[pin];
    return bus.send(
        new InterruptMessage(
            (int) (entry >>> 56),
            (entry & LOGICAL) != 0,
            false,
            DeliveryMode.ofRegister((int) entry),
            (int) entry & 0xff,
            (entry & LEVEL) != 0));
  }

  /**
   * A processor ended the level-triggered interrupt with this vector: pins that are still asserted
   * send it again.
   */
  void endOfInterrupt(int vector) {
    for (int pin = 0; pin < PINS; pin++) {
      long entry = redirection[pin];
      if ((entry & (LEVEL | REMOTE_IRR)) == (LEVEL | REMOTE_IRR) && (entry & 0xff) == vector) {
        redirection[pin] &= ~REMOTE_IRR;
        serviceLevel(pin);
      }
    }
  }

  @Override
  public long read(long offset, int bytes) {
    return switch ((int) offset) {
      case SELECT -> select;
      case WINDOW -> readSelected() & 0xffff_ffffL;
      default -> 0;
    };
  }

  private int readSelected() {
    if (select >= 0x10 && select < 0x10 + 2 * PINS) {
      long entry = redirection[select - 0x10 >>> 1];
      return (int) ((select & 1) == 0 ? entry : entry >>> 32);
    }
    return switch (select) {
      case 0, 2 -> identifier << 24;
      case 1 -> VERSION_VALUE;
      default -> 0;
    };
  }

  @Override
  public void write(long offset, int bytes, long value) {
    switch ((int) offset) {
      case SELECT -> select = (int) value & 0xff;
      case WINDOW -> writeSelected((int) value);
      case END_OF_INTERRUPT -> endOfInterrupt((int) value & 0xff);
      default -> {
        // No register there.
      }
    }
  }

  private void writeSelected(int value) {
    if (select == 0) {
      identifier = value >>> 24 & 15;
      return;
    }
    if (select < 0x10 || select >= 0x10 + 2 * PINS) {
      return;
    }
    int pin = select - 0x10 >>> 1;
    long entry = redirection[pin];
    if ((select & 1) != 0) {
      redirection[pin] = entry & 0xffff_ffffL | (long) value << 32 & 0xff00_0000_0000_0000L;
    } else {
      long next = entry & (0xffff_ffff_0000_0000L | REMOTE_IRR) | value & LOW_BITS;
      if ((next & LEVEL) == 0) {
        // Remote IRR has no meaning for edges; software that lacks the EOI register clears it by
        // switching to edge.
        next &= ~REMOTE_IRR;
      }
      redirection[pin] = next;
    }
    serviceLevel(pin);
  }

  @Override
  public String stateName() {
    return "io-apic";
  }

  @Override
  public void save(StateWriter out) {
    out.writeLongs(redirection);
    for (boolean line : lines) {
      out.writeBoolean(line);
    }
    out.writeInt(select);
    out.writeInt(identifier);
  }

  @Override
  public void restore(StateReader in) {
    in.readLongs(redirection);
    for (int pin = 0; pin < PINS; pin++) {
      lines[pin] = in.readBoolean();
    }
    select = in.readInt("register select", 0, 255);
    identifier = in.readInt("identifier", 0, 15);
  }
}
