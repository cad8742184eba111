package dev.ringfence.machine.cpu;

import static dev.ringfence.machine.cpu.SystemFixture.CODE;
import static dev.ringfence.machine.cpu.SystemFixture.CODE64;
import static dev.ringfence.machine.cpu.SystemFixture.DATA0;
import static dev.ringfence.machine.cpu.SystemFixture.HANDLER;
import static dev.ringfence.machine.cpu.SystemFixture.STACK;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Single step, breakpoints and shadows against SDM volume 3, sections 6.8 and 17.3. */
class InstructionBoundaryTest {
  private static final String NOP = "90";

  private final SystemFixture f = new SystemFixture();

  @BeforeEach
  void enter() {
    f.longMode(0);
    f.setAllGates(CODE64, 0x8e);
  }

  @AfterEach
  void close() {
    f.close();
  }

  /** Executes an instruction as the machine does when it must step. */
  private void step(String hex) {
    assertTrue(InstructionBoundary.mustStep(f.state));
    int before = InstructionBoundary.begin(f.processor);
    f.run(hex);
    InstructionBoundary.end(f.processor, before);
  }

  private boolean trapped() {
    return f.state.rip == HANDLER + ProcessorException.DEBUG;
  }

  private long pushedFlags() {
    return f.physical.readLong(f.state.r[Slot.RSP] + 16);
  }

  @Test
  void freelyRunningProcessorsNeedNotStep() {
    assertFalse(InstructionBoundary.mustStep(f.state));
  }

  @Test
  void theTrapFlagTrapsAfterTheInstruction() {
    f.state.systemFlags |= Flags.TF;
    step(NOP);
    assertTrue(trapped());
    assertEquals(CODE + 1, f.physical.readLong(f.state.r[Slot.RSP]));
    assertEquals(DebugRegisters.DR6_RESET | DebugRegisters.DR6_BS, f.state.dr6);
    assertFalse(f.state.flag(Flags.TF));
    assertTrue((pushedFlags() & Flags.TF) != 0);
  }

  @Test
  void popfThatSetsTheTrapFlagTrapsAfterTheNextInstruction() {
    f.state.systemFlags |= Flags.RF;
    f.physical.writeLong(STACK, Flags.TF);
    step("9d");
    assertFalse(trapped());
    step(NOP);
    assertTrue(trapped());
  }

  @Test
  void loadsOfTheStackSegmentPostponeTheTrap() {
    f.state.systemFlags |= Flags.TF;
    f.state.r[Slot.RAX] = DATA0;
    step("8e d0");
    assertFalse(trapped());
    step(NOP);
    assertTrue(trapped());
    assertEquals(CODE + 3, f.physical.readLong(f.state.r[Slot.RSP]));
  }

  @Test
  void softwareInterruptsAreNotStepped() {
    f.state.systemFlags |= Flags.TF;
    step("cd 30");
    assertEquals(HANDLER + 0x30, f.state.rip);
    assertEquals(0, f.state.debugPending);
  }

  @Test
  void systemCallsThatMaskTheTrapFlagAreNotStepped() {
    f.state.systemFlags |= Flags.TF;
    f.state.star = (long) CODE64 << 32;
    f.state.lstar = HANDLER;
    f.state.fmask = Flags.TF;
    step("0f 05");
    assertEquals(HANDLER, f.state.rip);
    f.longMode(0);
    f.setAllGates(CODE64, 0x8e);
    f.state.systemFlags |= Flags.TF;
    f.state.fmask = 0;
    step("0f 05");
    assertTrue(trapped());
  }

  @Test
  void returnsFromSystemCallsTrapAtOnce() {
    f.state.r[Slot.RCX] = CODE;
    f.state.r[Slot.R11] = Flags.TF;
    f.run("48 0f 07");
    assertTrue(InstructionBoundary.mustStep(f.state));
    InstructionBoundary.begin(f.processor);
    assertTrue(trapped());
    assertEquals(CODE, f.physical.readLong(f.state.r[Slot.RSP]));
  }

