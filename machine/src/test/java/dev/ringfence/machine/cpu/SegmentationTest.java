package dev.ringfence.machine.cpu;

import static dev.ringfence.machine.cpu.SystemFixture.CODE;
import static dev.ringfence.machine.cpu.SystemFixture.DATA0;
import static dev.ringfence.machine.cpu.SystemFixture.DATA3;
import static dev.ringfence.machine.cpu.SystemFixture.FREE;
import static dev.ringfence.machine.cpu.SystemFixture.GDT;
import static dev.ringfence.machine.cpu.SystemFixture.LDT;
import static dev.ringfence.machine.cpu.SystemFixture.RING;
import static dev.ringfence.machine.cpu.SystemFixture.STACK;
import static dev.ringfence.machine.cpu.SystemFixture.TASK;
import static dev.ringfence.machine.cpu.SystemFixture.TSS;
import static dev.ringfence.machine.cpu.SystemFixture.descriptor;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * Loads of segment registers against SDM volume 2 (MOV, LDS, LLDT, LTR) and volume 3, chapter 5.
 */
class SegmentationTest {
  private static final int GP = ProcessorException.GENERAL_PROTECTION;
  private static final int UD = ProcessorException.INVALID_OPCODE;
  private static final int NP = ProcessorException.SEGMENT_NOT_PRESENT;
  private static final int SS_FAULT = ProcessorException.STACK_FAULT;

  private static final String MOV_DS_AX = "8e d8";
  private static final String MOV_SS_AX = "8e d0";
  private static final String MOV_FS_AX = "8e e0";

  private final SystemFixture f = new SystemFixture();

  @AfterEach
  void close() {
    f.close();
  }

  private void selector(int value) {
    f.state.r[Slot.RAX] = value;
    f.state.rip = CODE;
  }

  @Test
  void dataSegmentsNeedPrivilegeOfCplAndRpl() {
    for (int cpl = 0; cpl < 4; cpl++) {
      for (int rpl = 0; rpl < 4; rpl++) {
        for (int dpl = 0; dpl < 4; dpl++) {
          f.protectedMode(cpl);
          selector(DATA0 + RING * dpl | rpl);
          if (cpl <= dpl && rpl <= dpl) {
            f.run(MOV_DS_AX);
            assertEquals(DATA0 + RING * dpl | rpl, f.selector(SegmentRegister.DS));
          } else {
            f.expect(GP, DATA0 + RING * dpl, MOV_DS_AX);
          }
        }
      }
    }
  }

  @Test
  void stackSegmentsNeedExactlyTheCpl() {
    for (int cpl = 0; cpl < 4; cpl++) {
      for (int rpl = 0; rpl < 4; rpl++) {
        for (int dpl = 0; dpl < 4; dpl++) {
          f.protectedMode(cpl);
          selector(DATA0 + RING * dpl | rpl);
          if (cpl == dpl && rpl == dpl) {
            f.run(MOV_SS_AX);
          } else {
            f.expect(GP, DATA0 + RING * dpl, MOV_SS_AX);
          }
        }
      }
    }
  }

  @Test
  void conformingReadableCodeIsReadableFromEveryRing() {
    f.protectedMode(3);
    f.setDescriptor(FREE, descriptor(0, 0xfffff, 0x9f, 0xc));
    selector(FREE | 3);
    f.run(MOV_DS_AX);
  }

  @Test
  void executeOnlyCodeAndSystemSegmentsAreNoData() {
    f.protectedMode(0);
    f.setDescriptor(FREE, descriptor(0, 0xfffff, 0x99, 0xc));
    selector(FREE);
    f.expect(GP, FREE, MOV_DS_AX);
    selector(TASK);
    f.expect(GP, TASK, MOV_DS_AX);
  }

  @Test
  void readOnlyDataAndCodeAreNoStack() {
    f.protectedMode(0);
    f.setDescriptor(FREE, descriptor(0, 0xfffff, 0x91, 0xc));
    selector(FREE);
    f.expect(GP, FREE, MOV_SS_AX);
    selector(SystemFixture.CODE0);
    f.expect(GP, SystemFixture.CODE0, MOV_SS_AX);
  }

  @Test
  void absentSegmentsRaiseNotPresentOrStackFault() {
    f.protectedMode(0);
    f.setDescriptor(FREE, descriptor(0, 0xfffff, 0x13, 0xc));
    selector(FREE);
    f.expect(NP, FREE, MOV_DS_AX);
    selector(FREE);
    f.expect(SS_FAULT, FREE, MOV_SS_AX);
  }

