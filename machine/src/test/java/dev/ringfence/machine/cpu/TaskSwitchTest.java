package dev.ringfence.machine.cpu;

import static dev.ringfence.machine.cpu.SystemFixture.CODE;
import static dev.ringfence.machine.cpu.SystemFixture.CODE0;
import static dev.ringfence.machine.cpu.SystemFixture.CODE3;
import static dev.ringfence.machine.cpu.SystemFixture.DATA0;
import static dev.ringfence.machine.cpu.SystemFixture.DATA3;
import static dev.ringfence.machine.cpu.SystemFixture.FREE;
import static dev.ringfence.machine.cpu.SystemFixture.HANDLER;
import static dev.ringfence.machine.cpu.SystemFixture.STACK;
import static dev.ringfence.machine.cpu.SystemFixture.STACK1;
import static dev.ringfence.machine.cpu.SystemFixture.TASK;
import static dev.ringfence.machine.cpu.SystemFixture.TSS;
import static dev.ringfence.machine.cpu.SystemFixture.descriptor;
import static dev.ringfence.machine.cpu.SystemFixture.gate;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.interrupt.EventDelivery;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Hardware task switches against SDM volume 3, chapter 7. */
class TaskSwitchTest {
  private static final int GP = ProcessorException.GENERAL_PROTECTION;
  private static final int NP = ProcessorException.SEGMENT_NOT_PRESENT;
  private static final int TS = ProcessorException.INVALID_TSS;

  /** The TSS of the second task. */
  private static final int OTHER = 0x4000;

  private static final String JUMP = "ea 00 00 00 00 00 01";
  private static final String CALL = "9a 00 00 00 00 00 01";

  private final SystemFixture f = new SystemFixture();

  @BeforeEach
  void twoTasks() {
    f.protectedMode(0);
    f.setDescriptor(FREE, descriptor(OTHER, 0x67, 0x89, 0));
    f.physical.writeInt(OTHER + 0x20, HANDLER);
    f.physical.writeInt(OTHER + 0x24, Flags.IF | Flags.CF);
    for (int i = 0; i < 8; i++) {
      f.physical.writeInt(OTHER + 0x28 + 4L * i, 0x1000_0000 * (i + 1));
    }
    f.physical.writeInt(OTHER + 0x38, STACK1);
    int[] selectors = {DATA0, CODE0, DATA0, DATA3, 0, DATA3};
    for (int i = 0; i < 6; i++) {
      f.physical.writeInt(OTHER + 0x48 + 4L * i, selectors[i]);
    }
    f.physical.writeInt(OTHER + 0x60, 0);
    f.physical.writeInt(OTHER + 0x64, 0);
  }

  @AfterEach
  void close() {
    f.close();
  }

  private int type(int selector) {
    return (int) (f.readDescriptor(selector) >>> 40) & 0xf;
  }

  @Test
  void jumpSavesAndLoadsTheWholeState() {
    f.state.r[Slot.RBX] = 0xabcdef;
    f.state.setRflags(Flags.ZF);
    f.run(JUMP);
    assertEquals(FREE, f.selector(SegmentRegister.TR));
    assertEquals(HANDLER, f.state.rip);
    assertEquals(Flags.IF | Flags.CF | 2, f.state.rflags());
    assertEquals(0x10000000, f.state.r[Slot.RAX]);
    assertEquals(0x80000000L, f.state.r[Slot.RDI]);
    assertEquals(STACK1, f.state.r[Slot.RSP]);
    assertEquals(DATA3, f.selector(SegmentRegister.DS));
    assertEquals(0, f.selector(SegmentRegister.FS));
    assertTrue((f.state.cr0 & ControlBits.CR0_TS) != 0);
    // The old task.
    assertEquals(CODE + 7, f.physical.readInt(TSS + 0x20));
    assertEquals(Flags.ZF | 2, f.physical.readInt(TSS + 0x24));
    assertEquals(0xabcdef, f.physical.readInt(TSS + 0x34));
    assertEquals(STACK, f.physical.readInt(TSS + 0x38));
    assertEquals(CODE0, f.physical.readShort(TSS + 0x4c));
    assertEquals(Descriptor.TSS_BUSY, type(FREE));
    assertEquals(Descriptor.TSS_AVAILABLE, type(TASK));
  }

  @Test
  void callNestsAndIretReturns() {
    f.run(CALL);
    assertTrue(f.state.flag(Flags.NT));
    assertEquals(TASK, f.physical.readShort(OTHER));
    assertEquals(Descriptor.TSS_BUSY, type(FREE));
    assertEquals(Descriptor.TSS_BUSY, type(TASK));
    f.run("cf");
    assertEquals(TASK, f.selector(SegmentRegister.TR));
    assertEquals(CODE + 7, f.state.rip);
    assertEquals(Descriptor.TSS_AVAILABLE, type(FREE));
    assertEquals(0, f.physical.readInt(OTHER + 0x24) & Flags.NT);
    assertFalse(f.state.flag(Flags.NT));
  }

