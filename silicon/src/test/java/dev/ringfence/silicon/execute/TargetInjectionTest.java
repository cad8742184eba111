package dev.ringfence.silicon.execute;

import static dev.ringfence.silicon.Assembler.R11;
import static dev.ringfence.silicon.Assembler.R8;
import static dev.ringfence.silicon.Assembler.R9;
import static dev.ringfence.silicon.Assembler.RBX;
import static dev.ringfence.silicon.Assembler.RCX;
import static dev.ringfence.silicon.BareCore.CODE;
import static dev.ringfence.silicon.BareCore.DATA;
import static dev.ringfence.silicon.BareCore.PROBES;
import static dev.ringfence.silicon.BareCore.USER;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.SpeculationControl;
import dev.ringfence.silicon.Assembler;
import dev.ringfence.silicon.Assembler.Label;
import dev.ringfence.silicon.BareCore;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.model.SiliconModel;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * User code trains a jump whose address agrees with that of a kernel branch in the bits that the
 * target predictor looks at; the kernel's branch then waits for its target (Kocher et al., "Spectre
 * Attacks", 2019; Wikner and Razavi, "Retbleed", 2022).
 */
class TargetInjectionTest {
  private static final int LEFT = 0x42;

  /** Offset in the code page of the last byte of both branches. */
  private static final int BRANCH = 0x200;

  /** Offset of what the user's jump leads to, and of what the kernel's branch leads to. */
  private static final int GADGET = 0x400;

  private static final int END = 0x600;

  private static final SpeculationControl NOTHING =
      new SpeculationControl(false, false, false, false, false, true, false, false);
  private static final SpeculationControl RESTRICTED =
      new SpeculationControl(true, false, false, false, false, true, false, false);
  private static final SpeculationControl NO_ALTERNATE =
      new SpeculationControl(false, false, false, true, false, true, false, false);

  private static void place(BareCore bare, long physical, Assembler code) {
    byte[] bytes = code.code();
    bare.memory.write(physical, bytes, 0, bytes.length);
  }

  /** What the kernel's branch leaves; it ends with {@code branch} at {@link #BRANCH}. */
  private static int left(
      String model, SpeculationControl control, boolean barrier, int... branch) {
    try (BareCore bare = new BareCore(SiliconModel.load(model), TimeBase.CYCLES)) {
      Assembler gadget = new Assembler();
      gadget.set(RBX, PROBES + ((long) LEFT << BareCore.PROBE_SHIFT)).load(RBX, RBX, 0);
      place(bare, CODE + GADGET, gadget.loadFence().breakpoint());
      place(bare, CODE + END, new Assembler().halt());
      // The user's jump. Its load of the kernel's line faults, and may bring the line.
      Assembler jump = new Assembler().jumpTo(R8);
      Assembler training = new Assembler();
      training.set(R8, USER + CODE + GADGET).nops(BRANCH + 1 - jump.offset() - 10);
      bare.runUser(training.jumpTo(R8));
      assertEquals(14, bare.raised());
      bare.core.sharedCache().flush(PROBES + ((long) LEFT << BareCore.PROBE_SHIFT));
      if (barrier) {
        bare.processor.microarchitecture().barrierIndirectBranchPredictions();
      }
      bare.core.setControl(0, control);
      // The kernel's branch, whose target comes from memory.
      Assembler kernel = new Assembler();
      kernel.set(R9, DATA).flushLine(R9, 0).memoryFence().load(R8, R9, 0);
      if (branch.length == 1) {
        // A return: RSP leads to the target, whose line is flushed.
        kernel = new Assembler();
        kernel.set(R8, DATA).flushLine(R8, 0).memoryFence().copy(Assembler.RSP, R8);
      }
      bare.memory.writeLong(DATA, CODE + END);
      kernel.nops(BRANCH + 1 - branch.length - kernel.offset()).bytes(branch);
      bare.memory.fill(CODE, BRANCH, (byte) 0x90);
      bare.run(kernel);
      return bare.probed();
    }
  }

  /**
   * Barberis et al., "Branch History Injection" (2022): what user mode did is part of the history
   * in the kernel. The kernel's list of affected processors has none of AMD's (NO_BHI).
   */
  @ParameterizedTest
  @CsvSource({
    "haswell-server, true",
    "cascadelake-server, true",
    "sapphirerapids, true",
    "zen1, false",
    "zen2, false",
    "zen4, false"
  })
  void theHistoryOfUserModeReachesTheKernelOnIntelsProcessors(String model, boolean crosses) {
    try (BareCore bare = new BareCore(SiliconModel.load(model), TimeBase.CYCLES)) {
      Label next = new Label();
      place(bare, CODE + END, new Assembler().jump(next).nops(3).label(next).breakpoint());
      bare.state.efer |= ControlBits.EFER_SCE;
      // SYSRET
      bare.run(new Assembler().set(RCX, USER + CODE + END).set(R11, 2).bytes(0x48, 0x0f, 0x07));
      assertEquals(3, bare.raised());
      boolean empty = LongStream.of(bare.core.history(0).bits()).allMatch(bits -> bits == 0);
      assertEquals(crosses, !empty);
    }
  }

  private static int[] jump() {
    return new int[] {0x49, 0xff, 0xe0};
  }

  @Test
  void aKernelsJumpFollowsWhatUserCodeHasTrained() {
    assertEquals(LEFT, left("skylake-server", NOTHING, false, jump()));
    assertEquals(-1, left("skylake-server", RESTRICTED, false, jump()));
    assertEquals(-1, left("skylake-server", NOTHING, true, jump()));
    assertEquals(-1, left("ideal", NOTHING, false, jump()));
  }

  @Test
  void aReturnThatFindsTheReturnStackEmptyFollowsIt() {
    int giveBack = 0xc3;
    assertEquals(LEFT, left("skylake-server", NOTHING, false, giveBack));
    assertEquals(-1, left("skylake-server", NO_ALTERNATE, false, giveBack));
    assertEquals(-1, left("haswell-server", NOTHING, false, giveBack));
  }
}
