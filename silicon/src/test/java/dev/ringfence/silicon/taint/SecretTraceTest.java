package dev.ringfence.silicon.taint;

import static dev.ringfence.silicon.Assembler.NOT_BELOW;
import static dev.ringfence.silicon.Assembler.RAX;
import static dev.ringfence.silicon.Assembler.RDI;
import static dev.ringfence.silicon.BareCore.CODE;
import static dev.ringfence.silicon.BareCore.DATA;
import static dev.ringfence.silicon.BareCore.USER;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.silicon.Assembler;
import dev.ringfence.silicon.Assembler.Label;
import dev.ringfence.silicon.BareCore;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.execute.TransientLoads.Way;
import dev.ringfence.silicon.model.Forwarding;
import dev.ringfence.silicon.model.SiliconModel;
import dev.ringfence.silicon.taint.Holding.Source;
import java.nio.charset.StandardCharsets;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** A secret of 16 bytes in the middle of a line, and small guests that touch it. */
final class SecretTraceTest {
  private static final long SECRET = DATA + 0x128;
  private static final byte[] VALUE = "sixteen secret b".getBytes(StandardCharsets.US_ASCII);
  private static final SiliconModel SKYLAKE = SiliconModel.load("skylake-server");
  private static final Forwarding NOTHING =
      new Forwarding(false, false, false, false, false, false, true, false);

  private BareCore bare = new BareCore(SKYLAKE, TimeBase.CYCLES);

  @AfterEach
  void close() {
    bare.close();
  }

  private Core core() {
    return Objects.requireNonNull(bare.core);
  }

  private SecretTrace planted() {
    bare.memory.write(SECRET, VALUE, 0, VALUE.length);
    SecretTrace trace = new SecretTrace(bare.memory, List.of(core()));
    trace.plant(SECRET, VALUE.length);
    core().setTransientLoads(trace);
    return trace;
  }

  /** Bytes held, by structure. */
  private static Map<Structure, Integer> held(SecretTrace trace) {
    Map<Structure, Integer> held = new EnumMap<>(Structure.class);
    for (Holding holding : trace.holdings()) {
      held.put(holding.structure(), holding.bytes());
    }
    return held;
  }

  private static Assembler kernelLoad(long address) {
    return new Assembler().set(RDI, address).load(RAX, RDI, 0).loadFence().halt();
  }

  @Test
  void nothingIsHeldBeforeAnybodyTouchesIt() {
    SecretTrace trace = planted();
    bare.run(kernelLoad(DATA + 0x1000));
    assertEquals(Map.of(), held(trace));
  }

  /** The line comes whole, by a fill buffer; the port has the eight bytes that were asked for. */
  @Test
  void aLoadBringsTheLineAndLeavesItsValueInAPort() {
    SecretTrace trace = planted();
    bare.run(kernelLoad(SECRET + 4));
    assertEquals(
        Map.of(
            Structure.L1_DATA, 16,
            Structure.L2, 16,
            Structure.FILL_BUFFERS, 16,
            Structure.LOAD_PORTS, 8),
        held(trace));
    for (Holding holding : trace.holdings()) {
      if (holding.structure() == Structure.LOAD_PORTS) {
        assertEquals(List.of(new Source(SECRET + 4, 8)), holding.sources());
      } else {
        assertEquals(List.of(new Source(SECRET, 16)), holding.sources());
      }
    }
  }

  /** A store of other bytes makes what the caches have no secret; copies in buffers are stale. */
  @Test
  void onlyStaleCopiesAreLeftOfWhatIsOverwritten() {
    SecretTrace trace = planted();
    bare.run(
        new Assembler()
            .set(RDI, SECRET)
            .load(RAX, RDI, 0)
            .loadFence()
            .set(RAX, 0)
            .store(RDI, 0, RAX)
            .store(RDI, 8, RAX)
            .memoryFence()
            .halt());
    assertEquals(Map.of(Structure.FILL_BUFFERS, 16, Structure.LOAD_PORTS, 8), held(trace));
  }

  @Test
  void aStoreOfTheSecretStaysInTheStoreBuffer() {
    SecretTrace trace = planted();
    bare.run(
        new Assembler().set(RDI, SECRET).load(RAX, RDI, 0).store(RDI, 0, RAX).memoryFence().halt());
    assertEquals(8, held(trace).get(Structure.STORE_BUFFER));
  }

