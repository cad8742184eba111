package dev.ringfence.machine.translate;

import static dev.ringfence.machine.interpret.BareProcessor.CODE;
import static dev.ringfence.machine.interpret.BareProcessor.GLOBAL;
import static dev.ringfence.machine.interpret.BareProcessor.INTERRUPT_GATE;
import static dev.ringfence.machine.interpret.BareProcessor.PRESENT;
import static dev.ringfence.machine.interpret.BareProcessor.WRITABLE;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interpret.BareProcessor;
import dev.ringfence.machine.paging.AddressSpaceView;
import dev.ringfence.machine.paging.TranslatedMemory;
import java.util.HashSet;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A guest that calls functions in four linear pages while it puts other physical pages beneath
 * them, by entries of two sets of page tables, INVLPG, and CR3 with and without flushing of one of
 * three process contexts; at times without invalidating anything, or without a page. One of the
 * functions has an instruction whose end is in the next page, and one reads data there.
 */
@Tag("slow")
final class MappingsUnderCodeTest {
  private static final int PROGRAMS = 10;
  private static final int STEPS = 60;
  private static final int ROUNDS = 3000;

  /** Fewer, because a block that lies in two pages is made anew whenever the second one changes. */
  private static final int ROUNDS_FORCED = 200;

  /** More programs and fewer rounds, because all that a round can do happens in the first ones. */
  private static final int PROGRAMS_WITH_VIEW = 60;

  private static final int ROUNDS_WITH_VIEW = 60;

  /** The linear pages, in a slot of their own of the highest table. */
  private static final long LINEAR = 0x80_0000_0000L;

  private static final int PAGES = 4;

  /** The physical pages, one more than can be mapped. */
  private static final long FRAMES = 0x38_0000;

  private static final int FRAME_COUNT = 5;

  /** The second highest table, and its page tables with those of the first. */
  private static final long OTHER_ROOT = 0x3d_0000;

  private static final long TABLES = 0x3d_1000;
  private static final long HANDLER = 0x3e_0000;
  private static final long SHORT = 0x100;
  private static final long CROSSING = 0xff0;
  private static final long KEEP_TRANSLATIONS = 1L << 63;

  @ParameterizedTest
  @EnumSource(names = {"ON", "FORCED"})
  void codeRunsThatTheTablesAndTheTlbSay(TranslationMode mode) {
    Set<String> ends = new HashSet<>();
    for (int seed = 1; seed <= PROGRAMS; seed++) {
      int rounds = mode == TranslationMode.FORCED ? ROUNDS_FORCED : ROUNDS;
      String interpreted = run(seed, TranslationMode.OFF, rounds);
      assertEquals(interpreted, run(seed, mode, rounds), "seed " + seed);
      ends.add(interpreted);
    }
    assertTrue(ends.size() == PROGRAMS, "programs that do the same");
  }

  @Test
  void aForgetfulViewLeavesNoTrace() {
    for (int seed = 1; seed <= PROGRAMS_WITH_VIEW; seed++) {
      SplittableRandom random = new SplittableRandom(-seed);
      assertEquals(
          run(seed, TranslationMode.OFF, ROUNDS_WITH_VIEW),
          run(seed, TranslationMode.OFF, ROUNDS_WITH_VIEW, bare -> forget(bare, random)),
          "seed " + seed);
    }
  }

  /** Gives it a view that at times forgets all that the fast tables hold, and says so or not. */
  private static void forget(BareProcessor bare, SplittableRandom random) {
    TranslatedMemory memory = bare.processor.memory();
    memory.setView(
        new AddressSpaceView() {
          @Override
          public boolean admit(long linear, int access, Mapping mapping) {
            if (random.nextInt(20) == 0) {
              memory.withdrawAll();
            }
            return random.nextBoolean();
          }

          @Override
          public boolean guardsUserHalf() {
            return true;
          }
        });
  }

  private static String run(long seed, TranslationMode mode, int rounds) {
    return run(seed, mode, rounds, bare -> {});
  }

