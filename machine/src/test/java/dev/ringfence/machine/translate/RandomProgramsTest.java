package dev.ringfence.machine.translate;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interpret.BareProcessor;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/**
 * Random programs do the same interpreted and translated, cut at random instructions: loops, calls,
 * loads and stores across pages, stores to their own code, faults in the middle of blocks, and
 * mappings that change. {@code -Dringfence.seed=N} chooses other programs.
 */
final class RandomProgramsTest {
  private static final int PROGRAMS = 400;
  private static final int INSTRUCTIONS = 40;
  private static final long MOST = 3_000;
  private static final long SEED = Long.getLong("ringfence.seed", 2026);

  /** Pages at which data lies; the one after the second is not mapped. */
  private static final long DATA = BareProcessor.DATA;

  private static final long HOLE = DATA + 0x2000;

  @Test
  void translatedProgramsDoWhatInterpretedOnesDo() {
    for (int program = 0; program < PROGRAMS; program++) {
      long seed = SEED + program;
      byte[] code = RandomCode.program(new SplittableRandom(seed), INSTRUCTIONS);
      assertEquals(
          run(code, seed, TranslationMode.OFF),
          run(code, seed, TranslationMode.FORCED),
          () -> "seed %d (-Dringfence.seed=%d RandomProgramsTest)".formatted(seed, seed));
    }
  }

  /** Runs a program in pieces of random lengths; returns all states at their ends. */
  private static String run(byte[] code, long seed, TranslationMode mode) {
    SplittableRandom random = new SplittableRandom(seed ^ 0x5555);
    StringBuilder history = new StringBuilder();
    try (BareProcessor bare = new BareProcessor(mode)) {
      for (int i = 0; i < code.length; i++) {
        bare.memory.writeByte(BareProcessor.CODE + i, code[i]);
      }
      bare.map(HOLE, 0, 0);
      for (int register = 0; register < 16; register++) {
        if (register != Slot.RSP) {
          bare.state.r[register] = random.nextLong() >> random.nextInt(64);
        }
      }
      bare.state.r[Slot.RSI] = DATA + random.nextInt(0x2000);
      bare.state.r[Slot.RDI] = BareProcessor.CODE + random.nextInt(code.length);
      bare.state.rip = BareProcessor.CODE;
      while (bare.processor.instructions() < MOST) {
        bare.go(1 + random.nextInt(random.nextBoolean() ? 8 : 300));
        history.append(RandomCode.state(bare));
        if (bare.state.halted) {
          break;
        }
        if (random.nextInt(8) == 0) {
          // The page after the first becomes another one, or none.
          long flags = random.nextInt(4) == 0 ? 0 : BareProcessor.PRESENT | BareProcessor.WRITABLE;
          bare.map(DATA + 0x1000, DATA + 0x1000 + 0x1000L * (2 + random.nextInt(3)), flags);
          bare.processor.memory().invalidatePage(DATA + 0x1000);
        }
      }
      byte[] data = new byte[0x8000];
      bare.memory.read(DATA, data, 0, data.length);
      byte[] after = new byte[code.length];
      bare.memory.read(BareProcessor.CODE, after, 0, after.length);
      history.append(Arrays.hashCode(data)).append(' ').append(Arrays.hashCode(after));
    }
    return history.toString();
  }
}