  @Test
  void instructionBreakpointsFaultBeforeTheInstructionUnlessResumeFlag() {
    f.state.debugAddress[2] = CODE;
    f.state.dr7 |= 2 << 4;
    ProcessorException fault =
        assertThrows(ProcessorException.class, () -> InstructionBoundary.begin(f.processor));
    assertEquals(ProcessorException.DEBUG, fault.vector());
    assertEquals(4, f.state.debugPending);
    f.state.debugPending = 0;
    f.state.systemFlags |= Flags.RF;
    step(NOP);
    assertFalse(f.state.flag(Flags.RF), "RF ends with the instruction");
    assertEquals(CODE + 1, f.state.rip);
  }

  @Test
  void iretThatSetsTheResumeFlagKeepsIt() {
    f.state.systemFlags |= Flags.RF;
    long[] frame = {CODE, CODE64, Flags.RF, STACK, DATA0};
    for (int i = 0; i < 5; i++) {
      f.physical.writeLong(STACK + 8L * i, frame[i]);
    }
    step("48 cf");
    assertTrue(f.state.flag(Flags.RF));
  }

  @Test
  void dataBreakpointsMatchOverlapAndKind() {
    f.state.debugAddress[0] = 0x9004;
    f.state.dr7 = DebugRegisters.DR7_RESET | 1 | 1 << 16 | 3 << 18; // four bytes, writes
    f.state.debugAddress[1] = 0x9101;
    f.state.dr7 |= 4 | 3 << 20 | 1 << 22; // two bytes, reads and writes; aligned to 9100H
    DebugRegisters.dataAccess(f.state, 0x9000, 4, true);
    DebugRegisters.dataAccess(f.state, 0x9008, 8, true);
    DebugRegisters.dataAccess(f.state, 0x9004, 4, false);
    DebugRegisters.dataAccess(f.state, 0x90ff, 1, true);
    DebugRegisters.dataAccess(f.state, 0x9102, 1, true);
    assertEquals(0, f.state.debugPending);
    DebugRegisters.dataAccess(f.state, 0x9000, 5, true);
    assertEquals(1, f.state.debugPending);
    DebugRegisters.dataAccess(f.state, 0x9100, 1, false);
    assertEquals(3, f.state.debugPending);
    assertTrue(DebugRegisters.watched(f.state, 0x9000, 4096));
    assertFalse(DebugRegisters.watched(f.state, 0xa000, 4096));
  }

  @Test
  void repeatedStringsTrapAfterTheElementThatHits() {
    f.state.debugAddress[0] = 0x9001;
    f.state.dr7 = DebugRegisters.DR7_RESET | 1 | 1 << 16;
    f.state.r[Slot.RDI] = 0x9000;
    f.state.r[Slot.RCX] = 3;
    step("f3 aa");
    assertFalse(trapped());
    assertEquals(CODE, f.state.rip);
    step("f3 aa");
    assertTrue(trapped());
    assertEquals(1, f.state.r[Slot.RCX]);
    assertEquals(CODE, f.physical.readLong(f.state.r[Slot.RSP]));
  }

  @Test
  void portBreakpointsNeedDebugExtensions() {
    f.state.debugAddress[3] = 0x3f8;
    f.state.dr7 |= 2 << 6 | 2 << 28;
    DebugRegisters.portAccess(f.state, 0x3f8, 1);
    assertEquals(0, f.state.debugPending);
    f.state.cr4 |= ControlBits.CR4_DE;
    f.state.r[Slot.RDX] = 0x3f8;
    step("ec");
    assertTrue(trapped());
    assertEquals(DebugRegisters.DR6_RESET | 8, f.state.dr6);
  }

  @Test
  void shadowsLastForOneInstruction() {
    f.run("fb");
    assertFalse(InstructionBoundary.interruptsEnabled(f.state));
    assertFalse(InstructionBoundary.nonMaskableEnabled(f.state));
    step(NOP);
    assertTrue(InstructionBoundary.interruptsEnabled(f.state));
    assertTrue(InstructionBoundary.nonMaskableEnabled(f.state));
  }

  @Test
  void stiBeforeHaltLetsTheInterruptEndTheHalt() {
    f.run("fb");
    step("f4");
    assertTrue(f.state.halted);
    assertTrue(InstructionBoundary.interruptsEnabled(f.state));
  }
}
