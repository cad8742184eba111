package dev.ringfence.silicon.execute;

import static dev.ringfence.silicon.Assembler.NOT_EQUAL;
import static dev.ringfence.silicon.Assembler.RAX;
import static dev.ringfence.silicon.Assembler.RBX;
import static dev.ringfence.silicon.Assembler.RCX;
import static dev.ringfence.silicon.Assembler.RDI;
import static dev.ringfence.silicon.Assembler.RDX;
import static dev.ringfence.silicon.Assembler.RSP;
import static dev.ringfence.silicon.BareCore.ACCESSED;
import static dev.ringfence.silicon.BareCore.DATA;
import static dev.ringfence.silicon.BareCore.DIRTY;
import static dev.ringfence.silicon.BareCore.PRESENT;
import static dev.ringfence.silicon.BareCore.PROBES;
import static dev.ringfence.silicon.BareCore.PROBE_SHIFT;
import static dev.ringfence.silicon.BareCore.USER_PAGE;
import static dev.ringfence.silicon.BareCore.WRITABLE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.cpu.SpeculationControl;
import dev.ringfence.silicon.Assembler;
import dev.ringfence.silicon.Assembler.Label;
import dev.ringfence.silicon.BareCore;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.model.SiliconModel;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What "Phantom" and "Inception" (2023) found on Zen: user code trains an address at which the
 * kernel has no branch. Kernel and user have pages whose addresses agree in 47 bits.
 */
class PhantomBranchesTest {
  private static final long SECRET = 0x5a;

  /** Kernel code, its alias in user mode, and where each is in RAM. */
  private static final long KERNEL = 0xffff_8000_7000_0000L;

  private static final long ALIAS = 0x7000_0000L;
  private static final long KERNEL_RAM = 0x40_0000;
  private static final long ALIAS_RAM = 0x50_0000;

  /** Bytes from the begin of the kernel's code. */
  private static final int PAGES = 4;

  private static final int DISCLOSURE = 0x2100;

  /** Offset of code of the kernel that has no branches. */
  private static final int NO_BRANCHES = 0x100;

  /** CALL RAX and JMP RAX, with a prefix. */
  private static final int BRANCH_BYTES = 3;

  private static BareCore core(String model) {
    BareCore bare = new BareCore(SiliconModel.load(model), TimeBase.CYCLES);
    for (int page = 0; page < PAGES * 4096; page += 4096) {
      bare.map(KERNEL + page, KERNEL_RAM + page, PRESENT | WRITABLE | ACCESSED | DIRTY);
      bare.map(ALIAS + page, ALIAS_RAM + page, PRESENT | WRITABLE | USER_PAGE | ACCESSED | DIRTY);
    }
    return bare;
  }

  private static Core silicon(BareCore bare) {
    return Objects.requireNonNull(bare.core);
  }

  private static void write(BareCore bare, long physical, Assembler code) {
    byte[] bytes = code.code();
    bare.memory.write(physical, bytes, 0, bytes.length);
  }

  /**
   * User code branches, where it trains what ends at an offset of the kernel's code, and faults.
   */
  private static void train(BareCore bare, int last, long target, boolean call) {
    int begin = last + 1 - BRANCH_BYTES;
    Assembler code = new Assembler().set(RAX, target);
    int before = code.offset();
    code = call ? code.callTo(RAX) : code.jumpTo(RAX);
    assertEquals(BRANCH_BYTES, code.offset() - before);
    write(bare, ALIAS_RAM + begin - before, code);
    bare.runUserAt(ALIAS + begin - before);
    assertEquals(14, bare.raised(), "the target is the kernel's");
  }

  /** The line at the target is fetched, although nothing leads there. */
  @ParameterizedTest
  @ValueSource(strings = {"zen1", "zen2", "zen4"})
  void anInstructionThatIsNoBranchRedirectsFetch(String model) {
    try (BareCore bare = core(model)) {
      write(bare, KERNEL_RAM + NO_BRANCHES, new Assembler().nops(1).halt());
      bare.runAt(KERNEL + NO_BRANCHES);
      train(bare, NO_BRANCHES, KERNEL + DISCLOSURE, false);
      assertFalse(fetched(bare));
      bare.runAt(KERNEL + NO_BRANCHES);
      assertTrue(fetched(bare));
    }
  }

  private static boolean fetched(BareCore bare) {
    return silicon(bare).caches().instructions().contains(KERNEL_RAM + DISCLOSURE >>> 6);
  }

