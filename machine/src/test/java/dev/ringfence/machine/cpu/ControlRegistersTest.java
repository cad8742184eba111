package dev.ringfence.machine.cpu;

import static dev.ringfence.machine.cpu.SystemFixture.CODE;
import static dev.ringfence.machine.cpu.SystemFixture.CODE64;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * MOV to control and debug registers, LMSW, CLTS, XSETBV and INVPCID against SDM volumes 2 and 3.
 */
class ControlRegistersTest {
  private static final int GP = ProcessorException.GENERAL_PROTECTION;
  private static final int UD = ProcessorException.INVALID_OPCODE;
  private static final String MOV_CR0_RAX = "0f 22 c0";
  private static final String MOV_CR3_RAX = "0f 22 d8";
  private static final String MOV_CR4_RAX = "0f 22 e0";
  private static final String MOV_CR8_RAX = "44 0f 22 c0";
  private static final int PAGE_TABLES = 0x100000;

  private final SystemFixture f = new SystemFixture();

  @AfterEach
  void close() {
    f.close();
  }

  private void rax(long value) {
    f.state.r[Slot.RAX] = value;
    f.state.rip = CODE;
  }

  @Test
  void onlyRing0ReachesControlRegisters() {
    for (String hex :
        new String[] {
          MOV_CR0_RAX,
          MOV_CR3_RAX,
          MOV_CR4_RAX,
          MOV_CR8_RAX,
          "0f 20 c0",
          "0f 21 c0",
          "0f 23 f8",
          "0f 06",
          "0f 01 f0",
          "0f 08",
          "0f 09",
          "0f 30",
          "0f 32",
          "0f 01 38"
        }) {
      f.longMode(3);
      f.state.r[Slot.RAX] = 0x9000;
      f.expect(GP, 0, hex);
    }
  }

  @Test
  void registersThatDoNotExistAreUndefined() {
    for (String hex : new String[] {"0f 20 c8", "0f 20 e8", "0f 22 f0", "44 0f 20 c8"}) {
      f.longMode(0);
      f.expect(UD, hex);
    }
    f.longMode(0);
    f.expect(UD, "44 0f 21 c0");
  }

  @Test
  void cr0RefusesImpossibleCombinations() {
    f.protectedMode(0);
    rax(ControlBits.CR0_PG); // PG without PE
    f.expect(GP, 0, MOV_CR0_RAX);
    rax(ControlBits.CR0_PE | ControlBits.CR0_NW); // NW without CD
    f.expect(GP, 0, MOV_CR0_RAX);
    f.longMode(0);
    rax(f.state.cr0 | 1L << 32);
    f.expect(GP, 0, MOV_CR0_RAX);
    rax(f.state.cr0 & ~ControlBits.CR0_PG); // leaving paging in 64-bit mode
    f.expect(GP, 0, MOV_CR0_RAX);
    rax(f.state.cr0 | 1 << 6 | 1 << 28);
    f.run(MOV_CR0_RAX); // reserved bits in the low half are ignored
    assertEquals(0, f.state.cr0 & (1 << 6 | 1 << 28));
    assertTrue((f.state.cr0 & ControlBits.CR0_ET) != 0);
  }

  @Test
  void longModeIsEnteredWithPagingAndLeftFromCompatibilityMode() {
    f.longMode(0); // writes page tables
    f.protectedMode(0);
    f.state.efer = ControlBits.EFER_LME;
    f.state.cr3 = PAGE_TABLES;
    rax(f.state.cr0 | ControlBits.CR0_PG);
    f.state.cr4 = 0;
    f.expect(GP, 0, MOV_CR0_RAX); // PAE is missing
    f.state.cr4 = ControlBits.CR4_PAE;
    f.state.access[SegmentRegister.CS] |= SegmentRegister.LONG_MODE_CODE;
    f.expect(GP, 0, MOV_CR0_RAX); // CS.L
    f.state.access[SegmentRegister.CS] &= ~SegmentRegister.LONG_MODE_CODE;
    f.state.access[SegmentRegister.TR] = 0x83;
    f.expect(GP, 0, MOV_CR0_RAX); // 16-bit TSS
    f.state.access[SegmentRegister.TR] = 0x8b;
    f.run(MOV_CR0_RAX);
    assertTrue(f.state.longMode());
    assertFalse(f.state.code64());
    rax(f.state.cr0 & ~ControlBits.CR0_PG);
    f.run(MOV_CR0_RAX);
    assertFalse(f.state.longMode());
    assertEquals(ControlBits.EFER_LME, f.state.efer);
  }

