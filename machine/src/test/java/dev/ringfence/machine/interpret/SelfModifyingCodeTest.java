package dev.ringfence.machine.interpret;

import static dev.ringfence.machine.interpret.BareProcessor.CODE;
import static dev.ringfence.machine.interpret.BareProcessor.DATA;
import static dev.ringfence.machine.interpret.BareProcessor.PRESENT;
import static dev.ringfence.machine.interpret.BareProcessor.WRITABLE;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.machine.cpu.ProcessorException;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.translate.TranslationMode;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A store to code takes effect at the next instruction, as on processors since the Pentium (SDM
 * volume 3, section 11.6).
 */
@ParameterizedClass
@EnumSource(names = {"OFF", "FORCED"})
class SelfModifyingCodeTest {
  private final BareProcessor bare;

  SelfModifyingCodeTest(TranslationMode mode) {
    bare = new BareProcessor(mode);
  }

  @AfterEach
  void close() {
    bare.close();
  }

  private long rax() {
    return bare.state.r[Slot.RAX];
  }

  @Test
  void storeIntoTheNextInstructionChangesIt() {
    // mov byte [rip+1], 2 ; mov eax, 1 (becomes mov eax, 2) ; hlt
    bare.run("c605 01000000 02  b8 01000000  f4");
    assertEquals(2, rax());
  }

  @Test
  void storeIntoALaterInstructionOfTheSameBlockChangesIt() {
    // mov byte [rip+4], 7 ; xor eax, eax ; nop ; mov eax, 1 ; hlt
    bare.run("c605 04000000 07  31c0  90  b8 01000000  f4");
    assertEquals(7, rax());
  }

  @Test
  void pushIntoTheNextInstructionChangesIt() {
    // lea rsp, [rip+15] ; mov rbx, f4f4f4f400000005 ; push rbx -> overwrites the 8 bytes that
    // follow
    // b8 imm32 is completed by what was pushed: mov eax, 5 ; hlt
    bare.run("488d25 14000000  48bb 05000000f4f4f4f4  53  b8 01000000 90909090 f4");
    assertEquals(5, rax() & 0xff);
  }

  @Test
  void loopRunsTheNewInstructionInItsSecondRound() {
    // mov ecx, 2 ; L: mov eax, 1 ; mov byte [L+1], 9 ; dec ecx ; jnz L ; hlt
    bare.run("b9 02000000  b8 01000000  c605 f5ffffff 09  ffc9  75f0  f4");
    assertEquals(9, rax());
  }

  @Test
  void storeAcrossAPageChangesCodeInBothPages() {
    long boundary = CODE + 0x1000;
    // Three bytes before the boundary: mov eax, imm32, whose immediate lies across it; then hlt.
    bare.place(boundary - 3, "b8 11111111 f4");
    bare.runAt(boundary - 3);
    assertEquals(0x11111111, rax());
    // mov dword [boundary - 2], 22222222 ; hlt
    bare.place(DATA, "c70425 feff1000".replace("feff1000", "fe0f1000") + "22222222 f4");
    bare.runAt(DATA);
    bare.runAt(boundary - 3);
    assertEquals(0x22222222, rax());
  }

  @Test
  void storeToTheSecondPageDropsTheBlockThatEndsThere() {
    long boundary = CODE + 0x1000;
    bare.place(boundary - 3, "b8 11111111 f4");
    bare.runAt(boundary - 3);
    // mov byte [boundary], 33 ; hlt
    bare.place(DATA, "c60425 00101000 33 f4");
    bare.runAt(DATA);
    bare.runAt(boundary - 3);
    assertEquals(0x11331111, rax());
  }

  @Test
  void bytesInTheSecondPageMakeAnInstructionOfWhatWasNone() {
    long boundary = CODE + 0x1000;
    // 0f 04, which is no instruction, across the boundary; then hlt.
    bare.place(boundary - 1, "0f 04 f4");
    bare.runAt(boundary - 1);
    assertEquals(ProcessorException.INVALID_OPCODE, bare.raised());
    // mov byte [boundary], 0a2h: makes it cpuid ; hlt
    bare.place(DATA, "c60425 00101000 a2 f4");
    bare.runAt(DATA);
    bare.runAt(boundary - 1);
    assertEquals(-1, bare.raised());
  }

  @Test
  void storeThroughAnAliasChangesCode() {
    long alias = 0x7f_0000_0000L;
    bare.map(alias, CODE, PRESENT | WRITABLE);
    bare.run("b8 01000000 f4");
    // mov byte [alias + 1], 4 through rbx ; hlt
    bare.place(DATA, "48bb 0000000 07f000000".replace(" ", "") + "c64301 04 f4");
    bare.runAt(DATA);
    bare.runAt(CODE);
    assertEquals(4, rax());
  }

  @Test
  void oneBlockServesAllAliasesAndKnowsWhereItRuns() {
    long alias = 0x7f_0000_0000L;
    bare.map(alias, CODE, PRESENT);
    // lea rax, [rip] ; hlt
    bare.run("488d05 00000000 f4");
    assertEquals(CODE + 7, rax());
    bare.runAt(alias);
    assertEquals(alias + 7, rax());
  }

  @Test
  void copyByADeviceChangesCode() {
    bare.run("b8 01000000 f4");
    bare.place(CODE + 1, "0a");
    bare.runAt(CODE);
    assertEquals(10, rax());
  }

  @Test
  void repeatedStringStoreOverItselfTakesEffect() {
    // lea rdi, [rip+8] ; mov ecx, 4 ; mov al, 90 ; rep stosb over: 4 bytes of ud2 ; hlt
    bare.run("488d3d 09000000  b9 04000000  b090  f3aa  0f0b0f0b  f4");
    assertEquals(-1, bare.raised());
  }

  @Test
  void remappedCodePageRunsTheNewPageAfterInvalidation() {
    long linear = 0x7f_0000_0000L;
    bare.place(DATA, "b8 01000000 f4");
    bare.place(DATA + 0x1000, "b8 02000000 f4");
    bare.map(linear, DATA, PRESENT);
    bare.runAt(linear);
    assertEquals(1, rax());
    bare.map(linear, DATA + 0x1000, PRESENT);
    bare.processor.memory().invalidatePage(linear);
    bare.runAt(linear);
    assertEquals(2, rax());
  }
}
