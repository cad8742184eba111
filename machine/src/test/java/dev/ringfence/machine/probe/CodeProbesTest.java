package dev.ringfence.machine.probe;

import static dev.ringfence.machine.interpret.BareProcessor.CODE;
import static dev.ringfence.machine.interpret.BareProcessor.DATA;
import static dev.ringfence.machine.interpret.BareProcessor.PRESENT;
import static dev.ringfence.machine.interpret.BareProcessor.WRITABLE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.machine.cpu.Flags;
import dev.ringfence.machine.cpu.Processor;
import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interpret.BareProcessor;
import dev.ringfence.machine.translate.TranslationMode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Probes at instructions: called once per execution, with exact state, and felt by no guest. */
@ParameterizedClass
@EnumSource
class CodeProbesTest {
  private final BareProcessor bare;

  CodeProbesTest(TranslationMode mode) {
    bare = new BareProcessor(mode);
    probes = new Probes(List.of(bare.processor), bare.cache, bare.memory);
  }

  private final Probes probes;

  /** What was seen: address, instructions since the start, RAX. */
  private final List<String> seen = new ArrayList<>();

  private long start;

  @AfterEach
  void close() {
    bare.close();
  }

  private void record(Processor processor) {
    seen.add(
        "%x after %d, rax %d"
            .formatted(
                processor.state().rip,
                processor.instructions() - start,
                processor.state().r[Slot.RAX]));
  }

  private void set(long linear) {
    assertTrue(probes.setCodeProbe(bare.processor, linear, this::record));
  }

  private void run(String hex) {
    bare.place(CODE, hex);
    start = bare.processor.instructions();
    bare.state.r[Slot.RAX] = 0;
    bare.runAt(CODE);
  }

  /** Five times inc rax, of three bytes each; hlt. */
  private static final String STRAIGHT = "48ffc0 48ffc0 48ffc0 48ffc0 48ffc0 f4";

  @Test
  void theFirstInstructionOfABlockIsSeenOnce() {
    set(CODE);
    run(STRAIGHT);
    assertEquals(List.of("100000 after 0, rax 0"), seen);
  }

  @Test
  void anInstructionInTheMiddleOfABlockIsSeenOnce() {
    set(CODE + 6);
    run(STRAIGHT);
    assertEquals(List.of("100006 after 2, rax 2"), seen);
    assertEquals(5, bare.state.r[Slot.RAX]);
    assertEquals(6, bare.processor.instructions() - start);
  }

  @Test
  void codeThatWasDecodedBeforeTheProbeWasSetIsSeen() {
    run(STRAIGHT);
    set(CODE + 9);
    start = bare.processor.instructions();
    bare.state.r[Slot.RAX] = 0;
    bare.runAt(CODE);
    assertEquals(List.of("100009 after 3, rax 3"), seen);
  }

  @Test
  void neighboursAndTheLastInstructionAreEachSeen() {
    for (int i = 0; i < 6; i++) {
      set(CODE + 3L * i);
    }
    run(STRAIGHT);
    assertEquals(
        List.of(
            "100000 after 0, rax 0",
            "100003 after 1, rax 1",
            "100006 after 2, rax 2",
            "100009 after 3, rax 3",
            "10000c after 4, rax 4",
            "10000f after 5, rax 5"),
        seen);
  }

  @Test
  void everyRoundOfALoopIsSeen() {
    // mov ecx, 4 ; inc rax ; dec ecx ; jnz to the inc ; hlt
    set(CODE + 8);
    run("b904000000 48ffc0 ffc9 75f9 f4");
    assertEquals(
        List.of(
            "100008 after 2, rax 1",
            "100008 after 5, rax 2",
            "100008 after 8, rax 3",
            "100008 after 11, rax 4"),
        seen);
  }

  @Test
  void aLoopThatJumpsToTheProbedInstructionIsSeenInEveryRound() {
    set(CODE + 5);
    run("b903000000 48ffc0 ffc9 75f9 f4");
    assertEquals(
        List.of("100005 after 1, rax 0", "100005 after 4, rax 1", "100005 after 7, rax 2"), seen);
  }

