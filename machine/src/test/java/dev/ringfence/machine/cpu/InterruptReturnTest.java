package dev.ringfence.machine.cpu;

import static dev.ringfence.machine.cpu.SystemFixture.CODE;
import static dev.ringfence.machine.cpu.SystemFixture.CODE0;
import static dev.ringfence.machine.cpu.SystemFixture.CODE3;
import static dev.ringfence.machine.cpu.SystemFixture.CODE64;
import static dev.ringfence.machine.cpu.SystemFixture.CODE64_3;
import static dev.ringfence.machine.cpu.SystemFixture.DATA0;
import static dev.ringfence.machine.cpu.SystemFixture.DATA3;
import static dev.ringfence.machine.cpu.SystemFixture.FREE;
import static dev.ringfence.machine.cpu.SystemFixture.RING;
import static dev.ringfence.machine.cpu.SystemFixture.STACK;
import static dev.ringfence.machine.cpu.SystemFixture.descriptor;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** IRET, PUSHF, POPF, CLI and STI against SDM volume 2. */
class InterruptReturnTest {
  private static final int GP = ProcessorException.GENERAL_PROTECTION;
  private static final int NP = ProcessorException.SEGMENT_NOT_PRESENT;
  private static final int SS_FAULT = ProcessorException.STACK_FAULT;
  private static final String IRETQ = "48 cf";
  private static final String IRETD = "cf";
  private static final long ALL_FLAGS = Flags.STATUS | Flags.SYSTEM;

  private final SystemFixture f = new SystemFixture();

  @AfterEach
  void close() {
    f.close();
  }

  private void frame64(long rip, long cs, long flags, long rsp, long ss) {
    long[] values = {rip, cs, flags, rsp, ss};
    f.state.r[Slot.RSP] = STACK - 40;
    for (int i = 0; i < 5; i++) {
      f.physical.writeLong(STACK - 40 + 8L * i, values[i]);
    }
  }

  private void frame32(long... values) {
    f.state.r[Slot.RSP] = STACK - 64;
    for (int i = 0; i < values.length; i++) {
      f.physical.writeInt(STACK - 64 + 4L * i, (int) values[i]);
    }
  }

  @Test
  void returnsToUserIn64BitMode() {
    f.longMode(0);
    f.state.selector[SegmentRegister.FS] = DATA3;
    f.state.access[SegmentRegister.FS] = 0xc0f3;
    frame64(0x7fff12345678L, CODE64_3, Flags.IF | Flags.CF, 0x7ffeabcd0000L, DATA3);
    f.run(IRETQ);
    assertEquals(0x7fff12345678L, f.state.rip);
    assertEquals(3, f.state.cpl);
    assertEquals(CODE64_3, f.selector(SegmentRegister.CS));
    assertEquals(DATA3, f.selector(SegmentRegister.SS));
    assertEquals(0x7ffeabcd0000L, f.state.r[Slot.RSP]);
    assertEquals(Flags.IF | Flags.CF | 2, f.state.rflags());
    assertEquals(0, f.selector(SegmentRegister.DS), "ring 0 data is taken away");
    assertEquals(DATA3, f.selector(SegmentRegister.FS), "ring 3 data stays");
  }

  @Test
  void returnsToUserInCompatibilityMode() {
    f.longMode(0);
    frame64(0x12345678, CODE3, 0, 0xfffff000L, DATA3);
    f.run(IRETQ);
    assertFalse(f.state.code64());
    assertEquals(0xfffff000L, f.state.r[Slot.RSP]);
    f.longMode(0);
    frame64(0x112345678L, CODE3, 0, 0, DATA3);
    f.expect(GP, 0, IRETQ); // beyond the limit of the segment
  }

  @Test
  void always64BitModePopsTheStack() {
    f.longMode(0);
    frame64(CODE, CODE64, 0, 0x9000, DATA0);
    f.run(IRETQ);
    assertEquals(0x9000, f.state.r[Slot.RSP]);
    f.longMode(0);
    frame64(CODE, CODE64, 0, 0x9000, 0);
    f.run(IRETQ); // a null SS in ring 0
    assertEquals(0, f.selector(SegmentRegister.SS));
  }

