package dev.ringfence.machine.translate;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interpret.BareProcessor;
import java.util.Arrays;
import java.util.Locale;
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
      byte[] code = program(new SplittableRandom(seed));
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
        history.append(state(bare));
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

  private static String state(BareProcessor bare) {
    StringBuilder text = new StringBuilder();
    text.append(
        String.format(
            Locale.ROOT,
            "%d %x %x %x:",
            bare.processor.instructions(),
            bare.state.rip,
            bare.state.rflags(),
            bare.state.cr2));
    for (int register = 0; register < 16; register++) {
      text.append(' ').append(Long.toHexString(bare.state.r[register]));
    }
    return text.append(System.lineSeparator()).toString();
  }

  /** Instructions of the forms that kernels are made of, with random operands. */
  private static byte[] program(SplittableRandom random) {
    byte[] code = new byte[INSTRUCTIONS * 12];
    int at = 0;
    for (int i = 0; i < INSTRUCTIONS; i++) {
      at = put(code, at, instruction(random));
    }
    code[at++] = (byte) 0xeb;
    code[at] = (byte) -Math.min(at + 1, 2 + random.nextInt(100));
    return Arrays.copyOf(code, at + 1);
  }

  private static int put(byte[] code, int at, int... bytes) {
    for (int b : bytes) {
      code[at++] = (byte) b;
    }
    return at;
  }

  /** ModRM of two registers, neither RSP, RSI nor RDI, which hold addresses. */
  private static int registers(SplittableRandom random) {
    int[] free = {0, 1, 2, 3, 5};
    return 0xc0 | free[random.nextInt(5)] << 3 | free[random.nextInt(5)];
  }

  /** ModRM of a register and [rsi + displacement]; at times of code, by RDI. */
  private static int memory(SplittableRandom random) {
    int[] free = {0, 1, 2, 3, 5};
    return 0x40 | free[random.nextInt(5)] << 3 | (random.nextInt(6) == 0 ? 7 : 6);
  }

  private static int[] instruction(SplittableRandom random) {
    int rex = random.nextBoolean() ? 0x48 : 0x40;
    int displacement = random.nextInt(256);
    int group = random.nextInt(8);
    return switch (random.nextInt(16)) {
      case 0, 1, 2 -> new int[] {rex, 0x01 | group << 3, registers(random)};
      case 3 -> new int[] {rex, 0x03 | group << 3, memory(random), displacement};
      case 4 -> new int[] {rex, 0x01 | group << 3, memory(random), displacement};
      case 5 -> new int[] {rex, 0x8b, memory(random), displacement};
      case 6 -> new int[] {rex, random.nextBoolean() ? 0x89 : 0x88, memory(random), displacement};
      case 7 -> new int[] {0x70 | random.nextInt(16), random.nextInt(40) - 20};
      case 8 -> new int[] {0x0f, 0x90 | random.nextInt(16), registers(random)};
      case 9 -> new int[] {rex, 0x0f, 0x40 | random.nextInt(16), registers(random)};
      case 10 -> new int[] {rex, 0xc1, registers(random) & 0xc7 | group << 3, random.nextInt(256)};
      case 11 -> new int[] {rex, 0xd3, registers(random) & 0xc7 | group << 3};
      case 12 -> new int[] {rex, 0x0f, 0xaf, registers(random)};
      case 13 -> random.nextBoolean() ? new int[] {0x50 | group & 3} : new int[] {0x58 | group & 3};
      case 14 -> new int[] {0xe8, random.nextInt(20), 0, 0, 0};
      default ->
          random.nextInt(3) == 0
              ? new int[] {0xc3}
              : new int[] {rex, 0x81, registers(random) & 0xc7 | group << 3, displacement, 1, 2, 3};
    };
  }
}
