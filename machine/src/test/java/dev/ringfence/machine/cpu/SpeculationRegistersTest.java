package dev.ringfence.machine.cpu;

import static dev.ringfence.machine.cpu.SystemFixture.CODE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.probe.Probe;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * What reaches the silicon from instructions that control execution ahead of time, against SDM
 * volume 4, table 2-2, and AMD's papers on the subject; and what raises #GP instead.
 */
class SpeculationRegistersTest {
  private static final int GP = ProcessorException.GENERAL_PROTECTION;
  private static final int SPEC_CTRL = 0x48;
  private static final int PRED_CMD = 0x49;
  private static final int ARCH_CAPABILITIES = 0x10a;
  private static final int FLUSH_CMD = 0x10b;
  private static final int TSX_CTRL = 0x122;
  private static final int EFER = 0xc0000080;
  private static final int LS_CFG = 0xc0011020;
  private static final int DE_CFG = 0xc0011029;
  private static final int DE_CFG2 = 0xc00110e3;

  /** VERW with the word at DS:0x9000. */
  private static final String VERW_MEMORY = "0f 00 2c 25 00 90 00 00";

  /** Notes what arrives. */
  private static final class Recorder implements Microarchitecture {
    final List<String> calls = new ArrayList<>();
    SpeculationControl control =
        new SpeculationControl(false, false, false, false, false, false, false, false);

    @Override
    public void barrierIndirectBranchPredictions() {
      calls.add("barrier");
    }

    @Override
    public void barrierIndirectBranchPredictionsSelectively() {
      calls.add("selective barrier");
    }

    @Override
    public void flushL1Data() {
      calls.add("flush");
    }

    @Override
    public void clearBuffers() {
      calls.add("clear");
    }

    @Override
    public void speculationControlChanged(SpeculationControl changed) {
      calls.add("control");
      control = changed;
    }

    List<String> take() {
      List<String> taken = List.copyOf(calls);
      calls.clear();
      return taken;
    }
  }

  private final List<SystemFixture> fixtures = new ArrayList<>();
  private SystemFixture f = on("skylake-server");
  private Recorder silicon = new Recorder();

  @AfterEach
  void close() {
    fixtures.forEach(SystemFixture::close);
  }

  private SystemFixture on(String model) {
    silicon = new Recorder();
    f = new SystemFixture(CpuModel.load(model));
    fixtures.add(f);
    f.longMode(0);
    f.processor.setMicroarchitecture(silicon);
    silicon.take();
    return f;
  }

  private void load(int number, long value) {
    f.state.rip = CODE;
    f.state.r[Slot.RCX] = number & 0xffffffffL;
    f.state.r[Slot.RAX] = value & 0xffffffffL;
    f.state.r[Slot.RDX] = value >>> 32;
  }

  private void write(int number, long value) {
    load(number, value);
    f.run("0f 30");
  }

  private void refused(int number, long value) {
    load(number, value);
    f.expect(GP, 0, "0f 30");
  }

  private long read(int number) {
    load(number, 0);
    f.run("0f 32");
    return f.state.r[Slot.RAX] | f.state.r[Slot.RDX] << 32;
  }

  private void unreadable(int number) {
    load(number, 0);
    f.expect(GP, 0, "0f 32");
  }

  private int[] cpuid(int leaf) {
    f.state.rip = CODE;
    f.state.r[Slot.RAX] = leaf & 0xffffffffL;
    f.state.r[Slot.RCX] = 0;
    f.run("0f a2");
    return new int[] {
      (int) f.state.r[Slot.RAX],
      (int) f.state.r[Slot.RBX],
      (int) f.state.r[Slot.RCX],
      (int) f.state.r[Slot.RDX]
    };
  }

  @Test
  void theControlsOfSkylakeAreThree() {
    on("skylake-server");
    write(SPEC_CTRL, 1);
    assertTrue(silicon.control.indirectBranchRestricted());
    assertFalse(silicon.control.storeBypassDisabled());
    write(SPEC_CTRL, 2);
    assertTrue(silicon.control.siblingPredictorsApart());
    assertFalse(silicon.control.indirectBranchRestricted());
    write(SPEC_CTRL, 4);
    assertTrue(silicon.control.storeBypassDisabled());
    assertTrue(silicon.control.loadFenceSerializes(), "on Intel always");
    assertEquals(List.of("control", "control", "control"), silicon.take());
    for (int bit = 3; bit < 64; bit++) {
      refused(SPEC_CTRL, 1L << bit);
    }
    assertEquals(List.of(), silicon.take());
    assertEquals(4, read(SPEC_CTRL));
  }

