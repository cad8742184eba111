package dev.ringfence.silicon.execute;

import static dev.ringfence.silicon.Assembler.RAX;
import static dev.ringfence.silicon.Assembler.RCX;
import static dev.ringfence.silicon.Assembler.RDI;
import static dev.ringfence.silicon.Assembler.RSI;
import static dev.ringfence.silicon.BareCore.CODE;
import static dev.ringfence.silicon.BareCore.DATA;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.silicon.Assembler;
import dev.ringfence.silicon.BareCore;
import dev.ringfence.silicon.Core;
import dev.ringfence.silicon.TimeBase;
import dev.ringfence.silicon.buffer.FillBuffers;
import dev.ringfence.silicon.buffer.LoadPorts;
import dev.ringfence.silicon.model.SiliconModel;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What each kind of access leaves in caches and buffers, beyond plain loads and stores. */
class AccessTracesTest {
  private static final long SOURCE = DATA + 0x1010;
  private static final long TARGET = DATA + 0x2000;
  private static final long VALUE = 0x1122_3344_5566_7788L;

  private final BareCore bare = new BareCore(SiliconModel.load("skylake-server"), TimeBase.CYCLES);

  @AfterEach
  void close() {
    bare.close();
  }

  private Core core() {
    return Objects.requireNonNull(bare.core);
  }

  private boolean inFirstLevel(long physical) {
    return core().caches().data().contains(physical >>> 6);
  }

  private boolean inFillBuffers(long physical) {
    FillBuffers buffers = core().fillBuffers();
    for (int entry = 0; entry < buffers.entries(); entry++) {
      if (buffers.source(entry) == physical >>> 6) {
        return true;
      }
    }
    return false;
  }

  /** Whether a port holds a value, which came from an address. */
  private boolean inLoadPorts(long physical, long low) {
    LoadPorts ports = core().loadPorts();
    for (int port = 0; port < ports.ports(); port++) {
      if (ports.source(port) == physical && ports.low(port) == low) {
        return true;
      }
    }
    return false;
  }

  /** RIDL reads what the kernel copies from load ports; copies are string instructions. */
  @Test
  void aStringInstructionUsesLoadPortsAndFillBuffers() {
    bare.memory.writeLong(SOURCE + 16, VALUE);
    bare.memory.writeLong(SOURCE + 24, ~VALUE);
    // REP MOVSB of 32 bytes: the last 16 of them are in a port.
    bare.run(
        new Assembler().set(RSI, SOURCE).set(RDI, TARGET).set(RCX, 32).bytes(0xf3, 0xa4).halt());
    assertEquals(VALUE, bare.memory.readLong(TARGET + 16));
    assertTrue(inFillBuffers(SOURCE));
    assertTrue(inFillBuffers(TARGET));
    assertTrue(inLoadPorts(SOURCE + 16, VALUE));
  }

  @Test
  void anAccessOverTheEndOfAPageUsesBothLines() {
    long end = DATA + 0x4000;
    bare.memory.writeLong(end - 4, VALUE);
    bare.run(new Assembler().set(RDI, end - 4).load(RAX, RDI, 0).halt());
    assertTrue(inFirstLevel(end - 4));
    assertTrue(inFirstLevel(end));
    bare.run(new Assembler().set(RDI, end + 0x1000 - 4).store(RDI, 0, RAX).halt());
    assertTrue(inFirstLevel(end + 0x1000 - 4));
    assertTrue(inFirstLevel(end + 0x1000));
  }

  /** Entries of page tables come through the fill buffers like all data. */
  @Test
  void aPageWalkFillsABufferWithTheEntrysLine() {
    long entry = bare.entryAddress(DATA + 0x7000);
    assertFalse(inFillBuffers(entry));
    bare.run(new Assembler().set(RDI, DATA + 0x7000).load(RAX, RDI, 0).halt());
    assertTrue(inFillBuffers(entry));
    assertTrue(inFirstLevel(entry));
  }

  /** A store that has drained is in the store buffer until another takes its entry. */
  @Test
  void aDrainedStoreIsStale() {
    bare.run(
        new Assembler()
            .set(RDI, TARGET)
            .set(RAX, VALUE)
            .store(RDI, 0x18, RAX)
            .memoryFence()
            .halt());
    int entry = core().storeBuffer().sample(0, 0xffff_8000_1234_0018L);
    assertEquals(VALUE, core().storeBuffer().read(entry, 0));
    assertEquals(TARGET + 0x18, core().storeBuffer().source(entry));
  }

  /**
   * CLFLUSH empties the instruction cache, too (SDM volume 2), and what is fetched next is no
   * exception.
   */
  @Test
  void aLineOfCodeThatWasFlushedIsFetchedAnew() {
    Assembler.Label next = new Assembler.Label();
    bare.run(new Assembler().set(RDI, CODE).flushLine(RDI, 0).jump(next).label(next).halt());
    assertTrue(core().caches().instructions().contains(CODE >>> 6));
  }
}