  @Test
  void aProbeThatIsSetInTheMiddleOfHotCodeIsSeenFromThenOn() {
    // test cl, 1 ; jz +3 ; inc rax ; dec ecx ; jnz to the test ; hlt
    bare.place(CODE, "f6c101 7403 48ffc0 ffc9 75f4 f4");
    for (int round = 0; round < 30; round++) {
      loop(50_000);
    }
    set(CODE + 5);
    loop(6);
    assertEquals(
        List.of("100005 after 6, rax 0", "100005 after 15, rax 1", "100005 after 24, rax 2"), seen);
    assertTrue(probes.setCodeProbe(bare.processor, CODE + 8, processor -> {}));
    probes.clearCodeProbe(bare.processor, CODE + 5);
    loop(6);
    assertEquals(3, seen.size());
  }

  /** Executes a loop that counts odd values of ECX in RAX. */
  private void loop(int times) {
    bare.state.r[Slot.RCX] = times;
    bare.state.r[Slot.RAX] = 0;
    start = bare.processor.instructions();
    bare.runAt(CODE);
    assertEquals(times / 2, bare.state.r[Slot.RAX]);
  }

  @Test
  void jumpsCallsReturnsAndSystemInstructionsAreSeen() {
    // call +1 ; hlt ; jmp +0 ; cpuid ; ret
    set(CODE);
    set(CODE + 6);
    set(CODE + 8);
    set(CODE + 10);
    set(CODE + 5);
    run("e801000000 f4 eb00 0fa2 c3");
    assertEquals(
        List.of("100000", "100006", "100008", "10000a", "100005"),
        seen.stream().map(line -> line.substring(0, 6)).toList());
    assertEquals(5, bare.processor.instructions() - start);
  }

  @Test
  void aTimeSliceThatEndsAtTheProbeDoesNotDoubleTheCall() {
    for (int slice = 1; slice <= 5; slice++) {
      seen.clear();
      set(CODE + 6);
      bare.place(CODE, STRAIGHT);
      bare.state.r[Slot.RAX] = 0;
      bare.state.rip = CODE;
      start = bare.processor.instructions();
      for (int at = 0; at < 10; at += slice) {
        bare.go(slice);
        if (bare.state.halted) {
          break;
        }
      }
      assertEquals(List.of("100006 after 2, rax 2"), seen, "slices of " + slice);
    }
  }

  @Test
  void aProbeThatAnotherOneSetsAheadInTheSameBlockIsCalledInTheSameRun() {
    assertTrue(
        probes.setCodeProbe(
            bare.processor,
            CODE + 3,
            processor -> {
              record(processor);
              set(CODE + 9);
            }));
    run(STRAIGHT);
    assertEquals(List.of("100003 after 1, rax 1", "100009 after 3, rax 3"), seen);
    assertEquals(5, bare.state.r[Slot.RAX]);
    assertEquals(6, bare.processor.instructions() - start);
  }

  @Test
  void aProbeThatAnotherOneSetsAtTheNextInstructionIsCalledInTheSameRun() {
    assertTrue(
        probes.setCodeProbe(
            bare.processor,
            CODE + 3,
            processor -> {
              record(processor);
              set(CODE + 6);
            }));
    run(STRAIGHT);
    assertEquals(List.of("100003 after 1, rax 1", "100006 after 2, rax 2"), seen);
  }

  @Test
  void aProbeThatAJumpsProbeSetsAtItsTargetIsCalled() {
    // jmp +3 ; inc rax ; inc rax ; hlt
    assertTrue(probes.setCodeProbe(bare.processor, CODE, processor -> set(CODE + 5)));
    run("eb03 48ffc0 48ffc0 f4");
    assertEquals(List.of("100005 after 1, rax 0"), seen);
    assertEquals(3, bare.processor.instructions() - start);
  }

  @Test
  void aProbeCanTakeItselfAndOthersAwayWhileItIsCalled() {
    set(CODE + 9);
    assertTrue(
        probes.setCodeProbe(
            bare.processor,
            CODE + 3,
            processor -> {
              record(processor);
              probes.clearCodeProbe(processor, CODE + 9);
              probes.clearCodeProbe(processor, CODE + 3);
            }));
    run(STRAIGHT);
    bare.runAt(CODE);
    assertEquals(List.of("100003 after 1, rax 1"), seen);
  }