  @Test
  void othersDecodeBeforeTheyFollow() {
    try (BareCore bare = core("skylake-server")) {
      write(bare, KERNEL_RAM + NO_BRANCHES, new Assembler().nops(1).halt());
      bare.runAt(KERNEL + NO_BRANCHES);
      train(bare, NO_BRANCHES, KERNEL + DISCLOSURE, false);
      bare.runAt(KERNEL + NO_BRANCHES);
      assertFalse(fetched(bare));
    }
  }

  /**
   * The kernel calls itself, deeper than the front end runs ahead, and comes back; every return has
   * to wait for its address. At the deepest place, one instruction is trained to be a jump to what
   * is trained to be a call of itself.
   */
  private static Assembler deepCalls(int[] trained) {
    Assembler code = new Assembler();
    Label function = new Label();
    Label deepest = new Label();
    code.set(RDI, DATA).set(RBX, PROBES).set(RCX, 28).call(function).halt();
    code.label(function).addConstant(RCX, -1).compareConstant(RCX, 0);
    Label deeper = new Label();
    code.jumpIf(NOT_EQUAL, deeper).jump(deepest);
    code.label(deeper).call(function);
    code.copy(RDX, RSP).flushLine(RDX, 0).memoryFence().giveBack();
    code.label(deepest);
    trained[0] = code.offset();
    return code.nops(1).giveBack();
  }

  private static int leftByReturns(String model, SpeculationControl control) {
    try (BareCore bare = core(model)) {
      bare.memory.writeByte(DATA, (byte) SECRET);
      int[] trained = new int[1];
      write(bare, KERNEL_RAM, deepCalls(trained));
      // Nobody calls this.
      write(
          bare,
          KERNEL_RAM + DISCLOSURE,
          new Assembler()
              .loadByte(RAX, RDI, 0)
              .shiftLeft(RAX, PROBE_SHIFT)
              .add(RAX, RBX)
              .load(RAX, RAX, 0)
              .halt());
      silicon(bare).setControl(0, control);
      bare.runAt(KERNEL);
      long place = KERNEL + DISCLOSURE - BRANCH_BYTES;
      train(bare, DISCLOSURE - 1, place, true);
      train(bare, trained[0], place, false);
      bare.runAt(KERNEL);
      return bare.probed();
    }
  }

  private static final SpeculationControl NONE =
      new SpeculationControl(false, false, false, false, false, true, false, false);

  /** Inception: returns go where no call came from, and what is there executes for a while. */
  @Test
  void phantomCallsReplaceReturnPredictions() {
    assertEquals(SECRET, leftByReturns("zen4", NONE));
  }

  /** Kernel, srso_select_mitigation: with one thread a core, Zen 1 and 2 are not vulnerable. */
  @ParameterizedTest
  @ValueSource(strings = {"zen1", "zen2"})
  void theyDoNotWhereTheCoreHasNoSiblings(String model) {
    assertEquals(-1, leftByReturns(model, NONE));
  }

  /** AutoIBRS restricts what is executed at predicted targets, not what fetch believes. */
  @Test
  void automaticRestrictionDoesNotKeepFetchFromThat() {
    assertEquals(
        SECRET,
        leftByReturns(
            "zen4", new SpeculationControl(true, false, false, false, false, true, false, false)));
  }

  /**
   * Retbleed: where the target predictor is asked first, a return goes where user code has trained
   * it to go; the return stack counts it all the same.
   */
  @Test
  void aTrainedReturnTakesItsEntryFromTheStack() {
    try (BareCore bare = core("zen2")) {
      Label function = new Label();
      Assembler code = new Assembler().call(function).halt().label(function);
      int last = NO_BRANCHES + code.offset();
      write(bare, KERNEL_RAM + NO_BRANCHES, code.giveBack());
      bare.runAt(KERNEL + NO_BRANCHES);
      assertTrue(silicon(bare).returnStack(0).isEmpty());
      train(bare, last, KERNEL + DISCLOSURE, false);
      bare.runAt(KERNEL + NO_BRANCHES);
      assertTrue(fetched(bare), "the wrong path began there");
      assertTrue(silicon(bare).returnStack(0).isEmpty());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"skylake-server", "ideal"})
  void returnsOfOthersGoWhereCallsCameFrom(String model) {
    assertEquals(-1, leftByReturns(model, NONE));
  }
}
