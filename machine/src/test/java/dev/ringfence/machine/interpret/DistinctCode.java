package dev.ringfence.machine.interpret;

import static dev.ringfence.machine.interpret.BareProcessor.CODE;
import static dev.ringfence.machine.interpret.BareProcessor.PRESENT;

import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.translate.TranslationMode;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * A guest whose memory is full of functions, no two of them alike, and a program that calls one
 * after the other. Each adds a number of its own to RAX in a loop. As a program it is started with
 * a JVM that has little room.
 */
final class DistinctCode {
  /** Bytes from one function to the next. */
  private static final int DISTANCE = 32;

  private static final long FIRST = 0x80_0000;
  private static final int PAGE = 4096;

  private final BareProcessor bare;
  private final int functions;
  private final int rounds;

  /**
   * @param pages of functions
   * @param rounds of the loop of each
   */
  DistinctCode(BareProcessor bare, int pages, int rounds) {
    this.bare = bare;
    this.rounds = rounds;
    functions = pages * (PAGE / DISTANCE);
    byte[] all = new byte[pages * PAGE];
    ByteBuffer code = ByteBuffer.wrap(all).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < functions; i++) {
      code.position(i * DISTANCE);
      // mov ecx, rounds ; 1: add rax, number ; dec ecx ; jnz 1b ; ret
      code.put((byte) 0xb9).putInt(rounds).put(new byte[] {0x48, 0x05}).putInt(number(i));
      code.put(new byte[] {(byte) 0xff, (byte) 0xc9, 0x75, (byte) 0xf6, (byte) 0xc3});
    }
    bare.memory.write(FIRST, all, 0, all.length);
    for (int page = 0; page < pages; page++) {
      bare.map(FIRST + (long) page * PAGE, FIRST + (long) page * PAGE, PRESENT);
    }
  }

  private static int number(int function) {
    return function * 0x01010101 & 0x7fffffff;
  }

  /** Calls all functions once and returns what RAX should be; it is left in the processor. */
  long run() {
    bare.state.r[Slot.RAX] = 0;
    bare.state.r[Slot.RBX] = FIRST;
    bare.state.r[Slot.RDX] = FIRST + (long) functions * DISTANCE;
    // 1: call rbx ; add rbx, 32 ; cmp rbx, rdx ; jb 1b ; hlt
    bare.place(CODE, "ffd3 4883c320 4839d3 72f5 f4");
    bare.state.rip = CODE;
    bare.go(100L + functions * (rounds * 3L + 10));
    if (!bare.state.halted) {
      throw new AssertionError("did not halt");
    }
    long sum = 0;
    for (int i = 0; i < functions; i++) {
      sum += (long) number(i) * rounds;
    }
    return sum;
  }

  /** Prints whether the sum is right, how often all code was dropped, and failed regions. */
  public static void main(String[] arguments) {
    // The first one has all classes loaded that the second one needs.
    report(1, 2000);
    report(Integer.parseInt(arguments[0]), 2000);
  }

  private static void report(int pages, int rounds) {
    CodeCache.Limits none = new CodeCache.Limits(1L << 40, 1L << 40);
    try (BareProcessor bare = new BareProcessor(TranslationMode.ON, none)) {
      long expected = new DistinctCode(bare, pages, rounds).run();
      System.out.printf(
          "%d pages: right %b, dropped %d, failed %d, translated %d%n",
          pages,
          expected == bare.state.r[Slot.RAX],
          bare.cache.overflows(),
          bare.translations().failures(),
          bare.translations().regions());
    }
  }
}
