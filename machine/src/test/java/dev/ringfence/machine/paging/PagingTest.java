package dev.ringfence.machine.paging;

import static dev.ringfence.machine.interpret.BareProcessor.ACCESSED;
import static dev.ringfence.machine.interpret.BareProcessor.CODE;
import static dev.ringfence.machine.interpret.BareProcessor.DATA;
import static dev.ringfence.machine.interpret.BareProcessor.DIRTY;
import static dev.ringfence.machine.interpret.BareProcessor.GLOBAL;
import static dev.ringfence.machine.interpret.BareProcessor.LARGE;
import static dev.ringfence.machine.interpret.BareProcessor.NO_EXECUTE;
import static dev.ringfence.machine.interpret.BareProcessor.PRESENT;
import static dev.ringfence.machine.interpret.BareProcessor.USER;
import static dev.ringfence.machine.interpret.BareProcessor.WRITABLE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.fail;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interpret.BareProcessor;
import dev.ringfence.machine.translate.TranslationMode;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Hand-made page tables against SDM volume 3, chapter 4. */
@ParameterizedClass
@EnumSource(names = {"OFF", "FORCED"})
class PagingTest {
  private static final long LINEAR = 0x7f_1234_5000L;
  private static final int WRITE = 2;
  private static final int USER_MODE = 4;
  private static final int RESERVED = 8;
  private static final int FETCH = 16;

  private final BareProcessor bare;

  PagingTest(TranslationMode mode) {
    bare = new BareProcessor(mode);
    memory = bare.processor.memory();
  }

  private final TranslatedMemory memory;

  @AfterEach
  void close() {
    bare.close();
  }

  private ProcessorException fault(Runnable access) {
    return assertThrows(ProcessorException.class, access::run);
  }

  private void assertPageFault(int errorCode, Runnable access) {
    ProcessorException fault = fault(access);
    assertEquals(ProcessorException.PAGE_FAULT, fault.vector());
    assertEquals(errorCode, fault.errorCode());
    assertEquals(LINEAR, fault.address());
  }

  private void asUser() {
    bare.state.cpl = 3;
    memory.contextChanged();
  }

  /**
   * The rights table of section 4.6.1: every combination of mode, R/W, U/S, CR0.WP, SMAP and AC.
   */
  @Test
  void dataAccessRightsFollowSection461() {
    for (int bits = 0; bits < 64; bits++) {
      final boolean user = (bits & 1) != 0;
      final boolean writablePage = (bits & 2) != 0;
      final boolean userPage = (bits & 4) != 0;
      final boolean writeProtect = (bits & 8) != 0;
      final boolean smap = (bits & 16) != 0;
      final boolean alignmentCheck = (bits & 32) != 0;
      bare.map(LINEAR, DATA, PRESENT | (writablePage ? WRITABLE : 0) | (userPage ? USER : 0));
      bare.state.cpl = user ? 3 : 0;
      bare.state.cr0 =
          ControlBits.CR0_PE | ControlBits.CR0_PG | (writeProtect ? ControlBits.CR0_WP : 0);
      bare.state.cr4 = ControlBits.CR4_PAE | (smap ? ControlBits.CR4_SMAP : 0);
      bare.state.systemFlags = alignmentCheck ? Flags.AC : 0;
      memory.invalidateAll();
      boolean reach = user ? userPage : !(userPage && smap && !alignmentCheck);
      boolean mayWrite = reach && (writablePage || !user && !writeProtect);
      int mode = user ? USER_MODE : 0;
      check(reach, 1 | mode, () -> memory.load8(LINEAR), bits);
      check(mayWrite, 1 | mode | WRITE, () -> memory.store8(LINEAR, 0), bits);
    }
  }

  private void check(boolean allowed, int errorCode, Runnable access, int bits) {
    try {
      access.run();
      if (!allowed) {
        fail("combination " + bits + " must fault");
      }
    } catch (ProcessorException e) {
      assertEquals(
          allowed ? "no fault" : "error code " + errorCode,
          "error code " + e.errorCode(),
          "combination " + bits);
    }
  }