  /** What VERW and the flush of the first level are for, and what they leave. */
  @Test
  void flushesEmptyWhatTheyName() {
    SecretTrace trace = planted();
    bare.run(kernelLoad(SECRET));
    bare.processor.microarchitecture().clearBuffers();
    assertEquals(Map.of(Structure.L1_DATA, 16, Structure.L2, 16), held(trace));
    bare.run(kernelLoad(SECRET));
    bare.processor.microarchitecture().flushL1Data();
    assertEquals(Map.of(Structure.L2, 16), held(trace), "with MD_CLEAR it clears the ports, too");
    core().sharedCache().flush(SECRET);
    assertEquals(Map.of(), held(trace));
  }

  @Test
  void instantsAreTallied() {
    SecretTrace trace = planted();
    trace.look("enter");
    bare.run(kernelLoad(SECRET));
    trace.look("enter");
    bare.processor.microarchitecture().clearBuffers();
    trace.look("enter");
    Tally tally = trace.tallies().get("enter");
    assertEquals(3, tally.instants());
    assertEquals(
        new Tally.Found(2, 16, List.of(new Source(SECRET, 16))),
        tally.found().get(Structure.L1_DATA));
    assertEquals(1, tally.found().get(Structure.FILL_BUFFERS).instants());
  }

  @Test
  void copiesAreFoundWhereverTheyAre() {
    SecretTrace trace = planted();
    bare.memory.write(DATA + 0x5ff8, VALUE, 0, VALUE.length);
    bare.memory.write(DATA + 0x7000, VALUE, 0, VALUE.length - 1);
    assertEquals(2, trace.plantCopies(VALUE));
    bare.run(kernelLoad(DATA + 0x6000));
    assertEquals(8, held(trace).get(Structure.L1_DATA), "the part in the second page's line");
    assertThrows(IllegalArgumentException.class, () -> trace.plantCopies(new byte[7]));
  }

  /** The load of a user at a page of the kernel: Meltdown, on a processor that has it or not. */
  @Test
  void aForbiddenLoadIsCountedWithItsInstruction() {
    SecretTrace trace = planted();
    bare.run(kernelLoad(SECRET));
    Assembler code = new Assembler().set(RDI, SECRET);
    long instruction = USER + CODE + code.offset();
    bare.runUser(code.load(RAX, RDI, 0).breakpoint());
    assertEquals(
        List.of(new TransientLoadCount(instruction, Way.FORBIDDEN, 1, SECRET)),
        trace.transientLoads());

    bare.close();
    bare = new BareCore(BareCore.with(SKYLAKE, NOTHING), TimeBase.CYCLES);
    SecretTrace denied = planted();
    bare.run(kernelLoad(SECRET));
    bare.runUser(new Assembler().set(RDI, SECRET).load(RAX, RDI, 0).breakpoint());
    assertEquals(
        List.of(new TransientLoadCount(instruction, Way.DENIED, 1, SECRET)),
        denied.transientLoads());
  }

  /** Behind a mispredicted branch the load is permitted; it just never retires. */
  @Test
  void aLoadOnAWrongPathIsCounted() {
    SecretTrace trace = planted();
    Label out = new Label();
    Assembler code = new Assembler();
    // The branch is predicted not to be taken, and resolves after two loads that no cache has,
    // which
    // is time enough to fetch what is behind it.
    bare.memory.writeLong(DATA + 0x2000, DATA + 0x3000);
    code.set(RDI, SECRET).set(RAX, DATA + 0x2000).load(RAX, RAX, 0).load(RAX, RAX, 0);
    code.compareConstant(RAX, 0).jumpIf(NOT_BELOW, out);
    long instruction = CODE + code.offset();
    bare.run(code.load(RAX, RDI, 0).label(out).halt());
    assertEquals(
        List.of(new TransientLoadCount(instruction, Way.MAPPED, 1, SECRET)),
        trace.transientLoads());
    assertEquals(16, held(trace).get(Structure.L1_DATA), "and has left its trace");
  }

  /** MDS: the bytes that a faulting load receives are those of the buffer it samples. */
  @Test
  void aSampledBufferIsCountedWithTheSecretsAddress() {
    bare.close();
    bare =
        new BareCore(
            BareCore.with(
                SKYLAKE, new Forwarding(false, false, false, true, false, false, true, false)),
            TimeBase.CYCLES);
    SecretTrace trace = planted();
    bare.map(USER + DATA + 0x3000, DATA + 0x3000, 0);
    bare.run(kernelLoad(SECRET));
    Assembler code = new Assembler().set(RDI, USER + DATA + 0x3000 + (SECRET & 63));
    for (int i = 0; i < 20; i++) {
      bare.runUser(code.load(RAX, RDI, 0).breakpoint());
    }
    assertTrue(
        trace.transientLoads().stream()
            .anyMatch(load -> load.way() == Way.FILL_BUFFER && load.lastPhysical() == SECRET));
  }
}
