package dev.ringfence.machine.cpu;

import static dev.ringfence.machine.cpu.SystemFixture.CODE;
import static dev.ringfence.machine.cpu.SystemFixture.CODE0;
import static dev.ringfence.machine.cpu.SystemFixture.CODE3;
import static dev.ringfence.machine.cpu.SystemFixture.CODE64;
import static dev.ringfence.machine.cpu.SystemFixture.CODE64_3;
import static dev.ringfence.machine.cpu.SystemFixture.DATA0;
import static dev.ringfence.machine.cpu.SystemFixture.DATA3;
import static dev.ringfence.machine.cpu.SystemFixture.FREE;
import static dev.ringfence.machine.cpu.SystemFixture.HANDLER;
import static dev.ringfence.machine.cpu.SystemFixture.RING;
import static dev.ringfence.machine.cpu.SystemFixture.STACK;
import static dev.ringfence.machine.cpu.SystemFixture.STACK0;
import static dev.ringfence.machine.cpu.SystemFixture.TSS;
import static dev.ringfence.machine.cpu.SystemFixture.descriptor;
import static dev.ringfence.machine.cpu.SystemFixture.gate;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Far JMP, CALL and RET, call gates and system calls against SDM volume 2 and volume 3, 5.8. */
class FarTransferTest {
  private static final int GP = ProcessorException.GENERAL_PROTECTION;
  private static final int NP = ProcessorException.SEGMENT_NOT_PRESENT;
  private static final int UD = ProcessorException.INVALID_OPCODE;
  private static final int TS = ProcessorException.INVALID_TSS;

  private final SystemFixture f = new SystemFixture();

  @AfterEach
  void close() {
    f.close();
  }

  private static String direct(String opcode, int selector, int offset) {
    return opcode
        + "%02x%02x%02x%02x%02x%02x"
            .formatted(
                offset & 0xff,
                offset >> 8 & 0xff,
                offset >> 16 & 0xff,
                offset >>> 24,
                selector & 0xff,
                selector >> 8);
  }

  private static String jump(int selector) {
    return direct("ea", selector, HANDLER);
  }

  private static String call(int selector) {
    return direct("9a", selector, HANDLER);
  }

  @Test
  void realModeJumpsAndCalls() {
    f.realMode();
    f.run("ea 34 12 00 50");
    assertEquals(0x1234, f.state.rip);
    assertEquals(0x50000, f.state.segmentBase(SegmentRegister.CS));
    f.realMode();
    f.run("9a 34 12 00 50");
    long stack = f.state.segmentBase(SegmentRegister.SS) + 0xffec;
    assertEquals(CODE + 5, f.physical.readShort(stack) & 0xffff);
    assertEquals(0, f.physical.readShort(stack + 2));
    // A far return from there.
    f.physical.write(0x51234, new byte[] {(byte) 0xca, 4, 0}, 0, 3);
    f.run("ca 04 00");
    assertEquals(CODE + 5, f.state.rip);
    assertEquals(0xfff4, f.state.r[Slot.RSP]);
  }

  @Test
  void directTransfersStayInTheirRing() {
    for (int cpl = 0; cpl < 4; cpl++) {
      for (int rpl = 0; rpl < 4; rpl++) {
        for (int dpl = 0; dpl < 4; dpl++) {
          f.protectedMode(cpl);
          int selector = CODE0 + RING * dpl | rpl;
          if (dpl == cpl && rpl <= cpl) {
            f.run(jump(selector));
            assertEquals(selector & ~3 | cpl, f.selector(SegmentRegister.CS));
            assertEquals(HANDLER, f.state.rip);
          } else {
            f.expect(GP, selector & ~3, jump(selector));
          }
          // Conforming code runs in any ring that is not inner.
          f.protectedMode(cpl);
          f.setDescriptor(FREE, descriptor(0, 0xfffff, 0x9f | dpl << 5, 0xc));
          if (dpl <= cpl) {
            f.run(jump(FREE | rpl));
            assertEquals(FREE | cpl, f.selector(SegmentRegister.CS));
          } else {
            f.expect(GP, FREE, jump(FREE | rpl));
          }
        }
      }
    }
  }