  @Test
  void anotherProbeAtTheAddressReplacesTheFirst() {
    List<String> second = new ArrayList<>();
    set(CODE + 3);
    assertTrue(probes.setCodeProbe(bare.processor, CODE + 3, processor -> second.add("second")));
    run(STRAIGHT);
    assertEquals(List.of(), seen);
    assertEquals(List.of("second"), second);
  }

  @Test
  void clearingWhatIsNotSetChangesNothing() {
    set(CODE + 3);
    probes.clearCodeProbe(bare.processor, CODE + 6);
    probes.clearCodeProbe(bare.processor, 0x7000_0000_0000L);
    probes.clearCodeProbe(-1);
    run(STRAIGHT);
    assertEquals(1, seen.size());
  }

  @Test
  void anAddressThatIsNotMappedToRamTakesNoProbe() {
    assertFalse(probes.setCodeProbe(bare.processor, 0x7000_0000_0000L, this::record));
    assertFalse(probes.setCodeProbe(-1, this::record));
    assertFalse(probes.setCodeProbe(bare.memory.size(), this::record));
    bare.map(0x50_0000_0000L, 0xfee0_0000L, PRESENT | WRITABLE);
    assertFalse(probes.setCodeProbe(bare.processor, 0x50_0000_0000L, this::record));
  }

  @Test
  void theProbeBelongsToThePhysicalAddressUnderAnyLinearOne() {
    long other = 0x50_0000_0000L;
    bare.map(other, CODE, PRESENT | WRITABLE);
    set(CODE + 6);
    run(STRAIGHT);
    start = bare.processor.instructions();
    bare.state.r[Slot.RAX] = 0;
    bare.runAt(other);
    assertEquals(List.of("100006 after 2, rax 2", "5000000006 after 2, rax 2"), seen);
  }

  @Test
  void anInstructionThatRunsOverThePageIsSeen() {
    long at = CODE + 0x1000 - 2;
    bare.place(at - 3, STRAIGHT);
    set(at);
    start = bare.processor.instructions();
    bare.runAt(at - 3);
    assertEquals(List.of("100ffe after 1, rax 1"), seen);
    assertEquals(5, bare.state.r[Slot.RAX]);
  }

  @Test
  void codeThatOverwritesTheProbedInstructionKeepsItsProbe() {
    // mov byte [rip+6], c8 turns "inc rax" below into "dec rax" (48 ff c8) ; inc rax ; (target) ;
    // hlt
    set(CODE + 10);
    run("c605 05000000 c8 48ffc0 48ffc0 f4");
    assertEquals(List.of("10000a after 2, rax 1"), seen);
    assertEquals(0, bare.state.r[Slot.RAX]);
    assertEquals(4, bare.processor.instructions() - start);
  }

  @Test
  void codeThatALoaderReplacesKeepsItsProbe() {
    set(CODE + 3);
    run(STRAIGHT);
    run("48ffc8 48ffc8 f4");
    assertEquals(List.of("100003 after 1, rax 1", "100003 after 1, rax -1"), seen);
  }

  @Test
  void anInstructionThatFaultsIsSeenAtEachAttempt() {
    // mov rax, [rbx] at an address that is not mapped: the handler of the fixture halts.
    set(CODE + 3);
    bare.state.r[Slot.RBX] = 0x60_0000_0000L;
    run("48ffc0 488b03 f4");
    assertEquals(ProcessorException.PAGE_FAULT, bare.raised());
    assertEquals(1, bare.processor.instructions() - start - 1);
    bare.map(0x60_0000_0000L, DATA, PRESENT | WRITABLE);
    bare.memory.writeLong(DATA, 77);
    bare.runAt(CODE + 3);
    assertEquals(List.of("100003 after 1, rax 1", "100003 after 2, rax 1"), seen);
    assertEquals(77, bare.state.r[Slot.RAX]);
  }

  @Test
  void aRepeatedInstructionIsSeenAtEachOfItsSteps() {
    // rep stosb: at most 4096 bytes between two points at which interrupts may come.
    bare.state.r[Slot.RCX] = 10_000;
    bare.state.r[Slot.RDI] = DATA;
    set(CODE + 3);
    run("48ffc0 f3aa f4");
    assertEquals(
        List.of("100003 after 1, rax 1", "100003 after 2, rax 1", "100003 after 3, rax 1"), seen);
    assertEquals(5, bare.processor.instructions() - start);
  }

