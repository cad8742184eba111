package dev.ringfence.machine.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.memory.IoSpace;
import dev.ringfence.machine.memory.PhysicalMemory;
import dev.ringfence.machine.time.Frequency;
import dev.ringfence.machine.time.VirtualClock;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Power-up, INIT and start-up against SDM volume 3, table 9-1 and section 8.4. */
class ProcessorResetTest {
  private final PhysicalMemory physical = new PhysicalMemory(1 << 20);

  @AfterEach
  void close() {
    physical.close();
  }

  private Processor processor(int index) {
    Processor processor =
        new Processor(
            index,
            CpuModel.load(CpuModel.DEFAULT),
            physical,
            new IoSpace("port"),
            new VirtualClock(),
            new Frequency(1_000_000_000));
    processor.connect(new SystemFixture.Apic());
    ProcessorReset.powerUp(processor);
    return processor;
  }

  @Test
  void powerUpFollowsTable91() {
    ProcessorState state = processor(0).state();
    assertEquals(2, state.rflags());
    assertEquals(0xfff0, state.rip);
    assertEquals(0x60000010L, state.cr0);
    assertEquals(0, state.cr2 | state.cr3 | state.cr4 | state.efer);
    assertEquals(0xf000, state.selector[SegmentRegister.CS]);
    assertEquals(0xffff0000L, state.segmentBase(SegmentRegister.CS));
    assertEquals(0x93, state.access[SegmentRegister.DS]);
    assertEquals(0xffff, state.limit[SegmentRegister.SS]);
    assertEquals(0xffff, state.gdtrLimit);
    assertEquals(0x50654, state.r[Slot.RDX]);
    assertEquals(0xffff0ff0L, state.dr6);
    assertEquals(0x400, state.dr7);
    assertEquals(0x40, state.x87Control);
    assertEquals(0x1f80, state.mxcsr);
    assertEquals(1, state.xcr0);
    assertFalse(state.waitsForStartup);
  }

  @Test
  void initKeepsWhatTable91Keeps() {
    Processor processor = processor(0);
    ProcessorState state = processor.state();
    state.cr0 = ControlBits.CR0_PE | ControlBits.CR0_CD;
    state.mxcsr = 0x1fa0;
    state.tscOffset = 77;
    state.lstar = 5;
    state.r[Slot.RAX] = 1;
    state.r[Slot.VECTOR] = 9;
    ProcessorReset.init(processor);
    assertEquals(ControlBits.CR0_CD | ControlBits.CR0_ET, state.cr0);
    assertEquals(0x1fa0, state.mxcsr);
    assertEquals(77, state.tscOffset);
    assertEquals(5, state.lstar);
    assertEquals(9, state.r[Slot.VECTOR]);
    assertEquals(0, state.r[Slot.RAX]);
    assertEquals(0xfff0, state.rip);
  }

  @Test
  void applicationProcessorsWaitForTheirVector() {
    Processor processor = processor(1);
    ProcessorState state = processor.state();
    assertTrue(state.waitsForStartup);
    ProcessorReset.startUp(processor, 0x9a);
    assertFalse(state.waitsForStartup);
    assertEquals(0x9a00, state.selector[SegmentRegister.CS]);
    assertEquals(0x9a000, state.segmentBase(SegmentRegister.CS));
    assertEquals(0, state.rip);
    ProcessorReset.startUp(processor, 0x10);
    assertEquals(0x9a00, state.selector[SegmentRegister.CS], "a running one does not listen");
  }

  @Test
  void randomNumbersFollowFromTheSeed() {
    try (SystemFixture first = new SystemFixture();
        SystemFixture second = new SystemFixture()) {
      first.longMode(3);
      second.longMode(3);
      first.state.randomState = 42;
      second.state.randomState = 42;
      first.run("48 0f c7 f0");
      second.run("48 0f c7 f8"); // rdrand and rdseed draw from one sequence
      long value = first.state.r[Slot.RAX];
      assertEquals(value, second.state.r[Slot.RAX]);
      assertEquals(Flags.CF, first.state.statusFlags());
      first.run("48 0f c7 f0");
      assertNotEquals(value, first.state.r[Slot.RAX]);
      first.state.r[Slot.RBX] = -1;
      first.run("66 0f c7 f3"); // 16 bits
      assertEquals(-1L >>> 16, first.state.r[Slot.RBX] >>> 16);
      first.run("0f c7 f3"); // 32 bits
      assertEquals(0, first.state.r[Slot.RBX] >>> 32);
    }
  }
}
