package dev.ringfence.machine.paging;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.interpret.BareProcessor;
import dev.ringfence.machine.paging.TranslationInspector.Outcome;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class TranslationInspectorTest {
  private static final long PAGE = 0x80_0000_0000L;
  private static final long RESERVED_BIT = 1L << 51;

  private BareProcessor bare;
  private TranslationInspector inspector;

  @BeforeEach
  void start() {
    bare = new BareProcessor();
    inspector = bare.processor.memory().inspector();
  }

  @AfterEach
  void close() {
    bare.close();
  }

  @Test
  void tellsWhatAnAccessWouldComeTo() {
    bare.map(PAGE, BareProcessor.DATA, BareProcessor.PRESENT);
    assertEquals(Outcome.PERMITTED, inspector.inspect(PAGE + 5, 0));
    assertEquals(BareProcessor.DATA + 5, inspector.physical());
    assertEquals(Outcome.DENIED, inspector.inspect(PAGE, PageWalker.WRITE));
    bare.state.cpl = 3;
    assertEquals(Outcome.DENIED, inspector.inspect(PAGE, 0));
    assertEquals(BareProcessor.DATA, inspector.physical());
    bare.state.cpl = 0;
    bare.map(PAGE, BareProcessor.DATA, BareProcessor.PRESENT | RESERVED_BIT);
    assertEquals(Outcome.RESERVED, inspector.inspect(PAGE, 0));
    assertEquals(Outcome.NOT_CANONICAL, inspector.inspect(1L << 48, 0));
  }

  @Test
  void showsTheEntryThatEndedTheWalk() {
    bare.map(PAGE, 0x1234_5000, 0);
    assertEquals(Outcome.NOT_PRESENT, inspector.inspect(PAGE + 0x678, 0));
    assertEquals(4, inspector.entries());
    assertEquals(bare.entryAddress(PAGE, 1), inspector.entryAddress(3));
    assertEquals(0x1234_5678, inspector.unusedFrame());
  }

  @Test
  void setsNoBitAndKeepsNoTranslation() {
    bare.map(PAGE, BareProcessor.DATA, BareProcessor.PRESENT | BareProcessor.WRITABLE);
    assertEquals(Outcome.PERMITTED, inspector.inspect(PAGE, PageWalker.WRITE));
    assertTrue(inspector.marks(true));
    long entry = bare.memory.readLong(bare.entryAddress(PAGE, 1));
    assertEquals(0, entry & (BareProcessor.ACCESSED | BareProcessor.DIRTY));
    assertEquals(Outcome.PERMITTED, inspector.inspect(PAGE, 0));
    assertFalse(inspector.buffered());
  }

  @Test
  void goesByTranslationsThatAreKept() {
    bare.map(PAGE, BareProcessor.DATA, BareProcessor.PRESENT);
    long unused = bare.processor.memory().load64(PAGE);
    bare.map(PAGE, 0, 0);
    assertEquals(Outcome.PERMITTED, inspector.inspect(PAGE, 0));
    assertTrue(inspector.buffered());
    assertEquals(Outcome.NOT_PRESENT, inspector.inspectTables(PAGE, 0));
  }

  @Test
  void asksTheViewWhetherItsTablesHoldThePage() {
    bare.map(PAGE, BareProcessor.DATA, BareProcessor.PRESENT);
    bare.processor
        .memory()
        .setView(
            new AddressSpaceView() {
              @Override
              public boolean admit(long linear, int access, Mapping mapping) {
                throw new AssertionError("nothing is accessed");
              }

              @Override
              public boolean reaches(long linear, int access, Mapping mapping) {
                return mapping.frame != BareProcessor.DATA;
              }
            });
    assertEquals(Outcome.HIDDEN, inspector.inspect(PAGE, 0));
  }
}