  @Test
  void singleSteppedCodeIsSeenOnce() {
    // popfq sets TF; the trap comes after the next instruction, in the handler, which halts.
    long stack = bare.state.r[Slot.RSP];
    bare.memory.writeLong(stack, Flags.TF | 2);
    set(CODE + 1);
    set(CODE + 4);
    run("9d 48ffc0 48ffc0 f4");
    assertEquals(ProcessorException.DEBUG, bare.raised());
    assertEquals(List.of("100001 after 1, rax 0"), seen);
    assertEquals(1, bare.state.r[Slot.RAX]);
  }

  /** Random code: arithmetic, stores to a page of data, and short jumps forward, in a loop. */
  private static byte[] randomCode(Random random, List<Integer> starts) {
    byte[] code = new byte[1024];
    int at = 0;
    starts.add(at);
    // mov ecx, 20
    code[at] = (byte) 0xb9;
    code[at + 1] = 20;
    at += 5;
    int top = at;
    while (at < 110) {
      starts.add(at);
      int from = 8 * random.nextInt(3);
      switch (random.nextInt(6)) {
        case 0 -> at = put(code, at, 0x48, 0x01, 0xd0 | from); // add rax/.., rdx
        case 1 -> at = put(code, at, 0x48, 0x31, 0xc2); // xor rdx, rax
        case 2 -> at = put(code, at, 0x48, 0x89, 0x03); // mov [rbx], rax
        case 3 -> at = put(code, at, 0x48, 0x03, 0x53, random.nextInt(128)); // add rdx, [rbx+n]
        case 4 -> at = put(code, at, 0x48, 0xd1, 0xc0); // rol rax, 1
        default -> at = put(code, at, 0x74, 0x00); // je to the next instruction
      }
    }
    starts.add(at);
    at = put(code, at, 0xff, 0xc9); // dec ecx
    starts.add(at);
    at = put(code, at, 0x75, top - (at + 2)); // jnz
    starts.add(at);
    at = put(code, at, 0xf4);
    return Arrays.copyOf(code, at);
  }

  private static int put(byte[] code, int at, int... bytes) {
    for (int i = 0; i < bytes.length; i++) {
      code[at + i] = (byte) bytes[i];
    }
    return at + bytes.length;
  }

  private long[] registersAfter(byte[] code, List<Integer> probed, long[] calls) {
    try (BareProcessor fresh = new BareProcessor()) {
      Probes its = new Probes(List.of(fresh.processor), fresh.cache, fresh.memory);
      fresh.memory.write(CODE, code, 0, code.length);
      fresh.state.r[Slot.RBX] = DATA;
      fresh.state.r[Slot.RAX] = 0x1234_5678_9abc_def1L;
      fresh.state.r[Slot.RDX] = 0x0fed_cba9_8765_4321L;
      for (int offset : probed) {
        assertTrue(
            its.setCodeProbe(
                fresh.processor,
                CODE + offset,
                processor -> {
                  assertEquals(CODE + offset, processor.state().rip);
                  calls[0]++;
                }));
      }
      fresh.runAt(CODE);
      long[] result = Arrays.copyOf(fresh.state.r, 20);
      result[16] = fresh.state.rflags();
      result[17] = fresh.processor.instructions();
      result[18] = fresh.processor.time();
      result[19] = fresh.memory.readLong(DATA);
      return result;
    }
  }

  @Test
  void probesChangeNeitherResultsNorCounts() {
    for (long seed = 1; seed <= 20; seed++) {
      List<Integer> starts = new ArrayList<>();
      Random random = new Random(seed);
      byte[] code = randomCode(random, starts);
      long[] none = new long[1];
      long[] plain = registersAfter(code, List.of(), none);
      List<Integer> some = starts.stream().filter(unused -> random.nextInt(3) == 0).toList();
      long[] calls = new long[1];
      assertArrayEquals(plain, registersAfter(code, some, calls), "some probes, seed " + seed);
      calls[0] = 0;
      assertArrayEquals(plain, registersAfter(code, starts, calls), "all probes, seed " + seed);
      assertEquals(plain[17], calls[0], "a call for each instruction, seed " + seed);
    }
  }
}
