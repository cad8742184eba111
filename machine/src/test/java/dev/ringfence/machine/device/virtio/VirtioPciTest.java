package dev.ringfence.machine.device.virtio;

import static dev.ringfence.machine.device.virtio.VirtioFixture.BUFFERS;
import static dev.ringfence.machine.device.virtio.VirtioFixture.NEEDS_RESET;
import static dev.ringfence.machine.device.virtio.VirtioFixture.QUEUE_ENABLE;
import static dev.ringfence.machine.device.virtio.VirtioFixture.QUEUE_SELECT;
import static dev.ringfence.machine.device.virtio.VirtioFixture.QUEUE_SIZE;
import static dev.ringfence.machine.device.virtio.VirtioFixture.STATUS;
import static dev.ringfence.machine.device.virtio.VirtioFixture.WRITE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.device.pci.PciHost;
import dev.ringfence.machine.interrupt.LocalApic;
import dev.ringfence.machine.interrupt.Pic8259;
import dev.ringfence.machine.time.Frequency;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** PCI transport against virtio 1.2, section 4.1, with the entropy device behind it. */
final class VirtioPciTest {
  private static final int FUNCTION_MASK = 0x4000;
  private static final int ENABLE = 0x8000;
  private static final long MESSAGES = PciHost.MEMORY_START + 0x4000;

  private final VirtioFixture driver = new VirtioFixture();
  private final VirtioEntropy device = new VirtioEntropy("rng", driver.memory, driver.bus, 1);

  @BeforeEach
  void attach() {
    driver.attach(device.transport());
  }

  @AfterEach
  void close() {
    driver.close();
  }

  private List<Integer> capabilities(int identifier) {
    List<Integer> found = new ArrayList<>();
    int at = (int) driver.readConfiguration(0x34, 1);
    while (at != 0) {
      if (driver.readConfiguration(at, 1) == identifier) {
        found.add(at);
      }
      at = (int) driver.readConfiguration(at + 1, 1);
    }
    return found;
  }

  private void request(int length) {
    driver.descriptor(VirtioFixture.table(0), 0, BUFFERS, length, WRITE, 0);
    driver.offer(0, 0);
    driver.notifyQueue(0);
  }

  @Test
  void theIdentityIsThatOfAModernDevice() {
    assertEquals(0x1044_1af4L, driver.readConfiguration(0, 4));
    assertEquals(1, driver.readConfiguration(8, 1));
  }

  @Test
  void capabilitiesPointIntoTheRange() {
    // Section 4.1.4: common, notification, ISR, device and PCI access.
    List<String> found = new ArrayList<>();
    for (int at : capabilities(9)) {
      found.add(
          driver.readConfiguration(at + 3, 1)
              + " "
              + driver.readConfiguration(at + 2, 1)
              + " "
              + Long.toHexString(driver.readConfiguration(at + 8, 4)));
    }
    assertEquals(List.of("1 16 0", "2 20 3000", "3 16 1000", "4 16 2000", "5 20 0"), found);
    assertEquals(1, capabilities(0x11).size());
  }

  @Test
  void featuresAreNegotiatedInHalves() {
    driver.write(0, 4, 0);
    assertEquals(0x3000_0000L, driver.read(4, 4));
    driver.write(0, 4, 1);
    assertEquals(1, driver.read(4, 4));
    driver.write(0, 4, 2);
    assertEquals(0, driver.read(4, 4));
    driver.start(0x3000_0000L, 1);
    assertEquals(15, driver.status());
    driver.write(8, 4, 0);
    assertEquals(0x3000_0000L, driver.read(0xc, 4));
  }

  @Test
  void featuresThatWereNotOfferedAreRefused() {
    driver.write(STATUS, 1, 3);
    driver.write(8, 4, 0);
    driver.write(0xc, 4, 1);
    driver.write(8, 4, 1);
    driver.write(0xc, 4, 1);
    driver.write(STATUS, 1, 11);
    assertEquals(3, driver.status());
  }