  @Test
  void badTargetsAreRefused() {
    f.protectedMode(0);
    f.expect(GP, 0, jump(3));
    f.expect(GP, 0xff8, jump(0xff8));
    f.expect(GP, DATA0, jump(DATA0));
    f.setDescriptor(FREE, descriptor(0, 0xfffff, 0x1b, 0xc));
    f.expect(NP, FREE, jump(FREE));
    f.setDescriptor(FREE, descriptor(0, 0xfff, 0x9b, 0x4));
    f.expect(GP, 0, jump(FREE)); // beyond the limit
    f.expect(GP, 0, call(FREE));
    f.setDescriptor(FREE, descriptor(0, 0xfff, 0x82, 0));
    f.expect(GP, FREE, jump(FREE)); // LDT
  }

  @Test
  void callsPushTheReturnAddress() {
    f.protectedMode(0);
    f.run(call(CODE0));
    assertEquals(STACK - 8, f.state.r[Slot.RSP]);
    assertEquals(CODE + 7, f.physical.readInt(STACK - 8));
    assertEquals(CODE0, f.physical.readInt(STACK - 4));
    f.run("cb");
    assertEquals(CODE + 7, f.state.rip);
    assertEquals(STACK, f.state.r[Slot.RSP]);
  }

  @Test
  void indirectTransfersIn64BitMode() {
    f.longMode(0);
    f.state.r[Slot.RBX] = 0x9000;
    f.physical.writeLong(0x9000, 0xffff800000001000L);
    f.physical.writeShort(0x9008, (short) CODE64);
    f.run("48 ff 2b"); // jmp far [rbx], 64-bit offset
    assertEquals(0xffff800000001000L, f.state.rip);
    f.longMode(0);
    f.physical.writeInt(0x9000, HANDLER);
    f.physical.writeShort(0x9004, (short) CODE0);
    f.run("ff 1b"); // call far [rbx], 32-bit offset, to compatibility mode
    assertFalse(f.state.code64());
    assertEquals(STACK - 8, f.state.r[Slot.RSP]);
    assertEquals(CODE64, f.physical.readInt(STACK - 4));
    f.run("cb"); // and back
    assertTrue(f.state.code64());
    assertEquals(CODE + 2, f.state.rip);
    f.longMode(0);
    f.physical.writeLong(0x9000, 0x800000000000L);
    f.physical.writeShort(0x9008, (short) CODE64);
    f.expect(GP, 0, "48 ff 2b"); // not canonical
  }

  @Test
  void returnsToOuterRingsSwitchStacks() {
    f.longMode(0);
    long[] frame = {0x7fff00001000L, CODE64_3, 0x7fff00008000L, DATA3};
    for (int i = 0; i < 4; i++) {
      f.physical.writeLong(0x9000 + 8L * i + (i >= 2 ? 16 : 0), frame[i]);
    }
    f.state.r[Slot.RSP] = 0x9000;
    f.run("48 ca 10 00"); // retfq 16
    assertEquals(3, f.state.cpl);
    assertEquals(0x7fff00001000L, f.state.rip);
    assertEquals(0x7fff00008010L, f.state.r[Slot.RSP]);
    assertEquals(DATA3, f.selector(SegmentRegister.SS));
    assertEquals(0, f.selector(SegmentRegister.DS));
  }

  @Test
  void returnsToInnerRingsAreRefused() {
    f.protectedMode(3);
    f.physical.writeInt(STACK - 8, HANDLER);
    f.physical.writeInt(STACK - 4, CODE0);
    f.state.r[Slot.RSP] = STACK - 8;
    f.expect(GP, CODE0, "cb");
  }

