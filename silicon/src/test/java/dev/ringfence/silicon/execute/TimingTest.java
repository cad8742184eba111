package dev.ringfence.silicon.execute;

import static dev.ringfence.silicon.Assembler.NOT_EQUAL;
import static dev.ringfence.silicon.Assembler.R13;
import static dev.ringfence.silicon.Assembler.R14;
import static dev.ringfence.silicon.Assembler.R8;
import static dev.ringfence.silicon.Assembler.RAX;
import static dev.ringfence.silicon.Assembler.RBX;
import static dev.ringfence.silicon.Assembler.RCX;
import static dev.ringfence.silicon.Assembler.RDI;
import static dev.ringfence.silicon.BareCore.DATA;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.paging.AddressSpaceView;
import dev.ringfence.silicon.Assembler;
import dev.ringfence.silicon.Assembler.Label;
import dev.ringfence.silicon.BareCore;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.model.SiliconModel;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/** What software can measure with RDTSC, against the latencies of the model. */
class TimingTest {
  private static final SiliconModel MODEL = SiliconModel.load("skylake-server");

  /** A walk takes at least these cycles: four entries from the first level. */
  private static final long WALK = 4L * MODEL.caches().l1Data().latency();

  /** Cycles that code takes between two readings of the time, fenced; less those of no code. */
  private static long cycles(Assembler before, Assembler measured) {
    return measured(before, measured) - measured(new Assembler(), new Assembler());
  }

  private static long measured(Assembler before, Assembler measured) {
    return measured(before, measured, processor -> {});
  }

  private static long measured(
      Assembler before, Assembler measured, Consumer<Processor> atNewPages) {
    try (BareCore bare = new BareCore(MODEL, TimeBase.CYCLES)) {
      bare.processor.memory().setView(new ViewOfPages(bare.processor, atNewPages));
      Assembler code = new Assembler();
      // Twice, so that the second time the code is in the cache.
      Label again = new Label();
      code.set(R13, 0).set(RDI, DATA).label(again);
      code.bytes(unsigned(before.code())).memoryFence().loadFence();
      code.timeStamp().copy(R14, RAX).loadFence();
      code.bytes(unsigned(measured.code())).loadFence();
      code.timeStamp().subtract(RAX, R14);
      code.addConstant(R13, 1).compareConstant(R13, 4).jumpIf(NOT_EQUAL, again).halt();
      bare.run(code);
      return bare.state.r[RAX];
    }
  }

  /** A layer beneath the guest that does something at the first access to each page. */
  private record ViewOfPages(Processor processor, Consumer<Processor> reaction)
      implements AddressSpaceView {
    @Override
    public boolean admit(long linear, int access, Mapping mapping) {
      reaction.accept(processor);
      return true;
    }

    @Override
    public boolean guardsUserHalf() {
      return true;
    }
  }

  /**
   * SDM volume 3, section 9.3: a MOV to CR3 serializes. One that a layer beneath the guest makes at
   * a load or store takes its time there, too, and nothing behind overlaps it.
   */
  @Test
  void aLayersWriteOfTheRootAtAnAccessIsOverBeforeWhatFollows() {
    Consumer<Processor> write = processor -> processor.microarchitecture().writeRoot(0, 1, true);
    long latency = MODEL.pipeline().latencies().get("write-root");
    Assembler next = new Assembler().addConstant(RDI, 4096);
    for (Assembler access : List.of(load(), new Assembler().store(RDI, 0, RBX))) {
      long without = measured(next, access);
      long added = measured(next, access, write) - without;
      // The walk of the access itself, which does not wait for what is before it, overlaps.
      assertTrue(added >= latency - WALK && added <= latency + 8, latency + " added " + added);
    }
  }

  /** Cycles that it takes to clear a page from which code has been executed before. */
  private static long clearing(boolean decoded) {
    try (BareCore bare = new BareCore(MODEL, TimeBase.CYCLES)) {
      bare.memory.writeByte(DATA + 64, (byte) 0xf4);
      bare.runAt(DATA + 64);
      if (!decoded) {
        bare.forgetCode();
      }
      Assembler code = new Assembler().set(RDI, DATA).set(RCX, 4096 / 8);
      code.timeStamp().copy(R14, RAX).set(RAX, 0);
      code.bytes(0xf3, 0x48, 0xab); // rep stosq
      bare.run(code.loadFence().timeStamp().subtract(RAX, R14).halt());
      assertEquals(0, bare.memory.readLong(DATA + 64));
      return bare.state.r[RAX];
    }
  }

  /** That the machine keeps decoded code is no property of the silicon. */
  @Test
  void overwritingCodeTakesEquallyLongWhetherOrNotItIsDecoded() {
    assertEquals(clearing(false), clearing(true));
  }

