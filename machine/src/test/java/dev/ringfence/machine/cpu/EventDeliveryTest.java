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
import static dev.ringfence.machine.cpu.SystemFixture.IDT;
import static dev.ringfence.machine.cpu.SystemFixture.IST1;
import static dev.ringfence.machine.cpu.SystemFixture.RING;
import static dev.ringfence.machine.cpu.SystemFixture.STACK;
import static dev.ringfence.machine.cpu.SystemFixture.STACK0;
import static dev.ringfence.machine.cpu.SystemFixture.STACK1;
import static dev.ringfence.machine.cpu.SystemFixture.TASK;
import static dev.ringfence.machine.cpu.SystemFixture.TSS;
import static dev.ringfence.machine.cpu.SystemFixture.descriptor;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.interrupt.EventDelivery;
import dev.ringfence.machine.interrupt.EventDelivery.Kind;
import dev.ringfence.machine.interrupt.TripleFault;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Delivery of interrupts and exceptions against SDM volume 3, chapter 6, and volume 2, INT n. */
class EventDeliveryTest {
  private static final int DE = ProcessorException.DIVIDE_ERROR;
  private static final int DB = ProcessorException.DEBUG;
  private static final int DF = ProcessorException.DOUBLE_FAULT;
  private static final int TS = ProcessorException.INVALID_TSS;
  private static final int NP = ProcessorException.SEGMENT_NOT_PRESENT;
  private static final int SS_FAULT = ProcessorException.STACK_FAULT;
  private static final int GP = ProcessorException.GENERAL_PROTECTION;
  private static final int PF = ProcessorException.PAGE_FAULT;
  private static final int EXT = 1;

  private final SystemFixture f = new SystemFixture();

  @AfterEach
  void close() {
    f.close();
  }

  private ProcessorException failure(int vector, Kind kind) {
    return assertThrows(
        ProcessorException.class,
        () -> EventDelivery.deliver(f.processor, vector, kind, EventDelivery.NO_ERROR_CODE));
  }

  private void fails(int vector, int errorCode, int event, Kind kind) {
    ProcessorException exception = failure(event, kind);
    assertEquals(
        "#%d(%x)".formatted(vector, errorCode),
        "#%d(%x)".formatted(exception.vector(), exception.errorCode()));
  }

  private long[] stack64(int count) {
    long[] values = new long[count];
    for (int i = 0; i < count; i++) {
      values[i] = f.physical.readLong(f.state.r[Slot.RSP] + 8L * i);
    }
    return values;
  }

  private long[] stack32(int count) {
    long[] values = new long[count];
    for (int i = 0; i < count; i++) {
      values[i] = f.physical.readInt(f.state.r[Slot.RSP] + 4L * i) & 0xffffffffL;
    }
    return values;
  }

  @Test
  void realModePushesThreeWordsAndClearsFlags() {
    f.realMode();
    f.physical.writeInt(0x21 * 4, 0x5000_1234);
    f.state.setRflags(Flags.IF | Flags.TF | Flags.AC | Flags.CF);
    f.state.selector[SegmentRegister.CS] = 0x0800;
    f.state.rip = 0x77;
    EventDelivery.interrupt(f.processor, 0x21);
    assertEquals(0x1234, f.state.rip);
    assertEquals(0x5000, f.selector(SegmentRegister.CS));
    assertEquals(0x50000, f.state.segmentBase(SegmentRegister.CS));
    assertEquals(Flags.CF | 2, f.state.rflags());
    long stack = f.state.segmentBase(SegmentRegister.SS) + 0xffea;
    assertEquals(0x77, f.physical.readShort(stack));
    assertEquals(0x0800, f.physical.readShort(stack + 2));
    assertEquals(Flags.IF | Flags.TF | Flags.CF | 2, f.physical.readShort(stack + 4));
  }

  @Test
  void realModeChecksTheLimitOfTheTable() {
    f.realMode();
    f.state.idtrLimit = 4 * 0x21 + 2;
    fails(GP, 0, 0x21, Kind.HARDWARE);
  }

