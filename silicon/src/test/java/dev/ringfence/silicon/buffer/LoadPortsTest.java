package dev.ringfence.silicon.buffer;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

/** Intel, "Microarchitectural Data Sampling": load ports "can retain data values". */
final class LoadPortsTest {
  @Test
  void eachPortKeepsItsLastValueUntilTheNextLoad() {
    LoadPorts ports = new LoadPorts(2);
    ports.record(0x1000, 16, 0x11, 0x22);
    ports.record(0x2000, 1, 0x33, 0);
    int first = ports.sample();
    int second = ports.sample();
    assertEquals(first, ports.sample(), "ports take turns");
    assertEquals(0x11, ports.low(first));
    assertEquals(0x22, ports.high(first));
    assertEquals(0x1000, ports.source(first));
    assertEquals(16, ports.bytes(first));
    assertEquals(0x33, ports.low(second));
    ports.record(0x3000, 8, 0x44, 0);
    assertEquals(0x44, ports.low(first));
    assertEquals(0x3000, ports.source(first));
  }

  @Test
  void theUpperHalfStaysUntilTheNextLoadOfMoreThanEightBytes() {
    LoadPorts ports = new LoadPorts(1);
    ports.record(0x1000, 16, 0x11, 0x22);
    ports.record(0x2000, 8, 0x33, 0x99);
    assertEquals(0x33, ports.low(0));
    assertEquals(0x2000, ports.source(0));
    assertEquals(0x22, ports.high(0), "of the longer load");
    assertEquals(0x1008, ports.upperSource(0));
    ports.record(0x3000, 16, 0x44, 0x55);
    assertEquals(0x55, ports.high(0));
    assertEquals(0x3008, ports.upperSource(0));
  }

  @Test
  void clearingOverwritesAll() {
    LoadPorts ports = new LoadPorts(3);
    for (int i = 0; i < 3; i++) {
      ports.record(0x1000, 16, 0x11, 0x22);
    }
    ports.clear();
    for (int i = 0; i < 3; i++) {
      assertEquals(0, ports.low(i) | ports.high(i) | ports.bytes(i));
      assertEquals(LoadPorts.NO_SOURCE, ports.source(i));
      assertEquals(LoadPorts.NO_SOURCE, ports.upperSource(i));
    }
  }
}