  @Test
  void badFramesIn64BitModeAreRefused() {
    f.longMode(0);
    frame64(0x800000000000L, CODE64_3, 0, 0, DATA3);
    f.expect(GP, 0, IRETQ);
    frame64(CODE, 0, 0, 0, DATA3);
    f.expect(GP, 0, IRETQ);
    frame64(CODE, CODE64 | 3, 0, 0, DATA3);
    f.expect(GP, CODE64, IRETQ); // DPL is not RPL
    frame64(CODE, DATA3, 0, 0, DATA3);
    f.expect(GP, DATA3 & ~3, IRETQ);
    frame64(CODE, CODE64_3, 0, 0, 0);
    f.expect(GP, 0, IRETQ); // null SS for ring 3
    frame64(CODE, CODE64_3, 0, 0, DATA0);
    f.expect(GP, DATA0, IRETQ);
    frame64(CODE, CODE64_3, 0, 0, CODE3);
    f.expect(GP, CODE3 & ~3, IRETQ);
    f.setDescriptor(FREE, descriptor(0, 0xfffff, 0x7b, 0xa));
    frame64(CODE, FREE | 3, 0, 0, DATA3);
    f.expect(NP, FREE, IRETQ);
    f.setDescriptor(FREE, descriptor(0, 0xfffff, 0x73, 0xc));
    frame64(CODE, CODE64_3, 0, 0, FREE | 3);
    f.expect(SS_FAULT, FREE, IRETQ);
    f.setDescriptor(FREE, descriptor(0, 0xfffff, 0xfb, 0xe));
    frame64(CODE, FREE | 3, 0, 0, DATA3);
    f.expect(GP, FREE, IRETQ); // L and D
    f.longMode(3);
    frame64(CODE, CODE64, 0, 0, DATA0);
    f.expect(GP, CODE64, IRETQ); // inner ring
    f.longMode(0);
    f.state.systemFlags |= Flags.NT;
    frame64(CODE, CODE64, 0, 0, DATA0);
    f.expect(GP, 0, IRETQ);
  }

  @Test
  void protectedModeReturnsWithinAndBetweenRings() {
    f.protectedMode(0);
    frame32(0x9000, CODE0, Flags.IF);
    f.run(IRETD);
    assertEquals(0x9000, f.state.rip);
    assertEquals(STACK - 52, f.state.r[Slot.RSP]);
    f.protectedMode(0);
    frame32(0x9000, CODE0 + RING | 1, Flags.IF, 0x11000, DATA0 + RING | 1);
    f.run(IRETD);
    assertEquals(1, f.state.cpl);
    assertEquals(0x11000, f.state.r[Slot.RSP]);
    assertEquals(0, f.selector(SegmentRegister.DS));
  }

  @Test
  void a16BitStackKeepsTheUpperHalfOfEsp() {
    f.protectedMode(0);
    f.setDescriptor(FREE, descriptor(0, 0xffff, 0xf3, 0));
    frame32(0x9000, CODE3, 0, 0xdead1234L, FREE | 3);
    f.run(IRETD);
    assertEquals(STACK - 64 & 0xffff0000L | 0x1234, f.state.r[Slot.RSP]);
  }

  @Test
  void ring0ReturnsToVirtual8086Mode() {
    f.protectedMode(0);
    frame32(0x100, 0x800, Flags.VM | Flags.IF, 0xfff0, 0x1000, 1, 2, 3, 4);
    f.run(IRETD);
    assertTrue(f.state.virtual8086());
    assertEquals(3, f.state.cpl);
    assertEquals(0x8000, f.state.segmentBase(SegmentRegister.CS));
    assertEquals(0x10000, f.state.segmentBase(SegmentRegister.SS));
    assertEquals(1, f.selector(SegmentRegister.ES));
    assertEquals(4, f.selector(SegmentRegister.GS));
    assertEquals(0xfff0, f.state.r[Slot.RSP]);
  }

  @Test
  void virtual8086ModeReturnsWithIoplOnly() {
    f.virtual8086();
    f.expect(GP, 0, "cf");
    f.state.systemFlags |= Flags.IOPL;
    long stack = f.state.segmentBase(SegmentRegister.SS) + 0xfff0;
    f.physical.writeShort(stack, (short) 0x20);
    f.physical.writeShort(stack + 2, (short) 0x900);
    f.physical.writeShort(stack + 4, (short) Flags.IF);
    f.run("cf");
    assertEquals(0x20, f.state.rip);
    assertEquals(0x9000, f.state.segmentBase(SegmentRegister.CS));
    assertEquals(Flags.IF | Flags.IOPL | Flags.VM | 2, f.state.rflags());
  }

  @Test
  void realModeReturnsWithAllFlags() {
    f.realMode();
    long stack = f.state.segmentBase(SegmentRegister.SS) + 0xfff0;
    f.physical.writeShort(stack, (short) 0x20);
    f.physical.writeShort(stack + 2, (short) 0x900);
    f.physical.writeShort(stack + 4, (short) 0x7fd7);
    f.run("cf");
    assertEquals(0x7fd7, f.state.rflags());
    assertEquals(0xfff6, f.state.r[Slot.RSP]);
  }