  @Test
  void callGatesSwitchStacksAndCopyParameters() {
    f.protectedMode(3);
    f.setDescriptor(FREE, gate(CODE0, HANDLER, 0xec, 2));
    f.physical.writeInt(STACK - 8, 0x1111);
    f.physical.writeInt(STACK - 4, 0x2222);
    f.state.r[Slot.RSP] = STACK - 8;
    f.run(direct("9a", FREE | 3, 0xdeadbeef));
    assertEquals(0, f.state.cpl);
    assertEquals(HANDLER, f.state.rip);
    assertEquals(CODE0, f.selector(SegmentRegister.CS));
    assertEquals(DATA0, f.selector(SegmentRegister.SS));
    int[] expected = {CODE + 7, CODE3, 0x1111, 0x2222, STACK - 8, DATA3};
    assertEquals(STACK0 - 24, f.state.r[Slot.RSP]);
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], f.physical.readInt(STACK0 - 24 + 4L * i), "item " + i);
    }
    f.run("ca 08 00"); // retf 8
    assertEquals(3, f.state.cpl);
    assertEquals(CODE + 7, f.state.rip);
    assertEquals(STACK, f.state.r[Slot.RSP]);
  }

  @Test
  void callGatesCheckPrivilegeOfGateAndTarget() {
    f.protectedMode(3);
    f.setDescriptor(FREE, gate(CODE0, HANDLER, 0x8c, 0));
    f.expect(GP, FREE, call(FREE | 3)); // DPL of the gate
    f.setDescriptor(FREE, gate(CODE0, HANDLER, 0x6c, 0));
    f.expect(NP, FREE, call(FREE | 3)); // absent
    f.setDescriptor(FREE, gate(0, HANDLER, 0xec, 0));
    f.expect(GP, 0, call(FREE | 3)); // null target
    f.setDescriptor(FREE, gate(DATA0, HANDLER, 0xec, 0));
    f.expect(GP, DATA0, call(FREE | 3)); // no code
    f.setDescriptor(FREE, gate(CODE0, HANDLER, 0xec, 0));
    f.expect(GP, CODE0, jump(FREE | 3)); // JMP cannot change the ring
    f.physical.writeInt(TSS + 8, 0);
    f.expect(TS, 0, call(FREE | 3));
    f.protectedMode(0);
    f.setDescriptor(FREE, gate(CODE3, HANDLER, 0x8c, 0));
    f.expect(GP, CODE3 & ~3, call(FREE)); // outer ring
  }

  @Test
  void callGatesIn64BitMode() {
    f.longMode(3);
    f.setDescriptor(FREE, gate(CODE64, HANDLER, 0xec, 0));
    f.setDescriptor(FREE + 8, 0xffff8000L);
    f.state.r[Slot.RBX] = 0x9000;
    f.physical.writeLong(0x9000, 0);
    f.physical.writeShort(0x9004, (short) (FREE | 3));
    f.run("ff 1b");
    assertEquals(0xffff80000000a000L, f.state.rip);
    assertEquals(0, f.selector(SegmentRegister.SS));
    long[] expected = {CODE + 2, CODE64_3, STACK, DATA3};
    assertEquals(STACK0 - 32, f.state.r[Slot.RSP]);
    for (int i = 0; i < 4; i++) {
      assertEquals(expected[i], f.physical.readLong(STACK0 - 32 + 8L * i));
    }
    f.longMode(3);
    f.setDescriptor(FREE, gate(CODE0, HANDLER, 0xec, 0));
    f.expect(GP, CODE0, "ff 1b"); // target without L
    f.setDescriptor(FREE, gate(CODE64, HANDLER, 0xec, 0));
    f.setDescriptor(FREE + 8, 1L << 40);
    f.expect(GP, FREE, "ff 1b"); // type bits in the upper half
    f.setDescriptor(FREE, descriptor(TSS, 0x67, 0xe9, 0));
    f.expect(GP, FREE, "ff 1b"); // no task switches in IA-32e mode
  }

  @Test
  void sysenterNeedsACodeSegment() {
    f.longMode(3);
    f.expect(GP, 0, "0f 34");
    f.state.sysenterCs = CODE64;
    f.state.sysenterEsp = 0xffff800000002000L;
    f.state.sysenterEip = 0xffff800000003000L;
    f.state.systemFlags = Flags.IF;
    f.run("0f 34");
    assertEquals(0xffff800000003000L, f.state.rip);
    assertEquals(0xffff800000002000L, f.state.r[Slot.RSP]);
    assertEquals(0, f.state.cpl);
    assertEquals(CODE64 + 8, f.selector(SegmentRegister.SS));
    assertFalse(f.state.flag(Flags.IF));
    f.state.rip = CODE;
    f.state.r[Slot.RDX] = 0x7fff00001000L;
    f.state.r[Slot.RCX] = 0x7fff00002000L;
    f.run("48 0f 35");
    assertEquals(0x7fff00001000L, f.state.rip);
    assertEquals(CODE64 + 32 | 3, f.selector(SegmentRegister.CS));
    assertEquals(CODE64 + 40 | 3, f.selector(SegmentRegister.SS));
    assertTrue(f.state.code64());
    f.longMode(3);
    f.expect(GP, 0, "48 0f 35");
    f.longMode(0);
    f.state.r[Slot.RCX] = 0x800000000000L;
    f.expect(GP, 0, "48 0f 35");
    f.realMode();
    f.expect(GP, 0, "0f 34");
  }

  @Test
  void syscallSavesAndMasks() {
    f.longMode(3);
    f.state.star = (long) CODE64 << 32 | (long) CODE3 << 48;
    f.state.lstar = 0xffffffff81000000L;
    f.state.fmask = Flags.IF | Flags.TF | Flags.DF;
    f.state.setRflags(Flags.IF | Flags.DF | Flags.CF);
    f.run("0f 05");
    assertEquals(0xffffffff81000000L, f.state.rip);
    assertEquals(CODE + 2, f.state.r[Slot.RCX]);
    assertEquals(Flags.IF | Flags.DF | Flags.CF | 2, f.state.r[Slot.R11]);
    assertEquals(Flags.CF | 2, f.state.rflags());
    assertEquals(CODE64, f.selector(SegmentRegister.CS));
    assertEquals(CODE64 + 8, f.selector(SegmentRegister.SS));
    assertEquals(0, f.state.cpl);
    assertEquals(STACK, f.state.r[Slot.RSP], "SYSCALL leaves the stack alone");
    f.state.rip = CODE;
    f.state.r[Slot.RCX] = 0x7fff00001000L;
    f.state.r[Slot.R11] = Flags.IF | Flags.RF | Flags.VM | Flags.ZF;
    f.run("48 0f 07");
    assertEquals(0x7fff00001000L, f.state.rip);
    assertEquals((CODE3 & ~3) + 16 | 3, f.selector(SegmentRegister.CS));
    assertEquals((CODE3 & ~3) + 8 | 3, f.selector(SegmentRegister.SS));
    assertEquals(Flags.IF | Flags.ZF | 2, f.state.rflags());
    assertEquals(3, f.state.cpl);
  }

  @Test
  void sysretToCompatibilityModeCutsRip() {
    f.longMode(0);
    f.state.star = (long) CODE3 << 48;
    f.state.r[Slot.RCX] = 0x1_2345_6789L;
    f.run("0f 07");
    assertEquals(0x23456789, f.state.rip);
    assertFalse(f.state.code64());
    assertEquals(CODE3, f.selector(SegmentRegister.CS));
  }

  @Test
  void syscallConditions() {
    f.longMode(3);
    f.state.efer &= ~ControlBits.EFER_SCE;
    f.expect(UD, "0f 05");
    f.expect(UD, "48 0f 07");
    f.compatibilityMode(3);
    f.expect(UD, "0f 05");
    f.protectedMode(3);
    f.expect(UD, "0f 05");
    f.longMode(3);
    f.expect(GP, 0, "48 0f 07"); // ring 0 only
    f.longMode(0);
    f.state.r[Slot.RCX] = 0x800000000000L;
    f.expect(GP, 0, "48 0f 07"); // not canonical, raised in ring 0 as on all Intel processors
  }
}
