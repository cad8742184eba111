package dev.ringfence.machine.interrupt;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The wires between devices and the interrupt controllers. */
final class InterruptWiringTest {
  private final ApicFixture fixture = new ApicFixture(1);
  private final InterruptWiring wiring = new InterruptWiring(fixture.pic, fixture.ioApic);

  @BeforeEach
  void unmask() {
    for (int pin = 0; pin < 24; pin++) {
      fixture.redirect(pin, 0x40 + pin | (pin >= 16 ? 0x8000 : 0));
    }
    fixture.ports.write(0x4d1, 1, 0x0c);
  }

  private int requests() {
    return (int) (fixture.ports.read(0x20, 1) | fixture.ports.read(0xa0, 1) << 8);
  }

  @Test
  void theTimerArrivesOnPinTwo() {
    wiring.connect(0).set(true);
    assertEquals(List.of(0x42), fixture.drain(0));
    assertEquals(1, requests());
  }

  @Test
  void otherIsaWiresArriveOnTheSamePin() {
    wiring.connect(4).set(true);
    wiring.connect(9).set(true);
    assertEquals(List.of(0x49, 0x44), fixture.drain(0));
    // Input 9 shows in the first controller as the cascade.
    assertEquals(1 << 4 | 1 << 9 | 1 << 2, requests());
  }

  @Test
  void aSharedWireIsAssertedUntilAllSourcesLetGo() {
    InterruptLine one = wiring.connect(17);
    InterruptLine two = wiring.connect(17);
    one.set(true);
    two.set(true);
    one.set(false);
    assertEquals(1 << 11 | 1 << 2, requests());
    two.set(false);
    assertEquals(0, requests());
  }

  @Test
  void twoPciWiresShareAnInputOfThePic() {
    InterruptLine one = wiring.connect(16);
    InterruptLine two = wiring.connect(18);
    one.set(true);
    two.set(true);
    assertEquals(0x52, fixture.apic(0).acknowledge());
    one.set(false);
    assertEquals(1 << 10 | 1 << 2, requests());
    two.set(false);
    assertEquals(0, requests());
  }
}