  @Test
  void longModeInterruptFromUserSwitchesToStack0() {
    f.longMode(3);
    f.setGate(0x30, CODE64, 0xffff800000001234L, 0x8e);
    f.state.setRflags(Flags.IF | Flags.ZF | Flags.TF);
    EventDelivery.interrupt(f.processor, 0x30);
    assertEquals(0xffff800000001234L, f.state.rip);
    assertEquals(CODE64, f.selector(SegmentRegister.CS));
    assertEquals(0, f.selector(SegmentRegister.SS));
    assertEquals(0, f.state.cpl);
    assertEquals(STACK0 - 40, f.state.r[Slot.RSP]);
    assertArrayEquals(
        new long[] {CODE, CODE64_3, Flags.IF | Flags.ZF | Flags.TF | 2, STACK, DATA3}, stack64(5));
    assertEquals(Flags.ZF | 2, f.state.rflags());
  }

  @Test
  void longModeAlignsTheStackAndPushesTheErrorCode() {
    f.longMode(0);
    f.setGate(GP, CODE64, HANDLER, 0x8e);
    f.state.r[Slot.RSP] = STACK - 3;
    EventDelivery.raise(f.processor, ProcessorException.generalProtection(0x50));
    assertEquals(STACK - 16 - 48, f.state.r[Slot.RSP]);
    assertArrayEquals(new long[] {0x50, CODE, CODE64, 2 | Flags.RF, STACK - 3, DATA0}, stack64(6));
    assertEquals(DATA0, f.selector(SegmentRegister.SS), "SS stays without privilege change");
  }

  @Test
  void trapGatesKeepInterruptsEnabled() {
    f.longMode(0);
    f.setGate(3, CODE64, HANDLER, 0x8f);
    f.state.setRflags(Flags.IF);
    f.run("cc");
    assertTrue(f.state.flag(Flags.IF));
    assertEquals(CODE + 1, stack64(1)[0]);
  }

  @Test
  void interruptStackTableReplacesTheStackInEveryRing() {
    for (int cpl : new int[] {0, 3}) {
      f.longMode(cpl);
      f.setGate(2, CODE64, HANDLER, 0x8e);
      f.physical.writeByte(IDT + 2 * 16 + 4, (byte) 1);
      EventDelivery.nonMaskableInterrupt(f.processor);
      assertEquals(IST1 - 40, f.state.r[Slot.RSP]);
      assertTrue(f.state.nonMaskableBlocked);
    }
  }

  @Test
  void conformingHandlersRunInTheRingOfTheProgram() {
    f.longMode(3);
    f.setDescriptor(FREE, descriptor(0, 0xfffff, 0x9f, 0xa));
    f.setGate(0x30, FREE, HANDLER, 0x8e);
    EventDelivery.interrupt(f.processor, 0x30);
    assertEquals(3, f.state.cpl);
    assertEquals(FREE | 3, f.selector(SegmentRegister.CS));
    assertEquals(STACK - 40, f.state.r[Slot.RSP]);
  }

  @Test
  void compatibilityModeCodeIsInterruptedInto64BitMode() {
    f.compatibilityMode(3);
    f.setGate(0x30, CODE64, HANDLER, 0x8e);
    EventDelivery.interrupt(f.processor, 0x30);
    assertTrue(f.state.code64());
    assertArrayEquals(new long[] {CODE, CODE3, 2, STACK, DATA3}, stack64(5));
  }

  @Test
  void badGatesInLongModeRaiseGeneralProtectionWithTheVector() {
    f.longMode(0);
    // Only interrupt and trap gates exist; all else is #GP(vector * 8 + 2 + EXT).
    for (int type = 0; type < 32; type++) {
      if (type != 0xe && type != 0xf) {
        f.setGate(0x30, CODE64, HANDLER, 0x80 | type);
        fails(GP, 0x30 * 8 + 2 + EXT, 0x30, Kind.HARDWARE);
      }
    }
    f.setGate(0x30, CODE64, HANDLER, 0x0e);
    fails(NP, 0x30 * 8 + 2 + EXT, 0x30, Kind.HARDWARE);
    fails(NP, 0x30 * 8 + 2, 0x30, Kind.SOFTWARE_INTERRUPT);
    f.state.idtrLimit = 0x30 * 16 + 14;
    fails(GP, 0x30 * 8 + 2 + EXT, 0x30, Kind.EXCEPTION);
  }

  @Test
  void softwareInterruptsNeedTheGatesPrivilege() {
    f.longMode(3);
    f.setGate(0x80, CODE64, HANDLER, 0x8e);
    f.expect(GP, 0x80 * 8 + 2, "cd 80");
    f.setGate(3, CODE64, HANDLER, 0x8e);
    f.expect(GP, 3 * 8 + 2, "cc");
    f.setGate(0x80, CODE64, HANDLER, 0xee);
    f.run("cd 80");
    assertEquals(CODE + 2, stack64(1)[0]);
    f.longMode(3);
    f.setGate(1, CODE64, HANDLER, 0x8e);
    f.run("f1"); // INT1 is not subject to the check
    assertEquals(0, f.state.cpl);
  }