  @Test
  void fetchRightsFollowNoExecuteAndSmep() {
    for (int bits = 0; bits < 16; bits++) {
      final boolean user = (bits & 1) != 0;
      final boolean userPage = (bits & 2) != 0;
      final boolean noExecute = (bits & 4) != 0;
      final boolean smep = (bits & 8) != 0;
      bare.map(LINEAR, DATA, PRESENT | (userPage ? USER : 0) | (noExecute ? NO_EXECUTE : 0));
      bare.state.cpl = user ? 3 : 0;
      bare.state.cr4 = ControlBits.CR4_PAE | (smep ? ControlBits.CR4_SMEP : 0);
      memory.invalidateAll();
      boolean allowed = !noExecute && (user ? userPage : !(userPage && smep));
      check(allowed, 1 | FETCH | (user ? USER_MODE : 0), () -> memory.fetchPage(LINEAR), bits);
    }
  }

  @Test
  void restrictionsOfEveryLevelCount() {
    for (int level = 1; level <= 4; level++) {
      bare.map(LINEAR, DATA, PRESENT | WRITABLE | USER);
      long entry = bare.entryAddress(LINEAR, level);
      long value = bare.memory.readLong(entry);
      bare.memory.writeLong(entry, value & ~WRITABLE);
      memory.invalidateAll();
      assertPageFault(1 | WRITE, () -> memory.store8(LINEAR, 0));
      bare.memory.writeLong(entry, value & ~PRESENT);
      memory.invalidateAll();
      assertPageFault(0, () -> memory.load8(LINEAR));
      bare.memory.writeLong(entry, value);
    }
  }

  @Test
  void reservedBitsAreReportedAtEveryLevel() {
    for (int level = 1; level <= 4; level++) {
      bare.map(LINEAR, DATA, PRESENT | WRITABLE | USER);
      long entry = bare.entryAddress(LINEAR, level);
      long value = bare.memory.readLong(entry);
      bare.memory.writeLong(entry, value | 1L << 51); // beyond the model's 46 physical address bits
      memory.invalidateAll();
      assertPageFault(1 | RESERVED, () -> memory.load8(LINEAR));
      bare.memory.writeLong(entry, value);
    }
  }

  @Test
  void noExecuteIsAReservedBitWithoutNxe() {
    bare.state.efer &= ~ControlBits.EFER_NXE;
    bare.map(LINEAR, DATA, PRESENT | NO_EXECUTE);
    memory.invalidateAll();
    assertPageFault(1 | RESERVED, () -> memory.load8(LINEAR));
  }

  @Test
  void accessedAndDirtyBitsAreSetByTheAccessesThatNeedThem() {
    bare.map(LINEAR, DATA, PRESENT | WRITABLE);
    long entry = bare.entryAddress(LINEAR, 1);
    memory.load8(LINEAR);
    assertEquals(DATA | PRESENT | WRITABLE | ACCESSED, bare.memory.readLong(entry));
    memory.store8(LINEAR, 1);
    assertEquals(DATA | PRESENT | WRITABLE | ACCESSED | DIRTY, bare.memory.readLong(entry));
    for (int level = 2; level <= 4; level++) {
      long above = bare.memory.readLong(bare.entryAddress(LINEAR, level));
      assertEquals(ACCESSED, above & (ACCESSED | DIRTY), "level " + level);
    }
  }

  @Test
  void aFaultSetsNoBits() {
    bare.map(LINEAR, DATA, PRESENT);
    asUser();
    assertPageFault(1 | USER_MODE, () -> memory.load8(LINEAR));
    assertEquals(DATA | PRESENT, bare.memory.readLong(bare.entryAddress(LINEAR, 1)));
  }