  @Test
  void flagsOfIretObeyPrivilege() {
    for (int cpl = 0; cpl < 4; cpl++) {
      for (int iopl = 0; iopl < 4; iopl++) {
        f.longMode(cpl);
        f.state.systemFlags = iopl << 12;
        frame64(CODE, CODE64_3, ALL_FLAGS & ~Flags.VM & ~Flags.IOPL, 0, DATA3);
        f.run(IRETQ);
        long expected = Flags.STATUS | Flags.TF | Flags.DF | Flags.NT | 2;
        expected |= Flags.RF | Flags.AC | Flags.ID;
        if (cpl <= iopl) {
          expected |= Flags.IF;
        }
        expected |= cpl == 0 ? Flags.VIF | Flags.VIP : (long) iopl << 12;
        assertEquals(expected, f.state.rflags(), "CPL " + cpl + ", IOPL " + iopl);
      }
    }
  }

  @Test
  void flagsOfPopfObeyPrivilege() {
    for (int cpl = 0; cpl < 4; cpl++) {
      for (int iopl = 0; iopl < 4; iopl++) {
        f.longMode(cpl);
        f.state.systemFlags = iopl << 12 | Flags.RF;
        f.state.r[Slot.RSP] = STACK - 8;
        f.physical.writeLong(STACK - 8, ALL_FLAGS & ~Flags.IOPL);
        f.run("9d");
        long expected = Flags.STATUS | Flags.TF | Flags.DF | Flags.NT | Flags.AC | Flags.ID | 2;
        if (cpl <= iopl) {
          expected |= Flags.IF;
        }
        if (cpl != 0) {
          expected |= (long) iopl << 12;
        }
        assertEquals(expected, f.state.rflags(), "CPL " + cpl + ", IOPL " + iopl);
        assertEquals(STACK, f.state.r[Slot.RSP]);
      }
    }
  }

  @Test
  void shortPopfLeavesTheUpperFlags() {
    f.longMode(0);
    f.state.systemFlags = Flags.AC | Flags.ID;
    f.physical.writeShort(STACK, (short) 0);
    f.run("66 9d");
    assertEquals(Flags.AC | Flags.ID | 2, f.state.rflags());
    assertEquals(STACK + 2, f.state.r[Slot.RSP]);
  }

  @Test
  void pushfHidesResumeAndVirtualMode() {
    f.longMode(3);
    f.state.systemFlags = Flags.RF | Flags.AC | Flags.IF;
    f.run("9c");
    assertEquals(Flags.AC | Flags.IF | 2, f.physical.readLong(STACK - 8));
    f.virtual8086();
    f.expect(GP, 0, "9c");
    f.expect(GP, 0, "9d");
  }

  @Test
  void interruptFlagInstructionsObeyIopl() {
    for (int cpl = 0; cpl < 4; cpl++) {
      for (int iopl = 0; iopl < 4; iopl++) {
        f.longMode(cpl);
        f.state.systemFlags = iopl << 12;
        if (cpl <= iopl) {
          f.run("fb");
          assertTrue(f.state.flag(Flags.IF));
          assertTrue(f.state.interruptShadow);
          f.run("fa");
          assertFalse(f.state.flag(Flags.IF));
        } else {
          f.expect(GP, 0, "fb");
          f.expect(GP, 0, "fa");
        }
      }
    }
  }

  @Test
  void stiWithInterruptsOnHasNoShadow() {
    f.longMode(0);
    f.state.systemFlags = Flags.IF;
    f.run("fb");
    assertFalse(f.state.interruptShadow);
  }

  @Test
  void iretUnblocksNonMaskableInterrupts() {
    f.longMode(0);
    f.state.nonMaskableBlocked = true;
    frame64(CODE, CODE64, 0, STACK, DATA0);
    f.run(IRETQ);
    assertFalse(f.state.nonMaskableBlocked);
  }

  @Test
  void alignmentFlagInstructionsBelongToRing0() {
    f.longMode(0);
    f.run("0f 01 cb");
    assertTrue(f.state.flag(Flags.AC));
    f.run("0f 01 ca");
    assertFalse(f.state.flag(Flags.AC));
    f.longMode(3);
    f.expect(ProcessorException.INVALID_OPCODE, "0f 01 cb");
  }

  @Test
  void haltBelongsToRing0() {
    f.longMode(3);
    f.expect(GP, 0, "f4");
  }
}