  @Test
  void handlersMustBe64BitCodeOfAnInnerOrEqualRing() {
    f.longMode(0);
    f.setGate(0x30, CODE0, HANDLER, 0x8e);
    fails(GP, CODE0 + EXT, 0x30, Kind.HARDWARE); // L clear
    f.setGate(0x30, CODE64_3, HANDLER, 0x8e);
    fails(GP, (CODE64_3 & ~3) + EXT, 0x30, Kind.HARDWARE); // outer ring
    f.setGate(0x30, DATA0, HANDLER, 0x8e);
    fails(GP, DATA0, 0x30, Kind.SOFTWARE_INTERRUPT); // no code
    f.setGate(0x30, 0, HANDLER, 0x8e);
    fails(GP, EXT, 0x30, Kind.HARDWARE); // null
    f.setGate(0x30, 0xff8, HANDLER, 0x8e);
    fails(GP, 0xff8 + EXT, 0x30, Kind.HARDWARE); // beyond the table
    f.setDescriptor(FREE, descriptor(0, 0xfffff, 0x1b, 0xa));
    f.setGate(0x30, FREE, HANDLER, 0x8e);
    fails(NP, FREE + EXT, 0x30, Kind.HARDWARE); // absent
    f.setGate(0x30, CODE64, 0x800000000000L, 0x8e);
    fails(GP, EXT, 0x30, Kind.HARDWARE); // RIP not canonical
  }

  @Test
  void stacksOfTheTssAreCheckedInLongMode() {
    f.longMode(3);
    f.setGate(0x30, CODE64, HANDLER, 0x8e);
    f.physical.writeLong(TSS + 4, 0x800000000000L);
    fails(SS_FAULT, EXT, 0x30, Kind.HARDWARE);
    f.state.limit[SegmentRegister.TR] = 10;
    fails(TS, TASK + EXT, 0x30, Kind.HARDWARE);
  }

  @Test
  void protectedModeSwitchesToTheInnerStack() {
    f.protectedMode(3);
    f.setGate(0x30, CODE0 + RING | 1, HANDLER, 0x8e);
    f.state.setRflags(Flags.IF | Flags.NT);
    EventDelivery.interrupt(f.processor, 0x30);
    assertEquals(1, f.state.cpl);
    assertEquals(DATA0 + RING | 1, f.selector(SegmentRegister.SS));
    assertEquals(STACK1 - 20, f.state.r[Slot.RSP]);
    assertArrayEquals(new long[] {CODE, CODE3, Flags.IF | Flags.NT | 2, STACK, DATA3}, stack32(5));
    assertEquals(2, f.state.rflags());
  }

  @Test
  void protectedModeStaysOnTheStackInTheSameRing() {
    f.protectedMode(0);
    f.setGate(GP, CODE0, HANDLER, 0x8e);
    EventDelivery.raise(f.processor, ProcessorException.generalProtection(0x18));
    assertArrayEquals(new long[] {0x18, CODE, CODE0, 2 | Flags.RF}, stack32(4));
  }

  @Test
  void gates16PushWords() {
    f.protectedMode(0);
    f.setGate(0x30, CODE0, HANDLER, 0x86);
    EventDelivery.interrupt(f.processor, 0x30);
    assertEquals(STACK - 6, f.state.r[Slot.RSP]);
    assertEquals(CODE, f.physical.readShort(STACK - 6) & 0xffff);
  }

  @Test
  void innerStackSegmentsAreCheckedWithInvalidTss() {
    f.protectedMode(3);
    f.setGate(0x30, CODE0, HANDLER, 0x8e);
    f.physical.writeInt(TSS + 8, 0);
    fails(TS, EXT, 0x30, Kind.HARDWARE); // null
    f.physical.writeInt(TSS + 8, 0xff8);
    fails(TS, 0xff8 + EXT, 0x30, Kind.HARDWARE); // beyond the table
    f.physical.writeInt(TSS + 8, DATA0 | 1);
    fails(TS, DATA0 + EXT, 0x30, Kind.HARDWARE); // RPL
    f.physical.writeInt(TSS + 8, DATA0 + RING);
    fails(TS, DATA0 + RING + EXT, 0x30, Kind.HARDWARE); // DPL
    f.physical.writeInt(TSS + 8, CODE0);
    fails(TS, CODE0 + EXT, 0x30, Kind.HARDWARE); // no data
    f.setDescriptor(FREE, descriptor(0, 0xfffff, 0x13, 0xc));
    f.physical.writeInt(TSS + 8, FREE);
    fails(SS_FAULT, FREE + EXT, 0x30, Kind.HARDWARE); // absent
    f.state.limit[SegmentRegister.TR] = 8;
    fails(TS, TASK + EXT, 0x30, Kind.HARDWARE); // TSS too short
  }