  @Test
  void paeCannotBeClearedInLongMode() {
    f.longMode(0);
    rax(f.state.cr4 & ~ControlBits.CR4_PAE);
    f.expect(GP, 0, MOV_CR4_RAX);
  }

  @Test
  void cr4HasTheBitsOfTheModelOnly() {
    f.longMode(0);
    long allowed = f.processor.model().cr4Mask();
    for (int bit = 0; bit < 64; bit++) {
      f.longMode(0);
      rax(f.state.cr4 | 1L << bit);
      if ((allowed >>> bit & 1) != 0) {
        f.run(MOV_CR4_RAX);
        assertTrue((f.state.cr4 >>> bit & 1) != 0);
      } else {
        f.expect(GP, 0, MOV_CR4_RAX);
      }
    }
    // VME and PVI, LA57, SMXE, PKE, CET are not there.
    assertEquals(0, allowed & (3 | 1 << 12 | 1 << 14 | 1 << 22 | 1 << 23));
  }

  @Test
  void pcidsNeedLongModeAndAnEmptyPcid() {
    f.longMode(0);
    f.state.cr3 = PAGE_TABLES | 5;
    rax(f.state.cr4 | ControlBits.CR4_PCIDE);
    f.expect(GP, 0, MOV_CR4_RAX);
    f.state.cr3 = PAGE_TABLES;
    f.run(MOV_CR4_RAX);
    assertEquals(0, ControlRegisters.currentPcid(f.state));
    rax(PAGE_TABLES | 5 | 1L << 63);
    f.run(MOV_CR3_RAX);
    assertEquals(PAGE_TABLES | 5, f.state.cr3, "bit 63 is not kept");
    assertEquals(5, ControlRegisters.currentPcid(f.state));
    f.protectedMode(0);
    f.state.cr4 = 0;
    f.state.efer = 0;
    rax(ControlBits.CR4_PCIDE);
    f.expect(GP, 0, MOV_CR4_RAX);
  }

  @Test
  void cr3HasPhysicalAddressBitsOnly() {
    f.longMode(0);
    rax(1L << 45);
    f.run(MOV_CR3_RAX);
    f.longMode(0);
    rax(1L << 46);
    f.expect(GP, 0, MOV_CR3_RAX);
    rax(PAGE_TABLES | 1L << 63);
    f.expect(GP, 0, MOV_CR3_RAX); // bit 63 without PCIDs
  }

  @Test
  void movToCr3KeepsTranslationsIfBit63SaysSo() {
    f.longMode(0);
    f.state.cr4 |= ControlBits.CR4_PCIDE;
    f.processor.memory().contextChanged();
    f.processor.memory().load8(0x5000);
    f.run("90"); // code and data have TLBs of their own
    f.physical.writeLong(PAGE_TABLES + 0x2000, 0); // not mapped any more, but cached
    rax(PAGE_TABLES | 1L << 63);
    f.run(MOV_CR3_RAX);
    f.processor.memory().load8(0x5000);
    ControlRegisters.writeCr3(f.processor, PAGE_TABLES);
    assertEquals(-1, f.processor.memory().probe(0x5000));
    assertThrows(ProcessorException.class, () -> f.processor.memory().load8(0x5000));
  }

  @Test
  void pageDirectoryPointersAreLoadedAndChecked() {
    f.protectedMode(0);
    f.state.efer = 0;
    f.state.cr4 = ControlBits.CR4_PAE;
    f.physical.writeLong(0x6000, 0x7001);
    f.physical.writeLong(0x6008, 0);
    f.physical.writeLong(0x6010, 0x1e6); // reserved bits count in present entries only
    f.physical.writeLong(0x7000, 0x87); // 2 MiB, identity
    f.state.cr3 = 0x6000;
    rax(f.state.cr0 | ControlBits.CR0_PG);
    f.physical.writeLong(0x6018, 0x1e7);
    f.expect(GP, 0, MOV_CR0_RAX);
    f.physical.writeLong(0x6018, 1L << 46 | 1);
    f.expect(GP, 0, MOV_CR0_RAX);
    f.physical.writeLong(0x6018, 0);
    f.run(MOV_CR0_RAX);
    assertEquals(0x7001, f.state.pageDirectoryPointers[0]);
    f.physical.writeLong(0x6000, 0x7003);
    rax(0x6000);
    f.expect(GP, 0, MOV_CR3_RAX);
  }

  @Test
  void cr8IsTheTaskPriority() {
    f.longMode(0);
    rax(11);
    f.run(MOV_CR8_RAX);
    assertEquals(11, f.apic.priority);
    f.run("44 0f 20 c3"); // mov rbx, cr8
    assertEquals(11, f.state.r[Slot.RBX]);
    rax(16);
    f.expect(GP, 0, MOV_CR8_RAX);
  }

