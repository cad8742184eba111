package dev.ringfence.machine.translate;

import dev.ringfence.machine.interpret.BareProcessor;
import java.util.Arrays;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.function.Function;

/** Programs of random instructions for a bare processor. */
final class RandomCode {
  /** Longest sequence that a generator gives. */
  static final int MOST_BYTES = 24;

  private RandomCode() {}

  /** What the guest can see of the processor, one line. */
  static String state(BareProcessor bare) {
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

  /**
   * Instructions of the forms that kernels are made of, with random operands, and a jump back.
   * Memory is accessed by RSI and RDI, which are not written.
   */
  static byte[] program(SplittableRandom random, int instructions) {
    return program(random, instructions, RandomCode::instruction);
  }

  /** The same of instructions that the caller chooses. */
  static byte[] program(
      SplittableRandom random, int instructions, Function<SplittableRandom, int[]> generator) {
    byte[] code = new byte[instructions * MOST_BYTES + 2];
    int at = 0;
    for (int i = 0; i < instructions; i++) {
      at = put(code, at, generator.apply(random));
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

  /** One instruction of the usual kind. */
  static int[] instruction(SplittableRandom random) {
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
