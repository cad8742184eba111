package dev.ringfence.machine.interrupt;

import dev.ringfence.machine.snapshot.StateReader;
import dev.ringfence.machine.snapshot.StateWriter;
import dev.ringfence.machine.snapshot.Stateful;

/**
 * The interrupt wires of the board, each shared by any number of devices (wired-or).
 *
 * <pre>
 *  wire     8259 pair   I/O APIC   use
 *  0        0           2          timer (the source override of every PC)
 *  1, 3-15  same        same       ISA interrupts; 9 is the system control interrupt
 *  16-19    10, 11      16-19      PCI INTA# to INTD#: INTA# and INTC# to 10, INTB# and INTD# to 11
 *  20-23    -           20-23      HPET
 * </pre>
 *
 * <p>The levels of wires are state of this class and of the controllers. A device that is restored
 * from a snapshot therefore does not drive its line again.
 */
public final class InterruptWiring implements Stateful {
  /** Number of wires, as many as the I/O APIC has pins. */
  public static final int WIRES = IoApic.PINS;

  /** The first wire of the four PCI interrupts. */
  public static final int FIRST_PCI_WIRE = 16;

  private final Pic8259 pic;
  private final IoApic ioApic;
  private final int[] sources = new int[WIRES];
  private final long[] asserting = new long[WIRES];

  public InterruptWiring(Pic8259 pic, IoApic ioApic) {
    this.pic = pic;
    this.ioApic = ioApic;
  }

  /** Input of the 8259 pair to which a PCI wire goes, for the interrupt line register and ACPI. */
  public static int picInputOfPci(int wire) {
    return 10 + (wire & 1);
  }

  /** Adds a source to a wire and returns the line that it drives. */
  public InterruptLine connect(int wire) {
    if (sources[wire] == Long.SIZE) {
      throw new IllegalStateException("wire " + wire + " has 64 devices already");
    }
    long bit = 1L << sources[wire]++;
    return asserted -> {
      asserting[wire] = asserted ? asserting[wire] | bit : asserting[wire] & ~bit;
      drive(wire);
    };
  }

  private void drive(int wire) {
    boolean asserted = asserting[wire] != 0;
    if (wire < FIRST_PCI_WIRE) {
      ioApic.set(wire == 0 ? 2 : wire, asserted);
      drivePic(wire);
    } else {
      ioApic.set(wire, asserted);
      if (wire < FIRST_PCI_WIRE + 4) {
        drivePic(picInputOfPci(wire));
      }
    }
  }

  private void drivePic(int input) {
    long asserted = asserting[input];
    for (int wire = FIRST_PCI_WIRE; wire < FIRST_PCI_WIRE + 4; wire++) {
      if (picInputOfPci(wire) == input) {
        asserted |= asserting[wire];
      }
    }
    pic.set(input, asserted != 0);
  }

  @Override
  public String stateName() {
    return "interrupt-wiring";
  }

  @Override
  public void save(StateWriter out) {
    out.writeLongs(asserting);
  }

  @Override
  public void restore(StateReader in) {
    in.readLongs(asserting);
  }
}