  @Test
  void stackLimitsAreCheckedInProtectedMode() {
    f.protectedMode(0);
    f.setGate(0x30, CODE0, HANDLER, 0x8e);
    f.state.limit[SegmentRegister.SS] = 0xfff;
    fails(SS_FAULT, EXT, 0x30, Kind.HARDWARE);
    fails(SS_FAULT, 0, 0x30, Kind.SOFTWARE_INTERRUPT);
    f.protectedMode(0);
    f.setDescriptor(FREE, descriptor(0, 0xfff, 0x9b, 0x4));
    f.setGate(0x30, FREE, HANDLER, 0x8e);
    fails(GP, EXT, 0x30, Kind.HARDWARE); // EIP beyond the limit of CS
  }

  @Test
  void virtual8086ModeIsLeftWithAllSegmentsSaved() {
    f.virtual8086();
    f.setGate(0x30, CODE0, HANDLER, 0x8e);
    EventDelivery.interrupt(f.processor, 0x30);
    assertFalse(f.state.virtual8086());
    assertEquals(0, f.state.cpl);
    assertEquals(STACK0 - 36, f.state.r[Slot.RSP]);
    assertArrayEquals(
        new long[] {
          0,
          CODE >> 4,
          Flags.VM | 2,
          0xfff0,
          STACK - 0x10000 >> 4,
          SegmentRegister.ES << 4,
          SegmentRegister.DS << 4,
          SegmentRegister.FS << 4,
          SegmentRegister.GS << 4
        },
        stack32(9));
    assertTrue((f.state.access[SegmentRegister.DS] & SegmentRegister.UNUSABLE) != 0);
  }

  @Test
  void virtual8086ModeNeedsIoplForSoftwareInterrupts() {
    f.virtual8086();
    f.setAllGates(CODE0, 0xee);
    f.expect(GP, 0, "cd 30");
    f.run("cc"); // INT3 is exempt
    f.virtual8086();
    f.state.systemFlags |= Flags.IOPL;
    f.run("cd 30");
    assertEquals(HANDLER + 0x30, f.state.rip);
    f.virtual8086();
    f.setGate(0x30, CODE0 + RING | 1, HANDLER, 0xee);
    fails(GP, CODE0 + RING + EXT, 0x30, Kind.HARDWARE); // handler not in ring 0
  }

  @Test
  void pageFaultsSetTheAddressRegister() {
    f.longMode(0);
    f.setGate(PF, CODE64, HANDLER, 0x8e);
    EventDelivery.raise(f.processor, ProcessorException.pageFault(0x123456789abcL, 6));
    assertEquals(0x123456789abcL, f.state.cr2);
    assertEquals(6, stack64(1)[0]);
  }

  @Test
  void faultsPushTheResumeFlagAndTrapsDoNot() {
    int[] faults = {0, 5, 6, 7, 10, 11, 12, 13, 14, 16, 17, 19};
    for (int vector : faults) {
      f.longMode(0);
      f.setAllGates(CODE64, 0x8e);
      EventDelivery.raise(f.processor, ProcessorException.of(vector, 0));
      int flags = ProcessorException.hasErrorCode(vector) ? 3 : 2;
      assertEquals(Flags.RF | 2, stack64(4)[flags], "vector " + vector);
      assertFalse(f.state.flag(Flags.RF));
    }
    f.longMode(0);
    f.setAllGates(CODE64, 0x8e);
    EventDelivery.raise(f.processor, ProcessorException.of(DB));
    assertEquals(2, stack64(3)[2]);
  }

  @Test
  void errorCodesArePushedForTheVectorsOfTable61() {
    for (int vector = 0; vector < 20; vector++) {
      if (vector == 9 || vector == 15) {
        continue;
      }
      f.longMode(0);
      f.setAllGates(CODE64, 0x8e);
      EventDelivery.raise(f.processor, ProcessorException.of(vector, 0));
      boolean pushed = vector == 8 || vector >= 10 && vector <= 14 || vector == 17;
      assertEquals(STACK - (pushed ? 48 : 40), f.state.r[Slot.RSP], "vector " + vector);
    }
  }

