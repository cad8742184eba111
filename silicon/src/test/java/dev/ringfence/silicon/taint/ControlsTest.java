package dev.ringfence.silicon.taint;

import static dev.ringfence.silicon.Assembler.RAX;
import static dev.ringfence.silicon.Assembler.RCX;
import static dev.ringfence.silicon.Assembler.RDI;
import static dev.ringfence.silicon.Assembler.RDX;
import static dev.ringfence.silicon.BareCore.DATA;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.silicon.Assembler;
import dev.ringfence.silicon.Assembler.Label;
import dev.ringfence.silicon.BareCore;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.model.SiliconModel;
import java.nio.charset.StandardCharsets;
import java.util.EnumSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Instructions of a guest that control the silicon, and where its secret is afterwards. */
final class ControlsTest {
  private static final int SPEC_CTRL = 0x48;
  private static final int PRED_CMD = 0x49;
  private static final int FLUSH_CMD = 0x10b;
  private static final byte[] VALUE = "sixteen secret b".getBytes(StandardCharsets.US_ASCII);

  private BareCore bare = new BareCore(SiliconModel.load("skylake-server"), TimeBase.CYCLES);
  private SecretTrace trace = new SecretTrace(bare.memory, List.of());

  @BeforeEach
  void plant() {
    bare.memory.write(DATA, VALUE, 0, VALUE.length);
    trace = new SecretTrace(bare.memory, List.of(core()));
    trace.plant(DATA, VALUE.length);
  }

  @AfterEach
  void close() {
    bare.close();
  }

  private void on(String model) {
    bare.close();
    bare = new BareCore(SiliconModel.load(model), TimeBase.CYCLES);
    plant();
  }

  private Core core() {
    return Objects.requireNonNull(bare.core);
  }

  private Set<Structure> held() {
    Set<Structure> held = EnumSet.noneOf(Structure.class);
    trace.holdings().forEach(holding -> held.add(holding.structure()));
    return held;
  }

  private static Assembler loadSecret() {
    return new Assembler().set(RDI, DATA).load(RAX, RDI, 0).loadFence();
  }

  private static Assembler writeRegister(Assembler code, int register, long value) {
    return code.set(RCX, register).set(RAX, value).set(RDX, 0).bytes(0x0f, 0x30);
  }

  /** VERW with the word at DATA + 2000H. */
  private static Assembler clearBuffers(Assembler code) {
    return code.set(RDI, DATA + 0x2000).bytes(0x0f, 0x00, 0x2f);
  }

  @Test
  void verwLeavesTheSecretInCachesOnly() {
    bare.run(loadSecret().halt());
    assertEquals(
        EnumSet.of(Structure.L1_DATA, Structure.L2, Structure.FILL_BUFFERS, Structure.LOAD_PORTS),
        held());
    bare.run(clearBuffers(loadSecret()).halt());
    assertEquals(EnumSet.of(Structure.L1_DATA, Structure.L2), held());
  }

  @Test
  void verwClearsNothingOnAProcessorThatDoesNotPromiseIt() {
    on("zen2");
    // The operand's line has come in before, so that none takes the secret's buffer.
    Assembler code = new Assembler().set(RDI, DATA + 0x2000).load(RAX, RDI, 0).loadFence();
    code.set(RDI, DATA).load(RAX, RDI, 0).loadFence();
    bare.run(clearBuffers(code).halt());
    assertTrue(held().contains(Structure.FILL_BUFFERS), held().toString());
  }

  @Test
  void theFlushCommandEmptiesTheFirstLevel() {
    bare.run(writeRegister(loadSecret(), FLUSH_CMD, 1).halt());
    assertFalse(held().contains(Structure.L1_DATA), held().toString());
    assertTrue(held().contains(Structure.L2), held().toString());
  }

  /**
   * RSB entries from before an IBPB predict nothing on Intel; on AMD that begins with Zen 4 (kernel
   * commit "KVM: x86: AMD's IBPB is not equivalent to Intel's IBPB").
   */
  @ParameterizedTest
  @CsvSource({
    "skylake-server, true",
    "icelake-server, true",
    "zen1, false",
    "zen2, false",
    "zen4, true"
  })
  void theBarrierForgetsReturnsWhereItIsDocumentedTo(String model, boolean forgets) {
    on(model);
    Label over = new Label();
    bare.run(new Assembler().call(over).label(over).halt());
    assertFalse(core().returnStack(0).isEmpty());
    bare.run(writeRegister(new Assembler(), PRED_CMD, 1).halt());
    assertEquals(forgets, core().returnStack(0).isEmpty());
  }

  @Test
  void restrictionsHoldUntilTheyAreWrittenAgain() {
    bare.run(writeRegister(new Assembler(), SPEC_CTRL, 5).halt());
    assertTrue(core().control(0).storeBypassDisabled());
    assertTrue(core().control(0).indirectBranchRestricted());
    bare.run(writeRegister(new Assembler(), SPEC_CTRL, 0).halt());
    assertFalse(core().control(0).storeBypassDisabled());
    assertFalse(core().control(0).indirectBranchRestricted());
  }
}