  /** Runs in pieces; returns the states at their ends. */
  private static String run(
      long seed, TranslationMode mode, int rounds, Consumer<BareProcessor> preparation) {
    SplittableRandom random = new SplittableRandom(seed);
    StringBuilder history = new StringBuilder();
    try (BareProcessor bare = new BareProcessor(mode)) {
      preparation.accept(bare);
      long root = bare.state.cr3;
      tables(bare, root);
      for (int frame = 0; frame < FRAME_COUNT; frame++) {
        functions(bare, frame);
      }
      // add rsp, 8 ; add rax, 4d2h ; mov rbx, [rsp+18h] ; mov rbx, [rbx] ; mov [rsp], rbx ;
      // add qword [rsp+18h], 8 ; iretq: returns from the function that could not go on
      bare.place(HANDLER, "4883c408 4805d2040000 488b5c2418 488b1b 48891c24 488344241808 48cf");
      bare.setGate(ProcessorException.PAGE_FAULT, HANDLER, INTERRUPT_GATE);
      bare.place(CODE, program(random, root));
      bare.state.cr4 |= ControlBits.CR4_PCIDE;
      bare.processor.memory().invalidateAll();
      bare.state.r[Slot.R15] = rounds;
      bare.state.r[Slot.RAX] = 0;
      bare.state.rip = CODE;
      do {
        bare.go(1 + random.nextInt(20_000));
        history.append(RandomCode.state(bare));
      } while (!bare.state.halted);
    }
    return history.toString();
  }

  private static long tableOf(int root) {
    return TABLES + 0x3000L * root + 0x2000;
  }

  /** Tables for the linear pages beneath both roots, all of which share the rest. */
  private static void tables(BareProcessor bare, long root) {
    bare.memory.writeLong(OTHER_ROOT, bare.memory.readLong(root));
    for (int i = 0; i < 2; i++) {
      long highest = i == 0 ? root : OTHER_ROOT;
      long first = TABLES + 0x3000L * i;
      bare.memory.writeLong(highest + 8, first | PRESENT | WRITABLE);
      bare.memory.writeLong(first, first + 0x1000 | PRESENT | WRITABLE);
      bare.memory.writeLong(first + 0x1000, first + 0x2000 | PRESENT | WRITABLE);
      for (int page = 0; page <= PAGES; page++) {
        bare.memory.writeLong(
            tableOf(i) + 8L * page, FRAMES + 0x1000L * ((page + i) % FRAME_COUNT) | PRESENT);
      }
    }
  }

  private static void functions(BareProcessor bare, int frame) {
    long at = FRAMES + 0x1000L * frame;
    String number = "%02x".formatted(frame + 1);
    // The last byte of an immediate operand that begins in the page before, and a return.
    bare.place(at, number + "c3");
    // imul rax, rax, 31 ; add rax, number ; add rax, [rip + 1000h - 11h] ; ret: the next page's
    // 100h
    bare.place(at + SHORT, "486bc01f 4805" + number + "000000 480305ef0f0000 c3");
    // imul rax, rax, 31 ; 7 times nop ; add rax, number: three bytes of it
    bare.place(at + CROSSING, "486bc01f 90909090909090 4805 " + number + "0000");
  }

  /** A loop of random steps, as hexadecimal bytes. */
  private static String program(SplittableRandom random, long root) {
    StringBuilder code = new StringBuilder();
    for (int step = 0; step < STEPS; step++) {
      long page = LINEAR + 0x1000L * random.nextInt(PAGES);
      switch (random.nextInt(8)) {
        case 0, 1, 2 -> {
          load(code, page + (random.nextBoolean() ? SHORT : CROSSING));
          code.append("ffd1"); // call rcx
        }
        case 3, 4 -> {
          entry(code, random);
          if (random.nextInt(3) > 0) {
            load(code, page);
            code.append("0f0139"); // invlpg [rcx]
          }
        }
        case 5 -> {
          load(code, page);
          code.append("0f0139");
        }
        default -> {
          int context = random.nextInt(3);
          long value = (context == 1 ? OTHER_ROOT : root) | context + 1;
          load(code, value | (random.nextInt(3) > 0 ? KEEP_TRANSLATIONS : 0));
          code.append("0f22d9"); // mov cr3, rcx
        }
      }
    }
    // dec r15d ; jnz back ; hlt
    code.append("41ffcf").append("0f85");
    code.append(little(-(code.length() / 2 + 4), 4)).append("f4");
    return code.toString();
  }

  /** mov rcx, value ; mov [entry], rcx. */
  private static void entry(StringBuilder code, SplittableRandom random) {
    long flags =
        (random.nextInt(6) > 0 ? PRESENT : 0) | (random.nextInt(4) == 0 ? GLOBAL : 0) | WRITABLE;
    load(code, FRAMES + 0x1000L * random.nextInt(FRAME_COUNT) | flags);
    long entry = tableOf(random.nextInt(2)) + 8L * random.nextInt(PAGES + 1);
    code.append("48890c25").append(little(entry, 4));
  }

  private static void load(StringBuilder code, long value) {
    code.append("48b9").append(little(value, 8));
  }

  private static String little(long value, int bytes) {
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < bytes; i++) {
      text.append("%02x".formatted(value >>> 8 * i & 0xff));
    }
    return text.toString();
  }
}
