package dev.ringfence.silicon.execute;

import static dev.ringfence.silicon.Assembler.BELOW;
import static dev.ringfence.silicon.Assembler.NOT_BELOW;
import static dev.ringfence.silicon.Assembler.R8;
import static dev.ringfence.silicon.Assembler.R9;
import static dev.ringfence.silicon.Assembler.RAX;
import static dev.ringfence.silicon.Assembler.RBX;
import static dev.ringfence.silicon.Assembler.RCX;
import static dev.ringfence.silicon.Assembler.RDI;
import static dev.ringfence.silicon.Assembler.RDX;
import static dev.ringfence.silicon.Assembler.RSI;
import static dev.ringfence.silicon.BareCore.CODE;
import static dev.ringfence.silicon.BareCore.DATA;
import static dev.ringfence.silicon.BareCore.PROBES;
import static dev.ringfence.silicon.BareCore.PROBE_SHIFT;
import static dev.ringfence.silicon.BareCore.USER;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.cpu.CpuModel;
import dev.ringfence.machine.cpu.SpeculationControl;
import dev.ringfence.silicon.Assembler;
import dev.ringfence.silicon.Assembler.Label;
import dev.ringfence.silicon.BareCore;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.model.Forwarding;
import dev.ringfence.silicon.model.SiliconModel;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

/**
 * Each start of a wrong path, alone: code that never retires loads a byte and leaves it as the
 * number of the one line at {@link BareCore#PROBES} that is in the caches. Mechanisms are those of
 * the papers that {@link StaleData} names.
 */
class TransientExecutionTest {
  private static final int SECRET = 0x5a;
  private static final SiliconModel MODEL = SiliconModel.load("skylake-server");
  private static final Forwarding NONE =
      new Forwarding(false, false, false, false, false, false, false, false);

  private static BareCore core(Forwarding forwarding) {
    return new BareCore(BareCore.with(MODEL, forwarding), TimeBase.CYCLES);
  }

  /** Leaves the byte in a register as a line of the array at {@code probes}; RBX changes. */
  private static Assembler leave(Assembler code, int register, long probes) {
    return code.set(RBX, probes)
        .shiftLeft(register, PROBE_SHIFT)
        .add(register, RBX)
        .load(register, register, 0);
  }

  /**
   * A bounds check that is trained with 0 and then meets an index beyond the bound, which is in RSI
   * at the last of the calls.
   *
   * @param behind instructions between the check and the load
   */
  private static Assembler boundsCheck(int... behind) {
    Assembler code = new Assembler();
    Label again = new Label();
    Label out = new Label();
    code.set(RCX, 0).set(RDI, DATA).label(again);
    // RSI = RCX == 40 ? 1000 : 0, without a branch.
    code.set(RSI, 0).set(RAX, 1000).compareConstant(RCX, 40).bytes(0x48, 0x0f, 0x44, 0xf0);
    code.flushLine(RDI, 0).memoryFence();
    code.load(RDX, RDI, 0).compare(RSI, RDX).jumpIf(NOT_BELOW, out);
    code.bytes(behind).set(R8, DATA + 0x800).add(R8, RSI).loadByte(RAX, R8, 0);
    leave(code, RAX, PROBES);
    code.label(out).addConstant(RCX, 1).compareConstant(RCX, 41).jumpIf(BELOW, again).halt();
    return code;
  }

  private static int leftBehindBoundsCheck(int... behind) {
    try (BareCore bare = core(NONE)) {
      bare.memory.writeLong(DATA, 8);
      bare.memory.writeByte(DATA + 0x800 + 1000, (byte) SECRET);
      kernelReads(bare, DATA + 0x800 + 1000);
      // Index 0 leaves line 0, which is no evidence.
      bare.run(boundsCheck(behind));
      bare.core.sharedCache().flush(PROBES);
      return bare.probed();
    }
  }

  @Test
  void aMispredictedBoundsCheckLeavesALine() {
    assertEquals(SECRET, leftBehindBoundsCheck());
  }