  @Test
  void aLegacyDriverIsRefused() {
    driver.write(STATUS, 1, 3);
    driver.write(STATUS, 1, 11);
    assertEquals(3, driver.status());
  }

  @Test
  void queueSizesArePowersOfTwoUpToTheLargest() {
    driver.write(QUEUE_SELECT, 2, 0);
    assertEquals(8, driver.read(QUEUE_SIZE, 2));
    driver.write(QUEUE_SIZE, 2, 16);
    assertEquals(8, driver.read(QUEUE_SIZE, 2));
    driver.write(QUEUE_SIZE, 2, 3);
    assertEquals(8, driver.read(QUEUE_SIZE, 2));
    driver.write(QUEUE_SIZE, 2, 4);
    assertEquals(4, driver.read(QUEUE_SIZE, 2));
    driver.write(QUEUE_SELECT, 2, 1);
    assertEquals(0, driver.read(QUEUE_SIZE, 2));
    assertEquals(1, driver.read(0x12, 2));
  }

  @Test
  void theDeviceFillsABufferAndInterrupts() {
    driver.start(0, 1);
    request(64);
    assertEquals(1, driver.usedIndex(0));
    assertEquals(64, driver.usedLength(0, 0));
    assertTrue(driver.line);
    assertEquals(1, driver.read(0x1000, 1));
    assertFalse(driver.line);
    assertEquals(0, driver.read(0x1000, 1));
  }

  @Test
  void entropyIsAFunctionOfTheSeed() {
    driver.start(0, 1);
    request(16);
    byte[] first = driver.bytes(BUFFERS, 16);
    for (int seed = 1; seed <= 2; seed++) {
      try (VirtioFixture other = new VirtioFixture()) {
        other.attach(new VirtioEntropy("rng", other.memory, other.bus, seed).transport());
        other.start(0, 1);
        other.descriptor(VirtioFixture.table(0), 0, BUFFERS, 16, WRITE, 0);
        other.offer(0, 0);
        other.notifyQueue(0);
        assertEquals(seed == 1, Arrays.equals(first, other.bytes(BUFFERS, 16)));
      }
    }
  }

  @Test
  void theDriverCanSuppressInterrupts() {
    driver.start(0, 1);
    driver.memory.writeShort(VirtioFixture.available(0), (short) 1);
    request(8);
    assertEquals(1, driver.usedIndex(0));
    assertFalse(driver.line);
  }

  @Test
  void eventIndexesDecideAboutInterrupts() {
    // Section 2.7.7.2: interrupt when the used index passes used_event.
    driver.start(1 << 29, 1);
    long usedEvent = VirtioFixture.available(0) + 4 + 2L * driver.size;
    long availableEvent = VirtioFixture.used(0) + 4 + 8L * driver.size;
    driver.memory.writeShort(usedEvent, (short) 1);
    request(8);
    assertFalse(driver.line);
    assertEquals(1, driver.memory.readShort(availableEvent));
    request(8);
    assertTrue(driver.line);
    assertEquals(2, driver.memory.readShort(availableEvent));
  }

  @Test
  void resetForgetsQueuesAndInterrupts() {
    driver.start(0, 1);
    request(8);
    driver.write(STATUS, 1, 0);
    assertFalse(driver.line);
    assertEquals(0, driver.status());
    driver.write(QUEUE_SELECT, 2, 0);
    assertEquals(0, driver.read(QUEUE_ENABLE, 2));
    assertEquals(0, driver.read(0x20, 8));
    assertEquals(0xffff, driver.read(0x1a, 2));
  }

  @Test
  void nothingHappensBeforeTheDriverIsReady() {
    driver.start(0, 1);
    driver.write(STATUS, 1, 11);
    request(8);
    assertEquals(0, driver.usedIndex(0));
    driver.write(STATUS, 1, 15);
    assertEquals(1, driver.usedIndex(0));
  }