  @Test
  void translationsStayUntilTheyAreInvalidated() {
    bare.map(LINEAR, DATA, PRESENT | WRITABLE);
    bare.memory.writeLong(DATA, 0x1111);
    bare.memory.writeLong(DATA + 0x1000, 0x2222);
    assertEquals(0x1111, memory.load64(LINEAR));
    bare.map(LINEAR, DATA + 0x1000, PRESENT | WRITABLE);
    assertEquals(0x1111, memory.load64(LINEAR), "stale, as on hardware");
    memory.invalidatePage(LINEAR + 0x1000);
    assertEquals(0x1111, memory.load64(LINEAR), "another page");
    memory.invalidatePage(LINEAR);
    assertEquals(0x2222, memory.load64(LINEAR));
  }

  @Test
  void translationsOutliveAChangeOfPrivilege() {
    bare.map(LINEAR, DATA, PRESENT | WRITABLE | USER);
    bare.memory.writeLong(DATA, 0x1111);
    memory.load64(LINEAR);
    bare.map(LINEAR, 0, 0);
    asUser();
    assertEquals(0x1111, memory.load64(LINEAR));
  }

  @Test
  void aStaleTranslationThatForbidsTheAccessIsWalkedAgain() {
    bare.map(LINEAR, DATA, PRESENT);
    memory.load8(LINEAR);
    bare.map(LINEAR, DATA, PRESENT | WRITABLE);
    memory.store8(LINEAR, 5);
    assertEquals(5, bare.memory.readByte(DATA));
  }

  @Test
  void loadingCr3DropsAllButGlobalTranslations() {
    bare.map(LINEAR, DATA, PRESENT | GLOBAL);
    bare.map(LINEAR + 0x1000, DATA, PRESENT);
    bare.memory.writeLong(DATA, 0x1111);
    memory.load64(LINEAR);
    memory.load64(LINEAR + 0x1000);
    bare.map(LINEAR, 0, 0);
    bare.map(LINEAR + 0x1000, 0, 0);
    memory.invalidatePcid(0);
    assertEquals(0x1111, memory.load64(LINEAR));
    assertEquals(0, fault(() -> memory.load64(LINEAR + 0x1000)).errorCode());
    memory.invalidateAll();
    assertEquals(0, fault(() -> memory.load64(LINEAR)).errorCode());
  }

  @Test
  void processContextsKeepTheirTranslationsApart() {
    bare.state.cr4 |= ControlBits.CR4_PCIDE;
    bare.map(LINEAR, DATA, PRESENT);
    bare.memory.writeLong(DATA, 0x1111);
    bare.memory.writeLong(DATA + 0x1000, 0x2222);
    bare.state.cr3 |= 1;
    memory.contextChanged();
    assertEquals(0x1111, memory.load64(LINEAR));
    bare.map(LINEAR, DATA + 0x1000, PRESENT);
    bare.state.cr3 ^= 3;
    memory.contextChanged();
    assertEquals(0x2222, memory.load64(LINEAR), "PCID 2 has not seen the page before");
    bare.state.cr3 ^= 3;
    memory.contextChanged();
    assertEquals(0x1111, memory.load64(LINEAR), "PCID 1 kept its translation");
    memory.invalidatePage(LINEAR, 2);
    assertEquals(0x1111, memory.load64(LINEAR));
    memory.invalidatePage(LINEAR, 1);
    assertEquals(0x2222, memory.load64(LINEAR));
  }

  @Test
  void largePagesTranslateAndAreInvalidatedAsAWhole() {
    long linear = 0x7f_4000_0000L;
    bare.memory.writeLong(bare.entryAddress(linear, 2), PRESENT | WRITABLE | LARGE);
    bare.memory.writeLong(DATA - 8, 0x1111);
    assertEquals(0x1111, memory.load64(linear + DATA - 8));
    bare.memory.writeLong(bare.entryAddress(linear, 2), 0);
    assertEquals(0x1111, memory.load64(linear + DATA - 8));
    memory.invalidatePage(linear);
    fault(() -> memory.load64(linear + DATA - 8));
    long gigabyte = 0x7e_8000_0000L;
    bare.memory.writeLong(bare.entryAddress(gigabyte, 3), PRESENT | WRITABLE | LARGE);
    assertEquals(0x1111, memory.load64(gigabyte + DATA - 8));
    assertEquals(
        ACCESSED, bare.memory.readLong(bare.entryAddress(gigabyte, 3)) & (ACCESSED | DIRTY));
  }