  private static int[] unsigned(byte[] bytes) {
    int[] values = new int[bytes.length];
    for (int i = 0; i < bytes.length; i++) {
      values[i] = bytes[i] & 0xff;
    }
    return values;
  }

  private static void assertNear(long expected, long cycles) {
    assertTrue(
        Math.abs(cycles - expected) <= 8, () -> "expected about " + expected + ", was " + cycles);
  }

  private static Assembler load() {
    return new Assembler().load(RBX, RDI, 0);
  }

  @Test
  void aLoadTakesWhatTheLevelTakesThatHasTheLine() {
    assertNear(MODEL.caches().l1Data().latency(), cycles(load(), load()));
    Assembler flush = new Assembler().flushLine(RDI, 0);
    assertNear(MODEL.caches().memoryLatency(), cycles(flush, load()));
    // As many lines of the same set as the first level has ways, and some more.
    Assembler evict = load();
    for (int i = 1; i <= 12; i++) {
      evict.load(RBX, RDI, i << 12);
    }
    assertNear(MODEL.caches().l2().latency(), cycles(evict, load()));
  }

  @Test
  void missesOverlapUnlessOneNeedsTheOther() {
    Assembler flush = new Assembler();
    Assembler independent = new Assembler();
    Assembler chain = new Assembler();
    chain.copy(RBX, RDI);
    for (int i = 0; i < 4; i++) {
      flush.flushLine(RDI, i << 10);
      independent.load(RBX, RDI, i << 10);
      // RBX is zero or an address: the chain is of addresses that are DATA plus what was loaded.
      chain.load(R8, RBX, i << 10).copy(RBX, RDI).add(RBX, R8);
    }
    long memory = MODEL.caches().memoryLatency();
    assertTrue(cycles(flush, independent) < 2 * memory);
    assertTrue(cycles(flush, chain) > 4 * memory);
  }

  @Test
  void arithmeticWaitsForItsOperands() {
    Assembler chain = new Assembler();
    Assembler independent = new Assembler();
    for (int i = 0; i < 20; i++) {
      chain.multiply(RBX, RBX);
      independent.set(RBX, 3).multiply(RBX, RBX);
    }
    int multiply = MODEL.pipeline().latencies().get("multiply");
    assertNear(20L * multiply, cycles(new Assembler(), chain));
    assertTrue(cycles(new Assembler(), independent) < 10L * multiply);
  }

  @Test
  void aMispredictionCostsARefillOfTheFrontEnd() {
    Assembler alike = new Assembler();
    Assembler surprising = new Assembler();
    Label same = new Label();
    alike.compareConstant(RDI, 0).jumpIf(NOT_EQUAL, same).label(same);
    Label surprise = new Label();
    // Three rounds fall through, the last one jumps.
    surprising.compareConstant(R13, 3).jumpIf(4, surprise).label(surprise);
    long refill = MODEL.pipeline().frontEndRefill();
    long difference = cycles(new Assembler(), surprising) - cycles(new Assembler(), alike);
    assertTrue(difference >= refill - 4 && difference < refill + 16, () -> "was " + difference);
  }

  @Test
  void theTimeStampCounterNeverGoesBack() {
    try (BareCore bare = new BareCore(MODEL, TimeBase.CYCLES)) {
      Assembler code = new Assembler();
      Label again = new Label();
      Label back = new Label();
      code.set(RCX, 1000).set(R14, 0).set(RDI, DATA).set(R8, 0).label(again);
      code.flushLine(RDI, 0).load(RBX, RDI, 0).timeStamp();
      code.compare(RAX, R14).jumpIf(Assembler.BELOW, back).copy(R14, RAX);
      code.addConstant(RCX, -1).jumpIf(NOT_EQUAL, again).halt();
      code.label(back).set(R8, 1).halt();
      bare.run(code);
      assertTrue(bare.state.r[R8] == 0 && bare.state.r[R14] > 1000);
    }
  }

  /** SDM volume 3, 4.10.4.1. */
  @Test
  void translationsGoWithInvlpgAndWritesOfCr3() {
    long hit = MODEL.caches().l1Data().latency();
    Assembler readControl = load().bytes(0x0f, 0x20, 0xd0); // mov rax, cr2
    assertNear(hit, cycles(readControl, load()));
    Assembler otherPage = load().bytes(0x0f, 0x01, 0xbf, 0x00, 0x10, 0x00, 0x00);
    assertTrue(cycles(otherPage, load()) < hit + WALK, "invlpg [rdi + 4096]");
    Assembler page = load().bytes(0x0f, 0x01, 0x3f);
    assertTrue(cycles(page, load()) >= hit + WALK, "invlpg [rdi]");
    Assembler writeRoot = load().bytes(0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8);
    assertTrue(cycles(writeRoot, load()) >= hit + WALK, "mov rax, cr3; mov cr3, rax");
  }
}
