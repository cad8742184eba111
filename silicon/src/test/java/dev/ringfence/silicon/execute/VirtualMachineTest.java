package dev.ringfence.silicon.execute;

import static dev.ringfence.silicon.Assembler.R8;
import static dev.ringfence.silicon.Assembler.R9;
import static dev.ringfence.silicon.Assembler.RAX;
import static dev.ringfence.silicon.Assembler.RBX;
import static dev.ringfence.silicon.Assembler.RDI;
import static dev.ringfence.silicon.BareCore.DATA;
import static dev.ringfence.silicon.BareCore.PROBES;
import static dev.ringfence.silicon.BareCore.PROBE_SHIFT;
import static dev.ringfence.silicon.BareGuest.MEMORY;
import static dev.ringfence.silicon.BareGuest.PAGE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.cpu.SpeculationControl;
import dev.ringfence.silicon.Assembler;
import dev.ringfence.silicon.BareCore;
import dev.ringfence.silicon.BareGuest;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.model.Forwarding;
import dev.ringfence.silicon.model.SiliconModel;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * What a virtual machine and its host share of a core, each mechanism alone: code in one of them
 * leaves a byte as the number of the one line at {@link BareCore#PROBES} that is in the caches.
 */
class VirtualMachineTest {
  private static final int SECRET = 0x5a;

  /** Of the secret in its page: in a set of the first level that tables do not use. */
  private static final int OFFSET = 0x747;

  private static final SiliconModel MODEL = SiliconModel.load("skylake-server");
  private static final Forwarding NONE =
      new Forwarding(false, false, false, false, false, false, false, false);
  private static final Forwarding FORESHADOW =
      new Forwarding(false, true, false, false, false, false, false, false);
  private static final SpeculationControl NOTHING =
      new SpeculationControl(false, false, false, false, false, true, false, false);
  private static final SpeculationControl RESTRICTED =
      new SpeculationControl(true, false, false, false, false, true, false, false);

  private static BareGuest guest(Forwarding forwarding) {
    return new BareGuest(BareCore.with(MODEL, forwarding), TimeBase.CYCLES);
  }

  /** The guest's load of a byte that it leaves as a line, if it gets it before the load faults. */
  private static Assembler load(long linear) {
    Assembler code = new Assembler().set(RDI, linear).loadByte(RAX, RDI, 0);
    return code.set(RBX, PROBES).shiftLeft(RAX, PROBE_SHIFT).add(RAX, RBX).load(RAX, RAX, 0).halt();
  }

  private static Assembler hostReads(long physical) {
    return new Assembler().set(RDI, physical).loadByte(RAX, RDI, 0).set(RAX, 0);
  }

  /** WRMSR of IA32_FLUSH_CMD. */
  private static Assembler flushFirstLevel(Assembler code) {
    return code.set(Assembler.RCX, 0x10b).set(RAX, 1).set(Assembler.RDX, 0).bytes(0x0f, 0x30);
  }

  private static int afterTerminalFault(long entry, Assembler hostBefore) {
    try (BareGuest guest = guest(FORESHADOW)) {
      guest.host.memory.writeByte(DATA + OFFSET, (byte) SECRET);
      guest.map(PAGE, entry);
      guest.place(load(PAGE + OFFSET));
      guest.run(hostBefore);
      assertEquals(14, guest.raised());
      return guest.host.probed();
    }
  }

  /**
   * Weisse et al., "Foreshadow-NG" (2018), section 3.3: "the guest physical address is passed to
   * the L1 cache as if it were a host physical address". The guest has no memory at that address.
   */
  @Test
  void aGuestsTerminalFaultTakesTheAddressOfItsEntryForAPhysicalOne() {
    assertEquals(SECRET, afterTerminalFault(DATA | BareCore.WRITABLE, hostReads(DATA + OFFSET)));
    assertEquals(-1, afterTerminalFault(DATA | BareCore.WRITABLE, new Assembler()));
  }

  /** Intel SDM volume 4, IA32_FLUSH_CMD: the line is no longer in the first level. */
  @Test
  void aFlushBeforeTheEntryLeavesNothingToATerminalFault() {
    assertEquals(
        -1,
        afterTerminalFault(DATA | BareCore.WRITABLE, flushFirstLevel(hostReads(DATA + OFFSET))));
  }

  /**
   * Where the guest's tables are complete, the fault is that of an extended entry, and the address
   * is that one's; the guest's own is an address in its own memory.
   */
  @Test
  void anExtendedEntryThatIsNotPresentIsATerminalFaultOfItsOwn() {
    long page = 0x3_0000;
    for (boolean frame : new boolean[] {true, false}) {
      try (BareGuest guest = guest(FORESHADOW)) {
        guest.host.memory.writeByte(DATA + OFFSET, (byte) SECRET);
        guest.map(PAGE, (frame ? page : DATA) | BareCore.PRESENT | BareCore.ACCESSED);
        guest.extend(page, DATA);
        guest.place(load(PAGE + OFFSET));
        AssertionError violation = null;
        try {
          guest.run(hostReads(DATA + OFFSET));
        } catch (AssertionError e) {
          violation = e;
        }
        assertTrue(violation != null && violation.getMessage().startsWith("exit reason 48"));
        assertEquals(frame ? SECRET : -1, guest.host.probed());
      }
    }
  }

  private static boolean leftInStoreBuffer(Assembler host) {
    Forwarding stores = new Forwarding(false, false, true, false, false, false, false, false);
    try (BareGuest guest = guest(stores)) {
      guest.place(load(PAGE + 0x123));
      guest.run(host);
      assertEquals(14, guest.raised());
      return guest.host.cached(PROBES + ((long) SECRET << PROBE_SHIFT));
    }
  }

  /** Intel, "Microarchitectural Data Sampling", on virtual machines: VERW before VM entry. */
  @Test
  void theHostsStoresAreLeftToTheGuestUnlessVerwOverwritesThem() {
    Assembler store = new Assembler();
    store.set(RDI, DATA + 0x123).set(RAX, SECRET).store(RDI, 0, RAX).memoryFence();
    assertTrue(leftInStoreBuffer(store));
    Assembler clear = new Assembler();
    clear.set(RDI, DATA + 0x123).set(RAX, SECRET).store(RDI, 0, RAX).memoryFence();
    // VERW of a selector in memory.
    clear.set(RDI, DATA + 0x800).bytes(0x0f, 0x00, 0x2f);
    assertFalse(leftInStoreBuffer(clear));
  }

  private static boolean leftInFillBuffers(boolean cleared) {
    Forwarding buffers = new Forwarding(false, false, false, true, false, false, false, false);
    try (BareGuest guest = guest(buffers)) {
      for (int i = 0; i < 64 * 32; i++) {
        guest.host.memory.writeByte(DATA + i, (byte) SECRET);
      }
      guest.place(load(PAGE + 3));
      boolean left = false;
      // Which buffer is sampled goes round, and the walk has used some.
      for (int i = 0; i < 32; i++) {
        Assembler host = new Assembler();
        for (int line = 0; line < 32; line++) {
          host.set(RDI, DATA + 64L * line).flushLine(RDI, 0).memoryFence().loadByte(RAX, RDI, 0);
        }
        if (cleared) {
          host.set(RDI, DATA + 0x800).bytes(0x0f, 0x00, 0x2f);
        }
        guest.run(host.loadFence());
        left |= guest.host.cached(PROBES + ((long) SECRET << PROBE_SHIFT));
      }
      return left;
    }
  }

  @Test
  void theHostsLinesAreLeftToTheGuestInFillBuffersUnlessVerwOverwritesThem() {
    assertTrue(leftInFillBuffers(false));
    assertFalse(leftInFillBuffers(true));
  }

  /** A walk in a virtual machine reads its own tables and the extended ones, through the caches. */
  @Test
  void aWalkBringsEntriesOfBothTablesByTheirPhysicalAddresses() {
    try (BareGuest guest = guest(NONE)) {
      long target = 0x5_0000;
      guest.map(PAGE, target | BareCore.PRESENT | BareCore.WRITABLE | BareCore.ACCESSED);
      List<Long> entries = List.of(guest.entryAddress(PAGE), guest.extendedAddress(target));
      entries.forEach(entry -> assertFalse(guest.host.cached(entry)));
      guest.place(new Assembler().set(RDI, PAGE).loadByte(RAX, RDI, 0).halt());
      guest.run(new Assembler());
      assertEquals(-1, guest.raised());
      entries.forEach(entry -> assertTrue(guest.host.cached(entry)));
      assertTrue(guest.host.cached(MEMORY + target));
    }
  }

  /** Offset in the page of the last byte of the host's and the guest's branch. */
  private static final int BRANCH = 0x200;

  private static final int GADGET = 0x400;
  private static final int END = 0x600;

  /** Places what leaves the secret at {@link #GADGET}, and a halt at {@link #END}. */
  private static void placeGadget(BareCore host) {
    byte[] gadget =
        new Assembler()
            .set(RBX, PROBES + ((long) SECRET << PROBE_SHIFT))
            .load(RBX, RBX, 0)
            .loadFence()
            .breakpoint()
            .code();
    host.memory.write(BareCore.CODE + GADGET, gadget, 0, gadget.length);
    host.memory.writeByte(BareCore.CODE + END, (byte) 0xf4);
  }

  /** What the host's indirect jump leaves after the guest has trained it. */
  private static int leftByHost(String model, SpeculationControl control) {
    try (BareGuest guest = new BareGuest(SiliconModel.load(model), TimeBase.CYCLES)) {
      BareCore host = guest.host;
      placeGadget(host);
      host.memory.writeLong(DATA, BareCore.CODE + END);
      Assembler jump = new Assembler().set(R9, DATA).flushLine(R9, 0).memoryFence().load(R8, R9, 0);
      jump.nops(BRANCH + 1 - 3 - jump.offset()).jumpTo(R8);
      // The host's code has run before, so that it is in the caches.
      host.runAt(BareCore.CODE + GADGET);
      host.run(jump);
      host.core.sharedCache().flush(PROBES + ((long) SECRET << PROBE_SHIFT));
      // The guest's jump is at the host's address, and so is what it leads to.
      Assembler training = new Assembler().set(R8, BareCore.CODE + GADGET);
      training.nops(BRANCH + 1 - 3 - training.offset()).jumpTo(R8);
      training.nops(GADGET - training.offset()).halt();
      guest.place(training);
      guest.run(new Assembler());
      assertEquals(-1, host.probed());
      host.core.setControl(0, control);
      host.runAt(BareCore.CODE);
      return host.probed();
    }
  }

  /**
   * Without a restriction the target buffer tells only addresses apart; with one, less privileged
   * modes, which guests are, have no say (Intel, "Speculative Execution Side Channel Mitigations").
   */
  @Test
  void aHostsJumpFollowsWhatTheGuestHasTrainedUnlessItIsRestricted() {
    assertEquals(SECRET, leftByHost("skylake-server", NOTHING));
    assertEquals(-1, leftByHost("skylake-server", RESTRICTED));
    assertEquals(-1, leftByHost("ideal", NOTHING));
  }

  private static final int RETURN = 0x700;

  /**
   * Code at {@link #RETURN} of the host's page: a return whose address waits for memory, and leads
   * to {@link #END}.
   *
   * @param behindExit what the host executes between the exit and that return
   * @return what the host leaves on the way to where the guest's last call would return to
   */
  private static int leftByHostsReturn(String model, Assembler behindExit) {
    try (BareGuest guest = new BareGuest(SiliconModel.load(model), TimeBase.CYCLES)) {
      BareCore host = guest.host;
      byte[] giveBack = slowReturn(behindExit).code();
      placeGadget(host);
      host.memory.write(BareCore.CODE + RETURN, giveBack, 0, giveBack.length);
      // The host's code has run before, so that it is in the caches.
      host.runAt(BareCore.CODE + GADGET);
      host.runAt(BareCore.CODE + RETURN);
      host.core.sharedCache().flush(PROBES + ((long) SECRET << PROBE_SHIFT));
      // The guest's call is at the host's address in front of the gadget; it halts where it leads.
      Assembler calls = new Assembler();
      Assembler.Label called = new Assembler.Label();
      calls.nops(GADGET - 5).call(called).nops(64).label(called).halt();
      guest.place(calls);
      guest.run(new Assembler());
      assertEquals(-1, host.probed());
      host.runAt(BareCore.CODE + RETURN);
      return host.probed();
    }
  }

  private static Assembler slowReturn(Assembler before) {
    Assembler code = new Assembler().bytes(unsigned(before.code()));
    code.set(R8, BareCore.CODE + END).set(R9, DATA + 0x100).set(Assembler.RSP, DATA + 0x100);
    return code.store(R9, 0, R8).flushLine(R9, 0).memoryFence().giveBack();
  }

  private static int[] unsigned(byte[] bytes) {
    int[] values = new int[bytes.length];
    for (int i = 0; i < bytes.length; i++) {
      values[i] = bytes[i] & 0xff;
    }
    return values;
  }

  /** Calls that return nowhere: each leaves an entry that leads behind it, where it waits. */
  private static Assembler stuffing(int calls) {
    Assembler code = new Assembler();
    for (int i = 0; i < calls; i++) {
      Assembler.Label next = new Assembler.Label();
      code.call(next).breakpoint().label(next);
    }
    return code.addConstant(Assembler.RSP, 8 * calls).loadFence();
  }

  /**
   * Documentation/admin-guide/hw-vuln/spectre.rst: "the return stack buffer may be poisoned by the
   * guest", so that a host without enhanced IBRS fills it at VM exit; Intel, "Retpoline: A Branch
   * Target Injection Mitigation", section on RSB stuffing.
   */
  @Test
  void aHostsReturnFollowsTheGuestsLastCallUnlessTheStackIsStuffed() {
    assertEquals(SECRET, leftByHostsReturn("skylake-server", new Assembler()));
    assertEquals(
        -1, leftByHostsReturn("skylake-server", stuffing(MODEL.predictors().returnStack())));
    assertEquals(-1, leftByHostsReturn("ideal", new Assembler()));
  }

  /**
   * Intel, "Post-barrier Return Stack Buffer Predictions": a call that retires behind the exit is
   * enough for the first return, which takes that call's entry. The second one takes the guest's.
   */
  @Test
  void oneCallBehindTheExitProtectsOneReturn() {
    assertEquals(-1, leftByHostsReturn("skylake-server", stuffing(1)));
    Assembler returned = new Assembler();
    Assembler.Label next = new Assembler.Label();
    Assembler.Label function = new Assembler.Label();
    returned.call(function).jump(next).label(function).giveBack().label(next).loadFence();
    assertEquals(SECRET, leftByHostsReturn("skylake-server", returned));
  }
}