  @Test
  void aLoadFenceBehindABoundsCheckLeavesNothing() {
    assertEquals(-1, leftBehindBoundsCheck(0x0f, 0xae, 0xe8));
  }

  /** CLAC orders nothing: "STAC, then a barrier" is what Linux writes where it wants order. */
  @Test
  void aWrongPathGoesOnBehindClac() {
    assertEquals(SECRET, leftBehindBoundsCheck(0x0f, 0x01, 0xca));
  }

  /** A user's load at RDI, whose byte is left behind. */
  private static Assembler userLoad(long address) {
    Assembler code = new Assembler();
    code.set(RDI, address).loadByte(RAX, RDI, 0);
    return leave(code, RAX, USER + PROBES).breakpoint();
  }

  /** The kernel reads the secret, so that the first level has its line. */
  private static void kernelReads(BareCore bare, long address) {
    bare.run(new Assembler().set(RDI, address).loadByte(RAX, RDI, 0).loadFence().halt());
  }

  private static int afterSupervisorLoad(Forwarding forwarding, boolean cached) {
    try (BareCore bare = core(forwarding)) {
      bare.memory.writeByte(DATA, (byte) SECRET);
      if (cached) {
        kernelReads(bare, DATA);
      }
      bare.runUser(userLoad(DATA));
      assertEquals(14, bare.raised());
      return bare.probed();
    }
  }

  @Test
  void aSupervisorLoadForwardsTheFirstLevelsLine() {
    Forwarding meltdown = new Forwarding(true, false, false, false, false, false, false, false);
    assertEquals(SECRET, afterSupervisorLoad(meltdown, true));
    assertEquals(-1, afterSupervisorLoad(meltdown, false));
    assertEquals(-1, afterSupervisorLoad(NONE, true));
    Forwarding zero = new Forwarding(false, false, false, false, false, false, true, false);
    assertEquals(0, afterSupervisorLoad(zero, true));
  }

  private static int afterTerminalFault(Forwarding forwarding, boolean cached) {
    try (BareCore bare = core(forwarding)) {
      long page = USER + 0x4000_0000L;
      bare.memory.writeByte(DATA + 7, (byte) SECRET);
      bare.map(page, DATA, BareCore.WRITABLE | BareCore.USER_PAGE);
      if (cached) {
        kernelReads(bare, DATA + 7);
      }
      bare.runUser(userLoad(page + 7));
      assertEquals(14, bare.raised());
      return bare.probed();
    }
  }

  @Test
  void aTerminalFaultForwardsTheLineAtTheEntrysFrame() {
    Forwarding foreshadow = new Forwarding(false, true, false, false, false, false, false, false);
    assertEquals(SECRET, afterTerminalFault(foreshadow, true));
    assertEquals(-1, afterTerminalFault(foreshadow, false));
    assertEquals(-1, afterTerminalFault(NONE, true));
  }

  /** A user's load from a page that is not mapped, after the kernel has done something. */
  private static int afterUnmappedLoad(Forwarding forwarding, Assembler kernel, long offset) {
    return afterUnmapped(forwarding, kernel, userLoad(USER + 0x4000_0000L + offset));
  }

  private static int afterUnmapped(Forwarding forwarding, Assembler kernel, Assembler user) {
    try (BareCore bare = core(forwarding)) {
      bare.memory.writeByte(DATA + 5, (byte) SECRET);
      bare.run(kernel);
      bare.runUser(user);
      assertEquals(14, bare.raised());
      return bare.probed();
    }
  }

  @Test
  void aStoreIsForwardedToAFaultingLoadOfTheSamePageOffset() {
    Forwarding fallout = new Forwarding(false, false, true, false, false, false, false, false);
    Assembler store = new Assembler();
    store.set(RDI, DATA + 0x123).set(RAX, SECRET).store(RDI, 0, RAX).memoryFence().halt();
    assertEquals(SECRET, afterUnmappedLoad(fallout, store, 0x123));
    assertEquals(-1, afterUnmappedLoad(fallout, store, 0x133));
    assertEquals(-1, afterUnmappedLoad(NONE, store, 0x123));
  }