  @Test
  void sapphireRapidsCanKeepHistoryAndReturnsApart() {
    on("sapphirerapids");
    write(SPEC_CTRL, 1 << 10);
    assertTrue(silicon.control.branchHistoryApart());
    write(SPEC_CTRL, 1 << 6);
    assertTrue(silicon.control.returnAlternateDisabled());
    assertFalse(silicon.control.branchHistoryApart());
    write(SPEC_CTRL, 0x5ff);
    refused(SPEC_CTRL, 1 << 9);
    refused(SPEC_CTRL, 1 << 11);
  }

  @Test
  void theBarrierIsWritableOnly() {
    on("skylake-server");
    write(PRED_CMD, 1);
    assertEquals(List.of("barrier"), silicon.take());
    write(PRED_CMD, 0);
    refused(PRED_CMD, 2);
    refused(PRED_CMD, 0x80);
    unreadable(PRED_CMD);
    assertEquals(List.of(), silicon.take());
  }

  @Test
  void zen4HasABarrierForTargetsAlone() {
    on("zen4");
    write(PRED_CMD, 0x80);
    write(PRED_CMD, 1);
    assertEquals(List.of("selective barrier", "barrier"), silicon.take());
    on("zen1");
    write(PRED_CMD, 1);
    refused(PRED_CMD, 0x80);
    assertEquals(List.of("barrier"), silicon.take());
  }

  @Test
  void whoObservesTheProcessorHearsOfFlushes() {
    on("skylake-server");
    List<Probe.Flush> heard = new ArrayList<>();
    f.processor.setProbe(
        new Probe() {
          @Override
          public void flushed(Processor processor, Flush flush) {
            heard.add(flush);
          }
        });
    write(FLUSH_CMD, 1);
    write(PRED_CMD, 1);
    f.state.rip = CODE;
    f.run(VERW_MEMORY);
    write(FLUSH_CMD, 0);
    refused(FLUSH_CMD, 2);
    assertEquals(
        List.of(Probe.Flush.L1_DATA, Probe.Flush.BRANCH_PREDICTIONS, Probe.Flush.BUFFERS), heard);
  }

  @Test
  void theFirstLevelCacheIsFlushedByCommand() {
    on("skylake-server");
    write(FLUSH_CMD, 1);
    assertEquals(List.of("flush"), silicon.take());
    write(FLUSH_CMD, 0);
    refused(FLUSH_CMD, 2);
    unreadable(FLUSH_CMD);
    on("zen2");
    refused(FLUSH_CMD, 1);
    assertEquals(List.of(), silicon.take());
  }

  @Test
  void verwWithMemoryClearsBuffersWhereTheProcessorSaysSo() {
    on("skylake-server");
    f.physical.writeInt(0x9000, SystemFixture.DATA0);
    f.state.rip = CODE;
    f.run(VERW_MEMORY);
    assertEquals(Flags.ZF, f.state.rflags() & Flags.ZF, "writable");
    assertEquals(List.of("clear"), silicon.take());
    f.physical.writeInt(0x9000, 0);
    f.state.rip = CODE;
    f.run(VERW_MEMORY);
    assertEquals(0, f.state.rflags() & Flags.ZF, "not writable");
    assertEquals(List.of("clear"), silicon.take(), "whatever the selector is");
    f.state.rip = CODE;
    f.run("0f 00 e8"); // VERW AX
    f.state.rip = CODE;
    f.run("0f 00 24 25 00 90 00 00"); // VERR
    assertEquals(List.of(), silicon.take());
    for (String model : List.of("zen1", "zen2", "ideal")) {
      on(model);
      f.state.rip = CODE;
      f.run(VERW_MEMORY);
      assertEquals(List.of(), silicon.take(), model);
    }
    on("zen4");
    f.state.rip = CODE;
    f.run(VERW_MEMORY);
    assertEquals(List.of("clear"), silicon.take());
  }

  @Test
  void usersCanClearBuffersButNotReachRegisters() {
    on("skylake-server");
    f.longMode(3);
    f.run(VERW_MEMORY);
    assertEquals(List.of("clear"), silicon.take());
    for (int number : new int[] {SPEC_CTRL, PRED_CMD, FLUSH_CMD}) {
      refused(number, 1);
      unreadable(number);
    }
    assertEquals(List.of(), silicon.take());
  }