  @Test
  void aMistakeStopsTheDeviceUntilItIsReset() {
    driver.start(0, 1);
    driver.descriptor(VirtioFixture.table(0), 0, 1L << 40, 8, WRITE, 0);
    driver.offer(0, 0);
    driver.notifyQueue(0);
    assertEquals(15 | NEEDS_RESET, driver.status());
    assertEquals(2, driver.read(0x1000, 1));
    request(8);
    assertEquals(0, driver.usedIndex(0));
    driver.start(0, 1);
    request(8);
    assertEquals(1, driver.usedIndex(0));
    assertEquals(15, driver.status());
  }

  @Test
  void theConfigurationWindowReachesTheRegisters() {
    // Section 4.1.4.9.
    int at = capabilities(9).getLast();
    driver.writeConfiguration(at + 4, 1, 0);
    driver.writeConfiguration(at + 8, 4, 0x12);
    driver.writeConfiguration(at + 12, 4, 2);
    assertEquals(1, driver.readConfiguration(at + 16, 2));
    driver.writeConfiguration(at + 8, 4, 0x14);
    driver.writeConfiguration(at + 12, 4, 1);
    driver.writeConfiguration(at + 16, 4, 3);
    assertEquals(3, driver.status());
    driver.writeConfiguration(at + 8, 4, 0xffff_ffffL);
    assertEquals(0, driver.readConfiguration(at + 16, 4));
  }

  private LocalApic apic() {
    LocalApic apic =
        new LocalApic(
            0,
            46,
            driver.bus,
            new Pic8259(),
            driver.clock,
            new Frequency(25_000_000),
            new Frequency(1_000_000_000));
    apic.enterVirtualWireMode();
    return apic;
  }

  @Test
  void messagesReplaceTheInterruptPin() {
    LocalApic apic = apic();
    int control = capabilities(0x11).getFirst() + 2;
    assertEquals(1, driver.readConfiguration(control, 2));
    driver.writeConfiguration(control, 2, ENABLE);
    driver.start(0, 1);
    driver.write(QUEUE_SELECT, 2, 0);
    driver.write(0x1a, 2, 1);
    assertEquals(1, driver.read(0x1a, 2));
    driver.memory.devices().write(MESSAGES + 16, 8, 0xfee0_0000L);
    driver.memory.devices().write(MESSAGES + 24, 4, 0x51);
    driver.memory.devices().write(MESSAGES + 28, 4, 0);
    request(8);
    assertFalse(driver.line);
    assertEquals(0, driver.read(0x1000, 1));
    assertEquals(0x51, apic.acknowledge());
    driver.write(0x1a, 2, 2);
    assertEquals(0xffff, driver.read(0x1a, 2));
  }

  @Test
  void maskedMessagesArePendingUntilUnmasked() {
    LocalApic apic = apic();
    int control = capabilities(0x11).getFirst() + 2;
    driver.writeConfiguration(control, 2, ENABLE | FUNCTION_MASK);
    driver.start(0, 1);
    driver.write(QUEUE_SELECT, 2, 0);
    driver.write(0x1a, 2, 1);
    driver.memory.devices().write(MESSAGES + 16, 8, 0xfee0_0000L);
    driver.memory.devices().write(MESSAGES + 24, 8, 0x51);
    request(8);
    assertEquals(2, driver.memory.devices().read(MESSAGES + 0x800, 4));
    assertFalse(apic.hasInterrupt());
    driver.writeConfiguration(control, 2, ENABLE);
    assertEquals(0, driver.memory.devices().read(MESSAGES + 0x800, 4));
    assertEquals(0x51, apic.acknowledge());
  }

  @Test
  void messagesOutsideTheInterruptRangeAreLost() {
    driver.writeConfiguration(capabilities(0x11).getFirst() + 2, 2, ENABLE);
    driver.start(0, 1);
    driver.write(QUEUE_SELECT, 2, 0);
    driver.write(0x1a, 2, 1);
    driver.memory.devices().write(MESSAGES + 16, 8, 0x1000);
    driver.memory.devices().write(MESSAGES + 24, 8, 0x51);
    request(8);
    assertEquals(0, driver.memory.readInt(0x1000));
  }
}