  @Test
  void aLoadPortForwardsToAFaultingLoadAcrossLines() {
    Forwarding ports = new Forwarding(false, false, false, false, true, false, false, false);
    Assembler load = new Assembler();
    // All ports hold the secret.
    load.set(RDI, DATA + 5);
    for (int i = 0; i < 4; i++) {
      load.loadByte(RAX, RDI, 0);
    }
    load.halt();
    assertEquals(SECRET, afterUnmapped(ports, load, userLoadOfEightBytes(60)));
    assertEquals(-1, afterUnmapped(NONE, load, userLoadOfEightBytes(60)));
    // Loads of up to eight bytes in a line do not take part (Intel, "Microarchitectural Data
    // Sampling").
    assertEquals(-1, afterUnmapped(ports, load, userLoadOfEightBytes(0)));
  }

  private static Assembler userLoadOfEightBytes(long offset) {
    Assembler code = new Assembler();
    code.set(RDI, USER + 0x4000_0000L + offset).load(RAX, RDI, 0);
    return leave(code, RAX, USER + PROBES).breakpoint();
  }

  @Test
  void fillBuffersForwardToAssistedLoads() {
    Forwarding buffers = new Forwarding(false, false, false, true, false, false, false, false);
    assertTrue(secretComesFromFillBuffers(buffers));
    assertFalse(secretComesFromFillBuffers(NONE));
  }

  /** Which buffer is sampled goes round, so several loads take what one alone may not. */
  private static boolean secretComesFromFillBuffers(Forwarding forwarding) {
    try (BareCore bare = core(forwarding)) {
      long pages = USER + 0x5000_0000L;
      // The whole line, so that whatever offset is sampled is the secret.
      for (int i = 0; i < 64; i++) {
        bare.memory.writeByte(DATA + i, (byte) SECRET);
      }
      Assembler code = new Assembler();
      for (int i = 0; i < 32; i++) {
        long page = pages + 4096L * i;
        bare.map(page, DATA + 0x1000, BareCore.PRESENT | BareCore.WRITABLE | BareCore.USER_PAGE);
        code.set(RDI, page).set(R9, USER + DATA).flushLine(R9, 0).memoryFence();
        code.loadByte(RAX, R9, 0).loadFence().loadByte(RAX, RDI, 3);
        leave(code, RAX, USER + PROBES);
      }
      bare.runUser(code.breakpoint());
      assertEquals(3, bare.raised());
      return bare.cached(PROBES + ((long) SECRET << PROBE_SHIFT));
    }
  }

  @Test
  void aLoadThatOvertakesAStoreForwardsWhatWasThere() {
    Forwarding bypass = new Forwarding(false, false, false, false, false, false, false, true);
    assertEquals(SECRET, afterStoreBypass(bypass, false));
    assertEquals(-1, afterStoreBypass(bypass, true));
    assertEquals(-1, afterStoreBypass(NONE, false));
  }

  private static int afterStoreBypass(Forwarding forwarding, boolean disabled) {
    try (BareCore bare = core(forwarding)) {
      bare.core.setControl(
          0, new SpeculationControl(false, false, disabled, false, false, true, false, false));
      bare.memory.writeLong(DATA, DATA + 0x100);
      Assembler code = new Assembler();
      Label again = new Label();
      Label out = new Label();
      code.set(RCX, 0).set(R9, DATA).label(again);
      // RSI = RCX == 30 ? DATA + 100H : DATA + 200H
      code.set(RSI, DATA + 0x200).set(RAX, DATA + 0x100);
      code.compareConstant(RCX, 30).bytes(0x48, 0x0f, 0x44, 0xf0);
      // RAX = RCX == 30 ? SECRET : 0
      code.set(RAX, 0).set(RBX, SECRET).bytes(0x48, 0x0f, 0x44, 0xc3).store(RSI, 0, RAX);
      code.flushLine(R9, 0).memoryFence().loadFence();
      code.load(R8, R9, 0).set(RAX, 0).store(R8, 0, RAX);
      code.loadByte(RAX, RSI, 0);
      leave(code, RAX, PROBES);
      code.label(out).addConstant(RCX, 1).compareConstant(RCX, 31).jumpIf(BELOW, again).halt();
      bare.run(code);
      // What retires is 0 in all rounds.
      bare.core.sharedCache().flush(PROBES);
      return bare.probed();
    }
  }