  /** As in processors with an instruction TLB: how code is divided into blocks cannot matter. */
  @Test
  void codeKeepsItsTranslationWhateverDataItAccesses() {
    long data = 0x7e_0000_0000L;
    long tables = 64;
    for (int page = 0; page < 512; page++) {
      bare.map(data + 0x1000L * page, DATA, PRESENT);
    }
    long directory = bare.entryAddress(data, 2);
    for (long table = 1; table < tables; table++) {
      bare.memory.writeLong(directory + 8 * table, bare.memory.readLong(directory));
    }
    // mov rcx, data ; mov edx, pages ; again: mov rax, [rcx] ; add rcx, 1000h ; dec edx ;
    // jnz again ; call the next page ; hlt
    bare.place(CODE, "48b9 000000007e000000 ba 00800000 488b01 4881c100100000 ffca 75f2");
    bare.place(CODE + 29, "e8 de0f0000 f4");
    bare.place(CODE + 0x1000, "c3");
    bare.runAt(CODE);
    long entry = bare.entryAddress(CODE, 1);
    long nextEntry = bare.entryAddress(CODE + 0x1000, 1);
    bare.memory.writeLong(entry, bare.memory.readLong(entry) & ~ACCESSED);
    bare.memory.writeLong(nextEntry, bare.memory.readLong(nextEntry) & ~ACCESSED);
    bare.runAt(CODE);
    assertEquals(512 * tables, (bare.state.r[Slot.RCX] - data) / 0x1000, "pages accessed");
    assertEquals(0, bare.memory.readLong(entry) & ACCESSED, "no walk");
    assertEquals(0, bare.memory.readLong(nextEntry) & ACCESSED, "no walk");
  }

  @Test
  void misalignedLargePageFrameIsReserved() {
    long linear = 0x7f_4000_0000L;
    bare.memory.writeLong(bare.entryAddress(linear, 2), 1 << 13 | PRESENT | LARGE);
    assertEquals(1 | RESERVED, fault(() -> memory.load8(linear)).errorCode());
  }

  @Test
  void accessAcrossPagesChecksBothBeforeItWrites() {
    bare.map(LINEAR, DATA, PRESENT | WRITABLE);
    bare.map(LINEAR + 0x1000, 0, 0);
    long at = LINEAR + 0xffd;
    ProcessorException fault = fault(() -> memory.store64(at, -1));
    assertEquals(LINEAR + 0x1000, fault.address());
    assertEquals(0, bare.memory.readLong(DATA + 0xff8));
    bare.map(LINEAR + 0x1000, DATA + 0x3000, PRESENT | WRITABLE);
    memory.store64(at, 0x1122334455667788L);
    assertEquals(0x1122334455667788L, memory.load64(at));
    assertEquals(0x11223344, bare.memory.readInt(DATA + 0x3001));
  }

  @Test
  void addressesThatAreNotCanonicalRaiseGeneralProtectionOrStackFault() {
    assertEquals(
        ProcessorException.GENERAL_PROTECTION, fault(() -> memory.load8(1L << 47)).vector());
    assertEquals(
        ProcessorException.STACK_FAULT, fault(() -> memory.load64(1L << 47, true)).vector());
  }