  @Test
  void selectorsBeyondTheirTableAreRefused() {
    f.protectedMode(0);
    f.state.gdtrLimit = 0x1e;
    selector(0x18);
    f.expect(GP, 0x18, MOV_DS_AX);
    f.state.gdtrLimit = 0x1f;
    selector(0x18);
    f.run(MOV_DS_AX);
    selector(4);
    f.expect(GP, 4, MOV_DS_AX);
  }

  @Test
  void theLocalTableIsUsedWithTableIndicator() {
    f.protectedMode(0);
    f.setDescriptor(FREE, descriptor(LDT, 15, 0x82, 0));
    f.physical.writeLong(LDT + 8, descriptor(0x12345678, 0xabcde, 0x92, 0x4));
    selector(FREE);
    f.run("0f 00 d0"); // lldt ax
    selector(0xc);
    f.run(MOV_FS_AX);
    assertEquals(0x12345678, f.state.segmentBase(SegmentRegister.FS));
    assertEquals(0xabcde, f.state.limit[SegmentRegister.FS]);
    // The accessed bit was set, in the table and in the register.
    assertEquals(0x93, f.physical.readByte(LDT + 13) & 0xff);
    assertEquals(0x4093, f.state.access[SegmentRegister.FS]);
    selector(0x14);
    f.expect(GP, 0x14, MOV_FS_AX);
  }

  @Test
  void granularityScalesTheLimit() {
    f.protectedMode(0);
    f.setDescriptor(FREE, descriptor(0, 0x12345, 0x93, 0xc));
    selector(FREE);
    f.run(MOV_FS_AX);
    assertEquals(0x12345fffL, f.state.limit[SegmentRegister.FS]);
  }

  @Test
  void aNullSelectorLoadsButCannotBeUsed() {
    f.protectedMode(0);
    selector(3);
    f.run(MOV_DS_AX);
    assertEquals(3, f.selector(SegmentRegister.DS));
    selector(0);
    f.expect(GP, 0, "8b 03"); // mov eax, [ebx]
  }

  @Test
  void aNullStackIsAllowedIn64BitModeBelowRing3() {
    for (int cpl = 0; cpl < 4; cpl++) {
      for (int rpl = 0; rpl < 4; rpl++) {
        f.longMode(cpl);
        selector(rpl);
        if (cpl < 3 && rpl == cpl) {
          f.run(MOV_SS_AX);
        } else {
          f.expect(GP, 0, MOV_SS_AX);
        }
      }
    }
    f.protectedMode(0);
    selector(0);
    f.expect(GP, 0, MOV_SS_AX);
  }

  @Test
  void loadingTheStackSegmentHoldsOffInterruptsAndTraps() {
    f.protectedMode(0);
    selector(DATA0);
    f.run(MOV_SS_AX);
    assertTrue(f.state.interruptShadow);
    assertTrue(f.state.debugShadow);
    selector(DATA0);
    f.state.interruptShadow = false;
    f.run(MOV_DS_AX);
    assertFalse(f.state.interruptShadow);
  }

  @Test
  void codeSegmentsCannotBeMovedTo() {
    f.protectedMode(0);
    f.expect(UD, "8e c8");
    f.expect(UD, "8e f0");
    f.expect(UD, "8c f0");
  }

  @Test
  void realModeLoadsChangeTheBaseOnly() {
    f.realMode();
    f.state.limit[SegmentRegister.DS] = 0xffffffffL;
    selector(0x1234);
    f.run(MOV_DS_AX);
    assertEquals(0x12340, f.state.segmentBase(SegmentRegister.DS));
    assertEquals(0xffffffffL, f.state.limit[SegmentRegister.DS]);
  }

  @Test
  void segmentBasesAreLoadedIn64BitMode() {
    f.longMode(0);
    f.setDescriptor(FREE, descriptor(0x89abcdef, 0xfffff, 0x93, 0xc));
    selector(FREE);
    f.run(MOV_FS_AX);
    assertEquals(0x89abcdefL, f.state.segmentBase(SegmentRegister.FS));
    selector(0);
    f.run(MOV_FS_AX);
    assertEquals(0, f.state.segmentBase(SegmentRegister.FS));
  }

  @Test
  void pushAndPopOfSegmentRegisters() {
    f.protectedMode(0);
    f.run("1e"); // push ds
    assertEquals(STACK - 4, f.state.r[Slot.RSP]);
    assertEquals(DATA0, f.physical.readInt(STACK - 4));
    f.run("0f a1"); // pop fs
    assertEquals(STACK, f.state.r[Slot.RSP]);
    assertEquals(DATA0, f.selector(SegmentRegister.FS));
    f.longMode(3);
    f.run("0f a8"); // push gs
    assertEquals(STACK - 8, f.state.r[Slot.RSP]);
    f.run("66 0f a9"); // pop gs, 16 bits
    assertEquals(STACK - 6, f.state.r[Slot.RSP]);
    assertEquals(DATA3, f.selector(SegmentRegister.GS));
  }