  @Test
  void transactionsCanBeDisabledAndHiddenFromCascadeLakeOn() {
    on("cascadelake-server");
    int transactions = 1 << 4 | 1 << 11;
    assertEquals(transactions, cpuid(7)[1] & transactions);
    write(TSX_CTRL, 1);
    assertTrue(silicon.control.transactionsDisabled());
    assertEquals(transactions, cpuid(7)[1] & transactions);
    write(TSX_CTRL, 3);
    assertEquals(0, cpuid(7)[1] & transactions);
    assertEquals(3, read(TSX_CTRL));
    refused(TSX_CTRL, 4);
    on("skylake-server");
    assertEquals(transactions, cpuid(7)[1] & transactions);
    unreadable(TSX_CTRL);
    refused(TSX_CTRL, 0);
  }

  /** RDCL_NO, MDS_NO and TAA_NO are bits 0, 5 and 8. */
  @Test
  void capabilitiesNameWhatTheProcessorDoesNotHave() {
    on("cascadelake-server");
    assertEquals(0x21, read(ARCH_CAPABILITIES) & 0x121);
    refused(ARCH_CAPABILITIES, 0);
    on("icelake-server");
    assertEquals(0x121, read(ARCH_CAPABILITIES) & 0x121);
    // RRSBA is bit 19. ITS_NO, bit 62, is for hypervisors to set: indirect-target-selection.rst.
    long returnsAndSelection = 1L << 19 | 1L << 62;
    assertEquals(0, read(ARCH_CAPABILITIES) & returnsAndSelection);
    on("sapphirerapids");
    assertEquals(1L << 19, read(ARCH_CAPABILITIES) & returnsAndSelection);
    for (String model : List.of("haswell-server", "skylake-server", "zen4", "ideal")) {
      on(model);
      unreadable(ARCH_CAPABILITIES);
    }
  }

  @Test
  void automaticRestrictionOfZen4IsABitOfEfer() {
    on("zen4");
    long efer = read(EFER);
    write(EFER, efer | 1 << 21);
    assertTrue(silicon.control.indirectBranchRestricted());
    assertEquals(efer | 1 << 21, read(EFER));
    assertEquals(List.of("control"), silicon.take());
    write(EFER, efer | 1 << 21);
    assertEquals(List.of(), silicon.take());
    on("zen2");
    refused(EFER, read(EFER) | 1 << 21);
  }

  @Test
  void amdHasControlsInRegistersOfTheFamily() {
    on("zen1");
    refused(SPEC_CTRL, 0);
    write(LS_CFG, 1 << 10);
    assertTrue(silicon.control.storeBypassDisabled());
    assertFalse(silicon.control.loadFenceSerializes());
    write(DE_CFG, 2);
    assertTrue(silicon.control.loadFenceSerializes());
    unreadable(DE_CFG2);
    on("zen2");
    write(SPEC_CTRL, 4);
    assertTrue(silicon.control.storeBypassDisabled());
    write(DE_CFG2, 2);
    assertTrue(silicon.control.nonBranchPredictionDisabled());
    on("zen4");
    assertTrue(f.processor.speculationControl().loadFenceSerializes());
    unreadable(DE_CFG2);
    on("skylake-server");
    for (int number : new int[] {LS_CFG, DE_CFG, DE_CFG2, 0xc0010010, 0xc0010015}) {
      unreadable(number);
    }
  }

  @Test
  void intelsOwnRegistersAreMissingOnAmd() {
    for (String model : List.of("zen1", "zen2", "zen4")) {
      on(model);
      for (int number : new int[] {0x17, 0x34, 0xce, 0x1a0}) {
        unreadable(number);
      }
      assertNotEquals(0, read(0x8b) & 0xffffffffL, "revision of the microcode in the low half");
      assertEquals(1 << 24, read(0xc0010015) & 1 << 24, "HWCR.TscFreqSel");
    }
  }

  @Test
  void siliconThatComesLaterLearnsWhatIsRestrictedAlready() {
    on("skylake-server");
    write(SPEC_CTRL, 5);
    Recorder later = new Recorder();
    f.processor.setMicroarchitecture(later);
    assertTrue(later.control.indirectBranchRestricted());
    assertTrue(later.control.storeBypassDisabled());
  }
}