  /** Section 6.15, interrupt 17: all three conditions together, and after the page fault. */
  @Test
  void misalignedAccessesRaiseAlignmentCheckInUserModeWithAmAndAc() {
    bare.map(LINEAR, DATA, PRESENT | WRITABLE | USER);
    for (int bits = 0; bits < 8; bits++) {
      bare.state.cpl = (bits & 1) != 0 ? 3 : 0;
      bare.state.systemFlags = (bits & 2) != 0 ? Flags.AC : 0;
      long base = ControlBits.CR0_PE | ControlBits.CR0_PG;
      bare.state.cr0 = base | ((bits & 4) != 0 ? ControlBits.CR0_AM : 0);
      memory.contextChanged();
      memory.load64(LINEAR + 8);
      memory.store64(LINEAR + 8, 0);
      memory.load8(LINEAR + 1);
      for (Runnable access :
          new Runnable[] {
            () -> memory.load16(LINEAR + 1),
            () -> memory.load64(LINEAR + 4),
            () -> memory.store32(LINEAR + 2, 0),
          }) {
        try {
          access.run();
          assertEquals(false, bits == 7, "combination " + bits);
        } catch (ProcessorException e) {
          assertEquals(7, bits);
          assertEquals(ProcessorException.ALIGNMENT_CHECK, e.vector());
          assertEquals(0, e.errorCode());
        }
      }
    }
    ProcessorException both = fault(() -> memory.load64(LINEAR + 0xffc));
    assertEquals(ProcessorException.PAGE_FAULT, both.vector(), "the next page is not mapped");
  }

  @Test
  void aViewIsAskedForTheUpperHalfAfterTheGuestsTablesPermit() {
    long upper = 0xffff_8880_0000_0000L;
    bare.map(LINEAR, DATA, PRESENT);
    bare.map(upper, DATA, PRESENT);
    bare.map(upper + 0x1000, DATA + 0x1000, PRESENT);
    java.util.List<String> asked = new java.util.ArrayList<>();
    memory.setView((linear, access, mapping) -> {
      asked.add("%x %x %d".formatted(linear, mapping.frameOf(linear), access));
      return linear < upper + 0x1000;
    });
    memory.load64(LINEAR);
    memory.load64(upper + 8);
    memory.load64(upper + 16);
    memory.load64(upper + 0x1000);
    memory.load64(upper + 0x1008);
    fault(() -> memory.load64(upper + 0x5000));
    memory.restrict();
    memory.load64(upper + 24);
    memory.load64(upper + 0x1010);
    memory.withdraw(upper);
    memory.load64(upper + 32);
    assertEquals(
        java.util.List.of(
            "%x %x 0".formatted(upper + 8, DATA),
            "%x %x 0".formatted(upper + 0x1000, DATA + 0x1000),
            "%x %x 0".formatted(upper + 0x1010, DATA + 0x1000),
            "%x %x 0".formatted(upper + 32, DATA)),
        asked);
  }

  @Test
  void aCopyKeepsItsSourceWhenTheTargetDisplacesALargePage() {
    long first = 0x10_0000_0000L;
    // The buffer has 1024 entries for pages of 2 MiB, so this one displaces the first.
    long second = first + (1024L << 21);
    bare.memory.writeLong(bare.entryAddress(first, 2), 0x60_0000 | PRESENT | WRITABLE | LARGE);
    bare.memory.writeLong(bare.entryAddress(second, 2), 0x80_0000 | PRESENT | WRITABLE | LARGE);
    bare.map(LINEAR, DATA, PRESENT);
    bare.memory.writeLong(DATA, 0x1234);
    memory.load64(first);
    memory.load64(LINEAR);
    assertEquals(true, memory.copy(LINEAR, second + 0x1000, 8));
    assertEquals(0x1234, bare.memory.readLong(0x80_1000));
  }

  @Test
  void pageFaultReachesTheGuestsHandlerWithCr2AndErrorCode() {
    // mov [0x12345678], eax ; hlt
    bare.run("890425 78563412 f4");
    assertEquals(ProcessorException.PAGE_FAULT, bare.raised());
    assertEquals(0x12345678, bare.state.cr2);
    assertEquals(WRITE, bare.errorCode());
  }
}