  @Test
  void farPointersLoadBothParts() {
    f.protectedMode(0);
    f.physical.writeInt(0x9000, 0xdeadbeef);
    f.physical.writeShort(0x9004, (short) DATA0);
    f.run("0f b4 05 00 90 00 00"); // lfs eax, [9000h]
    assertEquals(0xdeadbeefL, f.state.r[Slot.RAX]);
    assertEquals(DATA0, f.selector(SegmentRegister.FS));
    f.physical.writeShort(0x9004, (short) (FREE | 7));
    f.expect(GP, FREE | 4, "0f b4 05 00 90 00 00");
  }

  @Test
  void taskRegisterWantsAnAvailableTss() {
    f.protectedMode(0);
    selector(TASK);
    f.expect(GP, TASK, "0f 00 d8"); // ltr ax: busy
    f.setDescriptor(FREE, descriptor(TSS, 0x67, 0x89, 0));
    selector(FREE);
    f.run("0f 00 d8");
    assertEquals(FREE, f.selector(SegmentRegister.TR));
    assertEquals(0x8b, f.physical.readByte(GDT + FREE + 5) & 0xff, "busy in the table");
    f.setDescriptor(FREE, descriptor(TSS, 0x67, 0x09, 0));
    selector(FREE);
    f.expect(NP, FREE, "0f 00 d8");
    selector(0);
    f.expect(GP, 0, "0f 00 d8");
    selector(FREE | 4);
    f.expect(GP, FREE | 4, "0f 00 d8");
  }

  @Test
  void systemDescriptorsHave16BytesInLongMode() {
    f.longMode(0);
    f.setDescriptor(FREE, descriptor(0x1000, 0x67, 0x89, 0));
    f.setDescriptor(FREE + 8, 0xffff8000L);
    selector(FREE);
    f.run("0f 00 d8");
    assertEquals(0xffff800000001000L, f.state.trBase);
    f.setDescriptor(FREE, descriptor(0x1000, 0x67, 0x89, 0));
    f.setDescriptor(FREE + 8, 0x1f0000000000L);
    selector(FREE);
    f.expect(GP, FREE, "0f 00 d8"); // type bits in the upper half
    f.setDescriptor(FREE + 8, 0x00008000L);
    selector(FREE);
    f.expect(GP, FREE, "0f 00 d8"); // base not canonical
  }

  @Test
  void systemSegmentsCannotBeLoadedByUsers() {
    f.protectedMode(3);
    selector(0);
    f.expect(GP, 0, "0f 00 d0");
    f.expect(GP, 0, "0f 00 d8");
    f.realMode();
    f.expect(UD, "0f 00 d0");
  }

  @Test
  void descriptorTableRegistersLoadAndStore() {
    f.longMode(0);
    f.physical.writeShort(0x9000, (short) 0x1234);
    f.physical.writeLong(0x9002, 0xffff888812345678L);
    f.run("0f 01 14 25 00 90 00 00"); // lgdt [9000h]
    assertEquals(0x1234, f.state.gdtrLimit);
    assertEquals(0xffff888812345678L, f.state.gdtrBase);
    f.run("0f 01 04 25 00 91 00 00"); // sgdt [9100h]
    assertEquals(0x1234, f.physical.readShort(0x9100));
    assertEquals(0xffff888812345678L, f.physical.readLong(0x9102));
    f.physical.writeLong(0x9002, 0x8000000000000000L);
    f.expect(GP, 0, "0f 01 1c 25 00 90 00 00"); // lidt: base not canonical
    f.protectedMode(0);
    f.physical.writeInt(0x9002, 0xcafebabe);
    f.run("66 0f 01 1d 00 90 00 00"); // lidt, 16-bit operand: 24 bits of base
    assertEquals(0xfebabe, f.state.idtrBase);
    f.protectedMode(3);
    f.expect(GP, 0, "0f 01 1d 00 90 00 00");
  }

  @Test
  void userModeInstructionPreventionHidesTables() {
    for (String hex : new String[] {"0f 01 03", "0f 01 0b", "0f 00 c0", "0f 00 c8", "0f 01 e0"}) {
      f.longMode(3);
      f.state.r[Slot.RBX] = 0x9000;
      f.run(hex);
      f.longMode(3);
      f.state.cr4 |= ControlBits.CR4_UMIP;
      f.expect(GP, 0, hex);
      f.longMode(0);
      f.state.cr4 |= ControlBits.CR4_UMIP;
      f.run(hex);
    }
  }

