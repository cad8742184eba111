package dev.ringfence.machine.translate;

import static dev.ringfence.machine.interpret.BareProcessor.CODE;
import static dev.ringfence.machine.interpret.BareProcessor.DATA;
import static dev.ringfence.machine.interpret.BareProcessor.INTERRUPT_GATE;
import static dev.ringfence.machine.interpret.BareProcessor.PRESENT;
import static dev.ringfence.machine.interpret.BareProcessor.WRITABLE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interpret.BareProcessor;
import dev.ringfence.machine.memory.IoRegion;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A program is started again and again, and each time interrupted one instruction later: by a
 * timer's interrupt, or by an NMI. Besides it rings a device that interrupts at once. The program
 * loops, calls, faults, moves strings into a page that is not there, and has instructions that lie
 * in two pages; its handlers are code like any other and write down where they came from. After a
 * fault it goes on three bytes later, so in the middle of instructions, too.
 */
@Tag("slow")
final class InterruptsEverywhereTest {
  private static final int INSTRUCTIONS = 70;
  private static final int BOUNDARIES = 500;

  /** Instructions after the interrupt, before the states are compared. */
  private static final int AFTERWARDS = 60;

  /** The program runs over the end of a page. */
  private static final long START = CODE + 0x1000 - 170;

  private static final long HOLE = DATA + 0x2000;
  private static final long BELL = DATA + 0x3000;
  private static final long COUNTERS = DATA + 0x6000;
  private static final int DATA_BYTES = 0x7000;
  private static final long DEVICE = 0xd000_0000L;
  private static final long HANDLERS = 0x3e_0000;
  private static final long STACK_PAGES = 0x33_8000;
  private static final int STACK_BYTES = 0x9000;
  private static final int NOPS = 16;
  private static final int VECTOR = 0x40;
  private static final int NMI = 2;

  @ParameterizedTest
  @ValueSource(longs = {2, 6, 9, 12, 15, 16})
  void interruptsAtEveryInstructionLeaveTheSameState(long seed) {
    List<String> interpreted = states(seed, TranslationMode.OFF);
    for (TranslationMode mode : List.of(TranslationMode.FORCED, TranslationMode.ON)) {
      List<String> translated = states(seed, mode);
      for (int n = 0; n < BOUNDARIES; n++) {
        int boundary = n;
        assertEquals(
            interpreted.get(n),
            translated.get(n),
            () -> "seed %d, interrupt after %d instructions, %s".formatted(seed, boundary, mode));
      }
    }
    long distinct = interpreted.stream().distinct().count();
    assertTrue(distinct > BOUNDARIES * 9 / 10, distinct + " different states only");
  }

  private static List<String> states(long seed, TranslationMode mode) {
    List<String> states = new ArrayList<>();
    try (BareProcessor bare = new BareProcessor(mode)) {
      Guest guest = new Guest(bare, seed);
      for (int n = 0; n < BOUNDARIES; n++) {
        states.add(guest.interruptedAfter(n));
      }
    }
    return states;
  }

  /** The program on a processor, which can start anew. */
  private static final class Guest {
    private final BareProcessor bare;
    private final byte[] code;
    private final byte[] data = new byte[DATA_BYTES];
    private final long[] registers = new long[16];
    private boolean pending;

    Guest(BareProcessor bare, long seed) {
      this.bare = bare;
      SplittableRandom random = new SplittableRandom(seed);
      code = RandomCode.program(random, INSTRUCTIONS, InterruptsEverywhereTest::instruction);
      bare.memory.write(START, code, 0, code.length);
      // Handlers go on three bytes later, so the end may be missed.
      String back = hex(-(code.length + NOPS + 5));
      bare.place(START + code.length, "90".repeat(NOPS) + "e9" + back);
      random.nextBytes(data);
      for (int i = 0; i < 16; i++) {
        registers[i] = random.nextLong() >> random.nextInt(64);
      }
      registers[Slot.RSP] = bare.state.r[Slot.RSP];
      registers[Slot.RSI] = DATA + 0x1f80;
      registers[Slot.RDI] = DATA + 0xf80;
      bare.map(HOLE, 0, 0);
      bare.map(BELL, DEVICE, PRESENT | WRITABLE);
      bare.memory.devices().attach("bell", DEVICE, 4096, new Bell());
      bare.processor.connect(new Line());
      handlers();
    }