  /** SDM volume 3, table 6-5. The first exception is raised, the second met while delivering it. */
  @Test
  void exceptionsDuringDeliveryCombineAsTable65Says() {
    int[] benign = {1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19};
    int[] contributory = {DE, TS, NP, SS_FAULT, GP};
    for (int first : benign) {
      assertEquals(NP, deliveredInstead(first), "benign " + first);
    }
    for (int first : contributory) {
      assertEquals(DF, deliveredInstead(first), "contributory " + first);
    }
    assertEquals(DF, deliveredInstead(PF), "page fault");
  }

  /** What is delivered when the gate of {@code first} is absent (#NP). */
  private int deliveredInstead(int first) {
    f.longMode(0);
    f.setAllGates(CODE64, 0x8e);
    f.setGate(first, CODE64, HANDLER + first, 0x0e);
    EventDelivery.raise(f.processor, ProcessorException.of(first, 0));
    return (int) f.state.rip - HANDLER;
  }

  /** What is delivered when delivering {@code first} ends in a page fault. */
  private int deliveredAfterPageFault(int first) {
    f.longMode(0);
    f.setAllGates(CODE64, 0x8e);
    // This one has a stack of its own, where nothing is mapped.
    f.setGate(first, CODE64, HANDLER + first, 0x8e);
    f.physical.writeByte(IDT + first * 16 + 4, (byte) 1);
    f.physical.writeLong(TSS + 36, 0x40000000L);
    EventDelivery.raise(f.processor, ProcessorException.of(first, 0));
    return (int) f.state.rip - HANDLER;
  }

  @Test
  void pageFaultsDuringDeliveryAreSerialExceptAfterPageFaults() {
    for (int first : new int[] {DE, 3, 6, TS, NP, SS_FAULT, GP}) {
      assertEquals(PF, deliveredAfterPageFault(first), "first " + first);
      assertEquals(0x3ffffff8L, f.state.cr2);
      assertEquals(2, stack64(1)[0], "error code of a supervisor's write");
    }
    assertEquals(DF, deliveredAfterPageFault(PF));
  }

  @Test
  void doubleFaultsPushErrorCodeZero() {
    assertEquals(DF, deliveredInstead(GP));
    assertEquals(0, stack64(1)[0]);
  }

  @Test
  void aDoubleFaultThatCannotBeDeliveredShutsDown() {
    f.longMode(0);
    f.setGate(GP, CODE64, HANDLER, 0x0e);
    f.setGate(NP, CODE64, HANDLER, 0x0e);
    f.setGate(DF, CODE64, HANDLER, 0x0e);
    assertThrows(
        TripleFault.class,
        () -> EventDelivery.raise(f.processor, ProcessorException.generalProtection()));
    f.realMode();
    f.state.idtrLimit = 0;
    assertThrows(TripleFault.class, () -> EventDelivery.interrupt(f.processor, 0x20));
  }

  @Test
  void anInterruptThatCannotBeDeliveredBecomesTheExceptionWithTheExternalBit() {
    f.longMode(0);
    f.setAllGates(CODE64, 0x8e);
    f.setGate(0x30, CODE64, HANDLER, 0x0e);
    EventDelivery.interrupt(f.processor, 0x30);
    assertEquals(HANDLER + NP, f.state.rip);
    assertEquals(0x30 * 8 + 2 + EXT, stack64(1)[0]);
  }

  @Test
  void deliveryEndsHaltAndShadows() {
    f.longMode(0);
    f.setAllGates(CODE64, 0x8e);
    f.run("f4");
    assertTrue(f.state.halted);
    f.state.interruptShadow = true;
    EventDelivery.interrupt(f.processor, 0x30);
    assertFalse(f.state.halted);
    assertFalse(f.state.interruptShadow);
    assertEquals(CODE + 1, stack64(1)[0]);
  }

  @Test
  void overflowTrapsOnlyWithTheFlag() {
    f.protectedMode(0);
    f.setAllGates(CODE0, 0x8e);
    f.run("ce");
    assertEquals(CODE + 1, f.state.rip);
    f.protectedMode(0);
    f.state.setStatusFlags(Flags.OF);
    f.run("ce");
    assertEquals(HANDLER + 4, f.state.rip);
    assertEquals(CODE + 1, stack32(1)[0]);
  }
}