  @Test
  void larAndLslAnswerWithTheZeroFlag() {
    f.protectedMode(3);
    selector(DATA3);
    f.run("0f 02 d8"); // lar ebx, eax
    assertEquals(0xcff300, f.state.r[Slot.RBX]);
    assertTrue((f.state.statusFlags() & Flags.ZF) != 0);
    selector(DATA3);
    f.run("0f 03 d8"); // lsl ebx, eax
    assertEquals(0xffffffffL, f.state.r[Slot.RBX]);
    for (int hidden : new int[] {0, DATA0, DATA3 & ~3 | 4, 0xfff8}) {
      selector(hidden);
      f.state.r[Slot.RBX] = 77;
      f.run("0f 02 d8");
      assertEquals(77, f.state.r[Slot.RBX]);
      assertFalse((f.state.statusFlags() & Flags.ZF) != 0);
    }
    f.realMode();
    f.expect(UD, "0f 02 d8");
  }

  @Test
  void larAndLslAcceptTheSystemTypesOfTheirTables() {
    f.protectedMode(0);
    // SDM volume 2, tables 3-53 and 3-66.
    int lar = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 9 | 1 << 11 | 1 << 12;
    int lsl = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 11;
    for (int type = 0; type < 16; type++) {
      f.setDescriptor(FREE, descriptor(0, 0x67, 0x80 | type, 0));
      selector(FREE);
      f.run("0f 02 d8");
      assertEquals(lar >>> type & 1, f.state.statusFlags() >>> 6 & 1, "LAR of type " + type);
      selector(FREE);
      f.run("0f 03 d8");
      assertEquals(lsl >>> type & 1, f.state.statusFlags() >>> 6 & 1, "LSL of type " + type);
    }
  }

  @Test
  void verrAndVerwAskForReadingAndWriting() {
    f.protectedMode(0);
    int[] access = {0x91, 0x93, 0x99, 0x9b, 0x9f};
    boolean[] readable = {true, true, false, true, true};
    boolean[] writable = {false, true, false, false, false};
    for (int i = 0; i < access.length; i++) {
      f.setDescriptor(FREE, descriptor(0, 0xfffff, access[i], 0xc));
      selector(FREE);
      f.run("0f 00 e0"); // verr ax
      assertEquals(readable[i], (f.state.statusFlags() & Flags.ZF) != 0);
      selector(FREE);
      f.run("0f 00 e8"); // verw ax
      assertEquals(writable[i], (f.state.statusFlags() & Flags.ZF) != 0);
    }
  }

  @Test
  void arplRaisesTheRequestedPrivilege() {
    f.protectedMode(0);
    f.state.r[Slot.RAX] = 0x1230;
    f.state.r[Slot.RCX] = 3;
    f.run("63 c8"); // arpl ax, cx
    assertEquals(0x1233, f.state.r[Slot.RAX]);
    assertTrue((f.state.statusFlags() & Flags.ZF) != 0);
    f.run("63 c8");
    assertFalse((f.state.statusFlags() & Flags.ZF) != 0);
    f.realMode();
    f.expect(UD, "63 c8");
  }

  @Test
  void swapgsExchangesBases() {
    f.longMode(0);
    f.state.setSegmentBase(SegmentRegister.GS, 1);
    f.state.kernelGsBase = 2;
    f.run("0f 01 f8");
    assertEquals(2, f.state.segmentBase(SegmentRegister.GS));
    assertEquals(1, f.state.kernelGsBase);
    f.longMode(3);
    f.expect(GP, 0, "0f 01 f8");
    f.protectedMode(0);
    f.expect(UD, "0f 01 f8");
  }

  @Test
  void segmentBaseInstructionsNeedTheirEnable() {
    f.longMode(3);
    f.expect(UD, "f3 48 0f ae c0");
    f.state.cr4 |= ControlBits.CR4_FSGSBASE;
    f.state.r[Slot.RAX] = 0x123456789abcL;
    f.run("f3 48 0f ae d0"); // wrfsbase rax
    assertEquals(0x123456789abcL, f.state.segmentBase(SegmentRegister.FS));
    f.run("f3 0f ae c3"); // rdfsbase ebx
    assertEquals(0x56789abcL, f.state.r[Slot.RBX]);
    f.state.r[Slot.RAX] = 0x800000000000L;
    f.expect(GP, 0, "f3 48 0f ae d8"); // wrgsbase rax
  }
}
