package dev.ringfence.linux.image;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import dev.ringfence.linux.image.SyntheticKernel.Layout;
import dev.ringfence.linux.symbol.SymbolTable;
import dev.ringfence.machine.BadInputException;
import dev.ringfence.machine.input.Bytes;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Symbols in the layouts of all versions, and in files that pretend to have some. */
final class KallsymsTest {
  private static final int HEADERS = 0x1000;

  /** Where the one program header says how much of the file is loaded. */
  private static final int FILE_SIZE_OF_SEGMENT = 64 + 32;

  private static ElfFile elf(byte[] file) {
    return new ElfFile(Bytes.of(file, "vmlinux"));
  }

  @ParameterizedTest
  @EnumSource(Layout.class)
  void everyLayoutGivesTheSymbolsThatWerePutIn(Layout layout) {
    SyntheticKernel kernel = SyntheticKernel.of(layout);
    assertEquals(kernel.symbols(), Kallsyms.read(elf(kernel.elf())));
  }

  @ParameterizedTest
  @EnumSource(Layout.class)
  void perCpuSymbolsStayOrMoveWithTheImageAsTheVersionHasThem(Layout layout) {
    SymbolTable table =
        SymbolTable.of(
            SyntheticKernel.of(layout).symbols(),
            SyntheticKernel.BASE,
            SyntheticKernel.BASE + 0x100000);
    SymbolTable moved = table.relocated(0x2000000);
    assertEquals(table.require("_stext") + 0x2000000, moved.require("_stext"));
    if (layout != Layout.LINUX_5_10_UNIPROCESSOR) {
      assertNotNull(moved.find("current_task"));
      assertEquals(0x40, moved.require("current_task") - moved.require("__per_cpu_start"));
    }
  }

  @ParameterizedTest
  @EnumSource(Layout.class)
  void aCutFileHasNoSymbolsOrIsRefused(Layout layout) {
    byte[] whole = SyntheticKernel.of(layout).withoutSectionHeaders().elf();
    for (int length = 64; length < whole.length; length += 977) {
      byte[] cut = Arrays.copyOf(whole, length);
      readOrRefuse(cut);
      if (length > HEADERS) {
        // The same with a header that says so.
        ByteBuffer.wrap(cut)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(FILE_SIZE_OF_SEGMENT, length - HEADERS);
        readOrRefuse(cut);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Layout.class)
  void damagedTablesNeitherHangNorCrash(Layout layout) {
    byte[] whole = SyntheticKernel.of(layout).elf();
    Random random = new Random(7);
    for (int i = 0; i < 300; i++) {
      byte[] damaged = whole.clone();
      for (int k = random.nextInt(1, 40); k > 0; k--) {
        damaged[0x5000 + random.nextInt(0x10000)] = (byte) random.nextInt();
      }
      readOrRefuse(damaged);
    }
  }

  private static void readOrRefuse(byte[] file) {
    try {
      Kallsyms.read(elf(file));
    } catch (BadInputException e) {
      assertEquals(1, e.getMessage().lines().count(), e.getMessage());
    }
  }

  @Test
  void aFileWithoutTablesHasNoSymbols() {
    assertNull(Kallsyms.read(elf(SyntheticKernel.of(Layout.LINUX_6_4).withoutKallsyms().elf())));
  }

  @Test
  void aFileThatLooksLikeTablesEverywhereIsGivenUp() {
    byte[] file =
        SyntheticKernel.of(Layout.LINUX_5_10).withOnlyTokens().withoutSectionHeaders().elf();
    int size = 48 << 20;
    ByteBuffer hostile = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    hostile.put(file, 0, HEADERS).putLong(FILE_SIZE_OF_SEGMENT, size - HEADERS);
    // Two markers again and again, behind counts that fit them.
    while (hostile.position() < size - file.length) {
      hostile.putInt(0).putInt(512).putInt(300).putInt(0x01010101);
    }
    hostile.put(file, HEADERS, file.length - HEADERS);
    assertNull(
        assertTimeoutPreemptively(
            Duration.ofSeconds(20), () -> Kallsyms.read(elf(hostile.array()))));
  }
}
