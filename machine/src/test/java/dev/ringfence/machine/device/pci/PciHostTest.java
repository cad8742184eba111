package dev.ringfence.machine.device.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.ringfence.machine.memory.IoRegion;
import dev.ringfence.machine.memory.IoSpace;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Configuration mechanism and base addresses (PCI 3.0, sections 3.2.2.3.2 and 6.2.5). */
final class PciHostTest {
  private final IoSpace ports = new IoSpace("port");
  private final IoSpace memory = new IoSpace("memory");
  private final Latch reset = new Latch();
  private final Latch registers = new Latch();
  private final Latch portRegisters = new Latch();
  private final PciHost host = new PciHost(ports, memory, reset);
  private final PciFunction function =
      new PciFunction(
          "test", new PciFunction.Identity(0x1234, 0x5678, 9, 0x01_0203, 0xaaaa, 0xbbbb));
  private boolean line;

  private static final class Latch implements IoRegion {
    private long value;

    @Override
    public long read(long offset, int bytes) {
      return value + offset;
    }

    @Override
    public void write(long offset, int bytes, long written) {
      value = written;
    }
  }

  @BeforeEach
  void attach() {
    function.addMemory(0, 0x1000, registers);
    function.addPorts(1, 0x20, portRegisters);
    function.setInterrupt(1, 11, asserted -> line = asserted);
    host.attach(3, function);
    host.assignAddresses();
  }

  private long in(int device, int register, int bytes) {
    ports.write(0xcf8, 4, 0x8000_0000L | device << 11 | register & 0xfc);
    return ports.read(0xcfc + (register & 3), bytes);
  }

  private void out(int device, int register, int bytes, long value) {
    ports.write(0xcf8, 4, 0x8000_0000L | device << 11 | register & 0xfc);
    ports.write(0xcfc + (register & 3), bytes, value);
  }

  @Test
  void theHeaderHasTheIdentity() {
    assertEquals(0x5678_1234L, in(3, 0, 4));
    assertEquals(0x0102_0309L, in(3, 8, 4));
    assertEquals(0xbbbb_aaaaL, in(3, 0x2c, 4));
    assertEquals(0x010b, in(3, 0x3c, 2));
    assertEquals(0x06_0000, in(0, 8, 4) >>> 8);
  }

  @Test
  void absentDevicesBusesAndFunctionsReadAsOnes() {
    assertEquals(0xffff_ffffL, in(4, 0, 4));
    ports.write(0xcf8, 4, 0x8001_1800L);
    assertEquals(0xffff, ports.read(0xcfc, 2));
    ports.write(0xcf8, 4, 0x8000_1900L);
    assertEquals(0xff, ports.read(0xcfc, 1));
    ports.write(0xcf8, 4, 0x0000_1800L);
    assertEquals(0xffff_ffffL, ports.read(0xcfc, 4));
  }

  @Test
  void theAddressIsAccessedAsAWholeOnly() {
    ports.write(0xcf8, 4, 0x8000_1804L);
    ports.write(0xcf8, 2, 0);
    assertEquals(0x8000_1804L, ports.read(0xcf8, 4));
    ports.write(0xcf9, 1, 6);
    assertEquals(6, reset.value);
    assertEquals(6, ports.read(0xcf9, 1));
  }

  @Test
  void sizesAreFoundByWritingOnes() {
    out(3, 0x10, 4, 0xffff_ffffL);
    assertEquals(0xffff_f000L, in(3, 0x10, 4));
    out(3, 0x14, 4, 0xffff_ffffL);
    assertEquals(0xffff_ffe1L, in(3, 0x14, 4));
    out(3, 0x18, 4, 0xffff_ffffL);
    assertEquals(0, in(3, 0x18, 4));
  }

  @Test
  void firmwareHasPlacedTheRanges() {
    assertEquals(PciHost.MEMORY_START, in(3, 0x10, 4));
    assertEquals(PciHost.PORT_START | 1, in(3, 0x14, 4));
    memory.write(PciHost.MEMORY_START + 4, 4, 77);
    assertEquals(77 + 8, memory.read(PciHost.MEMORY_START + 8, 4));
    ports.write(PciHost.PORT_START, 2, 99);
    assertEquals(99, portRegisters.value);
  }

  @Test
  void rangesMoveWithTheirRegisters() {
    registers.value = 5;
    out(3, 0x10, 4, 0xd000_0000L);
    assertEquals(0xffff_ffffL, memory.read(PciHost.MEMORY_START, 4));
    assertEquals(5, memory.read(0xd000_0000L, 4));
    out(3, 4, 2, 1);
    assertEquals(0xffff_ffffL, memory.read(0xd000_0000L, 4));
    assertEquals(0, ports.read(PciHost.PORT_START, 1));
    out(3, 4, 2, 2);
    assertEquals(5, memory.read(0xd000_0000L, 4));
    assertEquals(0xff, ports.read(PciHost.PORT_START, 1));
  }

  @Test
  void aRangeOverAnotherDeviceIsNotReachable() {
    Latch other = new Latch();
    other.value = 1234;
    memory.attach("other", 0xd000_0000L, 0x100, other);
    out(3, 0x10, 4, 0xd000_0000L);
    assertEquals(1234, memory.read(0xd000_0000L, 4));
    out(3, 0x10, 4, 0xd000_1000L);
    assertEquals(0, memory.read(0xd000_1000L, 4));
  }

  @Test
  void readOnlyFieldsKeepTheirValues() {
    for (int register = 0; register < 256; register += 4) {
      out(3, register, 4, 0);
    }
    assertEquals(0x5678_1234L, in(3, 0, 4));
    assertEquals(0x0102_0309L, in(3, 8, 4));
    assertEquals(1, in(3, 0x3d, 1));
  }

  @Test
  void theInterruptCanBeDisabledAndShowsInTheStatus() {
    function.assertInterrupt(true);
    assertEquals(true, line);
    assertEquals(8, in(3, 6, 2) & 8);
    out(3, 4, 2, 1 << 10);
    assertEquals(false, line);
    assertEquals(8, in(3, 6, 2) & 8);
    out(3, 4, 2, 0);
    assertEquals(true, line);
    function.assertInterrupt(false);
    assertEquals(0, in(3, 6, 2) & 8);
  }

  @Test
  void capabilitiesFormAList() {
    int first = function.addCapability(9, 20);
    int second = function.addCapability(5, 10);
    assertEquals(0x10, in(3, 6, 2) & 0x10);
    assertEquals(first, in(3, 0x34, 1));
    assertEquals(9 | second << 8, in(3, first, 2));
    assertEquals(5, in(3, second, 2));
    assertThrows(IllegalStateException.class, () -> function.addCapability(9, 200));
  }

  @Test
  void pinsRotateByDevice() {
    assertEquals(17, PciHost.wireOf(1, 1));
    assertEquals(18, PciHost.wireOf(1, 2));
    assertEquals(16, PciHost.wireOf(4, 1));
  }
}
