package dev.ringfence.machine.translate;

import static dev.ringfence.machine.interpret.BareProcessor.CODE;
import static dev.ringfence.machine.interpret.BareProcessor.DATA;
import static dev.ringfence.machine.interpret.BareProcessor.PRESENT;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.ringfence.machine.cpu.ControlBits;
import dev.ringfence.machine.cpu.Slot;
import dev.ringfence.machine.interpret.BareProcessor;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Translated code changes the address space, and what follows is interpreted: there is no
 * translation of it yet, or, as here, no time for all of its block.
 */
final class ContextChangeTest {
  /** Mapped by the first and by the second address space to pages of their own. */
  private static final long LINEAR = 0x80_0000_0000L;

  private static final long OTHER_DATA = DATA + 0x1000;
  private static final long OTHER_ROOT = 0x3d_0000;
  private static final long OTHER_TABLES = 0x3d_1000;
  private static final long PCID = 1;
  private static final long OTHER_PCID = 2;

  @ParameterizedTest
  @EnumSource
  void codeAfterAWriteOfCr3ReadsTheNewAddressSpaceWhereverItIsCut(TranslationMode mode) {
    for (int instructions = 1; instructions <= 6; instructions++) {
      try (BareProcessor bare = new BareProcessor(mode)) {
        long root = bare.state.cr3;
        bare.map(LINEAR, DATA, PRESENT);
        mapInOther(bare, root);
        bare.memory.writeLong(DATA, 11);
        bare.memory.writeLong(OTHER_DATA, 22);
        // mov rax, [rbx] ; mov cr3, rcx ; mov rdx, [rbx] ; mov rsi, [rbx] ; mov rdi, [rbx] ; hlt
        bare.place(CODE, "488b03 0f22d9 488b13 488b33 488b3b f4");
        bare.state.cr4 |= ControlBits.CR4_PCIDE;
        bare.state.cr3 = root | PCID;
        bare.processor.memory().invalidateAll();
        bare.state.r[Slot.RDX] = 0; // a reset leaves the model's signature there
        bare.state.r[Slot.RBX] = LINEAR;
        bare.state.r[Slot.RCX] = OTHER_ROOT | OTHER_PCID;
        bare.state.rip = CODE;
        bare.go(instructions);
        assertEquals(11, bare.state.r[Slot.RAX]);
        assertRead(instructions > 2, bare.state.r[Slot.RDX]);
        assertRead(instructions > 3, bare.state.r[Slot.RSI]);
        assertRead(instructions > 4, bare.state.r[Slot.RDI]);
      }
    }
  }

  private static void assertRead(boolean read, long register) {
    assertEquals(read ? 22 : 0, register);
  }

  /** The second address space shares all but {@link #LINEAR} with the first. */
  private static void mapInOther(BareProcessor bare, long root) {
    bare.memory.writeLong(OTHER_ROOT, bare.memory.readLong(root));
    bare.memory.writeLong(OTHER_ROOT + 8, OTHER_TABLES | PRESENT);
    bare.memory.writeLong(OTHER_TABLES, OTHER_TABLES + 0x1000 | PRESENT);
    bare.memory.writeLong(OTHER_TABLES + 0x1000, OTHER_TABLES + 0x2000 | PRESENT);
    bare.memory.writeLong(OTHER_TABLES + 0x2000, OTHER_DATA | PRESENT);
  }
}
