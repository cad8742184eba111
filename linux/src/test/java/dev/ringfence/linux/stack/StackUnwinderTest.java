package dev.ringfence.linux.stack;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.ringfence.linux.KernelMemory;
import dev.ringfence.linux.image.KernelImage;
import dev.ringfence.linux.image.SyntheticKernel;
import dev.ringfence.linux.image.SyntheticKernel.Layout;
import dev.ringfence.machine.BadInputException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Stacks laid out by hand as the processor and the compiler lay them out: what a call pushes, what
 * an interrupt pushes (SDM volume 3, 6.14.2), struct pt_regs.
 */
final class StackUnwinderTest {
  private static final long BASE = SyntheticKernel.BASE;
  private static final long STACK = 0xffffc90000010000L;
  private static final long MODULE = 0xffffffffc0200000L;

  // Registers in the encoding of arch/x86/include/asm/orc_types.h.
  private static final int PREV_SP = 1;
  private static final int BP = 4;
  private static final int SP = 5;
  private static final int R10 = 6;
  private static final int BP_INDIRECT = 8;
  private static final int SP_INDIRECT = 9;

  private static final int CALL = 0;
  private static final int REGS = 1;
  private static final int REGS_PARTIAL = 2;
  private static final int END = 3;
  private static final int UNDEFINED = 4;

  private record Entry(
      int start, int spRegister, int spOffset, int bpRegister, int bpOffset, int type) {}

  /** Functions of 0x100 bytes each. */
  private static final List<Entry> ENTRIES =
      List.of(
          new Entry(0x000, 0, 0, 0, 0, END),
          new Entry(0x100, SP, 8, 0, 0, CALL),
          new Entry(0x110, SP, 24, PREV_SP, -16, CALL),
          new Entry(0x200, BP, 16, PREV_SP, -16, CALL),
          new Entry(0x300, SP, 0, 0, 0, REGS),
          new Entry(0x400, SP, 0, 0, 0, REGS_PARTIAL),
          new Entry(0x500, SP_INDIRECT, 8, 0, 0, CALL),
          new Entry(0x600, BP_INDIRECT, -24, BP, 0, CALL),
          new Entry(0x700, R10, 0, 0, 0, CALL),
          new Entry(0x800, 0, 0, 0, 0, UNDEFINED));

  /** Words of memory; what was not put in is not mapped. */
  private static final class Words implements KernelMemory {
    private final Map<Long, Long> words = new HashMap<>();

    Words put(long address, long... values) {
      for (int i = 0; i < values.length; i++) {
        words.put(address + 8L * i, values[i]);
      }
      return this;
    }

    @Override
    public long readLong(long linear) {
      return words.getOrDefault(linear, 0L);
    }

    @Override
    public int readInt(long linear) {
      return (int) (words.getOrDefault(linear & -8, 0L) >>> 8 * (linear & 7));
    }

    @Override
    public short readShort(long linear) {
      return (short) readInt(linear);
    }

    @Override
    public byte readByte(long linear) {
      return (byte) readInt(linear);
    }

    @Override
    public boolean isMapped(long linear) {
      return words.containsKey(linear & -8);
    }
  }

  /** Of each register in the numbers above, the number in Linux 7.2. */
  private static final int[] RENUMBERED = {0, 8, 2, 5, 4, 3, 6, 7, 10, 9};

  private static int word(Entry entry, String release) {
    boolean wide = release.startsWith("6.4") || release.startsWith("7.2");
    int registers =
        release.startsWith("7.2")
            ? RENUMBERED[entry.spRegister()] | RENUMBERED[entry.bpRegister()] << 4
            : entry.spRegister() | entry.bpRegister() << 4;
    if (wide) {
      int type =
          switch (entry.type()) {
            case UNDEFINED -> 0;
            case END -> 1;
            default -> entry.type() + 2;
          };
      return registers | type << 8 | 1 << 11;
    }
    int end = release.startsWith("6.3") ? 11 : 10;
    int signal = release.startsWith("6.3") ? 1 << 10 : 0;
    return switch (entry.type()) {
      case END -> registers | 1 << end;
      case UNDEFINED -> registers;
      default -> registers | entry.type() << 8 | signal;
    };
  }