  @Test
  void tasksAreNotReentrant() {
    f.setDescriptor(FREE, descriptor(OTHER, 0x67, 0x8b, 0));
    f.expect(GP, FREE, JUMP);
    f.expect(GP, FREE, CALL);
    f.state.systemFlags |= Flags.NT;
    f.setDescriptor(FREE, descriptor(OTHER, 0x67, 0x89, 0));
    f.physical.writeShort(TSS, (short) FREE);
    f.expect(TS, FREE, "cf"); // IRET wants a busy one
  }

  @Test
  void descriptorsOfTasksAreChecked() {
    f.setDescriptor(FREE, descriptor(OTHER, 0x67, 0x09, 0));
    f.expect(NP, FREE, JUMP);
    f.setDescriptor(FREE, descriptor(OTHER, 0x66, 0x89, 0));
    f.expect(TS, FREE, JUMP);
    f.protectedMode(3);
    f.setDescriptor(FREE, descriptor(OTHER, 0x67, 0x89, 0));
    f.expect(GP, FREE, JUMP); // DPL
  }

  @Test
  void faultsOfTheNewTaskHappenInIt() {
    f.setAllGates(CODE0, 0x8e);
    f.physical.writeInt(OTHER + 0x54, 0xff8); // DS beyond the table
    f.run(JUMP);
    assertEquals(FREE, f.selector(SegmentRegister.TR));
    assertEquals(HANDLER + TS, f.state.rip);
    assertEquals(STACK1 - 16, f.state.r[Slot.RSP]);
    assertEquals(0xff8, f.physical.readInt(STACK1 - 16));
    assertEquals(HANDLER, f.physical.readInt(STACK1 - 12));
  }

  @Test
  void taskGatesServeInterruptsAndPushErrorCodes() {
    f.setGate(GP, FREE, 0, 0x85);
    EventDelivery.raise(f.processor, ProcessorException.generalProtection(0x18));
    assertEquals(HANDLER, f.state.rip);
    assertTrue(f.state.flag(Flags.NT));
    assertEquals(STACK1 - 4, f.state.r[Slot.RSP]);
    assertEquals(0x18, f.physical.readInt(STACK1 - 4));
    assertEquals(CODE, f.physical.readInt(TSS + 0x20), "the fault's own address");
  }

  @Test
  void taskGatesServeCallsFromOuterRings() {
    f.protectedMode(3);
    f.setDescriptor(FREE, descriptor(OTHER, 0x67, 0x89, 0));
    f.setDescriptor(FREE + 8, gate(FREE, 0, 0xe5, 0));
    f.run("9a 00 00 00 00 0b 01");
    assertEquals(FREE, f.selector(SegmentRegister.TR));
    assertEquals(0, f.state.cpl);
    assertEquals(CODE3, f.physical.readShort(TSS + 0x4c));
  }

  @Test
  void aTaskInVirtual8086Mode() {
    f.physical.writeInt(OTHER + 0x24, Flags.VM | Flags.IF);
    f.physical.writeInt(OTHER + 0x4c, 0x800);
    f.physical.writeInt(OTHER + 0x20, 0x10);
    f.run(JUMP);
    assertTrue(f.state.virtual8086());
    assertEquals(3, f.state.cpl);
    assertEquals(0x8000, f.state.segmentBase(SegmentRegister.CS));
  }

  @Test
  void tasksOf16Bits() {
    f.setDescriptor(FREE, descriptor(OTHER, 0x2b, 0x81, 0));
    f.physical.writeShort(OTHER + 0x0e, (short) 0xa000);
    f.physical.writeShort(OTHER + 0x10, (short) Flags.CF);
    f.physical.writeShort(OTHER + 0x12, (short) 0x1234);
    f.physical.writeShort(OTHER + 0x22, (short) DATA0);
    f.physical.writeShort(OTHER + 0x24, (short) CODE0);
    f.physical.writeShort(OTHER + 0x26, (short) DATA0);
    f.physical.writeShort(OTHER + 0x28, (short) DATA0);
    f.physical.writeShort(OTHER + 0x2a, (short) 0);
    f.run(JUMP);
    assertEquals(0xa000, f.state.rip);
    assertEquals(0xffff1234L, f.state.r[Slot.RAX]);
    assertEquals(0, f.selector(SegmentRegister.FS));
    assertEquals(Descriptor.TSS16_BUSY, type(FREE));
  }

  @Test
  void theDebugFlagOfATaskTraps() {
    f.physical.writeInt(OTHER + 0x64, 1);
    f.run(JUMP);
    assertEquals(DebugRegisters.DR6_BT, f.state.debugPending);
    assertTrue(InstructionBoundary.mustStep(f.state));
  }
}