  @Test
  void aReturnGoesOnBehindItsCallUntilItsTargetIsKnown() {
    try (BareCore bare = core(NONE)) {
      Assembler code = new Assembler();
      Label callee = new Label();
      code.set(RAX, SECRET).call(callee);
      leave(code, RAX, PROBES).loadFence();
      code.label(callee);
      int from = code.offset();
      // The return address on the stack becomes that of the HLT; its line is not cached.
      code.set(R8, CODE + from + 10 + 4 + 8 + 3 + 1);
      code.bytes(0x4c, 0x89, 0x04, 0x24).bytes(0x48, 0x0f, 0xae, 0xbc, 0x24, 0, 0, 0, 0);
      code.memoryFence().giveBack().halt();
      bare.memory.fill(CODE, 4096, (byte) 0xf4);
      bare.run(code);
      assertEquals(SECRET, bare.probed());
    }
  }

  @Test
  void anAbortedTransactionLeavesALineOfAFaultThatNobodySaw() {
    Forwarding meltdown = new Forwarding(true, false, false, false, false, false, false, false);
    Assumptions.assumeTrue(CpuModel.load(MODEL.name()).has("RTM"));
    try (BareCore bare = core(meltdown)) {
      bare.memory.writeByte(DATA, (byte) SECRET);
      kernelReads(bare, DATA);
      Assembler code = new Assembler();
      Label fallback = new Label();
      code.set(RDI, DATA).transaction(fallback).loadByte(RAX, RDI, 0);
      leave(code, RAX, USER + PROBES).label(fallback).breakpoint();
      bare.runUser(code);
      assertEquals(3, bare.raised());
      assertEquals(SECRET, bare.probed());
    }
  }

  /**
   * Intel, "TSX Asynchronous Abort": loads that have not completed, also where faulting loads
   * receive nothing from the buffers.
   */
  @Test
  void fillBuffersForwardToLoadsOfAnAbortedTransactionThatMiss() {
    Forwarding abort = new Forwarding(false, false, false, false, false, true, false, false);
    assertTrue(secretComesByAbort(abort, true));
    assertFalse(secretComesByAbort(abort, false));
    assertFalse(secretComesByAbort(NONE, true));
  }

  private static boolean secretComesByAbort(Forwarding forwarding, boolean misses) {
    Assumptions.assumeTrue(CpuModel.load(MODEL.name()).has("RTM"));
    try (BareCore bare = core(forwarding)) {
      // Two lines, as each transaction has two loads that miss, and takes every other buffer.
      for (int i = 0; i < 128; i++) {
        bare.memory.writeByte(DATA + i, (byte) SECRET);
      }
      Assembler code = new Assembler();
      Label again = new Label();
      Label fallback = new Label();
      code.set(R9, USER + DATA).set(RDI, USER + DATA + 0x1000).loadByte(RAX, RDI, 0);
      code.set(RCX, 0).label(again);
      if (misses) {
        code.flushLine(RDI, 0);
      }
      code.flushLine(R9, 0).flushLine(R9, 64).memoryFence();
      code.loadByte(RAX, R9, 0).loadFence().loadByte(RAX, R9, 64).loadFence();
      code.transaction(fallback).loadByte(RAX, RDI, 3);
      leave(code, RAX, USER + PROBES).label(fallback);
      code.addConstant(RCX, 1).compareConstant(RCX, 32).jumpIf(BELOW, again);
      bare.runUser(code.breakpoint());
      assertEquals(3, bare.raised());
      return bare.cached(PROBES + ((long) SECRET << PROBE_SHIFT));
    }
  }
}