    private void handlers() {
      bare.state.idtrLimit = 0xfff;
      for (int vector = 0; vector <= VECTOR; vector++) {
        long handler = HANDLERS + 0x40L * vector;
        bare.setGate(vector, handler, INTERRUPT_GATE);
        boolean error =
            vector == ProcessorException.PAGE_FAULT
                || vector == ProcessorException.GENERAL_PROTECTION
                || vector == ProcessorException.STACK_FAULT;
        // inc dword [counter] ; then
        String count = "ff0425" + hex(COUNTERS + 16L * vector);
        // add rsp, 8 ; push rax ; mov rax, [rsp+8] ; sub rax, START ; cmp rax, length ; pop rax ;
        // jae 1f ; add qword [rsp], 3 ; iretq ; 1: mov qword [rsp], START ; iretq
        String recover =
            (error ? "4883c408" : "")
                + ("50 488b442408 482d" + hex(START) + "483d" + hex(code.length + NOPS) + "58")
                + ("7307 4883042403 48cf 48c70424" + hex(START) + "48cf");
        // push rax ; mov rax, [rsp+8] ; add [counter + 8], rax ; pop rax ; iretq
        String note = "50 488b442408 48010425" + hex(COUNTERS + 16L * vector + 8) + "58 48cf";
        bare.place(handler, count + (vector == VECTOR || vector == NMI ? note : recover));
      }
    }

    private static String hex(long value) {
      return "%08x".formatted(Integer.reverseBytes((int) value));
    }

    String interruptedAfter(int instructions) {
      Arrays.stream(new long[] {0, 0x1000, 0x4000, 0x5000, 0x6000})
          .forEach(at -> bare.memory.write(DATA + at, data, (int) at, 0x1000));
      bare.memory.fill(STACK_PAGES, STACK_BYTES, (byte) 0);
      System.arraycopy(registers, 0, bare.state.r, 0, 16);
      bare.state.setRflags(Flags.ALWAYS_SET | Flags.IF);
      bare.state.rip = START;
      bare.state.cr2 = 0;
      pending = false;
      long before = bare.processor.instructions();
      bare.go(instructions);
      if (instructions % 3 == 2) {
        bare.processor.nonMaskable();
      } else {
        pending = true;
      }
      bare.go(AFTERWARDS);
      byte[] after = new byte[DATA_BYTES];
      bare.memory.read(DATA, after, 0, DATA_BYTES);
      byte[] stack = new byte[STACK_BYTES];
      bare.memory.read(STACK_PAGES, stack, 0, STACK_BYTES);
      return "%d %x %x %x %s %x %x counters %s"
          .formatted(
              bare.processor.instructions() - before,
              bare.state.rip,
              bare.state.rflags(),
              bare.state.cr2,
              Arrays.toString(Arrays.copyOf(bare.state.r, 16)),
              Arrays.hashCode(after),
              Arrays.hashCode(stack),
              counters());
    }

    private String counters() {
      StringBuilder text = new StringBuilder();
      for (int vector = 0; vector <= VECTOR; vector++) {
        int at = (int) (COUNTERS - DATA) + 16 * vector;
        int first = data[at] & 0xff;
        int count = bare.memory.readByte(DATA + at) - first & 0xff;
        if (count != 0) {
          text.append(' ').append(vector).append(':').append(count);
        }
      }
      return text.toString();
    }

    /** Rings with the store itself. */
    private final class Bell implements IoRegion {
      @Override
      public long read(long offset, int bytes) {
        return 0x5a;
      }

      @Override
      public void write(long offset, int bytes, long value) {
        pending = true;
      }
    }

    /** The interrupt line. */
    private final class Line extends BareProcessor.NoInterrupts {
      @Override
      public boolean hasInterrupt() {
        return pending;
      }

      @Override
      public int acknowledge() {
        pending = false;
        return VECTOR;
      }
    }
  }

  private static int[] instruction(SplittableRandom random) {
    int low = random.nextInt(256);
    return switch (random.nextInt(14)) {
      // and ecx, 1fh ; rep, repne or once movsb, cmpsb, stosb, lodsb, scasb ; RSI and RDI again
      case 0 ->
          new int[] {
            0x83,
            0xe1,
            0x1f,
            new int[] {0xf3, 0xf2, 0x90}[random.nextInt(3)],
            new int[] {0xa4, 0xa6, 0xaa, 0xac, 0xae}[random.nextInt(5)],
            0xbe,
            0x80,
            0x1f,
            0x20,
            0,
            0xbf,
            low,
            0x0f,
            0x20,
            0
          };
      // mov rax, [DATA + 1ff8h + n], into the hole at times
      case 1 -> new int[] {0x48, 0x8b, 0x04, 0x25, 0xf4 + random.nextInt(8), 0x1f, 0x20, 0};
      // mov [BELL + n], eax, or a load from there
      case 2 ->
          new int[] {random.nextInt(3) == 0 ? 0x8b : 0x89, 0x04, 0x25, low & 0xf0, 0x30, 0x20, 0};
      // cli, something, sti: the interrupt waits for the instruction after STI
      case 3 -> new int[] {0xfa, 0x48, 0xff, 0xc0 | random.nextInt(4), 0xfb, 0x01, 0xd8};
      // pushfq ; popfq, which may let an interrupt in
      case 4 -> new int[] {0x9c, 0x9d};
      // div by a register: #DE
      case 5 -> new int[] {0x48, 0xf7, 0xf0 | random.nextInt(4)};
      default -> RandomCode.instruction(random);
    };
  }
}