  private static ByteBuffer places(List<Entry> entries, long table, long base) {
    ByteBuffer places = ByteBuffer.allocate(4 * entries.size()).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < entries.size(); i++) {
      places.putInt((int) (base + entries.get(i).start() - (table + 4L * i)));
    }
    return places;
  }

  private static KernelImage kernel(String release) {
    ByteBuffer table = ByteBuffer.allocate(6 * ENTRIES.size()).order(ByteOrder.LITTLE_ENDIAN);
    for (Entry entry : ENTRIES) {
      table.putShort((short) entry.spOffset()).putShort((short) entry.bpOffset());
      table.putShort((short) word(entry, release));
    }
    return KernelImage.of(
        SyntheticKernel.of(Layout.LINUX_6_4)
            .release(release)
            .section(".orc_unwind_ip", places(ENTRIES, SyntheticKernel.address(0), BASE).array())
            .section(".orc_unwind", table.array())
            .elf(),
        "vmlinux");
  }

  private static OrcTable table(String release) {
    return OrcTable.of(kernel(release)).orElseThrow();
  }

  private static StackUnwinder unwinder() {
    return new StackUnwinder(table("6.1.0"), kernel("6.1.0").symbols());
  }

  private static long[] walk(StackUnwinder unwinder, KernelMemory memory, long rip, long rbp) {
    long[] frames = new long[16];
    return Arrays.copyOf(frames, unwinder.unwind(memory, rip, STACK, rbp, frames));
  }

  private static long[] at(int... offsets) {
    return Arrays.stream(offsets).mapToLong(offset -> BASE + offset).toArray();
  }

  @ParameterizedTest
  @CsvSource({"6.1.0", "6.3.0", "6.4.0", "7.2.0"})
  void callsAreFollowedInTheLayoutOfEachVersion(String release) {
    StackUnwinder unwinder = new StackUnwinder(table(release), kernel(release).symbols());
    Words memory =
        new Words()
            .put(STACK, BASE + 0x120) // the caller of the function at 0x100
            .put(STACK + 8, 1, STACK + 64, BASE + 0x250) // its locals, saved RBP, return address
            .put(STACK + 32, 2, 3, 4, 5)
            .put(STACK + 64, 6, BASE + 0x10); // the frame of the function at 0x200
    assertArrayEquals(at(0x100, 0x120, 0x250, 0x10), walk(unwinder, memory, BASE + 0x100, 99));
    assertFalse(unwinder.guessed());
  }

  @Test
  void aReturnAddressBehindTheLastCallOfAFunctionBelongsToThatFunction() {
    // 0x200 is behind the function at 0x100, whose last instruction was a call.
    Words memory = new Words().put(STACK, BASE + 0x200).put(STACK + 8, 1, 7, BASE + 0x10);
    assertArrayEquals(at(0x100, 0x200, 0x10), walk(unwinder(), memory, BASE + 0x100, 0));
  }

  @Test
  void anInterruptOfTheKernelGoesOnInWhatItInterrupted() {
    long[] registers = new long[21];
    registers[4] = STACK + 0x400; // RBP
    registers[16] = BASE + 0x200; // RIP: the first instruction, not one behind a call
    registers[17] = 0x10;
    registers[19] = STACK + 0x300; // RSP
    Words memory =
        new Words().put(STACK, registers).put(STACK + 0x400, 0, BASE + 0x150, 0, 5, BASE + 0x10);
    assertArrayEquals(at(0x300, 0x200, 0x150, 0x10), walk(unwinder(), memory, BASE + 0x300, 0));
  }

  @Test
  void theWalkEndsAtUserMode() {
    long[] registers = new long[21];
    registers[16] = 0x401000;
    registers[17] = 0x33;
    assertArrayEquals(
        at(0x300), walk(unwinder(), new Words().put(STACK, registers), BASE + 0x300, 0));
    assertArrayEquals(
        at(0x400),
        walk(
            unwinder(),
            new Words().put(STACK - 8, 0, 0x401000, 0x33, 2, 0x7fff0000, 0x2b),
            BASE + 0x400,
            0));
    assertEquals(0, walk(unwinder(), new Words(), 0x401000, 0).length);
  }

  @Test
  void aBareInterruptFrameLeavesTheFramePointerAsItIs() {
    Words memory =
        new Words()
            .put(STACK - 8, 0, BASE + 0x210, 0x10, 2, STACK + 0x100, 0x18)
            .put(STACK + 0x200, 0, BASE + 0x10);
    assertArrayEquals(
        at(0x400, 0x210, 0x10), walk(unwinder(), memory, BASE + 0x400, STACK + 0x200));
  }

  @Test
  void aStackThatWasSwitchedIsFoundThroughTheSavedPointer() {
    Words memory =
        new Words()
            .put(STACK, STACK + 0x1000)
            .put(STACK + 0x1000, BASE + 0x610)
            .put(STACK + 0x800, STACK + 0x2000, 0, 0, STACK + 0x900)
            .put(STACK + 0x1ff8, BASE + 0x10);
    assertArrayEquals(
        at(0x500, 0x610, 0x10), walk(unwinder(), memory, BASE + 0x500, STACK + 0x818));
  }

  @Test
  void registersThatOnlyAnInterruptSavedAreUsed() {
    long[] registers = new long[21];
    registers[7] = STACK + 0x500; // R10
    registers[16] = BASE + 0x700;
    registers[17] = 0x10;
    registers[19] = STACK + 0x300;
    Words memory = new Words().put(STACK, registers).put(STACK + 0x4f8, BASE + 0x10);
    assertArrayEquals(at(0x300, 0x700, 0x10), walk(unwinder(), memory, BASE + 0x300, 0));
  }

  @Test
  void aCallOfANullPointerIsLaidAtItsCaller() {
    Words memory = new Words().put(STACK, BASE + 0x10);
    assertArrayEquals(new long[] {0, BASE + 0x10}, walk(unwinder(), memory, 0, 0));
  }

  @Test
  void codeWithoutEntriesIsFollowedByItsFramePointer() {
    StackUnwinder unwinder = unwinder();
    Words memory =
        new Words()
            .put(STACK, 1, 2)
            .put(STACK + 16, STACK + 64, BASE + 0x210)
            .put(STACK + 64, 0, BASE + 0x10);
    assertArrayEquals(
        new long[] {MODULE, BASE + 0x210, BASE + 0x10}, walk(unwinder, memory, MODULE, STACK + 16));
    assertFalse(unwinder.guessed());
  }

  @Test
  void withoutAFramePointerTheNextWordBehindACallIsGuessed() {
    StackUnwinder unwinder = unwinder();
    Words memory =
        new Words()
            // Code, data, code that no call is before, code behind a call; its caller.
            .put(STACK, 5, 0xffff888000001000L, BASE + 0x180, BASE + 0x128)
            .put(STACK + 32, 6, 7, BASE + 0x10)
            .put(BASE + 0x120, 0xe8L << 24); // CALL at 0x123
    assertArrayEquals(at(0x800, 0x128, 0x10), walk(unwinder, memory, BASE + 0x800, 0));
    assertTrue(unwinder.guessed());
  }

  @Test
  void modulesHaveTablesOfTheirOwn() {
    Words memory = new Words().put(STACK, 1, 2, MODULE + 0x120).put(STACK + 24, 1, 7, BASE + 0x10);
    List<Entry> entries = List.of(ENTRIES.get(1), ENTRIES.get(2));
    long places = MODULE + 0x4000;
    long table = MODULE + 0x5000;
    ByteBuffer placeBytes = places(entries, places, MODULE);
    memory.put(places, placeBytes.getLong(0));
    // Two entries of 6 bytes: 24 or 8 from SP, kind CALL.
    memory.put(table, 8L | (long) SP << 32 | 24L << 48, 0xfff0L | (SP | PREV_SP << 4) << 16);
    OrcTable module = table("6.1.0").ofModule(memory, places, table, 2);
    assertEquals(2, module.size());
    assertEquals(MODULE + 0x100, module.firstAddress());
    StackUnwinder unwinder = unwinder();
    unwinder.setModules(List.of(module));
    assertArrayEquals(
        new long[] {MODULE + 0x110, MODULE + 0x120, BASE + 0x10},
        walk(unwinder, memory, MODULE + 0x110, 0));
    assertFalse(unwinder.guessed());
  }

  @Test
  void aKernelThatMovedIsWalkedWithItsMovedTables() {
    long delta = 0x1200000;
    StackUnwinder unwinder =
        new StackUnwinder(
            table("6.1.0").relocated(delta), kernel("6.1.0").symbols().relocated(delta));
    Words memory = new Words().put(STACK, BASE + delta + 0x10);
    assertArrayEquals(
        new long[] {BASE + delta + 0x100, BASE + delta + 0x10},
        walk(unwinder, memory, BASE + delta + 0x100, 0));
  }

  @Test
  void noStackMakesItRunForeverOrFail() {
    StackUnwinder unwinder = unwinder();
    Random random = new Random(29);
    long[] frames = new long[50];
    for (int i = 0; i < 20_000; i++) {
      Words memory = new Words();
      for (int k = 0; k < 40; k++) {
        memory.put(
            STACK + 8L * k,
            switch (random.nextInt(4)) {
              case 0 -> STACK + random.nextInt(320);
              case 1 -> BASE + random.nextInt(0x900);
              case 2 -> MODULE + random.nextInt(0x1000);
              default -> random.nextLong();
            });
      }
      int count =
          unwinder.unwind(
              memory,
              BASE + random.nextInt(0x900),
              STACK + random.nextInt(200),
              STACK + random.nextInt(320),
              frames);
      assertTrue(count >= 1 && count <= frames.length);
      for (int k = 0; k < count; k++) {
        assertTrue(frames[k] == 0 || unwinder.isText(frames[k]));
      }
    }
    assertEquals(0, unwinder.unwind(new Words(), BASE, STACK, STACK, new long[0]));
  }

  @Test
  void brokenTablesAreRefused() {
    byte[] places = places(ENTRIES, SyntheticKernel.address(0), BASE).array();
    SyntheticKernel kernel = SyntheticKernel.of(Layout.LINUX_6_4);
    assertTrue(OrcTable.of(KernelImage.of(kernel.elf(), "vmlinux")).isEmpty());
    KernelImage few =
        KernelImage.of(
            kernel.section(".orc_unwind_ip", places).section(".orc_unwind", new byte[12]).elf(),
            "vmlinux");
    assertThrows(BadInputException.class, () -> OrcTable.of(few));
    Arrays.fill(places, 8, 12, (byte) 0x7f);
    KernelImage unsorted =
        KernelImage.of(
            SyntheticKernel.of(Layout.LINUX_6_4)
                .section(".orc_unwind_ip", places)
                .section(".orc_unwind", new byte[6 * ENTRIES.size()])
                .elf(),
            "vmlinux");
    assertTrue(
        assertThrows(BadInputException.class, () -> OrcTable.of(unsorted))
            .getMessage()
            .contains("sorted"));
    assertEquals(0, table("6.1.0").ofModule(new Words(), MODULE, MODULE, 5).size());
    assertEquals(0, table("6.1.0").ofModule(new Words(), MODULE, MODULE, -1).size());
    assertEquals(0, table("6.1.0").ofModule(new Words(), MODULE, MODULE, 1 << 30).size());
  }
}
