package dev.ringfence.machine.cpu;

import static dev.ringfence.machine.cpu.SystemFixture.CODE;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** RDMSR, WRMSR and RDTSC against SDM volume 2 and volume 4, chapter 2. */
class ModelSpecificRegistersTest {
  private static final int GP = ProcessorException.GENERAL_PROTECTION;
  private static final String WRMSR = "0f 30";
  private static final String RDMSR = "0f 32";
  private static final long NOT_CANONICAL = 0x800000000000L;

  private final SystemFixture f = new SystemFixture();

  @AfterEach
  void close() {
    f.close();
  }

  private void load(int number, long value) {
    f.state.rip = CODE;
    f.state.r[Slot.RCX] = number & 0xffffffffL;
    f.state.r[Slot.RAX] = value & 0xffffffffL;
    f.state.r[Slot.RDX] = value >>> 32;
  }

  private void write(int number, long value) {
    load(number, value);
    f.run(WRMSR);
  }

  private void refused(int number, long value) {
    load(number, value);
    f.expect(GP, 0, WRMSR);
  }

  private long read(int number) {
    load(number, 0xdead0000dead0000L);
    f.run(RDMSR);
    return f.state.r[Slot.RAX] | f.state.r[Slot.RDX] << 32;
  }

  private void unreadable(int number) {
    load(number, 0);
    f.expect(GP, 0, RDMSR);
  }

  @Test
  void registersThatDoNotExistRaiseGeneralProtection() {
    f.longMode(0);
    for (int number : new int[] {2, 0x2ff + 1, 0xc0000105, 0x40000000, -1, 0x830}) {
      unreadable(number);
      refused(number, 0);
    }
  }

  @Test
  void addressesMustBeCanonical() {
    f.longMode(0);
    for (int number :
        new int[] {0x175, 0x176, 0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102}) {
      write(number, 0xffff888812345678L);
      assertEquals(0xffff888812345678L, read(number));
      refused(number, NOT_CANONICAL);
    }
    write(0xc0000101, 0x1234);
    assertEquals(0x1234, f.state.segmentBase(SegmentRegister.GS));
  }

  @Test
  void flagMaskAndAuxiliaryHave32Bits() {
    f.longMode(0);
    for (int number : new int[] {0xc0000084, 0xc0000103}) {
      write(number, 0xffffffffL);
      assertEquals(0xffffffffL, read(number));
      refused(number, 1L << 32);
    }
  }

  @Test
  void extendedFeatureEnables() {
    f.longMode(0);
    assertEquals(0x501, read(0xc0000080));
    write(0xc0000080, 0xd01);
    assertEquals(0xd01, read(0xc0000080));
    write(0xc0000080, 0x900); // LMA cannot be written
    assertEquals(0xd00, read(0xc0000080));
    refused(0xc0000080, 0x400); // LME while paging
    refused(0xc0000080, 0xd02);
    refused(0xc0000080, 0xd00 | 1L << 32);
  }

  @Test
  void theTimeStampCounterAndItsAdjustmentMoveTogether() {
    f.longMode(0);
    f.processor.setTime(1_000);
    assertEquals(1_000, read(0x10));
    f.processor.setTime(1_000);
    write(0x10, 5_000);
    assertEquals(4_000, read(0x3b));
    f.processor.setTime(1_000);
    assertEquals(5_000, read(0x10));
    write(0x3b, 0);
    f.processor.setTime(1_000);
    assertEquals(1_000, read(0x10));
    write(0x3b, -1_000);
    f.processor.setTime(1_000);
    assertEquals(0, read(0x10));
  }

  @Test
  void theDeadlineIsTheApics() {
    f.longMode(0);
    write(0x6e0, 15_000);
    assertEquals(15_000, f.apic.deadline);
    assertEquals(15_000, read(0x6e0));
    write(0x10, 5_000);
    write(0x3b, 5_000);
    assertEquals(2, f.apic.counterChanges);
  }

  @Test
  void rdtscReadsTimeUnlessDisabledForUsers() {
    f.longMode(3);
    f.processor.setTime(0x1_2345_6789L);
    f.run("0f 31");
    assertEquals(0x23456789, f.state.r[Slot.RAX]);
    assertEquals(1, f.state.r[Slot.RDX]);
    f.state.tscAux = 7;
    f.run("0f 01 f9");
    assertEquals(7, f.state.r[Slot.RCX]);
    f.state.cr4 |= ControlBits.CR4_TSD;
    f.expect(GP, 0, "0f 31");
    f.expect(GP, 0, "0f 01 f9");
    f.longMode(0);
    f.state.cr4 |= ControlBits.CR4_TSD;
    f.run("0f 31");
  }

  @Test
  void memoryTypes() {
    f.longMode(0);
    assertEquals(0x0007040600070406L, read(0x277));
    write(0x277, 0x0007010500070406L);
    refused(0x277, 2);
    refused(0x277, 3L << 56);
    assertEquals(0xc06, read(0x2ff));
    write(0x2ff, 0x800);
    refused(0x2ff, 0x802);
    refused(0x2ff, 0x1000);
    write(0x200, 0x80000006L);
    refused(0x200, 1L << 46);
    refused(0x200, 0x107);
    write(0x201, 0x3fff80000800L);
    refused(0x201, 0x400);
    write(0x26f, 0x0606060606060606L);
    refused(0x26f, 0x0706060606060606L);
    refused(0xfe, 0); // read only
    unreadable(0x214); // ten ranges
  }

  @Test
  void microcodeRevisionStays() {
    f.longMode(0);
    assertEquals(0x02006e0500000000L, read(0x8b));
    write(0x8b, 0);
    write(0x79, 0x9000);
    assertEquals(0x02006e0500000000L, read(0x8b));
    unreadable(0x79);
  }

  @Test
  void miscellaneousEnablesChangeFastStringsOnly() {
    f.longMode(0);
    assertEquals(0x1801, read(0x1a0));
    write(0x1a0, 0x1800);
    refused(0x1a0, 0x1800 | 1 << 18);
  }

  @Test
  void speculationControlFollowsTheFeatures() {
    f.longMode(0);
    write(0x48, 7);
    assertEquals(7, read(0x48));
    refused(0x48, 8);
    write(0x49, 1);
    refused(0x49, 2);
    unreadable(0x49);
    write(0x10b, 1);
    refused(0x10b, 2);
    unreadable(0x10a); // not on this processor
  }

  @Test
  void apicBase() {
    f.longMode(0);
    assertEquals(0xfee00900L, read(0x1b));
    write(0x1b, 0xfee00100L);
    assertEquals(0xfee00100L, f.apic.apicBase);
    refused(0x1b, 1L << 50);
  }

  @Test
  void performanceCountersDoNotExist() {
    f.longMode(0);
    f.state.r[Slot.RCX] = 0;
    f.expect(GP, 0, "0f 33");
  }
}