  @Test
  void machineStatusWord() {
    f.protectedMode(0);
    rax(0xfff0 | 0xe);
    f.run("0f 01 f0"); // lmsw ax: PE stays
    assertEquals(0xf, f.state.cr0 & 0xf);
    f.run("0f 06"); // clts
    assertEquals(7, f.state.cr0 & 0xf);
    f.run("0f 01 e3"); // smsw ebx
    assertEquals(f.state.cr0, f.state.r[Slot.RBX]);
    f.realMode();
    rax(1);
    f.run("0f 01 f0");
    assertTrue(f.state.protectedMode());
    assertEquals(0, f.state.cpl);
  }

  @Test
  void extendedControlRegister() {
    f.longMode(0);
    f.expect(UD, "0f 01 d0");
    f.state.cr4 |= ControlBits.CR4_OSXSAVE;
    f.state.r[Slot.RCX] = 0;
    f.state.r[Slot.RDX] = 0;
    rax(3);
    f.run("0f 01 d1");
    f.run("0f 01 d0");
    assertEquals(3, f.state.r[Slot.RAX]);
    for (long bad : new long[] {0, 2, 7, 1L << 32 | 1}) {
      rax(bad & 0xffffffffL);
      f.state.r[Slot.RDX] = bad >>> 32;
      f.expect(GP, 0, "0f 01 d1");
    }
    f.state.r[Slot.RCX] = 1;
    f.expect(GP, 0, "0f 01 d0");
    f.longMode(3);
    f.state.cr4 |= ControlBits.CR4_OSXSAVE;
    f.expect(GP, 0, "0f 01 d1");
  }

  @Test
  void invpcidChecksTypeAndDescriptor() {
    String invpcid = "66 0f 38 82 03"; // invpcid rax, [rbx]
    f.longMode(0);
    f.state.r[Slot.RBX] = 0x9000;
    for (int type = 0; type < 4; type++) {
      rax(type);
      f.run(invpcid);
    }
    rax(4);
    f.expect(GP, 0, invpcid);
    f.physical.writeLong(0x9000, 1L << 12);
    rax(0);
    f.expect(GP, 0, invpcid); // reserved bits
    rax(2);
    f.run(invpcid); // which type 2 does not look at
    f.physical.writeLong(0x9000, 1);
    rax(1);
    f.expect(GP, 0, invpcid); // a PCID without CR4.PCIDE
    f.physical.writeLong(0x9000, 0);
    f.physical.writeLong(0x9008, 0x800000000000L);
    rax(0);
    f.expect(GP, 0, invpcid); // address not canonical
    f.longMode(3);
    f.expect(GP, 0, invpcid);
    f.realMode();
    f.expect(UD, invpcid);
  }

  @Test
  void debugRegistersAliasUnlessDebugExtensions() {
    f.longMode(0);
    rax(0xffffffffL);
    f.run("0f 23 f0"); // mov dr6, rax
    assertEquals(0xffffefffL, f.state.dr6);
    f.run("0f 21 e3"); // mov rbx, dr4
    assertEquals(f.state.dr6, f.state.r[Slot.RBX]);
    f.state.cr4 |= ControlBits.CR4_DE;
    f.expect(UD, "0f 21 e3");
    f.state.cr4 &= ~ControlBits.CR4_DE;
    rax(1L << 32);
    f.expect(GP, 0, "0f 23 f0");
    f.expect(GP, 0, "0f 23 f8");
    rax(0xffff888812345678L);
    f.run("0f 23 d8"); // mov dr3, rax
    assertEquals(0xffff888812345678L, f.state.debugAddress[3]);
  }

  @Test
  void generalDetectTrapsAccessToDebugRegisters() {
    f.longMode(0);
    rax(0x2000);
    f.run("0f 23 f8");
    assertEquals(0x2400, f.state.dr7);
    f.expect(ProcessorException.DEBUG, "0f 21 f0");
    assertEquals(DebugRegisters.DR6_BD, f.state.debugPending);
    DebugRegisters.reportPending(f.state);
    assertEquals(DebugRegisters.DR6_RESET | DebugRegisters.DR6_BD, f.state.dr6);
    assertEquals(0x400, f.state.dr7, "GD ends with the delivery");
    f.run("0f 21 f0");
  }

  @Test
  void leavingProtectedModeIsRing0() {
    f.protectedMode(0);
    rax(f.state.cr0 & ~ControlBits.CR0_PE);
    f.run(MOV_CR0_RAX);
    assertEquals(0, f.state.cpl);
    assertFalse(f.state.protectedMode());
    assertEquals(CODE64 - 0x10, f.selector(SegmentRegister.CS));
  }
}
