package dev.ringfence.silicon.execute;

import static dev.ringfence.silicon.Assembler.R8;
import static dev.ringfence.silicon.Assembler.R9;
import static dev.ringfence.silicon.Assembler.RBX;
import static dev.ringfence.silicon.BareCore.ACCESSED;
import static dev.ringfence.silicon.BareCore.DATA;
import static dev.ringfence.silicon.BareCore.DIRTY;
import static dev.ringfence.silicon.BareCore.PRESENT;
import static dev.ringfence.silicon.BareCore.PROBES;
import static dev.ringfence.silicon.BareCore.WRITABLE;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.machine.cpu.SpeculationControl;
import dev.ringfence.silicon.Assembler;
import dev.ringfence.silicon.Assembler.Label;
import dev.ringfence.silicon.BareCore;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.model.SiliconModel;
import java.util.Objects;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * A direct jump of the kernel and an indirect one, whose lines agree in the address bits that the
 * target predictor looks at; enhanced IBRS is on. Which processors send the second where the first
 * goes is in the kernel document hw-vuln/indirect-target-selection.rst.
 */
class IndirectTargetSelectionTest {
  private static final int LEFT = 0x42;
  private static final long LEFT_LINE = PROBES + ((long) LEFT << BareCore.PROBE_SHIFT);

  /** Code with the direct jump, code with the indirect one, and where both are in RAM. */
  private static final long DIRECT = 0xffff_8000_7000_0000L;

  private static final long INDIRECT = DIRECT + (1L << 31);
  private static final long DIRECT_RAM = 0x40_0000;
  private static final long INDIRECT_RAM = 0x50_0000;

  private static final SpeculationControl RESTRICTED =
      new SpeculationControl(true, false, false, false, false, true, false, false);

  private static void place(BareCore bare, long linear, long physical, Assembler code) {
    byte[] bytes = code.code();
    bare.memory.write(physical, bytes, 0, bytes.length);
    bare.map(linear, physical, PRESENT | WRITABLE | ACCESSED | DIRTY);
  }

  /** An indirect jump that waits for memory. */
  private static Assembler waitAndJump(Assembler code) {
    return code.set(R9, DATA).flushLine(R9, 0).memoryFence().load(R8, R9, 0).jumpTo(R8);
  }

  /** Offset in a page of the last byte of the direct jump. */
  private static final int UPPER = 0x22a;

  /**
   * @param last that of the indirect one
   */
  private static int left(String model, int last) {
    try (BareCore bare = new BareCore(SiliconModel.load(model), TimeBase.CYCLES)) {
      Core core = Objects.requireNonNull(bare.core);
      core.setControl(0, RESTRICTED);
      Label target = new Label();
      int bytes = new Assembler().jump(new Label()).offset();
      Assembler direct = new Assembler().nops(UPPER + 1 - bytes).jump(target);
      direct.nops(1).label(target).set(RBX, LEFT_LINE).load(RBX, RBX, 0).halt();
      place(bare, DIRECT, DIRECT_RAM, direct);
      bare.runAt(DIRECT);
      core.sharedCache().flush(LEFT_LINE);

      Assembler indirect = new Assembler().nops(last + 1 - waitAndJump(new Assembler()).offset());
      waitAndJump(indirect);
      bare.memory.writeLong(DATA, INDIRECT + indirect.offset());
      place(bare, INDIRECT, INDIRECT_RAM, indirect.halt());
      bare.runAt(INDIRECT);
      return bare.probed();
    }
  }

  @ParameterizedTest
  @CsvSource({
    "cascadelake-server, true",
    "icelake-server, true",
    "haswell-server, false",
    "skylake-server, false",
    "sapphirerapids, false",
    "zen4, false",
    "ideal, false"
  })
  void theLowerHalfOfALineFollowsJumpsOfTheUpperHalf(String model, boolean affected) {
    int line = 0x200;
    assertEquals(affected ? LEFT : -1, left(model, line));
    assertEquals(affected ? LEFT : -1, left(model, line + 31));
    assertEquals(-1, left(model, line + 32));
    assertEquals(-1, left(model, UPPER));
    assertEquals(-1, left(model, line + 64), "another line");
  }
}
